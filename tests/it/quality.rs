//! Code quality through the door: analyses on demand, scores, the gate that holds a run, mended text.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::App;
use crate::hooks::Site;
use crate::plugins;

const SCANNER: &str = "plugin-sdk/examples/security-scanner";
const BAD: &str = "import os, hashlib\nos.system(cmd)\nhashlib.md5(b'')\neval(x)\n";
const PATIENCE: Duration = Duration::from_secs(60);

async fn write(site: &Site, project: i64, path: &str, content: &str) -> i64 {
    let body = json!({"path": path, "content": content});
    site.call("POST", &format!("/api/projects/{project}/files"), Some(body)).await["id"].as_i64().unwrap()
}

async fn quality(site: &Site, project: i64) -> Value {
    site.call("GET", &format!("/api/projects/{project}/quality"), None).await
}

async fn until(site: &Site, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        let found = site.call("GET", path, None).await;
        if wanted(&found) {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "not as wanted: {found:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn install(app: &App, folder: &str) {
    plugins::bring(app, folder);
    app.cli_json(&["plugin", "install", folder.rsplit('/').next().unwrap()], "");
}

#[tokio::test]
async fn a_project_is_looked_at_when_somebody_asks_and_has_a_score() {
    let site = Site::new(&[]).await;
    let project = site.project().await;
    for n in 0..12 {
        write(&site, project, &format!("src/good{n}.py"), "print(1)\n").await;
    }
    let bad = write(&site, project, "src/bad.py", BAD).await;
    write(&site, project, "notes.txt", "nothing").await;
    let before = quality(&site, project).await;
    assert_eq!((&before["score"], &before["files"], &before["analysis"]), (&json!(null), &json!(0), &json!(null)));

    // Nobody looked at them when they were written.
    let started = Instant::now();
    while !site.app.sql_texts("SELECT kind FROM jobs WHERE kind = 'file.analyze'").is_empty() {
        assert!(started.elapsed() < PATIENCE, "files wait to be looked at");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    install(&site.app, SCANNER);
    let asked = site.call("POST", &format!("/api/projects/{project}/analyze"), Some(json!({"paths": ["src/"]}))).await;
    assert_eq!((&asked["status"], &asked["files"]), (&json!("running"), &json!(13)), "{asked}");
    let path = format!("/api/projects/{project}/quality");
    let done = until(&site, &path, |quality| quality["analysis"]["status"] == "done").await;
    assert_eq!((&done["files"], &done["analysis"]["files_done"]), (&json!(13), &json!(13)), "{done}");
    assert_eq!(done["findings"], json!({"low": 0, "medium": 1, "high": 1, "critical": 1}));
    // 100 less 20, 10 and 5, as the plugin says; the mean over thirteen files.
    assert_eq!((&done["worst"][0]["file_id"], &done["worst"][0]["score"]), (&json!(bad), &json!(65.0)), "{done}");
    assert_eq!((&done["score"], &done["gate"]["passed"]), (&json!(97.3), &json!(true)), "{done}");

    let shown = site.app.cli_json(&["project", "analyze", &project.to_string()], "");
    assert_eq!((&shown["files"], &shown["analysis"]["files"]), (&json!(14), &json!(14)), "{shown}");
    let again = site.call("GET", &format!("/api/files/{bad}/findings"), None).await;
    assert_eq!(again["items"].as_array().unwrap().len(), 3, "new findings take the place of the old ones");
    for (paths, code) in [(json!(["nowhere/"]), "nothing_to_analyze"), (json!([]), "invalid_paths")] {
        let path = format!("/api/projects/{project}/analyze");
        let refused = site.app.call("POST", &path, Some(&site.token), Some(json!({"paths": paths}))).await;
        assert_eq!((refused.status, &refused.body["code"]), (400, &json!(code)), "{}", refused.body);
    }
    // A new version begins without a score.
    site.call("PUT", &format!("/api/files/{bad}"), Some(json!({"content": "print(2)\n"}))).await;
    let mended = until(&site, &path, |quality| quality["files"] == 14).await;
    assert_eq!(mended["score"], json!(100.0), "{mended}");
}

#[tokio::test]
async fn a_closed_gate_holds_a_run_until_files_are_mended_or_somebody_who_may_lets_it_go_on() {
    let site = Site::new(&[SCANNER]).await;
    let boss = site.app.person("boss", "org_admin", Some("acme")).await;
    let settings = json!({"settings": {"quality_gate": {"max_critical": 0}}});
    let set =
        site.app.call("PUT", &format!("/api/organizations/{}/settings", site.org), Some(&boss), Some(settings)).await;
    assert_eq!(set.status, 200, "{}", set.body);
    for overridden in [false, true] {
        let project = site.project().await;
        let bad = write(&site, project, "bad.py", BAD).await;
        until(&site, &format!("/api/files/{bad}/findings"), |found| found["items"] != json!([])).await;
        let run =
            site.call("POST", &format!("/api/projects/{project}/runs"), Some(json!({"skip_ui_design": true}))).await;
        let path = format!("/api/runs/{}", run["id"]);
        let held = until(&site, &path, |run| run["held"] != json!(null)).await;
        assert_eq!((&held["status"], &held["stage"]), (&json!("paused"), &json!("development")), "{held}");
        assert_eq!(held["held"], "Findings that are critical: 1; the organisation allows 0.");
        let resume = |token: String, query: &'static str| {
            let address = format!("{path}/resume{query}");
            let app = &site.app;
            async move { app.call("POST", &address, Some(&token), None).await }
        };
        let refused = resume(site.token.clone(), "").await;
        assert_eq!((refused.status, &refused.body["code"]), (409, &json!("quality_gate")), "{}", refused.body);
        let refused = resume(site.token.clone(), "?override=true").await;
        assert_eq!((refused.status, &refused.body["code"]), (403, &json!("forbidden")), "{}", refused.body);
        if overridden {
            for stage in ["development", "testing", "qa_review"] {
                until(&site, &path, |run| run["held"] != json!(null) && run["stage"] == stage).await;
                let passed = resume(boss.clone(), "?override=true").await;
                assert_eq!((passed.status, &passed.body["held"]), (200, &json!(null)), "{}", passed.body);
            }
        } else {
            site.call("PUT", &format!("/api/files/{bad}"), Some(json!({"content": "print(1)\n"}))).await;
            assert_eq!(resume(site.token.clone(), "").await.status, 200);
        }
        until(&site, &path, |run| run["status"] == "completed").await;
    }
    let trail = site.app.cli_json(&["audit", "list", "--action", "execute", "--limit", "100"], "");
    let passed = trail["items"].as_array().unwrap().iter().filter(|entry| {
        entry["description"].as_str().unwrap().contains("past the quality gate: Findings that are critical: 1")
            && entry["actor"]["name"] == "boss"
    });
    assert_eq!(passed.count(), 3, "{trail}");
    let own = site.project().await;
    let path = format!("/api/projects/{own}");
    let set = site.call("PUT", &path, Some(json!({"quality_gate": {"min_score": 90}}))).await;
    assert_eq!(set["quality_gate"], json!({"max_critical": null, "max_high": null, "min_score": 90}));
    let wrong = json!({"quality_gate": {"min_score": 900}});
    let refused = site.app.call("PUT", &path, Some(&site.token), Some(wrong)).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("invalid_gate")), "{}", refused.body);
    assert_eq!(site.call("PUT", &path, Some(json!({"quality_gate": null}))).await["quality_gate"], json!(null));
}

#[tokio::test]
async fn a_plugin_proposes_how_a_file_is_mended_and_nothing_is_written() {
    let site = Site::new(&[SCANNER]).await;
    crate::hooks::fixer(&site).await;
    let project = site.project().await;
    let file = write(&site, project, "a.py", "x = eval(y)\n").await;
    let fix = |plugin: &str| format!("/api/files/{file}/fix?plugin={plugin}");
    let mended = site.call("POST", &fix("fixer"), None).await;
    assert_eq!((&mended["content"], &mended["changed"]), (&json!("x = literal(y)\n"), &json!(true)), "{mended}");
    assert_eq!(mended["version"], 1);
    let same = site.call("POST", &fix("security-scanner"), None).await;
    assert_eq!(same["changed"], false, "a plugin without fix_code leaves it as it is: {same}");
    let now = site.call("GET", &format!("/api/files/{file}"), None).await;
    assert_eq!((&now["content"], &now["version"]), (&json!("x = eval(y)\n"), &json!(1)));
    for (plugin, status, code) in [("nobody", 404, "not_found"), ("helper", 400, "plugin_cannot_fix")] {
        let refused = site.app.call("POST", &fix(plugin), Some(&site.token), None).await;
        assert_eq!((refused.status, &refused.body["code"]), (status, &json!(code)), "{}", refused.body);
    }
}

//! The marketplace through the door: what the mirror brings is found, understood and installed with what it needs.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use resoftai::plugins::pack::pack;
use resoftai::plugins::package::Files;
use serde_json::{Value, json};

use crate::app::{App, Reply};
use crate::mirror::Outside;

/// Makes a site trust a repository, takes its bundle in, and waits until the marketplace lists it.
pub async fn stock(app: &App, admin: &str, (root, bundle): &(String, Bytes)) {
    let body = json!({"repository": "vendor", "root": root, "replace": true});
    let trusted = app.call("POST", "/api/mirror/trust", Some(admin), Some(body)).await;
    assert_eq!(trusted.status, 201, "{}", trusted.body);
    import(app, admin, bundle.clone()).await;
}

pub async fn import(app: &App, admin: &str, bundle: Bytes) {
    let headers = [("authorization", format!("Bearer {admin}")), ("content-type", "application/x-tar".to_owned())];
    let reply = app.send("POST", "/api/mirror/import", &headers, bundle).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    followed(app).await;
}

/// Waits until the marketplace followed the mirror, or what was decided.
async fn followed(app: &App) {
    for _ in 0..600 {
        if app.sql_texts("SELECT kind FROM jobs WHERE kind = 'mirror_switched'").is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the marketplace did not follow");
}

/// Packs a small plugin.
#[allow(clippy::needless_pass_by_value, reason = "a manifest is made for this call")]
fn packed(outside: &Outside, slug: &str, version: &str, manifest: Value, readme: &str) -> PathBuf {
    let mut fields = json!({"slug": slug, "name": slug, "version": version, "entry_point": "main.py:Main"});
    fields.as_object_mut().unwrap().extend(manifest.as_object().unwrap().clone());
    let mut files = Files::default();
    let code = "from resoftai.plugins.base import Plugin\n\n\nclass Main(Plugin):\n    def load(self, context):\n        return True\n\n    \
                def activate(self):\n        return True\n\n    def deactivate(self):\n        return True\n\n    def unload(self):\n        \
                return True\n";
    for (path, text) in
        [("plugin.json", fields.to_string()), ("main.py", code.to_owned()), ("README.md", readme.to_owned())]
    {
        files.add(path, text.into_bytes()).unwrap();
    }
    let file = outside.path(&format!("{slug}-{version}.rplugin"));
    std::fs::write(&file, pack(files, vec![]).unwrap().bytes).unwrap();
    file
}

/// A repository with a plugin, what it needs, and others.
async fn outside() -> Outside {
    let outside = Outside::new().await;
    for (slug, version, manifest, readme) in [
        (
            "report",
            "1.0.0",
            json!({"description": "Writes reports about code.", "category": "generator", "tags": ["documentation"],
                "dependencies": ["charts>=1, <3"], "author": "Ada", "license": "Apache-2.0",
                "capabilities": {"llm": {"models": ["*"], "tokens_per_day": 1000}}}),
            "# Report\n\nDraws *quarterly* figures. <script>alert(1)</script>",
        ),
        ("charts", "1.0.0", json!({"dependencies": ["shapes"], "category": "ui"}), ""),
        (
            "charts",
            "2.1.0",
            json!({"dependencies": ["shapes ^1"], "category": "ui", "description": "Charts, drawn."}),
            "",
        ),
        ("charts", "3.0.0-beta.1", json!({"category": "ui"}), ""),
        ("shapes", "1.0.0", json!({"tags": ["drawing"]}), ""),
        ("shapes", "2.0.0", json!({"tags": ["drawing"]}), ""),
        ("lonely", "1.0.0", json!({"dependencies": ["nobody-has-this"]}), ""),
    ] {
        outside.add(&packed(&outside, slug, version, manifest, readme));
    }
    outside.sign().await;
    outside
}

async fn get(app: &App, token: &str, path: &str) -> Reply {
    app.call("GET", &format!("/api/marketplace/{path}"), Some(token), None).await
}

fn slugs(reply: &Reply) -> Vec<&str> {
    reply.body["items"]
        .as_array()
        .unwrap_or_else(|| panic!("{}", reply.body))
        .iter()
        .map(|item| item["slug"].as_str().unwrap())
        .collect()
}

async fn install(app: &App, token: &str, slug: &str, body: Value) -> Reply {
    app.call("POST", &format!("/api/marketplace/plugins/{slug}/install"), Some(token), Some(body)).await
}

/// As in `charts 2.1.0`, of steps that change something.
fn steps(installation: &Value) -> Vec<String> {
    let changing = installation["steps"].as_array().unwrap().iter().filter(|step| step["change"] != "keep");
    changing.map(|step| format!("{} {}", step["slug"].as_str().unwrap(), step["version"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn what_the_mirror_brings_is_found_by_words_kind_and_order() {
    let (app, outside) = (App::start(), outside().await);
    app.org("acme");
    let admin = app.person("root", "admin", None).await;
    let viewer = app.person("vera", "viewer", Some("acme")).await;
    assert_eq!(slugs(&get(&app, &viewer, "plugins").await), [""; 0]);
    stock(&app, &admin, &(outside.root(), outside.bundle())).await;

    assert_eq!(slugs(&get(&app, &viewer, "plugins?sort=name").await), ["charts", "lonely", "report", "shapes"]);
    // By their names, in a collection's page; alone, with other filters, and with words.
    for (question, found) in [
        ("slugs=shapes,charts,not-there", vec!["charts", "shapes"]),
        ("slugs=shapes,charts&category=ui", vec!["charts"]),
        ("slugs=report&q=draw", vec!["report"]),
    ] {
        assert_eq!(slugs(&get(&app, &viewer, &format!("plugins?sort=name&{question}")).await), found, "{question}");
    }
    for wrong in ["", "a,,b", "Charts", &vec!["a"; 101].join(",")] {
        let refused = get(&app, &viewer, &format!("plugins?slugs={wrong}")).await;
        assert_eq!((refused.status, &refused.body["field"]), (400, &json!("slugs")), "{}", refused.body);
    }
    for (question, found) in [
        ("report", vec!["report"]),
        ("QUARTER", vec!["report"]),
        ("draw", vec!["shapes", "charts", "report"]),
        ("drawing", vec!["shapes"]),
        ("code+report", vec!["report"]),
        ("code+nothing", vec![]),
        ("%25", vec![]),
        ("cha", vec!["charts"]),
    ] {
        assert_eq!(slugs(&get(&app, &viewer, &format!("plugins?q={question}")).await), found, "{question}");
    }
    assert_eq!(slugs(&get(&app, &viewer, "plugins?q=draw&category=ui").await), ["charts"]);
    assert_eq!(slugs(&get(&app, &viewer, "plugins?category=ui").await), ["charts"]);
    let categories = get(&app, &viewer, "categories").await.body;
    assert_eq!(categories["items"][0], json!({"category": "generator", "plugins": 1}));
    // By pages, in every order and in a search, each is there once.
    for order in ["sort=name", "sort=popular", "sort=trending", "sort=newest", "q=draw"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = get(&app, &viewer, &format!("plugins?{order}&limit=1{cursor}")).await;
            seen.extend(slugs(&page).into_iter().map(str::to_owned));
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let whole = get(&app, &viewer, &format!("plugins?{order}")).await;
        assert_eq!(seen, slugs(&whole), "{order}");
    }
    for (wrong, code) in [("sort=best", "invalid_query"), ("cursor=x", "invalid_cursor"), ("limit=0", "invalid_limit")]
    {
        assert_eq!(get(&app, &viewer, &format!("plugins?{wrong}")).await.body["code"], code, "{wrong}");
    }
}

#[tokio::test]
async fn a_plugin_is_shown_as_its_package_tells() {
    let (app, outside) = (App::start(), outside().await);
    app.org("acme");
    let admin = app.person("root", "admin", None).await;
    let viewer = app.person("vera", "viewer", Some("acme")).await;
    stock(&app, &admin, &(outside.root(), outside.bundle())).await;
    let report = get(&app, &viewer, "plugins/report").await.body;
    let package = &report["package"];
    assert_eq!(
        (&report["name"], &report["author"], &report["installed"]),
        (&json!("report"), &json!("Ada"), &json!(null))
    );
    assert_eq!((&package["license"], &package["dependencies"]), (&json!("Apache-2.0"), &json!(["charts >=1, <3"])));
    let readme = package["readme_html"].as_str().unwrap();
    assert!(readme.contains("<em>quarterly</em>") && !readme.contains("script"), "{readme}");
    assert!(package["asks"].to_string().contains("llm"), "{package}");
    let chain = package["chain"].as_array().unwrap();
    assert!(
        chain[0].as_str().unwrap().contains("pinned")
            && chain.last().unwrap().as_str().unwrap().contains("Nobody signed")
    );
    let charts = get(&app, &viewer, "plugins/charts").await.body;
    let versions: Vec<_> = charts["versions"].as_array().unwrap().iter().map(|one| one["version"].clone()).collect();
    assert_eq!(versions, ["3.0.0-beta.1", "2.1.0", "1.0.0"]);
    assert_eq!(charts["version"], "2.1.0", "a pre-release is shown to who asks for it");
    let beta = get(&app, &viewer, "plugins/charts?version=3.0.0-beta.1").await.body;
    assert_eq!(beta["package"]["version"], "3.0.0-beta.1");
    for nowhere in ["plugins/nowhere", "plugins/charts?version=9.9.9"] {
        let reply = get(&app, &viewer, nowhere).await;
        assert_eq!((reply.status, &reply.body["code"]), (404, &json!("market_no_plugin")), "{nowhere}");
    }
    // What is no picture of the package is not given out.
    let shown = app.cli(&["market", "show", "report"], "");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("Apache-2.0"), "{shown:?}");
    let hidden = get(&app, &viewer, "plugins/report/1.0.0/pictures/main.py").await;
    assert_eq!(hidden.status, 404, "{}", hidden.body);
}

#[tokio::test]
async fn a_plugin_comes_with_what_it_needs_or_not_at_all() {
    let (app, outside) = (App::start(), outside().await);
    app.org("acme");
    let admin = app.person("root", "admin", None).await;
    let owner = app.person("olga", "org_admin", Some("acme")).await;
    stock(&app, &admin, &(outside.root(), outside.bundle())).await;
    assert_eq!(install(&app, &owner, "report", json!({})).await.status, 403);

    let plan = install(&app, &admin, "report", json!({"dry_run": true})).await;
    let wanted = ["shapes 1.0.0", "charts 2.1.0", "report 1.0.0"];
    assert_eq!(steps(&plan.body), wanted, "{}", plan.body);
    assert_eq!(app.cli_json(&["plugin", "list"], "")["items"], json!([]), "a dry run changes nothing");
    let asked = &plan.body["steps"][2]["asks"];
    assert!(asked.to_string().contains("llm"), "{asked}");

    // What cannot be had is told before anything is touched, and what does not load leaves nothing behind.
    let lonely = install(&app, &admin, "lonely", json!({})).await;
    assert_eq!((lonely.status, &lonely.body["code"]), (409, &json!("market_unresolved")), "{}", lonely.body);
    assert!(lonely.body["detail"].as_str().unwrap().contains("nobody-has-this"), "{}", lonely.body);
    let wrong = install(&app, &admin, "report", json!({"config": {"key": 1}, "everywhere": true})).await;
    assert!(wrong.status >= 400, "{}", wrong.body);
    assert_eq!(app.cli_json(&["plugin", "list"], "")["items"], json!([]), "half of it was installed");

    let done = install(&app, &admin, "report", json!({})).await;
    assert_eq!((done.status, steps(&done.body)), (200, wanted.map(str::to_owned).to_vec()), "{}", done.body);
    let list = app.cli_json(&["plugin", "list"], "");
    let states: Vec<_> = list["items"].as_array().unwrap().iter().map(|one| (&one["slug"], &one["status"])).collect();
    assert!(states.iter().all(|(_, status)| **status == "active") && states.len() == 3, "{list}");
    let shown = get(&app, &owner, "plugins/report").await.body;
    assert_eq!((&shown["installed"], &shown["installs"]), (&json!("1.0.0"), &json!(1)));
    let again = install(&app, &admin, "report", json!({})).await;
    assert_eq!(again.body["steps"][2]["change"], "again", "{}", again.body);
    assert_eq!(get(&app, &owner, "plugins/report").await.body["installs"], 1, "the same again is no installation");

    // Another one at work is kept whole: what would break it is refused with the reason.
    let refused = install(&app, &admin, "shapes", json!({"version": "2.0.0"})).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("market_unresolved")), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("charts"), "{}", refused.body);
    let trail = app.cli_json(&["audit", "list", "--resource", "plugin"], "");
    assert!(trail["items"].to_string().contains("Installed plugin shapes 1.0.0"), "{trail}");
}

#[tokio::test]
async fn a_dry_run_says_what_a_scan_makes_of_what_would_come() {
    let settings = [("RESOFTAI_PLUGINS_SCAN_BLOCK", "high"), ("RESOFTAI_PLUGINS_LICENCES_DENIED", "Apache-2.0")];
    let (app, outside) = (App::start_with_settings(&settings), outside().await);
    let admin = app.person("root", "admin", None).await;
    stock(&app, &admin, &(outside.root(), outside.bundle())).await;
    let plan = install(&app, &admin, "report", json!({"dry_run": true})).await;
    let scans: Vec<_> =
        plan.body["steps"].as_array().unwrap().iter().map(|step| (&step["slug"], &step["scan"]["verdict"])).collect();
    let told = [("shapes", "clean"), ("charts", "clean"), ("report", "blocked")].map(|(a, b)| (json!(a), json!(b)));
    assert_eq!(scans, told.iter().map(|(slug, verdict)| (slug, verdict)).collect::<Vec<_>>(), "{}", plan.body);
    assert!(plan.body["steps"][2]["scan"]["text"].as_str().unwrap().contains("licence-denied"), "{}", plan.body);
    let said = app.cli(&["plugin", "install", "report", "--dry-run"], "");
    assert!(String::from_utf8_lossy(&said.stdout).contains("A scan found what keeps it out"), "{said:?}");
    let refused = install(&app, &admin, "report", json!({})).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("plugin_scan_blocked")), "{}", refused.body);
    let taken = install(&app, &admin, "report", json!({"allow_findings": true, "reason": "we asked a lawyer"})).await;
    assert_eq!((taken.status, &taken.body["steps"][2]["scan"]), (200, &json!(null)), "{}", taken.body);
}

#[tokio::test]
async fn what_the_next_bundle_changes_is_changed_and_what_it_drops_is_gone() {
    let (app, outside) = (App::start(), outside().await);
    let admin = app.person("root", "admin", None).await;
    stock(&app, &admin, &(outside.root(), outside.bundle())).await;
    app.cli_json(&["plugin", "install", "charts"], "");
    outside.add(&packed(
        &outside,
        "charts",
        "2.2.0",
        json!({"dependencies": ["shapes ^1"], "description": "Now with pies."}),
        "",
    ));
    outside.repository().remove("plugins/lonely/1.0.0.rplugin").unwrap();
    outside.sign().await;
    import(&app, &admin, outside.bundle()).await;
    assert_eq!(slugs(&get(&app, &admin, "plugins?q=pies").await), ["charts"]);
    assert_eq!(get(&app, &admin, "plugins/lonely").await.status, 404);
    let charts = get(&app, &admin, "plugins/charts").await.body;
    assert_eq!((&charts["version"], &charts["installed"]), (&json!("2.2.0"), &json!("2.1.0")));
    let plan = app.cli_json(&["plugin", "install", "charts", "--dry-run"], "");
    assert_eq!(steps(&plan), ["charts 2.2.0"]);
    app.cli_json(&["plugin", "install", "charts", "--version", "2.2.0"], "");
    assert_eq!(get(&app, &admin, "plugins/charts").await.body["installed"], "2.2.0");
    let found = app.cli_json(&["market", "search", "pies"], "");
    assert_eq!(found["items"][0]["slug"], "charts");
}

async fn review(app: &App, token: &str, slug: &str, rating: i64, text: &str) -> Reply {
    let body = json!({"rating": rating, "text": text});
    app.call("PUT", &format!("/api/marketplace/plugins/{slug}/review"), Some(token), Some(body)).await
}

#[tokio::test]
async fn who_has_a_plugin_rates_it_once_and_others_say_whether_that_helped() {
    let (app, outside) = (App::start(), outside().await);
    app.org("acme");
    app.org("beta");
    let admin = app.person("root", "admin", None).await;
    let ada = app.person("ada", "org_admin", Some("acme")).await;
    let bea = app.person("bea", "viewer", Some("acme")).await;
    let carl = app.person("carl", "org_admin", Some("beta")).await;
    stock(&app, &admin, &(outside.root(), outside.bundle())).await;

    let absent = review(&app, &ada, "shapes", 5, "").await;
    assert_eq!((absent.status, &absent.body["code"]), (404, &json!("market_no_plugin")), "{}", absent.body);
    assert_eq!(install(&app, &admin, "report", json!({})).await.status, 200);
    // It asks for models, so it works nowhere until an organisation says so.
    let early = review(&app, &ada, "report", 5, "").await;
    assert_eq!((early.status, &early.body["code"]), (403, &json!("plugin_not_yours")), "{}", early.body);
    app.cli_json(&["plugin", "enable", "report", "--org", "acme", "--grant", "all"], "");
    assert_eq!(review(&app, &ada, "report", 4, "Good <b>figures</b>.").await.status, 200);
    assert_eq!(review(&app, &carl, "report", 4, "").await.body["code"], "plugin_not_yours");
    for (rating, text, code) in [(0, "", "invalid_rating"), (6, "", "invalid_rating"), (3, "a\u{7}b", "invalid_review")]
    {
        assert_eq!(review(&app, &ada, "report", rating, text).await.body["code"], code);
    }
    let long = "x".repeat(4_001);
    assert_eq!(review(&app, &ada, "report", 3, &long).await.body["code"], "invalid_review");
    // Once a person: the second one takes the first one's place.
    let again = review(&app, &ada, "report", 5, "Better now.").await;
    assert_eq!((again.status, &again.body["rating"]), (200, &json!(5)), "{}", again.body);
    let list = |token: String| {
        let app = &app;
        async move { get(app, &token, "plugins/report/reviews").await.body["items"].clone() }
    };
    let seen = list(bea.clone()).await;
    assert_eq!(
        (seen.as_array().unwrap().len(), &seen[0]["author"], &seen[0]["mine"]),
        (1, &json!("ada"), &json!(false))
    );
    // Of another organisation's people nobody learns the names.
    assert_eq!(list(carl.clone()).await[0]["author"], json!(null));
    let shown = get(&app, &bea, "plugins/report").await.body;
    assert_eq!((&shown["rating"], &shown["ratings"]), (&json!(5.0), &json!(1)));
    review(&app, &bea, "report", 2, "").await;
    assert_eq!(get(&app, &bea, "plugins/report").await.body["rating"], 3.5);
    review(&app, &admin, "shapes", 1, "").await;
    assert_eq!(slugs(&get(&app, &bea, "plugins?sort=rating").await)[0], "report");
    assert_eq!(slugs(&get(&app, &bea, "plugins?sort=rating").await).last(), Some(&"shapes"));

    let id = &seen[0]["id"];
    let helpful = format!("/api/marketplace/reviews/{id}/helpful");
    for _ in 0..2 {
        assert_eq!(app.call("PUT", &helpful, Some(&bea), None).await.status, 204);
    }
    assert_eq!(app.call("PUT", &helpful, Some(&ada), None).await.body["code"], "own_review");
    let first = |items: Value| items.as_array().unwrap().iter().find(|one| one["id"] == *id).unwrap().clone();
    let voted = first(list(bea.clone()).await);
    assert_eq!((&voted["helpful"], &voted["voted"]), (&json!(1), &json!(true)));
    assert_eq!(app.call("DELETE", &helpful, Some(&bea), None).await.status, 204);
    assert_eq!(first(list(bea.clone()).await)["helpful"], 0);

    // Removed by the site, and told why; taken back by oneself.
    let remove = format!("/api/marketplace/reviews/{id}/remove");
    assert_eq!(app.call("POST", &remove, Some(&carl), Some(json!({"reason": "spam"}))).await.status, 403);
    assert_eq!(app.call("POST", &remove, Some(&admin), Some(json!({"reason": "not about it"}))).await.status, 204);
    let notices = app.call("GET", "/api/notices", Some(&ada), None).await.body;
    assert!(notices["items"].to_string().contains("not about it"), "{notices}");
    let own = "/api/marketplace/plugins/report/review";
    assert_eq!(app.call("DELETE", own, Some(&bea), None).await.status, 204);
    assert_eq!(app.call("DELETE", own, Some(&bea), None).await.status, 404);
    assert_eq!(list(bea.clone()).await, json!([]));
    let trail = app.cli_json(&["audit", "list", "--resource", "market_review"], "");
    assert!(trail["items"].as_array().unwrap().len() >= 4, "{trail}");
}

#[tokio::test]
async fn a_collection_is_curated_shared_and_installed_as_one() {
    let (app, outside) = (App::start(), outside().await);
    app.org("acme");
    app.org("beta");
    let admin = app.person("root", "admin", None).await;
    let ada = app.person("ada", "org_admin", Some("acme")).await;
    let bea = app.person("bea", "viewer", Some("acme")).await;
    let carl = app.person("carl", "org_admin", Some("beta")).await;
    stock(&app, &admin, &(outside.root(), outside.bundle())).await;
    let made = app.cli_json(
        &[
            "collection",
            "create",
            "Drawing Tools",
            "--description",
            "All that draws",
            "--plugins",
            "charts,report,charts",
        ],
        "",
    );
    assert_eq!(made["plugins"], json!(["charts", "report"]));
    let path = "/api/marketplace/collections";
    let org =
        app.sql_texts("SELECT CAST(id AS TEXT) FROM organizations WHERE slug = 'acme'")[0].parse::<i64>().unwrap();
    let ours = json!({"name": "Ours", "plugins": ["lonely"], "organization_id": org});
    for (token, status) in [(&bea, 403), (&carl, 404), (&ada, 201)] {
        let reply = app.call("POST", path, Some(token), Some(ours.clone())).await;
        assert_eq!(reply.status, status, "{}", reply.body);
    }
    let site = json!({"name": "drawing  tools", "plugins": ["lonely"]});
    assert_eq!(app.call("POST", path, Some(&ada), Some(site.clone())).await.status, 403);
    assert_eq!(app.call("POST", path, Some(&admin), Some(site)).await.body["code"], "name_taken");
    for (plugins, code) in [(json!([]), "invalid_collection"), (json!(["No Slug"]), "invalid_slug")] {
        let body = json!({"name": "x", "plugins": plugins});
        assert_eq!(app.call("POST", path, Some(&admin), Some(body)).await.body["code"], code);
    }
    let names = |reply: Reply| {
        let items = reply.body["items"].as_array().unwrap().clone();
        items.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(app.call("GET", path, Some(&bea), None).await), ["Ours", "Drawing Tools"]);
    assert_eq!(names(app.call("GET", path, Some(&carl), None).await), ["Drawing Tools"]);

    let plan = app.cli_json(&["collection", "install", "drawing tools", "--dry-run"], "");
    assert_eq!(steps(&plan), ["shapes 1.0.0", "charts 2.1.0", "report 1.0.0"]);
    app.cli_json(&["collection", "install", "Drawing Tools"], "");
    assert_eq!(app.cli_json(&["plugin", "list"], "")["items"].as_array().unwrap().len(), 3);
    assert_eq!(app.cli_json(&["collection", "install", "Drawing Tools"], "")["steps"], json!([]));
    let failed = app.cli(&["--json", "collection", "install", "Ours"], "");
    assert!(String::from_utf8_lossy(&failed.stderr).contains("market_unresolved"), "{failed:?}");
    let changed = app.cli_json(&["collection", "update", "Drawing Tools", "--plugins", "shapes"], "");
    assert_eq!((&changed["plugins"], &changed["description"]), (&json!(["shapes"]), &json!("All that draws")));
    app.cli_json(&["collection", "delete", "Drawing Tools", "--yes"], "");
    assert_eq!(names(app.call("GET", path, Some(&carl), None).await), [""; 0]);
    let trail = app.cli_json(&["audit", "list", "--resource", "market_collection"], "");
    assert!(trail["items"].to_string().contains("Deleted collection Drawing Tools"), "{trail}");
}

async fn submit(app: &App, token: &str, file: &std::path::Path, query: &str) -> Reply {
    let headers = [("authorization", format!("Bearer {token}")), ("content-type", "application/zip".to_owned())];
    let bytes = std::fs::read(file).unwrap();
    app.send("POST", &format!("/api/marketplace/submissions{query}"), &headers, bytes.into()).await
}

#[tokio::test]
async fn a_plugin_is_handed_in_looked_at_published_and_yanked() {
    let (app, outside) = (App::start(), outside().await);
    app.org("acme");
    app.org("beta");
    let admin = app.person("root", "admin", None).await;
    let other = app.person("second", "admin", None).await;
    let ada = app.person("ada", "developer", Some("acme")).await;
    let carl = app.person("carl", "developer", Some("beta")).await;
    stock(&app, &admin, &(outside.root(), outside.bundle())).await;
    let good = json!({"description": "Counts words.", "license": "Apache-2.0", "tags": ["own"]});
    let readme = "# Word counter\n\nCounts the words of every file that is written.";
    let decide = |id: Value, status: &'static str, token: String| {
        let app = &app;
        async move {
            let body = json!({"status": status, "reason": "it counts wrongly"});
            app.call("PUT", &format!("/api/marketplace/submissions/{id}/status"), Some(&token), Some(body)).await
        }
    };

    // What fails a check by machine is told what to mend, and waits for nobody.
    let bare = packed(&outside, "bare", "1.0.0", json!({}), "");
    let failed = submit(&app, &ada, &bare, "").await;
    assert_eq!((failed.status, &failed.body["status"]), (201, &json!("failed")), "{}", failed.body);
    let bad: Vec<_> = failed.body["checks"].as_array().unwrap().iter().filter(|one| one["ok"] == false).collect();
    let codes: Vec<_> = bad.iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["description", "readme", "license"]);
    assert_eq!(decide(failed.body["id"].clone(), "published", admin.clone()).await.body["code"], "submission_step");
    // A name of the mirror's stays the mirror's.
    let taken = packed(&outside, "charts", "9.0.0", good.clone(), readme);
    assert_eq!(submit(&app, &ada, &taken, "").await.body["code"], "slug_taken");
    assert_eq!(submit(&app, &ada, &bare, "?category=nonsense").await.body["code"], "invalid_category");

    let file = packed(&outside, "word-counter", "1.0.0", good.clone(), readme);
    let made = submit(&app, &ada, &file, "?category=code_quality&tags=counting,words").await;
    assert_eq!((made.status, &made.body["status"]), (201, &json!("in_review")), "{}", made.body);
    let id = made.body["id"].clone();
    assert_eq!(submit(&app, &ada, &file, "").await.body["code"], "submitted_already");
    let one = format!("/api/marketplace/submissions/{id}");
    assert_eq!(app.call("GET", &one, Some(&carl), None).await.status, 404);
    let shown = app.call("GET", &one, Some(&ada), None).await.body;
    assert_eq!((&shown["slug"], &shown["asks"][0]["code"]), (&json!("word-counter"), &json!("kv")), "{shown}");
    let list = |query: &'static str| {
        let (app, ada) = (&app, ada.clone());
        async move { slugs(&get(app, &ada, &format!("submissions{query}")).await).join(" ") }
    };
    assert_eq!(list("").await, "word-counter bare");
    assert_eq!(list("?slug=bare").await, "bare");
    assert_eq!(list("?slug=bare&status=in_review").await, "");
    assert_eq!(decide(id.clone(), "published", ada.clone()).await.status, 403);
    let reply = app.call("PUT", &format!("{one}/status"), Some(&admin), Some(json!({"status": "rejected"}))).await;
    assert_eq!(reply.body["code"], "reason_missing");
    let notices = app.call("GET", "/api/notices", Some(&admin), None).await.body;
    assert!(notices["items"].to_string().contains("word-counter 1.0.0"), "{notices}");
    assert_eq!(notices["items"][0]["link"], format!("/marketplace/submissions/{id}"), "{notices}");
    assert_eq!(get(&app, &carl, "plugins/word-counter").await.status, 404);

    // An administrator's own is another one's to decide.
    let own = packed(&outside, "own-tool", "1.0.0", good.clone(), readme);
    let own = submit(&app, &admin, &own, "").await.body["id"].clone();
    assert_eq!(decide(own.clone(), "published", admin.clone()).await.body["code"], "own_submission");
    assert_eq!(decide(own.clone(), "rejected", other.clone()).await.body["status"], "rejected");
    assert_eq!(decide(own, "published", other.clone()).await.body["code"], "submission_step");

    assert_eq!(decide(id.clone(), "published", admin.clone()).await.body["status"], "published");
    followed(&app).await;
    let shown = get(&app, &carl, "plugins/word-counter").await.body;
    assert_eq!((&shown["source"], &shown["category"]), (&json!("site"), &json!("code_quality")), "{shown}");
    assert_eq!(shown["tags"], json!(["counting", "words"]));
    assert!(!shown["package"]["chain"].to_string().contains("ada"), "{shown}");
    assert_eq!(slugs(&get(&app, &carl, "plugins?q=counting").await), ["word-counter"]);
    assert_eq!(install(&app, &admin, "word-counter", json!({})).await.status, 200);
    let notices = app.call("GET", "/api/notices", Some(&ada), None).await.body;
    assert!(notices["items"].to_string().contains("word-counter 1.0.0 is published"), "{notices}");

    // The next version is newer, and by the same person or an administrator.
    let same = packed(&outside, "word-counter", "0.9.0", good.clone(), readme);
    assert_eq!(submit(&app, &ada, &same, "").await.body["status"], "failed");
    let next = packed(&outside, "word-counter", "1.1.0", good.clone(), readme);
    assert_eq!(submit(&app, &carl, &next, "").await.body["code"], "slug_taken");
    let next = submit(&app, &ada, &next, "").await.body["id"].clone();
    assert_eq!(decide(next.clone(), "withdrawn", admin.clone()).await.status, 403);
    assert_eq!(decide(next, "withdrawn", ada.clone()).await.body["status"], "withdrawn");

    assert_eq!(decide(id.clone(), "deprecated", ada.clone()).await.body["status"], "deprecated");
    followed(&app).await;
    let shown = get(&app, &carl, "plugins/word-counter").await.body;
    assert_eq!(shown["package"]["advice"], "it counts wrongly");
    assert_eq!(decide(id.clone(), "yanked", ada.clone()).await.body["status"], "yanked");
    followed(&app).await;
    let shown = get(&app, &carl, "plugins/word-counter").await.body;
    assert_eq!(shown["package"]["fault"], "It was yanked: it counts wrongly");
    assert_eq!(shown["installed"], "1.0.0", "what is installed stays");
    assert_eq!(install(&app, &admin, "word-counter", json!({})).await.body["code"], "market_no_plugin");
    assert_eq!(decide(id, "published", admin.clone()).await.body["status"], "published");
    assert_eq!(install(&app, &admin, "word-counter", json!({})).await.status, 200);
    let trail = app.cli_json(&["audit", "list", "--resource", "market_submission"], "");
    assert!(trail["items"].as_array().unwrap().len() >= 9, "{trail}");
}

#[tokio::test]
async fn a_plugin_is_handed_in_by_commands() {
    let (app, outside) = (App::start(), Outside::new().await);
    let admin = app.person("root", "admin", None).await;
    let good = json!({"description": "Counts words.", "license": "Apache-2.0"});
    let readme = "# Word counter\n\nCounts the words of every file that is written.";
    let file = packed(&outside, "word-counter", "1.0.0", good, readme);
    let arguments =
        ["plugin", "submit", file.to_str().unwrap(), "--category", "code_quality", "--tags", "counting,words"];
    let made = app.cli_json(&arguments, "");
    let id = made["id"].to_string();
    let refused = app.cli(&["--json", "submission", "approve", &id], "");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("own_submission"), "{refused:?}");
    let taken = outside.path("taken.rplugin");
    let got = app.cli_json(&["submission", "get", &id, "-o", taken.to_str().unwrap()], "");
    assert_eq!((std::fs::read(&taken).unwrap(), &got["sha256"]), (std::fs::read(&file).unwrap(), &made["sha256"]));
    let list = app.cli_json(&["submission", "list", "--status", "in_review"], "");
    assert_eq!(list["items"][0]["slug"], "word-counter");
    let reason = json!({"status": "published"});
    let path = format!("/api/marketplace/submissions/{id}/status");
    assert_eq!(app.call("PUT", &path, Some(&admin), Some(reason)).await.status, 200);
    app.cli_json(&["submission", "yank", &id, "--reason", "it counts wrongly"], "");
    let bare = packed(&outside, "bare", "1.0.0", json!({}), "");
    let failed = app.cli(&["plugin", "submit", bare.to_str().unwrap()], "");
    assert!(!failed.status.success() && String::from_utf8_lossy(&failed.stderr).contains("README"), "{failed:?}");
    let shown = app.cli(&["submission", "show", &id], "");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("It loads in the sandbox"), "{shown:?}");
}

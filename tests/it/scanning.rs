//! Scans of plugins through the door: what is kept out, taken with a reason, scanned again, and scanned without a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{App, Reply};

/// A plugin that works.
pub const CODE: &str = "from resoftai.plugins.base import Plugin


class It(Plugin):
    def load(self, context):
        return True

    def activate(self):
        return True

    def deactivate(self):
        return True

    def unload(self):
        return True
";
/// What hides code, which the site keeps out unless it is told otherwise.
const HIDDEN: &str = "\nimport base64\n\n\ndef unused():\n    exec(base64.b64decode('cGFzcw=='))\n";
/// What the site warns about.
const ODD: &str = "\n\ndef unused(text):\n    return eval(text)\n";

/// A plugin that works, with more at the end of its code and more files.
fn plugin(slug: &str, more: &str, files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(slug);
    fs::create_dir(&folder).unwrap();
    let manifest =
        json!({"name": slug, "slug": slug, "version": "1.0.0", "entry_point": "main.py:It", "license": "MIT"});
    fs::write(folder.join("plugin.json"), manifest.to_string()).unwrap();
    fs::write(folder.join("main.py"), format!("{CODE}{more}")).unwrap();
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// What says that a library is in the package.
fn library(name: &str, version: &str) -> (String, String) {
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n");
    (format!("vendor/{name}-{version}.dist-info/METADATA"), metadata)
}

fn tar_of(folder: &Path) -> Bytes {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all(".", folder).unwrap();
    builder.into_inner().unwrap().into()
}

async fn upload(app: &App, token: &str, query: &str, folder: &Path) -> Reply {
    let headers = [("authorization", format!("Bearer {token}")), ("content-type", "application/x-tar".to_owned())];
    app.send("POST", &format!("/api/plugins/upload{query}"), &headers, tar_of(folder)).await
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn what_hides_code_is_kept_out_until_somebody_says_why_it_is_not() {
    let app = App::start();
    let admin = app.person("root", "admin", None).await;
    let dir = plugin("hider", HIDDEN, &[]);
    let folder = dir.path().join("hider");
    let refused = upload(&app, &admin, "", &folder).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("plugin_scan_blocked")), "{}", refused.body);
    let sentence = refused.body["detail"].as_str().unwrap();
    assert!(sentence.contains("main.py, line 21") && sentence.contains("python-hidden-code"), "{sentence}");
    assert_eq!(app.call("GET", "/api/plugins", Some(&admin), None).await.body["items"], json!([]));
    assert!(!app.dir.path().join("plugins/hider").exists());
    for query in ["?allow_findings=true", "?reason=because", "?allow_findings=true&reason=%20"] {
        let refused = upload(&app, &admin, query, &folder).await;
        assert_eq!((refused.status, &refused.body["code"]), (400, &json!("invalid_reason")), "{query}");
    }
    let headers = [("authorization", format!("Bearer {admin}")), ("content-type", "application/x-tar".to_owned())];
    let handed_in = app.send("POST", "/api/marketplace/submissions", &headers, tar_of(&folder)).await.body;
    let check = handed_in["checks"].as_array().unwrap().iter().find(|check| check["code"] == "scan").unwrap();
    assert!(check["ok"] == false && check["text"].as_str().unwrap().contains("main.py, line 21"), "{check}");
    let taken = upload(&app, &admin, "?allow_findings=true&reason=we%20wrote%20it", &folder).await;
    assert_eq!(taken.status, 201, "{}", taken.body);
    let scan = app.call("GET", "/api/plugins/hider/scan", Some(&admin), None).await.body;
    assert_eq!((&scan["verdict"], &scan["reason"]), (&json!("blocked"), &json!("we wrote it")), "{scan}");
    assert_eq!(scan["report"]["findings"][0]["rule"], "python-hidden-code");
    let trail = app.cli_json(&["audit", "list"], "");
    let entry = trail["items"].as_array().unwrap().iter().find(|entry| {
        entry["description"]
            .as_str()
            .unwrap_or_default()
            .starts_with("Installed plugin hider 1.0.0, although a scan says no")
    });
    assert_eq!(entry.unwrap()["after"]["findings_allowed_because"], "we wrote it");

    // The same files are taken as they were; others are not.
    for verb in ["disable", "enable"] {
        let done = app.call("POST", &format!("/api/plugins/hider/{verb}"), Some(&admin), None).await;
        assert_eq!(done.status, 200, "{}", done.body);
    }
    let installed = app.dir.path().join("plugins/hider/main.py");
    let code = fs::read_to_string(&installed).unwrap();
    fs::write(&installed, format!("{code}\n# changed\n")).unwrap();
    for (verb, body) in [("enable", None), ("install", Some(json!({"slug": "hider"})))] {
        let path =
            if body.is_some() { "/api/plugins/install".to_owned() } else { format!("/api/plugins/hider/{verb}") };
        let refused = app.call("POST", &path, Some(&admin), body).await;
        assert_eq!((refused.status, &refused.body["code"]), (409, &json!("plugin_scan_blocked")), "{verb}");
    }
    let body = json!({"slug": "hider", "allow_findings": true, "reason": "seen"});
    let taken = app.call("POST", "/api/plugins/install", Some(&admin), Some(body)).await;
    assert_eq!(taken.status, 201, "{}", taken.body);
}

#[tokio::test]
async fn the_policy_says_what_is_kept_out_also_at_the_start() {
    let settings = [("RESOFTAI_PLUGINS_SCAN_BLOCK", "high"), ("RESOFTAI_PLUGINS_LICENCES_DENIED", "AGPL-*")];
    let mut app = App::start_with_settings(&settings);
    let admin = app.person("root", "admin", None).await;
    let odd = plugin("odd", ODD, &[]);
    let refused = upload(&app, &admin, "", &odd.path().join("odd")).await;
    assert_eq!(refused.body["code"], "plugin_scan_blocked", "{}", refused.body);
    let licensed = plugin("licensed", "", &[]);
    let folder = licensed.path().join("licensed");
    let manifest = fs::read_to_string(folder.join("plugin.json")).unwrap();
    fs::write(folder.join("plugin.json"), manifest.replace("MIT", "AGPL-3.0-only")).unwrap();
    let refused = upload(&app, &admin, "", &folder).await;
    assert!(refused.body["detail"].as_str().unwrap().contains("licence-denied"), "{}", refused.body);

    let here = app.dir.path().join("plugins/odd");
    fs::create_dir_all(&here).unwrap();
    for file in ["plugin.json", "main.py"] {
        fs::copy(odd.path().join("odd").join(file), here.join(file)).unwrap();
    }
    app.crash_and_restart();
    assert_eq!(app.call("GET", "/api/plugins", Some(&admin), None).await.body["items"], json!([]));
    let lies = app.call("GET", "/api/plugin-folder", Some(&admin), None).await.body;
    assert_eq!(lies["items"][0]["slug"], "odd", "{lies}");
}

#[test]
fn a_plugin_on_this_machine_is_scanned_without_a_server() {
    let app = App::start();
    let (name, metadata) = library("risky", "1.2");
    let dir = plugin("here", HIDDEN, &[(&name, &metadata), ("vendor/risky.py", "x = 1\n"), ("bad.py", "x = = 1\n")]);
    let folder = dir.path().join("here");
    let path = folder.to_str().unwrap();
    let blocked = app.cli(&["--json", "plugin", "scan", path], "");
    assert_eq!(blocked.status.code(), Some(9), "{}", said(&blocked));
    assert!(said(&blocked).contains("plugin_scan_blocked"));
    let shown: Value = serde_json::from_slice(&blocked.stdout).unwrap();
    assert_eq!((&shown["verdict"], &shown["report"]["libraries"]), (&json!("blocked"), &json!(1)), "{shown}");
    let gaps: Vec<&str> =
        shown["report"]["not_scanned"].as_array().unwrap().iter().map(|gap| gap["place"].as_str().unwrap()).collect();
    assert_eq!(gaps, ["bad.py", "libraries"]);

    let clean = plugin("here", "", &[(&name, &metadata)]);
    let advisories = clean.path().join("osv.json");
    fs::write(&advisories, json!([advisory("PYSEC-2026-1", "risky", "2.0")]).to_string()).unwrap();
    let folder = clean.path().join("here");
    let arguments = ["plugin", "scan", folder.to_str().unwrap(), "--advisories", advisories.to_str().unwrap()];
    let told = app.cli(&[&arguments[..], &["--block", "high"]].concat(), "");
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert_eq!(told.status.code(), Some(9), "{text}");
    assert!(text.contains("PYSEC-2026-1") && text.contains("1 advisories as of 2026-03-04"), "{text}");
    let warned = app.cli_json(&arguments, "");
    assert_eq!(warned["verdict"], "warned", "{warned}");
}

fn advisory(id: &str, library: &str, fixed: &str) -> Value {
    json!({"id": id, "modified": "2026-03-04T05:06:07Z", "summary": "It lets anybody in.",
        "database_specific": {"severity": "HIGH"},
        "affected": [{"package": {"ecosystem": "PyPI", "name": library},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]}]})
}

/// Carries these files over the air gap as advisories, as the next state of a repository.
fn carry_over(app: &App, repository: &Path, files: &[&Path]) {
    let folder = repository.to_str().unwrap();
    for file in files {
        app.cli_json(&["mirror", "add", folder, file.to_str().unwrap(), "--kind", "advisory"], "");
    }
    app.cli_json(&["mirror", "sign", folder], "");
    app.cli_json(&["mirror", "import", folder], "");
}

/// The scan of a plugin, once it is as asked.
async fn until(app: &App, token: &str, slug: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..200 {
        last = app.call("GET", &format!("/api/plugins/{slug}/scan"), Some(token), None).await.body;
        if is(&last) {
            return last;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{last}");
}

#[tokio::test]
async fn advisories_and_rules_that_come_with_the_mirror_have_everything_scanned_again() {
    let app = App::start();
    let admin = app.person("root", "admin", None).await;
    let (name, metadata) = library("risky", "1.2");
    let dir = plugin("carrier", "", &[(&name, &metadata)]);
    let made = upload(&app, &admin, "", &dir.path().join("carrier")).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let scan = app.call("GET", "/api/plugins/carrier/scan", Some(&admin), None).await.body;
    assert_eq!((&scan["verdict"], &scan["report"]["advisories"]["as_of"]), (&json!("warned"), &json!(null)), "{scan}");
    let info = app.cli(&["plugin", "info", "carrier"], "");
    let info = String::from_utf8_lossy(&info.stdout).into_owned();
    assert!(info.contains("Scan of carrier 1.0.0: warned") && info.contains("no advisories"), "{info}");

    let repository: PathBuf = dir.path().join("repository");
    app.cli_json(&["mirror", "init", repository.to_str().unwrap()], "");
    app.cli_json(&["mirror", "trust", repository.join("metadata/1.root.json").to_str().unwrap(), "--yes"], "");
    let file = dir.path().join("PYSEC-2026-1.json");
    fs::write(&file, advisory("PYSEC-2026-1", "risky", "2.0").to_string()).unwrap();
    carry_over(&app, &repository, &[&file]);
    let scan = until(&app, &admin, "carrier", |scan| scan["report"]["advisories"]["count"] == 1).await;
    assert_eq!(scan["report"]["findings"][0]["severity"], "high", "{scan}");
    assert!(scan["report"]["findings"][0]["text"].as_str().unwrap().contains("PYSEC-2026-1"));
    assert!(scan["report"]["advisories"]["as_of"].as_str().unwrap().starts_with("2026-03-04"));
    let told = async || {
        let notices = app.call("GET", "/api/notices", Some(&admin), None).await.body;
        notices["items"].as_array().unwrap().iter().filter(|notice| notice["kind"] == "plugin_findings").count()
    };
    assert_eq!(told().await, 1);
    let plugin = app.call("GET", "/api/plugins/carrier", Some(&admin), None).await.body;
    assert_eq!(plugin["status"], "active", "what works goes on working");

    // Rules of a later version count in the place of those in the program; what is known is not told again.
    let rules = dir.path().join("plugin-scan-rules.toml");
    let rule = "id = 'no-libraries'\nseverity = 'critical'\nkind = 'file_name'\npattern = '^vendor/'\ntext = '{} is not ours.'\n";
    fs::write(&rules, format!("version = '99.0.0'\n[[rule]]\n{rule}")).unwrap();
    carry_over(&app, &repository, &[&rules]);
    let scan = until(&app, &admin, "carrier", |scan| scan["report"]["rules_version"] == "99.0.0").await;
    assert_eq!((&scan["verdict"], &scan["reason"]), (&json!("blocked"), &json!(null)), "{scan}");
    assert_eq!(told().await, 2);
    let refused = upload(&app, &admin, "?replace=true", &dir.path().join("carrier")).await;
    assert_eq!(refused.body["code"], "plugin_scan_blocked", "{}", refused.body);
}

#[test]
fn what_is_ours_is_clean() {
    let app = App::start();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-sdk");
    let folders = fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut scanned = 0;
    for folder in folders.filter(|folder| folder.join("main.py").is_file()) {
        let scan = app.cli_json(&["plugin", "scan", folder.to_str().unwrap()], "");
        assert_eq!(scan["verdict"], "clean", "{}: {}", folder.display(), scan["report"]);
        scanned += 1;
    }
    for kind in ["agent", "code-quality", "integration", "llm-provider", "template", "workflow"] {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("fresh");
        app.cli_json(&["plugin", "new", kind, "Fresh", "--output", folder.to_str().unwrap()], "");
        let scan = app.cli_json(&["plugin", "scan", folder.to_str().unwrap()], "");
        assert_eq!(scan["verdict"], "clean", "{kind}: {}", scan["report"]);
        scanned += 1;
    }
    assert!(scanned > 10, "only {scanned} were scanned");
}

//! Plugins by command: a folder sent over HTTPS, settings, and what slips are answered with.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::app::App;
use crate::cli::{Desk, person, said, shown};

const SCANNER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugin-sdk/examples/security-scanner");

#[test]
fn a_folder_is_sent_configured_switched_and_taken_out() {
    let app = App::start_https();
    person(&app, "root", "admin", None);
    let desk = Desk::new();
    assert!(desk.sign_in(&app, "root").status.success());
    assert!(shown(&desk.run(&["plugin", "list"], "")).is_empty(), "nothing is said on stdout of nothing");
    let installed = desk.json(&["plugin", "install", SCANNER, "--config", "severity_threshold=high"], "");
    assert_eq!(
        (&installed["slug"], &installed["status"], &installed["config"]),
        (&json!("security-scanner"), &json!("active"), &json!({"severity_threshold": "high"}))
    );
    let again = desk.run(&["plugin", "install", SCANNER], "");
    assert_eq!(again.status.code(), Some(5), "{}", said(&again));
    let replaced = desk.json(&["plugin", "install", SCANNER, "--replace"], "");
    assert_eq!(replaced["config"], installed["config"]);

    let config = desk.json(&["plugin", "config", "security-scanner", "severity_threshold=low"], "");
    assert_eq!(config, json!({"severity_threshold": "low"}));
    let wrong = desk.run(&["plugin", "config", "security-scanner", "severity_threshold=huge"], "");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said(&wrong).contains("severity_threshold"), "{}", said(&wrong));

    assert_eq!(desk.json(&["plugin", "disable", "security-scanner"], "")["status"], "disabled");
    assert_eq!(desk.json(&["plugin", "enable", "security-scanner"], "")["status"], "active");
    let info = desk.run(&["plugin", "info", "security-scanner"], "");
    assert!(shown(&info).contains("code.analyze"), "{}", shown(&info));
    let slip = desk.run(&["plugin", "info", "securty-scaner"], "");
    assert_eq!(slip.status.code(), Some(3));
    assert!(said(&slip).contains("Did you mean \"security-scanner\"?"), "{}", said(&slip));
    assert!(desk.run(&["plugin", "uninstall", "security-scanner", "--yes"], "").status.success());
    assert_eq!(desk.json(&["plugin", "list"], "")["items"], json!([]));
}

#[test]
fn what_is_no_plugin_is_refused_before_anything_is_sent() {
    let app = App::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let empty = app.cli(&["plugin", "install", path], "");
    assert_eq!(empty.status.code(), Some(2));
    assert!(said(&empty).contains("plugin.json"), "{}", said(&empty));
    fs::write(folder.path().join("plugin.json"), "{").unwrap();
    let broken = app.cli(&["plugin", "install", path], "");
    assert_eq!(broken.status.code(), Some(2), "{}", said(&broken));
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    let linked = app.cli(&["plugin", "install", path], "");
    assert!(said(&linked).contains("Take links out"), "{}", said(&linked));
    let missing = app.cli(&["plugin", "install", "not-there"], "");
    assert_eq!(missing.status.code(), Some(3), "{}", said(&missing));
    let twice = app.cli(&["plugin", "install", SCANNER, "--config", "a=1", "--config", "a=2"], "");
    assert_eq!(twice.status.code(), Some(2));
    assert!(!Path::new(&app.dir.path().join("plugins/security-scanner")).exists());
}

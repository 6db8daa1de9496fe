//! Plugins by command: what is refused before a server is asked.

use std::fs;
use std::path::Path;

use crate::app::App;
use crate::cli::said;

const SCANNER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugin-sdk/examples/security-scanner");

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

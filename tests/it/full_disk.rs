//! A data directory on a disk that is really full: a small file system of its own, filled to the last byte.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::app::App;

/// A file system of its own, gone with this value.
pub struct Disk(PathBuf);

impl Disk {
    /// None where this account may not mount one.
    pub fn mount(at: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(at).output().unwrap();
        mounted.status.success().then(|| Self(at.to_owned()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    pub fn fill(&self) {
        let mut file = fs::File::create(self.filler()).unwrap();
        let full = std::io::copy(&mut std::io::repeat(0), &mut file).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).output());
        drop(fs::remove_dir(&self.0));
    }
}

/// The contents that are kept, and those that are not finished.
fn contents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(contents(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

// Where it cannot be run, it says so.
#[allow(clippy::print_stderr)]
#[tokio::test]
async fn a_full_disk_refuses_what_needs_space_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(dir.path()) else {
        eprintln!("not tested: only root may mount a small disk");
        return;
    };
    let mut app = App::start_in(dir);
    app.org("acme");
    let token = app.person("ada", "developer", Some("acme")).await;
    let project = app.call("POST", "/api/projects", Some(&token), Some(json!({"name": "Shop"}))).await;
    let files = format!("/api/projects/{}/files", project.body["id"]);
    let first = app.call("POST", &files, Some(&token), Some(json!({"path": "a.txt", "content": "kept"}))).await;
    assert_eq!(first.status, 201, "{}", first.body);

    disk.fill();
    let large = json!({"path": "b.txt", "content": "b".repeat(1 << 20)});
    let refused = app.call("POST", &files, Some(&token), Some(large.clone())).await;
    assert_eq!((refused.status, &refused.body["code"]), (503, &json!("disk_full")), "{}", refused.body);
    let first = format!("/api/files/{}", first.body["id"]);
    let change = json!({"content": "a".repeat(1 << 20)});
    assert_eq!(app.call("PUT", &first, Some(&token), Some(change)).await.body["code"], "disk_full");
    let read = app.call("GET", &first, Some(&token), None).await;
    assert_eq!((&read.body["content"], &read.body["version"]), (&json!("kept"), &json!(1)), "{}", read.body);
    let listed = app.call("GET", &files, Some(&token), None).await;
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(contents(&app.dir.path().join("blobs")).len(), 1, "something half-written was left");

    fs::remove_file(disk.filler()).unwrap();
    let written = app.call("POST", &files, Some(&token), Some(large)).await;
    assert_eq!(written.status, 201, "{}", written.body);
    app.crash_and_restart();
    let listed = app.call("GET", &files, Some(&token), None).await;
    let sizes: Vec<_> = listed.body["items"].as_array().unwrap().iter().map(|file| file["size"].clone()).collect();
    assert_eq!(sizes, [1 << 20, 4]);
    let read = app.call("GET", &first, Some(&token), None).await;
    assert_eq!(read.body["content"], "kept");
    drop(app);
}

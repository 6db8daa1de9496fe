//! The reference implementation of TUF, python-tuf: it reads our repositories, and we read one that it made.

use std::path::{Path, PathBuf};
use std::process::Command;

use resoftai::base::crypto::sha256_hex;

use super::{Inside, Outside, failed, text};

fn python(script: &str, arguments: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mirror");
    let installed = Command::new("sh").arg(folder.join("install.sh")).output().unwrap();
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let python: PathBuf = folder.join("venv/bin/python");
    let output = Command::new(python).arg(folder.join(script)).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn python_tuf_reads_a_repository_of_ours() {
    let outside = Outside::with_plugins().await;
    let days = resoftai::mirror::repository::Days { root: 100, rest: 10 };
    for role in [tough::schema::RoleType::Root, tough::schema::RoleType::Timestamp] {
        outside.repository().rotate(role, days, outside.now()).await.unwrap();
    }
    let read = python("read.py", &[text(&outside.folder()), "plugins/file-headers/1.0.0.rplugin"]);
    let names: Vec<&str> = read.lines().collect();
    assert_eq!(names, ["3 root", "plugins/file-headers/1.0.0.rplugin"]);
}

#[tokio::test]
async fn a_repository_of_python_tuf_is_imported() {
    let dir = tempfile::tempdir().unwrap();
    for layout in ["consistent", "plain"] {
        let folder = dir.path().join(layout);
        let inside = trusting(&folder, layout).await;
        let done = inside.app.cli_json(&["mirror", "import", text(&folder)], "");
        assert_eq!((&done["to"]["root_version"], &done["contents"]), (&2.into(), &2.into()), "{done}");
        inside.check_contents().await;
    }
}

/// A site that trusts what python-tuf made in `folder`.
async fn trusting(folder: &Path, layout: &str) -> Inside {
    python("make.py", &[text(folder), layout]);
    let inside = Inside::new(&[]).await;
    inside.trust(&std::fs::read_to_string(folder.join("metadata/1.root.json")).unwrap(), "vendor", false).await;
    inside
}

#[tokio::test]
async fn who_signs_some_names_cannot_list_others() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("stolen");
    let inside = trusting(&folder, "stolen").await;
    let said = failed(&inside.app.cli(&["--json", "mirror", "import", text(&folder)], ""), "mirror_delegation");
    assert!(said.contains("plugins/a/9.0.0.rplugin"), "{said}");
    assert_eq!(inside.state().await, None);
}

#[tokio::test]
async fn a_name_is_what_the_one_says_whom_it_was_delegated_to() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("shadowed");
    let inside = trusting(&folder, "shadowed").await;
    inside.app.cli_json(&["mirror", "import", text(&folder)], "");
    let contents = inside.contents().await;
    assert_eq!(contents[0]["name"], "advisories/PYSEC-1.json");
    assert_eq!(contents[0]["sha256"], sha256_hex(b"{}"), "{contents}");
}

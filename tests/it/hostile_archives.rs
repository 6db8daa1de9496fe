//! Archives made to harm who opens them: each is refused with its reason through the door, and leaves nothing.

use std::fs;
use std::io::{Cursor, Write};

use bytes::Bytes;
use serde_json::json;
use tar::EntryType;
use zip::write::SimpleFileOptions;

use crate::app::App;

const MANIFEST: &str =
    r#"{"name":"A","slug":"hostile","version":"1.0.0","category":"utility","entry_point":"main.py:A"}"#;

fn zip_of<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in entries {
        writer.start_file(path, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A plugin that would do, and these beside it.
fn plugin_with(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let good: [(&str, &[u8]); 2] = [("plugin.json", MANIFEST.as_bytes()), ("main.py", b"")];
    zip_of(good.into_iter().chain(entries.iter().copied()))
}

/// One entry, written raw: the library refuses to write what must be refused when read.
fn tar_of(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name_literal("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The second name becomes the first, of the same length, everywhere in a finished archive.
fn renamed(mut archive: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let places: Vec<usize> = (0..=archive.len() - from.len()).filter(|at| archive[*at..].starts_with(from)).collect();
    assert_eq!(places.len(), 2, "a name stands at its file and in the directory");
    for at in places {
        archive[at..at + to.len()].copy_from_slice(to);
    }
    archive
}

/// Claims one byte where there are sixteen million.
fn liar() -> Vec<u8> {
    let mut bytes = zip_of([("main.py", &vec![0; 17 << 20][..])]);
    let central = bytes.windows(4).rposition(|word| word == b"PK\x01\x02").unwrap();
    bytes[central + 24..central + 28].copy_from_slice(&1_u32.to_le_bytes());
    bytes
}

fn links() -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_symlink("main.py", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    writer.finish().unwrap().into_inner()
}

fn many(count: usize) -> Vec<u8> {
    let names: Vec<String> = (0..count).map(|number| format!("f/{number}")).collect();
    zip_of(names.iter().map(|name| (name.as_str(), &b""[..])))
}

/// Every archive: what it is, its bytes, the status, words of the reason.
fn corpus() -> Vec<(&'static str, Vec<u8>, u16, &'static str)> {
    let file = EntryType::Regular;
    let sums = format!("{}  main.py\n{}  plugin.json\n", "0".repeat(64), "0".repeat(64));
    let big_manifest = format!("{{\"description\": \"{}\"}}", "x".repeat(10 << 20));
    let deep = "d/".repeat(40) + "f";
    let long = "n".repeat(400);
    vec![
        ("traversal in tar", tar_of(&[("../out.py", file, b"x")]), 400, "stay inside the plugin's folder"),
        ("traversal in zip", zip_of([("a/../../out.py", &b"x"[..])]), 400, "stay inside the plugin's folder"),
        ("absolute path in tar", tar_of(&[("/etc/out.py", file, b"x")]), 400, "stay inside the plugin's folder"),
        ("absolute path in zip", zip_of([("/etc/out.py", &b"x"[..])]), 400, "stay inside the plugin's folder"),
        ("drive letter", zip_of([("c:out.py", &b"x"[..])]), 400, "stay inside the plugin's folder"),
        ("backslashes", tar_of(&[("a\\out.py", file, b"x")]), 400, "stay inside the plugin's folder"),
        ("symbolic link in tar", tar_of(&[("main.py", EntryType::Symlink, b"")]), 400, "is a link"),
        ("symbolic link in zip", links(), 400, "is a link"),
        ("hard link", tar_of(&[("main.py", EntryType::Link, b"")]), 400, "is a link"),
        ("character device", tar_of(&[("main.py", EntryType::Char, b"")]), 400, "neither a file nor a folder"),
        ("block device", tar_of(&[("main.py", EntryType::Block, b"")]), 400, "neither a file nor a folder"),
        ("pipe", tar_of(&[("main.py", EntryType::Fifo, b"")]), 400, "neither a file nor a folder"),
        ("the same name twice in tar", tar_of(&[("a.py", file, b"x"), ("a.py", file, b"y")]), 400, "there twice"),
        (
            "the same name twice in zip",
            renamed(plugin_with(&[("xain.py", b"y")]), b"xain.py", b"main.py"),
            400,
            "a file twice",
        ),
        ("a file that is a folder too", plugin_with(&[("lib", b""), ("lib/a.py", b"")]), 400, "also a file"),
        ("names that differ in case", plugin_with(&[("Main.py", b"")]), 400, "taken for each other"),
        (
            "folders that differ in case",
            plugin_with(&[("lib/a.py", b""), ("Lib/b.py", b"")]),
            400,
            "taken for each other",
        ),
        ("a name that looks like another", plugin_with(&[("m\u{430}in.py", b"")]), 400, "taken for each other"),
        ("a name that turns the reading", plugin_with(&[("a\u{202e}yp.py", b"")]), 400, "nobody sees"),
        ("a name with a line end", plugin_with(&[("a\nb.py", b"")]), 400, "nobody sees"),
        ("a deep path", plugin_with(&[(&deep, b"")]), 400, "folders deep"),
        ("a long path", plugin_with(&[(&long, b"")]), 400, "400 bytes"),
        ("a bomb of one file", plugin_with(&[("zeros", &vec![0; 17 << 20])]), 413, "too large"),
        ("a bomb of many files", plugin_with(&[("a", &vec![0; 9 << 20]), ("b", &vec![0; 9 << 20])]), 413, "too large"),
        ("a size that lies", liar(), 413, "too large"),
        ("10,000 files", many(10_000), 413, "too large"),
        ("65,000 files", many(65_000), 413, "too large"),
        ("100,000 files", many(100_000), 413, "too large"),
        ("a manifest of 10 MB", zip_of([("plugin.json", big_manifest.as_bytes())]), 400, "are allowed"),
        ("wrong sums", plugin_with(&[("SHA256SUMS", sums.as_bytes())]), 400, "is not the file that SHA256SUMS lists"),
        ("sums of nothing", plugin_with(&[("SHA256SUMS", b"")]), 400, "is not in SHA256SUMS"),
        ("cut off", plugin_with(&[])[..200].to_vec(), 400, "no readable tar or zip"),
        ("gzip", vec![0x1f, 0x8b, 8, 0], 400, "gzip"),
        ("nothing", Vec::new(), 400, "no plugin.json"),
        ("noise", vec![7; 5_000], 400, "invalid_plugin"),
    ]
}

#[tokio::test]
async fn every_hostile_archive_is_stopped_with_its_reason() {
    let app = App::start();
    let admin = app.person("root", "admin", None).await;
    let headers = [("authorization", format!("Bearer {admin}")), ("content-type", "application/zip".to_owned())];
    for (what, archive, status, words) in corpus() {
        let reply = app.send("POST", "/api/plugins/upload", &headers, Bytes::from(archive)).await;
        let code = if status == 413 { "plugin_too_large" } else { "invalid_plugin" };
        assert_eq!((reply.status, &reply.body["code"]), (status, &json!(code)), "{what}: {}", reply.body);
        assert!(reply.body.to_string().contains(words), "{what}: {}", reply.body);
        assert_eq!(fs::read_dir(app.dir.path().join("plugins")).unwrap().count(), 0, "{what} left something");
    }
    assert_eq!(app.call("GET", "/api/plugins", Some(&admin), None).await.body["items"], json!([]));
    assert!(!app.dir.path().join("out.py").exists());
}

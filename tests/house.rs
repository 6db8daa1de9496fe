//! The rules of the house, read off the sources as text: imports go down, SQL lives in stores, files say what they are for.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Folders of `src/`, lowest first. A folder imports only from folders before it.
const FLOORS: [&str; 36] = [
    "base",
    "config",
    "db",
    "kv",
    "blobs",
    "net",
    "access",
    "web",
    "audit",
    "jobs",
    "mail",
    "notices",
    "hooks",
    "licence",
    "release",
    "quotas",
    "orgs",
    "accounts",
    "teams",
    "roles",
    "sso",
    "invitations",
    "llm",
    "scan",
    "plugins",
    "mirror",
    "market",
    "projects",
    "runs",
    "privacy",
    "backup",
    "upgrade",
    "doctor",
    "support",
    "server",
    "cli",
];
/// Past this a file holds more than one thing.
const LONGEST: usize = 600;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // A folder with a manifest of its own is another package.
        if path.is_dir() && !path.join("Cargo.toml").exists() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 40, "only {} sources were found", found.len());
    found
        .into_iter()
        .map(|path| (path.strip_prefix(&root).unwrap().display().to_string(), fs::read_to_string(&path).unwrap()))
        .collect()
}

fn floor(folder: &str) -> Option<usize> {
    FLOORS.iter().position(|name| *name == folder)
}

#[test]
fn every_folder_is_on_a_floor() {
    for (name, _) in all() {
        if let Some((folder, _)) = name.split_once('/') {
            assert!(floor(folder).is_some(), "src/{folder} is on no floor: add it to FLOORS in tests/house.rs");
        }
    }
}

#[test]
fn imports_go_down() {
    let mut upward = Vec::new();
    for (name, text) in all() {
        let Some((folder, _)) = name.split_once('/') else { continue };
        for (_, after) in text.match_indices("crate::").map(|(at, found)| text.split_at(at + found.len())) {
            let target: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if let Some(target) = floor(&target)
                && target > floor(folder).unwrap()
            {
                upward.push(format!("{name} uses crate::{}", FLOORS[target]));
            }
        }
    }
    assert!(upward.is_empty(), "imports go down only:\n{}", upward.join("\n"));
}

#[test]
fn sql_lives_in_stores() {
    for (name, text) in all() {
        // Tests look into the tables.
        if name.starts_with("db/") || name.ends_with("store.rs") || name.ends_with("tests.rs") {
            continue;
        }
        for word in ["SELECT ", "INSERT INTO", "DELETE FROM", "UPDATE "] {
            assert!(!text.contains(&format!("\"{word}")), "{name} holds SQL ({word}): it belongs into a store.rs");
        }
    }
}

/// Where connections to elsewhere are made: behind the gate, and by the commands of people. The database's driver dials what its
/// address names.
const DIALLERS: [&str; 2] = ["net/", "cli/"];

#[test]
fn only_the_gate_dials() {
    for (name, text) in all() {
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        if name.ends_with("tests.rs") || DIALLERS.iter().any(|dialler| name.starts_with(dialler)) {
            continue;
        }
        for way in ["TcpStream::connect", "TcpSocket::", "UdpSocket::", "HttpConnector", "hickory_resolver"] {
            assert!(!product.contains(way), "{name} dials ({way}): connections are made by net::Client, the one gate");
        }
    }
}

#[test]
fn files_say_what_they_are_for_and_stay_short() {
    for (name, text) in all() {
        assert!(text.starts_with("//!"), "src/{name} does not open with //! saying what it is for");
        let lines = text.lines().count();
        assert!(lines <= LONGEST, "src/{name} has {lines} lines; past {LONGEST} look at what it really holds");
    }
}

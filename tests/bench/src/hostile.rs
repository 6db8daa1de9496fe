//! What others feel of plugins that never come back: the list of projects, while some compute without end.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::load::drive;
use crate::site::{Site, at_rest, post};
use crate::{ROUNDS, TURN, median, projects, tell};

/// One of the plugins that the tests hold against the sandbox.
const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hostile/loop-in-hook");
const NAMES: [&str; 2] = ["loop-in-hook", "loop-in-hook-too"];

/// Each round with a server at rest, and with files that both plugins are asked about until they are stopped. Page after
/// page that was not asked for before, at one connection.
pub fn beside(site: &Site) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let server = site.start();
    for name in NAMES {
        site.cli(&["plugin", "install", &named(name, dir.path()).to_string_lossy()], "");
    }
    let project = post(&server, "/api/projects", &site.session, &json!({"name": "Looked at"}), 201);
    let files = format!("/api/projects/{}/files", project["id"]).leak();
    let mut ask = projects(site);
    ask.vary = true;
    let rounds = (0..ROUNDS).map(|round| {
        // They were switched off, because they failed again and again.
        NAMES.iter().for_each(|name| drop(site.cli(&["plugin", "enable", name], "")));
        at_rest(&server);
        let quiet = drive(&server.address, &ask, 1, TURN);
        for file in NAMES {
            let file = json!({"path": format!("{file}-{round}.py"), "content": "print(1)\n"});
            post(&server, files, &site.session, &file, 201);
        }
        (quiet, drive(&server.address, &ask, 1, TURN))
    });
    let rounds: Vec<_> = rounds.collect();
    tell("List of projects, no plugin at work: p50", median(rounds.iter().map(|(quiet, _)| quiet.p50)), "us");
    tell("List of projects, no plugin at work: p99", median(rounds.iter().map(|(quiet, _)| quiet.p99)), "us");
    tell("While plugins compute without end: p50", median(rounds.iter().map(|(_, busy)| busy.p50)), "us");
    tell("While plugins compute without end: p99", median(rounds.iter().map(|(_, busy)| busy.p99)), "us");
    true
}

/// The plugin under another name.
fn named(name: &str, dir: &Path) -> PathBuf {
    let folder = dir.join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(Path::new(HOSTILE).join("main.py"), folder.join("main.py")).unwrap();
    let manifest = std::fs::read_to_string(Path::new(HOSTILE).join("plugin.json")).unwrap();
    std::fs::write(folder.join("plugin.json"), manifest.replace("loop-in-hook", name)).unwrap();
    folder
}

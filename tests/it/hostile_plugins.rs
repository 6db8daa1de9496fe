//! Plugins that mean harm, one folder each in tests/hostile: every one is stopped, says why, and costs nobody else.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::json;

use crate::app::App;
use crate::plugin_languages::{archive, findings, upload};

/// Those that fail while they are loaded: refused at the door, with these words.
const AT_LOAD: [(&str, &str); 3] = [
    ("loop-in-load", "stopped after 2 s of computing"),
    ("million-hooks", "stopped"),
    ("exits-in-load", "it tried to end its process"),
];
/// Those that fail when they are asked: the file says so, with these words.
const AT_WORK: [(&str, &str); 17] = [
    ("loop-in-hook", "stopped after 2 s of computing"),
    ("memory-bomb", "needed more than 128 MiB of memory"),
    ("deep-recursion", "RecursionError: Stack overflow"),
    ("huge-answer", "needed more than 128 MiB of memory"),
    ("huge-exception", "ValueError: the beginning xxx"),
    ("reads-proc", "FileNotFoundError"),
    ("fills-kv", "more than its 1048576 bytes"),
    ("spams-logs", "all written"),
    ("sleeps", "not done within 10 s"),
    ("exits", "it tried to end its process"),
    ("wasm-trap", "it crashed"),
    ("wasm-loop", "stopped after 2 s of computing"),
    ("wasm-recursion", "it called itself too deeply"),
    ("wasm-memory", "needed more than 128 MiB of memory"),
    ("wasm-no-json", "it is not JSON"),
    ("wasm-no-utf8", "it broke a rule of the sandbox"),
    ("wasm-huge-answer", "it broke a rule of the sandbox"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile")
}

/// Its archive; what is written in the text format is put into its frame and built.
fn packed(name: &str) -> Bytes {
    let folder = folder();
    let manifest = fs::read(folder.join(name).join("plugin.json")).unwrap();
    let Ok(call) = fs::read_to_string(folder.join(name).join("call.wat")) else {
        let main = fs::read(folder.join(name).join("main.py")).unwrap();
        return archive(&[("plugin.json", manifest), ("main.py", main)]);
    };
    let frame = fs::read_to_string(folder.join("frame.wat")).unwrap();
    let component = wat::parse_str(frame.replace("{{call}}", &call)).unwrap();
    archive(&[("plugin.json", manifest), ("plugin.wasm", component)])
}

#[tokio::test]
async fn every_one_is_stopped_and_says_why() {
    let app = App::start();
    app.org("acme");
    let (admin, ada) = (app.person("root", "admin", None).await, app.person("ada", "developer", Some("acme")).await);
    let mut wrong = Vec::new();
    for (name, words) in AT_LOAD {
        let refused = upload(&app, &admin, packed(name)).await;
        if refused.body["code"] != "plugin_load_failed" || !refused.body["detail"].as_str().unwrap().contains(words) {
            wrong.push(format!("{name}, {words:?}: {} {}", refused.status, refused.body));
        }
    }
    for (name, words) in AT_WORK {
        let made = upload(&app, &admin, packed(name)).await;
        assert_eq!(made.status, 201, "{name}: {}", made.body);
        let said = findings(&app, &ada, name, "a.py", "print(1)\n").await;
        let message = said[0]["message"].as_str().unwrap();
        if !message.contains(words) || message.len() > 5_000 {
            wrong.push(format!("{name}, {words:?}: {message}"));
        }
        let gone = app.call("DELETE", &format!("/api/plugins/{name}"), Some(&admin), None).await;
        assert_eq!(gone.status, 204, "{name}: {}", gone.body);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let known = AT_LOAD.iter().chain(&AT_WORK).map(|(name, _)| *name);
    let there = fs::read_dir(folder()).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir());
    assert_eq!(there.count(), known.count(), "every folder is tried");
}

#[tokio::test]
async fn the_server_answers_while_they_spin() {
    let app = App::start();
    app.org("acme");
    let (admin, ada) = (app.person("root", "admin", None).await, app.person("ada", "developer", Some("acme")).await);
    for name in ["loop-in-hook", "wasm-loop"] {
        assert_eq!(upload(&app, &admin, packed(name)).await.status, 201);
    }
    let spinning = async {
        tokio::join!(
            findings(&app, &ada, "loop-in-hook", "a.py", "print(1)\n"),
            findings(&app, &ada, "wasm-loop", "b.py", "print(1)\n"),
        )
    };
    tokio::pin!(spinning);
    let mut answers = 0;
    // They spin for 2 s of computing each; a server whose threads they held would answer a handful of times.
    loop {
        let answer = app.call("GET", "/healthz", None, None);
        tokio::select! {
            biased;
            _ = &mut spinning => break,
            reply = answer => assert_eq!(reply.status, 200, "{}", reply.body),
        }
        answers += 1;
    }
    assert!(answers >= 100, "only {answers} answers");
    let me = app.call("GET", "/api/plugins", Some(&ada), None).await;
    assert_eq!((me.status, me.body["items"].as_array().unwrap().len()), (200, 2), "{}", json!(me.body));
}

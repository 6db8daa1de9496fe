//! Capabilities as authors write them, in words, and cut down to what was granted.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn asked(manifest: &Value) -> Result<Capabilities> {
    read(manifest.as_object().unwrap())
}

#[test]
fn what_sensible_authors_write_means_the_same() {
    let http = |value: Value| asked(&json!({"capabilities": {"http": value}})).unwrap().http.unwrap();
    let wanted = http(json!({"hosts": ["hooks.slack.com"]}));
    assert_eq!((wanted.hosts.len(), wanted.methods.len(), wanted.max_bytes), (1, 6, 1 << 20));
    for form in [
        json!(["hooks.slack.com"]),
        json!("hooks.slack.com"),
        json!(["https://Hooks.Slack.com/services/x"]),
        json!({"allowed_hosts": ["hooks.slack.com"]}),
    ] {
        assert_eq!(http(form.clone()), wanted, "{form}");
    }
    assert_eq!(asked(&json!({"http_hosts": ["hooks.slack.com"]})).unwrap().http, Some(wanted));
    let older = asked(&json!({"permissions": ["files.read", "llm", "shell"], "kv": 5})).unwrap();
    assert_eq!((older.files.unwrap().read, older.kv), (vec!["**".to_owned()], Some(5)));
    assert_eq!(older.llm.unwrap().models, ["*"]);
    let of = |manifest: Value| asked(&manifest).unwrap().ask_for_a_grant();
    assert!(!of(json!({"permissions": ["files.read"]})), "such a plugin works on where nobody grants it files");
    assert!(of(json!({"capabilities": {"files": ["read"]}, "permissions": ["files.write"]})));
    assert!(!asked(&json!({"capabilities": {"clock": true, "kv": 9}, "permissions": []})).unwrap().ask_for_a_grant());
}

#[test]
fn what_means_nothing_is_refused_and_names_its_field() {
    for (capabilities, field, words) in [
        (json!({"htp": ["a.b"]}), "capabilities.htp", "Did you mean \"http\"?"),
        (json!({"http": true}), "capabilities.http", "list of texts"),
        (json!({"http": []}), "capabilities.http", "name the hosts"),
        (json!({"http": ["*"]}), "capabilities.http", "is no host"),
        (json!({"http": ["*.com"]}), "capabilities.http", "is no host"),
        (json!({"http": ["a.b:0"]}), "capabilities.http", "is no host"),
        (json!({"http": ["u:p@a.b"]}), "capabilities.http", "is no host"),
        (json!({"http": {"hosts": ["a.b"], "methods": ["CONNECT"]}}), "capabilities.http", "is no method"),
        (json!({"kv": 1_u64 << 40}), "capabilities.kv", "whole number"),
        (json!({"memory_mib": -1}), "capabilities.memory_mib", "whole number"),
        (json!({"files": {"delete": ["**"]}}), "capabilities.files", "means nothing"),
        (json!({"llm": {"models": [5]}}), "capabilities.llm", "texts"),
        (json!("http"), "capabilities", "write an object"),
    ] {
        let error = asked(&json!({"capabilities": capabilities})).unwrap_err();
        assert_eq!((error.code(), error.field_name()), ("invalid_plugin", Some(field)), "{capabilities}: {error}");
        assert!(error.message().contains(words), "{error}");
    }
}

#[test]
fn people_read_what_they_grant() {
    let all = asked(&json!({"capabilities": {"http": {"hosts": ["hooks.slack.com"], "methods": ["post"]},
        "files": {"read": ["**/*.py"], "write": ["docs/**"]}, "llm": {"tokens_per_day": 5000}, "memory_mib": 256,
        "time_ms": 4000}}));
    let words: Vec<String> = all.unwrap().words().into_iter().flat_map(|(_, words)| words).collect();
    assert_eq!(
        words,
        [
            "Send requests to hooks.slack.com (POST, up to 1 MiB each way)",
            "Keep up to 1 MiB of data of its own",
            "Read files of the project it is called about: **/*.py",
            "Change files of the project it is called about: docs/**",
            "Ask any model, up to 5000 tokens a day, which count in the organisation's quota",
            "Use up to 256 MiB of memory",
            "Compute for up to 4000 ms in one call",
        ]
    );
}

#[test]
fn what_is_in_force_was_asked_for_and_granted() {
    let asked = asked(&json!({"capabilities": {"http": {"hosts": ["*.example.org", "a.b"]}, "memory_mib": 256,
        "files": {"read": ["**"]}}}))
    .unwrap();
    let grant = |value: Value| read_granted(value.as_object().unwrap(), &asked).unwrap();
    assert_eq!(asked.within(&Capabilities::default()), Capabilities { kv: Some(KV_SHARE), ..Capabilities::default() });
    let some = grant(json!({"http": {"hosts": ["ci.example.org"], "methods": ["POST"]}, "files": ["src/**"]}));
    asked.check_grant(&some).unwrap();
    let whole = grant(json!({"http": "a.b", "memory_mib": true}));
    assert_eq!((whole.http.unwrap().methods.len(), whole.memory_mib), (6, Some(256)));
    let force = asked.within(&some);
    assert_eq!(force.http.as_ref().unwrap().hosts, ["ci.example.org"]);
    assert_eq!((force.files.unwrap().read, force.memory_mib), (vec!["src/**".to_owned()], None));
    for (more, field) in [
        (json!({"http": ["evil.org"]}), "granted.http"),
        (json!({"http": ["a.b", "example.org"]}), "granted.http"),
        (json!({"http": ["a.b:8080"]}), "granted.http"),
        (json!({"memory_mib": 512}), "granted.memory_mib"),
        (json!({"llm": true}), "granted.llm"),
        (json!({"files": {"write": ["**"]}}), "granted.files"),
    ] {
        let error = asked.check_grant(&grant(more.clone())).unwrap_err();
        assert_eq!((error.code(), error.field_name()), ("not_asked_for", Some(field)), "{more}");
    }
}

#[test]
fn less_of_the_files_asked_for_may_be_granted() {
    for (wide, narrow, covers) in [
        ("**", "a/*.py", true),
        ("src/**", "src/a/*.py", true),
        ("src/**", "src/a.py", true),
        ("src/**", "source/**", false),
        ("*/**", "src/a.py", false),
        ("src/*", "src/a.py", false),
        ("src/a.py", "src/**", false),
    ] {
        assert_eq!(covers_path(wide, narrow), covers, "{wide} {narrow}");
    }
}

#[test]
fn an_upgrade_asks_for_what_is_new_only() {
    let version = |capabilities: Value| asked(&json!({"capabilities": capabilities})).unwrap();
    let old = version(json!({"http": ["a.b"], "memory_mib": 200}));
    let decision = Decision { asked: old.clone(), ..Decision::default() };
    assert_eq!(decision.asks(&old), Vec::<String>::new(), "what was refused is not asked again");
    let new = version(json!({"http": ["a.b", "c.d"], "memory_mib": 100, "llm": true}));
    let asks = decision.asks(&new);
    assert!(asks.len() == 2 && asks[0].contains("c.d") && asks[1].starts_with("Ask any model"), "{asks:?}");
    assert_eq!(Decision::default().asks(&version(json!({"kv": 2_000_000}))), Vec::<String>::new());
}

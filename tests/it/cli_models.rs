//! Models and the servers that offer them, by command.

use serde_json::json;

use crate::app::App;
use crate::cli::{said, shown};

/// Nobody listens there, which is what the list has to say.
const NOWHERE: &str = "http://127.0.0.1:1/v1";

#[test]
fn a_server_is_added_with_its_key_unseen_and_removed() {
    let app = App::start();
    app.org("acme");
    let add = ["provider", "add", "gpu1", "--base-url", NOWHERE, "--models", "big,small", "--context-length", "8192"];
    let made = app.cli_json(&[&add[..], &["--api-key-stdin"]].concat(), "sk-very-secret\n");
    assert_eq!(
        (&made["name"], &made["models"], &made["context_length"], &made["has_api_key"]),
        (&json!("gpu1"), &json!(["big", "small"]), &json!(8192), &json!(true))
    );
    assert!(!made.to_string().contains("sk-very-secret"));
    let again = app.cli(&add, "");
    assert_eq!(again.status.code(), Some(5), "{}", said(&again));
    let for_acme =
        app.cli_json(&["provider", "add", "gpu2", "--base-url", NOWHERE, "--org", "acme", "--models", "tiny"], "");
    assert_eq!(for_acme["has_api_key"], false);

    let namesake =
        app.cli_json(&["provider", "add", "gpu1", "--base-url", NOWHERE, "--org", "acme", "--models", "tiny"], "");
    let which = app.cli(&["provider", "remove", "gpu1"], "");
    assert_eq!(which.status.code(), Some(2), "{}", said(&which));
    assert!(said(&which).contains(&namesake["id"].to_string()), "{}", said(&which));
    assert!(app.cli(&["provider", "remove", &namesake["id"].to_string()], "").status.success());

    let models = app.cli_json(&["model", "list"], "");
    let found = models["items"].as_array().unwrap().iter().find(|model| model["provider"] == "gpu1");
    let found = found.unwrap_or_else(|| panic!("{models}"));
    assert_ne!(found["status"], "ready", "nobody answers there");
    let listed = app.cli(&["model", "list"], "");
    assert!(shown(&listed).contains("big") && shown(&listed).contains("8192"), "{}", shown(&listed));

    let slip = app.cli(&["provider", "remove", "gpu"], "");
    assert_eq!(slip.status.code(), Some(3));
    assert!(said(&slip).contains("Did you mean \"gpu1\"?") || said(&slip).contains("\"gpu2\""), "{}", said(&slip));
    assert!(app.cli(&["provider", "remove", "gpu1"], "").status.success());
    let by_id = for_acme["id"].to_string();
    assert!(app.cli(&["provider", "remove", &by_id], "").status.success());
    let left = app.cli_json(&["provider", "list"], "");
    assert!(!left.to_string().contains("gpu"), "{left}");
}

#[test]
fn what_cannot_be_a_server_is_refused() {
    let app = App::start();
    let without_key = app.cli(&["provider", "add", "gpu1", "--base-url", NOWHERE, "--api-key-stdin"], "");
    assert_eq!(without_key.status.code(), Some(2), "{}", said(&without_key));
    let on_the_line = app.cli(&["provider", "add", "gpu1", "--base-url", NOWHERE, "--api-key", "sk-1"], "");
    assert_eq!(on_the_line.status.code(), Some(2), "a key is no argument");
    let no_address = app.cli(&["provider", "add", "gpu1", "--base-url", "gpu1"], "");
    assert_eq!(no_address.status.code(), Some(2), "{}", said(&no_address));
    let builtin = app.cli_json(&["provider", "list"], "");
    let kinds: Vec<&str> =
        builtin["items"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["builtin"]);
    let name = builtin["items"][0]["name"].as_str().unwrap();
    let fixed = app.cli(&["provider", "remove", name], "");
    assert_eq!(fixed.status.code(), Some(2), "{}", said(&fixed));
    assert!(said(&fixed).contains("is built in"), "{}", said(&fixed));
}

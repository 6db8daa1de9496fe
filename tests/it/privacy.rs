//! What is held about people: shown, handed out, erased.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::app::App;
use crate::files::unzip;

/// The files of a zip that a command saved.
fn saved(app: &App, arguments: &[&str]) -> BTreeMap<String, String> {
    let file = app.dir.path().join("saved.zip");
    app.cli_json(&[arguments, &["--out", file.to_str().unwrap()]].concat(), "");
    unzip(&std::fs::read(file).unwrap()).into_iter().collect()
}

fn json_of(files: &BTreeMap<String, String>, name: &str) -> Vec<Value> {
    serde_json::from_str(&files[&format!("data/{name}.json")]).unwrap()
}

#[tokio::test]
async fn administrators_see_what_is_held_about_people() {
    let app = App::start();
    app.org("acme");
    let admin = app.person("ada", "org_admin", Some("acme")).await;
    let viewer = app.person("vic", "viewer", Some("acme")).await;
    let shown = app.call("GET", "/api/privacy/inventory", Some(&admin), None).await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    let tables = shown.body["tables"].as_array().unwrap();
    let column = |table: &str, column: &str| -> Value {
        let table = tables.iter().find(|one| one["table"] == table).unwrap();
        table["columns"].as_array().unwrap().iter().find(|one| one["column"] == column).unwrap().clone()
    };
    assert_eq!(column("users", "email")["at_erasure"], "deleted");
    assert_eq!(column("projects", "created_by")["at_erasure"], "replaced");
    assert_eq!(column("runs", "ip_address")["at_erasure"], "emptied");
    assert_eq!(column("audit_entries", "actor_name")["at_erasure"], "unreadable");
    assert_eq!(column("usage_records", "user_id")["at_erasure"], "kept");
    assert!(column("sessions", "ip_address")["why"].as_str().unwrap().len() > 10);
    assert!(!shown.body["elsewhere"].as_array().unwrap().is_empty());

    let refused = app.call("GET", "/api/privacy/inventory", Some(&viewer), None).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let told = app.cli(&["privacy", "inventory"], "");
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("sessions.ip_address") && !told.contains("plugins.slug"), "{told}");
}

#[tokio::test]
async fn a_person_is_handed_all_that_is_held_about_them_and_nothing_of_others() {
    let app = App::start();
    let org = app.org("acme");
    let ada = app.person("ada", "developer", Some("acme")).await;
    let bob = app.person("bob", "developer", Some("acme")).await;
    for (token, name) in [(&ada, "ada's <b>engine</b>"), (&bob, "bob's secret plan")] {
        let project = json!({"name": name, "requirements": "Count."});
        assert_eq!(app.call("POST", "/api/projects", Some(token), Some(project)).await.status, 201);
    }
    app.call("POST", "/api/tokens", Some(&ada), Some(json!({"name": "editor"}))).await;

    let files = saved(&app, &["user", "export", "ada"]);
    assert_eq!(json_of(&files, "users")[0]["email"], "ada@example.org");
    assert_eq!(json_of(&files, "users")[0]["is_active"], true);
    assert!(json_of(&files, "users")[0].get("password_hash").is_none(), "a secret is given to nobody");
    assert_eq!(json_of(&files, "personal_tokens")[0]["name"], "editor");
    assert!(json_of(&files, "sessions")[0]["created_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(json_of(&files, "role_grants")[0]["organization_id"], org);
    assert_eq!(json_of(&files, "projects").len(), 1);
    assert_eq!(json_of(&files, "projects")[0]["name"], "ada's <b>engine</b>");
    let index = &files["index.html"];
    assert!(index.contains("ada's &lt;b&gt;engine"), "{index}");
    assert!(!index.contains("<b>") && !index.contains("<script"), "{index}");
    for (name, text) in &files {
        assert!(!text.contains("bob"), "{name} tells of somebody else: {text}");
    }

    // What is written for an organisation stays there when one leaves.
    let me = app.call("GET", "/api/auth/me", Some(&ada), None).await.body["user"]["id"].as_i64().unwrap();
    app.cli_json(&["member", "remove", "acme", "ada"], "");
    let files = saved(&app, &["user", "export", "ada"]);
    let project = &json_of(&files, "projects")[0];
    assert_eq!((project["created_by"].as_str(), project.get("name")), (Some("ada"), None));

    for (token, address, wanted) in [
        (Some(&bob), format!("/api/users/{me}/export"), 403),
        (Some(&ada), "/api/users/me/export".to_owned(), 200),
        (None, "/api/users/me/export".to_owned(), 401),
    ] {
        let reply = app.call("GET", &address, token.map(String::as_str), None).await;
        assert_eq!(reply.status, wanted, "{address}: {}", reply.body);
    }
    let nobody = app.cli(&["user", "export", "--out", "/dev/null"], "");
    assert!(String::from_utf8(nobody.stderr).unwrap().contains("the local operator has none"));
    let told = app.cli_json(&["audit", "list", "--action", "export"], "");
    assert_eq!(told["items"].as_array().unwrap().len(), 3, "{told}");
}

#[tokio::test]
async fn an_export_of_many_rows_is_whole() {
    let app = App::start();
    app.org("acme");
    app.person("ada", "developer", Some("acme")).await;
    let ada = app.cli_json(&["user", "list"], "")["items"][0]["id"].as_i64().unwrap();
    let rows: Vec<String> =
        (0..1500).map(|n| format!("({}, 1, 'llm_tokens', {n}, {ada}, 'api', 5)", 9_000 + n)).collect();
    app.sql(&format!(
        "INSERT INTO usage_records (id, organization_id, resource, amount, user_id, source, at) VALUES {}",
        rows.join(", ")
    ));
    let files = saved(&app, &["user", "export", "ada"]);
    let amounts: Vec<i64> =
        json_of(&files, "usage_records").iter().map(|row| row["amount"].as_i64().unwrap()).collect();
    assert_eq!(amounts, (0..1500).collect::<Vec<i64>>());
    assert!(files["index.html"].contains("All 1500 rows"));
}

//! The trail as the database keeps it: nobody changes an entry, whatever they ask for, and what it holds of a person is
//! sealed with a key that can be destroyed.

use serde_json::Value;

use crate::app::App;

/// The newest entries as the local operator sees them.
fn entries(app: &App) -> Vec<Value> {
    app.cli_json(&["audit", "list", "--limit", "100"], "")["items"].as_array().unwrap().clone()
}

#[test]
fn the_database_refuses_to_change_the_trail() {
    let app = App::start();
    app.org("acme");
    let before = app.cli_json(&["audit", "list", "--limit", "100"], "");
    let postgres = std::env::var_os("RESOFTAI_TEST_POSTGRES_URL").is_some();
    let columns = "id, at, actor_kind, actor_name, action, resource_type, description, success";
    let replace = format!(
        "REPLACE INTO audit_entries ({columns}) SELECT {} FROM audit_entries",
        columns.replace("actor_name", "'nobody'")
    );
    let mut attempts = vec!["UPDATE audit_entries SET actor_name = 'nobody'", "DELETE FROM audit_entries"];
    attempts.push(if postgres { "TRUNCATE audit_entries" } else { &replace });
    for attempt in attempts {
        let refusal = app.try_sql(attempt).unwrap_err();
        assert!(refusal.contains("audit entries are never"), "{attempt}: {refusal}");
    }
    assert_eq!(app.cli_json(&["audit", "list", "--limit", "100"], ""), before);
}

#[tokio::test]
async fn what_the_trail_holds_of_a_person_is_readable_until_their_key_is_destroyed() {
    let app = App::start();
    app.org("acme");
    let token = app.person("ada-lovelace", "developer", Some("acme")).await;
    app.person("grace-hopper", "developer", Some("acme")).await;
    let sign_in = serde_json::json!({"username": "ada-lovelace", "password": "not her password"});
    assert_eq!(app.call("POST", "/api/auth/login", None, Some(sign_in)).await.status, 401);
    let project = serde_json::json!({"name": "engine", "requirements": "Weave algebraical patterns."});
    assert_eq!(app.call("POST", "/api/projects", Some(&token), Some(project)).await.status, 201);

    let seen = entries(&app);
    assert!(seen.iter().all(|entry| entry["erased"] == false));
    let about = |name: &str| seen.iter().filter(|entry| entry.to_string().contains(name)).count();
    // Made, signed in, failed to sign in, made a project; made and signed in.
    assert_eq!((about("ada-lovelace"), about("grace-hopper")), (4, 2));
    let stored = app.sql_texts(
        "SELECT actor_name || ' ' || description || ' ' || coalesce(before_json, '') || ' ' || coalesce(after_json, '') \
         || ' ' || coalesce(ip_address, '') || ' ' || coalesce(user_agent, '') FROM audit_entries",
    );
    assert_eq!(stored.len(), seen.len());
    let personal = |text: &&String| ["lovelace", "hopper", "127.0.0.1"].iter().any(|word| text.contains(word));
    assert_eq!(stored.iter().find(personal), None);

    let ada =
        seen.iter().find(|entry| entry["actor"]["name"] == "ada-lovelace").unwrap()["actor"]["id"].as_i64().unwrap();
    app.sql(&format!("UPDATE person_keys SET key = NULL, destroyed_at = 1 WHERE person_id = {ada}"));
    let left = entries(&app);
    assert_eq!(left.len(), seen.len());
    let text = Value::from(left.clone()).to_string();
    assert!(!text.contains("lovelace") && text.contains("grace-hopper"));
    for (now, then) in left.iter().zip(&seen) {
        assert_eq!(now["erased"], then.to_string().contains("lovelace"), "{then}");
        assert_eq!((&now["id"], &now["at"], &now["action"]), (&then["id"], &then["at"], &then["action"]));
    }
    let failed = left.iter().find(|entry| entry["success"] == false).unwrap();
    assert_eq!(failed["actor"]["name"], format!("erased person {ada}"));
    assert_eq!(failed["description"], "erased");
    assert_eq!(failed["ip_address"], Value::Null);

    // What comes later under a destroyed key is unreadable from the start.
    app.call("POST", "/api/tokens", Some(&token), Some(serde_json::json!({"name": "lovelace"}))).await;
    let newest = &entries(&app)[0];
    assert_eq!((&newest["resource_type"], &newest["description"]), (&"personal_token".into(), &"erased".into()));
}

//! Personal tokens: what they are held to, how long they count, who sees and ends them, and what the trail says of them.

use serde_json::{Value, json};

use crate::app::{App, PASSWORD, Reply};

fn refusal(reply: &Reply) -> (u16, &str, &str) {
    let text = |field: &str| reply.body[field].as_str().unwrap_or_default();
    (reply.status, text("code"), text("field"))
}

/// A token of whoever `session` is; its secret and its id.
async fn made(app: &App, session: &str, body: Value) -> (String, i64) {
    let reply = app.call("POST", "/api/tokens", Some(session), Some(body)).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    (reply.body["secret"].as_str().unwrap().to_owned(), reply.body["token"]["id"].as_i64().unwrap())
}

async fn status(app: &App, method: &str, path: &str, token: &str, body: Option<Value>) -> u16 {
    app.call(method, path, Some(token), body).await.status
}

#[tokio::test]
async fn a_token_does_what_its_scopes_name_and_its_owner_may() {
    let app = App::start();
    let org = app.org("acme");
    let ada = app.person("ada", "developer", Some("acme")).await;
    let (reader, id) = made(&app, &ada, json!({"name": "reader", "scopes": ["project.read", "model.use"]})).await;
    let project = json!({"name": "shop", "organization_id": org});
    assert_eq!(status(&app, "GET", "/api/projects", &reader, None).await, 200);
    let refused = app.call("POST", "/api/projects", Some(&reader), Some(project.clone())).await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("forbidden")), "{}", refused.body);
    assert_eq!(status(&app, "GET", &format!("/api/organizations/{org}/quotas"), &reader, None).await, 403);

    let me = app.call("GET", "/api/auth/me", Some(&reader), None).await.body;
    assert_eq!(me["token"]["scopes"], json!(["project.read", "model.use"]), "{me}");
    assert_eq!((&me["token"]["id"], &me["token"]["name"]), (&json!(id), &json!("reader")));
    assert_eq!(me["organizations"][0]["permissions"], json!(["project.read", "model.use"]));
    let me = app.call("GET", "/api/auth/me", Some(&ada), None).await.body;
    assert_eq!(me["token"], Value::Null);

    let (whole, _) = made(&app, &ada, json!({"name": "whole"})).await;
    assert_eq!(status(&app, "POST", "/api/projects", &whole, Some(project)).await, 201);
    // A change of role counts for tokens from the next request on.
    let demote = json!({"username": "ada", "role": "viewer"});
    let root = app.person("root", "admin", None).await;
    assert_eq!(status(&app, "POST", &format!("/api/organizations/{org}/members"), &root, Some(demote)).await, 201);
    let me = app.call("GET", "/api/auth/me", Some(&reader), None).await.body;
    assert_eq!(me["organizations"][0]["permissions"], json!(["project.read"]), "model.use went with the role");
}

#[tokio::test]
async fn a_token_of_one_organisation_counts_in_no_other_and_not_over_the_site() {
    let app = App::start();
    let (acme, globex) = (app.org("acme"), app.org("globex"));
    let root = app.person("root", "admin", None).await;
    let ada = app.person("ada", "org_admin", Some("acme")).await;
    let member = json!({"username": "ada", "role": "org_admin"});
    assert_eq!(status(&app, "POST", &format!("/api/organizations/{globex}/members"), &root, Some(member)).await, 201);
    for owner in [&ada, &root] {
        let (token, _) = made(&app, owner, json!({"name": "acme only", "organization_id": acme})).await;
        let project = |org: i64| json!({"name": format!("of {org}"), "organization_id": org});
        assert_eq!(status(&app, "POST", "/api/projects", &token, Some(project(acme))).await, 201);
        let there = app.call("POST", "/api/projects", Some(&token), Some(project(globex))).await;
        let nowhere = app.call("POST", "/api/projects", Some(&token), Some(project(globex + 900_000))).await;
        assert_eq!((there.status, &there.body["detail"]), (404, &nowhere.body["detail"]));
        let seen = app.call("GET", "/api/organizations", Some(&token), None).await.body;
        assert_eq!(seen["items"].as_array().unwrap().len(), 1, "{seen}");
        assert_eq!(status(&app, "GET", "/api/role-assignments", &token, None).await, 403);
        let me = app.call("GET", "/api/auth/me", Some(&token), None).await.body;
        assert_eq!((&me["site_permissions"], &me["token"]["organization_id"]), (&json!([]), &json!(acme)));
    }
    // The other organisation's token does not outlive it.
    let (token, _) = made(&app, &ada, json!({"name": "globex only", "organization_id": globex})).await;
    assert_eq!(status(&app, "GET", "/api/auth/me", &token, None).await, 200);
    let suspend = json!({"reason": "Unpaid."});
    assert_eq!(status(&app, "POST", &format!("/api/organizations/{globex}/suspend"), &root, Some(suspend)).await, 200);
    let closed = app.call("GET", "/api/projects", Some(&token), None).await;
    assert_eq!(refusal(&closed), (403, "organization_suspended", ""), "{}", closed.body);
    let (open, _) = made(&app, &ada, json!({"name": "still", "organization_id": acme})).await;
    assert_eq!(status(&app, "GET", "/api/projects", &open, None).await, 200);
}

#[tokio::test]
async fn nobody_asks_for_more_than_they_hold() {
    let app = App::start();
    let (acme, globex) = (app.org("acme"), app.org("globex"));
    let ada = app.person("ada", "developer", Some("acme")).await;
    let ask = async |body: Value| app.call("POST", "/api/tokens", Some(&ada), Some(body)).await;
    let more = ask(json!({"name": "x", "scopes": ["project.read", "user.manage", "audit.read"]})).await;
    assert_eq!(refusal(&more), (403, "scope_not_held", "scopes"));
    assert!(more.body["detail"].as_str().unwrap().contains("does not hold audit.read, user.manage"), "{}", more.body);
    let unknown = ask(json!({"name": "x", "scopes": ["project.raed"]})).await;
    assert_eq!(refusal(&unknown), (400, "unknown_scope", "scopes"));
    assert!(unknown.body["detail"].as_str().unwrap().contains("Did you mean `project.read`?"), "{}", unknown.body);
    assert_eq!(refusal(&ask(json!({"name": "x", "scopes": []})).await), (400, "scopes_missing", "scopes"));
    assert_eq!(refusal(&ask(json!({"name": " ", "scopes": null})).await), (400, "invalid_name", "name"));
    let elsewhere = ask(json!({"name": "x", "organization_id": globex})).await;
    let nowhere = ask(json!({"name": "x", "organization_id": 900_000_001})).await;
    assert_eq!(refusal(&elsewhere), (404, "not_found", "organization_id"));
    let told = elsewhere.body["detail"].as_str().unwrap().replace(&globex.to_string(), "900000001");
    assert_eq!(nowhere.body["detail"], json!(told), "another's organisation is as if it were not there");
    let there = ask(json!({"name": "x", "organization_id": acme, "scopes": ["organization.manage"]})).await;
    assert_eq!(refusal(&there), (403, "scope_not_held", "scopes"));
    for days in [0, 3651, -1] {
        let days = ask(json!({"name": "x", "expires_in_days": days})).await;
        assert_eq!(refusal(&days), (400, "invalid_expiry", "expires_in_days"));
    }
    let none = app.call("GET", "/api/tokens", Some(&ada), None).await.body;
    assert_eq!(none["items"], json!([]), "nothing was made");
}

#[tokio::test]
async fn a_limited_token_leaves_its_owners_account_alone() {
    let app = App::start();
    let acme = app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let users = app.call("GET", "/api/users", Some(&boss), None).await.body;
    let id = users["items"][0]["id"].as_i64().unwrap();
    let everything = app.call("GET", "/api/auth/me", Some(&boss), None).await.body;
    let everything = everything["organizations"][0]["permissions"].clone();
    let sessions = app.call("GET", "/api/sessions", Some(&boss), None).await.body;
    let session = sessions["items"][0]["id"].clone();
    // All that is held, named, is a limit still: what is held may become more.
    let (scoped, scoped_id) = made(&app, &boss, json!({"name": "scoped", "scopes": everything})).await;
    let (placed, _) = made(&app, &boss, json!({"name": "placed", "organization_id": acme})).await;
    let change = json!({"current": PASSWORD, "new": "a fourth bright morning"});
    let attempts = [
        ("POST", "/api/tokens".to_owned(), json!({"name": "more"})),
        ("POST", "/api/tokens".to_owned(), json!({"name": "more", "scopes": ["project.read"]})),
        ("DELETE", format!("/api/tokens/{scoped_id}"), Value::Null),
        ("PUT", "/api/auth/password".to_owned(), change.clone()),
        ("PUT", format!("/api/users/{id}/password"), json!({"password": "a fourth bright morning"})),
        ("POST", format!("/api/users/{id}/password-reset"), json!({})),
        ("PUT", format!("/api/users/{id}"), json!({"email": "mallory@example.org"})),
        ("POST", format!("/api/users/{id}/deactivate"), Value::Null),
        ("GET", format!("/api/users/{id}/tokens"), Value::Null),
        ("DELETE", format!("/api/users/{id}/tokens/{scoped_id}"), Value::Null),
        ("DELETE", format!("/api/users/{id}/sessions"), Value::Null),
        ("DELETE", format!("/api/sessions/{session}"), Value::Null),
        ("DELETE", "/api/sessions".to_owned(), Value::Null),
        ("GET", "/api/tokens".to_owned(), Value::Null),
        ("GET", "/api/sessions".to_owned(), Value::Null),
        ("GET", "/api/account/second-factor".to_owned(), Value::Null),
        ("GET", "/api/account/passkeys".to_owned(), Value::Null),
        ("GET", "/api/users/me/export".to_owned(), Value::Null),
        ("GET", "/api/notices".to_owned(), Value::Null),
        ("POST", "/api/notices/read".to_owned(), Value::Null),
        ("GET", "/api/notices/preferences".to_owned(), Value::Null),
        ("POST", format!("/api/users/{id}/erase"), json!({"username": "boss", "password": PASSWORD})),
        ("POST", "/api/invitations/join".to_owned(), json!({"code": "made-up"})),
        ("POST", "/api/account/second-factor/start".to_owned(), json!({"password": PASSWORD})),
        ("DELETE", "/api/account/second-factor".to_owned(), json!({"password": PASSWORD, "code": "123456"})),
    ];
    for (method, path, body) in attempts {
        for token in [&scoped, &placed] {
            let body = (!body.is_null()).then(|| body.clone());
            let reply = app.call(method, &path, Some(token), body).await;
            assert_eq!(refusal(&reply).1, "token_limited", "{method} {path}: {} {}", reply.status, reply.body);
        }
    }
    assert_eq!(status(&app, "GET", "/api/auth/me", &scoped, None).await, 200);
    // One without limits is its owner.
    let (whole, _) = made(&app, &boss, json!({"name": "whole"})).await;
    assert_eq!(status(&app, "PUT", "/api/auth/password", &whole, Some(change)).await, 204);
}

#[tokio::test]
async fn a_token_makes_none_that_lasts_longer() {
    let app = App::start();
    let ada = app.person("ada", "admin", None).await;
    let (short, _) = made(&app, &ada, json!({"name": "short", "expires_in_days": 7})).await;
    for body in [json!({"name": "x"}), json!({"name": "x", "expires_in_days": 8})] {
        let reply = app.call("POST", "/api/tokens", Some(&short), Some(body)).await;
        assert_eq!(refusal(&reply), (403, "token_outlives", "expires_in_days"));
    }
    made(&app, &short, json!({"name": "shorter", "expires_in_days": 6})).await;
}

#[tokio::test]
async fn the_site_says_how_long_tokens_last() {
    let app = App::start_with_settings(&[("RESOFTAI_ACCOUNTS_TOKEN_MAX_DAYS", "30")]);
    let ada = app.person("ada", "admin", None).await;
    let me = app.call("GET", "/api/auth/me", Some(&ada), None).await.body;
    assert_eq!(me["token_max_days"], 30);
    let none = app.call("POST", "/api/tokens", Some(&ada), Some(json!({"name": "x"}))).await;
    assert_eq!(refusal(&none), (400, "expiry_missing", "expires_in_days"));
    let long = app.call("POST", "/api/tokens", Some(&ada), Some(json!({"name": "x", "expires_in_days": 31}))).await;
    assert_eq!(refusal(&long), (400, "invalid_expiry", "expires_in_days"));
    let (token, id) = made(&app, &ada, json!({"name": "x", "expires_in_days": 30})).await;
    // As one is that was made for ever before the site had the rule, here 31 days ago.
    app.sql(&format!(
        "UPDATE personal_tokens SET created_at = created_at - 2678400000000, expires_at = NULL WHERE id = {id}"
    ));
    assert_eq!(status(&app, "GET", "/api/auth/me", &token, None).await, 401);
    let listed = app.call("GET", "/api/tokens", Some(&ada), None).await.body;
    let sessions = app.call("GET", "/api/sessions", Some(&ada), None).await.body;
    let ended = listed["items"][0]["expires_at"].as_str().unwrap();
    assert!(ended < sessions["items"][0]["created_at"].as_str().unwrap(), "the list says when: {listed}");
}

#[tokio::test]
async fn the_trail_names_the_token_and_still_verifies() {
    let app = App::start();
    let org = app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let (token, id) = made(&app, &boss, json!({"name": "nightly build", "scopes": ["project.create"]})).await;
    let project = json!({"name": "shop", "organization_id": org});
    assert_eq!(status(&app, "POST", "/api/projects", &token, Some(project.clone())).await, 201);
    assert_eq!(
        status(&app, "POST", "/api/projects", &boss, Some(json!({"name": "other", "organization_id": org}))).await,
        201
    );
    let trail = app.call("GET", "/api/audit?resource_type=project&action=create", Some(&boss), None).await.body;
    let entries = trail["items"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["token"], Value::Null, "this one came with a session");
    assert_eq!(entries[1]["token"], json!({"id": id, "name": "nightly build"}));
    let shown = app.cli(&["audit", "show", &entries[1]["id"].to_string()], "");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("nightly build"));
    let csv = app.call("GET", "/api/audit/export?format=csv", Some(&boss), None).await.body;
    let csv = csv.as_str().unwrap();
    assert!(csv.lines().next().unwrap().contains("token_id,token_name"), "{csv}");
    assert!(csv.contains(&format!("{id},nightly build")), "{csv}");
    // The name is a person's words: sealed where it lies.
    assert_eq!(
        app.sql_texts("SELECT token_name FROM audit_entries WHERE token_name LIKE '%night%'"),
        Vec::<String>::new()
    );
    app.until_sequenced("acme").await;
    let checked = app.cli_json(&["audit", "verify", "--org", "acme"], "");
    assert!(!checked.to_string().contains("tampered"), "{checked}");
}

#[tokio::test]
async fn the_last_use_of_a_token_is_told_with_its_address() {
    let app = App::start();
    let ada = app.person("ada", "admin", None).await;
    let (token, _) = made(&app, &ada, json!({"name": "ide"})).await;
    let mut seen = Value::Null;
    for _ in 0..100 {
        assert_eq!(status(&app, "GET", "/api/auth/me", &token, None).await, 200);
        seen = app.call("GET", "/api/tokens", Some(&ada), None).await.body["items"][0].clone();
        if seen["last_used_at"].is_string() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(seen["last_used_ip"], "127.0.0.1", "{seen}");
}

#[tokio::test]
async fn administrators_see_and_end_the_tokens_of_those_they_manage() {
    let app = App::start();
    app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let ada = app.person("ada", "developer", Some("acme")).await;
    let root = app.person("root", "admin", None).await;
    let (token, id) = made(&app, &ada, json!({"name": "ide", "scopes": ["model.use"]})).await;
    let users = app.call("GET", "/api/users", Some(&root), None).await.body;
    let of = |name: &str| {
        let users = users["items"].as_array().unwrap();
        users.iter().find(|user| user["username"] == name).unwrap()["id"].as_i64().unwrap()
    };
    let path = format!("/api/users/{}/tokens", of("ada"));
    let seen = app.call("GET", &path, Some(&boss), None).await.body;
    assert_eq!((&seen["items"][0]["name"], &seen["items"][0]["scopes"]), (&json!("ide"), &json!(["model.use"])));
    assert!(!seen.to_string().contains(&token[4..]) && seen["items"][0].get("token_hash").is_none());
    assert_eq!(status(&app, "GET", &path, &ada, None).await, 403);
    let above = app.call("GET", &format!("/api/users/{}/tokens", of("root")), Some(&boss), None).await;
    assert_eq!(above.status, 404, "{}", above.body);
    assert_eq!(status(&app, "DELETE", &format!("/api/users/{}/tokens/{id}", of("boss")), &root, None).await, 404);
    assert_eq!(status(&app, "DELETE", &format!("{path}/{id}"), &boss, None).await, 204);
    assert_eq!(status(&app, "GET", "/api/auth/me", &token, None).await, 401);
    assert_eq!(status(&app, "DELETE", &format!("{path}/{id}"), &boss, None).await, 404);
    let trail = app.cli_json(&["audit", "list", "--resource", "personal_token"], "").to_string();
    assert!(trail.contains("Deleted token ide of ada"), "{trail}");
}

#[tokio::test]
async fn the_command_line_makes_limited_tokens() {
    let app = App::start();
    let org = app.org("acme");
    let ada = app.person("ada", "developer", Some("acme")).await;
    let (own, _) = made(&app, &ada, json!({"name": "cli"})).await;
    let server = format!("http://{}", app.address);
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(crate::app::BINARY);
        command.env_clear().env("RESOFTAI_TOKEN", &own).args(["--json", "--server", &server]).args(arguments);
        command.output().unwrap()
    };
    let json = |arguments: &[&str]| -> Value {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let made = json(&[
        "token",
        "create",
        "ci",
        "--scope",
        "project.read",
        "--scope",
        "project.execute",
        "--org",
        "acme",
        "--expires-in-days",
        "30",
    ]);
    assert_eq!(made["token"]["scopes"], json!(["project.read", "project.execute"]));
    assert_eq!((&made["token"]["organization_id"], made["secret"].is_string()), (&json!(org), true));
    let read_only = json(&["token", "create", "look", "--read-only", "--scope", "model.use"]);
    assert_eq!(
        read_only["token"]["scopes"],
        json!(["project.read", "model.use", "plugin.read", "quota.view", "user.read", "organization.read"])
    );
    let id = made["token"]["id"].to_string();
    assert_eq!(json(&["token", "show", &id])["name"], "ci");
    assert_eq!(json(&["token", "list"])["items"].as_array().unwrap().len(), 3);
    let wrong = run(&["token", "create", "x", "--scope", "project.raed"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("Did you mean `project.read`?"));
    json(&["token", "delete", &id]);
    assert_eq!(run(&["token", "show", &id]).status.code(), Some(3));
    // From above, by the name of whose it is.
    let theirs = app.cli_json(&["token", "list", "--user", "ada"], "");
    let id = theirs["items"][0]["id"].to_string();
    app.cli_json(&["token", "delete", &id, "--user", "ada"], "");
    assert_eq!(json(&["token", "list"])["items"].as_array().unwrap().len(), 1);
}

//! Registration: off unless the site turns it on, and then without a role, slowly, and without telling who is here.

use serde_json::{Value, json};

use crate::app::{App, PASSWORD, Reply};

async fn register(app: &App, username: &str, email: &str) -> Reply {
    let body = json!({"username": username, "email": email, "password": PASSWORD});
    app.call("POST", "/api/auth/register", None, Some(body)).await
}

async fn sign_in(app: &App, name: &str) -> Reply {
    app.call("POST", "/api/auth/login", None, Some(json!({"username": name, "password": PASSWORD}))).await
}

fn told(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.body["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn it_is_off_unless_the_site_turns_it_on() {
    let app = App::start();
    assert_eq!(app.call("GET", "/api/system", None, None).await.body["registration"], "off");
    assert_eq!(told(&register(&app, "ada", "ada@example.org").await), (403, "registration_off"));
    assert_eq!(app.cli_json(&["user", "list"], "")["items"], json!([]));
}

#[tokio::test]
async fn who_registers_waits_to_be_let_in_and_has_no_role() {
    let app = App::start_with_settings(&[
        ("RESOFTAI_ACCOUNTS_REGISTRATION", "approval"),
        ("RESOFTAI_ACCOUNTS_REGISTRATION_DOMAINS", "example.org, acme.example"),
    ]);
    app.org("acme");
    let root = app.person("root", "admin", None).await;
    assert_eq!(app.call("GET", "/api/system", None, None).await.body["registration"], "approval");
    assert_eq!(told(&register(&app, "ada", "ada@evil.example").await), (403, "email_domain"));
    assert_eq!(told(&register(&app, "ada", "no address").await), (400, "invalid_email"));
    assert_eq!(told(&register(&app, "a da", "ada@example.org").await), (400, "invalid_username"));
    let weak = json!({"username": "ada", "email": "ada@example.org", "password": "ada@example.org!"});
    assert_eq!(told(&app.call("POST", "/api/auth/register", None, Some(weak)).await), (400, "password_too_weak"));
    let done = register(&app, "ada", "Ada@EXAMPLE.org").await;
    assert_eq!((done.status, &done.body), (200, &json!({"status": "waiting"})));
    assert_eq!(told(&sign_in(&app, "ada").await), (401, "login_failed"));
    let notices = app.call("GET", "/api/notices", Some(&root), None).await.body;
    assert_eq!(notices["items"][0]["kind"], "registration_waiting");
    assert!(notices["items"][0]["text"].as_str().unwrap().starts_with("ada (Ada@EXAMPLE.org)"), "{notices}");

    app.cli_json(&["user", "reactivate", "ada"], "");
    let ada = sign_in(&app, "ada").await.body["access_token"].as_str().unwrap().to_owned();
    let me = app.call("GET", "/api/auth/me", Some(&ada), None).await.body;
    assert_eq!((&me["organizations"], &me["site_permissions"]), (&json!([]), &json!([])));
    assert_eq!(app.call("GET", "/api/projects", Some(&ada), None).await.status, 403);
    let trail = app.cli_json(&["audit", "list", "--action", "create"], "").to_string();
    assert!(trail.contains("ada registered, and waits to be let in") && !trail.contains(PASSWORD));
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_and_an_address_is_not() {
    let app = App::start_with_settings(&[("RESOFTAI_ACCOUNTS_REGISTRATION", "open")]);
    let ada = app.person("ada", "admin", None).await;
    assert_eq!(told(&register(&app, "ADA", "other@example.org").await), (409, "username_taken"));
    let (taken, free) =
        (register(&app, "eve", "ADA@example.org").await, register(&app, "bob", "bob@example.org").await);
    assert_eq!((taken.status, &taken.body), (free.status, &free.body), "{}", taken.body);
    assert_eq!(free.body, json!({"status": "active"}));
    assert_eq!((sign_in(&app, "bob").await.status, sign_in(&app, "eve").await.status), (200, 401));
    let notices = app.call("GET", "/api/notices", Some(&ada), None).await.body;
    assert_eq!(notices["items"][0]["kind"], "registered_again");
}

#[tokio::test]
async fn many_registrations_from_one_address_have_to_wait() {
    let app = App::start_with_settings(&[("RESOFTAI_ACCOUNTS_REGISTRATION", "open")]);
    let mut statuses: Vec<u16> = Vec::new();
    for at in 0..8 {
        statuses.push(register(&app, &format!("person{at}"), &format!("person{at}@example.org")).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 429, 429]);
    let people = app.cli_json(&["user", "list"], "");
    assert_eq!(people["items"].as_array().map(Vec::len), Some(6));
    assert_eq!(sign_in(&app, "person0").await.status, 200, "signing in waits for nothing");
    let none: Vec<&Value> =
        people["items"].as_array().unwrap().iter().filter(|one| one["roles"] != json!([])).collect();
    assert!(none.is_empty(), "{none:?}");
}

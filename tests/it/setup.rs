//! The first administrator of a new site, made with the setup link, once.

use serde_json::json;

use crate::app::{App, PASSWORD, Reply};

/// What stands behind `#` in the link.
fn secret(app: &App) -> String {
    let shown = app.cli_json(&["admin", "setup-link"], "");
    shown["link"].as_str().unwrap().strip_prefix("/setup#").unwrap().to_owned()
}

async fn set_up(app: &App, secret: &str, name: &str, password: &str) -> Reply {
    let body = json!({
        "secret": secret, "username": name, "email": format!("{name}@example.org"), "password": password,
    });
    app.call("POST", "/api/setup", None, Some(body)).await
}

#[tokio::test]
async fn the_link_makes_the_first_administrator_and_then_nobody() {
    let mut app = App::start_unlicensed();
    let about = app.call("GET", "/api/system", None, None).await.body;
    assert_eq!(about["is_new"], true);
    let link = secret(&app);
    for wrong in ["", "0", &link[1..], &format!("{link}0"), &link.to_uppercase()] {
        let refused = set_up(&app, wrong, "mallory", PASSWORD).await;
        assert_eq!((refused.status, &refused.body["code"]), (403, &json!("setup_link")), "{wrong}");
    }
    let weak = set_up(&app, &link, "ada", "1234567890123456").await;
    assert!(weak.status == 400 && weak.body["field"] == "password", "{}", weak.body);
    let named = set_up(&app, &link, "a/b", PASSWORD).await;
    assert!(named.status == 400 && named.body["field"] == "username", "{}", named.body);
    // It is the site's, not the process's.
    app.crash_and_restart();
    assert_eq!(secret(&app), link);

    let done = set_up(&app, &link, "ada", PASSWORD).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let token = done.body["access_token"].as_str().unwrap();
    let me = app.call("GET", "/api/auth/me", Some(token), None).await.body;
    assert!(me["site_permissions"].as_array().unwrap().contains(&json!("organization.manage")), "{me}");
    let trail = app.cli_json(&["audit", "list", "--resource", "user"], "");
    assert!(trail.to_string().contains("ada set the site up as its first administrator"), "{trail}");

    let again = set_up(&app, &link, "mallory", PASSWORD).await;
    assert_eq!((again.status, &again.body["code"]), (409, &json!("setup_done")));
    assert_eq!(app.cli(&["admin", "setup-link"], "").status.code(), Some(5));
    assert_eq!(app.call("GET", "/api/system", None, None).await.body["is_new"], false);
    let asked = app.call("GET", "/api/setup", Some(token), None).await;
    assert!(asked.status == 200 && asked.body["link"].is_null(), "{}", asked.body);
    assert_eq!(app.call("GET", "/api/setup", None, None).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_at_once_one_becomes_the_administrator() {
    let app = App::start_unlicensed();
    let link = secret(&app);
    let names = ["ada", "bob", "cyd", "dan"];
    let replies = futures_util::future::join_all(names.map(|name| set_up(&app, &link, name, PASSWORD))).await;
    let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409]);
    assert_eq!(app.sql_texts("SELECT username FROM users").len(), 1);
}

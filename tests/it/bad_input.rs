//! What a stranger may send, and the sentence that comes back.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::app::App;

#[tokio::test]
async fn each_fault_is_named_by_code_and_field() {
    let app = App::start();
    app.org("acme");
    let admin = app.person("root", "admin", None).await;
    let long = "x".repeat(300);
    let cases: [(&str, Value, &str, &str); 8] = [
        ("/api/organizations", json!({"name": "A", "slug": "a", "color": 1}), "invalid_json", "color"),
        ("/api/organizations", json!({"name": 5, "slug": "a"}), "invalid_json", "name"),
        ("/api/organizations", json!({"name": long, "slug": "a"}), "invalid_name", "name"),
        ("/api/organizations", json!({"name": "A", "slug": "No Slug"}), "invalid_slug", "slug"),
        ("/api/organizations", json!({"name": "A", "slug": "a", "tier": "gold"}), "unknown_tier", "tier"),
        ("/api/projects", json!({"name": "A\u{1}B", "organization_id": 1}), "invalid_name", "name"),
        (
            "/api/users",
            json!({"username": "x", "email": "x@y.z", "password": "0123456789abcdef", "role": "admin"}),
            "invalid_username",
            "username",
        ),
        (
            "/api/users",
            json!({"username": "xx", "email": "x@y.z", "password": "short", "role": "admin"}),
            "password_too_short",
            "password",
        ),
    ];
    for (path, body, code, field) in cases {
        let reply = app.call("POST", path, Some(&admin), Some(body.clone())).await;
        assert_eq!(
            (reply.status, &reply.body["code"], &reply.body["field"]),
            (400, &json!(code), &json!(field)),
            "{body}: {}",
            reply.body
        );
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        assert_eq!(reply.body["request_id"], reply.headers["x-request-id"].to_str().unwrap());
    }
    let taken = app.call("POST", "/api/organizations", Some(&admin), Some(json!({"name": "A", "slug": "acme"}))).await;
    assert_eq!((taken.status, &taken.body["code"]), (409, &json!("slug_taken")));
}

#[tokio::test]
async fn bodies_are_bounded_and_must_be_json() {
    let app = App::start();
    let admin = app.person("root", "admin", None).await;
    let auth = ("authorization", format!("Bearer {admin}"));
    let json_type = ("content-type", "application/json".to_owned());
    let big = Bytes::from(vec![b' '; 2 * 1024 * 1024]);
    let reply = app.send("POST", "/api/projects", &[auth.clone(), json_type.clone()], big).await;
    assert_eq!((reply.status, &reply.body["code"]), (413, &json!("body_too_large")));
    let reply = app
        .send("POST", "/api/projects", &[auth.clone(), json_type], Bytes::from_static(b"{\"name\": \"\xff\"}"))
        .await;
    assert_eq!((reply.status, &reply.body["code"]), (400, &json!("invalid_json")));
    let reply = app.send("POST", "/api/projects", &[auth], Bytes::from_static(b"name=x")).await;
    assert_eq!((reply.status, &reply.body["code"]), (400, &json!("not_json")));
}

#[tokio::test]
async fn a_nul_character_is_refused_at_the_door() {
    let app = App::start();
    let admin = app.person("root", "admin", None).await;
    let login = app.call("POST", "/api/auth/login", None, Some(json!({"username": "a\u{0}b", "password": "x"}))).await;
    assert_eq!((login.status, &login.body["code"]), (400, &json!("nul_character")), "{}", login.body);
    let listed = app.call("GET", "/api/audit?actor=a%00b", Some(&admin), None).await;
    assert_eq!((listed.status, &listed.body["code"]), (400, &json!("nul_character")), "{}", listed.body);
    let spelled = json!({"name": r"the text \u0000", "slug": "spelled"});
    assert_eq!(app.call("POST", "/api/organizations", Some(&admin), Some(spelled)).await.status, 201);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_use_the_cookie() {
    let app = App::start();
    let token = app.person("root", "admin", None).await;
    let cookie = ("cookie", format!("resoftai_session={token}"));
    let json_type = ("content-type", "application/json".to_owned());
    let body = || Bytes::from(json!({"name": "A", "slug": "a"}).to_string());
    let foreign = [cookie.clone(), json_type.clone(), ("origin", "https://evil.example".to_owned())];
    let reply = app.send("POST", "/api/organizations", &foreign, body()).await;
    assert_eq!((reply.status, &reply.body["code"]), (403, &json!("cross_site")));
    let own = [cookie, json_type, ("sec-fetch-site", "same-origin".to_owned())];
    assert_eq!(app.send("POST", "/api/organizations", &own, body()).await.status, 201);
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems_too() {
    let app = App::start();
    let reply = app.call("GET", "/api/nothing", None, None).await;
    assert_eq!((reply.status, &reply.body["code"]), (404, &json!("not_found")));
    let reply = app.call("PATCH", "/api/projects", None, None).await;
    assert_eq!(reply.body["code"], "method_not_allowed");
}

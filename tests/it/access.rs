//! Signing in, tokens, roles, and what a stranger may see: nothing.

use serde_json::{Value, json};

use crate::app::{App, PASSWORD};

#[tokio::test]
async fn the_specifications_commands_set_a_site_up() {
    let app = App::start();
    let user = app.cli_json(
        &[
            "admin",
            "create-user",
            "--username",
            "admin",
            "--email",
            "admin@yourcompany.com",
            "--role",
            "admin",
            "--password-stdin",
        ],
        PASSWORD,
    );
    assert_eq!(user["roles"], json!([{"role": "super_admin", "organization_id": null}]));
    let org = app.cli_json(
        &[
            "admin",
            "create-org",
            "--name",
            "Your Company",
            "--slug",
            "your-company",
            "--tier",
            "enterprise",
            "--admin-email",
            "admin@yourcompany.com",
        ],
        "",
    );
    assert_eq!(org["tier"], "enterprise");
    let login =
        app.call("POST", "/api/auth/login", None, Some(json!({"username": "Admin", "password": PASSWORD}))).await;
    assert_eq!(login.status, 200, "{}", login.body);
    let token = login.body["access_token"].as_str().unwrap();
    let body = json!({"name": "Second", "slug": "second", "tier": "enterprise", "contact_email": "a@b.c"});
    assert_eq!(app.call("POST", "/api/organizations", Some(token), Some(body)).await.status, 201);
    let trail = app.cli_json(&["audit", "list"], "");
    let told: Vec<&str> =
        trail["items"].as_array().unwrap().iter().map(|entry| entry["description"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        ["Created organisation Second", "admin signed in", "Created organisation Your Company", "Created user admin"]
    );
    assert_eq!(trail["items"][3]["actor"]["kind"], "operator");
    assert!(!trail.to_string().contains(PASSWORD));
}

#[tokio::test]
async fn a_wrong_password_says_no_more_than_that_and_soon_has_to_wait() {
    let app = App::start();
    app.person("ada", "admin", None).await;
    let attempt = |name: &str| json!({"username": name, "password": "wrong but quite long"});
    let known = app.call("POST", "/api/auth/login", None, Some(attempt("ada"))).await;
    let unknown = app.call("POST", "/api/auth/login", None, Some(attempt("nobody"))).await;
    assert_eq!((known.status, unknown.status), (401, 401));
    assert_eq!(known.body["detail"], unknown.body["detail"]);
    let mut last = known;
    for _ in 0..8 {
        last = app.call("POST", "/api/auth/login", None, Some(attempt("ada"))).await;
    }
    assert_eq!((last.status, &last.body["code"]), (429, &json!("login_throttled")));
    assert!(last.headers.contains_key("retry-after"));
    let failures = app.cli_json(&["audit", "list", "--action", "login"], "");
    assert!(failures["items"].as_array().unwrap().iter().any(|entry| entry["success"] == false));
}

#[tokio::test]
async fn signing_out_ends_the_token_at_once() {
    let app = App::start();
    let token = app.person("ada", "admin", None).await;
    assert_eq!(app.call("GET", "/api/auth/me", Some(&token), None).await.body["user"]["username"], "ada");
    assert_eq!(app.call("POST", "/api/auth/logout", Some(&token), None).await.status, 204);
    assert_eq!(app.call("GET", "/api/auth/me", Some(&token), None).await.status, 401);
}

#[tokio::test]
async fn a_personal_token_works_until_it_is_deleted() {
    let app = App::start();
    let session = app.person("ada", "admin", None).await;
    let made = app.call("POST", "/api/tokens", Some(&session), Some(json!({"name": "ide"}))).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let (secret, id) = (made.body["secret"].as_str().unwrap(), made.body["token"]["id"].as_i64().unwrap());
    assert_eq!(app.call("GET", "/api/projects", Some(secret), None).await.status, 200);
    let listed = app.call("GET", "/api/tokens", Some(&session), None).await;
    assert!(!listed.body.to_string().contains(secret));
    assert_eq!(app.call("DELETE", &format!("/api/tokens/{id}"), Some(&session), None).await.status, 204);
    assert_eq!(app.call("GET", "/api/projects", Some(secret), None).await.status, 401);
}

#[tokio::test]
async fn a_lost_role_counts_on_the_next_request() {
    let app = App::start();
    let org = app.org("acme");
    let admin = app.person("root", "admin", None).await;
    let dev = app.person("dev", "developer", Some("acme")).await;
    assert_eq!(app.call("POST", "/api/projects", Some(&dev), Some(json!({"name": "P"}))).await.status, 201);
    let body = json!({"username": "dev", "role": "viewer"});
    let path = format!("/api/organizations/{org}/members");
    assert_eq!(app.call("POST", &path, Some(&admin), Some(body)).await.status, 201);
    let refused = app.call("POST", "/api/projects", Some(&dev), Some(json!({"name": "Q"}))).await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("forbidden")));
}

#[tokio::test]
async fn nobody_gives_more_than_they_hold() {
    let app = App::start();
    app.org("acme");
    let other = app.org("other");
    let admin = app.person("boss", "org_admin", Some("acme")).await;
    let make = |role: &str, org: Value| json!({"username": "new", "email": "n@e.org", "password": PASSWORD, "role": role, "organization": org});
    let site = app.call("POST", "/api/users", Some(&admin), Some(make("admin", Value::Null))).await;
    assert_eq!(site.status, 403, "{}", site.body);
    let elsewhere = app.call("POST", "/api/users", Some(&admin), Some(make("viewer", json!("other")))).await;
    assert_eq!(elsewhere.status, 404, "{}", elsewhere.body);
    let join = app
        .call(
            "POST",
            &format!("/api/organizations/{other}/members"),
            Some(&admin),
            Some(json!({"username": "boss", "role": "viewer"})),
        )
        .await;
    assert_eq!(join.status, 404, "{}", join.body);
    let own = app.call("POST", "/api/users", Some(&admin), Some(make("developer", json!("acme")))).await;
    assert_eq!(own.status, 201, "{}", own.body);
}

#[tokio::test]
async fn a_lost_password_is_replaced_by_those_above_only() {
    let app = App::start();
    app.org("acme");
    app.org("other");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let dev = app.person("dev", "developer", Some("acme")).await;
    let stranger = app.person("stranger", "org_admin", Some("other")).await;
    let root = app.person("root", "admin", None).await;
    let id = |users: &Value, name: &str| {
        let users = users["items"].as_array().unwrap();
        users.iter().find(|user| user["username"] == name).unwrap()["id"].to_string()
    };
    let users = app.call("GET", "/api/users", Some(&root), None).await.body;
    let set = async |name: &str, token: &str, password: &str| {
        let path = format!("/api/users/{}/password", id(&users, name));
        app.call("PUT", &path, Some(token), Some(json!({"password": password}))).await
    };
    let fresh = "another long password";
    assert_eq!(set("dev", &stranger, fresh).await.status, 404);
    assert_eq!(set("dev", &dev, fresh).await.status, 403);
    assert_eq!(set("root", &boss, fresh).await.status, 404);
    app.cli_json(&["member", "add", "other", "dev", "--role", "viewer"], "");
    let elsewhere = set("dev", &boss, fresh).await;
    assert_eq!((elsewhere.status, &elsewhere.body["code"]), (403, &json!("role_above_yours")), "{}", elsewhere.body);
    app.cli(&["member", "remove", "other", "dev"], "");
    let short = set("dev", &boss, "short").await;
    assert_eq!((short.status, &short.body["code"]), (400, &json!("password_too_short")));
    assert_eq!(app.call("GET", "/api/auth/me", Some(&dev), None).await.status, 200, "nothing happened so far");

    assert_eq!(set("dev", &boss, fresh).await.status, 204);
    assert_eq!(app.call("GET", "/api/auth/me", Some(&dev), None).await.status, 401, "the session ended");
    let login = async |password: &str| {
        app.call("POST", "/api/auth/login", None, Some(json!({"username": "dev", "password": password}))).await.status
    };
    assert_eq!((login(PASSWORD).await, login(fresh).await), (401, 200));
    app.cli_json(&["user", "set-password", "Dev", "--password-stdin"], PASSWORD);
    assert_eq!((login(fresh).await, login(PASSWORD).await), (401, 200));
    assert_eq!(app.cli(&["user", "set-password", "dve", "--password-stdin"], PASSWORD).status.code(), Some(3));
    let trail = app.cli_json(&["audit", "list", "--action", "update", "--resource", "user"], "");
    assert_eq!(trail["items"].as_array().unwrap().len(), 2, "{trail}");
    assert!(!trail.to_string().contains(fresh));
}

/// Every operation of the API's own description, as nobody and as a stranger with every right in another organisation.
#[tokio::test]
async fn every_operation_refuses_strangers() {
    const PUBLIC: [&str; 4] = ["/healthz", "/readyz", "/api/auth/login", "/api/system"];
    let app = App::start();
    let org = app.org("acme");
    let owner = app.person("owner", "org_admin", Some("acme")).await;
    app.org("elsewhere");
    let stranger = app.person("stranger", "org_admin", Some("elsewhere")).await;
    let project =
        app.call("POST", "/api/projects", Some(&owner), Some(json!({"name": "Secret"}))).await.body["id"].to_string();
    let description = app.call("GET", "/api/openapi.json", None, None).await.body;
    let mut walked = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        if PUBLIC.contains(&path.as_str()) {
            continue;
        }
        let id = if path.contains("/projects/") { project.clone() } else { org.to_string() };
        let address = path.replace("{id}", &id).replace("{user_id}", "1").replace("{resource}", "projects");
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let nobody = app.call(&method, &address, None, Some(json!({}))).await;
            assert_eq!(nobody.status, 401, "{method} {path} as nobody: {}", nobody.body);
            if path != "/api/auth/logout" {
                let other = app.call(&method, &address, Some(&stranger), Some(json!({}))).await;
                let names_it = other.body.to_string().contains("Secret") || other.body.to_string().contains("acme");
                assert!(!names_it, "{method} {path} tells a stranger: {}", other.body);
                let refused = matches!(other.status, 400 | 403 | 404);
                assert!(
                    refused || !path.contains('{'),
                    "{method} {path} as a stranger: {} {}",
                    other.status,
                    other.body
                );
            }
            walked += 1;
        }
    }
    assert!(walked >= 18, "only {walked} operations were walked");
}

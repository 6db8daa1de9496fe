//! Accounts of programs: of one organisation, without a way to sign in, no more than who made them.

use serde_json::{Value, json};

use crate::app::{App, PASSWORD, Reply};

fn refusal(reply: &Reply) -> (u16, &str, &str) {
    let text = |field: &str| reply.body[field].as_str().unwrap_or_default();
    (reply.status, text("code"), text("field"))
}

struct Site {
    app: App,
    org: i64,
    boss: String,
}

impl Site {
    async fn new() -> Self {
        let app = App::start();
        let org = app.org("acme");
        let boss = app.person("boss", "org_admin", Some("acme")).await;
        Self { app, org, boss }
    }

    fn at(&self, rest: &str) -> String {
        format!("/api/organizations/{}/{rest}", self.org)
    }

    async fn call(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Reply {
        self.app.call(method, path, Some(token), body).await
    }

    /// A service account with a role; its id.
    async fn service(&self, name: &str, role: &str) -> i64 {
        let body = json!({"name": name, "role": role, "description": "Builds at night."});
        let made = self.call("POST", &self.at("service-accounts"), &self.boss, Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.body["id"].as_i64().unwrap()
    }

    async fn token(&self, account: i64, body: Value) -> Reply {
        self.call("POST", &self.at(&format!("service-accounts/{account}/tokens")), &self.boss, Some(body)).await
    }
}

fn secret(reply: &Reply) -> String {
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.body["secret"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_program_works_with_a_token_and_the_trail_says_that_it_is_one() {
    let site = Site::new().await;
    let ci = site.service("ci", "developer").await;
    let token =
        secret(&site.token(ci, json!({"name": "runner 1", "scopes": ["project.create", "project.read"]})).await);
    let project = json!({"name": "shop"});
    let made = site.call("POST", "/api/projects", &token, Some(project)).await;
    assert_eq!((made.status, &made.body["created_by"]), (201, &json!("ci")), "{}", made.body);
    let me = site.call("GET", "/api/auth/me", &token, None).await.body;
    assert_eq!(
        (&me["name"], &me["user"]["service_of"], &me["user"]["email"]),
        (&json!("ci"), &json!(site.org), &json!(""))
    );
    assert_eq!(me["token"]["name"], "runner 1");

    let trail = site.call("GET", "/api/audit?resource_type=project", &site.boss, None).await.body;
    let entry = &trail["items"][0];
    assert_eq!(entry["actor"], json!({"kind": "service", "id": ci, "name": "ci"}));
    assert_eq!(entry["token"]["name"], "runner 1");
    // Found by its name, which one of another organisation has too.
    let other = site.app.org("other");
    let twin = json!({"name": "CI", "role": "developer"});
    let path = format!("/api/organizations/{other}/service-accounts");
    let twin = site.app.call("POST", &path, Some(&site.app.person("root", "admin", None).await), Some(twin)).await;
    assert_eq!(twin.status, 201, "{}", twin.body);
    for query in
        ["actor=ci", "actor=CI", &format!("actor=ci&actor_id={ci}"), &format!("actor=ci&organization_id={}", site.org)]
    {
        let found = site.call("GET", &format!("/api/audit?{query}"), &site.boss, None).await.body;
        assert_eq!(found["items"][0]["actor"]["id"], json!(ci), "{query}: {found}");
        assert_eq!(found["items"].as_array().unwrap().len(), 1, "{query}: {found}");
    }
    let wrong = site.call("GET", &format!("/api/audit?actor=ci&actor_id={}", twin.body["id"]), &site.boss, None).await;
    assert_eq!(wrong.body["items"], json!([]), "another organisation's");
    // It is no person: nothing of it is sealed, and nothing about it is erased.
    assert_eq!(site.app.sql_texts("SELECT token_name FROM audit_entries WHERE token_name = 'runner 1'").len(), 1);

    let shown = site.call("GET", &site.at(&format!("service-accounts/{ci}")), &site.boss, None).await.body;
    assert_eq!((&shown["tokens"], &shown["roles"][0]["role"]), (&json!(1), &json!("developer")));
    assert!(shown["permissions"].as_array().unwrap().contains(&json!("project.execute")), "{shown}");
    let listed = site.call("GET", &format!("/api/users/{ci}/tokens"), &site.boss, None).await.body;
    assert_eq!(listed["items"][0]["name"], "runner 1");
    // People are listed without programs.
    for path in ["/api/users", &site.at("members")] {
        let people = site.call("GET", path, &site.boss, None).await.body;
        assert!(!people.to_string().contains("\"ci\""), "{path}: {people}");
    }
}

#[tokio::test]
async fn a_program_signs_in_nowhere_and_has_nothing_of_a_person() {
    let site = Site::new().await;
    let ci = site.service("ci", "developer").await;
    let key = format!("service:{}:ci", site.org);
    for name in ["ci", &key, "nobody-at-all"] {
        let login = json!({"username": name, "password": PASSWORD});
        let refused = site.app.call("POST", "/api/auth/login", None, Some(login)).await;
        assert_eq!(refusal(&refused), (401, "login_failed", ""), "{name}");
    }
    let root = site.app.person("root", "admin", None).await;
    let attempts = [
        ("PUT", format!("/api/users/{ci}/password"), json!({"password": "a fourth bright morning"})),
        ("POST", format!("/api/users/{ci}/password-reset"), json!({})),
        ("PUT", format!("/api/users/{ci}"), json!({"email": "ci@example.org"})),
        ("POST", format!("/api/users/{ci}/erase"), json!({"username": "ci"})),
        ("GET", format!("/api/users/{ci}/export"), Value::Null),
    ];
    for (method, path, body) in attempts {
        let body = (!body.is_null()).then_some(body);
        let refused = site.call(method, &path, &root, body).await;
        assert_eq!(refusal(&refused), (409, "service_account", ""), "{method} {path}: {}", refused.body);
    }
    // Nor does it do to itself what a person may.
    let token = secret(&site.token(ci, json!({"name": "whole"})).await);
    for (method, path, body) in [
        ("POST", "/api/tokens", json!({"name": "more"})),
        ("PUT", "/api/auth/password", json!({"current": "!", "new": "a fourth bright morning"})),
        ("POST", "/api/invitations/join", json!({"code": "made-up"})),
        ("GET", "/api/users/me/export", Value::Null),
    ] {
        let body = (!body.is_null()).then_some(body);
        let refused = site.call(method, path, &token, body).await;
        assert_eq!(refusal(&refused), (403, "service_account", ""), "{method} {path}");
    }
}

#[tokio::test]
async fn a_program_stays_in_its_organisation_and_under_its_maker() {
    let site = Site::new().await;
    let globex = site.app.org("globex");
    let root = site.app.person("root", "admin", None).await;
    let ci = site.service("ci", "developer").await;
    for (path, body) in [
        (format!("/api/organizations/{globex}/role-assignments"), json!({"user_id": ci, "role": "viewer"})),
        ("/api/role-assignments".to_owned(), json!({"user_id": ci, "role": "viewer"})),
    ] {
        let refused = site.call("POST", &path, &root, Some(body)).await;
        assert_eq!(refusal(&refused), (409, "service_account_elsewhere", ""), "{path}: {}", refused.body);
    }
    // The same name is free in another organisation, and taken in this one.
    let again = json!({"name": "CI"});
    let taken = site.call("POST", &site.at("service-accounts"), &site.boss, Some(again.clone())).await;
    assert_eq!(refusal(&taken), (409, "name_taken", "name"));
    let there = format!("/api/organizations/{globex}/service-accounts");
    assert_eq!(site.call("POST", &there, &root, Some(again)).await.status, 201);
    assert_eq!(site.call("GET", &format!("{there}/{ci}"), &root, None).await.status, 404, "it is of the other one");

    // Somebody who manages people and little else.
    let role = json!({"code": "hr", "name": "Human resources", "permissions": ["user.manage", "user.read", "organization.read"]});
    assert_eq!(site.call("POST", &site.at("roles"), &site.boss, Some(role)).await.status, 201);
    let hr = site.app.person("hr", "hr", Some("acme")).await;
    let more = json!({"name": "more", "role": "developer"});
    let refused = site.call("POST", &site.at("service-accounts"), &hr, Some(more)).await;
    assert_eq!(refusal(&refused), (403, "role_above_yours", "role"));
    let names = site.call("GET", &site.at("service-accounts"), &hr, None).await.body;
    assert_eq!(names["items"].as_array().unwrap().len(), 1, "what was refused left nothing: {names}");
    for (method, rest, body) in [
        ("POST", format!("service-accounts/{ci}/tokens"), json!({"name": "mine now"})),
        ("DELETE", format!("service-accounts/{ci}"), Value::Null),
    ] {
        let body = (!body.is_null()).then_some(body);
        let refused = site.call(method, &site.at(&rest), &hr, body).await;
        assert_eq!(refusal(&refused).1, "role_above_yours", "{method} {rest}");
    }
    // A token asks for no more than the account holds.
    let above = site.token(ci, json!({"name": "x", "scopes": ["organization.manage"]})).await;
    assert_eq!(refusal(&above), (403, "scope_not_held", "scopes"));
    let elsewhere = site.token(ci, json!({"name": "x", "organization_id": globex})).await;
    assert_eq!(refusal(&elsewhere), (404, "not_found", "organization_id"));
}

#[tokio::test]
async fn a_program_ends_with_its_switch_its_deletion_and_its_organisation() {
    let site = Site::new().await;
    let works = async |token: &str| site.call("GET", "/api/projects", token, None).await.status;
    let ci = site.service("ci", "developer").await;
    let token = secret(&site.token(ci, json!({"name": "one"})).await);
    assert_eq!(works(&token).await, 200);
    assert_eq!(site.call("POST", &format!("/api/users/{ci}/deactivate"), &site.boss, None).await.status, 200);
    assert_eq!(works(&token).await, 401);
    assert_eq!(refusal(&site.token(ci, json!({"name": "two"})).await).1, "account_inactive");
    assert_eq!(site.call("POST", &format!("/api/users/{ci}/reactivate"), &site.boss, None).await.status, 200);
    let token = secret(&site.token(ci, json!({"name": "three"})).await);
    assert_eq!(site.call("DELETE", &site.at(&format!("service-accounts/{ci}")), &site.boss, None).await.status, 204);
    assert_eq!(works(&token).await, 401);
    assert_eq!(site.call("GET", &site.at(&format!("service-accounts/{ci}")), &site.boss, None).await.status, 404);

    let root = site.app.person("root", "admin", None).await;
    let bot = site.service("bot", "developer").await;
    let token = secret(&site.token(bot, json!({"name": "four"})).await);
    let why = json!({"reason": "Unpaid."});
    assert_eq!(site.call("POST", &site.at("suspend"), &root, Some(why)).await.status, 200);
    let closed = site.call("GET", "/api/projects", &token, None).await;
    assert_eq!(refusal(&closed), (403, "organization_suspended", ""));
    assert_eq!(site.call("POST", &site.at("resume"), &root, None).await.status, 200);
    assert_eq!(works(&token).await, 200);
}

#[tokio::test]
async fn a_program_is_no_member_and_owns_nothing() {
    let site = Site::new().await;
    let root = site.app.person("root", "admin", None).await;
    let used = async || {
        let quotas = site.call("GET", &site.at("quotas"), &site.boss, None).await.body;
        let quotas = quotas["items"].as_array().unwrap().clone();
        quotas.into_iter().find(|quota| quota["resource"] == "team_members").unwrap()["used"].clone()
    };
    assert_eq!(used().await, 1);
    site.service("ci", "org_admin").await;
    assert_eq!(used().await, 1, "programs are not counted");
    // The program does not keep its organisation from being left without an administrator.
    let boss = site.call("GET", "/api/users", &site.boss, None).await.body["items"][0]["id"].clone();
    let leave = site.call("DELETE", &site.at(&format!("members/{boss}")), &root, None).await;
    assert_eq!(refusal(&leave).1, "last_owner", "{}", leave.body);
}

#[tokio::test]
async fn the_command_line_keeps_service_accounts() {
    let site = Site::new().await;
    let made = site.app.cli_json(
        &["service-account", "create", "acme/nightly", "--role", "viewer", "--description", "Builds at night."],
        "",
    );
    assert_eq!(made["description"], "Builds at night.");
    let token = site.app.cli_json(
        &["token", "create", "runner", "--service-account", "acme/nightly", "--read-only", "--expires-in-days", "7"],
        "",
    );
    assert_eq!(
        token["token"]["scopes"],
        json!(["project.read", "plugin.read", "quota.view", "user.read", "organization.read"])
    );
    site.app.cli_json(&["service-account", "assign", "acme/nightly", "developer"], "");
    let shown = site.app.cli_json(&["service-account", "show", "acme/nightly"], "");
    assert_eq!((shown["roles"].as_array().unwrap().len(), &shown["tokens"]), (2, &json!(1)));
    site.app.cli_json(&["service-account", "revoke", "acme/nightly", "developer"], "");
    let listed = site.app.cli_json(&["token", "list", "--service-account", "acme/nightly"], "");
    let id = listed["items"][0]["id"].to_string();
    site.app.cli_json(&["token", "delete", &id, "--service-account", "acme/nightly"], "");
    assert_eq!(site.app.cli_json(&["token", "list", "--service-account", "acme/nightly"], "")["items"], json!([]));
    let table = String::from_utf8(site.app.cli(&["service-account", "list", "acme"], "").stdout).unwrap();
    assert!(table.contains("nightly") && table.contains("viewer"), "{table}");
    site.app.cli_json(&["service-account", "deactivate", "acme/nightly"], "");
    site.app.cli_json(&["service-account", "reactivate", "acme/nightly"], "");
    site.app.cli_json(&["service-account", "delete", "acme/nightly", "--yes"], "");
    let gone = site.app.cli(&["service-account", "show", "acme/nightly"], "");
    assert_eq!(gone.status.code(), Some(3));
    let wrong = site.app.cli(&["service-account", "show", "nightly"], "");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("ORG/NAME"));
}

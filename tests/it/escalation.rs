//! Every way to come by more than one was given, tried: each is refused, and leaves things as they were.

use serde_json::{Value, json};

use crate::app::{App, PASSWORD, Reply};

/// Two organisations: one whose people try, and one that is none of their business.
struct Site {
    app: App,
    acme: i64,
    globex: i64,
    root: String,
    boss: String,
}

impl Site {
    async fn new() -> Self {
        let app = App::start();
        let (acme, globex) = (app.org("acme"), app.org("globex"));
        let root = app.person("root", "admin", None).await;
        let boss = app.person("boss", "org_admin", Some("acme")).await;
        Self { app, acme, globex, root, boss }
    }

    async fn call(&self, method: &str, path: &str, token: &str, body: Value) -> Reply {
        self.app.call(method, path, Some(token), (!body.is_null()).then_some(body)).await
    }

    /// What must work for the attempt to be one.
    async fn must(&self, method: &str, path: &str, token: &str, body: Value) -> Value {
        let reply = self.call(method, path, token, body).await;
        assert!((200..300).contains(&reply.status), "{method} {path}: {} {}", reply.status, reply.body);
        reply.body
    }

    /// A role of the organisation's own.
    async fn role(&self, org: i64, code: &str, permissions: &[&str]) {
        let body = json!({"code": code, "name": format!("Role {code}"), "permissions": permissions});
        self.must("POST", &format!("/api/organizations/{org}/roles"), &self.root, body).await;
    }

    async fn id(&self, name: &str) -> i64 {
        let users = self.must("GET", &format!("/api/users?q={name}"), &self.root, Value::Null).await;
        let users = users["items"].as_array().unwrap();
        users.iter().find(|user| user["username"] == name).unwrap()["id"].as_i64().unwrap()
    }

    /// Everything `token` allows, as `GET /api/auth/me` says it.
    async fn rights(&self, token: &str) -> Value {
        let me = self.must("GET", "/api/auth/me", token, Value::Null).await;
        json!([me["site_permissions"], me["organizations"], me["teams"]])
    }
}

fn code(reply: &Reply) -> &str {
    reply.body["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_role_holds_no_more_than_who_makes_changes_or_gives_it() {
    let site = Site::new().await;
    site.role(site.acme, "keeper", &["role.manage", "user.manage", "user.read", "organization.read", "project.read"])
        .await;
    site.role(site.acme, "builder", &["project.read", "project.delete"]).await;
    site.role(site.acme, "looker", &["project.read"]).await;
    let keeper = site.app.person("keeper", "keeper", Some("acme")).await;
    let before = site.rights(&keeper).await;
    let roles = format!("/api/organizations/{}/roles", site.acme);
    let assignments = format!("/api/organizations/{}/role-assignments", site.acme);
    let members = format!("/api/organizations/{}/members", site.acme);
    let me = site.id("keeper").await;
    let more = json!(["project.read", "project.delete"]);
    let teams = format!("/api/organizations/{}/teams", site.acme);
    let team = site.must("POST", &teams, &site.boss, json!({"slug": "core", "name": "Core"})).await["id"].clone();
    let attempts = [
        ("POST", roles.clone(), json!({"code": "mine", "name": "Mine", "permissions": more})),
        ("PUT", format!("{roles}/looker"), json!({"permissions": more})),
        (
            "PUT",
            format!("{roles}/keeper"),
            json!({"permissions": ["role.manage", "user.manage", "organization.manage"]}),
        ),
        ("POST", assignments.clone(), json!({"user_id": me, "role": "builder"})),
        ("POST", assignments.clone(), json!({"user_id": me, "role": "org_admin"})),
        ("POST", assignments.clone(), json!({"user_id": me, "role": "developer", "team_id": team})),
        ("POST", members.clone(), json!({"username": "keeper", "role": "org_admin"})),
        ("POST", "/api/role-assignments".to_owned(), json!({"user_id": me, "role": "super_admin"})),
        (
            "POST",
            "/api/users".to_owned(),
            json!({"username": "puppet", "email": "p@example.org", "password": PASSWORD, "role": "org_admin", "organization": "acme"}),
        ),
        (
            "POST",
            format!("/api/organizations/{}/service-accounts", site.acme),
            json!({"name": "puppet", "role": "builder"}),
        ),
        (
            "PUT",
            format!("/api/users/{}/password", site.id("boss").await),
            json!({"password": "a fourth bright morning"}),
        ),
        ("POST", format!("/api/users/{}/password-reset", site.id("boss").await), json!({})),
        ("PUT", format!("/api/users/{}", site.id("boss").await), json!({"email": "mine@example.org"})),
    ];
    for (method, path, body) in attempts {
        let reply = site.call(method, &path, &keeper, body.clone()).await;
        assert_eq!(reply.status, 403, "{method} {path} {body}: {} {}", reply.status, reply.body);
    }
    assert_eq!(site.rights(&keeper).await, before);
    // What they hold they may give.
    site.must("POST", &assignments, &keeper, json!({"user_id": me, "role": "looker"})).await;
}

#[tokio::test]
async fn a_team_administrator_does_nothing_to_the_organisation() {
    let site = Site::new().await;
    let teams = format!("/api/organizations/{}/teams", site.acme);
    let core = site.must("POST", &teams, &site.boss, json!({"slug": "core", "name": "Core"})).await["id"].clone();
    let web = site.must("POST", &teams, &site.boss, json!({"slug": "web", "name": "Web"})).await["id"].clone();
    let lead = site.app.person("lead", "viewer", Some("acme")).await;
    site.must("POST", &format!("/api/teams/{core}/members"), &site.boss, json!({"username": "lead", "role": "admin"}))
        .await;
    let org = format!("/api/organizations/{}", site.acme);
    let attempts = [
        ("PUT", org.clone(), json!({"name": "Mine"})),
        ("PUT", format!("{org}/settings"), json!({"settings": {}})),
        ("DELETE", org.clone(), json!({"confirm": "acme"})),
        ("POST", format!("{org}/teams"), json!({"slug": "mine", "name": "Mine"})),
        ("POST", format!("{org}/roles"), json!({"code": "mine", "name": "Mine", "permissions": ["project.read"]})),
        ("POST", format!("{org}/members"), json!({"username": "lead", "role": "org_admin"})),
        ("POST", format!("{org}/role-assignments"), json!({"username": "lead", "role": "team_admin"})),
        ("POST", format!("{org}/invitations"), json!({"email": "x@example.org", "role": "viewer"})),
        ("POST", format!("{org}/service-accounts"), json!({"name": "mine"})),
        ("PUT", format!("{org}/audit/retention"), json!({"days": 30})),
        ("PUT", format!("{org}/quotas/projects"), json!({"limit_value": 1_000_000})),
        ("PUT", format!("/api/teams/{web}"), json!({"name": "Mine"})),
        ("DELETE", format!("/api/teams/{core}"), Value::Null),
        ("POST", format!("/api/teams/{web}/members"), json!({"username": "lead", "role": "viewer"})),
        ("POST", format!("/api/teams/{core}/members"), json!({"username": "lead", "role": "owner"})),
        ("POST", "/api/projects".to_owned(), json!({"name": "x", "organization_id": site.acme})),
        ("POST", "/api/projects".to_owned(), json!({"name": "x", "team_id": web})),
    ];
    for (method, path, body) in attempts {
        let reply = site.call(method, &path, &lead, body.clone()).await;
        assert!(matches!(reply.status, 403 | 404), "{method} {path} {body}: {} {}", reply.status, reply.body);
    }
    site.must("POST", "/api/projects", &lead, json!({"name": "ours", "team_id": core})).await;
}

#[tokio::test]
async fn a_token_never_holds_more_than_its_owner() {
    let site = Site::new().await;
    let ada = site.app.person("ada", "org_admin", Some("acme")).await;
    let everything = site.must("GET", "/api/permissions", &ada, Value::Null).await;
    let codes: Vec<&str> =
        everything["items"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    let reply = site.call("POST", "/api/tokens", &ada, json!({"name": "x", "scopes": codes})).await;
    assert_eq!((reply.status, code(&reply)), (403, "scope_not_held"), "{}", reply.body);
    let held = ["user.manage", "user.read", "project.read", "project.create"];
    let token = |body: Value| site.must("POST", "/api/tokens", &ada, body);
    let scoped = token(json!({"name": "scoped", "scopes": held})).await["secret"].as_str().unwrap().to_owned();
    let whole = token(json!({"name": "whole"})).await["secret"].as_str().unwrap().to_owned();

    // It gives nobody what it may not itself, whoever its owner is.
    let members = format!("/api/organizations/{}/members", site.acme);
    let ada_id = site.id("ada").await;
    for (method, path, body) in [
        ("POST", members.clone(), json!({"username": "ada", "role": "org_admin"})),
        (
            "POST",
            format!("/api/organizations/{}/role-assignments", site.acme),
            json!({"user_id": ada_id, "role": "developer"}),
        ),
        (
            "POST",
            "/api/users".to_owned(),
            json!({"username": "puppet", "email": "p@example.org", "password": PASSWORD, "role": "org_admin", "organization": "acme"}),
        ),
        (
            "POST",
            format!("/api/organizations/{}/service-accounts", site.acme),
            json!({"name": "puppet", "role": "developer"}),
        ),
        (
            "PUT",
            format!("/api/users/{}/password", site.id("boss").await),
            json!({"password": "a fourth bright morning"}),
        ),
        ("PUT", format!("/api/users/{ada_id}/password"), json!({"password": "a fourth bright morning"})),
        ("POST", "/api/tokens".to_owned(), json!({"name": "unlimited"})),
        ("POST", "/api/tokens".to_owned(), json!({"name": "the same", "scopes": ["project.read"]})),
        (
            "POST",
            format!("/api/organizations/{}/roles", site.acme),
            json!({"code": "x_x", "name": "X x", "permissions": ["audit.read"]}),
        ),
    ] {
        let reply = site.call(method, &path, &scoped, body.clone()).await;
        assert_eq!(reply.status, 403, "{method} {path} {body}: {}", reply.body);
    }
    // Its owner is demoted: so is every token, also one that was made before.
    site.must("POST", &members, &site.boss, json!({"username": "ada", "role": "viewer"})).await;
    for token in [&scoped, &whole, &ada] {
        for (method, path, body) in [
            ("POST", "/api/projects", json!({"name": "x", "organization_id": site.acme})),
            ("POST", members.as_str(), json!({"username": "ada", "role": "developer"})),
        ] {
            assert_eq!(site.call(method, path, token, body).await.status, 403, "{path}: stale rights");
        }
    }
    assert_eq!(site.rights(&scoped).await[1][0]["permissions"], json!(["project.read", "user.read"]));
    // Raised again, the limited one is as limited as before.
    site.must("POST", &members, &site.boss, json!({"username": "ada", "role": "org_admin"})).await;
    assert_eq!(site.rights(&scoped).await[1][0]["permissions"].as_array().unwrap().len(), held.len());
}

#[tokio::test]
async fn a_program_does_not_raise_itself() {
    let site = Site::new().await;
    site.role(site.acme, "hr", &["user.manage", "user.read", "organization.read", "role.manage"]).await;
    let accounts = format!("/api/organizations/{}/service-accounts", site.acme);
    let bot = site.must("POST", &accounts, &site.boss, json!({"name": "bot", "role": "hr"})).await["id"].clone();
    let token = site.must("POST", &format!("{accounts}/{bot}/tokens"), &site.boss, json!({"name": "x"})).await;
    let token = token["secret"].as_str().unwrap();
    let before = site.rights(token).await;
    let assignments = format!("/api/organizations/{}/role-assignments", site.acme);
    for (path, body) in [
        (assignments.clone(), json!({"user_id": bot, "role": "org_admin"})),
        (assignments.clone(), json!({"user_id": bot, "role": "developer"})),
        ("/api/role-assignments".to_owned(), json!({"user_id": bot, "role": "super_admin"})),
        (
            format!("/api/organizations/{}/roles", site.acme),
            json!({"code": "x_x", "name": "X x", "permissions": ["audit.read"]}),
        ),
        (accounts.clone(), json!({"name": "second", "role": "developer"})),
        (format!("{accounts}/{bot}/tokens"), json!({"name": "another"})),
        ("/api/tokens".to_owned(), json!({"name": "another"})),
    ] {
        let reply = site.call("POST", &path, token, body.clone()).await;
        assert_eq!(reply.status, 403, "{path} {body}: {}", reply.body);
    }
    assert_eq!(site.rights(token).await, before);
}

#[tokio::test]
async fn an_invitation_gives_what_its_author_still_has() {
    let site = Site::new().await;
    site.role(site.acme, "host", &["user.invite", "organization.read", "project.read", "project.create"]).await;
    site.role(site.acme, "guest", &["project.read"]).await;
    let host = site.app.person("host", "host", Some("acme")).await;
    let path = format!("/api/organizations/{}/invitations", site.acme);
    let above = site.call("POST", &path, &host, json!({"email": "x@example.org", "role": "developer"})).await;
    assert_eq!(above.status, 403, "{}", above.body);
    let sent = site.must("POST", &path, &host, json!({"email": "x@example.org", "role": "guest"})).await;
    site.must(
        "POST",
        &format!("/api/organizations/{}/members", site.acme),
        &site.boss,
        json!({"username": "host", "role": "viewer"}),
    )
    .await;
    let accept = json!({"code": sent["code"], "username": "guest", "password": "a fifth bright morning"});
    let refused = site.app.call("POST", "/api/invitations/accept", None, Some(accept)).await;
    assert_eq!(code(&refused), "invitation_refused", "{}", refused.body);
}

#[tokio::test]
async fn a_role_of_another_organisation_is_none_here() {
    let site = Site::new().await;
    site.role(site.globex, "chief", &["organization.manage", "user.manage", "project.read"]).await;
    let assignments = format!("/api/organizations/{}/role-assignments", site.acme);
    let me = site.id("boss").await;
    let unknown = site.call("POST", &assignments, &site.boss, json!({"user_id": me, "role": "chief"})).await;
    assert_eq!(code(&unknown), "unknown_role", "{}", unknown.body);
    let site_wide =
        site.call("POST", "/api/role-assignments", &site.root, json!({"user_id": me, "role": "chief"})).await;
    assert_eq!(code(&site_wide), "unknown_role", "{}", site_wide.body);
    // Of the same code, each organisation's is its own.
    site.role(site.acme, "chief", &["project.read"]).await;
    let ada = site.app.person("ada", "chief", Some("acme")).await;
    assert_eq!(site.rights(&ada).await[1][0]["permissions"], json!(["project.read"]));
    let more = json!({"permissions": ["project.read", "audit.read"]});
    site.must("PUT", &format!("/api/organizations/{}/roles/chief", site.globex), &site.root, more).await;
    assert_eq!(site.rights(&ada).await[1][0]["permissions"], json!(["project.read"]));
    let there = format!("/api/organizations/{}/roles/chief", site.globex);
    assert_eq!(site.call("PUT", &there, &site.boss, json!({"name": "Mine"})).await.status, 404);
}

#[tokio::test]
async fn a_session_is_worth_what_its_owner_is_at_the_moment() {
    let site = Site::new().await;
    let ada = site.app.person("ada", "org_admin", Some("acme")).await;
    let id = site.id("ada").await;
    let org = format!("/api/organizations/{}", site.acme);
    let try_all = async |status: u16| {
        for (method, path, body) in [
            ("PUT", org.clone(), json!({"contact_email": "x@example.org"})),
            ("POST", format!("{org}/role-assignments"), json!({"user_id": id, "role": "org_admin"})),
            ("POST", format!("{org}/invitations"), json!({"email": "x@example.org", "role": "viewer"})),
        ] {
            assert_eq!(site.call(method, &path, &ada, body).await.status, status, "{method} {path}");
        }
    };
    site.must("PUT", &org, &ada, json!({"contact_email": "y@example.org"})).await;
    site.must("POST", &format!("{org}/members"), &site.boss, json!({"username": "ada", "role": "viewer"})).await;
    try_all(403).await;
    site.must("DELETE", &format!("{org}/members/{id}"), &site.boss, Value::Null).await;
    try_all(403).await;
    assert_eq!(site.call("GET", &org, &ada, Value::Null).await.status, 403);
    site.must("POST", &format!("/api/users/{id}/deactivate"), &site.root, Value::Null).await;
    try_all(401).await;
}

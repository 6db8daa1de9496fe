//! Teams: what is theirs, who is in them, who owns them.

use serde_json::{Value, json};

use crate::app::{App, Reply};

/// An organisation `acme` with the administrator `boss`; their token and the organisation's id.
async fn acme(app: &App) -> (String, i64) {
    let org = app.org("acme");
    (app.person("boss", "org_admin", Some("acme")).await, org)
}

async fn post(app: &App, token: &str, path: &str, body: Value) -> Reply {
    app.call("POST", path, Some(token), Some(body)).await
}

async fn made(app: &App, token: &str, path: &str, body: Value) -> i64 {
    let reply = post(app, token, path, body).await;
    assert_eq!(reply.status, 201, "{path}: {}", reply.body);
    reply.body["id"].as_i64().unwrap_or_default()
}

async fn team(app: &App, token: &str, org: i64, slug: &str) -> i64 {
    made(app, token, &format!("/api/organizations/{org}/teams"), json!({"slug": slug, "name": slug})).await
}

async fn join(app: &App, token: &str, team: i64, name: &str, role: &str) -> Reply {
    post(app, token, &format!("/api/teams/{team}/members"), json!({"username": name, "role": role})).await
}

/// What `name` is in the organisation only through the team: their role over the whole of it is taken.
async fn only_in(app: &App, boss: &str, org: i64, team: i64, name: &str, role: &str) -> String {
    let token = app.person(name, "viewer", Some("acme")).await;
    assert_eq!(join(app, boss, team, name, role).await.status, 201);
    app.cli_json(&["role", "revoke", name, "viewer", "--org", "acme"], "");
    assert_eq!(app.call("GET", &format!("/api/organizations/{org}"), Some(&token), None).await.status, 200);
    token
}

fn status(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.body["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_role_in_a_team_counts_there_and_nowhere_else() {
    let app = App::start();
    let (boss, org) = acme(&app).await;
    let (backend, frontend) = (team(&app, &boss, org, "backend").await, team(&app, &boss, org, "frontend").await);
    let dev = only_in(&app, &boss, org, backend, "dev", "member").await;
    let project = |name: &str, team: Value| json!({"name": name, "organization_id": org, "team_id": team});
    let whole = made(&app, &boss, "/api/projects", project("whole", Value::Null)).await;
    let theirs = made(&app, &boss, "/api/projects", project("theirs", json!(frontend))).await;
    // Who may make projects in one team only need not name it.
    let own = post(&app, &dev, "/api/projects", json!({"name": "own"})).await;
    assert_eq!((own.status, &own.body["team_id"]), (201, &json!(backend)), "{}", own.body);
    let own = own.body["id"].as_i64().unwrap();
    for home in [json!({"organization_id": org}), json!({"team_id": frontend}), json!({"team_id": 900_000_001})] {
        let mut body = home.clone();
        body["name"] = json!("refused");
        assert_eq!(post(&app, &dev, "/api/projects", body).await.status, 404, "{home}");
    }
    let listed = app.call("GET", "/api/projects", Some(&dev), None).await.body;
    let names: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [&json!("own")]);
    let all = app.call("GET", &format!("/api/projects?team_id={frontend}"), Some(&boss), None).await.body;
    assert_eq!((all["items"].as_array().unwrap().len(), &all["items"][0]["name"]), (1, &json!("theirs")));
    // Files and runs go with the project.
    let file = json!({"path": "a.txt", "content": "a"});
    let file_of = async |project: i64| post(&app, &dev, &format!("/api/projects/{project}/files"), file.clone()).await;
    for hidden in [whole, theirs] {
        assert_eq!(file_of(hidden).await.status, 404);
        for below in ["", "/files", "/findings", "/runs", "/download"] {
            let path = format!("/api/projects/{hidden}{below}");
            assert_eq!(app.call("GET", &path, Some(&dev), None).await.status, 404, "{path}");
        }
    }
    let file = file_of(own).await;
    assert_eq!(file.status, 201, "{}", file.body);
    let file = format!("/api/files/{}", file.body["id"]);
    assert_eq!(app.call("GET", &file, Some(&dev), None).await.status, 200);
    // Moving asks for both places.
    let moved = async |token: &str, id: i64, to: Value| {
        app.call("PUT", &format!("/api/projects/{id}"), Some(token), Some(json!({"team_id": to}))).await
    };
    for to in [json!(null), json!(frontend), json!(900_000_001)] {
        assert_eq!(moved(&dev, own, to.clone()).await.status, 404, "{to}");
    }
    assert_eq!(moved(&dev, whole, json!(backend)).await.status, 404);
    assert_eq!(moved(&boss, own, json!(frontend)).await.body["team_id"], frontend);
    assert_eq!(app.call("GET", &file, Some(&dev), None).await.status, 404, "the file went with it");
    let renamed = json!({"name": "renamed"});
    let kept = app.call("PUT", &format!("/api/projects/{own}"), Some(&boss), Some(renamed)).await;
    assert_eq!(kept.body["team_id"], frontend, "absent stays");
    assert_eq!(moved(&boss, own, Value::Null).await.body["team_id"], Value::Null);
    // The organisation is there for them, what is the organisation's business is not.
    assert_eq!(app.call("GET", "/api/models", Some(&dev), None).await.status, 200);
    assert_eq!(app.call("GET", "/api/plugins", Some(&dev), None).await.status, 200);
    for hidden in ["members", "quotas", "role-assignments", "permissions/explain?permission=project.read"] {
        let path = format!("/api/organizations/{org}/{hidden}");
        assert_eq!(app.call("GET", &path, Some(&dev), None).await.status, 404, "{path}");
    }
    let teams = app.call("GET", &format!("/api/organizations/{org}/teams"), Some(&dev), None).await.body;
    assert_eq!((teams["items"].as_array().unwrap().len(), &teams["items"][0]["slug"]), (1, &json!("backend")));
    assert_eq!(app.call("GET", &format!("/api/teams/{frontend}"), Some(&dev), None).await.status, 404);
}

#[tokio::test]
async fn a_teams_owner_does_not_touch_the_organisation_or_other_teams() {
    let app = App::start();
    let (boss, org) = acme(&app).await;
    let (backend, frontend) = (team(&app, &boss, org, "backend").await, team(&app, &boss, org, "frontend").await);
    let lead = only_in(&app, &boss, org, backend, "lead", "owner").await;
    app.person("mate", "viewer", Some("acme")).await;
    let user = |name: &str| json!({"username": name, "role": "admin"});
    let attempts = [
        ("POST", format!("/api/organizations/{org}/teams"), json!({"slug": "x", "name": "X"}), 404),
        ("PUT", format!("/api/teams/{frontend}"), json!({"name": "mine"}), 404),
        ("DELETE", format!("/api/teams/{frontend}"), json!({}), 404),
        ("POST", format!("/api/teams/{frontend}/members"), user("lead"), 404),
        ("POST", format!("/api/organizations/{org}/members"), json!({"username": "lead", "role": "org_admin"}), 403),
        (
            "POST",
            format!("/api/organizations/{org}/role-assignments"),
            json!({"username": "lead", "role": "org_admin"}),
            403,
        ),
        (
            "POST",
            format!("/api/organizations/{org}/roles"),
            json!({"code": "xx", "name": "X", "permissions": ["project.read"]}),
            403,
        ),
        ("POST", "/api/role-assignments".to_owned(), json!({"username": "lead", "role": "viewer"}), 403),
        ("PUT", format!("/api/organizations/{org}/quotas/projects"), json!({"limit_value": 9}), 403),
        ("POST", "/api/organizations".to_owned(), json!({"name": "X", "slug": "x"}), 403),
    ];
    for (method, path, body, wanted) in attempts {
        let reply = app.call(method, &path, Some(&lead), Some(body)).await;
        assert_eq!(reply.status, wanted, "{method} {path}: {}", reply.body);
    }
    // Within the team they decide: also about who else owns it.
    for (name, role) in [("mate", "admin"), ("mate", "owner"), ("mate", "viewer")] {
        assert_eq!(join(&app, &lead, backend, name, role).await.status, 201, "{role}");
    }
    let changed = json!({"name": "Backend", "settings": {"run_token_budget": 5000}});
    let changed = app.call("PUT", &format!("/api/teams/{backend}"), Some(&lead), Some(changed)).await;
    assert_eq!(
        (changed.status, &changed.body["settings"]["run_token_budget"]),
        (200, &json!(5000)),
        "{}",
        changed.body
    );
    // An admin of the team is no owner.
    let second = only_in(&app, &boss, org, backend, "second", "admin").await;
    assert_eq!(status(&join(&app, &second, backend, "second", "owner").await), (403, "owners_only"));
    assert_eq!(status(&join(&app, &second, backend, "lead", "viewer").await), (403, "owners_only"));
    assert_eq!(join(&app, &second, backend, "mate", "member").await.status, 201);
    let gone = app.call("DELETE", &format!("/api/teams/{backend}"), Some(&second), None).await;
    assert_eq!(status(&gone), (403, "owners_only"));
}

#[tokio::test]
async fn the_last_owner_stays_and_everybody_else_may_leave() {
    let app = App::start();
    let (boss, org) = acme(&app).await;
    let backend = team(&app, &boss, org, "backend").await;
    let viewer = app.person("viewer", "viewer", Some("acme")).await;
    assert_eq!(join(&app, &boss, backend, "viewer", "viewer").await.status, 201);
    let members = app.call("GET", &format!("/api/teams/{backend}/members"), Some(&boss), None).await.body;
    let id = |name: &str| {
        let all = members["items"].as_array().unwrap();
        all.iter().find(|one| one["username"] == name).unwrap()["user_id"].as_i64().unwrap()
    };
    assert_eq!(members["items"][1]["role"], "owner", "{members}");
    let leave = async |token: &str, user: i64| {
        app.call("DELETE", &format!("/api/teams/{backend}/members/{user}"), Some(token), None).await
    };
    assert_eq!(status(&leave(&boss, id("boss")).await), (409, "last_owner"));
    assert_eq!(status(&join(&app, &boss, backend, "boss", "member").await), (409, "last_owner"));
    let out = format!("/api/organizations/{org}/members/{}", id("boss"));
    assert_eq!(status(&app.call("DELETE", &out, Some(&boss), None).await), (409, "last_owner"));
    assert_eq!(leave(&viewer, id("boss")).await.status, 403, "nobody else's place");
    assert_eq!(leave(&viewer, id("viewer")).await.status, 204);
    assert_eq!(leave(&viewer, id("viewer")).await.status, 404);
    assert_eq!(join(&app, &boss, backend, "viewer", "owner").await.status, 201);
    assert_eq!(leave(&boss, id("boss")).await.status, 204);
    let trail = app.cli_json(&["audit", "list", "--action", "permission_change", "--limit", "2"], "");
    assert_eq!(trail["items"][0]["description"], "boss left team backend");
    assert_eq!(trail["items"][0]["before"]["role"], "owner");
    assert_eq!(trail["items"][1]["after"]["role"], "owner");
}

#[tokio::test]
async fn two_owners_who_demote_each_other_leave_one() {
    let app = App::start();
    let (boss, org) = acme(&app).await;
    for at in 0..5 {
        let team = team(&app, &boss, org, &format!("team-{at}")).await;
        let (one, other) = (format!("one{at}"), format!("other{at}"));
        let first = app.person(&one, "developer", Some("acme")).await;
        let second = app.person(&other, "developer", Some("acme")).await;
        for name in [&one, &other] {
            assert_eq!(join(&app, &boss, team, name, "owner").await.status, 201);
        }
        let users = app.call("GET", &format!("/api/teams/{team}/members"), Some(&boss), None).await.body;
        let own = users["items"].as_array().unwrap().iter().find(|one| one["username"] == "boss").unwrap();
        let own = format!("/api/teams/{team}/members/{}", own["user_id"]);
        assert_eq!(app.call("DELETE", &own, Some(&boss), None).await.status, 204);
        let (a, b) =
            tokio::join!(join(&app, &first, team, &other, "viewer"), join(&app, &second, team, &one, "viewer"));
        let won = [&a, &b].iter().filter(|reply| reply.status == 201).count();
        assert_eq!(won, 1, "{} {}", a.body, b.body);
    }
}

#[tokio::test]
async fn everybody_is_in_the_default_team_as_their_role_says() {
    let app = App::start();
    let (boss, org) = acme(&app).await;
    app.person("dev", "developer", Some("acme")).await;
    let teams = app.call("GET", &format!("/api/organizations/{org}/teams"), Some(&boss), None).await.body;
    assert_eq!((&teams["items"][0]["slug"], &teams["items"][0]["is_default"]), (&json!("default"), &json!(true)));
    let team = teams["items"][0]["id"].as_i64().unwrap();
    let roles = async || {
        let members = app.call("GET", &format!("/api/teams/{team}/members"), Some(&boss), None).await.body;
        let members = members["items"].as_array().unwrap().clone();
        members.iter().map(|one| format!("{} {}", one["username"], one["role"]).replace('"', "")).collect::<Vec<_>>()
    };
    assert_eq!(roles().await, ["dev member", "boss owner"]);
    app.cli_json(&["member", "add", "acme", "dev", "--role", "viewer"], "");
    assert_eq!(roles().await, ["dev viewer", "boss owner"]);
    app.cli(&["member", "remove", "acme", "dev"], "");
    assert_eq!(roles().await, ["boss owner"]);
    assert_eq!(status(&join(&app, &boss, team, "boss", "viewer").await), (409, "default_team"));
    let gone = app.call("DELETE", &format!("/api/teams/{team}"), Some(&boss), None).await;
    assert_eq!(status(&gone), (409, "default_team"));
}

#[tokio::test]
async fn only_people_of_the_organisation_join_and_bad_teams_are_refused() {
    let app = App::start();
    let (boss, org) = acme(&app).await;
    app.org("other");
    app.person("stranger", "developer", Some("other")).await;
    let backend = team(&app, &boss, org, "backend").await;
    let (foreign, absent) =
        (join(&app, &boss, backend, "stranger", "viewer").await, join(&app, &boss, backend, "nobody", "viewer").await);
    assert_eq!(foreign.status, 404);
    assert_eq!(foreign.body["detail"], absent.body["detail"].as_str().unwrap().replace("nobody", "stranger"));
    let path = format!("/api/organizations/{org}/teams");
    for (body, wanted) in [
        (json!({"slug": "backend", "name": "Other"}), (409, "slug_taken")),
        (json!({"slug": "other", "name": "BACKEND"}), (409, "name_taken")),
        (json!({"slug": "other", "name": "Default tearn"}), (409, "name_taken")),
        (json!({"slug": "Bad Slug", "name": "Other"}), (400, "invalid_slug")),
        (json!({"slug": "other", "name": "a\u{200b}b"}), (400, "invalid_name")),
        (json!({"slug": "other", "name": "Other", "settings": {"run_token_budget": 1}}), (400, "invalid_settings")),
        (json!({"slug": "other", "name": "Other", "settings": {"default_model": "a b"}}), (400, "invalid_settings")),
        (json!({"slug": "other", "name": "Other", "settings": {"language": "rust"}}), (400, "invalid_json")),
        (json!({"slug": "other", "name": "Other", "description": "x".repeat(1001)}), (400, "invalid_description")),
    ] {
        assert_eq!(status(&post(&app, &boss, &path, body.clone()).await), wanted, "{body}");
    }
    // A team that has projects stays.
    let project =
        made(&app, &boss, "/api/projects", json!({"name": "P", "organization_id": org, "team_id": backend})).await;
    let gone = async || app.call("DELETE", &format!("/api/teams/{backend}"), Some(&boss), None).await;
    assert_eq!(status(&gone().await), (409, "team_has_projects"));
    assert_eq!(app.call("DELETE", &format!("/api/projects/{project}"), Some(&boss), None).await.status, 204);
    assert_eq!(gone().await.status, 204);
    assert_eq!(gone().await.status, 404);
}

#[tokio::test]
async fn teams_are_handled_from_a_shell() {
    let app = App::start();
    app.org("acme");
    app.person("ada", "developer", Some("acme")).await;
    let team = app.cli_json(&["team", "create", "acme", "backend", "--name", "Backend", "--owner", "ada"], "");
    assert_eq!(team["slug"], "backend");
    app.person("bob", "viewer", Some("acme")).await;
    assert_eq!(app.cli_json(&["team", "add", "acme", "backend", "bob"], "")["role"], "member");
    app.cli_json(&["team", "update", "acme", "backend", "--setting", "run_token_budget=5000"], "");
    let shown = app.cli_json(&["team", "show", "acme", "backend"], "");
    assert_eq!((&shown["settings"]["run_token_budget"], shown["members"].as_array().unwrap().len()), (&json!(5000), 2));
    let text = String::from_utf8(app.cli(&["team", "show", "acme", "backend"], "").stdout).unwrap();
    assert!(text.contains("bob@example.org") && text.contains("owner"), "{text}");
    let project = ["project", "create", "--name", "P", "--org", "acme", "--team", "backend"];
    assert_eq!(app.cli_json(&project, "")["team_id"], team["id"]);
    assert_eq!(app.cli_json(&["project", "update", "P", "--team", ""], "")["team_id"], Value::Null);
    assert_eq!(app.cli_json(&["project", "list", "--org", "acme", "--team", "backend"], "")["items"], json!([]));
    assert_eq!(app.cli(&["team", "remove", "acme", "backend", "ada"], "").status.code(), Some(5));
    app.cli_json(&["team", "remove", "acme", "backend", "bob"], "");
    assert_eq!(app.cli_json(&["team", "list", "acme"], "")["items"].as_array().unwrap().len(), 2);
    let found = app.cli_json(&["team", "list", "acme", "--search", "BACK"], "");
    assert_eq!((&found["items"][0]["slug"], &found["items"][1]), (&json!("backend"), &Value::Null));
    let slip = app.cli(&["team", "show", "acme", "backnd"], "");
    assert!(slip.status.code() == Some(3) && String::from_utf8_lossy(&slip.stderr).contains("backend"), "{slip:?}");
    app.cli_json(&["team", "delete", "acme", "backend", "--yes"], "");
}

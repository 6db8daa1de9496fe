//! Roles: organisations' own, who holds which, who may give them, and why somebody may do something.

use serde_json::{Value, json};

use crate::app::{App, PASSWORD, Reply};

async fn post(app: &App, token: &str, path: &str, body: Value) -> Reply {
    app.call("POST", path, Some(token), Some(body)).await
}

fn status(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.body["code"].as_str().unwrap_or_default())
}

fn role(code: &str, permissions: &[&str]) -> Value {
    json!({"code": code, "name": code.replace('_', " "), "permissions": permissions})
}

/// An organisation with an administrator; their token and its id.
async fn org(app: &App, slug: &str) -> (String, i64) {
    let id = app.org(slug);
    (app.person(&format!("{slug}-boss"), "org_admin", Some(slug)).await, id)
}

#[tokio::test]
async fn two_organisations_have_a_role_of_the_same_code_and_each_its_own() {
    let app = App::start();
    let ((acme_boss, acme), (other_boss, other)) = (org(&app, "acme").await, org(&app, "other").await);
    let path = |org: i64| format!("/api/organizations/{org}/roles");
    let made = post(&app, &acme_boss, &path(acme), role("qa_engineer", &["project.update", "project.read"])).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["permissions"], json!(["project.read", "project.update"]), "in the catalogue's order");
    assert_eq!(post(&app, &other_boss, &path(other), role("qa_engineer", &["organization.read"])).await.status, 201);
    let (ada, bob) =
        (app.person("ada", "viewer", Some("acme")).await, app.person("bob", "viewer", Some("other")).await);
    for (token, org, name) in [(&acme_boss, acme, "ada"), (&other_boss, other, "bob")] {
        let path = format!("/api/organizations/{org}/role-assignments");
        let body = json!({"username": name, "role": "qa_engineer"});
        let given = post(&app, token, &path, body.clone()).await;
        assert_eq!(given.status, 201, "{}", given.body);
        assert_eq!(status(&post(&app, token, &path, body).await), (409, "role_held"));
    }
    let project = async |boss: &str| post(&app, boss, "/api/projects", json!({"name": "P"})).await.body["id"].clone();
    let (ours, theirs) = (project(&acme_boss).await, project(&other_boss).await);
    let change = async |token: &str, id: &Value| {
        app.call("PUT", &format!("/api/projects/{id}"), Some(token), Some(json!({"name": "Q"}))).await.status
    };
    assert_eq!((change(&ada, &ours).await, change(&ada, &theirs).await, change(&bob, &theirs).await), (200, 404, 403));
    // What a role allows counts from the next request on.
    let own = format!("{}/qa_engineer", path(acme));
    let narrowed = json!({"permissions": ["project.read"]});
    assert_eq!(app.call("PUT", &own, Some(&acme_boss), Some(narrowed)).await.status, 200);
    assert_eq!(change(&ada, &ours).await, 403);
    let widened = json!({"permissions": ["project.update"], "name": "Tester"});
    assert_eq!(app.call("PUT", &own, Some(&acme_boss), Some(widened)).await.status, 200);
    assert_eq!(change(&ada, &ours).await, 200);
    // One that is held stays.
    let refused = app.call("DELETE", &own, Some(&acme_boss), None).await;
    assert_eq!(status(&refused), (409, "role_held"));
    assert!(refused.body["detail"].as_str().unwrap().starts_with("1 person holds"), "{}", refused.body);
    let path = format!("/api/organizations/{acme}/role-assignments?role=qa_engineer");
    let held = app.call("GET", &path, Some(&ada), None).await.body["items"].clone();
    assert_eq!((held.as_array().unwrap().len(), &held[0]["granted_by"]["name"]), (1, &json!("acme-boss")), "{held}");
    let one = format!("/api/organizations/{acme}/role-assignments/{}", held[0]["id"]);
    assert_eq!(app.call("DELETE", &one, Some(&other_boss), None).await.status, 404);
    assert_eq!(app.call("DELETE", &one, Some(&acme_boss), None).await.status, 204);
    assert_eq!(change(&ada, &ours).await, 403);
    assert_eq!(app.call("DELETE", &own, Some(&acme_boss), None).await.status, 204);
    let trail = app.cli_json(&["audit", "list", "--org", "acme", "--action", "permission_change", "--limit", "4"], "");
    let told: Vec<&str> =
        trail["items"].as_array().unwrap().iter().map(|one| one["description"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        [
            "Deleted role qa_engineer",
            "Took the role qa_engineer from ada",
            "Changed role qa_engineer",
            "Changed role qa_engineer"
        ]
    );
    assert_eq!(trail["items"][2]["before"]["permissions"], json!(["project.read"]));
    assert_eq!(trail["items"][2]["after"]["permissions"], json!(["project.update"]));
}

/// `clerk` manages people and roles, and holds little else.
#[tokio::test]
async fn nobody_rises_by_roles_by_any_route() {
    let app = App::start();
    let (boss, acme) = org(&app, "acme").await;
    let (roles, held) =
        (format!("/api/organizations/{acme}/roles"), format!("/api/organizations/{acme}/role-assignments"));
    let own = ["user.manage", "role.manage", "user.read", "organization.read", "team.manage"];
    assert_eq!(post(&app, &boss, &roles, role("clerk", &own)).await.status, 201);
    let strong = role("strong", &["project.delete", "audit.read"]);
    assert_eq!(post(&app, &boss, &roles, strong).await.status, 201);
    let clerk = app.person("clerk", "clerk", Some("acme")).await;
    app.person("mate", "viewer", Some("acme")).await;
    let team = post(&app, &boss, &format!("/api/organizations/{acme}/teams"), json!({"slug": "t", "name": "T"})).await;
    let team = team.body["id"].as_i64().unwrap();
    let me = app.call("GET", "/api/auth/me", Some(&clerk), None).await.body;
    let id = me["user"]["id"].as_i64().unwrap();
    let person = |role: &str| json!({"username": "new", "email": "new@example.org", "password": PASSWORD, "role": role, "organization": "acme"});
    let by_name = |role: &str| json!({"username": "clerk", "role": role});
    let in_team = |role: &str| json!({"username": "clerk", "role": role, "team_id": team});
    let own_role = format!("{roles}/clerk");
    let wide = json!({"permissions": ["user.manage", "project.delete"]});
    let attempts = [
        ("POST", roles.clone(), role("mine", &["audit.read"])),
        ("POST", roles.clone(), role("mine", &["organization.create"])),
        ("PUT", own_role, wide.clone()),
        ("PUT", format!("{roles}/strong"), json!({"permissions": ["user.read"]})),
        ("PUT", format!("{roles}/strong"), json!({"name": "Weak"})),
        ("DELETE", format!("{roles}/strong"), json!({})),
        ("POST", held.clone(), by_name("strong")),
        ("POST", held.clone(), by_name("org_admin")),
        ("POST", held.clone(), by_name("developer")),
        ("POST", held.clone(), in_team("team_admin")),
        ("POST", held.clone(), in_team("org_admin")),
        ("POST", held.clone(), in_team("team_owner")),
        ("POST", format!("/api/organizations/{acme}/members"), by_name("org_admin")),
        ("POST", format!("/api/organizations/{acme}/members"), json!({"username": "acme-boss", "role": "clerk"})),
        ("POST", "/api/users".to_owned(), person("org_admin")),
        ("POST", "/api/users".to_owned(), person("strong")),
        ("POST", format!("/api/teams/{team}/members"), by_name("admin")),
        ("PUT", format!("/api/teams/{team}/members/{id}"), json!({"role": "viewer"})),
        ("POST", "/api/role-assignments".to_owned(), by_name("viewer")),
        ("POST", "/api/role-assignments".to_owned(), by_name("super_admin")),
    ];
    for (method, path, body) in attempts {
        let reply = app.call(method, &path, Some(&clerk), Some(body.clone())).await;
        assert_eq!(reply.status, 403, "{method} {path} {body}: {}", reply.body);
    }
    let users = app.call("GET", "/api/users", Some(&boss), None).await.body;
    let chief = users["items"].as_array().unwrap().iter().find(|one| one["username"] == "acme-boss").unwrap();
    let taken =
        app.call("DELETE", &format!("/api/organizations/{acme}/members/{}", chief["id"]), Some(&clerk), None).await;
    assert_eq!(status(&taken), (403, "role_above_yours"));
    let password = format!("/api/users/{}/password", chief["id"]);
    let reply = app.call("PUT", &password, Some(&clerk), Some(json!({"password": "another long password"}))).await;
    assert_eq!(status(&reply), (403, "role_above_yours"));
    // No built-in role changes, not by anybody.
    for code in ["viewer", "org_admin", "super_admin"] {
        let reply = app.call("PUT", &format!("{roles}/{code}"), Some(&boss), Some(wide.clone())).await;
        assert_eq!(status(&reply), (409, "role_built_in"), "{code}");
    }
    // What they hold, they may give.
    assert_eq!(post(&app, &clerk, &roles, role("junior", &["user.read", "organization.read"])).await.status, 201);
    assert_eq!(post(&app, &clerk, &held, json!({"username": "mate", "role": "junior"})).await.status, 201);
    let after = app.call("GET", "/api/auth/me", Some(&clerk), None).await.body;
    assert_eq!(me, after, "nothing was gained");
}

#[tokio::test]
async fn roles_that_are_none_and_names_that_look_alike_are_refused() {
    let app = App::start();
    let (boss, acme) = org(&app, "acme").await;
    let roles = format!("/api/organizations/{acme}/roles");
    let named = |name: &str| json!({"code": "one_more", "name": name, "permissions": ["project.read"]});
    assert_eq!(post(&app, &boss, &roles, role("release_manager", &["project.read"])).await.status, 201);
    for (body, wanted) in [
        (named("Release Manager"), (409, "name_taken")),
        (named("reIease manager"), (409, "name_taken")),
        (named("Viewer"), (409, "name_taken")),
        (named("VlEWER"), (409, "name_taken")),
        (named("Вiewer"), (400, "invalid_name")),
        (named("Auditor\u{202e}"), (400, "invalid_name")),
        (named("Audi\u{200d}tor"), (400, "invalid_name")),
        (named(" "), (400, "invalid_name")),
        (named(&"x".repeat(500_000)), (400, "invalid_name")),
        (role("release_manager", &["project.read"]), (409, "code_taken")),
        (role("viewer", &["project.read"]), (409, "code_reserved")),
        (role("admin", &["project.read"]), (409, "code_reserved")),
        (role("Bad-Code", &["project.read"]), (400, "invalid_code")),
        (role("one_more", &[]), (400, "permissions_missing")),
        (role("one_more", &["project.*"]), (400, "unknown_permission")),
    ] {
        let reply = post(&app, &boss, &roles, body).await;
        let (code, wanted) = match status(&reply) {
            // The name of `release_manager` is taken, too.
            (409, "name_taken") if wanted.1 == "code_taken" => (wanted, wanted),
            other => (other, wanted),
        };
        assert_eq!(code, wanted, "{}", reply.body);
    }
    let held = format!("/api/organizations/{acme}/role-assignments");
    for (body, wanted) in [
        (json!({"username": "acme-boss", "role": "nothing"}), (400, "unknown_role")),
        (json!({"username": "acme-boss", "role": "super_admin"}), (400, "role_over_site")),
        (json!({"username": "acme-boss", "role": "team_owner"}), (400, "role_in_teams")),
        (json!({"username": "acme-boss", "role": "viewer", "team_id": 900_000_001}), (404, "not_found")),
        (json!({"role": "viewer"}), (400, "person_missing")),
        (json!({"username": "nobody", "role": "viewer"}), (404, "not_found")),
    ] {
        let reply = post(&app, &boss, &held, body.clone()).await;
        assert_eq!(status(&reply), wanted, "{body}: {}", reply.body);
    }
}

#[tokio::test]
async fn two_administrators_who_demote_each_other_leave_one() {
    let app = App::start();
    let root = app.person("root", "admin", None).await;
    for at in 0..5 {
        let slug = format!("org-{at}");
        let id = app.org(&slug);
        let (one, other) = (format!("one{at}"), format!("other{at}"));
        let first = app.person(&one, "org_admin", Some(&slug)).await;
        let second = app.person(&other, "org_admin", Some(&slug)).await;
        let demote = async |token: &str, name: &str| {
            let body = json!({"username": name, "role": "viewer"});
            post(&app, token, &format!("/api/organizations/{id}/members"), body).await
        };
        let (a, b) = tokio::join!(demote(&first, &other), demote(&second, &one));
        let won = [&a, &b].iter().filter(|reply| reply.status == 201).count();
        assert_eq!(won, 1, "{} {}", a.body, b.body);
        let path = format!("/api/organizations/{id}/role-assignments?role=org_admin");
        let held = app.call("GET", &path, Some(&root), None);
        assert_eq!(held.await.body["items"].as_array().unwrap().len(), 1);
    }
    // The same over the site: whoever is left cannot go, and the one who lost may try in vain.
    let second = app.person("second", "admin", None).await;
    let held = app.call("GET", "/api/role-assignments", Some(&root), None).await.body["items"].clone();
    let id = |name: &str| {
        held.as_array().unwrap().iter().find(|one| one["username"] == name).unwrap()["id"].as_i64().unwrap()
    };
    let take = async |token: &str, id: i64| {
        app.call("DELETE", &format!("/api/role-assignments/{id}"), Some(token), None).await
    };
    let (a, b) = tokio::join!(take(&root, id("second")), take(&second, id("root")));
    assert_eq!([&a, &b].iter().filter(|reply| reply.status == 204).count(), 1, "{} {}", a.body, b.body);
    let left = app.cli_json(&["role", "holders", "--site"], "");
    assert_eq!(left["items"].as_array().unwrap().len(), 1, "{left}");
    let last =
        app.cli(&["role", "revoke", left["items"][0]["username"].as_str().unwrap(), "super_admin", "--site"], "");
    assert_eq!(last.status.code(), Some(5), "{last:?}");
}

#[tokio::test]
async fn who_can_do_something_is_told_with_the_reason() {
    let app = App::start();
    let (boss, acme) = org(&app, "acme").await;
    let root = app.person("root", "admin", None).await;
    app.person("dev", "developer", Some("acme")).await;
    let viewer = app.person("viewer", "viewer", Some("acme")).await;
    app.cli_json(&["team", "create", "acme", "backend", "--name", "Backend", "--owner", "viewer"], "");
    app.cli_json(
        &["role", "create", "cleaner", "--org", "acme", "--name", "Cleaner", "--permission", "project.delete"],
        "",
    );
    app.cli_json(&["role", "assign", "viewer", "cleaner", "--org", "acme"], "");
    let team = app.cli_json(&["team", "show", "acme", "backend"], "")["id"].as_i64().unwrap();
    let ask = async |token: &str, query: &str| {
        let reply =
            app.call("GET", &format!("/api/organizations/{acme}/permissions/explain?{query}"), Some(token), None).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let because = |able: &Value| {
            let roles = able["because"].as_array().unwrap().iter();
            roles.map(|one| format!("{} {}", one["role"], one["scope"])).collect::<Vec<_>>().join(", ")
        };
        let told = reply.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|able| format!("{}: {}", able["username"], because(able)));
        told.map(|text| text.replace('"', "")).collect::<Vec<_>>()
    };
    assert_eq!(
        ask(&boss, "permission=project.delete").await,
        ["viewer: cleaner organization", "dev: developer organization", "acme-boss: org_admin organization"]
    );
    assert_eq!(
        ask(&viewer, &format!("permission=project.delete&team_id={team}")).await[0],
        "viewer: team_owner team, cleaner organization"
    );
    // What is lifted out of teams counts in the organisation.
    assert_eq!(ask(&boss, "permission=model.use").await[0], "viewer: team_owner team");
    assert_eq!(ask(&boss, "permission=organization.create").await, Vec::<String>::new());
    // Administrators of the site are the site's business.
    assert_eq!(ask(&root, "permission=organization.create").await, ["root: super_admin site"]);
    let users = app.call("GET", "/api/users", Some(&boss), None).await.body;
    let dev = users["items"].as_array().unwrap().iter().find(|one| one["username"] == "dev").unwrap()["id"].clone();
    assert_eq!(ask(&boss, &format!("permission=project.delete&user_id={dev}")).await, ["dev: developer organization"]);
    assert_eq!(ask(&boss, &format!("permission=audit.read&user_id={dev}")).await, Vec::<String>::new());
    app.sql("UPDATE users SET is_active = FALSE WHERE username = 'dev'");
    assert_eq!(ask(&boss, &format!("permission=project.delete&user_id={dev}")).await, Vec::<String>::new());
    let text = app.cli(&["role", "explain", "project.delete", "--org", "acme"], "");
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("cleaner (organization, since ") && text.contains(" by the operator)"), "{text}");
}

#[tokio::test]
async fn roles_are_handled_from_a_shell() {
    let app = App::start();
    app.org("acme");
    app.person("ada", "viewer", Some("acme")).await;
    let made = app.cli_json(
        &["role", "create", "qa_engineer", "--name", "QA engineer", "--permission", "project.read,project.execute"],
        "",
    );
    assert_eq!(made["permissions"], json!(["project.read", "project.execute"]));
    app.cli_json(&["role", "assign", "ada", "qa_engineer"], "");
    assert_eq!(app.cli_json(&["role", "show", "qa_engineer"], "")["holders"], 1);
    let held = app.cli_json(&["role", "holders", "--role", "qa_engineer"], "");
    assert_eq!(held["items"][0]["username"], "ada");
    let members = app.cli_json(&["member", "list", "acme"], "");
    assert_eq!(
        (&members["items"][0]["role"], members["items"][0]["roles"].as_array().unwrap().len()),
        (&json!("viewer"), 2)
    );
    assert_eq!(app.cli(&["role", "delete", "qa_engineer", "--yes"], "").status.code(), Some(5));
    app.cli_json(&["role", "update", "qa_engineer", "--permission", "project.read"], "");
    app.cli_json(&["role", "revoke", "ada", "qa_engineer"], "");
    app.cli_json(&["role", "delete", "qa_engineer", "--yes"], "");
    let listed = app.cli_json(&["role", "list"], "");
    let codes: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
    assert_eq!(codes, ["org_admin", "team_admin", "developer", "viewer"]);
    let all = String::from_utf8(app.cli(&["role", "permissions"], "").stdout).unwrap();
    assert!(all.contains("project.execute") && all.contains("Start runs"), "{all}");
}

/// What is known of the site without asking it: who holds what where, and what the roles allow.
struct Model {
    roles: std::collections::BTreeMap<String, Vec<String>>,
    /// Person, role, organisation, team.
    held: Vec<(usize, String, Option<i64>, Option<i64>)>,
}

/// In the words of docs/roles.md.
const LIFTED: [&str; 3] = ["organization.read", "model.use", "plugin.read"];

impl Model {
    fn may(&self, person: usize, permission: &str, org: i64, team: Option<i64>) -> bool {
        self.held.iter().any(|(who, role, at, within)| {
            let counts = match (at, within) {
                (None, _) => true,
                (Some(at), None) => *at == org,
                (Some(at), within) => *at == org && (*within == team || LIFTED.contains(&permission)),
            };
            *who == person && counts && self.roles[role].iter().any(|held| held == permission)
        })
    }
}

/// The same numbers in every run (Numerical Recipes' generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

#[tokio::test]
async fn random_sequences_of_grants_never_give_more_than_the_policy_says() {
    let app = App::start();
    let root = app.person("root", "admin", None).await;
    let orgs = [app.org("acme"), app.org("other")];
    let mut people = Vec::new();
    for name in ["ada", "bob", "cyd"] {
        people.push((name, app.person(name, "viewer", Some("acme")).await));
    }
    let mut places = vec![(orgs[0], None), (orgs[1], None)];
    for (org, slug) in [(orgs[0], "one"), (orgs[0], "two"), (orgs[1], "three")] {
        let path = format!("/api/organizations/{org}/teams");
        let team = post(&app, &root, &path, json!({"slug": slug, "name": slug})).await;
        places.push((org, team.body["id"].as_i64()));
    }
    let mut projects = Vec::new();
    for (org, team) in &places {
        let body = json!({"name": "P", "organization_id": org, "team_id": team});
        projects.push(post(&app, &root, "/api/projects", body).await.body["id"].clone());
    }
    for org in orgs {
        let made = post(&app, &root, &format!("/api/organizations/{org}/roles"), role("mix", &["project.read"])).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }
    let table = app.call("GET", "/api/roles", Some(&root), None).await.body;
    let table = table["items"].as_array().unwrap().iter();
    let roles = table.map(|role| (role["code"].as_str().unwrap().to_owned(), texts(&role["permissions"])));
    let held = (0..people.len()).map(|who| (who, "viewer".to_owned(), Some(orgs[0]), None)).collect();
    let mut model = Model { roles: roles.collect(), held };
    model.roles.insert("mix".to_owned(), vec!["project.read".to_owned()]);
    let all: Vec<String> = model.roles["super_admin"].clone();
    let mut dice = Dice(20_261_126);
    for step in 0..60 {
        let (org, team) = dice.one(&places);
        let (who, code) =
            (dice.below(people.len()), dice.one(&["org_admin", "team_admin", "developer", "viewer", "mix"]));
        // Half of it is tried by somebody who may or may not.
        let actor = dice.below(2 * people.len());
        let token = people.get(actor).map_or(&root, |(_, token)| token);
        let path = format!("/api/organizations/{org}/role-assignments");
        let (grant, reply) = if dice.below(4) == 0 {
            let wanted: Vec<&str> = (0..3).map(|_| all[dice.below(all.len())].as_str()).collect();
            let mut kept = all.clone();
            kept.retain(|code| wanted.contains(&code.as_str()));
            let mut reply = Vec::new();
            for org in orgs {
                let path = format!("/api/organizations/{org}/roles/mix");
                let body = json!({"permissions": wanted});
                reply.push(app.call("PUT", &path, Some(&root), Some(body)).await.status);
            }
            assert_eq!(reply, [200, 200]);
            model.roles.insert("mix".to_owned(), kept);
            (None, None)
        } else if dice.below(3) == 0 {
            let all = app.call("GET", &format!("{path}?limit=100"), Some(&root), None).await.body["items"].clone();
            let Some(one) = all.as_array().unwrap().iter().find(|one| one["username"] == people[who].0) else {
                continue;
            };
            let gone = app.call("DELETE", &format!("{path}/{}", one["id"]), Some(token), None).await;
            let grant = (who, one["role"].as_str().unwrap().to_owned(), Some(org), one["team_id"].as_i64());
            (Some((grant, false)), Some(gone))
        } else {
            let body = json!({"username": people[who].0, "role": code, "team_id": team});
            let given = post(&app, token, &path, body).await;
            (Some(((who, code.to_owned(), Some(org), team), true)), Some(given))
        };
        if let (Some((grant, more)), Some(reply)) = (grant, reply)
            && reply.status < 300
        {
            let (_, role, _, team) = &grant;
            if actor < people.len() {
                let needed = model.roles[role].iter().map(String::as_str).chain(["user.manage"]);
                for permission in needed {
                    assert!(
                        model.may(actor, permission, org, *team),
                        "step {step}: {actor} lacks {permission}: {grant:?}"
                    );
                }
            }
            model.held.retain(|held| *held != grant);
            model.held.extend(more.then_some(grant));
        }
        for (at, (name, token)) in people.iter().enumerate() {
            let me = app.call("GET", "/api/auth/me", Some(token), None).await.body;
            for org in orgs {
                let mine = me["organizations"].as_array().unwrap().iter().find(|one| one["id"] == org);
                let told = mine.map_or(Vec::new(), |one| texts(&one["permissions"]));
                let mut wanted = all.clone();
                wanted.retain(|permission| model.may(at, permission, org, None));
                assert_eq!(told, wanted, "step {step}: {name} in {org}");
            }
            let ((org, team), project) = (places[step % places.len()], &projects[step % places.len()]);
            let read = app.call("GET", &format!("/api/projects/{project}"), Some(token), None).await.status;
            assert_eq!(read == 200, model.may(at, "project.read", org, team), "step {step}: {name} at {org} {team:?}");
        }
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

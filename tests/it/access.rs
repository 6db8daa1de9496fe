//! Signing in, tokens, roles, and what a stranger may see: nothing.

use serde_json::{Value, json};

use crate::app::{App, PASSWORD};

#[tokio::test]
async fn the_scheme_of_a_token_has_no_case() {
    let app = App::start();
    let token = app.person("ada", "admin", None).await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let headers = [("authorization", format!("{scheme} {token}"))];
        assert_eq!(app.send("GET", "/api/auth/me", &headers, bytes::Bytes::new()).await.status, 200, "{scheme}");
    }
    let headers = [("authorization", "bearer nobody".to_owned())];
    assert_eq!(app.send("GET", "/api/auth/me", &headers, bytes::Bytes::new()).await.body["code"], "token_refused");
}

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
    assert_eq!(user["roles"], json!([{"role": "super_admin", "organization_id": null, "team_id": null}]));
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
    assert_eq!(
        (&org["administrator"]["username"], &org["administrator"]["role"]),
        (&json!("admin"), &json!("org_admin"))
    );
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
        [
            "Created organisation Second",
            "admin signed in",
            &format!("Made admin org_admin of organisation {}", org["id"]),
            "Created organisation Your Company",
            "Created user admin",
            "Installed licence for-tests for Acme Works"
        ]
    );
    assert_eq!(
        (&trail["items"][2]["action"], &trail["items"][2]["organization_id"]),
        (&json!("permission_change"), &org["id"])
    );
    assert_eq!(trail["items"][4]["actor"]["kind"], "operator");
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
    for name in ["", " ", "a\nb", "a\u{1b}[31mb", &"x".repeat(101)] {
        let refused = app.call("POST", "/api/tokens", Some(&session), Some(json!({"name": name}))).await;
        let told = (refused.status, &refused.body["code"], &refused.body["field"]);
        assert_eq!(told, (400, &json!("invalid_name"), &json!("name")), "{name:?}: {}", refused.body);
    }
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
    let third = "a third bright morning";
    app.cli_json(&["user", "set-password", "Dev", "--password-stdin"], third);
    assert_eq!((login(fresh).await, login(third).await), (401, 200));
    assert_eq!(app.cli(&["user", "set-password", "dve", "--password-stdin"], PASSWORD).status.code(), Some(3));
    let trail = app.cli_json(&["audit", "list", "--action", "update", "--resource", "user"], "");
    assert_eq!(trail["items"].as_array().unwrap().len(), 2, "{trail}");
    assert!(!trail.to_string().contains(fresh));
}

#[tokio::test]
async fn an_organisation_is_made_with_its_administrator() {
    let app = App::start();
    let email = "ada@example.org";
    let create = |slug: &'static str, email: &'static str| {
        ["admin", "create-org", "--name", slug, "--slug", slug, "--admin-email", email]
    };
    let early = app.cli(&create("early", email), "");
    let remark = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(early.status.success() && remark.contains("Nobody holds a role in it yet"), "{remark}");
    for words in [email, "member add early", "user create"] {
        assert!(remark.contains(words), "{remark}");
    }
    app.org("acme");
    let ada = app.person("ada", "viewer", Some("acme")).await;
    let said = app.cli(&create("second", "Ada@Example.org"), "");
    assert!(String::from_utf8_lossy(&said.stdout).contains("ada is its org_admin"), "{said:?}");
    assert!(said.stderr.is_empty(), "{said:?}");
    // It counts at once: what she could not a moment ago she can do now, there and nowhere else.
    let me = app.call("GET", "/api/auth/me", Some(&ada), None).await.body;
    let held = |slug: &str| {
        let orgs = me["organizations"].as_array().unwrap();
        orgs.iter().find(|org| org["slug"] == slug).map(|org| org["permissions"].to_string())
    };
    assert!(
        held("second").unwrap().contains("user.manage") && !held("acme").unwrap().contains("user.manage"),
        "{me:#}"
    );
    assert_eq!(held("early"), None);
    // What fails leaves neither: the role and the organisation are one.
    let taken = app.cli(&create("second", email), "");
    assert_eq!(taken.status.code(), Some(5));
    // Who is switched off administers nothing.
    app.sql("UPDATE users SET is_active = FALSE WHERE username = 'ada'");
    let third = app.cli_json(&create("third", email), "");
    assert_eq!(third["administrator"], json!(null));
    assert_eq!(app.cli_json(&["member", "list", "third"], "")["items"], json!([]));
    let trail = app.cli_json(&["audit", "list", "--action", "permission_change"], "");
    assert_eq!(trail["items"].as_array().unwrap().len(), 1, "{trail}");
}

#[tokio::test]
async fn nobody_is_drawn_out_of_another_organisation() {
    let app = App::start();
    let (acme, other) = (app.org("acme"), app.org("other"));
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    app.person("dev", "developer", Some("acme")).await;
    app.person("victim", "developer", Some("other")).await;
    let root = app.person("root", "admin", None).await;
    app.cli_json(
        &["admin", "create-user", "--username", "alone", "--email", "alone@example.org", "--password-stdin"],
        PASSWORD,
    );
    let add = async |token: &str, org: i64, name: &str| {
        let body = json!({"username": name, "role": "viewer"});
        app.call("POST", &format!("/api/organizations/{org}/members"), Some(token), Some(body)).await
    };
    let unknown = add(&boss, acme, "nobody").await;
    let sentence = unknown.body["detail"].as_str().unwrap();
    assert!(sentence.contains("Create an account"), "{sentence}");
    for name in ["victim", "root", "alone", "VICTIM"] {
        let refused = add(&boss, acme, name).await;
        assert_eq!((refused.status, &refused.body["field"]), (404, &json!("username")), "{name}: {}", refused.body);
        assert_eq!(refused.body["detail"], sentence.replace("nobody", name));
        assert!(!refused.body.to_string().contains("example.org"), "{}", refused.body);
    }
    // One's own are given another role, and newcomers an account.
    assert_eq!(add(&boss, acme, "dev").await.status, 201);
    let newcomer = json!({"username": "fresh", "email": "fresh@example.org", "password": PASSWORD, "role": "viewer", "organization": "acme"});
    assert_eq!(app.call("POST", "/api/users", Some(&boss), Some(newcomer)).await.status, 201);
    // The site brings them together; then they are there for both.
    for name in ["victim", "alone"] {
        assert_eq!(add(&root, acme, name).await.status, 201);
        assert_eq!(add(&boss, acme, name).await.status, 201);
    }
    assert_eq!(add(&boss, other, "boss").await.status, 404);
}

#[tokio::test]
async fn a_slug_of_another_organisation_is_one_that_is_not_there() {
    let app = App::start();
    app.org("acme");
    app.org("other");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let create = async |slug: &str, role: &str| {
        let body =
            json!({"username": "new", "email": "n@e.org", "password": PASSWORD, "role": role, "organization": slug});
        app.call("POST", "/api/users", Some(&boss), Some(body)).await
    };
    for role in ["viewer", "super_admin"] {
        let (foreign, absent) = (create("other", role).await, create("nowhere", role).await);
        assert_eq!((foreign.status, &foreign.body["field"]), (404, &json!("organization")), "{}", foreign.body);
        let sentence = absent.body["detail"].as_str().unwrap().replace("nowhere", "other");
        assert_eq!((absent.status, &absent.body["field"]), (404, &json!("organization")));
        assert_eq!(foreign.body["detail"], sentence);
    }
}

#[tokio::test]
async fn as_many_sign_ins_at_once_get_no_more_guesses() {
    let app = App::start();
    app.person("ada", "admin", None).await;
    let login = async |name: String, password: &str| {
        app.call("POST", "/api/auth/login", None, Some(json!({"username": name, "password": password}))).await
    };
    let right = futures_util::future::join_all((0..3).map(|_| login("ada".to_owned(), PASSWORD))).await;
    assert!(right.iter().all(|reply| reply.status == 200), "those who know the password are not in each other's way");
    let wrong = "wrong but quite long";
    let replies = futures_util::future::join_all((0..50).map(|_| login("ada".to_owned(), wrong))).await;
    let count = |status: u16| replies.iter().filter(|reply| reply.status == status).count();
    // Five cost nothing; a sixth may come when they are through, and after it there is a wait.
    assert!((5..=7).contains(&count(401)), "{} guesses", count(401));
    assert_eq!(count(401) + count(429), 50);
    let refused = replies.iter().find(|reply| reply.status == 429).unwrap();
    assert!(refused.body["code"] == "login_throttled" && refused.headers.contains_key("retry-after"));
    // Others from the same address sign in meanwhile.
    let others = futures_util::future::join_all((0..20).map(|at| login(format!("other{at}"), wrong))).await;
    assert!(others.iter().all(|reply| reply.status == 401), "an address is not a name");
}

#[tokio::test]
async fn passwords_wait_in_a_queue_of_bounded_length() {
    let app = App::start();
    let root = app.person("root", "admin", None).await;
    let create = async |at: usize| {
        let body =
            json!({"username": format!("user{at}"), "email": format!("user{at}@example.org"), "password": PASSWORD});
        app.call("POST", "/api/users", Some(&root), Some(body)).await
    };
    let replies = futures_util::future::join_all((0..200).map(create)).await;
    let busy: Vec<_> = replies.iter().filter(|reply| reply.status == 503).collect();
    assert!(replies.iter().filter(|reply| reply.status == 201).count() >= 64, "those with a place are served");
    assert!(busy.iter().all(|reply| reply.body["code"] == "sign_in_busy" && reply.headers["retry-after"] == "2"));
    assert!(!busy.is_empty() && replies.iter().all(|reply| [201, 503].contains(&reply.status)), "{}", busy.len());
    assert_eq!(create(1000).await.status, 201, "afterwards there is room again");
}

#[tokio::test]
async fn addresses_of_organisations_are_addresses() {
    let app = App::start();
    let admin = app.person("root", "admin", None).await;
    let long = format!("{}@example.org", "x".repeat(900_000));
    for field in ["contact_email", "admin_email"] {
        for email in ["", "nobody", "a@b@c", "a b@c.d", "a\n@b.c", &long] {
            let mut body = json!({"name": "A", "slug": "a"});
            body[field] = json!(email);
            let refused = app.call("POST", "/api/organizations", Some(&admin), Some(body)).await;
            let told = (refused.status, &refused.body["code"], &refused.body["field"]);
            assert_eq!(told, (400, &json!("invalid_email"), &json!(field)), "{}", refused.status);
            assert!(refused.body.to_string().len() < 2000);
        }
    }
    let none = json!({"name": "A", "slug": "a", "contact_email": null, "admin_email": null});
    let made = app.call("POST", "/api/organizations", Some(&admin), Some(none)).await;
    assert_eq!((made.status, &made.body["administrator"]), (201, &json!(null)), "{}", made.body);
}

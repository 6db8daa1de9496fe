//! Accounts: passwords and their rules, sessions, lock-out, and the end of an account.

use serde_json::{Value, json};

use crate::app::{App, PASSWORD, Reply};
use crate::model_server::{Answer, ModelServer, PLAIN};

const FRESH: &str = "a fourth bright morning";

async fn sign_in(app: &App, name: &str, password: &str) -> Reply {
    app.call("POST", "/api/auth/login", None, Some(json!({"username": name, "password": password}))).await
}

async fn token(app: &App, name: &str, password: &str) -> String {
    let reply = sign_in(app, name, password).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body["access_token"].as_str().unwrap().to_owned()
}

fn id_of(app: &App, name: &str) -> i64 {
    let users = app.cli_json(&["user", "list"], "");
    users["items"].as_array().unwrap().iter().find(|user| user["username"] == name).unwrap()["id"].as_i64().unwrap()
}

/// What the trail says of `action`, newest first: description and whether it worked.
fn told(app: &App, action: &str) -> Vec<(String, bool)> {
    let trail = app.cli_json(&["audit", "list", "--action", action], "");
    let entries = trail["items"].as_array().unwrap().iter();
    entries.map(|one| (one["description"].as_str().unwrap().to_owned(), one["success"].as_bool().unwrap())).collect()
}

fn refusal(reply: &Reply) -> (u16, &str, &str) {
    let text = |field: &str| reply.body[field].as_str().unwrap_or_default();
    (reply.status, text("code"), text("field"))
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions_and_none_comes_again() {
    let app = App::start();
    let here = app.person("ada", "admin", None).await;
    let there = token(&app, "ada", PASSWORD).await;
    let personal = app.call("POST", "/api/tokens", Some(&here), Some(json!({"name": "ide"}))).await;
    let personal = personal.body["secret"].as_str().unwrap();
    let change = async |current: &str, new: &str| {
        app.call("PUT", "/api/auth/password", Some(&here), Some(json!({"current": current, "new": new}))).await
    };
    assert_eq!(refusal(&change("made up by somebody", FRESH).await), (403, "password_wrong", "current"));
    assert_eq!(refusal(&change(PASSWORD, "too short").await), (400, "password_too_short", "new"));
    assert_eq!(refusal(&change(PASSWORD, "ada@example.org!").await), (400, "password_too_weak", "new"));
    assert_eq!(refusal(&change(PASSWORD, PASSWORD).await), (400, "password_used_before", "new"));
    assert_eq!(app.call("GET", "/api/auth/me", Some(&there), None).await.status, 200, "nothing happened so far");

    assert_eq!(change(PASSWORD, FRESH).await.status, 204);
    for (token, status) in [(here.as_str(), 200), (there.as_str(), 401), (personal, 200)] {
        assert_eq!(app.call("GET", "/api/auth/me", Some(token), None).await.status, status);
    }
    assert_eq!((sign_in(&app, "ada", PASSWORD).await.status, sign_in(&app, "ada", FRESH).await.status), (401, 200));
    // Back to the first one only when five others came in between.
    let mut current = FRESH.to_owned();
    for at in 0..4 {
        assert_eq!(refusal(&change(&current, PASSWORD).await).1, "password_used_before", "{at}");
        let next = format!("another evening, number {at}");
        assert_eq!(change(&current, &next).await.status, 204);
        current = next;
    }
    assert_eq!(change(&current, PASSWORD).await.status, 204);

    let trail = told(&app, "update");
    assert!(
        trail.contains(&("ada gave a wrong password for a change of their own account".to_owned(), false)),
        "{trail:?}"
    );
    assert_eq!(trail.iter().filter(|(text, _)| text == "ada changed their password").count(), 6);
    let all = app.cli_json(&["audit", "list"], "").to_string();
    assert!(![PASSWORD, FRESH, "another evening"].iter().any(|secret| all.contains(secret)));
}

#[tokio::test]
async fn a_session_is_no_way_to_try_passwords_faster() {
    let app = App::start();
    let ada = app.person("ada", "admin", None).await;
    let mut last = String::new();
    for at in 0..8 {
        let body = json!({"current": format!("guess number {at}"), "new": FRESH});
        let reply = app.call("PUT", "/api/auth/password", Some(&ada), Some(body)).await;
        last = reply.body["code"].as_str().unwrap().to_owned();
    }
    assert_eq!(last, "login_throttled");
}

#[tokio::test]
async fn a_password_is_not_what_is_known_of_its_owner() {
    let app = App::start();
    app.org("nightingales");
    let root = app.person("root", "admin", None).await;
    for password in
        ["passwordpassword", "lovelace@example.org", "lovelacelovelace", "nightingales1815", "resoftairesoftai"]
    {
        let body = json!({"username": "lovelace", "email": "lovelace@example.org", "password": password,
            "role": "viewer", "organization": "nightingales"});
        let refused = app.call("POST", "/api/users", Some(&root), Some(body)).await;
        assert_eq!(refusal(&refused), (400, "password_too_weak", "password"), "{password}");
        assert!(
            refused.body["detail"].as_str().unwrap().starts_with("The password is long enough but easily guessed.")
        );
    }
    let users = app.call("GET", "/api/users", Some(&root), None).await.body;
    assert_eq!(users["items"].as_array().unwrap().len(), 1, "nobody was made");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_owner_only() {
    let app = App::start();
    app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let here = app.person("ada", "developer", Some("acme")).await;
    let there = token(&app, "ada", PASSWORD).await;
    let third = token(&app, "ada", PASSWORD).await;
    let listed = async |token: &str| app.call("GET", "/api/sessions", Some(token), None).await.body["items"].clone();
    let mine = listed(&here).await;
    let mine = mine.as_array().unwrap();
    assert_eq!(mine.len(), 3);
    assert_eq!(mine.iter().filter(|one| one["current"] == true).count(), 1);
    assert!(mine.iter().all(|one| one["ip_address"] == "127.0.0.1" && one["expires_at"].is_string()), "{mine:?}");
    let ids: Vec<i64> = mine.iter().map(|one| one["id"].as_i64().unwrap()).collect();

    let end =
        async |token: &str, id: i64| app.call("DELETE", &format!("/api/sessions/{id}"), Some(token), None).await.status;
    assert_eq!(end(&boss, ids[1]).await, 404, "another's session is not there");
    assert_eq!(end(&here, ids[1]).await, 204);
    assert_eq!(end(&here, ids[1]).await, 404, "it ended already");
    let me = async |token: &str| app.call("GET", "/api/auth/me", Some(token), None).await.status;
    assert_eq!((me(&here).await, me(&there).await, me(&third).await), (200, 401, 200));
    assert_eq!(app.call("DELETE", "/api/sessions", Some(&here), None).await.status, 204);
    assert_eq!((me(&here).await, me(&third).await), (200, 401));

    // From above.
    let path = format!("/api/users/{}/sessions", id_of(&app, "ada"));
    let seen = app.call("GET", &path, Some(&boss), None).await.body;
    assert_eq!((seen["items"].as_array().unwrap().len(), &seen["items"][0]["current"]), (1, &json!(false)));
    assert!(told(&app, "read").iter().any(|(text, _)| text == "Looked at the sessions of ada"));
    app.cli_json(&["user", "sessions", "ada", "--end-all"], "");
    assert_eq!(me(&here).await, 401);
    assert_eq!(app.cli_json(&["user", "sessions", "ada"], "")["items"], json!([]));
    assert_eq!(told(&app, "logout").len(), 3);
}

#[tokio::test]
async fn a_sessions_last_use_is_noted() {
    let app = App::start();
    let ada = app.person("ada", "admin", None).await;
    let mut seen = Value::Null;
    for _ in 0..100 {
        seen = app.call("GET", "/api/sessions", Some(&ada), None).await.body["items"][0]["last_seen_at"].clone();
        if seen.is_string() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(seen.is_string());
}

#[tokio::test]
async fn a_code_sets_a_new_password_once() {
    let app = App::start();
    app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let ada = app.person("ada", "developer", Some("acme")).await;
    let path = format!("/api/users/{}/password-reset", id_of(&app, "ada"));
    assert_eq!(app.call("POST", &path, Some(&ada), Some(json!({}))).await.status, 403);
    let hours = app.call("POST", &path, Some(&boss), Some(json!({"expires_in_hours": 0}))).await;
    assert_eq!(refusal(&hours), (400, "invalid_expiry", "expires_in_hours"));
    let first = app.call("POST", &path, Some(&boss), Some(json!({}))).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let second = app.cli_json(&["user", "reset-password", "ada"], "");
    let (first, second) = (first.body["code"].as_str().unwrap(), second["code"].as_str().unwrap());

    let redeem = async |code: &str, password: &str| {
        app.call("POST", "/api/auth/reset", None, Some(json!({"code": code, "password": password}))).await
    };
    let (replaced, made_up) = (redeem(first, FRESH).await, redeem("made up", FRESH).await);
    assert_eq!(refusal(&replaced), (400, "code_refused", "code"));
    assert_eq!(replaced.body["detail"], made_up.body["detail"]);
    assert_eq!(refusal(&redeem(second, "ada@example.org!").await), (400, "password_too_weak", "password"));
    assert_eq!(refusal(&redeem(second, PASSWORD).await), (400, "password_used_before", "password"));
    assert_eq!(app.call("GET", "/api/auth/me", Some(&ada), None).await.status, 200, "nothing happened so far");
    // Of several at once, one sets the password.
    let replies = futures_util::future::join_all((0..4).map(|at| {
        let app = &app;
        async move {
            let body = json!({"code": second, "password": format!("{FRESH} {at}")});
            app.call("POST", "/api/auth/reset", None, Some(body)).await.status
        }
    }))
    .await;
    assert_eq!(replies.iter().filter(|status| **status == 204).count(), 1, "{replies:?}");
    assert_eq!(app.call("GET", "/api/auth/me", Some(&ada), None).await.status, 401);
    let set = replies.iter().position(|status| *status == 204).unwrap();
    assert_eq!(sign_in(&app, "ada", &format!("{FRESH} {set}")).await.status, 200);
    assert_eq!(redeem(second, FRESH).await.status, 400);
    assert!(!app.cli_json(&["audit", "list"], "").to_string().contains(second));
}

#[tokio::test]
async fn a_code_ends_with_its_time_and_with_another_password() {
    let app = App::start();
    app.person("ada", "admin", None).await;
    let code = || app.cli_json(&["user", "reset-password", "ada"], "")["code"].as_str().unwrap().to_owned();
    let redeem = |code: &str| app.cli(&["user", "use-code", "--password-stdin"], &format!("{code}\n{FRESH}\n"));
    let late = code();
    app.sql("UPDATE password_resets SET expires_at = 1");
    assert_eq!(redeem(&late).status.code(), Some(2));
    let overtaken = code();
    app.cli_json(&["user", "set-password", "ada", "--password-stdin"], "a third bright morning");
    assert_eq!(redeem(&overtaken).status.code(), Some(2));
    let good = redeem(&code());
    assert!(good.status.success(), "{good:?}");
    assert_eq!(sign_in(&app, "ada", FRESH).await.status, 200);
}

#[tokio::test]
async fn a_locked_name_stays_so_over_a_restart_and_is_forgiven_from_above() {
    let mut app = App::start();
    app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    app.person("ada", "developer", Some("acme")).await;
    for name in ["ada", "nobody"] {
        for _ in 0..6 {
            assert_eq!(sign_in(&app, name, "wrong but quite long").await.status, 401);
        }
    }
    let path = format!("/api/users/{}", id_of(&app, "ada"));
    // As after more failures: a start may take longer than the first wait.
    app.sql("UPDATE sign_in_failures SET until_at = until_at + 300000000, forgiven_at = forgiven_at + 300000000");
    app.crash_and_restart();
    let account = app.call("GET", &path, Some(&boss), None).await.body;
    let (known, unknown) = (sign_in(&app, "ADA", PASSWORD).await, sign_in(&app, "nobody", PASSWORD).await);
    assert_eq!((refusal(&known).1, refusal(&unknown).1), ("login_throttled", "login_throttled"), "{}", known.body);
    assert_eq!((&account["username"], &account["failed_sign_ins"]), (&json!("ada"), &json!(6)));
    assert!(account["locked_until"].is_string(), "{account}");
    assert_eq!(app.call("POST", &format!("{path}/unlock"), Some(&boss), None).await.status, 204);
    assert_eq!(sign_in(&app, "ada", PASSWORD).await.status, 200);
    let account = app.cli_json(&["user", "show", "ada"], "");
    assert_eq!((&account["failed_sign_ins"], &account["locked_until"]), (&json!(0), &Value::Null));
    assert!(told(&app, "update").iter().any(|(text, _)| text == "Forgave the failed sign-ins of ada"));
}

#[tokio::test]
async fn who_is_switched_off_does_nothing_from_the_next_request_on() {
    let app = App::start();
    app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let ada = app.person("ada", "developer", Some("acme")).await;
    let personal = app.call("POST", "/api/tokens", Some(&ada), Some(json!({"name": "ide"}))).await;
    let personal = personal.body["secret"].as_str().unwrap();
    let code = app.cli_json(&["user", "reset-password", "ada"], "");
    let path = format!("/api/users/{}", id_of(&app, "ada"));
    let me = async |token: &str| app.call("GET", "/api/auth/me", Some(token), None).await.status;
    assert_eq!((me(&ada).await, me(personal).await), (200, 200));

    assert_eq!(app.call("POST", &format!("{path}/deactivate"), Some(&ada), None).await.status, 403);
    let off = app.call("POST", &format!("{path}/deactivate"), Some(&boss), None).await;
    assert_eq!((off.status, &off.body["is_active"]), (200, &json!(false)), "{}", off.body);
    assert_eq!((me(&ada).await, me(personal).await), (401, 401));
    let (right, wrong) = (sign_in(&app, "ada", PASSWORD).await, sign_in(&app, "ada", "wrong but quite long").await);
    assert_eq!(
        (right.status, &right.body["detail"]),
        (401, &wrong.body["detail"]),
        "no word of it to who knows nothing"
    );
    let redeem = json!({"code": code["code"], "password": FRESH});
    assert_eq!(app.call("POST", "/api/auth/reset", None, Some(redeem)).await.status, 400);
    // Again is as good as once.
    assert_eq!(app.call("POST", &format!("{path}/deactivate"), Some(&boss), None).await.status, 200);

    let on = app.call("POST", &format!("{path}/reactivate"), Some(&boss), None).await;
    assert_eq!((on.status, &on.body["is_active"]), (200, &json!(true)));
    assert_eq!((me(&ada).await, me(personal).await), (401, 401), "nothing of it comes back");
    assert_eq!(sign_in(&app, "ada", PASSWORD).await.status, 200);
    let trail = told(&app, "update");
    let count = |words: &str| trail.iter().filter(|(text, _)| text.contains(words)).count();
    assert_eq!((count("Switched ada off; ended 1 sessions and 1 tokens"), count("Switched ada on again")), (1, 1));
}

#[tokio::test]
async fn the_last_administrator_is_not_switched_off_also_when_two_try_at_once() {
    let app = App::start();
    let root = app.person("root", "admin", None).await;
    let other = app.person("other", "admin", None).await;
    let of = |name: &str| format!("/api/users/{}/deactivate", id_of(&app, name));
    let (first, second) = (of("root"), of("other"));
    let (one, two) =
        tokio::join!(app.call("POST", &first, Some(&other), None), app.call("POST", &second, Some(&root), None));
    let done = [one.status, two.status].iter().filter(|status| **status == 200).count();
    assert_eq!(done, 1, "{} {}", one.body, two.body);
    let active = app.cli_json(&["user", "list"], "");
    assert_eq!(active["items"].as_array().unwrap().iter().filter(|user| user["is_active"] == true).count(), 1);
    let left = if one.status == 200 { "other" } else { "root" };
    let refused = app.cli(&["user", "deactivate", left, "--yes"], "");
    assert_eq!(refused.status.code(), Some(5), "{}", String::from_utf8_lossy(&refused.stderr));
}

#[tokio::test]
async fn the_runs_of_who_is_switched_off_are_stopped() {
    let app = App::start();
    let org = app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let ada = app.person("ada", "developer", Some("acme")).await;
    // A question that is never answered, so that the run goes on for as long as nobody stops it.
    let models = ModelServer::start(|request| match request.body["stream"].as_bool() {
        Some(true) => Answer::half("").and_silence(),
        _ => Answer::json(200, PLAIN),
    });
    let provider = json!({"name": "gpu", "base_url": models.url(), "organization_id": org});
    let root = app.person("root", "admin", None).await;
    let provided = app.call("POST", "/api/llm/providers", Some(&root), Some(provider)).await;
    assert_eq!(provided.status, 201, "{}", provided.body);
    let project =
        app.call("POST", "/api/projects", Some(&ada), Some(json!({"name": "P", "requirements": "A shop."}))).await;
    let path = format!("/api/projects/{}/runs", project.body["id"]);
    let run = app.call("POST", &path, Some(&ada), Some(json!({}))).await;
    assert_eq!(run.status, 201, "{}", run.body);
    app.cli_json(&["user", "deactivate", "ada", "--yes"], "");
    let mut status = Value::Null;
    for _ in 0..200 {
        let path = format!("/api/runs/{}", run.body["id"]);
        status = app.call("GET", &path, Some(&boss), None).await.body["status"].clone();
        if status == "canceled" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(status, "canceled");
}

#[tokio::test]
async fn an_address_is_changed_from_above_and_belongs_to_one() {
    let app = App::start();
    let root = app.person("root", "admin", None).await;
    app.person("ada", "admin", None).await;
    let path = format!("/api/users/{}", id_of(&app, "ada"));
    let change = async |email: &str| app.call("PUT", &path, Some(&root), Some(json!({"email": email}))).await;
    assert_eq!(refusal(&change("no address").await), (400, "invalid_email", "email"));
    assert_eq!(refusal(&change("ROOT@example.org").await), (409, "email_taken", "email"));
    assert_eq!(change("ada@elsewhere.example").await.body["email"], "ada@elsewhere.example");
    assert_eq!(app.cli_json(&["user", "show", "ada"], "")["email"], "ada@elsewhere.example");
}

#[tokio::test]
async fn people_are_searched_and_what_they_hold_elsewhere_stays_unknown() {
    let app = App::start();
    let (acme, other) = (app.org("acme"), app.org("other"));
    let root = app.person("root", "admin", None).await;
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    app.person("ada_l", "developer", Some("acme")).await;
    app.person("adam", "viewer", Some("other")).await;
    let given = json!({"username": "ada_l", "role": "viewer"});
    let path = format!("/api/organizations/{other}/role-assignments");
    assert_eq!(app.call("POST", &path, Some(&root), Some(given)).await.status, 201);
    let ada = id_of(&app, "ada_l");
    let off = format!("/api/users/{}/deactivate", id_of(&app, "adam"));
    assert_eq!(app.call("POST", &off, Some(&root), None).await.status, 200);

    let names = async |token: &str, path: String| {
        let reply = app.call("GET", &path, Some(token), None).await;
        let items = reply.body["items"].as_array().unwrap_or_else(|| panic!("{path}: {}", reply.body)).clone();
        items.iter().map(|item| item["username"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&root, "/api/users?q=ADA".to_owned()).await, ["adam", "ada_l"]);
    assert_eq!(names(&root, "/api/users?q=a_l".to_owned()).await, ["ada_l"], "_ stands for itself");
    assert_eq!(names(&root, "/api/users?q=adam@example".to_owned()).await, ["adam"]);
    assert_eq!(names(&root, "/api/users?only=inactive".to_owned()).await, ["adam"]);
    assert_eq!(names(&root, "/api/users?only=site_role".to_owned()).await, ["root"]);
    assert!(names(&root, "/api/users?only=no_role".to_owned()).await.is_empty());
    assert_eq!(names(&boss, "/api/users?q=ada&only=active".to_owned()).await, ["ada_l"]);
    assert_eq!(names(&boss, format!("/api/organizations/{acme}/members?q=ada")).await, ["ada_l"]);
    assert!(names(&boss, format!("/api/organizations/{acme}/members?q=%25")).await.is_empty());
    let listed = app.cli_json(&["user", "list", "--search", "ada", "--only", "inactive"], "");
    assert_eq!((&listed["items"][0]["username"], &listed["items"][1]), (&json!("adam"), &Value::Null));
    let listed = app.cli_json(&["member", "list", "acme", "--search", "BOSS"], "");
    assert_eq!((&listed["items"][0]["username"], &listed["items"][1]), (&json!("boss"), &Value::Null));
    let long = app.call("GET", &format!("/api/users?q={}", "x".repeat(101)), Some(&boss), None).await;
    assert_eq!(refusal(&long), (400, "invalid_query", "q"));

    let account = app.call("GET", &format!("/api/users/{ada}"), Some(&boss), None).await.body;
    let held = account["roles"].as_array().unwrap();
    assert!(held.len() == 1 && held[0]["organization_id"] == acme, "{account}");
}

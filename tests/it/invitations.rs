//! Invitations: they count once, while they last, and never give more than who invited may give.

use serde_json::{Value, json};

use crate::app::{App, Reply};

const STRONG: &str = "a sixth bright morning";

fn told(reply: &Reply) -> (u16, &str, &str) {
    (reply.status, reply.body["code"].as_str().unwrap_or_default(), reply.body["field"].as_str().unwrap_or_default())
}

async fn invite(app: &App, token: &str, org: i64, body: Value) -> Reply {
    app.call("POST", &format!("/api/organizations/{org}/invitations"), Some(token), Some(body)).await
}

async fn accept(app: &App, code: &Value, username: &str) -> Reply {
    let body = json!({"code": code, "username": username, "password": STRONG});
    app.call("POST", "/api/invitations/accept", None, Some(body)).await
}

async fn look(app: &App, code: &str) -> Reply {
    app.call("POST", "/api/invitations/look", None, Some(json!({"code": code}))).await
}

#[tokio::test]
async fn somebody_new_comes_in_with_a_code_that_counts_once() {
    let app = App::start();
    let org = app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let sent = invite(&app, &boss, org, json!({"email": "ada@acme.example", "role": "developer"})).await;
    assert_eq!((sent.status, &sent.body["invitation"]["status"]), (201, &json!("pending")), "{}", sent.body);
    let code = sent.body["code"].clone();
    assert_eq!(sent.body["file"]["code"], code);
    assert_eq!(sent.body["link"], format!("/invitation#{}", code.as_str().unwrap()));
    let offer = look(&app, code.as_str().unwrap()).await;
    assert_eq!((&offer.body["organization"], &offer.body["role"]), (&json!("acme"), &json!("developer")));
    let again = invite(&app, &boss, org, json!({"email": "ADA@acme.example", "role": "viewer"})).await;
    assert_eq!(told(&again), (409, "already_invited", "email"));

    // What is refused leaves the code as it was.
    let short = json!({"code": code, "username": "ada", "password": "short"});
    assert_eq!(app.call("POST", "/api/invitations/accept", None, Some(short)).await.status, 400);
    assert_eq!(told(&accept(&app, &code, "boss").await), (409, "username_taken", "username"));
    // Of many at once, one comes in.
    let names: Vec<String> = (0..6).map(|at| format!("ada{at}")).collect();
    let all = futures_util::future::join_all(names.iter().map(|name| accept(&app, &code, name))).await;
    assert_eq!(all.iter().filter(|reply| reply.status == 201).count(), 1);
    let won = all.iter().position(|reply| reply.status == 201).unwrap();
    let login = json!({"username": names[won], "password": STRONG});
    let ada = app.call("POST", "/api/auth/login", None, Some(login)).await.body["access_token"].clone();
    let made = app.call("POST", "/api/projects", ada.as_str(), Some(json!({"name": "Hers"}))).await;
    assert_eq!(made.status, 201, "{}", made.body);

    // Used, wrong and revoked ones are answered alike.
    let second = invite(&app, &boss, org, json!({"email": "bob@acme.example", "role": "viewer"})).await.body;
    let path = format!("/api/organizations/{org}/invitations/{}", second["invitation"]["id"]);
    assert_eq!(app.call("DELETE", &path, Some(&boss), None).await.status, 204);
    assert_eq!(app.call("DELETE", &path, Some(&boss), None).await.status, 409);
    let wrong = look(&app, "nothing").await.body["detail"].clone();
    for code in [code.as_str().unwrap(), second["code"].as_str().unwrap()] {
        let refused = look(&app, code).await;
        assert_eq!((told(&refused), &refused.body["detail"]), ((400, "invitation_refused", "code"), &wrong));
    }
    let notices = app.call("GET", "/api/notices", Some(&boss), None).await.body;
    assert_eq!(notices["items"][0]["kind"], "invitation_accepted");
    let trail = app.cli_json(&["audit", "list", "--resource", "invitation"], "").to_string();
    assert!(!trail.contains("bob@acme.example") && !trail.contains(second["code"].as_str().unwrap()));
}

#[tokio::test]
async fn nobody_invites_to_more_than_they_hold_then_and_later() {
    let app = App::start();
    let org = app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let lead = app.person("lead", "team_admin", Some("acme")).await;
    let dev = app.person("dev", "developer", Some("acme")).await;
    let to = |role: &str| json!({"email": format!("{role}@e.org"), "role": role});
    assert_eq!(invite(&app, &dev, org, to("viewer")).await.status, 403);
    assert_eq!(told(&invite(&app, &lead, org, to("org_admin")).await), (403, "role_above_yours", "role"));
    assert_eq!(invite(&app, &boss, org, to("super_admin")).await.status, 400);
    assert_eq!(told(&invite(&app, &boss, org, to("wizard")).await), (400, "unknown_role", "role"));
    assert_eq!(told(&invite(&app, &boss, org, json!({"email": "x", "role": "viewer"})).await).1, "invalid_email");
    let teams = app.call("GET", &format!("/api/organizations/{org}/teams"), Some(&boss), None).await.body;
    let whole = json!({"email": "t@e.org", "role": "viewer", "team_id": teams["items"][0]["id"]});
    let refused = invite(&app, &boss, org, whole).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("default_team")), "{}", refused.body);
    let lost = json!({"email": "t@e.org", "role": "viewer", "team_id": 900_000});
    assert_eq!(told(&invite(&app, &boss, org, lost).await), (404, "not_found", "team_id"));

    let sent = invite(&app, &lead, org, to("developer")).await.body;
    app.cli_json(&["member", "add", "acme", "lead", "--role", "viewer"], "");
    assert_eq!(told(&accept(&app, &sent["code"], "late").await).1, "invitation_refused");
    // Sent again by who may, it counts; the code before does not.
    let path = format!("/api/organizations/{org}/invitations/{}/resend", sent["invitation"]["id"]);
    let renewed = app.call("POST", &path, Some(&boss), Some(json!({"days": 2}))).await;
    assert_eq!(renewed.status, 200, "{}", renewed.body);
    assert_eq!(told(&accept(&app, &sent["code"], "late").await).1, "invitation_refused");
    assert_eq!(accept(&app, &renewed.body["code"], "late").await.status, 201);
}

#[tokio::test]
async fn who_has_an_account_joins_with_it() {
    let app = App::start();
    app.org("home");
    let org = app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let ada = app.person("ada", "viewer", Some("home")).await;
    let eve = app.person("eve", "viewer", Some("home")).await;
    let sent = invite(&app, &boss, org, json!({"email": "Ada@Example.org", "role": "developer"})).await.body;
    let join = async |token: &str| {
        app.call("POST", "/api/invitations/join", Some(token), Some(json!({"code": sent["code"]}))).await
    };
    assert_eq!(told(&join(&eve).await).1, "invitation_for_another");
    assert_eq!(told(&accept(&app, &sent["code"], "ada2").await), (409, "email_taken", ""));
    let joined = join(&ada).await;
    assert_eq!((joined.status, &joined.body["role"]), (200, &json!("developer")), "{}", joined.body);
    let body = json!({"name": "Hers", "organization_id": org});
    assert_eq!(app.call("POST", "/api/projects", Some(&ada), Some(body)).await.status, 201);
    assert_eq!(told(&join(&ada).await).1, "invitation_refused");
}

#[tokio::test]
async fn invitations_expire_and_keep_to_what_the_organisation_has_set() {
    let app = App::start();
    let org = app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let set =
        ["org", "settings", "acme", "--set", "invitation_days=3", "--set", "invitation_domains=[\"acme.example\"]"];
    app.cli_json(&set, "");
    let ask = async |email: &str, days: i64| {
        invite(&app, &boss, org, json!({"email": email, "role": "viewer", "days": days})).await
    };
    assert_eq!(told(&ask("a@acme.example", 4).await), (400, "invalid_days", "days"));
    assert_eq!(told(&ask("a@other.example", 3).await), (400, "domain_not_invited", "email"));
    let sent = ask("a@acme.example", 3).await.body;
    app.sql("UPDATE invitations SET expires_at = 1");
    assert_eq!(told(&look(&app, sent["code"].as_str().unwrap()).await).1, "invitation_refused");
    let list = app.cli_json(&["invitation", "list", "acme", "--status", "expired"], "");
    assert_eq!(list["items"][0]["email"], "a@acme.example");
    // The address may be invited anew.
    assert_eq!(ask("a@acme.example", 3).await.status, 201);
    // Into an organisation that is suspended nobody comes.
    let fresh = ask("b@acme.example", 3).await.body;
    app.cli_json(&["org", "suspend", "acme", "--reason", "Unpaid"], "");
    assert_eq!(told(&accept(&app, &fresh["code"], "late").await).1, "organization_suspended");
}

#[tokio::test]
async fn a_site_without_mail_hands_a_file_over() {
    let app = App::start();
    app.org("acme");
    let file = app.dir.path().join("ada.json");
    let file = file.to_str().unwrap();
    let made =
        app.cli_json(&["invitation", "create", "acme", "ada@acme.example", "--role", "viewer", "--out", file], "");
    assert!(made["email"] == "ada@acme.example" && !made.to_string().contains("code"), "{made}");
    let accepted = app.cli_json(&["invitation", "accept", file, "--username", "ada", "--password-stdin"], STRONG);
    assert_eq!(accepted["role"], "viewer");
    let used = app.cli(&["invitation", "accept", file, "--username", "ada2", "--password-stdin"], STRONG);
    assert_eq!(used.status.code(), Some(2), "{}", String::from_utf8_lossy(&used.stderr));
}

/// Puts open invitations into an organisation, numbered from one number to another.
fn open(app: &App, org: i64, from: i64, to: i64) {
    let rows = format!(
        "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to}) SELECT 500000 + i"
    );
    app.sql(&format!(
        "INSERT INTO invitations (id, organization_id, email, email_key, role, code_hash, created_at, expires_at) \
         {rows}, {org}, 'p' || i || '@e.org', 'p' || i || '@e.org', 'viewer', 'hash' || i, 0, 9000000000000000000 FROM n"
    ));
}

#[tokio::test]
async fn ten_thousand_invitations_are_listed_by_pages_and_twice_as_many_are_the_most() {
    let app = App::start();
    let org = app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    open(&app, org, 1, 10_000);
    let all = app.cli_json(&["invitation", "list", "acme", "--limit", "20000"], "");
    assert_eq!(all["items"].as_array().unwrap().len(), 10_000);
    assert_eq!(all["items"][0]["email"], "p10000@e.org");
    let one = invite(&app, &boss, org, json!({"email": "one-more@e.org", "role": "viewer"})).await;
    assert_eq!(one.status, 201, "{}", one.body);
    open(&app, org, 10_001, 19_999);
    let refused = invite(&app, &boss, org, json!({"email": "too-many@e.org", "role": "viewer"})).await;
    assert_eq!(told(&refused), (409, "too_many_invitations", ""), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("20000"), "{}", refused.body);
    // Those that are out go on counting, each once.
    let accepted = accept(&app, &one.body["code"], "ada").await;
    assert_eq!(accepted.status, 201, "{}", accepted.body);
    assert_eq!(accept(&app, &one.body["code"], "ada2").await.status, 400);
    // An accepted one makes room.
    let again = invite(&app, &boss, org, json!({"email": "too-many@e.org", "role": "viewer"})).await;
    assert_eq!(again.status, 201, "{}", again.body);
}

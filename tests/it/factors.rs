//! The second factor: an authenticator app, recovery codes, and what happens to who lost both.

use resoftai::base::clock::Clock;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret, Totp};

use crate::app::{App, PASSWORD, Reply};
use crate::cli::{Desk, said};

/// The app on somebody's telephone.
pub struct Phone(Totp);

impl Phone {
    /// Set up with the secret in Base32.
    pub fn new(secret: &str) -> Self {
        Self(Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).build().unwrap())
    }

    /// The code of now, or of `steps` half minutes later.
    pub fn code(&self, steps: u64) -> String {
        let now = Clock::system().now().unix_seconds().unsigned_abs();
        self.0.generate(now + 30 * steps).to_string()
    }
}

/// Switches somebody's second factor on: their app, which has shown its present code, and the recovery codes.
pub async fn enrol(app: &App, token: &str) -> (Phone, Vec<String>) {
    let start = json!({"password": PASSWORD});
    let begun = app.call("POST", "/api/account/second-factor/start", Some(token), Some(start)).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    let phone = Phone::new(begun.body["secret"].as_str().unwrap());
    let finish = json!({"code": phone.code(0)});
    let done = app.call("POST", "/api/account/second-factor/finish", Some(token), Some(finish)).await;
    assert_eq!(done.status, 200, "{}", done.body);
    (phone, serde_json::from_value(done.body["recovery_codes"].clone()).unwrap())
}

pub async fn sign_in(app: &App, name: &str, password: &str, code: Option<&str>) -> Reply {
    let body = json!({"username": name, "password": password, "code": code});
    app.call("POST", "/api/auth/login", None, Some(body)).await
}

fn code_of(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.body["code"].as_str().unwrap_or_default())
}

fn trail(app: &App) -> String {
    app.cli_json(&["audit", "list", "--limit", "200"], "").to_string()
}

#[tokio::test]
async fn a_password_alone_does_not_sign_in_who_has_a_second_factor() {
    let app = App::start();
    let ada = app.person("ada", "admin", None).await;
    let (phone, codes) = enrol(&app, &ada).await;
    assert_eq!(codes.len(), 10);

    let asked = sign_in(&app, "ada", PASSWORD, None).await;
    assert_eq!((code_of(&asked), &asked.body["field"]), ((401, "second_factor_required"), &json!("code")));
    assert_eq!(code_of(&sign_in(&app, "ada", PASSWORD, Some(" ")).await), (401, "second_factor_required"));
    let wrong = sign_in(&app, "ada", "wrong but quite long", Some(&phone.code(1))).await;
    assert_eq!(code_of(&wrong), (401, "login_failed"), "nobody learns of a factor without the password");
    assert_eq!(code_of(&sign_in(&app, "ada", PASSWORD, Some("000000")).await), (401, "second_factor_refused"));
    let replayed = sign_in(&app, "ada", PASSWORD, Some(&phone.code(0))).await;
    assert_eq!(replayed.status, 401, "it switched the factor on");

    let code = phone.code(1);
    let there = sign_in(&app, "ada", PASSWORD, Some(&code)).await;
    assert_eq!(there.status, 200, "{}", there.body);
    assert_eq!(code_of(&sign_in(&app, "ada", PASSWORD, Some(&code)).await), (401, "second_factor_refused"));
    let there = there.body["access_token"].as_str().unwrap();
    let sessions = app.call("GET", "/api/sessions", Some(there), None).await.body;
    let strong: Vec<&Value> = sessions["items"].as_array().unwrap().iter().map(|one| &one["strong"]).collect();
    assert_eq!(strong, [true, true], "the one in which it was switched on counts too");

    assert_eq!(sign_in(&app, "ada", PASSWORD, Some(&codes[0])).await.status, 200);
    assert_eq!(sign_in(&app, "ada", PASSWORD, Some(&codes[0])).await.status, 401);
    let state = app.call("GET", "/api/account/second-factor", Some(&ada), None).await.body;
    assert_eq!((&state["enabled"], &state["recovery_codes_left"]), (&json!(true), &json!(9)));
    let notices = app.call("GET", "/api/notices", Some(&ada), None).await.body;
    assert_eq!(notices["items"][0]["kind"], "recovery_code_used");

    let told = trail(&app);
    for text in
        ["ada signed in with a second factor", "ada signed in with a recovery code", "failed: the code was wrong"]
    {
        assert!(told.contains(text), "{text}");
    }
    assert!(!codes.iter().any(|code| told.contains(code)) && !told.contains(&code));
}

#[tokio::test]
async fn it_is_set_up_in_two_steps_and_turned_off_with_both() {
    let app = App::start();
    let ada = app.person("ada", "admin", None).await;
    let at = async |method: &str, path: &str, body: Value| {
        app.call(method, &format!("/api/account/second-factor{path}"), Some(&ada), Some(body)).await
    };
    assert_eq!(code_of(&at("POST", "/finish", json!({"code": "123456"})).await), (400, "second_factor_not_begun"));
    let wrong = at("POST", "/start", json!({"password": "wrong but quite long"})).await;
    assert_eq!(code_of(&wrong), (403, "password_wrong"));
    let off = json!({"password": PASSWORD, "code": "123456"});
    assert_eq!(code_of(&at("POST", "/recovery-codes", off.clone()).await), (409, "second_factor_off"));
    assert_eq!(code_of(&at("DELETE", "", off).await), (409, "second_factor_off"));

    let first = at("POST", "/start", json!({"password": PASSWORD})).await.body;
    let begun = at("POST", "/start", json!({"password": PASSWORD})).await.body;
    let (old, phone) = (Phone::new(first["secret"].as_str().unwrap()), Phone::new(begun["secret"].as_str().unwrap()));
    assert_eq!(code_of(&at("POST", "/finish", json!({"code": old.code(0)})).await), (403, "second_factor_refused"));
    assert_eq!(sign_in(&app, "ada", PASSWORD, None).await.status, 200, "it is not on yet");
    let done = at("POST", "/finish", json!({"code": phone.code(0)})).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(code_of(&at("POST", "/start", json!({"password": PASSWORD})).await), (409, "second_factor_on"));
    assert_eq!(code_of(&at("POST", "/finish", json!({"code": phone.code(1)})).await), (409, "second_factor_on"));

    let codes =
        |reply: &Reply| -> Vec<String> { serde_json::from_value(reply.body["recovery_codes"].clone()).unwrap() };
    let before = codes(&done);
    let renewed = at("POST", "/recovery-codes", json!({"password": PASSWORD, "code": before[0]})).await;
    let after = codes(&renewed);
    assert_eq!(sign_in(&app, "ada", PASSWORD, Some(&before[1])).await.status, 401, "they count no more");
    let half = at("DELETE", "", json!({"password": "wrong but quite long", "code": after[0]})).await;
    assert_eq!(code_of(&half), (403, "password_wrong"));
    let half = at("DELETE", "", json!({"password": PASSWORD, "code": before[1]})).await;
    assert_eq!(code_of(&half), (403, "second_factor_refused"));
    assert_eq!(at("DELETE", "", json!({"password": PASSWORD, "code": after[0]})).await.status, 204);
    assert_eq!(sign_in(&app, "ada", PASSWORD, None).await.status, 200);
    let sessions = app.call("GET", "/api/sessions", Some(&ada), None).await.body;
    assert!(sessions["items"].as_array().unwrap().iter().all(|one| one["strong"] == false));
    let told = trail(&app);
    for text in ["switched their second factor on", "made new recovery codes", "turned their second factor off"] {
        assert!(told.contains(text), "{text}");
    }
}

#[tokio::test]
async fn wrong_codes_are_slowed_down_and_a_right_password_forgives_none() {
    let app = App::start();
    let ada = app.person("ada", "admin", None).await;
    let (phone, _) = enrol(&app, &ada).await;
    for _ in 0..6 {
        assert_eq!(sign_in(&app, "ada", PASSWORD, Some("000000")).await.status, 401);
        // What forgives the failures of who has no second factor.
        let _ = sign_in(&app, "ada", PASSWORD, None).await;
        let body = json!({"current": PASSWORD, "new": "short"});
        app.call("PUT", "/api/auth/password", Some(&ada), Some(body)).await;
    }
    let right = sign_in(&app, "ada", PASSWORD, Some(&phone.code(1))).await;
    assert_eq!(code_of(&right), (429, "login_throttled"));
    // Nor is a session a way around.
    let body = json!({"password": PASSWORD, "code": "000000"});
    let off = app.call("DELETE", "/api/account/second-factor", Some(&ada), Some(body)).await;
    assert_eq!(code_of(&off), (429, "login_throttled"));
    app.cli_json(&["user", "unlock", "ada"], "");
    assert_eq!(sign_in(&app, "ada", PASSWORD, Some(&phone.code(1))).await.status, 200);
}

#[tokio::test]
async fn of_several_who_bring_one_code_at_once_one_comes_in() {
    let app = App::start();
    let ada = app.person("ada", "admin", None).await;
    let (phone, codes) = enrol(&app, &ada).await;
    for code in [codes[3].clone(), phone.code(1)] {
        let tries = (0..4).map(|_| sign_in(&app, "ada", PASSWORD, Some(&code)));
        let replies = futures_util::future::join_all(tries).await;
        let came_in = replies.iter().filter(|reply| reply.status == 200).count();
        assert_eq!(came_in, 1, "{:?}", replies.iter().map(code_of).collect::<Vec<_>>());
        app.cli_json(&["user", "unlock", "ada"], "");
    }
}

#[tokio::test]
async fn who_lost_both_is_let_in_from_above_and_told() {
    let app = App::start();
    app.org("acme");
    app.org("other");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let stranger = app.person("stranger", "org_admin", Some("other")).await;
    let ada = app.person("ada", "developer", Some("acme")).await;
    enrol(&app, &ada).await;
    let id = app.call("GET", "/api/auth/me", Some(&ada), None).await.body["user"]["id"].clone();
    let path = format!("/api/users/{id}/second-factor");
    assert_eq!(app.call("DELETE", &path, Some(&ada), None).await.status, 403);
    assert_eq!(app.call("DELETE", &path, Some(&stranger), None).await.status, 404);
    assert_eq!(app.cli_json(&["user", "show", "ada"], "")["second_factor"], true);

    assert_eq!(app.call("DELETE", &path, Some(&boss), None).await.status, 204);
    assert_eq!(app.call("GET", "/api/auth/me", Some(&ada), None).await.status, 401, "her sessions ended");
    let back = sign_in(&app, "ada", PASSWORD, None).await;
    assert_eq!(back.status, 200, "{}", back.body);
    let back = back.body["access_token"].as_str().unwrap();
    let notices = app.call("GET", "/api/notices", Some(back), None).await.body;
    assert_eq!(notices["items"][0]["kind"], "second_factor_reset");
    assert!(trail(&app).contains("Took the second factor of ada away"));

    enrol(&app, back).await;
    app.cli_json(&["user", "reset-factor", "ada", "--yes"], "");
    assert_eq!(sign_in(&app, "ada", PASSWORD, None).await.status, 200);
}

#[tokio::test]
async fn the_commands_set_it_up_and_sign_in_with_it() {
    let app = App::start();
    app.person("ada", "admin", None).await;
    let (desk, server) = (Desk::new(), format!("http://{}", app.address));
    let login = ["login", "--server", &server, "--username", "ada", "--password-stdin"];
    assert!(desk.run(&login, PASSWORD).status.success());
    let begun = desk.json(&["user", "factor", "start", "--password-stdin"], PASSWORD);
    let phone = Phone::new(begun["secret"].as_str().unwrap());
    let done = desk.json(&["user", "factor", "finish", &phone.code(0)], "");
    let code = done["recovery_codes"][0].as_str().unwrap();
    assert_eq!(desk.json(&["user", "factor", "show"], "")["enabled"], true);

    let other = Desk::new();
    let asked = other.run(&login, PASSWORD);
    assert!(!asked.status.success() && said(&asked).contains("second line of stdin"), "{}", said(&asked));
    let signed_in = other.run(&login, &format!("{PASSWORD}\n{code}\n"));
    assert!(signed_in.status.success(), "{}", said(&signed_in));
    let codes =
        other.json(&["user", "factor", "codes", "--password-stdin"], &format!("{PASSWORD}\n{}\n", phone.code(1)));
    let code = codes["recovery_codes"][0].as_str().unwrap();
    other.json(&["user", "factor", "off", "--password-stdin"], &format!("{PASSWORD}\n{code}\n"));
    assert!(desk.run(&login, PASSWORD).status.success());
}

#[tokio::test]
async fn what_is_handed_out_of_a_person_holds_no_secret_of_theirs() {
    let app = App::start();
    let ada = app.person("ada", "admin", None).await;
    app.person("root", "admin", None).await;
    let (_, codes) = enrol(&app, &ada).await;
    assert_eq!(codes.len(), 10);
    let file = app.dir.path().join("ada.zip");
    app.cli_json(&["user", "export", "ada", "--out", file.to_str().unwrap()], "");
    let files = crate::files::unzip(&std::fs::read(file).unwrap());
    let text = |name: &str| -> Value {
        let found = files.iter().find(|(path, _)| path.as_str() == format!("data/{name}.json")).unwrap();
        serde_json::from_str(&found.1).unwrap()
    };
    assert!(text("second_factors")[0]["enabled_at"].is_string());
    assert!(text("second_factors")[0].get("secret_sealed").is_none());
    assert_eq!(text("recovery_codes").as_array().unwrap().len(), 10);
    assert!(text("recovery_codes")[0].get("code_hash").is_none());

    app.cli_json(&["user", "erase", "ada", "--confirm", "ada"], "");
    for table in ["second_factors", "second_factor_uses", "recovery_codes"] {
        assert!(app.sql_texts(&format!("SELECT CAST(user_id AS TEXT) FROM {table}")).is_empty(), "{table}");
    }
}

async fn me(app: &App, token: &str) -> Value {
    app.call("GET", "/api/auth/me", Some(token), None).await.body
}

#[tokio::test]
async fn an_organisation_that_asks_for_it_is_closed_to_who_came_without() {
    let app = App::start();
    let (acme, other) = (app.org("acme"), app.org("other"));
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let ada = app.person("ada", "developer", Some("acme")).await;
    app.cli_json(&["member", "add", "other", "ada", "--role", "viewer"], "");
    let token = app.call("POST", "/api/tokens", Some(&ada), Some(json!({"name": "ide"}))).await;
    let token = token.body["secret"].as_str().unwrap();
    let members = format!("/api/organizations/{acme}/members");
    let settings = format!("/api/organizations/{acme}/settings");
    let reads = async |token: &str| {
        let reply = app.call("GET", &members, Some(token), None).await;
        (reply.status, reply.body["code"].as_str().unwrap_or_default().to_owned())
    };
    let open = (200, String::new());
    let closed = (403, "second_factor_needed".to_owned());
    assert_eq!(reads(&ada).await, open);

    let on = json!({"settings": {"require_second_factor": true}});
    let refused = app.call("PUT", &settings, Some(&boss), Some(on.clone())).await;
    assert_eq!(code_of(&refused), (403, "second_factor_needed"), "nobody locks themselves out");
    assert_eq!(reads(&boss).await, open);
    enrol(&app, &boss).await;
    let set = app.call("PUT", &settings, Some(&boss), Some(on)).await;
    assert_eq!(set.status, 200, "{}", set.body);

    // From the next request on, and with what to do.
    assert_eq!(reads(&ada).await, closed);
    assert_eq!(reads(token).await, closed);
    assert_eq!(reads(&boss).await, open, "the session in which it was set up counts");
    let told = app.call("GET", &members, Some(&ada), None).await.body["detail"].clone();
    assert!(told.as_str().unwrap().starts_with("acme asks for a second factor"), "{told}");
    let who = me(&app, &ada).await;
    assert_eq!((&who["strong"], &who["second_factor_needed"]), (&json!(false), &told));
    let project = json!({"name": "P", "organization_id": acme});
    assert_eq!(code_of(&app.call("POST", "/api/projects", Some(&ada), Some(project)).await).0, 403);
    let elsewhere = format!("/api/organizations/{other}/members");
    assert_eq!(app.call("GET", &elsewhere, Some(&ada), None).await.status, 200, "the other one asks for nothing");

    let (phone, _) = enrol(&app, &ada).await;
    assert_eq!((reads(&ada).await, reads(token).await), (open.clone(), open.clone()));
    assert_eq!(me(&app, &ada).await["second_factor_needed"], Value::Null);
    let off = json!({"password": PASSWORD, "code": phone.code(1)});
    assert_eq!(app.call("DELETE", "/api/account/second-factor", Some(&ada), Some(off)).await.status, 204);
    assert_eq!((reads(&ada).await, reads(token).await), (closed.clone(), closed));
    app.cli_json(&["org", "settings", "acme", "--set", "require_second_factor=false"], "");
    assert_eq!(reads(&ada).await, open);
}

#[tokio::test]
async fn a_site_that_asks_for_it_leaves_open_what_is_needed_to_set_it_up() {
    let app = App::start_with_settings(&[("RESOFTAI_ACCOUNTS_REQUIRE_SECOND_FACTOR", "true")]);
    app.org("acme");
    let root = app.person("root", "admin", None).await;
    let ada = app.person("ada", "developer", Some("acme")).await;
    for (token, path) in [(&root, "/api/users"), (&ada, "/api/projects"), (&ada, "/v1/models")] {
        let refused = app.call("GET", path, Some(token), None).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.body);
        assert!(refused.body.to_string().contains("second factor"), "{path}: {}", refused.body);
    }
    assert!(me(&app, &root).await["second_factor_needed"].as_str().unwrap().starts_with("This site asks"));
    enrol(&app, &root).await;
    assert_eq!(app.call("GET", "/api/users", Some(&root), None).await.status, 200);
    // The operator on the machine always may.
    assert_eq!(app.cli_json(&["user", "list"], "")["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_session_lasts_as_long_as_the_site_says() {
    let app = App::start_with_settings(&[("RESOFTAI_ACCOUNTS_SESSION_HOURS", "2")]);
    app.person("ada", "admin", None).await;
    let reply = sign_in(&app, "ada", PASSWORD, None).await;
    assert_eq!(reply.body["expires_in"], 7200);
    assert!(reply.headers["set-cookie"].to_str().unwrap().contains("Max-Age=7200;"));
    app.sql("UPDATE sessions SET expires_at = 1");
    let token = reply.body["access_token"].as_str().unwrap();
    assert_eq!(app.call("GET", "/api/auth/me", Some(token), None).await.status, 401);
}

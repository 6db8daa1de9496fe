//! Passkeys: made, signed in with, and refused wherever something about them is not as it must be.

use serde_json::{Value, json};

use crate::app::{App, PASSWORD, Reply};
use crate::authenticator::Device;

pub const ORIGIN: &str = "https://resoftai.site";

fn site() -> App {
    App::start_with_settings(&[("RESOFTAI_SERVER_PUBLIC_URL", ORIGIN)])
}

fn told(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.body["code"].as_str().unwrap_or_default())
}

async fn begin(app: &App, token: &str) -> Value {
    let start = json!({"password": PASSWORD});
    let begun = app.call("POST", "/api/account/passkeys/start", Some(token), Some(start)).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    begun.body
}

async fn keep(app: &App, token: &str, begun: &Value, credential: Value) -> Reply {
    let body = json!({"ticket": begun["ticket"], "name": "telephone", "credential": credential});
    app.call("POST", "/api/account/passkeys/finish", Some(token), Some(body)).await
}

pub async fn enrol(app: &App, token: &str) -> (Device, i64) {
    let mut device = Device::new(ORIGIN);
    let begun = begin(app, token).await;
    let made = keep(app, token, &begun, device.create(&begun["options"])).await;
    assert_eq!(made.status, 201, "{}", made.body);
    (device, made.body["id"].as_i64().unwrap())
}

async fn challenge(app: &App) -> Value {
    let begun = app.call("POST", "/api/auth/passkeys/start", None, None).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    begun.body
}

async fn answer(app: &App, begun: &Value, credential: Value) -> Reply {
    let body = json!({"ticket": begun["ticket"], "credential": credential});
    app.call("POST", "/api/auth/passkeys/finish", None, Some(body)).await
}

async fn sign_in(app: &App, device: &mut Device) -> Reply {
    let begun = challenge(app).await;
    answer(app, &begun, device.get(&begun["options"])).await
}

#[tokio::test]
async fn a_passkey_alone_signs_its_owner_in_and_counts_as_two_factors() {
    let app = site();
    let ada = app.person("ada", "admin", None).await;
    let wrong = app.call("POST", "/api/account/passkeys/start", Some(&ada), Some(json!({"password": "wrong"}))).await;
    assert_eq!(told(&wrong), (403, "password_wrong"));
    let begun = begin(&app, &ada).await;
    let chosen = &begun["options"]["publicKey"]["authenticatorSelection"];
    assert_eq!((&chosen["residentKey"], &chosen["userVerification"]), (&json!("required"), &json!("required")));
    assert!(!begun.to_string().contains("\"challenge_state\""));
    let (mut device, id) = enrol(&app, &ada).await;

    let there = sign_in(&app, &mut device).await;
    assert_eq!(there.status, 200, "{}", there.body);
    assert_eq!(there.body["user"]["username"], "ada");
    assert!(there.headers["set-cookie"].to_str().unwrap().starts_with("resoftai_session="));
    let token = there.body["access_token"].as_str().unwrap();
    assert_eq!(app.call("GET", "/api/auth/me", Some(token), None).await.body["strong"], true);
    assert_eq!(app.call("GET", "/api/auth/me", Some(&ada), None).await.body["strong"], true, "made in this session");
    // The password alone still works, and is weak.
    let password = json!({"username": "ada", "password": PASSWORD});
    let weak = app.call("POST", "/api/auth/login", None, Some(password)).await;
    let weak = weak.body["access_token"].as_str().unwrap();
    assert_eq!(app.call("GET", "/api/auth/me", Some(weak), None).await.body["strong"], false);

    // Nor does it make up for the passkey: no token, no other factor, no end of this one.
    let path = format!("/api/account/passkeys/{id}");
    let mine = json!({"password": PASSWORD});
    for (method, path, body) in [
        ("POST", "/api/tokens", json!({"name": "mine"})),
        ("POST", "/api/account/second-factor/start", mine.clone()),
        ("POST", "/api/account/passkeys/start", mine.clone()),
        ("DELETE", path.as_str(), mine),
    ] {
        let refused = app.call(method, path, Some(weak), Some(body)).await;
        assert_eq!(told(&refused), (403, "second_factor_needed"), "{method} {path}");
    }

    let renamed = app.call("PUT", &path, Some(&ada), Some(json!({"name": "key ring"}))).await;
    assert_eq!(renamed.body["name"], "key ring", "{}", renamed.body);
    let listed = app.call("GET", "/api/account/passkeys", Some(&ada), None).await.body;
    assert_eq!((&listed["items"][0]["site"], &listed["unavailable"]), (&json!("resoftai.site"), &Value::Null));
    assert!(listed["items"][0]["last_used_at"].is_string());
    let wrong = app.call("DELETE", &path, Some(&ada), Some(json!({"password": "wrong"}))).await;
    assert_eq!(told(&wrong), (403, "password_wrong"));
    assert_eq!(app.call("DELETE", &path, Some(&ada), Some(json!({"password": PASSWORD}))).await.status, 204);
    assert_eq!(told(&sign_in(&app, &mut device).await), (401, "passkey_refused"));
    assert_eq!(app.call("GET", "/api/auth/me", Some(token), None).await.body["strong"], false, "it was the last");
    let trail = app.cli_json(&["audit", "list", "--limit", "100"], "").to_string();
    for text in ["ada made a passkey", "ada signed in with a passkey", "ada renamed a passkey", "ada deleted a passkey"]
    {
        assert!(trail.contains(text), "{text}");
    }
}

#[tokio::test]
async fn what_is_not_as_it_must_be_is_refused() {
    let app = site();
    let ada = app.person("ada", "admin", None).await;
    let eve = app.person("eve", "admin", None).await;
    let (mut device, _) = enrol(&app, &ada).await;
    let forgive = || app.sql("DELETE FROM sign_in_failures");

    // From a page of another site.
    device.origin = "https://evil.example".to_owned();
    let phished = sign_in(&app, &mut device).await;
    assert_eq!(told(&phished), (401, "passkey_refused"), "{}", phished.body);
    assert!(phished.body["detail"].as_str().unwrap().contains("another address"), "{}", phished.body);
    device.origin = ORIGIN.to_owned();
    // Its owner was there, and nobody asked for a finger.
    device.flags = 1;
    assert_eq!(told(&sign_in(&app, &mut device).await), (401, "passkey_refused"));
    device.flags = crate::authenticator::VERIFIED;
    // For an account of somebody else.
    let mine = std::mem::replace(&mut device.handle, "AAAAAAAAAAAAAAAAAAAAAA".to_owned());
    assert_eq!(told(&sign_in(&app, &mut device).await), (401, "passkey_refused"));
    device.handle = mine;
    // A key that the site does not know, and no key at all.
    let mut other = Device::new(ORIGIN);
    other.handle.clone_from(&device.handle);
    assert_eq!(told(&sign_in(&app, &mut other).await), (401, "passkey_refused"));
    let begun = challenge(&app).await;
    assert_eq!(told(&answer(&app, &begun, json!({"id": 3})).await), (401, "passkey_refused"));
    forgive();

    // An answer that was given before, and one to another challenge.
    let signed = device.get(&begun["options"]);
    let good = answer(&app, &begun, signed.clone()).await;
    assert_eq!(good.status, 200, "{}", good.body);
    let again = answer(&app, &begun, signed.clone()).await;
    assert_eq!(again.status, 401, "{}", again.body);
    let later = device.get(&begun["options"]);
    assert_eq!(told(&answer(&app, &begun, later).await), (401, "passkey_refused"), "a challenge is answered once");
    let fresh = challenge(&app).await;
    assert_eq!(told(&answer(&app, &fresh, signed).await), (401, "passkey_refused"));
    // Tickets of nobody, of the other purpose, of somebody else.
    let made_up = json!({"ticket": "bWFkZSB1cA", "options": fresh["options"]});
    assert_eq!(told(&answer(&app, &made_up, device.get(&fresh["options"])).await), (401, "passkey_refused"));
    forgive();
    let hers = begin(&app, &ada).await;
    let made = Device::new(ORIGIN).create(&hers["options"]);
    assert_eq!(told(&keep(&app, &eve, &hers, made.clone()).await), (403, "passkey_refused"));
    assert_eq!(told(&answer(&app, &hers, device.get(&fresh["options"])).await), (401, "passkey_refused"));
    assert_eq!(keep(&app, &ada, &hers, made.clone()).await.status, 201);
    assert_eq!(keep(&app, &ada, &hers, made).await.status, 403);
    let listed = app.call("GET", "/api/account/passkeys", Some(&eve), None).await.body;
    assert_eq!(listed["items"], json!([]));
    // Who is switched off.
    app.cli_json(&["user", "deactivate", "ada", "--yes"], "");
    assert_eq!(told(&sign_in(&app, &mut device).await), (401, "passkey_refused"));
}

#[tokio::test]
async fn a_counter_that_goes_back_is_refused_and_told() {
    let app = site();
    let ada = app.person("ada", "admin", None).await;
    let (mut device, _) = enrol(&app, &ada).await;
    for _ in 0..3 {
        assert_eq!(sign_in(&app, &mut device).await.status, 200);
    }
    device.counter = 1;
    assert_eq!(told(&sign_in(&app, &mut device).await), (401, "passkey_copied"));
    let notices = app.call("GET", "/api/notices", Some(&ada), None).await.body;
    assert_eq!(notices["items"][0]["kind"], "passkey_copied");
    let trail = app.cli_json(&["audit", "list", "--action", "login"], "");
    assert!(trail["items"][0].to_string().contains("there is a copy of the passkey"), "{trail}");
    assert_eq!(trail["items"][0]["success"], false);
    device.counter = 10;
    assert_eq!(sign_in(&app, &mut device).await.status, 200);
}

#[tokio::test]
async fn of_several_answers_to_one_challenge_at_once_one_counts() {
    let app = site();
    let ada = app.person("ada", "admin", None).await;
    let (mut device, _) = enrol(&app, &ada).await;
    let begun = challenge(&app).await;
    let signed = device.get(&begun["options"]);
    let tries = (0..4).map(|_| answer(&app, &begun, signed.clone()));
    let replies = futures_util::future::join_all(tries).await;
    assert_eq!(
        replies.iter().filter(|reply| reply.status == 200).count(),
        1,
        "{:?}",
        replies.iter().map(told).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn an_address_without_a_name_makes_no_passkeys_and_says_so() {
    let app = App::start();
    let ada = app.person("ada", "admin", None).await;
    let start = app.call("POST", "/api/account/passkeys/start", Some(&ada), Some(json!({"password": PASSWORD}))).await;
    assert_eq!(told(&start), (400, "passkeys_need_name"), "{}", start.body);
    assert_eq!(told(&app.call("POST", "/api/auth/passkeys/start", None, None).await), (400, "passkeys_need_name"));
    let listed = app.call("GET", "/api/account/passkeys", Some(&ada), None).await.body;
    assert!(listed["unavailable"].as_str().unwrap().contains("host name"), "{listed}");
}

#[tokio::test]
async fn they_go_with_the_second_factor_that_is_taken_away() {
    let app = site();
    let ada = app.person("ada", "admin", None).await;
    let (mut device, _) = enrol(&app, &ada).await;
    assert_eq!(app.cli_json(&["user", "show", "ada"], "")["second_factor"], true);
    app.cli_json(&["user", "reset-factor", "ada", "--yes"], "");
    assert_eq!(told(&sign_in(&app, &mut device).await), (401, "passkey_refused"));
    assert_eq!(app.cli_json(&["user", "show", "ada"], "")["second_factor"], false);
}

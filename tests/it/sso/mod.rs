//! Single sign-on with identity providers that others wrote: pysaml2 (which signs with xmlsec1) and oidc-provider. And with
//! answers that were tampered with.

mod mutations;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::mutations::mutations;
use crate::app::{App, PASSWORD, Reply, send};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sso");

fn install() {
    let installed = Command::new("sh").arg(format!("{FOLDER}/install.sh")).status().unwrap();
    assert!(installed.success(), "tests/sso/install.sh failed");
}

/// A SAML identity provider with a key of its own.
pub struct Idp {
    process: Child,
    replies: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    metadata: String,
    /// Of its key.
    _folder: TempDir,
}

impl Idp {
    pub fn new() -> Self {
        Self::ending(Duration::from_secs(365 * 86_400))
    }

    /// Whose certificate ends in `time`.
    #[allow(clippy::disallowed_methods, reason = "verifiers look at the machine's clock")]
    fn ending(time: Duration) -> Self {
        install();
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.not_after = (SystemTime::now() + time).into();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        std::fs::write(folder.path().join("cert.pem"), certificate.pem()).unwrap();
        let mut process = Command::new("/usr/bin/python3")
            .args([&format!("{FOLDER}/idp.py"), folder.path().to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let metadata = said(&mut stdout);
        let replies = Mutex::new((process.stdin.take().unwrap(), stdout));
        Self { process, replies, metadata, _folder: folder }
    }

    /// The XML of a response about alice, but for what `other` says.
    fn answer(&self, sp: &str, begun: &Begun, other: &Value) -> String {
        let mut question = json!({"sp": sp, "location": begun.location, "name_id": "alice-7",
            "identity": {"uid": ["alice"], "mail": ["alice@site.example"], "groups": ["builders"]}});
        for (key, value) in other.as_object().unwrap() {
            question[key] = value.clone();
        }
        let mut replies = self.replies.lock().unwrap();
        writeln!(replies.0, "{question}").unwrap();
        said(&mut replies.1)
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn said(stdout: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    String::from_utf8(STANDARD.decode(line.trim()).unwrap()).unwrap()
}

/// A sign-in as the browser keeps it.
struct Begun {
    location: String,
    cookie: String,
}

fn cookie(reply: &Reply, name: &str) -> Option<String> {
    let all = reply.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned());
    let mut pairs = all.map(|cookie| cookie.split(';').next().unwrap().to_owned());
    pairs.find(|pair| pair.starts_with(&format!("{name}=")) && !pair.ends_with('='))
}

fn location(reply: &Reply) -> String {
    assert_eq!(reply.status, 303, "{}", reply.body);
    reply.headers["location"].to_str().unwrap().to_owned()
}

async fn begin(app: &App, slug: &str) -> Begun {
    let reply = app.call("GET", &format!("/api/sso/{slug}/start?back=/projects"), None, None).await;
    Begun { location: location(&reply), cookie: cookie(&reply, "resoftai_sso").unwrap() }
}

/// The session that was opened.
fn session(reply: &Reply) -> String {
    assert_eq!(location(reply), "/projects");
    cookie(reply, "resoftai_session").unwrap().split_once('=').unwrap().1.to_owned()
}

fn parameter(url: &str, name: &str) -> String {
    let query = url.split_once('?').unwrap().1;
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).unwrap().1.into_owned()
}

/// Sends what the provider's page would send.
async fn post(app: &App, slug: &str, begun: &Begun, xml: &str) -> Reply {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("SAMLResponse", &STANDARD.encode(xml))
        .append_pair("RelayState", &parameter(&begun.location, "RelayState"))
        .finish();
    let headers = [
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ("cookie", format!("theme=dark; {}", begun.cookie)),
    ];
    app.send("POST", &format!("/api/sso/{slug}/acs"), &headers, Bytes::from(form)).await
}

async fn metadata(app: &App, slug: &str) -> String {
    let reply = app.call("GET", &format!("/api/sso/{slug}/metadata"), None, None).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body.as_str().unwrap().to_owned()
}

async fn made(app: &App, token: &str, body: &Value) -> Value {
    let reply = app.call("POST", "/api/sso/providers", Some(token), Some(body.clone())).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.body
}

async fn me(app: &App, token: &str) -> Value {
    let reply = app.call("GET", "/api/auth/me", Some(token), None).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

fn acme(org: i64, idp: &Idp) -> Value {
    json!({"organization_id": org, "slug": "acme-id", "name": "Acme ID", "provision": true, "default_role": "viewer",
        "roles": {"builders": "developer"}, "domains": ["site.example"],
        "connection": {"kind": "saml", "metadata": idp.metadata}})
}

fn roles(me: &Value) -> Vec<&str> {
    me["user"]["roles"].as_array().unwrap().iter().map(|role| role["role"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn people_come_in_with_saml_and_their_groups_give_roles() {
    let app = App::start();
    let (org, idp) = (app.org("acme"), Idp::new());
    let owner = app.person("owner", "org_admin", Some("acme")).await;
    let provider = made(&app, &owner, &acme(org, &idp)).await;
    assert_eq!(provider["certificates"][0]["state"], "valid", "{provider}");
    let sp = metadata(&app, "acme-id").await;

    let begun = begin(&app, "acme-id").await;
    assert!(begun.location.starts_with("https://idp.example/sso?"), "{}", begun.location);
    assert!(begun.location.contains("&Signature="), "the provider wants signed requests: {}", begun.location);
    let answer = idp.answer(&sp, &begun, &json!({}));
    let there = post(&app, "acme-id", &begun, &answer).await;
    let alice = session(&there);
    let first = me(&app, &alice).await;
    assert_eq!((&first["user"]["username"], &first["user"]["email"]), (&json!("alice"), &json!("alice@site.example")));
    assert_eq!(roles(&first), ["developer"]);
    assert_eq!(first["strong"], false);

    // The same answer again: in the browser that sent it, and in one that began anew.
    let again = post(&app, "acme-id", &begun, &answer).await;
    assert!(location(&again).starts_with("/sign-in?sso=sso_refused"), "{}", location(&again));
    let anew = begin(&app, "acme-id").await;
    let elsewhere = post(&app, "acme-id", &anew, &answer).await;
    assert!(location(&elsewhere).starts_with("/sign-in?sso=sso_refused"), "{}", location(&elsewhere));

    // No builder any more, and two factors from now on.
    let mut change = acme(org, &idp);
    change.as_object_mut().unwrap().retain(|key, _| key != "organization_id" && key != "slug");
    change["second_factor"] = json!(true);
    let path = format!("/api/sso/providers/{}", provider["id"]);
    assert_eq!(app.call("PUT", &path, Some(&owner), Some(change)).await.status, 200);
    let begun = begin(&app, "acme-id").await;
    let left = json!({"identity": {"uid": ["renamed"], "mail": ["other@site.example"], "groups": []}});
    let there = post(&app, "acme-id", &begun, &idp.answer(&sp, &begun, &left)).await;
    let second = me(&app, &session(&there)).await;
    assert_eq!(second["user"]["id"], first["user"]["id"]);
    assert!(roles(&second).is_empty(), "{second}");
    assert_eq!(second["strong"], true);

    let trail = app.call("GET", &format!("/api/audit?organization_id={org}&limit=50"), Some(&owner), None).await;
    let told = trail.body.to_string();
    assert!(told.contains("A sign-in with Acme ID failed"), "{told}");

    // A provider that is gone takes its sessions along.
    assert_eq!(app.call("DELETE", &path, Some(&owner), None).await.status, 204);
    assert_eq!(app.call("GET", "/api/auth/me", Some(&alice), None).await.status, 401);
}

#[tokio::test]
async fn answers_that_are_not_as_they_must_be_are_refused() {
    let app = App::start();
    let (org, idp, other) = (app.org("acme"), Idp::new(), Idp::new());
    let owner = app.person("owner", "org_admin", Some("acme")).await;
    made(&app, &owner, &acme(org, &idp)).await;
    let sp = metadata(&app, "acme-id").await;
    let transient = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";
    for wrong in [
        json!({"audience": "https://other.example/metadata"}),
        json!({"acs": "https://other.example/acs"}),
        json!({"request": "_another"}),
        json!({"sha1": true}),
        json!({"sign_assertion": false}),
        json!({"sign_assertion": false, "sign_response": true}),
        json!({"format": transient}),
        json!({"identity": {"uid": ["alice"], "mail": ["alice@elsewhere.example"]}}),
        json!({"identity": {"uid": ["alice"]}}),
    ] {
        let begun = begin(&app, "acme-id").await;
        let there = post(&app, "acme-id", &begun, &idp.answer(&sp, &begun, &wrong)).await;
        assert!(location(&there).starts_with("/sign-in?sso=sso_refused"), "{wrong}: {}", location(&there));
    }
    for (name, mutate) in mutations() {
        let begun = begin(&app, "acme-id").await;
        let good = idp.answer(&sp, &begun, &json!({"sign_response": name.contains("response signed")}));
        let bad = mutate(&good);
        assert_ne!(good, bad, "{name} changes nothing");
        let there = post(&app, "acme-id", &begun, &bad).await;
        assert!(location(&there).starts_with("/sign-in?sso=sso_refused"), "{name}: {}", location(&there));
        assert!(cookie(&there, "resoftai_session").is_none(), "{name}");
    }
    // Another provider's key, under the same name.
    let begun = begin(&app, "acme-id").await;
    let there = post(&app, "acme-id", &begun, &other.answer(&sp, &begun, &json!({}))).await;
    assert!(location(&there).starts_with("/sign-in?sso=sso_refused"));
    // Another browser's.
    let (begun, victim) = (begin(&app, "acme-id").await, begin(&app, "acme-id").await);
    let answer = idp.answer(&sp, &begun, &json!({}));
    let crossed = Begun { location: begun.location.clone(), cookie: victim.cookie };
    assert!(location(&post(&app, "acme-id", &crossed, &answer).await).starts_with("/sign-in?sso=sso_refused"));
    let none = Begun { location: begun.location.clone(), cookie: "resoftai_sso=made-up".to_owned() };
    assert!(location(&post(&app, "acme-id", &none, &answer).await).starts_with("/sign-in?sso=sso_refused"));
    let users = app.sql_texts("SELECT username FROM users WHERE username <> 'owner'");
    assert!(users.is_empty(), "{users:?}");
    // And what nobody touched is taken, encrypted too.
    session(&post(&app, "acme-id", &begun, &answer).await);
    let begun = begin(&app, "acme-id").await;
    let encrypted = idp.answer(&sp, &begun, &json!({"encrypt": true}));
    assert!(encrypted.contains("EncryptedAssertion") && !encrypted.contains("alice-7"), "{encrypted}");
    session(&post(&app, "acme-id", &begun, &encrypted).await);
    // A comment inside of a name is no end of it (CVE-2017-11427 and its kin).
    let begun = begin(&app, "acme-id").await;
    let eve = json!({"name_id": "root-1.evil", "identity": {"uid": ["eve"], "mail": ["eve@site.example"]}});
    let cut = idp.answer(&sp, &begun, &eve).replace("root-1.evil", "root-1<!-- -->.evil");
    post(&app, "acme-id", &begun, &cut).await;
    let subjects = app.sql_texts("SELECT subject FROM sso_links");
    assert!(!subjects.iter().any(|subject| subject == "root-1"), "{subjects:?}");
}

#[tokio::test]
async fn what_an_organisation_vouches_for_counts_there_alone() {
    let app = App::start();
    let (org, other, idp) = (app.org("acme"), app.org("beta"), Idp::new());
    let owner = app.person("owner", "org_admin", Some("acme")).await;
    let bob = app.person("bob", "admin", None).await;
    let stranger = app.person("stranger", "org_admin", Some("beta")).await;
    let member = json!({"username": "bob", "role": "developer"});
    let added = app.call("POST", &format!("/api/organizations/{org}/members"), Some(&bob), Some(member)).await;
    assert!((200..300).contains(&added.status), "{}", added.body);
    let mut body = acme(org, &idp);
    body["provision"] = json!(false);
    made(&app, &owner, &body).await;
    let sp = metadata(&app, "acme-id").await;

    // Nobody is made an account for.
    let begun = begin(&app, "acme-id").await;
    let about = json!({"name_id": "bob-1"});
    let there = post(&app, "acme-id", &begun, &idp.answer(&sp, &begun, &about)).await;
    assert!(location(&there).starts_with("/sign-in?sso=sso_not_linked"), "{}", location(&there));

    let link = json!({"provider": "acme-id", "password": PASSWORD});
    let refused = app.call("POST", "/api/account/sso/link", Some(&stranger), Some(link.clone())).await;
    assert_eq!(refused.status, 404, "{}", refused.body);
    let begun = app.call("POST", "/api/account/sso/link", Some(&bob), Some(link)).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    let begun = Begun {
        location: begun.body["location"].as_str().unwrap().to_owned(),
        cookie: cookie(&begun, "resoftai_sso").unwrap(),
    };
    let there = post(&app, "acme-id", &begun, &idp.answer(&sp, &begun, &about)).await;
    assert_eq!(location(&there), "/account/security");
    assert!(cookie(&there, "resoftai_session").is_none());
    let links = app.call("GET", "/api/account/sso", Some(&bob), None).await.body;
    assert_eq!(links["items"][0]["slug"], "acme-id", "{links}");

    let begun = begin(&app, "acme-id").await;
    let held = session(&post(&app, "acme-id", &begun, &idp.answer(&sp, &begun, &about)).await);
    let whole = me(&app, &bob).await;
    let there = me(&app, &held).await;
    assert_eq!(there["user"]["id"], whole["user"]["id"]);
    assert_ne!(whole["site_permissions"], json!([]));
    assert_eq!(there["site_permissions"], json!([]));
    assert_eq!(app.call("GET", &format!("/api/organizations/{org}"), Some(&held), None).await.status, 200);
    assert_eq!(app.call("GET", &format!("/api/organizations/{other}"), Some(&held), None).await.status, 404);
    let token = app.call("POST", "/api/tokens", Some(&held), Some(json!({"name": "more"}))).await;
    assert_eq!((token.status, token.body["code"].as_str()), (403, Some("session_limited")), "{}", token.body);

    // Single sign-on alone: who turns it on came that way; passwords open the organisation no more, tokens do.
    let made_before = app.call("POST", "/api/tokens", Some(&owner), Some(json!({"name": "pipeline"}))).await;
    let pipeline = made_before.body["secret"].as_str().unwrap().to_owned();
    let settings = format!("/api/organizations/{org}/settings");
    let alone = json!({"settings": {"require_sso": true}});
    let locked = app.call("PUT", &settings, Some(&owner), Some(alone.clone())).await;
    assert_eq!((locked.status, locked.body["code"].as_str()), (403, Some("sso_needed")), "{}", locked.body);
    let reach = format!("/api/organizations/{org}");
    assert_eq!(app.call("GET", &reach, Some(&owner), None).await.status, 200);
    assert_eq!(app.call("PUT", &settings, Some(&bob), Some(alone)).await.status, 200);
    let refused = app.call("GET", &format!("{reach}/members"), Some(&owner), None).await;
    assert_eq!((refused.status, refused.body["code"].as_str()), (403, Some("sso_needed")), "{}", refused.body);
    for token in [&held, &pipeline, &bob] {
        assert_eq!(app.call("GET", &format!("{reach}/members"), Some(token), None).await.status, 200);
    }

    let id = &links["items"][0]["id"];
    assert_eq!(app.call("DELETE", &format!("/api/account/sso/{id}"), Some(&stranger), None).await.status, 404);
    assert_eq!(app.call("DELETE", &format!("/api/account/sso/{id}"), Some(&bob), None).await.status, 204);
}

/// npm's oidc-provider, at which somebody is signed in.
struct Op {
    process: Child,
    address: String,
}

impl Op {
    fn start(login: &str, callback: &str) -> Self {
        install();
        let mut process = Command::new("node")
            .args([&format!("{FOLDER}/op.mjs"), callback])
            .env("LOGIN", login)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { process, address: format!("127.0.0.1:{}", port.trim()) }
    }

    /// Follows the provider's own redirects, with its cookies, until it leads back to us.
    async fn walk(&self, from: &str) -> String {
        let (mut url, mut jar) = (from.to_owned(), Vec::<String>::new());
        for _ in 0..10 {
            let Some(path) = url.strip_prefix(&format!("http://{}", self.address)) else { return url };
            let cookies = ("cookie", jar.join("; "));
            let reply = send(&self.address, "GET", path, &[cookies], Bytes::new()).await;
            for value in reply.headers.get_all("set-cookie") {
                let pair = value.to_str().unwrap().split(';').next().unwrap().to_owned();
                let name = pair.split_once('=').unwrap().0.to_owned();
                jar.retain(|kept| !kept.starts_with(&format!("{name}=")));
                jar.push(pair);
            }
            let next = reply.headers.get("location").unwrap_or_else(|| panic!("{path}: {}", reply.body));
            let next = next.to_str().unwrap();
            url = if next.starts_with('/') { format!("http://{}{next}", self.address) } else { next.to_owned() };
        }
        panic!("it goes on and on: {url}");
    }
}

impl Drop for Op {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

async fn call_back(app: &App, url: &str, cookie: &str) -> Reply {
    let path = url.strip_prefix(&format!("http://{}", app.address)).unwrap();
    app.send("GET", path, &[("cookie", cookie.to_owned())], Bytes::new()).await
}

fn corporate(op: &Op) -> Value {
    json!({"slug": "corporate", "name": "Corporate ID", "provision": true, "client_secret": "a secret: with / signs",
        "connection": {"kind": "oidc", "issuer": format!("http://{}", op.address), "client_id": "resoftai"}})
}

#[tokio::test]
async fn people_come_in_with_openid_connect() {
    let app = App::start();
    let root = app.person("root", "admin", None).await;
    let op = Op::start("alice", &format!("http://{}/api/sso/corporate/callback", app.address));
    let provider = made(&app, &root, &corporate(&op)).await;
    assert_eq!(provider["has_secret"], true);
    assert!(!provider.to_string().contains("with / signs"));
    let tried = app.call("POST", &format!("/api/sso/providers/{}/test", provider["id"]), Some(&root), None).await;
    assert_eq!(tried.body["good"], true, "{}", tried.body);
    let offered = app.call("GET", "/api/auth/sso", None, None).await.body;
    assert_eq!(offered["items"][0]["start"], "/api/sso/corporate/start", "{offered}");

    let begun = begin(&app, "corporate").await;
    let back = op.walk(&begun.location).await;
    // Somebody else's browser, and an answer to another sign-in.
    let victim = begin(&app, "corporate").await;
    for cookie in [victim.cookie.as_str(), "resoftai_sso=made-up", ""] {
        let refused = call_back(&app, &back, cookie).await;
        assert!(location(&refused).starts_with("/sign-in?sso=sso_refused"), "{}", location(&refused));
    }
    let alice = session(&call_back(&app, &back, &begun.cookie).await);
    let there = me(&app, &alice).await;
    assert_eq!(there["user"]["username"], "alice", "{there}");
    assert_eq!(there["user"]["email"], "alice@site.example");
    let again = call_back(&app, &back, &begun.cookie).await;
    assert!(location(&again).starts_with("/sign-in?sso=sso_refused"));

    // The same person again is the same account, until it is switched off.
    let begun = begin(&app, "corporate").await;
    let back = op.walk(&begun.location).await;
    let second = me(&app, &session(&call_back(&app, &back, &begun.cookie).await)).await;
    assert_eq!(second["user"]["id"], there["user"]["id"]);
    let off = format!("/api/users/{}/deactivate", there["user"]["id"]);
    assert!((200..300).contains(&app.call("POST", &off, Some(&root), Some(json!({}))).await.status));
    let begun = begin(&app, "corporate").await;
    let back = op.walk(&begun.location).await;
    let refused = call_back(&app, &back, &begun.cookie).await;
    assert!(location(&refused).starts_with("/sign-in?sso=sso_inactive"), "{}", location(&refused));
}

#[tokio::test]
async fn an_address_makes_nobody_the_owner_of_an_account() {
    let app = App::start();
    let root = app.person("root", "admin", None).await;
    app.sql("UPDATE users SET email = 'alice@site.example', email_key = 'alice@site.example' WHERE username = 'root'");
    let callback = format!("http://{}/api/sso/corporate/callback", app.address);
    for (login, told) in [("alice", "sso_link_first"), ("mallory", "sso_refused")] {
        let op = Op::start(login, &callback);
        let provider = made(&app, &root, &corporate(&op)).await;
        let begun = begin(&app, "corporate").await;
        let back = op.walk(&begun.location).await;
        let refused = call_back(&app, &back, &begun.cookie).await;
        assert!(location(&refused).starts_with(&format!("/sign-in?sso={told}")), "{login}: {}", location(&refused));
        let gone = app.call("DELETE", &format!("/api/sso/providers/{}", provider["id"]), Some(&root), None).await;
        assert_eq!(gone.status, 204);
    }
}

#[tokio::test]
async fn administrators_are_told_once_that_certificates_end() {
    let mut app = App::start();
    let (org, idp) = (app.org("acme"), Idp::ending(Duration::from_secs(10 * 86_400)));
    let owner = app.person("owner", "org_admin", Some("acme")).await;
    let provider = made(&app, &owner, &acme(org, &idp)).await;
    assert_eq!(provider["certificates"][0]["state"], "expiring", "{provider}");
    // It is looked at the start, and then once an hour.
    for _ in 0..2 {
        app.crash_and_restart();
        let told = async || {
            let notices = app.call("GET", "/api/notices", Some(&owner), None).await.body;
            let all = notices["items"].as_array().unwrap().clone();
            all.into_iter().filter(|notice| notice["kind"] == "sso_certificate").collect::<Vec<_>>()
        };
        let mut found = told().await;
        for _ in 0..100 {
            if !found.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            found = told().await;
        }
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0]["link"], format!("/organizations/{org}/sso/{}", provider["id"]));
    }
}

#[tokio::test]
async fn the_commands_of_the_guide_set_providers_up() {
    let app = App::start_with_settings(&[("RESOFTAI_SERVER_PUBLIC_URL", "https://box.example")]);
    app.org("acme");
    let (idp, folder) = (Idp::new(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("idp.xml"), &idp.metadata).unwrap();
    let guide = include_str!("../../../docs/sso.md");
    let commands: Vec<&str> = guide.lines().filter(|line| line.starts_with("resoftai sso ")).collect();
    assert!(commands.len() >= 7, "{commands:?}");
    for command in commands {
        let script = format!("resoftai() {{ \"$BINARY\" --data-dir \"$DATA\" \"$@\"; }}\n{command}");
        let mut child = Command::new("sh")
            .args(["-ec", &script])
            .env("BINARY", env!("CARGO_BIN_EXE_resoftai"))
            .env("DATA", app.dir.path())
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Not all of them read it.
        drop(child.stdin.take().unwrap().write_all(b"the client's secret\n"));
        // The guide's OpenID provider is not there to be asked.
        let succeeds = command != "resoftai sso test corporate";
        assert_eq!(child.wait().unwrap().success(), succeeds, "{command}");
    }
    let ours = std::fs::read_to_string(folder.path().join("resoftai.xml")).unwrap();
    assert!(ours.contains("https://box.example/api/sso/acme-id/acs"), "{ours}");
    let shown = app.cli_json(&["sso", "show", "corporate"], "");
    assert_eq!(shown["addresses"]["callback"], "https://box.example/api/sso/corporate/callback");
    assert_eq!(shown["has_secret"], true);
    let set = app.cli_json(&["sso", "show", "acme-id"], "");
    assert_eq!((&set["roles"], &set["provision"]), (&json!({"builders": "developer"}), &json!(true)));
}

#[tokio::test]
async fn who_manages_an_organisation_sets_its_providers_and_gives_no_more_than_they_hold() {
    let app = App::start();
    let (org, idp) = (app.org("acme"), Idp::new());
    app.org("beta");
    let owner = app.person("owner", "org_admin", Some("acme")).await;
    let viewer = app.person("viewer", "viewer", Some("acme")).await;
    let stranger = app.person("stranger", "org_admin", Some("beta")).await;
    let good = acme(org, &idp);
    let ask = async |token: &str, body: &Value| {
        let reply = app.call("POST", "/api/sso/providers", Some(token), Some(body.clone())).await;
        (reply.status, reply.body["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(ask(&viewer, &good).await.0, 403);
    assert_eq!(ask(&stranger, &good).await.0, 404);
    for (key, value, code) in [
        ("organization_id", Value::Null, "forbidden"),
        ("slug", json!("Not a slug"), "invalid_slug"),
        ("slug", json!("providers"), "invalid_slug"),
        ("roles", json!({"all": "super_admin"}), "role_over_site"),
        ("roles", json!({"all": "no_such_role"}), "unknown_role"),
        ("domains", json!(["a b"]), "invalid_sso_provider"),
        ("connection", json!({"kind": "saml", "metadata": "<x/>"}), "invalid_sso_metadata"),
        ("connection", json!({"kind": "oidc", "issuer": "ftp://a", "client_id": "b"}), "invalid_sso_provider"),
    ] {
        let mut bad = good.clone();
        bad[key] = value.clone();
        if key == "organization_id" {
            bad["roles"] = json!({});
            bad["default_role"] = Value::Null;
        }
        let (status, told) = ask(&owner, &bad).await;
        assert!(status == 400 || status == 403 || status == 422, "{key} {value}: {status} {told}");
        assert_eq!(told, code, "{key} {value}");
    }
    let provider = made(&app, &owner, &good).await;
    assert_eq!(ask(&owner, &good).await.1, "slug_taken");
    let path = format!("/api/sso/providers/{}", provider["id"]);
    for (token, status) in [(&viewer, 403), (&stranger, 404), (&owner, 200)] {
        assert_eq!(app.call("GET", &path, Some(token), None).await.status, status);
    }
    let listed = app.call("GET", "/api/sso/providers", Some(&stranger), None).await.body;
    assert_eq!(listed["items"], json!([]));
    // Offered to who knows the organisation or has an address of its domain, whether or not there is an account.
    for (query, count) in
        [("", 0), ("?org=acme", 1), ("?org=beta", 0), ("?email=nobody@site.example", 1), ("?email=a@site.exampl", 0)]
    {
        let offered = app.call("GET", &format!("/api/auth/sso{query}"), None, None).await.body;
        assert_eq!(offered["items"].as_array().unwrap().len(), count, "{query}: {offered}");
    }
    let shown = app.cli_json(&["sso", "show", "acme-id"], "");
    assert_eq!((&shown["name"], &shown["addresses"]), (&json!("Acme ID"), &Value::Null));
    let unknown = app.cli(&["sso", "metadata", "acme-id"], "");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("server.public_url"));
    assert_eq!(app.cli_json(&["sso", "test", "acme-id"], "")["good"], true);
    let off = app.cli_json(&["sso", "update", "acme-id", "--enabled", "false"], "");
    assert_eq!((&off["enabled"], &off["roles"]), (&json!(false), &json!({"builders": "developer"})));
    // What is switched off is as what is not there.
    for slug in ["acme-id", "nowhere-1"] {
        for (method, end) in [("GET", "start"), ("GET", "metadata"), ("GET", "callback"), ("POST", "acs")] {
            let reply = app.call(method, &format!("/api/sso/{slug}/{end}"), None, None).await;
            assert_eq!(reply.status, 404, "{method} {slug} {end}: {}", reply.body);
        }
    }
    app.cli_json(&["sso", "delete", "acme-id", "--yes"], "");
    let left = app.cli_json(&["sso", "list"], "");
    assert!(!left.to_string().contains("acme-id"), "{left}");
}

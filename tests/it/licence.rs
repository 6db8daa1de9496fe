//! The licence through the door: what is taken and refused, what opens and closes, and what never does.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use resoftai::base::clock::{self, Clock, SECOND, Time};
use resoftai::base::note::Verifier;
use resoftai::config::{Config, LicenceConfig, Secret};
use resoftai::licence::{Claims, UsageReport};
use resoftai::server::{self, Running};
use serde_json::{Value, json};

use crate::app::{App, PASSWORD, Reply, database_of, send};
use crate::bad_input;
use crate::vendor::{self, DAY, claims, now, sign, sign_list};

/// The site's administrator at an unlicensed site.
async fn site() -> (App, String) {
    let app = App::start_unlicensed();
    let root = app.person("root", "admin", None).await;
    (app, root)
}

async fn install(app: &App, root: &str, licence: &str) -> Reply {
    app.call("PUT", "/api/licence", Some(root), Some(json!({"licence": licence}))).await
}

async fn status(app: &App, root: &str) -> Value {
    let reply = app.call("GET", "/api/licence", Some(root), None).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

async fn make_org(app: &App, root: &str, slug: &str) -> Reply {
    let body = json!({"name": slug, "slug": slug});
    app.call("POST", "/api/organizations", Some(root), Some(body)).await
}

async fn make_person(app: &App, root: &str, name: &str) -> Reply {
    let body = json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD});
    app.call("POST", "/api/users", Some(root), Some(body)).await
}

fn code(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.body["code"].as_str().unwrap_or_default())
}

/// The kinds of root's notices, the newest first.
async fn notices(app: &App, root: &str) -> Vec<String> {
    let reply = app.call("GET", "/api/notices", Some(root), None).await;
    let items = reply.body["items"].as_array().unwrap().iter();
    items.map(|notice| notice["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn without_a_licence_the_site_serves_one_team() {
    let (app, root) = site().await;
    let free = status(&app, &root).await;
    assert_eq!((&free["state"], &free["tier"], &free["licence"]), (&json!("none"), &json!("free"), &Value::Null));
    assert_eq!(free["seats"], json!({"used": 1, "licensed": 10, "allowed": 11}));
    assert!(free["features"].as_array().unwrap().iter().all(|feature| feature["open"] == false), "{free}");

    let first = make_org(&app, &root, "first").await;
    assert_eq!(first.status, 201, "{}", first.body);
    let org = first.body["id"].as_i64().unwrap();
    let second = make_org(&app, &root, "second").await;
    assert_eq!(code(&second), (403, "licence_required"), "{}", second.body);
    assert!(second.body["detail"].as_str().unwrap().contains("no licence"), "{}", second.body);
    let role = json!({"code": "tester", "name": "Tester", "permissions": ["project.read"]});
    let role = app.call("POST", &format!("/api/organizations/{org}/roles"), Some(&root), Some(role)).await;
    assert_eq!(code(&role), (403, "licence_required"), "{}", role.body);
    let provider = json!({"slug": "sso", "name": "SSO", "connection": {"kind": "oidc", "issuer": "https://idp.example",
        "client_id": "x"}, "client_secret": "y"});
    let provider = app.call("POST", "/api/sso/providers", Some(&root), Some(provider)).await;
    assert_eq!(code(&provider), (403, "licence_required"), "{}", provider.body);
    // What one team needs is there.
    let dev = app.person("dev", "developer", Some("first")).await;
    let project = app.call("POST", "/api/projects", Some(&dev), Some(json!({"name": "P"}))).await;
    assert_eq!(project.status, 201, "{}", project.body);
}

#[tokio::test]
async fn a_licence_opens_at_once_and_the_trail_says_who_installed_it() {
    let (app, root) = site().await;
    app.org("first");
    let licence = sign(&claims("L-1"));
    let installed = install(&app, &root, &licence).await;
    assert_eq!(installed.status, 200, "{}", installed.body);
    let shown = &installed.body;
    assert_eq!((&shown["state"], &shown["tier"]), (&json!("valid"), &json!("enterprise")));
    assert_eq!(shown["seats"], json!({"used": 1, "licensed": 100, "allowed": 110}));
    assert_eq!(shown["licence"]["customer"], "Acme Works");
    assert_eq!(shown["licence"]["key_built_in"], false);
    assert_eq!(make_org(&app, &root, "second").await.status, 201);
    // The same again is no change.
    assert_eq!(install(&app, &root, &licence).await.status, 200);
    let trail = app.call("GET", "/api/audit?resource_type=licence", Some(&root), None).await;
    let entries = trail.body["items"].as_array().unwrap();
    let told: Vec<&str> = entries.iter().map(|entry| entry["description"].as_str().unwrap()).collect();
    assert_eq!(told, ["Installed licence L-1 for Acme Works"]);
    assert_eq!(entries[0]["actor"]["name"], "root");
    // Others than administrators of the site see nothing of it.
    let admin = app.person("boss", "org_admin", Some("first")).await;
    for (method, path) in [("GET", "/api/licence"), ("GET", "/api/licence/report")] {
        assert_eq!(app.call(method, path, Some(&admin), None).await.status, 403, "{path}");
        assert_eq!(app.call(method, path, None, None).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn what_does_not_count_is_refused_with_its_reason_and_changes_nothing() {
    let (app, root) = site().await;
    let good = sign(&claims("L-1"));
    let payload = good.split('.').nth(1).unwrap();
    let part = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    };
    let none = part(r#"{"alg":"none","typ":"resoftai-license+jwt"}"#);
    let more = part(&serde_json::to_string(&Claims { seats: 9999, ..claims("L-1") }).unwrap());
    let edited = good.replace(payload, &more);
    let unknown = good.replace(
        good.split('.').next().unwrap(),
        &part(r#"{"alg":"EdDSA","typ":"resoftai-license+jwt","kid":"someone.example+00000000"}"#),
    );
    let over = Claims { nbf: now() - 400 * DAY, exp: now() - 40 * DAY, ..claims("L-2") };
    let elsewhere = Claims { installations: vec!["another".to_owned()], ..claims("L-3") };
    let cases = [
        ("edited", edited, "licence_signature"),
        ("none", format!("{none}.{payload}."), "licence_algorithm"),
        ("unknown key", unknown, "licence_unknown_key"),
        ("expired", sign(&over), "licence_expired"),
        ("other machine", sign(&elsewhere), "licence_other_installation"),
        ("list", sign_list(1, &["L-1"]), "licence_type"),
        ("nothing", String::new(), "licence_malformed"),
    ];
    for (what, file, wanted) in cases {
        let reply = install(&app, &root, &file).await;
        assert_eq!(code(&reply), (400, wanted), "{what}: {}", reply.body);
    }
    let large = install(&app, &root, &"A".repeat(100 * 1024)).await;
    assert_eq!(code(&large), (413, "licence_too_large"), "{}", large.body);
    let head = format!(
        "PUT /api/licence HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {root}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        10 << 20
    );
    let huge = bad_input::talk(&app.address, head.as_bytes(), &[b'A'; 0x10000]).await;
    assert!(huge.starts_with("HTTP/1.1 413") && huge.contains("body_too_large"), "{huge}");
    let after = status(&app, &root).await;
    assert_eq!((&after["state"], &after["kept"]), (&json!("none"), &json!([])));
    let trail = app.call("GET", "/api/audit?resource_type=licence", Some(&root), None).await;
    let refusals = trail.body["items"].as_array().unwrap().iter().filter(|entry| entry["success"] == false);
    assert_eq!(refusals.count(), 8, "{}", trail.body);
}

#[tokio::test]
async fn a_renewal_waits_for_its_day_while_the_old_one_counts() {
    let (app, root) = site().await;
    let old =
        Claims { iat: now() - 300 * DAY, nbf: now() - 300 * DAY, exp: now() + 5 * DAY, seats: 20, ..claims("old") };
    assert_eq!(install(&app, &root, &sign(&old)).await.body["state"], "expiring");
    let next = Claims { nbf: now() + 5 * DAY, exp: now() + 370 * DAY, seats: 30, ..claims("next") };
    let both = install(&app, &root, &sign(&next)).await.body;
    assert_eq!((&both["licence"]["serial"], &both["seats"]["licensed"]), (&json!("old"), &json!(20)));
    let kept: Vec<(&str, &str)> = both["kept"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kept| (kept["serial"].as_str().unwrap(), kept["state"].as_str().unwrap()))
        .collect();
    assert_eq!(kept, [("next", "not_yet_valid"), ("old", "expiring")]);
    assert_eq!(notices(&app, &root).await, ["licence_expiring"]);
    // An earlier form of one that is there does not take its place.
    let earlier = install(&app, &root, &sign(&Claims { iat: next.iat - 1, seats: 99, ..next })).await;
    assert_eq!(code(&earlier), (409, "licence_older"), "{}", earlier.body);
}

#[tokio::test]
async fn a_bound_licence_counts_on_its_installation_and_on_a_copy_of_its_database() {
    let (mut app, root) = site().await;
    let id = status(&app, &root).await["installation_id"].as_str().unwrap().to_owned();
    let bound = sign(&Claims { installations: vec![id.clone()], ..claims("L-1") });
    assert_eq!(install(&app, &root, &bound).await.body["state"], "valid");
    app.crash_and_restart();
    let after = status(&app, &root).await;
    assert_eq!((&after["installation_id"], &after["state"]), (&json!(id), &json!("valid")));
    let spare = sign(&Claims { disaster_recovery: Some("spare".to_owned()), ..claims("L-2") });
    assert_eq!(code(&install(&app, &root, &spare).await).1, "licence_other_installation");
}

#[tokio::test]
async fn a_revoked_licence_closes_at_once_and_no_older_list_returns_it() {
    let (app, root) = site().await;
    app.org("first");
    install(&app, &root, &sign(&claims("L-1"))).await;
    let revoke = async |list: String| {
        app.call("PUT", "/api/licence/revocations", Some(&root), Some(json!({"revocations": list}))).await
    };
    assert_eq!(revoke(sign_list(1, &[])).await.body["state"], "valid");
    let revoked = revoke(sign_list(3, &["L-1", "L-9"])).await;
    assert_eq!(revoked.body["state"], "revoked", "{}", revoked.body);
    assert_eq!(code(&make_org(&app, &root, "second").await), (403, "licence_required"));
    let replayed = revoke(sign_list(1, &[])).await;
    assert_eq!(code(&replayed), (409, "revocations_older"), "{}", replayed.body);
    assert_eq!(code(&revoke(sign(&claims("L-2"))).await), (400, "licence_type"));
    assert_eq!(
        code(&install(&app, &root, &sign(&Claims { seats: 7, iat: now() + 5, ..claims("L-9") })).await).1,
        "licence_revoked"
    );
    assert_eq!(status(&app, &root).await["revocations"][0]["number"], 3);
    assert_eq!(notices(&app, &root).await, ["licence_revoked"]);
    assert_eq!(install(&app, &root, &sign(&claims("L-2"))).await.body["state"], "valid");
}

#[tokio::test]
async fn a_tenth_more_people_are_let_in_and_then_nobody_new_while_all_who_are_there_stay() {
    let (app, root) = site().await;
    let org = app.org("first");
    // Root is the first of ten.
    for number in 1..=9 {
        assert_eq!(make_person(&app, &root, &format!("p{number}")).await.status, 201);
    }
    assert_eq!(notices(&app, &root).await, [""; 0]);
    assert_eq!(make_person(&app, &root, "p10").await.status, 201);
    assert_eq!(notices(&app, &root).await, ["seats_exceeded"]);
    let full = make_person(&app, &root, "p11").await;
    assert_eq!(code(&full), (429, "seats_used"), "{}", full.body);
    let invitation = json!({"email": "new@example.org", "role": "developer"});
    let invite = async || {
        app.call("POST", &format!("/api/organizations/{org}/invitations"), Some(&root), Some(invitation.clone())).await
    };
    assert_eq!(code(&invite().await), (429, "seats_used"));
    // Programs take no seat; who is there signs in.
    let service = json!({"name": "robot", "role": "developer"});
    let service =
        app.call("POST", &format!("/api/organizations/{org}/service-accounts"), Some(&root), Some(service)).await;
    assert_eq!(service.status, 201, "{}", service.body);
    let login = json!({"username": "p10", "password": PASSWORD});
    assert_eq!(app.call("POST", "/api/auth/login", None, Some(login)).await.status, 200);
    // A seat that is given back can be taken, by one.
    let people = app.call("GET", "/api/users?q=p10", Some(&root), None).await;
    let p10 = people.body["items"][0]["id"].as_i64().unwrap();
    let switch = async |way: &str| app.call("POST", &format!("/api/users/{p10}/{way}"), Some(&root), None).await;
    assert_eq!(switch("deactivate").await.status, 200);
    let invited = invite().await;
    assert_eq!(invited.status, 201, "{}", invited.body);
    let accept = json!({"code": invited.body["code"], "username": "new", "password": "a third bright morning"});
    assert_eq!(switch("reactivate").await.status, 200);
    let accepted = app.call("POST", "/api/invitations/accept", None, Some(accept.clone())).await;
    assert_eq!(code(&accepted), (429, "seats_used"), "{}", accepted.body);
    install(&app, &root, &sign(&Claims { seats: 11, ..claims("L-1") })).await;
    let accepted = app.call("POST", "/api/invitations/accept", None, Some(accept)).await;
    assert_eq!(accepted.status, 201, "{}", accepted.body);
}

#[tokio::test]
async fn the_settings_and_a_file_bring_a_licence_and_what_is_wrong_with_it_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("licence");
    let key = vendor::key().to_string();
    let app = App::start_with_settings(&[
        ("RESOFTAI_LICENCE_TRUSTED_KEYS", &key),
        ("LICENSE_KEY", "hunter2"),
        ("RESOFTAI_LICENCE_FILE", file.to_str().unwrap()),
    ]);
    let root = app.person("root", "admin", None).await;
    let before = status(&app, &root).await;
    let problems: Vec<&str> = before["problems"].as_array().unwrap().iter().map(|why| why.as_str().unwrap()).collect();
    assert!(
        matches!(problems[..], [one, two] if one.starts_with("LICENSE_KEY: This is no licence")
        && two.starts_with("licence.file: ")),
        "{problems:?}"
    );
    assert!(!before.to_string().contains("hunter2"), "{before}");
    std::fs::write(&file, sign(&claims("from-file"))).unwrap();
    let started = std::time::Instant::now();
    while status(&app, &root).await["state"] != "valid" {
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "the file is not looked at");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let after = status(&app, &root).await;
    assert_eq!(after["problems"].as_array().unwrap().len(), 1, "{after}");

    let given =
        App::start_with_settings(&[("RESOFTAI_LICENCE_TRUSTED_KEYS", &key), ("LICENSE_KEY", &sign(&claims("L-1")))]);
    let root = given.person("root", "admin", None).await;
    assert_eq!(status(&given, &root).await["licence"]["serial"], "L-1");
}

/// A site in the test's own process, whose clock the test sets.
struct Timed {
    running: Option<Running>,
    now: Arc<AtomicI64>,
    root: String,
    org: i64,
    dir: tempfile::TempDir,
}

impl Timed {
    async fn new() -> Self {
        let mut app = App::start_unlicensed();
        let org = app.org("first");
        app.person("root", "admin", None).await;
        assert_eq!(app.terminate(), 0);
        let now = Arc::new(AtomicI64::new(Clock::system().now().0));
        let mut site = Self { running: None, now, root: String::new(), org, dir: app.into_dir() };
        site.restart().await;
        site
    }

    /// Starts the server anew, which raises the latest moment as it does every hour.
    async fn restart(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        let config = Config {
            data_dir: self.dir.path().to_owned(),
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            http: true,
            database_url: database_of(self.dir.path()).map(Secret),
            licence: LicenceConfig { trusted_keys: vec![vendor::key()], file: None },
            ..Config::default()
        };
        let now = self.now.clone();
        let clock = Clock::from_fn(move || Time(now.load(Ordering::SeqCst)));
        self.running = Some(server::start(&config, clock).await.unwrap());
        self.root.clear();
        let login = json!({"username": "root", "password": PASSWORD});
        let login = self.call("POST", "/api/auth/login", login).await;
        assert_eq!(login.status, 200, "{}", login.body);
        self.root = login.body["access_token"].as_str().unwrap().to_owned();
    }

    async fn to(&mut self, days: i64) {
        self.now.fetch_add(days * clock::DAY, Ordering::SeqCst);
        self.restart().await;
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Reply {
        let address = self.running.as_ref().unwrap().address.to_string();
        let mut headers = vec![("content-type", "application/json".to_owned())];
        if !self.root.is_empty() {
            headers.push(("authorization", format!("Bearer {}", self.root)));
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(&address, method, path, &headers, body.into()).await
    }

    async fn state(&self) -> String {
        self.call("GET", "/api/licence", Value::Null).await.body["state"].as_str().unwrap().to_owned()
    }

    async fn install(&self, claims: &Claims) -> Reply {
        self.call("PUT", "/api/licence", json!({"licence": sign(claims)})).await
    }

    async fn new_org(&self, slug: &str) -> u16 {
        self.call("POST", "/api/organizations", json!({"name": slug, "slug": slug})).await.status
    }

    async fn end(mut self) {
        self.running.take().unwrap().stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_licence_ends_with_warnings_and_grace_and_what_is_there_stays() {
    let mut site = Timed::new().await;
    // Half a day off, so that no mark is a matter of the seconds that the test takes.
    let year = Claims { exp: now() + 100 * DAY - DAY / 2, ..claims("L-1") };
    assert_eq!(site.install(&year).await.body["state"], "valid");
    assert_eq!(site.new_org("second").await, 201);
    let mut states = Vec::new();
    for days in [45, 25, 23, 6, 2] {
        site.to(days).await;
        // Whoever starts twice in between tells nothing twice.
        site.restart().await;
        states.push(site.state().await);
    }
    assert_eq!(states, ["expiring", "expiring", "expiring", "expiring", "grace"]);
    assert_eq!(site.new_org("third").await, 201);
    site.to(40).await;
    assert_eq!(site.state().await, "expired");
    assert_eq!(site.new_org("fourth").await, 403);
    let told = site.call("GET", "/api/notices", Value::Null).await.body;
    let kinds: Vec<&str> = told["items"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    let expiring = ["licence_expiring"; 4];
    assert_eq!(kinds, [&["licence_expired", "licence_grace"][..], &expiring].concat(), "{told}");
    // Reading, changing what is there, exporting, and new work go on.
    let orgs = site.call("GET", "/api/organizations", Value::Null).await.body;
    let third = orgs["items"][0]["id"].as_i64().unwrap();
    assert_eq!(orgs["items"].as_array().unwrap().len(), 3);
    for (method, path, body) in [
        ("GET", "/api/audit/export".to_owned(), Value::Null),
        ("GET", "/api/evidence".to_owned(), Value::Null),
        ("GET", "/api/users/me/export".to_owned(), Value::Null),
        ("PUT", format!("/api/organizations/{third}"), json!({"display_name": "Third"})),
        ("POST", "/api/projects".to_owned(), json!({"name": "P", "organization_id": third})),
        (
            "POST",
            "/api/users".to_owned(),
            json!({"username": "late", "email": "late@example.org", "password": PASSWORD}),
        ),
    ] {
        let reply = site.call(method, &path, body).await;
        assert!(reply.status < 300, "{method} {path}: {} {}", reply.status, reply.body);
    }
    // A new one opens all again.
    let renewed = Claims { iat: now() + 140 * DAY, exp: now() + 500 * DAY, ..claims("L-2") };
    assert_eq!(site.install(&renewed).await.body["state"], "valid");
    assert_eq!(site.new_org("fourth").await, 201);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_opens_nothing_and_is_warned_of_and_a_new_licence_forgives_one_that_ran_ahead() {
    let mut site = Timed::new().await;
    let short = Claims { exp: now() + 10 * DAY, grace_days: 0, ..claims("L-1") };
    site.install(&short).await;
    site.to(20).await;
    assert_eq!(site.state().await, "expired");
    site.to(-20).await;
    let back = site.call("GET", "/api/licence", Value::Null).await.body;
    assert_eq!(back["state"], "expired", "{back}");
    assert!((19 * DAY..21 * DAY).contains(&back["clock_behind"].as_i64().unwrap()), "{back}");
    let told = site.call("GET", "/api/notices?limit=1", Value::Null).await.body;
    assert_eq!(told["items"][0]["kind"], "clock_behind", "{told}");
    // Everything that is no matter of the licence works by the clock.
    let project = site.call("POST", "/api/projects", json!({"name": "P", "organization_id": site.org})).await;
    assert_eq!(project.status, 201, "{}", project.body);
    let again = site.install(&Claims { seats: 5, iat: now() - 5, ..short }).await;
    assert_eq!(again.status, 409, "{}", again.body);
    // What the vendor signs after that is the word on the time.
    let new = site.install(&Claims { iat: now() + 10, ..claims("L-2") }).await;
    assert_eq!((&new.body["state"], &new.body["clock_behind"]), (&json!("valid"), &Value::Null), "{}", new.body);
    // An hour more or less, as in spring and autumn, is nobody's business.
    site.now.fetch_add(-3600 * SECOND, Ordering::SeqCst);
    site.restart().await;
    assert_eq!(site.call("GET", "/api/licence", Value::Null).await.body["clock_behind"], Value::Null);
    site.end().await;
}

#[tokio::test]
async fn the_commands_make_check_install_and_revoke_licences_and_read_what_a_site_reports() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let unlicensed = App::start_unlicensed();
    let made = unlicensed.cli_json(&["vendor", "licence", "keygen", "vendor.example/2027", "--output", &at("key")], "");
    let key = made["public_key"].as_str().unwrap();
    let app = App::start_with_settings(&[("RESOFTAI_LICENCE_TRUSTED_KEYS", key)]);
    let shown = app.cli_json(&["licence", "show"], "");
    let (id, report_key) = (shown["installation_id"].as_str().unwrap(), shown["report_key"].as_str().unwrap());
    let issue = [
        "vendor",
        "licence",
        "issue",
        "--key",
        &at("key"),
        "--customer",
        "Acme Works",
        "--tier",
        "starter",
        "--seats",
        "25",
        "--installation",
        id,
        "--serial",
        "L-1",
        "--output",
        &at("licence"),
    ];
    assert_eq!(app.cli_json(&issue, "")["serial"], "L-1");
    let checked = app.cli_json(&["licence", "verify", &at("licence"), "--trust", key], "");
    assert_eq!((&checked["state"], &checked["features"]), (&json!("valid"), &json!(["organizations"])));
    let other = app.cli(&["licence", "verify", &at("licence"), "--trust", key, "--installation", "another"], "");
    assert_eq!(other.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&other.stderr).contains("other installation"), "{other:?}");
    let strange = app.cli(&["licence", "verify", &at("licence")], "");
    assert!(String::from_utf8_lossy(&strange.stderr).contains("does not know"), "{strange:?}");
    assert_eq!(app.cli_json(&["licence", "install", &at("licence")], "")["state"], "valid");
    let text = app.cli(&["licence", "show"], "");
    let text = String::from_utf8_lossy(&text.stdout);
    assert!(text.contains("Acme Works") && text.contains("Valid until"), "{text}");

    app.cli_json(&["licence", "report", "--output", &at("report")], "");
    let read = app.cli_json(&["vendor", "licence", "report", &at("report"), "--key", report_key], "");
    assert_eq!((&read["serial"], &read["seats"]["licensed"]), (&json!("L-1"), &json!(25)));
    let note = std::fs::read_to_string(at("report")).unwrap();
    let report = UsageReport::open(&note, &Verifier::parse(report_key).unwrap()).unwrap();
    assert_eq!((report.installation_id.as_str(), report.peaks.len()), (id, 1));
    std::fs::write(at("bent"), note.replace("\"licensed\": 25", "\"licensed\": 26")).unwrap();
    let bent = app.cli(&["vendor", "licence", "report", &at("bent"), "--key", report_key], "");
    assert!(String::from_utf8_lossy(&bent.stderr).contains("does not open"), "{bent:?}");

    let revoke = ["vendor", "licence", "revoke", "L-7", "--key", &at("key"), "--output", &at("list")];
    assert_eq!(app.cli_json(&revoke, "")["number"], 1);
    let revoke =
        ["vendor", "licence", "revoke", "L-1", "--key", &at("key"), "--list", &at("list"), "--output", &at("list")];
    let second = app.cli_json(&revoke, "");
    assert_eq!((&second["number"], &second["serials"]), (&json!(2), &json!(["L-1", "L-7"])));
    assert_eq!(app.cli_json(&["licence", "revocations", "install", &at("list")], "")["state"], "revoked");
}

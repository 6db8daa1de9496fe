//! Clocks that jump, by an hour and a year, ahead and back: a server in the test's own process, whose clock the test sets.
//! Nothing is lost, nothing counts twice, and what ended comes back when the clock does.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use resoftai::base::clock::{Clock, DAY, SECOND, Time};
use resoftai::config::{Config, LicenceConfig, Secret, Security, SmtpConfig};
use resoftai::server::{self, Running};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{App, PASSWORD, Reply, database_of, send};
use crate::vendor;

const HOUR: i64 = 3600 * SECOND;
const YEAR: i64 = 365 * DAY;
const STRONG: &str = "a sixth bright morning";

/// A server whose clock stands until it is set.
struct Site {
    running: Option<Running>,
    now: Arc<AtomicI64>,
    org: i64,
    root: String,
    dev: String,
    dir: TempDir,
}

async fn start(dir: &Path, now: &Arc<AtomicI64>) -> Running {
    let config = Config {
        // Nobody listens there.
        smtp: SmtpConfig {
            host: Some("127.0.0.1".to_owned()),
            port: Some(9),
            security: Security::Unprotected,
            from: Some("site@example.org".to_owned()),
            ..SmtpConfig::default()
        },
        data_dir: dir.to_owned(),
        licence: LicenceConfig { trusted_keys: vec![vendor::key()], ..LicenceConfig::default() },
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        http: true,
        database_url: database_of(dir).map(Secret),
        ..Config::default()
    };
    let now = now.clone();
    server::start(&config, Clock::from_fn(move || Time(now.load(Ordering::SeqCst)))).await.unwrap()
}

impl Site {
    /// A site with an organisation and two people, made by the real program at the real time.
    async fn new() -> Self {
        let mut app = App::start();
        let org = app.org("acme");
        app.person("root", "admin", None).await;
        app.person("dev", "org_admin", Some("acme")).await;
        assert_eq!(app.terminate(), 0);
        let dir = app.into_dir();
        // Noon, a day from now: an hour more or less is the same day, and later than all there is.
        let today = Clock::system().now().0.div_euclid(DAY) * DAY;
        let now = Arc::new(AtomicI64::new(today + DAY + DAY / 2));
        let running = Some(start(dir.path(), &now).await);
        let mut site = Self { running, now, org, root: String::new(), dev: String::new(), dir };
        (site.root, site.dev) = (site.sign_in("root").await, site.sign_in("dev").await);
        site
    }

    async fn sign_in(&self, name: &str) -> String {
        let reply = self.call("POST", "/api/auth/login", "", json!({"username": name, "password": PASSWORD})).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body["access_token"].as_str().unwrap().to_owned()
    }

    async fn call(&self, method: &str, path: &str, token: &str, body: Value) -> Reply {
        let address = self.running.as_ref().unwrap().address.to_string();
        let mut headers = vec![("content-type", "application/json".to_owned())];
        if !token.is_empty() {
            headers.push(("authorization", format!("Bearer {token}")));
        }
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        send(&address, method, path, &headers, body).await
    }

    fn at(&self, rest: &str) -> String {
        format!("/api/organizations/{}/{rest}", self.org)
    }

    /// Sets a quota with the clock where it is, as root, whose session may have ended there.
    async fn set(&self, quota: &str, body: Value) {
        let reply = self.call("PUT", &self.at(&format!("quotas/{quota}")), &self.root, body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    fn jump(&self, by: i64) {
        self.now.fetch_add(by, Ordering::SeqCst);
    }

    async fn restart(&mut self) {
        self.running.take().unwrap().stop().await;
        self.running = Some(start(self.dir.path(), &self.now).await);
    }

    async fn end(mut self) {
        self.running.take().unwrap().stop().await;
    }
}

/// How many of `count` new projects are taken.
async fn projects(site: &Site, token: &str, count: usize) -> usize {
    let mut made = 0;
    for _ in 0..count {
        let reply = site.call("POST", "/api/projects", token, json!({"name": "P"})).await;
        assert!([201, 429].contains(&reply.status), "{} {}", reply.status, reply.body);
        made += usize::from(reply.status == 201);
    }
    made
}

/// How many of `count` tokens, one by one, are counted.
async fn tokens(site: &Site, token: &str, count: usize) -> usize {
    let mut used = 0;
    for _ in 0..count {
        let body = json!({"resource_type": "llm_tokens", "amount": 1});
        let reply = site.call("POST", &site.at("usage"), token, body).await;
        assert!([201, 429].contains(&reply.status), "{} {}", reply.status, reply.body);
        used += usize::from(reply.status == 201);
    }
    used
}

#[tokio::test]
async fn a_period_is_found_again_whatever_the_clock_did() {
    let site = Site::new().await;
    site.set("projects", json!({"limit_value": 3, "period": "daily"})).await;
    site.set("llm_tokens", json!({"limit_value": 4, "period": "yearly"})).await;
    assert_eq!((projects(&site, &site.dev, 2).await, tokens(&site, &site.root, 3).await), (2, 3));
    for by in [HOUR, -HOUR] {
        site.jump(by);
        assert_eq!((projects(&site, &site.dev, 0).await, tokens(&site, &site.root, 0).await), (0, 0));
    }
    site.jump(HOUR);
    assert_eq!(
        (projects(&site, &site.dev, 3).await, tokens(&site, &site.root, 3).await),
        (1, 1),
        "the same day and year"
    );
    site.jump(-HOUR);
    for by in [YEAR, -2 * YEAR] {
        site.jump(by);
        let (dev, root) = (site.sign_in("dev").await, site.sign_in("root").await);
        assert_eq!((projects(&site, &dev, 5).await, tokens(&site, &root, 6).await), (3, 4), "another day and year");
    }
    site.jump(YEAR);
    let (dev, root) = (site.sign_in("dev").await, site.sign_in("root").await);
    assert_eq!((projects(&site, &dev, 2).await, tokens(&site, &root, 2).await), (0, 0), "what was used is found again");
    site.end().await;
}

#[tokio::test]
async fn a_rate_goes_by_the_time_that_passes_and_not_by_the_clock() {
    let site = Site::new().await;
    let token = site.call("POST", "/api/tokens", &site.dev, json!({"name": "ide"})).await.body;
    let token = token["secret"].as_str().unwrap();
    site.set("api_calls", json!({"requests_per_minute": 5})).await;
    let ask = async || site.call("GET", "/api/projects", token, Value::Null).await.status;
    for _ in 0..5 {
        assert_eq!(ask().await, 200);
    }
    for by in [HOUR, -HOUR, -YEAR, YEAR] {
        site.jump(by);
        assert_eq!(ask().await, 429, "{by}");
    }
    site.end().await;
}

#[tokio::test]
async fn a_session_lasts_its_hours_and_one_of_another_year_does_no_harm() {
    let site = Site::new().await;
    let ask = async || site.call("GET", "/api/auth/me", &site.dev, Value::Null).await.status;
    for (by, status) in [(HOUR, 200), (-2 * HOUR, 200), (HOUR, 200), (YEAR, 401), (-YEAR, 200), (12 * HOUR, 401)] {
        site.jump(by);
        assert_eq!(ask().await, status, "after {by}");
    }
    site.jump(-12 * HOUR);
    site.jump(-YEAR);
    assert_eq!(ask().await, 401, "it does not last a year longer");
    site.jump(YEAR - 2 * HOUR);
    // Ended with the clock back, it is over at every time.
    assert_eq!(site.call("POST", "/api/auth/logout", &site.dev, Value::Null).await.status, 204);
    for by in [0, 2 * HOUR, -YEAR] {
        site.jump(by);
        assert_eq!(ask().await, 401, "after {by}");
    }
    site.end().await;
}

#[tokio::test]
async fn an_invitation_counts_while_the_clock_says_so() {
    let site = Site::new().await;
    let body = json!({"email": "ada@example.org", "role": "viewer", "days": 7});
    let sent = site.call("POST", &site.at("invitations"), &site.dev, body).await;
    assert_eq!(sent.status, 201, "{}", sent.body);
    let code = &sent.body["code"];
    for (by, status) in [(HOUR, 200), (-2 * HOUR, 200), (YEAR, 400), (-YEAR, 200), (-YEAR, 200), (YEAR, 200)] {
        site.jump(by);
        let reply = site.call("POST", "/api/invitations/look", "", json!({ "code": code })).await;
        assert_eq!(reply.status, status, "after {by}: {}", reply.body);
    }
    let body = json!({"code": code, "username": "ada", "password": STRONG});
    let accepted = site.call("POST", "/api/invitations/accept", "", body).await;
    assert_eq!(accepted.status, 201, "{}", accepted.body);
    site.jump(-YEAR);
    assert_eq!(
        site.call("POST", "/api/invitations/look", "", json!({ "code": code })).await.status,
        400,
        "it counted once"
    );
    site.end().await;
}

#[tokio::test]
async fn a_year_ahead_for_an_afternoon_takes_a_day_of_the_trail_at_most() {
    let mut site = Site::new().await;
    let path = site.at("audit/retention");
    let set = site.call("PUT", &path, &site.root, json!({"days": 30})).await;
    assert_eq!(set.status, 200, "{}", set.body);
    let list = format!("/api/audit?organization_id={}&limit=100", site.org);
    let entries = async |site: &Site| {
        let root = site.sign_in("root").await;
        let list = site.call("GET", &list, &root, Value::Null).await;
        list.body["items"].as_array().unwrap().len()
    };
    let before = entries(&site).await;
    assert!(before > 0);
    for by in [HOUR, -HOUR, YEAR, -YEAR, -YEAR, YEAR] {
        site.jump(by);
        site.restart().await;
        assert!(entries(&site).await >= before, "after {by}");
    }
    // A server that starts over and over does not go faster.
    site.jump(YEAR);
    for _ in 0..32 {
        site.restart().await;
    }
    assert!(entries(&site).await >= before, "after 32 starts");
    site.end().await;
}

#[tokio::test]
async fn a_clock_set_back_makes_no_mail_wait_for_the_time_it_had() {
    let site = Site::new().await;
    let invited = json!({"email": "new@example.org", "role": "developer"});
    let invited = site.call("POST", &site.at("invitations"), &site.dev, invited).await;
    assert_eq!(invited.status, 201, "{}", invited.body);
    for (attempts, by) in [(1, -HOUR), (2, -YEAR), (3, 0)] {
        let started = std::time::Instant::now();
        loop {
            let root = site.sign_in("root").await;
            let mails = site.call("GET", "/api/mails", &root, Value::Null).await;
            if mails.body["items"][0]["attempts"] == attempts {
                break;
            }
            assert!(started.elapsed() < std::time::Duration::from_secs(20), "{attempts}: {}", mails.body);
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        site.jump(by);
    }
    site.end().await;
}

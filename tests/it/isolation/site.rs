//! A site with two organisations: ours, of which there is one of each thing, and the stranger's.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::OURS;
use super::cases::{APP_CODE, CREDENTIAL, Case, RECOVERY_CODE, TICKET};
use crate::app::{App, PASSWORD, Reply};
use crate::authenticator::Device;
use crate::factors::Phone;
use crate::model_server::{Answer, ModelServer, PLAIN};
use crate::passkeys::{self, ORIGIN};
use crate::{market, mirror, orgs, plugins};

const SOURCE: &str = "nightingale = \"hunter2hunter2\"\nresult = eval(input())\n";

/// Of an identity provider that is not there.
pub(super) const SSO_METADATA: &str = include_str!("idp.xml");
const SSO_LINK: i64 = 800_000_001;

/// What a request names.
#[derive(Clone)]
pub(super) struct Names {
    pub(super) slug: String,
    pub(super) username: String,
    pub(super) org: i64,
    pub(super) project: i64,
    pub(super) file: i64,
    pub(super) run: i64,
    pub(super) provider: i64,
    pub(super) token: i64,
    pub(super) viewer_token: i64,
    /// A service account.
    pub(super) service: i64,
    pub(super) user: i64,
    /// Somebody else of ours.
    pub(super) mate: i64,
    pub(super) team: i64,
    pub(super) role: String,
    pub(super) assignment: i64,
    /// A role held over the site.
    pub(super) site_assignment: i64,
    pub(super) notice: i64,
    /// A mail that waits.
    pub(super) mail: i64,
    /// A backup that was taken.
    pub(super) backup: i64,
    /// The site administrator's, of a plugin.
    pub(super) review: i64,
    pub(super) collection: i64,
    /// The owner's.
    pub(super) submission: i64,
    pub(super) entry: i64,
    pub(super) session: i64,
    pub(super) passkey: i64,
    /// An identity provider.
    pub(super) sso: i64,
    /// The owner's link with it.
    pub(super) sso_link: i64,
    /// Of a challenge to a passkey, or what stands for it.
    pub(super) ticket: &'static str,
    pub(super) invitation: i64,
    /// Codes of invitations: of the owner, and of somebody new.
    pub(super) invitations: [String; 2],
    /// Sets a new password for one of ours, once.
    pub(super) code: String,
    /// The owner's.
    pub(super) password: String,
}

impl Names {
    /// Of things that are nowhere.
    pub(super) fn absent() -> Self {
        Self {
            slug: "nowhere-at-all".to_owned(),
            username: "nobody-at-all".to_owned(),
            org: 900_000_001,
            project: 900_000_002,
            file: 900_000_003,
            run: 900_000_004,
            provider: 900_000_005,
            token: 900_000_006,
            viewer_token: 900_000_025,
            service: 900_000_026,
            user: 900_000_007,
            mate: 900_000_021,
            team: 900_000_022,
            role: "nowhere_at_all".to_owned(),
            assignment: 900_000_023,
            site_assignment: 900_000_024,
            notice: 900_000_008,
            mail: 900_000_012,
            backup: 900_000_013,
            review: 900_000_014,
            collection: 900_000_015,
            submission: 900_000_016,
            entry: 900_000_009,
            session: 900_000_010,
            passkey: 900_000_031,
            sso: 900_000_032,
            sso_link: 900_000_033,
            ticket: "made-up",
            invitation: 900_000_011,
            invitations: ["made-up", "made-up"].map(str::to_owned),
            code: "made-up".to_owned(),
            password: "made-up".to_owned(),
        }
    }

    pub(super) fn words(&self) -> Vec<String> {
        let Self { slug, username, org, project, file, run, provider, token, user, notice, entry, session, .. } = self;
        let Self { role, mate, team, assignment, site_assignment, invitation, viewer_token, service, .. } = self;
        let Self { passkey, sso, sso_link, .. } = self;
        let ids = [
            org,
            project,
            file,
            run,
            provider,
            token,
            user,
            notice,
            entry,
            session,
            mate,
            team,
            assignment,
            invitation,
            viewer_token,
            service,
            passkey,
            sso,
            sso_link,
        ];
        let words = [slug.clone(), username.clone(), role.clone(), site_assignment.to_string()];
        words.into_iter().chain(ids.map(ToString::to_string)).collect()
    }
}

pub(super) struct Site {
    pub(super) app: App,
    pub(super) root: String,
    pub(super) owner: String,
    pub(super) viewer: String,
    pub(super) stranger: String,
    /// The stranger's organisation.
    pub(super) elsewhere: i64,
    pub(super) names: Names,
    /// What the second factor was set up with, and its first recovery code.
    pub(super) factor: Mutex<(String, String)>,
    /// The last challenge to a passkey, and the owner's device.
    pub(super) device: Mutex<(Value, Device)>,
    /// Where backups go.
    pub(super) backups: tempfile::TempDir,
    pub(super) _models: ModelServer,
}

impl Site {
    pub(super) fn on_postgres(&self) -> bool {
        crate::app::database_of(self.app.dir.path()).is_some()
    }

    pub(super) async fn new() -> Self {
        // A mail server that is not there: mails wait.
        let app = App::start_with_settings(&[
            ("SMTP_HOST", "127.0.0.1"),
            ("SMTP_PORT", "9"),
            ("SMTP_FROM", "site@example.org"),
            ("RESOFTAI_SMTP_SECURITY", "none"),
            ("RESOFTAI_SERVER_PUBLIC_URL", ORIGIN),
            ("RESOFTAI_ACCOUNTS_REGISTRATION", "open"),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let (org, elsewhere) = (app.org(OURS), app.org("elsewhere"));
        let root = app.person("root", "admin", None).await;
        let owner = app.person("nightingale-owner", "org_admin", Some(OURS)).await;
        let viewer = personal(&app, "nightingale-viewer", "viewer", OURS).await;
        app.person("nightingale-mate", "developer", Some(OURS)).await;
        let stranger = personal(&app, "stranger", "org_admin", "elsewhere").await;
        for slug in ["security-scanner", "web-service"] {
            plugins::bring(&app, &format!("plugin-sdk/examples/{slug}"));
            made(&app, &root, "/api/plugins/install", &json!({"slug": slug})).await;
        }
        market::stock(&app, &root, mirror::sample()).await;
        // A run's question is never answered, a person's at once.
        let models = ModelServer::start(|request| match request.body["stream"].as_bool() {
            Some(true) => Answer::half("").and_silence(),
            _ => Answer::json(200, PLAIN),
        });
        let provider = json!({"name": OURS, "base_url": models.url(), "organization_id": org});
        let provider = made(&app, &root, "/api/llm/providers", &provider).await;
        let logo = ("authorization", format!("Bearer {owner}"));
        let logo =
            app.send("PUT", &format!("/api/organizations/{org}/logo"), &[logo], Bytes::from_static(orgs::LOGO)).await;
        assert_eq!(logo.status, 200, "{}", logo.body);
        let token = made(&app, &owner, "/api/tokens", &json!({"name": OURS})).await;
        let service = json!({"name": OURS});
        let service = made(&app, &owner, &format!("/api/organizations/{org}/service-accounts"), &service).await;
        let project = json!({"name": OURS, "requirements": "A nightingale."});
        let project = made(&app, &owner, "/api/projects", &project).await;
        let users = app.call("GET", "/api/users", Some(&owner), None).await.body;
        let found = |name: &str| find(&users, "username", name)["id"].as_i64().unwrap();
        let user = found("nightingale-viewer");
        let (device, passkey) = passkeys::enrol(&app, &owner).await;
        let sso = json!({"organization_id": org, "slug": OURS, "name": OURS,
            "connection": {"kind": "saml", "metadata": SSO_METADATA}});
        let sso = made(&app, &owner, "/api/sso/providers", &sso).await;
        // What a provider's answer would have made.
        app.sql(&format!(
            "INSERT INTO sso_links (id, provider_id, user_id, subject, created_at) SELECT {SSO_LINK}, {}, id, 'n', 0 \
             FROM users WHERE username = 'nightingale-owner'",
            sso["id"]
        ));
        let review = "/api/marketplace/plugins/web-service/review";
        let review = app.call("PUT", review, Some(&root), Some(json!({"rating": 3}))).await.body;
        let collection = json!({"name": OURS, "plugins": ["web-service"], "organization_id": org});
        let collection = made(&app, &owner, "/api/marketplace/collections", &collection).await;
        let headers = [("authorization", format!("Bearer {owner}")), ("content-type", "application/zip".to_owned())];
        let packed = mirror::handed_in(true);
        let submission = app.send("POST", "/api/marketplace/submissions", &headers, packed).await.body;
        let names = Names {
            slug: OURS.to_owned(),
            username: "nightingale-viewer".to_owned(),
            org,
            project: id(&project),
            file: 0,
            run: 0,
            provider: id(&provider),
            token: id(&token["token"]),
            service: id(&service),
            viewer_token: id(&app.call("GET", "/api/tokens", Some(&viewer), None).await.body["items"][0]),
            user,
            notice: notice(&app, org),
            mail: 0,
            backup: 900_000_001,
            review: id(&review),
            collection: id(&collection),
            submission: id(&submission),
            entry: 0,
            session: session(&app, "nightingale-owner", &owner).await,
            passkey,
            sso: id(&sso),
            sso_link: SSO_LINK,
            ticket: TICKET,
            code: code(&app, &root, "nightingale-forgetful").await,
            password: PASSWORD.to_owned(),
            invitation: id(&invite(&app, &owner, org, "waits@example.org").await["invitation"]),
            invitations: [
                code_of(&invite(&app, &owner, org, "nightingale-owner@example.org").await),
                code_of(&invite(&app, &owner, org, "new@example.net").await),
            ],
            mate: found("nightingale-mate"),
            team: 0,
            role: "nightingale_qa".to_owned(),
            assignment: 0,
            site_assignment: 0,
        };
        let mut site = Self {
            app,
            root,
            owner,
            viewer,
            stranger,
            elsewhere,
            names,
            factor: Mutex::default(),
            device: Mutex::new((Value::Null, device)),
            backups: folder,
            _models: models,
        };
        // As one that was taken before.
        site.app.sql(&format!(
            "INSERT INTO backups (id, repository_id, name, status, began_at) VALUES ({}, 'x', 'x', 'done', 1)",
            site.names.backup
        ));
        site.names.file = site.file().await;
        site.names.run = site.run().await;
        site.names.mail = id(&site.app.call("GET", "/api/mails", Some(&site.root), None).await.body["items"][0]);
        site.roles().await;
        let trail = format!("/api/audit?organization_id={org}&limit=1");
        site.names.entry = id(&site.app.call("GET", &trail, Some(&site.owner), None).await.body["items"][0]);
        site.until(&format!("/api/audit/{}/proof", site.names.entry), |proof| proof["leaf"].is_string()).await;
        site
    }

    /// A team with somebody in it, a role of our own that somebody holds, and one that is held over the site.
    pub(super) async fn roles(&mut self) {
        let Names { org, mate, .. } = self.names;
        let team = json!({"slug": OURS, "name": OURS});
        let team = id(&made(&self.app, &self.owner, &format!("/api/organizations/{org}/teams"), &team).await);
        let member = json!({"username": "nightingale-mate", "role": "viewer"});
        made(&self.app, &self.owner, &format!("/api/teams/{team}/members"), &member).await;
        let role = json!({"code": "nightingale_qa", "name": OURS, "permissions": ["project.read"]});
        made(&self.app, &self.owner, &format!("/api/organizations/{org}/roles"), &role).await;
        let held = json!({"user_id": mate, "role": "nightingale_qa"});
        let address = format!("/api/organizations/{org}/role-assignments");
        self.names.assignment = id(&made(&self.app, &self.owner, &address, &held).await);
        let held = json!({"user_id": mate, "role": "viewer"});
        self.names.site_assignment = id(&made(&self.app, &self.root, "/api/role-assignments", &held).await);
        self.names.team = team;
    }

    /// A file with two versions, in which something was found.
    pub(super) async fn file(&self) -> i64 {
        let address = format!("/api/projects/{}/files", self.names.project);
        let body = json!({"path": "src/nightingale.py", "content": "print(1)\n"});
        let file = id(&made(&self.app, &self.owner, &address, &body).await);
        let change = json!({"content": SOURCE, "expected_version": 1});
        let written = self.app.call("PUT", &format!("/api/files/{file}"), Some(&self.owner), Some(change)).await;
        assert_eq!(written.status, 200, "{}", written.body);
        self.until(&format!("/api/files/{file}/findings"), |found| found["items"][0].is_object()).await;
        file
    }

    /// A run that began and was ended.
    pub(super) async fn run(&self) -> i64 {
        let address = format!("/api/projects/{}/runs", self.names.project);
        let run = id(&made(&self.app, &self.owner, &address, &json!({})).await);
        self.until(&format!("/api/runs/{run}"), |run| run["stages"][0]["status"] == "running").await;
        let ended = self.app.call("POST", &format!("/api/runs/{run}/cancel"), Some(&self.owner), None).await;
        assert_eq!(ended.status, 200, "{}", ended.body);
        run
    }

    pub(super) async fn until(&self, address: &str, wanted: impl Fn(&Value) -> bool) {
        let started = Instant::now();
        loop {
            let seen = self.app.call("GET", address, Some(&self.owner), None).await.body;
            if wanted(&seen) {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{address} is not as wanted: {seen:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn call(&self, case: &Case, token: Option<&str>) -> Reply {
        let method = case.operation.split_once(' ').unwrap().0;
        let mut headers = case.headers.clone();
        headers.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
        let reply = self.app.send(method, &case.address, &headers, self.with_codes(case)).await;
        if case.operation.ends_with("passkeys/start") {
            self.device.lock().unwrap().0.clone_from(&reply.body);
        }
        if let Some(secret) = reply.body["secret"].as_str().filter(|_| case.operation.ends_with("factor/start")) {
            secret.clone_into(&mut self.factor.lock().unwrap().0);
        }
        if let Some(code) = reply.body["recovery_codes"][0].as_str() {
            code.clone_into(&mut self.factor.lock().unwrap().1);
        }
        reply
    }

    /// A body with codes in the place of the marks, once there are any.
    fn with_codes(&self, case: &Case) -> Bytes {
        let (secret, recovery) = self.factor.lock().unwrap().clone();
        let Ok(text) = std::str::from_utf8(&case.body) else { return case.body.clone() };
        let mut text = text.to_owned();
        if text.contains(TICKET) {
            let (challenge, device) = &mut *self.device.lock().unwrap();
            let credential = match case.operation {
                "POST /api/auth/passkeys/finish" => device.get(&challenge["options"]),
                _ => Device::new(ORIGIN).create(&challenge["options"]),
            };
            text = text.replace(TICKET, challenge["ticket"].as_str().unwrap());
            text = text.replace(&format!("\"{CREDENTIAL}\""), &credential.to_string());
        }
        if text.contains(APP_CODE) && !secret.is_empty() {
            text = text.replace(APP_CODE, &Phone::new(&secret).code(0));
        }
        if !recovery.is_empty() {
            text = text.replace(RECOVERY_CODE, &recovery);
        }
        text.into()
    }

    /// The owner's things as they are.
    pub(super) async fn things(&self) -> Vec<Value> {
        let Names { org, project, file, run, team, .. } = self.names;
        let addresses = [
            format!("/api/organizations/{org}"),
            format!("/api/organizations/{org}/members"),
            format!("/api/organizations/{org}/quotas"),
            format!("/api/organizations/{org}/teams"),
            format!("/api/organizations/{org}/roles"),
            format!("/api/organizations/{org}/role-assignments"),
            format!("/api/teams/{team}/members"),
            "/api/users".to_owned(),
            "/api/tokens".to_owned(),
            "/api/llm/providers".to_owned(),
            "/api/plugins".to_owned(),
            "/api/projects".to_owned(),
            format!("/api/projects/{project}"),
            format!("/api/projects/{project}/files"),
            format!("/api/projects/{project}/findings"),
            format!("/api/projects/{project}/runs"),
            format!("/api/files/{file}"),
            format!("/api/files/{file}/versions"),
            format!("/api/files/{file}/versions/1"),
            format!("/api/runs/{run}"),
        ];
        let mut things = Vec::new();
        for address in addresses {
            let mut seen = self.app.call("GET", &address, Some(&self.owner), None).await;
            assert_eq!(seen.status, 200, "{address}: {}", seen.body);
            for quota in seen.body["items"].as_array_mut().into_iter().flatten() {
                if quota["resource"] == "llm_tokens" || quota["resource"] == "api_calls" {
                    // What the run's last call cost is written down when it is told, and looking costs a call.
                    quota["used"].take();
                    quota["reserved"].take();
                }
            }
            if address == "/api/plugins" {
                // Who may look at templates has the plugin called.
                for plugin in seen.body["items"].as_array_mut().into_iter().flatten() {
                    plugin["calls"].take();
                    plugin["cost"].take();
                }
            }
            things.push(json!({ "address": address, "is": seen.body }));
        }
        things
    }
}

pub(super) async fn made(app: &App, token: &str, address: &str, body: &Value) -> Value {
    let reply = app.call("POST", address, Some(token), Some(body.clone())).await;
    assert_eq!(reply.status, 201, "{address} {body}: {}", reply.body);
    reply.body
}

/// A notice to the owner.
pub(super) fn notice(app: &App, org: i64) -> i64 {
    let owner = "(SELECT id FROM users WHERE username = 'nightingale-owner')";
    app.sql(&format!(
        "INSERT INTO notices (id, user_id, organization_id, kind, text, created_at) \
         VALUES (800000001, {owner}, {org}, 'test', '{OURS}', 0)"
    ));
    800_000_001
}

/// An invitation with its code.
pub(super) async fn invite(app: &App, token: &str, org: i64, email: &str) -> Value {
    let body = json!({"email": email, "role": "viewer"});
    made(app, token, &format!("/api/organizations/{org}/invitations"), &body).await
}

pub(super) fn code_of(invitation: &Value) -> String {
    invitation["code"].as_str().unwrap().to_owned()
}

/// A person with a personal token, which outlives signing out.
pub(super) async fn personal(app: &App, name: &str, role: &str, org: &str) -> String {
    let session = app.person(name, role, Some(org)).await;
    made(app, &session, "/api/tokens", &json!({"name": "walk"})).await["secret"].as_str().unwrap().to_owned()
}

/// Another session of somebody's own; its id.
pub(super) async fn session(app: &App, name: &str, token: &str) -> i64 {
    let login = json!({"username": name, "password": PASSWORD});
    assert_eq!(app.call("POST", "/api/auth/login", None, Some(login)).await.status, 200);
    let sessions = app.call("GET", "/api/sessions", Some(token), None).await.body;
    find_where(&sessions, "current", &json!(false))["id"].as_i64().unwrap()
}

/// A code with which one of ours sets a new password.
pub(super) async fn code(app: &App, root: &str, name: &str) -> String {
    app.person(name, "viewer", Some(OURS)).await;
    let users = app.call("GET", "/api/users", Some(root), None).await.body;
    let address = format!("/api/users/{}/password-reset", find(&users, "username", name)["id"]);
    made(app, root, &address, &json!({})).await["code"].as_str().unwrap().to_owned()
}

pub(super) fn id(thing: &Value) -> i64 {
    thing["id"].as_i64().unwrap()
}

pub(super) fn find<'a>(list: &'a Value, field: &str, value: &str) -> &'a Value {
    find_where(list, field, &json!(value))
}

pub(super) fn find_where<'a>(list: &'a Value, field: &str, value: &Value) -> &'a Value {
    list["items"].as_array().unwrap().iter().find(|item| item[field] == *value).unwrap()
}

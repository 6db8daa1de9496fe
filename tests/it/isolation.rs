//! Tenants apart: every operation of the API's own description, tried as nobody, as an administrator of another
//! organisation, and as a viewer; at last by those who may, which shows that the bodies were good ones.
//!
//! An operation without a line in [`Site::cases`] fails the test, so a new one says here whose business it is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::app::{App, PASSWORD, Reply};
use crate::model_server::{Answer, MODEL, ModelServer, PLAIN};
use crate::{orgs, plugins};

/// Everything of the owner's carries this word, which nobody else uses.
const OURS: &str = "nightingale";
const SOURCE: &str = "nightingale = \"hunter2hunter2\"\nresult = eval(input())\n";

/// Whose business an operation is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Everybody's, also without signing in.
    Public,
    /// Of each who is signed in, about themselves; also what is the site's and shown to all.
    Own,
    /// A list over all of the caller's organisations: a stranger's holds nothing of ours.
    List { viewer: bool },
    /// Shows something of ours: our viewers read it, for strangers it is not there.
    Read,
    /// Changes something of ours, or shows what administrators alone see: forbidden to our viewers, and for strangers it is
    /// not there.
    Write,
    /// Of one person: not there for anybody else.
    Personal,
    /// Draws one of ours into the strangers' organisation: forbidden to viewers, and for strangers they are not there.
    Draw,
    /// The site administrators': forbidden to everybody else.
    Site,
    /// Of whoever brings the secret it asks for, signed in or not; a made-up one is refused.
    Bearer,
}

/// What a request names.
#[derive(Clone)]
struct Names {
    slug: String,
    username: String,
    org: i64,
    project: i64,
    file: i64,
    run: i64,
    provider: i64,
    token: i64,
    user: i64,
    /// Somebody else of ours.
    mate: i64,
    team: i64,
    role: String,
    assignment: i64,
    /// A role held over the site.
    site_assignment: i64,
    notice: i64,
    entry: i64,
    session: i64,
    invitation: i64,
    /// Codes of invitations: of the owner, and of somebody new.
    invitations: [String; 2],
    /// Sets a new password for one of ours, once.
    code: String,
    /// The owner's.
    password: String,
}

impl Names {
    /// Of things that are nowhere.
    fn absent() -> Self {
        Self {
            slug: "nowhere-at-all".to_owned(),
            username: "nobody-at-all".to_owned(),
            org: 900_000_001,
            project: 900_000_002,
            file: 900_000_003,
            run: 900_000_004,
            provider: 900_000_005,
            token: 900_000_006,
            user: 900_000_007,
            mate: 900_000_021,
            team: 900_000_022,
            role: "nowhere_at_all".to_owned(),
            assignment: 900_000_023,
            site_assignment: 900_000_024,
            notice: 900_000_008,
            entry: 900_000_009,
            session: 900_000_010,
            invitation: 900_000_011,
            invitations: ["made-up", "made-up"].map(str::to_owned),
            code: "made-up".to_owned(),
            password: "made-up".to_owned(),
        }
    }

    fn words(&self) -> Vec<String> {
        let Self { slug, username, org, project, file, run, provider, token, user, notice, entry, session, .. } = self;
        let Self { role, mate, team, assignment, site_assignment, invitation, .. } = self;
        let ids = [
            org, project, file, run, provider, token, user, notice, entry, session, mate, team, assignment, invitation,
        ];
        let words = [slug.clone(), username.clone(), role.clone(), site_assignment.to_string()];
        words.into_iter().chain(ids.map(ToString::to_string)).collect()
    }
}

/// One way to call an operation.
struct Case {
    /// As the description has it, such as `GET /api/files/{id}`.
    operation: &'static str,
    whose: Whose,
    address: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Case {
    fn new(operation: &'static str, whose: Whose, address: String) -> Self {
        Self { operation, whose, address, headers: Vec::new(), body: Bytes::new() }
    }

    fn json(self, body: &Value) -> Self {
        Self { body: Bytes::from(body.to_string()), ..self }.header("content-type", "application/json".to_owned())
    }

    fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

struct Site {
    app: App,
    root: String,
    owner: String,
    viewer: String,
    stranger: String,
    /// The stranger's organisation.
    elsewhere: i64,
    names: Names,
    _models: ModelServer,
}

impl Site {
    async fn new() -> Self {
        let app = App::start();
        let (org, elsewhere) = (app.org(OURS), app.org("elsewhere"));
        let root = app.person("root", "admin", None).await;
        let owner = app.person("nightingale-owner", "org_admin", Some(OURS)).await;
        let viewer = personal(&app, "nightingale-viewer", "viewer", OURS).await;
        app.person("nightingale-mate", "developer", Some(OURS)).await;
        let stranger = personal(&app, "stranger", "org_admin", "elsewhere").await;
        plugins::bring(&app, "plugin-sdk/examples/security-scanner");
        made(&app, &root, "/api/plugins/install", &json!({"slug": "security-scanner"})).await;
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
        let project = json!({"name": OURS, "requirements": "A nightingale."});
        let project = made(&app, &owner, "/api/projects", &project).await;
        let users = app.call("GET", "/api/users", Some(&owner), None).await.body;
        let found = |name: &str| find(&users, "username", name)["id"].as_i64().unwrap();
        let user = found("nightingale-viewer");
        let names = Names {
            slug: OURS.to_owned(),
            username: "nightingale-viewer".to_owned(),
            org,
            project: id(&project),
            file: 0,
            run: 0,
            provider: id(&provider),
            token: id(&token["token"]),
            user,
            notice: notice(&app, org),
            entry: 0,
            session: session(&app, "nightingale-owner", &owner).await,
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
        let mut site = Self { app, root, owner, viewer, stranger, elsewhere, names, _models: models };
        site.names.file = site.file().await;
        site.names.run = site.run().await;
        site.roles().await;
        let trail = format!("/api/audit?organization_id={org}&limit=1");
        site.names.entry = id(&site.app.call("GET", &trail, Some(&site.owner), None).await.body["items"][0]);
        site.until(&format!("/api/audit/{}/proof", site.names.entry), |proof| proof["leaf"].is_string()).await;
        site
    }

    /// A team with somebody in it, a role of our own that somebody holds, and one that is held over the site.
    async fn roles(&mut self) {
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
    async fn file(&self) -> i64 {
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
    async fn run(&self) -> i64 {
        let address = format!("/api/projects/{}/runs", self.names.project);
        let run = id(&made(&self.app, &self.owner, &address, &json!({})).await);
        self.until(&format!("/api/runs/{run}"), |run| run["stages"][0]["status"] == "running").await;
        let ended = self.app.call("POST", &format!("/api/runs/{run}/cancel"), Some(&self.owner), None).await;
        assert_eq!(ended.status, 200, "{}", ended.body);
        run
    }

    async fn until(&self, address: &str, wanted: impl Fn(&Value) -> bool) {
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

    /// Every operation, in an order in which those who may can do one after the other.
    #[allow(clippy::too_many_lines, reason = "it is a table")]
    fn cases(&self, names: &Names) -> Vec<Case> {
        use Whose::{Bearer, Draw, List, Own, Personal, Public, Read, Site, Write};
        let Names { slug, username, org, project, file, run, provider, token, user, notice, entry, .. } = names;
        let Names { session, code, password, invitation, invitations, .. } = names;
        let Names { mate, team, role, assignment, site_assignment, .. } = names;
        let elsewhere = self.elsewhere;
        let case = |operation: &'static str, whose: Whose, address: String| Case::new(operation, whose, address);
        let plain = |operation: &'static str, whose: Whose| {
            Case::new(operation, whose, operation.split_once(' ').unwrap().1.to_owned())
        };
        let of = |operation: &'static str, whose: Whose, id: &i64| {
            let address = operation.split_once(' ').unwrap().1.replace("{id}", &id.to_string());
            let address = address
                .replace("{version}", "1")
                .replace("{invitation_id}", &invitation.to_string())
                .replace("{quota}", "projects");
            let address = address.replace("{path}", "entries/000.p/1").replace("/consistency", "/consistency?from=1");
            let address = address.replace("{stage}", "requirement_analysis");
            let address = address.replace("{code}", role).replace("{user_id}", &mate.to_string());
            Case::new(operation, whose, address)
        };
        let plugin = |operation: &'static str, whose: Whose| {
            let address = operation.split_once(' ').unwrap().1.replace("{slug}", "security-scanner");
            Case::new(operation, whose, address)
        };
        let login = json!({"username": "root", "password": PASSWORD});
        let newcomer = json!({"username": "newcomer", "email": "new@example.org", "password": PASSWORD,
            "role": "developer", "organization": slug});
        let chat = json!({"model": MODEL, "max_tokens": 48,
            "messages": [{"role": "user", "content": "Name three colours."}]});
        let another = json!({"name": "another", "base_url": "http://192.0.2.1/v1", "organization_id": org});
        let member = json!({"username": username, "role": "developer"});
        vec![
            plain("GET /healthz", Public),
            plain("GET /readyz", Public),
            plain("GET /api/system", Public),
            plain("POST /api/auth/login", Public).json(&login),
            plain("GET /api/auth/me", Own),
            plain("POST /api/auth/reset", Bearer).json(&json!({"code": code, "password": "a third bright morning"})),
            plain("GET /api/sessions", Own),
            plain("GET /api/tokens", Own),
            plain("POST /api/tokens", Own).json(&json!({"name": "mine"})),
            plain("GET /api/notices", Own),
            plain("POST /api/notices/read", Own),
            of("POST /api/notices/{id}/read", Personal, notice),
            plain("GET /api/permissions", Own),
            plain("GET /api/roles", Own),
            plain("GET /api/plugins", Own),
            plugin("GET /api/plugins/{slug}", Own),
            plain("GET /api/organizations", List { viewer: true }),
            plain("GET /api/users", List { viewer: true }),
            plain("GET /api/projects", List { viewer: true }),
            case("GET /api/projects", List { viewer: true }, format!("/api/projects?organization_id={org}")),
            plain("GET /api/audit", List { viewer: false }),
            case("GET /api/audit", List { viewer: false }, format!("/api/audit?organization_id={org}")),
            plain("GET /api/privacy/inventory", List { viewer: false }),
            plain("GET /api/users/me/export", Own),
            of("GET /api/users/{id}/export", Site, user),
            plain("GET /api/models", List { viewer: false }),
            plain("GET /v1/models", List { viewer: false }),
            plain("GET /api/llm/providers", List { viewer: false }),
            of("GET /api/audit/{id}", Write, entry),
            of("GET /api/organizations/{id}/audit/retention", Write, org),
            of("PUT /api/organizations/{id}/audit/retention", Write, org).json(&json!({"days": 365})),
            plain("GET /api/audit/export", List { viewer: false }),
            case("GET /api/audit/export", Write, format!("/api/audit/export?format=csv&organization_id={org}")),
            plain("GET /api/audit/logs", List { viewer: false }),
            of("GET /api/audit/{id}/proof", Write, entry),
            of("GET /api/organizations/{id}/audit/log/checkpoint", Write, org),
            of("GET /api/organizations/{id}/audit/log/key", Write, org),
            of("GET /api/organizations/{id}/audit/log/tile/{path}", Write, org),
            of("GET /api/organizations/{id}/audit/log/consistency", Write, org),
            of("GET /api/organizations/{id}/audit/log/check", Write, org),
            plain("GET /api/audit/log/checkpoint", Site),
            plain("GET /api/audit/log/key", Site),
            of("GET /api/audit/log/tile/{path}", Site, org),
            of("GET /api/audit/log/consistency", Site, org),
            plain("GET /api/audit/log/check", Site),
            of("GET /api/organizations/{id}", Read, org),
            plain("POST /api/invitations/look", Bearer).json(&json!({"code": invitations[0]})),
            of("GET /api/organizations/{id}/settings", Read, org),
            of("GET /api/organizations/{id}/logo", Read, org),
            of("GET /api/organizations/{id}/members", Read, org),
            of("GET /api/organizations/{id}/quotas", Read, org),
            of("GET /api/organizations/{id}/teams", Read, org),
            of("GET /api/organizations/{id}/roles", Read, org),
            of("GET /api/organizations/{id}/roles/{code}", Read, org),
            of("GET /api/organizations/{id}/role-assignments", Read, org),
            case(
                "GET /api/organizations/{id}/permissions/explain",
                Read,
                format!("/api/organizations/{org}/permissions/explain?permission=project.delete"),
            ),
            of("GET /api/teams/{id}", Read, team),
            of("GET /api/teams/{id}/members", Read, team),
            of("GET /api/organizations/{id}/usage", Read, org),
            of("GET /api/organizations/{id}/usage.csv", Read, org),
            of("POST /api/organizations/{id}/quotas/check", Read, org)
                .json(&json!({"resource_type": "projects", "amount": 1})),
            of("GET /api/projects/{id}", Read, project),
            of("GET /api/projects/{id}/files", Read, project),
            of("GET /api/projects/{id}/findings", Read, project),
            of("GET /api/projects/{id}/runs", Read, project),
            of("GET /api/projects/{id}/download", Read, project),
            of("GET /api/files/{id}", Read, file),
            of("GET /api/files/{id}/findings", Read, file),
            of("GET /api/files/{id}/versions", Read, file),
            of("GET /api/files/{id}/versions/{version}", Read, file),
            of("GET /api/runs/{id}", Read, run),
            of("GET /api/runs/{id}/events", Read, run),
            plain("POST /v1/chat/completions", Write).json(&chat).header("x-organization-id", org.to_string()),
            plain("POST /v1/chat/completions", Write).json(&chat).header("x-organization-id", slug.clone()),
            of("PUT /api/projects/{id}", Write, project).json(&json!({"name": "changed", "requirements": "Other."})),
            plain("POST /api/projects", Write).json(&json!({"name": "more", "organization_id": org})),
            of("POST /api/projects/{id}/files", Write, project).json(&json!({"path": "b.txt", "content": "b"})),
            of("PUT /api/files/{id}", Write, file).json(&json!({"content": "changed", "expected_version": 2})),
            of("POST /api/files/{id}/restore/{version}", Write, file),
            of("POST /api/runs/{id}/stages/{stage}/retry", Write, run),
            of("POST /api/runs/{id}/pause", Write, run),
            of("POST /api/runs/{id}/resume", Write, run),
            of("POST /api/runs/{id}/cancel", Write, run),
            of("POST /api/projects/{id}/runs", Write, project).json(&json!({"requirement": "More."})),
            plain("POST /api/llm/providers", Write).json(&another),
            plain("POST /api/users", Write).json(&newcomer),
            of("PUT /api/users/{id}/password", Write, user).json(&json!({"password": "another long password"})),
            of("GET /api/users/{id}", Write, user),
            of("PUT /api/users/{id}", Write, user).json(&json!({"email": "moved@example.org"})),
            of("POST /api/users/{id}/unlock", Write, user),
            of("POST /api/users/{id}/deactivate", Write, user),
            of("POST /api/users/{id}/reactivate", Write, user),
            of("POST /api/users/{id}/password-reset", Write, user).json(&json!({})),
            of("GET /api/users/{id}/sessions", Write, user),
            of("DELETE /api/users/{id}/sessions", Write, user),
            of("GET /api/organizations/{id}/invitations", Write, org),
            of("POST /api/organizations/{id}/invitations", Write, org)
                .json(&json!({"email": "more@example.org", "role": "viewer"})),
            of("POST /api/organizations/{id}/invitations/{invitation_id}/resend", Write, org).json(&json!({})),
            of("DELETE /api/organizations/{id}/invitations/{invitation_id}", Write, org),
            plain("POST /api/invitations/join", Bearer).json(&json!({"code": invitations[0]})),
            plain("POST /api/invitations/accept", Bearer)
                .json(&json!({"code": invitations[1], "username": "invited", "password": "a fifth bright morning"})),
            of("PUT /api/organizations/{id}", Write, org).json(&json!({"contact_email": "us@example.org"})),
            of("PUT /api/organizations/{id}/settings", Write, org)
                .json(&json!({"settings": {"run_token_budget": 9000}})),
            Case { body: Bytes::from_static(orgs::LOGO), ..of("PUT /api/organizations/{id}/logo", Write, org) },
            of("DELETE /api/organizations/{id}/logo", Write, org),
            of("POST /api/organizations/{id}/members", Write, org).json(&member),
            of("POST /api/organizations/{id}/members", Draw, &elsewhere).json(&member),
            of("POST /api/organizations/{id}/teams", Write, org).json(&json!({"slug": "more", "name": "More"})),
            of("POST /api/organizations/{id}/teams", Draw, &elsewhere)
                .json(&json!({"slug": "more", "name": "More", "owner": username})),
            of("PUT /api/teams/{id}", Write, team).json(&json!({"description": "Changed."})),
            of("POST /api/teams/{id}/members", Write, team).json(&json!({"username": username, "role": "member"})),
            of("PUT /api/teams/{id}/members/{user_id}", Write, team).json(&json!({"role": "admin"})),
            case("PUT /api/projects/{id}", Write, format!("/api/projects/{project}")).json(&json!({"team_id": team})),
            case("PUT /api/projects/{id}", Write, format!("/api/projects/{project}")).json(&json!({"team_id": null})),
            plain("POST /api/projects", Write).json(&json!({"name": "a team's", "team_id": team})),
            of("POST /api/organizations/{id}/roles", Write, org)
                .json(&json!({"code": "another", "name": "Another", "permissions": ["project.read"]})),
            of("PUT /api/organizations/{id}/roles/{code}", Write, org).json(&json!({"description": "Changed."})),
            of("POST /api/organizations/{id}/role-assignments", Write, org)
                .json(&json!({"username": username, "role": "team_admin", "team_id": team})),
            of("POST /api/organizations/{id}/role-assignments", Draw, &elsewhere)
                .json(&json!({"username": username, "role": "viewer"})),
            case(
                "DELETE /api/organizations/{id}/role-assignments/{assignment_id}",
                Draw,
                format!("/api/organizations/{elsewhere}/role-assignments/{assignment}"),
            ),
            case(
                "DELETE /api/organizations/{id}/role-assignments/{assignment_id}",
                Write,
                format!("/api/organizations/{org}/role-assignments/{assignment}"),
            ),
            of("DELETE /api/organizations/{id}/roles/{code}", Write, org),
            of("DELETE /api/teams/{id}/members/{user_id}", Write, team),
            plain("GET /api/role-assignments", Site),
            plain("POST /api/role-assignments", Site).json(&json!({"user_id": mate, "role": "developer"})),
            case(
                "DELETE /api/role-assignments/{assignment_id}",
                Site,
                format!("/api/role-assignments/{site_assignment}"),
            ),
            case(
                "DELETE /api/organizations/{id}/members/{user_id}",
                Draw,
                format!("/api/organizations/{elsewhere}/members/{user}"),
            ),
            of("POST /api/organizations/{id}/suspend", Site, org).json(&json!({"reason": "Unpaid."})),
            of("POST /api/organizations/{id}/resume", Site, org),
            plain("POST /api/organizations", Site).json(&json!({"name": "Third", "slug": "third"})),
            of("PUT /api/organizations/{id}/quotas/{quota}", Site, org).json(&json!({"limit_value": 1000})),
            of("POST /api/organizations/{id}/quotas", Site, org)
                .json(&json!({"resource_type": "storage", "limit_value": 1_000_000})),
            of("DELETE /api/organizations/{id}/quotas/{quota}", Site, org),
            of("POST /api/organizations/{id}/usage", Site, org)
                .json(&json!({"resource_type": "llm_tokens", "amount": 1, "metadata": {"model": "elsewhere"}})),
            plugin("PUT /api/plugins/{slug}/config", Site).json(&json!({"severity_threshold": "low"})),
            plugin("POST /api/plugins/{slug}/disable", Site),
            plugin("POST /api/plugins/{slug}/enable", Site),
            plain("POST /api/plugins/install", Site).json(&json!({"slug": "security-scanner"})),
            Case {
                address: "/api/plugins/upload?replace=true".to_owned(),
                body: plugins::tar_of("plugin-sdk/examples/security-scanner"),
                ..plain("POST /api/plugins/upload", Site).header("content-type", "application/x-tar".to_owned())
            },
            plugin("DELETE /api/plugins/{slug}", Site),
            case(
                "DELETE /api/organizations/{id}/members/{user_id}",
                Write,
                format!("/api/organizations/{org}/members/{user}"),
            ),
            of("DELETE /api/llm/providers/{id}", Write, provider),
            of("DELETE /api/tokens/{id}", Personal, token),
            of("DELETE /api/sessions/{id}", Personal, session),
            plain("DELETE /api/sessions", Own),
            plain("PUT /api/auth/password", Bearer)
                .json(&json!({"current": password, "new": "a fourth bright morning"})),
            of("DELETE /api/files/{id}", Write, file),
            of("DELETE /api/projects/{id}", Write, project),
            of("DELETE /api/teams/{id}", Write, team),
            of("DELETE /api/organizations/{id}", Write, org).json(&json!({"confirm": slug})),
            of("POST /api/organizations/{id}/restore", Site, org),
            of("POST /api/users/{id}/erase", Site, user).json(&json!({"username": username})),
            plain("POST /api/auth/logout", Own),
        ]
    }

    async fn call(&self, case: &Case, token: Option<&str>) -> Reply {
        let method = case.operation.split_once(' ').unwrap().0;
        let mut headers = case.headers.clone();
        headers.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
        self.app.send(method, &case.address, &headers, case.body.clone()).await
    }

    /// The owner's things as they are.
    async fn things(&self) -> Vec<Value> {
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
            things.push(json!({ "address": address, "is": seen.body }));
        }
        things
    }
}

async fn made(app: &App, token: &str, address: &str, body: &Value) -> Value {
    let reply = app.call("POST", address, Some(token), Some(body.clone())).await;
    assert_eq!(reply.status, 201, "{address} {body}: {}", reply.body);
    reply.body
}

/// A notice to the owner.
fn notice(app: &App, org: i64) -> i64 {
    let owner = "(SELECT id FROM users WHERE username = 'nightingale-owner')";
    app.sql(&format!(
        "INSERT INTO notices (id, user_id, organization_id, kind, text, created_at) \
         VALUES (800000001, {owner}, {org}, 'test', '{OURS}', 0)"
    ));
    800_000_001
}

/// An invitation with its code.
async fn invite(app: &App, token: &str, org: i64, email: &str) -> Value {
    let body = json!({"email": email, "role": "viewer"});
    made(app, token, &format!("/api/organizations/{org}/invitations"), &body).await
}

fn code_of(invitation: &Value) -> String {
    invitation["code"].as_str().unwrap().to_owned()
}

/// A person with a personal token, which outlives signing out.
async fn personal(app: &App, name: &str, role: &str, org: &str) -> String {
    let session = app.person(name, role, Some(org)).await;
    made(app, &session, "/api/tokens", &json!({"name": "walk"})).await["secret"].as_str().unwrap().to_owned()
}

/// Another session of somebody's own; its id.
async fn session(app: &App, name: &str, token: &str) -> i64 {
    let login = json!({"username": name, "password": PASSWORD});
    assert_eq!(app.call("POST", "/api/auth/login", None, Some(login)).await.status, 200);
    let sessions = app.call("GET", "/api/sessions", Some(token), None).await.body;
    find_where(&sessions, "current", &json!(false))["id"].as_i64().unwrap()
}

/// A code with which one of ours sets a new password.
async fn code(app: &App, root: &str, name: &str) -> String {
    app.person(name, "viewer", Some(OURS)).await;
    let users = app.call("GET", "/api/users", Some(root), None).await.body;
    let address = format!("/api/users/{}/password-reset", find(&users, "username", name)["id"]);
    made(app, root, &address, &json!({})).await["code"].as_str().unwrap().to_owned()
}

fn id(thing: &Value) -> i64 {
    thing["id"].as_i64().unwrap()
}

fn find<'a>(list: &'a Value, field: &str, value: &str) -> &'a Value {
    find_where(list, field, &json!(value))
}

fn find_where<'a>(list: &'a Value, field: &str, value: &Value) -> &'a Value {
    list["items"].as_array().unwrap().iter().find(|item| item[field] == *value).unwrap()
}

/// What was answered, without what differs from one request to the next.
fn words(reply: &Reply) -> String {
    let request = reply.headers["x-request-id"].to_str().unwrap();
    format!("{} {}", reply.status, reply.body).replace(request, "-")
}

#[tokio::test]
async fn every_operation_is_in_the_table() {
    let app = App::start();
    let names = Names::absent();
    let (token, elsewhere) = (String::new(), names.org);
    let description = app.call("GET", "/api/openapi.json", None, None).await.body;
    let models = ModelServer::start(|_| Answer::json(200, PLAIN));
    let (root, owner, viewer, stranger) = (token.clone(), token.clone(), token.clone(), token);
    let site = Site { app, root, owner, viewer, stranger, elsewhere, names: names.clone(), _models: models };
    let cases = site.cases(&names);
    let walked: BTreeSet<String> = cases.iter().map(|case| case.operation.to_owned()).collect();
    let described: BTreeSet<String> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let missing: Vec<_> = described.difference(&walked).collect();
    let gone: Vec<_> = walked.difference(&described).collect();
    assert!(missing.is_empty() && gone.is_empty(), "say in Site::cases whose these are: {missing:?}; gone: {gone:?}");
    let unfilled = cases.iter().find(|case| case.address.contains('{'));
    assert!(unfilled.is_none(), "{}", unfilled.unwrap().address);
}

#[tokio::test]
async fn what_is_ours_is_there_for_nobody_else() {
    let site = Site::new().await;
    let before = site.things().await;
    let (ours, nowhere) = (site.cases(&site.names), site.cases(&Names::absent()));
    assert_ne!(before.iter().filter(|thing| thing.to_string().contains(OURS)).count(), 0);
    for (case, absent) in ours.iter().zip(&nowhere) {
        if case.whose == Whose::Bearer {
            with_a_made_up_secret(&site, absent).await;
            continue;
        }
        as_nobody(&site, case).await;
        as_stranger(&site, case, absent).await;
        as_viewer(&site, case).await;
    }
    for (was, is) in before.iter().zip(site.things().await) {
        assert_eq!(*was, is, "something was changed");
    }
    let login = json!({"username": site.names.username, "password": PASSWORD});
    assert_eq!(site.app.call("POST", "/api/auth/login", None, Some(login)).await.status, 200);
    for case in &ours {
        by_those_who_may(&site, case).await;
    }
}

async fn with_a_made_up_secret(site: &Site, absent: &Case) {
    for token in [None, Some(&site.stranger), Some(&site.viewer), Some(&site.owner)] {
        let reply = site.call(absent, token.map(String::as_str)).await;
        let told = format!("{} with a made-up secret: {} {}", absent.operation, reply.status, reply.body);
        assert!((400..=403).contains(&reply.status), "{told}");
    }
}

async fn as_nobody(site: &Site, case: &Case) {
    let reply = site.call(case, None).await;
    let wanted = if case.whose == Whose::Public { 200 } else { 401 };
    assert_eq!(reply.status, wanted, "{} {} as nobody: {}", case.operation, case.address, reply.body);
}

async fn as_stranger(site: &Site, case: &Case, absent: &Case) {
    let reply = site.call(case, Some(&site.stranger)).await;
    let told = format!("{} {} as a stranger: {} {}", case.operation, case.address, reply.status, reply.body);
    match case.whose {
        Whose::Public | Whose::Bearer => {}
        Whose::Own | Whose::List { .. } => {
            assert!((200..300).contains(&reply.status), "{told}");
            assert!(!reply.body.to_string().to_lowercase().contains(OURS), "{told}");
        }
        Whose::Read | Whose::Write | Whose::Personal | Whose::Draw => assert_eq!(reply.status, 404, "{told}"),
        Whose::Site => assert_eq!(reply.status, 403, "{told}"),
    }
    if reply.status >= 400 {
        // What is another's is answered as what is not there, to the letter.
        let mut wanted = words(&site.call(absent, Some(&site.stranger)).await);
        for (absent, real) in Names::absent().words().iter().zip(site.names.words()) {
            wanted = wanted.replace(absent, &real);
        }
        assert_eq!(words(&reply), wanted, "{told}");
    }
}

async fn as_viewer(site: &Site, case: &Case) {
    let reply = site.call(case, Some(&site.viewer)).await;
    let told = format!("{} {} as a viewer: {} {}", case.operation, case.address, reply.status, reply.body);
    match case.whose {
        Whose::Public | Whose::Own | Whose::Bearer => assert!((200..300).contains(&reply.status), "{told}"),
        Whose::Read | Whose::List { viewer: true } => assert_eq!(reply.status, 200, "{told}"),
        Whose::Personal => assert_eq!(reply.status, 404, "{told}"),
        Whose::Write | Whose::Draw | Whose::Site | Whose::List { viewer: false } => {
            assert_eq!(reply.status, 403, "{told}");
        }
    }
}

async fn by_those_who_may(site: &Site, case: &Case) {
    let token = match case.whose {
        Whose::Public => None,
        Whose::Site => Some(site.root.as_str()),
        _ => Some(site.owner.as_str()),
    };
    let reply = site.call(case, token).await;
    let told = format!("{} {} by who may: {} {}", case.operation, case.address, reply.status, reply.body);
    if case.whose == Whose::Draw {
        // To our own administrator the other organisation is not there either.
        assert_eq!(reply.status, 404, "{told}");
    } else {
        assert!((200..300).contains(&reply.status), "{told}");
    }
    if case.operation == "POST /api/projects/{id}/runs" {
        // A project is not deleted while a run of it goes on.
        let ended = site.app.call("POST", &format!("/api/runs/{}/cancel", reply.body["id"]), token, None).await;
        assert_eq!(ended.status, 200, "{}", ended.body);
    }
    if case.operation == "POST /api/projects" && reply.body["team_id"].is_i64() {
        // A team is not deleted while it has projects.
        let gone = site.app.call("DELETE", &format!("/api/projects/{}", id(&reply.body)), token, None).await;
        assert_eq!(gone.status, 204, "{}", gone.body);
    }
}

//! Quotas through the door: exact limits under many callers, scopes, modes, warnings, overrides, rates and usage.

use std::sync::Arc;

use futures_util::future::join_all;
use resoftai::base::clock::Clock;
use serde_json::{Value, json};

use crate::app::{App, Reply};

struct Site {
    app: Arc<App>,
    root: String,
    dev: String,
    org: i64,
}

impl Site {
    async fn new() -> Self {
        let app = Arc::new(App::start());
        let org = app.org("acme");
        let root = app.person("root", "admin", None).await;
        let dev = app.person("dev", "developer", Some("acme")).await;
        Self { app, root, dev, org }
    }

    fn at(&self, rest: &str) -> String {
        format!("/api/organizations/{}/{rest}", self.org)
    }

    async fn root(&self, method: &str, rest: &str, body: Value) -> Reply {
        let body = Some(body).filter(|body| !body.is_null());
        self.app.call(method, &self.at(rest), Some(&self.root), body).await
    }

    async fn set(&self, quota: &str, change: Value) -> Value {
        let reply = self.root("PUT", &format!("quotas/{quota}"), change).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    async fn create(&self, quota: Value) -> Value {
        let reply = self.root("POST", "quotas", quota).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.body
    }

    /// The organisation's own quota of a resource.
    async fn quota(&self, resource: &str) -> Value {
        let list = self.root("GET", "quotas", Value::Null).await.body;
        let own = |quota: &&Value| quota["resource"] == resource && quota["scope"] == "organization";
        list["items"].as_array().unwrap().iter().find(own).unwrap().clone()
    }

    async fn project(&self, name: &str) -> Reply {
        self.app.call("POST", "/api/projects", Some(&self.dev), Some(json!({ "name": name }))).await
    }

    async fn used(&self, amount: i64, more: Value) -> Reply {
        let mut body = json!({"resource_type": "llm_tokens", "amount": amount});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.root("POST", "usage", body).await
    }

    async fn id_of(&self, name: &str) -> i64 {
        let users = self.app.call("GET", "/api/users", Some(&self.root), None).await.body;
        users["items"].as_array().unwrap().iter().find(|user| user["username"] == name).unwrap()["id"].as_i64().unwrap()
    }
}

fn count(replies: &[Reply], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}

#[tokio::test]
async fn of_calls_and_tokens_exactly_the_limit_passes() {
    let site = Site::new().await;
    site.set("api_calls", json!({"limit_value": 30})).await;
    let replies = join_all((0..60).map(|_| site.app.call("GET", "/api/projects", Some(&site.dev), None))).await;
    assert_eq!((count(&replies, 200), count(&replies, 429)), (30, 30));
    let refused = replies.iter().find(|reply| reply.status == 429).unwrap();
    assert_eq!(refused.body["code"], "quota_exceeded");
    assert!(refused.headers.contains_key("retry-after"), "it is monthly, so it says when it begins anew");
    // Who is refused can still see why.
    assert_eq!(site.app.call("GET", &site.at("quotas"), Some(&site.dev), None).await.status, 200);

    site.set("llm_tokens", json!({"limit_value": 100})).await;
    let replies = join_all((0..30).map(|_| site.used(7, json!({})))).await;
    assert_eq!((count(&replies, 201), count(&replies, 429)), (14, 16));
    let check = json!({"resource_type": "llm_tokens", "amount": 3});
    let verdict = site.root("POST", "quotas/check", check).await.body;
    assert!(verdict["error"].as_str().unwrap().contains("98 of 100 used"), "{verdict}");
    assert_eq!(verdict["can_consume"], false);
}

#[tokio::test]
async fn a_call_counts_where_it_is_about() {
    let site = Site::new().await;
    let globex = site.app.org("globex");
    let member = json!({"username": "dev", "role": "developer"});
    let path = format!("/api/organizations/{globex}/members");
    assert_eq!(site.app.call("POST", &path, Some(&site.root), Some(member)).await.status, 201);
    // Of two organisations the later one has no calls left.
    let spent = format!("/api/organizations/{globex}/quotas/api_calls");
    let none = Some(json!({"limit_value": 0}));
    assert_eq!(site.app.call("PUT", &spent, Some(&site.root), none).await.status, 200);
    let status = async |path: &str, token: &str| site.app.call("GET", path, Some(token), None).await.status;
    let members = |org: i64| format!("/api/organizations/{org}/members");
    assert_eq!(status(&members(globex), &site.dev).await, 429, "the address names it");
    assert_eq!(status(&members(site.org), &site.dev).await, 200);
    assert_eq!(status("/api/projects", &site.dev).await, 200, "the first of both");
    // A token of one organisation names it with every call.
    for (org, wanted) in [(globex, 429), (site.org, 200)] {
        let limited = json!({"name": "one", "organization_id": org});
        let made = site.app.call("POST", "/api/tokens", Some(&site.dev), Some(limited)).await;
        assert_eq!(status("/api/projects", made.body["secret"].as_str().unwrap()).await, wanted);
    }
}

#[tokio::test]
async fn stored_bytes_and_members_are_exact_and_come_back() {
    let site = Site::new().await;
    let project = site.project("One").await.body["id"].as_i64().unwrap();
    site.set("storage", json!({"limit_value": 100})).await;
    let write = |number: usize| {
        let body = json!({"path": format!("f{number}.txt"), "content": "0123456789"});
        let address = format!("/api/projects/{project}/files");
        let site = &site;
        async move { site.app.call("POST", &address, Some(&site.dev), Some(body)).await }
    };
    let replies = join_all((0..16).map(write)).await;
    assert_eq!((count(&replies, 201), count(&replies, 429)), (10, 6));
    let file = replies.iter().find(|reply| reply.status == 201).unwrap().body["id"].as_i64().unwrap();
    let over = json!({"content": "more", "expected_version": 1});
    assert_eq!(site.app.call("PUT", &format!("/api/files/{file}"), Some(&site.dev), Some(over)).await.status, 429);
    assert_eq!(site.app.call("DELETE", &format!("/api/files/{file}"), Some(&site.dev), None).await.status, 204);
    assert_eq!(site.quota("storage").await["used"], 90);
    assert_eq!(site.app.call("DELETE", &format!("/api/projects/{project}"), Some(&site.dev), None).await.status, 204);
    assert_eq!(
        (site.quota("storage").await["used"].clone(), site.quota("projects").await["used"].clone()),
        (json!(0), json!(0))
    );

    site.set("team_members", json!({"limit_value": 2})).await;
    let person = |name: &str| {
        json!({"username": name, "email": format!("{name}@example.org"), "password": "correct horse battery 9 staple",
            "role": "viewer", "organization": "acme"})
    };
    let second = site.app.call("POST", "/api/users", Some(&site.root), Some(person("second"))).await;
    assert_eq!(second.status, 201, "{}", second.body);
    let third = site.app.call("POST", "/api/users", Some(&site.root), Some(person("third"))).await;
    assert_eq!((third.status, &third.body["code"]), (429, &json!("quota_exceeded")));
    let gone = site.at(&format!("members/{}", site.id_of("second").await));
    assert_eq!(site.app.call("DELETE", &gone, Some(&site.root), None).await.status, 204);
    assert_eq!(site.quota("team_members").await["used"], 1);
    let third = site.app.call("POST", "/api/users", Some(&site.root), Some(person("third"))).await;
    assert_eq!(third.status, 201, "{}", third.body);
}

#[tokio::test]
async fn a_persons_quota_holds_beside_the_organisations_and_counts_what_was() {
    let site = Site::new().await;
    assert_eq!(site.project("Before").await.status, 201);
    let dev = site.id_of("dev").await;
    let own =
        site.create(json!({"resource_type": "projects", "limit_value": 2, "scope": "person", "user_id": dev})).await;
    assert_eq!((&own["used"], &own["user_id"], &own["scope"]), (&json!(1), &json!(dev), &json!("person")));
    assert_eq!(site.project("Second").await.status, 201);
    let refused = site.project("Third").await;
    assert_eq!(refused.status, 429);
    assert!(refused.body["detail"].as_str().unwrap().contains("The person's quota"), "{}", refused.body);
    assert_eq!(site.quota("projects").await["used"], 2, "what is refused takes nothing of the organisation's");
    let tokens = json!({"resource_type": "llm_tokens", "limit_value": 10, "scope": "person", "user_id": dev});
    site.create(tokens).await;
    assert_eq!(site.used(11, json!({"user_id": dev})).await.status, 429);
    assert_eq!(site.used(11, json!({})).await.status, 201);
    let twice = site
        .root(
            "POST",
            "quotas",
            json!({"resource_type": "projects", "limit_value": 2, "scope": "person", "user_id": dev}),
        )
        .await;
    assert_eq!((twice.status, &twice.body["code"]), (409, &json!("quota_exists")));
    assert_eq!(site.root("DELETE", &format!("quotas/{}", own["id"]), Value::Null).await.status, 204);
    assert_eq!(site.project("Third").await.status, 201);
}

#[tokio::test]
async fn soft_lets_through_and_warns_once_shadow_only_counts() {
    let site = Site::new().await;
    site.set("projects", json!({"limit_value": 2, "mode": "soft", "warning_thresholds": [50, 100]})).await;
    for number in 0..4 {
        assert_eq!(site.project(&format!("P{number}")).await.status, 201);
    }
    let notices = site.app.call("GET", "/api/notices", Some(&site.root), None).await.body;
    let warnings = |notices: &Value| {
        let all = notices["items"].as_array().unwrap().clone();
        all.iter().filter(|notice| notice["kind"] == "quota_warning").count()
    };
    assert_eq!(warnings(&notices), 2, "one at 50 % and one at 100 %: {notices}");
    site.set("projects", json!({"mode": "shadow", "limit_value": 3})).await;
    for number in 4..6 {
        assert_eq!(site.project(&format!("P{number}")).await.status, 201);
    }
    let quota = site.quota("projects").await;
    assert_eq!((&quota["used"], &quota["would_have_blocked"]), (&json!(6), &json!(2)));
    let trail = site.app.cli_json(&["audit", "list", "--limit", "100"], "");
    let told = |entry: &&Value| entry["description"].as_str().unwrap().starts_with("A hard limit would have refused");
    assert_eq!(trail["items"].as_array().unwrap().iter().filter(told).count(), 1);
}

#[tokio::test]
async fn an_override_counts_until_it_ends_and_a_tiers_quota_comes_back() {
    let site = Site::new().await;
    site.set("projects", json!({"limit_value": 0})).await;
    assert_eq!(site.project("No").await.status, 429);
    let over = json!({"override": {"limit_value": 1, "until": "2999-01-01T00:00:00Z", "reason": "A fair"}});
    assert_eq!(site.set("projects", over).await["effective_limit"], 1);
    assert_eq!(site.project("Yes").await.status, 201);
    site.set("projects", json!({"override": null})).await;
    assert_eq!(site.project("No").await.status, 429);
    let past = json!({"override": {"limit_value": 1, "until": "1999-01-01T00:00:00Z", "reason": "Late"}});
    let refused = site.root("PUT", "quotas/projects", past).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("invalid_override")));
    assert_eq!(site.root("DELETE", "quotas/projects", Value::Null).await.status, 204);
    let quota = site.quota("projects").await;
    assert_eq!((&quota["limit_value"], &quota["used"], &quota["custom"]), (&json!(50), &json!(1), &json!(false)));
    // As the specification has it.
    let monthly =
        json!({"resource_type": "projects", "limit_value": 100, "period": "monthly", "warning_threshold": 0.8});
    let made = site.create(monthly).await;
    assert_eq!((&made["warning_thresholds"], &made["used"]), (&json!([80]), &json!(1)));
    assert!(made["renews_at"].is_string());
    for (body, code) in [
        (json!({"period": "hourly"}), "invalid_body"),
        (json!({"limit_value": -1}), "invalid_limit"),
        (json!({"warning_thresholds": [0]}), "invalid_threshold"),
        (json!({"tokens_per_minute": 5}), "invalid_rate"),
    ] {
        let reply = site.root("PUT", "quotas/projects", body.clone()).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.body);
        if code != "invalid_body" {
            assert_eq!(reply.body["code"], code, "{body}");
        }
    }
    assert_eq!(site.root("PUT", "quotas/storage", json!({"period": "daily"})).await.body["code"], "invalid_period");
}

#[tokio::test]
async fn a_rate_is_told_and_kept() {
    let site = Site::new().await;
    site.set("api_calls", json!({"requests_per_minute": 5})).await;
    let replies = join_all((0..8).map(|_| site.app.call("GET", "/api/projects", Some(&site.dev), None))).await;
    assert_eq!((count(&replies, 200), count(&replies, 429)), (5, 3));
    for reply in &replies {
        assert_eq!(reply.headers["x-ratelimit-limit"], "5");
        assert!(reply.headers.contains_key("x-ratelimit-remaining") && reply.headers.contains_key("x-ratelimit-reset"));
    }
    let refused = replies.iter().find(|reply| reply.status == 429).unwrap();
    assert_eq!(refused.body["code"], "rate_limited");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    let free = site.app.call("GET", "/api/projects", Some(&site.root), None).await;
    assert!(free.status == 200 && !free.headers.contains_key("x-ratelimit-limit"), "the site's own are not counted");
}

#[tokio::test]
async fn use_is_summed_up_by_model_and_person_and_written_as_csv() {
    let site = Site::new().await;
    let dev = site.id_of("dev").await;
    assert_eq!(site.used(1500, json!({"user_id": dev, "metadata": {"model": "=cmd|calc"}})).await.status, 201);
    assert_eq!(site.used(500, json!({"metadata": {"model": "small"}})).await.status, 201);
    let by = async |group: &str| {
        let address = site.at(&format!("usage?group_by={group}"));
        site.app.call("GET", &address, Some(&site.dev), None).await.body
    };
    let models = by("model").await;
    assert_eq!(models["items"][0], json!({"key": "=cmd|calc", "name": null, "amount": 1500, "records": 1}));
    assert_eq!(models["total"], 2000);
    let people = by("person").await;
    assert_eq!(people["items"][0], json!({"key": dev.to_string(), "name": "dev", "amount": 1500, "records": 1}));
    let days = by("day").await;
    assert_eq!((days["items"].as_array().unwrap().len(), &days["items"][0]["records"]), (1, &json!(2)));
    let output = site.app.cli(&["quota", "usage", "--org", "acme", "--by", "model", "--csv"], "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "model,name,llm_tokens,records\r\n'=cmd|calc,,1500,1\r\nsmall,,500,1\r\n");
    let wide = site.app.call("GET", &site.at("usage?from=2020-01-01"), Some(&site.dev), None).await;
    assert_eq!((wide.status, &wide.body["code"]), (400, &json!("invalid_range")));
    assert_eq!(
        site.root("POST", "usage", json!({"resource_type": "storage", "amount": 1})).await.body["code"],
        "counted_by_itself"
    );
}

#[tokio::test]
async fn what_one_used_oneself_is_told_without_a_right_to_see_quotas() {
    let site = Site::new().await;
    site.app.org("other");
    let guest = site.app.person("guest", "viewer", Some("other")).await;
    let team = site.root("POST", "teams", json!({"name": "Labs", "slug": "labs"})).await.body;
    let given = json!({"username": "guest", "role": "developer", "team_id": team["id"]});
    assert_eq!(site.root("POST", "role-assignments", given).await.status, 201);
    let (dev, own) = (site.id_of("dev").await, site.id_of("guest").await);
    assert_eq!(site.used(70, json!({"user_id": dev})).await.status, 201);
    assert_eq!(site.used(30, json!({"user_id": own})).await.status, 201);
    let of = async |who: &str, more: String| {
        site.app.call("GET", &site.at(&format!("usage?days=7{more}")), Some(who), None).await
    };
    let mine = of(&guest, format!("&user_id={own}&group_by=person")).await.body;
    assert_eq!((&mine["total"], mine["items"].as_array().unwrap().len()), (&json!(30), 1), "{mine}");
    for others in [String::new(), format!("&user_id={dev}")] {
        let reply = of(&guest, others.clone()).await;
        assert!((403..=404).contains(&reply.status), "{others}: {} {}", reply.status, reply.body);
    }
    assert_eq!(of(&site.dev, format!("&user_id={own}")).await.body["total"], 30);
    assert_eq!(of(&site.dev, String::new()).await.body["total"], 100);
    let told = site.app.cli_json(&["quota", "usage", "--org", "acme", "--user", "guest", "--days", "7"], "");
    assert_eq!(told["total"], 30);
    let csv = site.at(&format!("usage.csv?user_id={own}&group_by=person"));
    assert_eq!(site.app.call("GET", &csv, Some(&guest), None).await.status, 200);
    assert_eq!(of(&site.dev, "&from=2020-01-01&days=0".to_owned()).await.status, 400);
}

#[tokio::test]
async fn a_team_sees_its_own_quotas_and_what_its_projects_used_and_no_others() {
    let site = Site::new().await;
    site.app.org("other");
    let mate = site.app.person("mate", "viewer", Some("other")).await;
    let mut teams = Vec::new();
    for slug in ["labs", "press"] {
        teams.push(
            site.root("POST", "teams", json!({"name": slug.to_uppercase(), "slug": slug})).await.body["id"].clone(),
        );
    }
    let given = json!({"username": "mate", "role": "viewer", "team_id": teams[0]});
    assert_eq!(site.root("POST", "role-assignments", given).await.status, 201);
    for team in &teams {
        site.create(json!({"resource_type": "llm_tokens", "limit_value": 900, "scope": "team", "team_id": team})).await;
    }
    let dev = site.id_of("dev").await;
    site.create(json!({"resource_type": "llm_tokens", "limit_value": 50, "scope": "person", "user_id": dev})).await;

    let seen = async |team: &Value| site.app.call("GET", &format!("/api/teams/{team}/quotas"), Some(&mate), None).await;
    let own = seen(&teams[0]).await.body;
    assert_eq!(own["items"].as_array().unwrap().len(), 1, "{own}");
    assert_eq!((&own["items"][0]["owner"], &own["items"][0]["limit_value"]), (&json!("LABS"), &json!(900)));
    let (hidden, nowhere) = (seen(&teams[1]).await, seen(&json!(900_000_000)).await);
    assert_eq!((hidden.status, hidden.body["detail"].clone()), (404, nowhere.body["detail"].clone()));

    // Whoever may see people is told whose each quota is, however many people there are.
    let all = site.root("GET", "quotas", Value::Null).await.body;
    let owners: Vec<_> = all["items"].as_array().unwrap().iter().filter_map(|quota| quota["owner"].as_str()).collect();
    assert_eq!(owners, ["LABS", "PRESS", "dev"]);
    let listed = site.app.cli_json(&["quota", "list", "--org", "acme", "--team", "press"], "");
    assert_eq!(listed["items"][0]["owner"], "PRESS");

    let project = json!({"name": "Paper", "organization_id": site.org, "team_id": teams[0]});
    let project = site.app.call("POST", "/api/projects", Some(&site.root), Some(project)).await.body["id"].clone();
    let day = Clock::system().now().to_string()[..10].to_owned();
    site.app.sql(&format!(
        "INSERT INTO usage_daily (organization_id, resource, day, user_id, project_id, model, amount, records) VALUES \
         ({org}, 'llm_tokens', '{day}', {dev}, {project}, 'm', 70, 2), ({org}, 'llm_tokens', '{day}', {dev}, 0, 'm', 5, 1)",
        org = site.org
    ));
    let used =
        async |more: String| site.app.call("GET", &site.at(&format!("usage?days=7{more}")), Some(&mate), None).await;
    let told = used(format!("&team_id={}&group_by=project", teams[0])).await.body;
    assert_eq!((&told["total"], &told["items"][0]["name"]), (&json!(70), &json!("Paper")), "{told}");
    let hidden = used(format!("&team_id={}", teams[1])).await;
    let nowhere = used("&team_id=900000000".to_owned()).await;
    assert_eq!((hidden.status, hidden.body["detail"].clone()), (404, nowhere.body["detail"].clone()));
    // Being asked about oneself does not tell which teams there are.
    let own = site.app.call("GET", "/api/auth/me", Some(&mate), None).await.body["user"]["id"].clone();
    assert_eq!(used(format!("&team_id={}&user_id={own}", teams[1])).await.status, 404);
    let told = site.app.cli_json(&["quota", "usage", "--org", "acme", "--team", "labs"], "");
    assert_eq!(told["total"], 70);
}

#[tokio::test]
async fn calls_are_counted_by_person_and_survive_a_stop() {
    let mut site = Site::new().await;
    for _ in 0..7 {
        assert_eq!(site.app.call("GET", "/api/projects", Some(&site.dev), None).await.status, 200);
    }
    let app = Arc::get_mut(&mut site.app).unwrap();
    assert_eq!(app.terminate(), 0);
    app.crash_and_restart();
    let usage =
        site.app.cli_json(&["quota", "usage", "--org", "acme", "--resource", "api_calls", "--by", "person"], "");
    assert_eq!((&usage["items"][0]["name"], &usage["items"][0]["amount"]), (&json!("dev"), &json!(7)));
    let quota = site.app.cli_json(&["quota", "show", "--org", "acme"], "");
    let calls = quota["items"].as_array().unwrap().iter().find(|quota| quota["resource"] == "api_calls").unwrap();
    assert_eq!((&calls["used"], &calls["reserved"]), (&json!(7), &json!(0)));
}

#[tokio::test]
async fn the_commands_set_override_and_take_away() {
    let site = Site::new().await;
    let quota = |arguments: &[&str]| {
        let all = [&["quota", arguments[0], "--org", "acme"], &arguments[1..]].concat();
        site.app.cli_json(&all, "")
    };
    let made = quota(&["create", "llm_tokens", "1_000", "--user", "dev", "--period", "daily", "--per-minute", "500"]);
    assert_eq!((&made["scope"], &made["tokens_per_minute"]), (&json!("person"), &json!(500)));
    let id = made["id"].to_string();
    let over = quota(&["override", &id, "unlimited", "--until", "2999-01-01T00:00:00Z", "--reason", "A fair"]);
    assert_eq!((&over["effective_limit"], &over["limit_value"]), (&json!(null), &json!(1000)));
    assert_eq!(quota(&["override", &id, "--end"])["override"], json!(null));
    assert_eq!(
        quota(&["set", "api_calls", "10", "--mode", "shadow", "--warn", "50,75"])["warning_thresholds"],
        json!([50, 75])
    );
    assert_eq!(quota(&["check", "projects", "51"])["can_consume"], false);
    assert_eq!(quota(&["delete", &id])["deleted"], true);
    assert_eq!(quota(&["list"])["items"].as_array().unwrap().len(), 5);
}

/// The texts of the warnings that the administrator has.
async fn warnings(site: &Site) -> Vec<String> {
    let notices = site.app.call("GET", "/api/notices?limit=100", Some(&site.root), None).await.body;
    let warning = |notice: &&Value| notice["kind"] == "quota_warning";
    let text = |notice: &Value| notice["text"].as_str().unwrap().to_owned();
    notices["items"].as_array().unwrap().iter().filter(warning).map(text).collect()
}

#[tokio::test]
async fn many_who_cross_a_threshold_together_cause_one_warning() {
    let site = Site::new().await;
    // Where several servers can be, half of the callers ask the other one.
    let other = std::env::var_os("RESOFTAI_TEST_POSTGRES_URL").map(|_| site.app.beside());
    let (first, second): (&App, &App) = (&site.app, other.as_ref().unwrap_or(&site.app));
    let at = |number: usize| if number.is_multiple_of(2) { first } else { second };
    site.set("projects", json!({"limit_value": 50, "warning_thresholds": [40, 90]})).await;
    site.set("llm_tokens", json!({"limit_value": 100, "warning_thresholds": [80]})).await;
    assert_eq!(site.used(70, json!({})).await.status, 201);
    for number in 0..4 {
        assert_eq!(site.project(&format!("before {number}")).await.status, 201);
    }
    assert_eq!(warnings(&site).await, Vec::<String>::new());
    let made = join_all((0..24).map(|number| {
        let body = json!({"name": format!("P{number}")});
        at(number).call("POST", "/api/projects", Some(&site.dev), Some(body))
    }));
    let usage = site.at("usage");
    let used = join_all((0..24).map(|number| {
        let body = json!({"resource_type": "llm_tokens", "amount": 1});
        at(number).call("POST", &usage, Some(&site.root), Some(body))
    }));
    let (made, used) = futures_util::future::join(made, used).await;
    assert_eq!((count(&made, 201), count(&used, 201)), (24, 24), "{}", used[0].body);
    let told = warnings(&site).await;
    let of =
        |start: &str, what: &str| told.iter().filter(|text| text.starts_with(start) && text.contains(what)).count();
    assert_eq!((of("40 %", "projects"), of("80 %", "tokens"), told.len()), (1, 1, 2), "{told:?}");
}

#[tokio::test]
async fn two_servers_of_one_database_let_exactly_the_limit_pass() {
    if std::env::var_os("RESOFTAI_TEST_POSTGRES_URL").is_none() {
        return;
    }
    let site = Site::new().await;
    let other = site.app.beside();
    let at = |number: usize| if number.is_multiple_of(2) { site.app.as_ref() } else { &other };
    // More than a server asks for at once, and less than all that come.
    site.set("api_calls", json!({"limit_value": 70})).await;
    let calls = join_all((0..100).map(|number| at(number).call("GET", "/api/projects", Some(&site.dev), None))).await;
    assert_eq!((count(&calls, 200), count(&calls, 429)), (70, 30));
    // One server takes some, is idle then, and the other one wants all the rest.
    site.set("llm_tokens", json!({"limit_value": 60})).await;
    let (usage, body) = (site.at("usage"), json!({"resource_type": "llm_tokens", "amount": 1}));
    assert_eq!(other.call("POST", &usage, Some(&site.root), Some(body.clone())).await.status, 201);
    let one = || site.app.call("POST", &usage, Some(&site.root), Some(body.clone()));
    let calls = join_all((0..70).map(|_| one())).await;
    assert_eq!((count(&calls, 201), count(&calls, 429)), (59, 11));
    assert_eq!(site.quota("llm_tokens").await["used"], 60);
}

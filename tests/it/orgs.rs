//! Organisations: their names, tiers, settings and looks.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::app::{App, Reply};
use crate::model_server::{Answer, ModelServer, PLAIN};

/// A PNG of 2 by 3 pixels, as far as anybody looks who draws nothing.
pub const LOGO: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x02\0\0\0\x03\x08\x06\0\0\0\0\0\0\0";

async fn put(app: &App, token: &str, address: &str, body: Value) -> Reply {
    app.call("PUT", address, Some(token), Some(body)).await
}

fn told(reply: &Reply) -> (u16, &str, &str) {
    (reply.status, reply.body["code"].as_str().unwrap_or_default(), reply.body["field"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn the_site_names_organisations_and_their_people_say_how_they_look() {
    let app = App::start();
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let dev = app.person("dev", "developer", Some("acme")).await;
    let address = format!("/api/organizations/{org}");

    let mine = json!({"contact_email": "it@acme.example", "display_name": "  Acme Works "});
    let changed = put(&app, &boss, &address, mine).await;
    assert_eq!((changed.status, &changed.body["display_name"]), (200, &json!("Acme Works")), "{}", changed.body);
    for change in [json!({"name": "Other"}), json!({"tier": "enterprise"})] {
        assert_eq!(put(&app, &boss, &address, change).await.status, 403);
    }
    assert_eq!(put(&app, &dev, &address, json!({"display_name": null})).await.status, 403);
    let renamed = put(&app, &root, &address, json!({"name": "Acme Ltd"})).await;
    assert_eq!((&renamed.body["name"], &renamed.body["slug"]), (&json!("Acme Ltd"), &json!("acme")));
    assert_eq!(renamed.body["contact_email"], "it@acme.example", "what is not named stays");
    let cleared = put(&app, &boss, &address, json!({"contact_email": null})).await;
    assert_eq!((&cleared.body["contact_email"], &cleared.body["display_name"]), (&json!(null), &json!("Acme Works")));
    for (change, code, field) in [
        (json!({"contact_email": "nobody"}), "invalid_email", "contact_email"),
        (json!({"display_name": "a\u{202e}b"}), "invalid_name", "display_name"),
        (json!({"tier": "gold"}), "unknown_tier", "tier"),
        (json!({"slug": "other"}), "invalid_json", "slug"),
    ] {
        assert_eq!(told(&put(&app, &root, &address, change).await), (400, code, field));
    }
    let trail = app.cli_json(&["audit", "list", "--action", "update", "--resource", "organization"], "");
    assert_eq!(trail["items"].as_array().unwrap().len(), 3);
    assert_eq!(trail["items"][0]["before"]["contact_email"], "it@acme.example");
    assert_eq!(trail["items"][0]["after"]["contact_email"], json!(null));
}

#[tokio::test]
async fn no_organisation_is_named_so_that_it_can_be_taken_for_another() {
    let app = App::start();
    let root = app.person("root", "admin", None).await;
    let make = async |name: &str, slug: &str| {
        app.call("POST", "/api/organizations", Some(&root), Some(json!({"name": name, "slug": slug}))).await
    };
    let acme = make("Acme", "acme").await.body;
    assert_eq!(make("Modern Ltd", "modern").await.status, 201);
    assert_eq!(make("Scope", "scope").await.status, 201);
    for name in ["Acme", "ACME", " acme ", "\u{455}\u{441}\u{43e}\u{440}\u{435}", "Modem Ltd"] {
        assert_eq!(told(&make(name, "other").await), (409, "name_taken", "name"), "{name}");
    }
    for name in ["\u{410}cme", "Ac\u{200b}me", "Acme\u{202e}", ""] {
        assert_eq!(told(&make(name, "other").await), (400, "invalid_name", "name"), "{name:?}");
    }
    let other = make("Other", "other").await.body;
    assert_eq!(
        told(&put(&app, &root, &format!("/api/organizations/{}", other["id"]), json!({"name": "ACME"})).await),
        (409, "name_taken", "name")
    );
    // Its own name may be written another way.
    let own = put(&app, &root, &format!("/api/organizations/{}", acme["id"]), json!({"name": "ACME"})).await;
    assert_eq!(own.status, 200, "{}", own.body);
}

#[tokio::test]
async fn names_that_an_earlier_version_wrote_are_compared_too() {
    let mut app = App::start();
    app.org("acme");
    app.sql("UPDATE organizations SET name_key = NULL");
    app.crash_and_restart();
    let again = app.cli(&["org", "create", "--name", "ACME", "--slug", "other"], "");
    assert_eq!(again.status.code(), Some(5), "{}", String::from_utf8_lossy(&again.stderr));
}

#[tokio::test]
async fn a_list_is_narrowed_by_status_tier_and_text() {
    let app = App::start();
    app.org("acme-north");
    app.org("acme-south");
    app.cli_json(&["org", "create", "--name", "100% Cotton_x", "--slug", "cotton"], "");
    let root = app.person("root", "admin", None).await;
    let slugs = async |query: &str| {
        let list = app.call("GET", &format!("/api/organizations?{query}"), Some(&root), None).await;
        assert_eq!(list.status, 200, "{query}: {}", list.body);
        let items = list.body["items"].as_array().unwrap().clone();
        items.iter().map(|org| org["slug"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(slugs("q=ACME").await, ["acme-south", "acme-north"]);
    assert_eq!(slugs("q=south&tier=starter&status=active").await, ["acme-south"]);
    assert_eq!(slugs("tier=free").await, ["cotton"]);
    assert_eq!(slugs("q=100%25").await, ["cotton"]);
    assert_eq!(slugs("q=n_x").await, ["cotton"], "an underscore is one");
    assert!(slugs("q=a_th").await.is_empty() && slugs("status=suspended").await.is_empty());
    for query in ["tier=gold", "status=gone", &format!("q={}", "x".repeat(101))] {
        let refused = app.call("GET", &format!("/api/organizations?{query}"), Some(&root), None).await;
        assert_eq!(refused.status, 400, "{query}");
    }
    assert_eq!(app.cli_json(&["org", "list", "--tier", "free"], "")["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn limits_follow_the_tier_unless_they_were_set_by_hand() {
    let app = App::start();
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    app.cli_json(&["quota", "set", "--org", "acme", "projects", "7"], "");
    let moved = put(&app, &root, &format!("/api/organizations/{org}"), json!({"tier": "enterprise"})).await;
    assert_eq!(moved.body["tier"], "enterprise", "{}", moved.body);
    let quotas = app.cli_json(&["quota", "show", "--org", "acme"], "");
    let limit = |resource: &str| {
        let items = quotas["items"].as_array().unwrap();
        items.iter().find(|quota| quota["resource"] == resource).unwrap()["limit_value"].clone()
    };
    assert_eq!((limit("projects"), limit("llm_tokens")), (json!(7), json!(null)));
    let notices = app.call("GET", "/api/notices", Some(&boss), None).await.body;
    assert_eq!((&notices["unread"], &notices["items"][0]["kind"]), (&json!(1), &json!("tier_changed")), "{notices}");
    assert!(notices["items"][0]["text"].as_str().unwrap().contains("starter to enterprise"));
}

#[tokio::test]
async fn settings_fit_their_schema_and_say_which_does_not() {
    let app = App::start();
    let org = app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let address = format!("/api/organizations/{org}/settings");
    let empty = app.call("GET", &address, Some(&boss), None).await.body;
    assert_eq!(empty["settings"], json!({}));
    assert!(empty["schema"]["properties"]["default_model"]["description"].is_string());
    for (settings, field) in [
        (json!({"run_token_budget": 1}), "settings.run_token_budget"),
        (json!({"default_model": 7}), "settings.default_model"),
        (json!({"colour": "red"}), "settings.colour"),
    ] {
        let refused = put(&app, &boss, &address, json!({"settings": settings})).await;
        assert_eq!(told(&refused), (400, "invalid_settings", field));
    }
    assert_eq!(put(&app, &boss, &address, json!({"settings": {"run_token_budget": 9000}})).await.status, 200);
    let shown = app.cli_json(&["org", "settings", "acme"], "");
    assert_eq!(shown["settings"], json!({"run_token_budget": 9000}));
    let set = ["org", "settings", "acme", "--set", "default_model=m", "--unset", "run_token_budget"];
    assert_eq!(app.cli_json(&set, "")["settings"], json!({"default_model": "m"}));
    let wrong = app.cli(&["org", "settings", "acme", "--set", "run_token_budget=few"], "");
    assert_eq!(wrong.status.code(), Some(2));
    let trail = app.cli_json(&["audit", "list", "--resource", "organization", "--action", "update"], "");
    assert_eq!(trail["items"][0]["before"], json!({"run_token_budget": 9000}));
}

#[tokio::test]
async fn what_is_set_counts_for_calls_and_runs() {
    let app = App::start();
    let org = app.org("acme");
    let dev = app.person("dev", "developer", Some("acme")).await;
    let models = ModelServer::start(|_| Answer::json(200, PLAIN));
    app.cli_json(&["provider", "add", "gpu", "--base-url", &models.url(), "--models", "first,second"], "");
    let say = json!({"messages": [{"role": "user", "content": "Hello."}], "max_tokens": 5});
    let asked = async || {
        let reply = app.call("POST", "/v1/chat/completions", Some(&dev), Some(say.clone())).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        models.requests().last().unwrap().body["model"].clone()
    };
    assert_eq!(asked().await, "first");
    app.cli_json(
        &["org", "settings", "acme", "--set", "default_model=gpu/second", "--set", "run_token_budget=5000"],
        "",
    );
    assert_eq!(asked().await, "second");

    let body = json!({"name": "Shop", "requirements": "A shop.", "organization_id": org});
    let project = app.call("POST", "/api/projects", Some(&dev), Some(body)).await.body["id"].clone();
    let run =
        async |body: Value| app.call("POST", &format!("/api/projects/{project}/runs"), Some(&dev), Some(body)).await;
    assert_eq!(told(&run(json!({"token_budget": 5001})).await), (400, "invalid_budget", "token_budget"));
    let begun = run(json!({})).await.body;
    assert_eq!((&begun["token_budget"], &begun["model"]), (&json!(5000), &json!("gpu/second")), "{begun}");

    // What a team sets comes first, within the organisation's limit; the default team's counts for what has no other team.
    let set = |team: &str, setting: &str| {
        app.cli_json(&["team", "update", "acme", team, "--setting", setting], "");
    };
    app.cli_json(&["team", "create", "acme", "web", "--name", "Web", "--owner", "dev"], "");
    let body = json!({"name": "Site", "requirements": "A site.", "organization_id": org});
    let of_none = app.call("POST", "/api/projects", Some(&dev), Some(body.clone())).await.body["id"].clone();
    let begin = async |project: &Value, body: Value| {
        app.call("POST", &format!("/api/projects/{project}/runs"), Some(&dev), Some(body)).await
    };
    let in_web =
        app.cli_json(&["project", "create", "--name", "Blog", "--org", "acme", "--team", "web"], "")["id"].clone();
    app.cli_json(
        &[
            "team",
            "update",
            "acme",
            "web",
            "--setting",
            "run_token_budget=4000",
            "--setting",
            "default_model=gpu/first",
        ],
        "",
    );
    let refused = begin(&in_web, json!({"requirement": "A blog.", "token_budget": 4001})).await;
    assert_eq!(told(&refused), (400, "invalid_budget", "token_budget"));
    assert!(refused.body["detail"].as_str().unwrap().contains("the team allows a run 4000"), "{}", refused.body);
    let begun = begin(&in_web, json!({"requirement": "A blog."})).await.body;
    assert_eq!((&begun["token_budget"], &begun["model"]), (&json!(4000), &json!("gpu/first")), "{begun}");
    set("web", "run_token_budget=9000");
    let refused = begin(&in_web, json!({"requirement": "A blog.", "token_budget": 5001})).await;
    assert!(
        refused.body["detail"].as_str().unwrap().contains("the organisation allows a run 5000"),
        "{}",
        refused.body
    );
    set("default", "run_token_budget=3000");
    assert_eq!(begin(&of_none, json!({})).await.body["token_budget"], 3000);
}

#[tokio::test]
async fn a_logo_is_a_picture_and_runs_nothing() {
    let app = App::start();
    let org = app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let viewer = app.person("viewer", "viewer", Some("acme")).await;
    let address = format!("/api/organizations/{org}/logo");
    let bearer = |token: &str| [("authorization", format!("Bearer {token}"))];
    let send = async |bytes: &'static [u8]| app.send("PUT", &address, &bearer(&boss), Bytes::from_static(bytes)).await;
    for picture in [&b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"[..], b"GIF89a", b""] {
        assert_eq!(told(&send(picture).await), (400, "invalid_logo", ""));
    }
    let large = app.send("PUT", &address, &bearer(&boss), Bytes::from(vec![0; 300_000])).await;
    assert_eq!(large.status, 413);
    let set = send(LOGO).await;
    let shown = set.body["logo"].as_str().unwrap_or_default().to_owned();
    assert!(shown.starts_with(&format!("{address}?v=")), "{}", set.body);
    let got = app.send("GET", &shown, &bearer(&viewer), Bytes::new()).await;
    let header = |name: &str| got.headers[name].to_str().unwrap().to_owned();
    assert_eq!((got.status, header("content-type").as_str()), (200, "image/png"));
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("content-security-policy").contains("sandbox"));
    assert!(!header("content-security-policy").contains("script-src"));
    assert_eq!(app.send("DELETE", &address, &bearer(&viewer), Bytes::new()).await.status, 403);
    assert_eq!(app.send("DELETE", &address, &bearer(&boss), Bytes::new()).await.status, 204);
    assert_eq!(app.send("GET", &address, &bearer(&viewer), Bytes::new()).await.status, 404);
    assert_eq!(
        app.call("GET", &format!("/api/organizations/{org}"), Some(&boss), None).await.body["logo"],
        json!(null)
    );
}

async fn until(what: &str, wanted: impl AsyncFn() -> bool) {
    let started = std::time::Instant::now();
    while !wanted().await {
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "{what} does not come");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_suspended_organisation_keeps_its_people_out_at_their_next_request() {
    let app = App::start();
    let org = app.org("acme");
    let other = app.org("other");
    let root = app.person("root", "admin", None).await;
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let both = app.person("both", "developer", Some("acme")).await;
    app.cli_json(&["member", "add", "other", "both", "--role", "viewer"], "");
    let address = format!("/api/organizations/{org}");
    // A run that waits for a model which never answers.
    let models = ModelServer::start(|_| Answer::half("").and_silence());
    app.cli_json(&["provider", "add", "gpu", "--base-url", &models.url(), "--models", "m"], "");
    let body = json!({"name": "Shop", "requirements": "A shop.", "organization_id": org});
    let project = app.call("POST", "/api/projects", Some(&boss), Some(body)).await.body["id"].clone();
    let run = app.call("POST", &format!("/api/projects/{project}/runs"), Some(&boss), Some(json!({}))).await;
    let run = format!("/api/runs/{}", run.body["id"]);
    let suspend = async |token: &str, reason: &str| {
        app.call("POST", &format!("{address}/suspend"), Some(token), Some(json!({"reason": reason}))).await
    };
    assert_eq!(suspend(&boss, "No.").await.status, 403);
    assert_eq!(told(&suspend(&root, " ").await), (400, "invalid_reason", "reason"));
    let suspended = suspend(&root, "The invoice of May is open").await;
    assert_eq!((suspended.status, &suspended.body["status"]), (200, &json!("suspended")), "{}", suspended.body);
    assert_eq!(suspend(&root, "Again.").await.status, 409);

    let chat = json!({"messages": [{"role": "user", "content": "Hello."}]});
    let (projects, project) = ("/api/projects".to_owned(), format!("/api/projects/{project}"));
    for (method, path, body) in [
        ("GET", &projects, None),
        ("GET", &project, None),
        ("DELETE", &project, None),
        ("PUT", &address, Some(json!({"display_name": "x"}))),
        ("GET", &format!("{address}/members"), None),
    ] {
        let refused = app.call(method, path, Some(&boss), body).await;
        assert_eq!(told(&refused), (403, "organization_suspended", ""), "{method} {path}");
        assert!(refused.body["detail"].as_str().unwrap().contains("The invoice of May is open"), "{}", refused.body);
    }
    let call = app.call("POST", "/v1/chat/completions", Some(&boss), Some(chat)).await;
    assert_eq!((call.status, &call.body["error"]["code"]), (403, &json!("organization_suspended")), "{}", call.body);
    // That it is suspended can be read, also by who is elsewhere too; who is not in it learns nothing.
    for token in [&boss, &both] {
        assert_eq!(app.call("GET", &address, Some(token), None).await.body["status"], "suspended");
        let me = app.call("GET", "/api/auth/me", Some(token), None).await.body;
        let mine = me["organizations"].as_array().unwrap().iter().find(|one| one["id"] == org).unwrap();
        assert_eq!((&mine["status"], &mine["permissions"]), (&json!("suspended"), &json!([])));
    }
    assert_eq!(app.call("GET", &format!("/api/organizations/{other}"), Some(&both), None).await.status, 200);
    assert_eq!(app.call("GET", &projects, Some(&both), None).await.body["items"], json!([]));
    // Its next turn may find that nobody may go on before it is canceled.
    until("the end of the run", async || {
        let status = app.call("GET", &run, Some(&root), None).await.body["status"].clone();
        status == "canceled" || status == "failed"
    })
    .await;

    assert_eq!(app.call("POST", &format!("{address}/resume"), Some(&root), None).await.body["status"], "active");
    assert_eq!(app.call("GET", &project, Some(&boss), None).await.status, 200);
    let notices = app.call("GET", "/api/notices", Some(&boss), None).await.body;
    let kinds: Vec<_> = notices["items"].as_array().unwrap().iter().map(|notice| notice["kind"].clone()).collect();
    assert_eq!(kinds, [json!("organization_resumed"), json!("organization_suspended")]);
}

#[tokio::test]
async fn a_deletion_has_days_of_grace_and_leaves_the_trail() {
    let app = App::start();
    let org = app.org("acme");
    let boss = app.person("boss", "org_admin", Some("acme")).await;
    let address = format!("/api/organizations/{org}");
    let project = app.call("POST", "/api/projects", Some(&boss), Some(json!({"name": "Shop"}))).await;
    assert_eq!(project.status, 201, "{}", project.body);
    let delete =
        async |confirm: &str| app.call("DELETE", &address, Some(&boss), Some(json!({"confirm": confirm}))).await;
    assert_eq!(told(&delete("Acme").await), (400, "not_confirmed", "confirm"));
    let deleting = delete("acme").await;
    assert_eq!((deleting.status, &deleting.body["status"]), (200, &json!("deleting")), "{}", deleting.body);
    let due: String = deleting.body["deletion_due"].as_str().unwrap().to_owned();
    let refused = app.call("GET", "/api/projects", Some(&boss), None).await;
    assert_eq!(told(&refused), (403, "organization_suspended", ""));
    assert!(refused.body["detail"].as_str().unwrap().contains(&due[..10]), "{}", refused.body);
    let restored = app.cli_json(&["org", "restore", "acme"], "");
    assert_eq!((&restored["status"], &restored["deletion_due"]), (&json!("active"), &json!(null)));
    assert_eq!(app.call("GET", "/api/projects", Some(&boss), None).await.status, 200);
    assert_eq!(app.cli(&["org", "restore", "acme"], "").status.code(), Some(5));

    app.cli_json(&["service-account", "create", "acme/nightly", "--role", "developer"], "");
    let token = app.cli_json(&["token", "create", "runner", "--service-account", "acme/nightly"], "");
    let token = token["secret"].as_str().unwrap();
    assert_eq!(app.call("GET", "/api/projects", Some(token), None).await.status, 200);

    // A clock that jumps years ahead lets a day of grace pass, not all of them.
    app.cli_json(&["org", "delete", "acme", "--yes"], "");
    let ticks = "kind = 'organization_purge'";
    app.sql("UPDATE organizations SET deletion_due = 1");
    app.sql(&format!("UPDATE jobs SET run_at = 1 WHERE {ticks}"));
    app.cli_json(&["org", "create", "--name", "Wakes the worker", "--slug", "wakes"], "");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(app.cli_json(&["org", "show", "acme"], "")["status"], "deleting");
    // The last day.
    app.sql(&format!("UPDATE jobs SET run_at = 1, payload = '{{\"organization\":{org},\"days\":1}}' WHERE {ticks}"));
    until("the deletion", async || app.cli(&["org", "show", "acme"], "").status.code() == Some(3)).await;
    assert_eq!(app.cli_json(&["project", "list"], "")["items"], json!([]));
    assert_eq!(app.call("GET", "/api/projects", Some(token), None).await.status, 401, "its programs went with it");
    assert_eq!(app.sql_texts("SELECT username FROM users WHERE service_of IS NOT NULL"), Vec::<String>::new());
    let trail = app.cli_json(&["audit", "list", "--resource", "organization", "--action", "delete"], "");
    assert_eq!(trail["items"][0]["before"]["slug"], "acme");
    the_trail_of_a_deleted_organisation_is_whole(&app, org).await;
    // Who was in it has an account still, and no organisation.
    let me = app.call("GET", "/api/auth/me", Some(&boss), None).await.body;
    assert_eq!(me["organizations"], json!([]));
}

/// Its entries are listed, shown and proved, and its log verifies, as if it were still there.
async fn the_trail_of_a_deleted_organisation_is_whole(app: &App, org: i64) {
    let root = app.person("auditor", "admin", None).await;
    let path = format!("/api/audit?organization_id={org}&limit=100");
    let trail = app.call("GET", &path, Some(&root), None).await.body;
    let entries = trail["items"].as_array().unwrap();
    assert!(entries.len() > 3, "{trail}");
    let entry = entries[entries.len() - 1]["id"].to_string();
    let shown = app.cli_json(&["audit", "show", &entry], "");
    assert_eq!(shown["organization_id"], org);
    until("its proof", async || {
        let proof = app.call("GET", &format!("/api/audit/{entry}/proof"), Some(&root), None).await.body;
        proof["leaf"].is_string()
    })
    .await;
    app.cli_json(&["audit", "prove", &entry], "");
    let check = app.call("GET", &format!("/api/organizations/{org}/audit/log/check"), Some(&root), None).await;
    assert_eq!(check.status, 200, "{}", check.body);
    assert_eq!(check.body["findings"].as_array().map_or(0, Vec::len), 0, "{}", check.body);
}

#[tokio::test]
async fn nobody_starts_a_run_in_an_organisation_that_is_closed() {
    let app = App::start();
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    let models = ModelServer::start(|_| Answer::half("").and_silence());
    put_provider(&app, &root, org, &models).await;
    let project = json!({"name": "shop", "requirements": "A shop.", "organization_id": org});
    let project = app.call("POST", "/api/projects", Some(&root), Some(project)).await.body["id"].clone();
    let runs = format!("/api/projects/{project}/runs");
    let run = app.call("POST", &runs, Some(&root), Some(json!({}))).await;
    assert_eq!(run.status, 201, "{}", run.body);
    app.cli_json(&["org", "suspend", "acme", "--reason", "Unpaid."], "");
    let run = format!("/api/runs/{}", run.body["id"]);
    until("the run's end", async || app.call("GET", &run, Some(&root), None).await.body["status"] == "canceled").await;
    let again = format!("{run}/stages/requirement_analysis/retry");
    for (path, body) in [(&runs, Some(json!({}))), (&again, None)] {
        let refused = app.call("POST", path, Some(&root), body).await;
        assert_eq!(told(&refused), (409, "organization_suspended", ""), "{path}");
        assert!(refused.body["detail"].as_str().unwrap().contains("Unpaid"), "{}", refused.body);
    }
    let operator = app.cli(&["run", "--project", &project.to_string()], "");
    assert_eq!(operator.status.code(), Some(5), "{}", String::from_utf8_lossy(&operator.stderr));
    app.cli_json(&["org", "resume", "acme"], "");
    assert_eq!(app.call("POST", &runs, Some(&root), Some(json!({}))).await.status, 201);
}

async fn put_provider(app: &App, root: &str, org: i64, models: &ModelServer) {
    let provider = json!({"name": "lab", "base_url": models.url(), "organization_id": org});
    assert_eq!(app.call("POST", "/api/llm/providers", Some(root), Some(provider)).await.status, 201);
}

#[tokio::test]
async fn without_days_of_grace_an_organisation_is_gone_at_once() {
    let app = App::start_with_settings(&[("RESOFTAI_ORGANIZATIONS_DELETION_DAYS", "0")]);
    app.org("acme");
    app.cli_json(&["org", "delete", "acme", "--yes"], "");
    until("the deletion", async || app.cli(&["org", "show", "acme"], "").status.code() == Some(3)).await;
}

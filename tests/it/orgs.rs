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

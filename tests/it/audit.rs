//! The trail as the database keeps it: nobody changes an entry, whatever they ask for, and what it holds of a person is
//! sealed with a key that can be destroyed.

use serde_json::Value;

use crate::app::App;

/// The newest entries as the local operator sees them.
fn entries(app: &App) -> Vec<Value> {
    app.cli_json(&["audit", "list", "--limit", "100"], "")["items"].as_array().unwrap().clone()
}

#[test]
fn the_database_refuses_to_change_the_trail() {
    let app = App::start();
    app.org("acme");
    let before = app.cli_json(&["audit", "list", "--limit", "100"], "");
    let postgres = std::env::var_os("RESOFTAI_TEST_POSTGRES_URL").is_some();
    let columns = "id, at, actor_kind, actor_name, action, resource_type, description, success";
    let replace = format!(
        "REPLACE INTO audit_entries ({columns}) SELECT {} FROM audit_entries",
        columns.replace("actor_name", "'nobody'")
    );
    let mut attempts = vec!["UPDATE audit_entries SET actor_name = 'nobody'", "DELETE FROM audit_entries"];
    attempts.push(if postgres { "TRUNCATE audit_entries" } else { &replace });
    for attempt in attempts {
        let refusal = app.try_sql(attempt).unwrap_err();
        assert!(refusal.contains("audit entries are never"), "{attempt}: {refusal}");
    }
    assert_eq!(app.cli_json(&["audit", "list", "--limit", "100"], ""), before);
}

#[tokio::test]
async fn what_the_trail_holds_of_a_person_is_readable_until_their_key_is_destroyed() {
    let app = App::start();
    app.org("acme");
    let token = app.person("ada-lovelace", "developer", Some("acme")).await;
    app.person("grace-hopper", "developer", Some("acme")).await;
    let sign_in = serde_json::json!({"username": "ada-lovelace", "password": "not her password"});
    assert_eq!(app.call("POST", "/api/auth/login", None, Some(sign_in)).await.status, 401);
    let project = serde_json::json!({"name": "engine", "requirements": "Weave algebraical patterns."});
    assert_eq!(app.call("POST", "/api/projects", Some(&token), Some(project)).await.status, 201);

    let seen = entries(&app);
    assert!(seen.iter().all(|entry| entry["erased"] == false));
    let about = |name: &str| seen.iter().filter(|entry| entry.to_string().contains(name)).count();
    // Made, signed in, failed to sign in, made a project; made and signed in.
    assert_eq!((about("ada-lovelace"), about("grace-hopper")), (4, 2));
    let stored = app.sql_texts(
        "SELECT actor_name || ' ' || description || ' ' || coalesce(before_json, '') || ' ' || coalesce(after_json, '') \
         || ' ' || coalesce(ip_address, '') || ' ' || coalesce(user_agent, '') FROM audit_entries",
    );
    assert_eq!(stored.len(), seen.len());
    let personal = |text: &&String| ["lovelace", "hopper", "127.0.0.1"].iter().any(|word| text.contains(word));
    assert_eq!(stored.iter().find(personal), None);

    let ada =
        seen.iter().find(|entry| entry["actor"]["name"] == "ada-lovelace").unwrap()["actor"]["id"].as_i64().unwrap();
    app.sql(&format!("UPDATE person_keys SET key = NULL, destroyed_at = 1 WHERE person_id = {ada}"));
    let left = entries(&app);
    assert_eq!(left.len(), seen.len());
    let text = Value::from(left.clone()).to_string();
    assert!(!text.contains("lovelace") && text.contains("grace-hopper"));
    for (now, then) in left.iter().zip(&seen) {
        assert_eq!(now["erased"], then.to_string().contains("lovelace"), "{then}");
        assert_eq!((&now["id"], &now["at"], &now["action"]), (&then["id"], &then["at"], &then["action"]));
    }
    let failed = left.iter().find(|entry| entry["success"] == false).unwrap();
    assert_eq!(failed["actor"]["name"], format!("erased person {ada}"));
    assert_eq!(failed["description"], "erased");
    assert_eq!(failed["ip_address"], Value::Null);

    // What comes later under a destroyed key is unreadable from the start.
    app.call("POST", "/api/tokens", Some(&token), Some(serde_json::json!({"name": "lovelace"}))).await;
    let newest = &entries(&app)[0];
    assert_eq!((&newest["resource_type"], &newest["description"]), (&"personal_token".into(), &"erased".into()));
}

/// What a search over HTTP finds: the ids, and the page.
async fn search(app: &App, token: &str, query: &str) -> (Vec<i64>, Value) {
    let reply = app.call("GET", &format!("/api/audit?{query}"), Some(token), None).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.body);
    let ids = reply.body["items"].as_array().unwrap().iter().map(|entry| entry["id"].as_i64().unwrap()).collect();
    (ids, reply.body)
}

#[tokio::test]
async fn the_trail_is_searched_by_every_field() {
    let app = App::start();
    let org = app.org("acme");
    app.org("other");
    let root = app.person("root", "admin", None).await;
    let ada = app.person("ada", "org_admin", Some("acme")).await;
    app.person("bob", "org_admin", Some("other")).await;
    let project = serde_json::json!({"name": "Näherei", "requirements": "Weave algebraical patterns."});
    let made = app.call("POST", "/api/projects", Some(&ada), Some(project)).await;
    let request = made.headers["x-request-id"].to_str().unwrap().to_owned();
    let project = made.body["id"].as_i64().unwrap();
    let wrong = serde_json::json!({"username": "ada", "password": "not her password"});
    app.call("POST", "/api/auth/login", None, Some(wrong)).await;

    let (all, body) = search(&app, &root, "limit=100").await;
    assert_eq!((&body["next_cursor"], &body["searched_to"]), (&Value::Null, &Value::Null));
    let mut newest_first = all.clone();
    newest_first.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
    assert_eq!(all, newest_first);
    let of = |query: String| search(&app, &root, Box::leak(query.into_boxed_str()));
    let (made, page) = of(format!("resource_type=project&resource_id={project}")).await;
    assert_eq!(made.len(), 1);
    let at = page["items"][0]["at"].as_str().unwrap().to_owned();
    let ada_id = page["items"][0]["actor"]["id"].as_i64().unwrap();
    for query in [
        format!("request_id={request}"),
        format!("organization_id={org}&resource_type=project"),
        format!("action=create&actor_id={ada_id}"),
        format!("organization_id={org}&actor=ada&action=create&success=true"),
        format!("from={at}&resource_id={project}"),
        "q=n%C3%84HEREI".to_owned(),
        "q=ALGEBRA&resource_type=project".to_owned(),
    ] {
        assert_eq!(of(query.clone()).await.0, made, "{query}");
    }
    let (failed, page) = of("success=false".to_owned()).await;
    assert_eq!((failed.len(), &page["items"][0]["actor"]["name"]), (1, &"ada".into()));
    // Who tried to sign in as her goes by her name, but is not her.
    assert_eq!(of("actor=ada&success=false".to_owned()).await.0, failed);
    assert!(of(format!("actor_id={ada_id}&success=false")).await.0.is_empty());
    assert_eq!(of(format!("to={at}")).await.0, all.iter().copied().filter(|id| *id < made[0]).collect::<Vec<_>>());
    // A page at a time gives the same, whatever it is narrowed to.
    for filter in ["limit=1", "limit=1&actor=ada", "limit=1&q=a"] {
        let whole = of(filter.replace("limit=1", "limit=100")).await.0;
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let (ids, page) = of(format!("{filter}{cursor}")).await;
            seen.extend(ids);
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, whole, "{filter}");
    }

    // Her own organisation is all she finds, whatever she asks for.
    let (hers, _) = search(&app, &ada, "limit=100").await;
    assert!(hers.len() < all.len() && hers.contains(&made[0]));
    for query in ["actor=bob", "resource_type=organization&q=other", "success=false", "organization_id=1"] {
        let (found, _) = search(&app, &ada, query).await;
        assert!(found.iter().all(|id| hers.contains(id)), "{query}");
    }
    for (wrong, code) in [("cursor=5", "invalid_cursor"), ("q=", "invalid_search"), ("from=then", "invalid_query")] {
        let reply = app.call("GET", &format!("/api/audit?{wrong}"), Some(&root), None).await;
        assert_eq!((reply.status, &reply.body["code"]), (400, &code.into()), "{}", reply.body);
    }
}

#[tokio::test]
async fn a_search_looks_at_so_many_entries_and_says_how_far_it_came() {
    let app = App::start();
    let org = app.org("acme");
    let ada = app.person("ada", "org_admin", Some("acme")).await;
    let columns = "id, at, organization_id, actor_kind, actor_name, action, resource_type, description, success";
    app.sql(&format!(
        "INSERT INTO audit_entries ({columns}) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) \
         SELECT -i, i, {org}, 'system', 'resoftai', 'execute', 'model', CASE i WHEN 2 THEN 'a needle' ELSE 'hay' END, TRUE \
         FROM n"
    ));
    let (mut pages, mut cursor) = (0, String::new());
    let found = loop {
        let (ids, page) = search(&app, &ada, &format!("q=Needle{cursor}")).await;
        pages += 1;
        let next = page["next_cursor"].as_str().map(str::to_owned);
        assert_eq!(page["searched_to"].is_null(), next.is_none());
        if !ids.is_empty() {
            break ids;
        }
        cursor = format!("&cursor={}", next.unwrap());
    };
    assert_eq!((found, pages), (vec![-2], 3));
    // The command goes on by itself.
    let found = app.cli_json(&["audit", "search", "NEEDLE", "--org", "acme"], "");
    assert_eq!(found["items"].as_array().unwrap().len(), 1);

    // An export goes through all of it, and is an entry itself.
    let file = app.dir.path().join("trail.csv");
    let path = file.to_str().unwrap();
    let written = app.cli_json(&["audit", "export", "--org", "acme", "--format", "csv", "--out", path], "");
    assert_eq!(written["bytes"], std::fs::metadata(&file).unwrap().len());
    let mut rows = csv::Reader::from_path(&file).unwrap();
    assert_eq!(&rows.headers().unwrap()[10], "description");
    let descriptions: Vec<String> = rows.records().map(|row| row.unwrap()[10].to_owned()).collect();
    assert_eq!(descriptions.iter().filter(|text| *text == "hay").count(), 11_999);
    assert_eq!(descriptions.iter().filter(|text| *text == "a needle").count(), 1);
    let (_, page) = search(&app, &ada, "action=export").await;
    assert_eq!(page["items"][0]["after"]["organization_id"], org);
    let lines =
        app.cli(&["audit", "export", "--org", "acme", "--text", "needle", "--from", "1970-01-01T00:00:00Z"], "");
    let lines = String::from_utf8(lines.stdout).unwrap();
    let entry: Value = serde_json::from_str(lines.trim_end()).unwrap();
    assert_eq!(entry["description"], "a needle");
}

#[tokio::test]
async fn an_entry_is_shown_with_what_changed_and_that_it_was_read_is_recorded() {
    let app = App::start();
    app.org("acme");
    let ada = app.person("ada", "org_admin", Some("acme")).await;
    let project = serde_json::json!({"name": "=1+1", "requirements": "Weave."});
    let project = app.call("POST", "/api/projects", Some(&ada), Some(project)).await.body["id"].clone();
    let change = serde_json::json!({"requirements": "Weave more."});
    app.call("PUT", &format!("/api/projects/{project}"), Some(&ada), Some(change)).await;
    let (ids, _) = search(&app, &ada, "resource_type=project&action=update").await;
    let shown = app.cli(&["audit", "show", &ids[0].to_string()], "");
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("- requirements: \"Weave.\"\n+ requirements: \"Weave more.\"\n"), "{shown}");
    assert!(shown.contains("  name: \"=1+1\"\n"), "{shown}");
    let (_, page) = search(&app, &ada, "action=read").await;
    assert_eq!(page["items"][0]["resource_id"], ids[0].to_string());
    assert_eq!(page["items"][0]["resource_type"], "audit_entry");
    let text = app.call("GET", "/api/audit/export?format=csv&resource_type=project", Some(&ada), None).await.body;
    assert!(text.as_str().unwrap().contains(",Created project =1+1,"), "{text}");
}

#[tokio::test]
async fn an_export_over_organisations_holds_every_entry_once_and_in_order() {
    let app = App::start();
    let orgs = [app.org("acme"), app.org("globex")];
    let ada = app.person("ada", "org_admin", Some("acme")).await;
    app.cli_json(&["role", "assign", "ada", "org_admin", "--org", "globex"], "");
    let columns = "id, at, organization_id, actor_kind, actor_name, action, resource_type, description, success";
    for (org, entries, first) in [(orgs[0], 2_600, -10_000), (orgs[1], 1_300, -20_000)] {
        app.sql(&format!(
            "INSERT INTO audit_entries ({columns}) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {entries}) \
             SELECT {first} + i, 1700000000000000 + i / 7, {org}, 'system', 'resoftai', 'execute', 'model', 'hay', i % 3 <> 0 FROM n"
        ));
    }
    for (asked, most) in [("", 3_900), ("&success=false", 866 + 433), ("&to=2023-11-14T22:13:20.000100Z", 699 + 699)] {
        let path = format!("/api/audit/export?resource_type=model{asked}");
        let text = app.call("GET", &path, Some(&ada), None).await.body;
        let entries: Vec<serde_json::Value> =
            text.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let places: Vec<_> =
            entries.iter().map(|entry| (entry["at"].as_str().unwrap(), entry["id"].as_i64().unwrap())).collect();
        assert!(places.windows(2).all(|pair| pair[0] > pair[1]), "{asked}: an entry twice or out of order");
        assert_eq!(places.len(), most, "{asked}");
    }
}

#[tokio::test]
async fn entries_go_when_their_organisation_says_so_and_the_log_still_verifies() {
    let mut app = App::start();
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    let ada = app.person("ada", "org_admin", Some("acme")).await;
    let columns = "id, at, organization_id, actor_kind, actor_name, action, resource_type, description, success";
    app.sql(&format!(
        "INSERT INTO audit_entries ({columns}) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) \
         SELECT -i, i, {org}, 'system', 'resoftai', 'execute', 'model', 'hay', TRUE FROM n; \
         INSERT INTO audit_pending (entry_id) SELECT id FROM audit_entries WHERE id < 0"
    ));
    let hay = |app: &App| app.sql_texts("SELECT description FROM audit_entries WHERE description = 'hay'").len();
    let path = format!("/api/organizations/{org}/audit/retention");
    let reply = app.call("GET", &path, Some(&ada), None).await;
    assert_eq!((reply.status, &reply.body), (200, &serde_json::json!({"days": null})));
    let short = app.call("PUT", &path, Some(&ada), Some(serde_json::json!({"days": 29}))).await;
    assert_eq!((short.status, &short.body["code"]), (400, &"invalid_retention".into()));
    assert_eq!(app.call("PUT", &path, Some(&ada), Some(serde_json::json!({}))).await.status, 400);
    let set = app.cli_json(&["audit", "retention", "--org", "acme", "--days", "30"], "");
    assert_eq!(set, serde_json::json!({"days": 30}));

    let started = std::time::Instant::now();
    while !app.sql_texts("SELECT CAST(entry_id AS TEXT) FROM audit_pending").is_empty() {
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "entries got no place");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(hay(&app), 1500);
    // It looks when it starts, and then every hour.
    app.crash_and_restart();
    while hay(&app) > 0 {
        assert!(started.elapsed() < std::time::Duration::from_secs(40), "{} entries stayed", hay(&app));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let (_, page) = search(&app, &root, &format!("organization_id={org}&resource_type=audit")).await;
    let counts: Vec<i64> =
        page["items"].as_array().unwrap().iter().map(|e| e["before"]["entries"].as_i64().unwrap()).collect();
    assert_eq!(counts, [500, 1000]);
    assert!(app.cli(&["audit", "verify"], "").status.success());
    // What is younger is still refused, and so is taking back what was written of the drop.
    for attempt in [
        "DELETE FROM audit_entries",
        "DELETE FROM audit_drops",
        "UPDATE audit_drops SET before_at = 0",
        "DELETE FROM audit_dropped",
    ] {
        assert!(app.try_sql(attempt).unwrap_err().contains("are never"), "{attempt}");
    }
}

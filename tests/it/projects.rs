//! Projects, their quota and their trail, also across a crash.

use std::sync::Arc;

use serde_json::json;

use crate::app::App;

#[tokio::test]
async fn a_project_lives_changes_and_dies_and_the_trail_remembers() {
    let app = App::start();
    let org = app.org("acme");
    let dev = app.person("dev", "developer", Some("acme")).await;
    let made = app
        .call("POST", "/api/projects", Some(&dev), Some(json!({"name": "Shortener", "requirements": "short"})))
        .await;
    assert_eq!((made.status, &made.body["organization_id"]), (201, &json!(org)));
    let path = format!("/api/projects/{}", made.body["id"]);
    let changed = app.call("PUT", &path, Some(&dev), Some(json!({"requirements": "shorter"}))).await;
    assert_eq!(changed.body["requirements"], "shorter");
    assert_eq!(app.call("DELETE", &path, Some(&dev), None).await.status, 204);
    assert_eq!(app.call("GET", &path, Some(&dev), None).await.status, 404);
    let trail = app.cli_json(&["audit", "list", "--action", "update"], "");
    assert_eq!(trail["items"][0]["before"]["requirements"], "short");
    assert_eq!(trail["items"][0]["after"]["requirements"], "shorter");
    assert_eq!(trail["items"][0]["ip_address"], "127.0.0.1");
}

#[tokio::test]
async fn a_list_asked_for_again_tells_what_was_written_since_and_nothing_of_others() {
    let app = App::start();
    app.org("acme");
    app.org("globex");
    let ada = app.person("ada", "developer", Some("acme")).await;
    let bob = app.person("bob", "developer", Some("acme")).await;
    let eve = app.person("eve", "developer", Some("globex")).await;
    let names = async |token: &str| {
        let list = app.call("GET", "/api/projects?limit=20", Some(token), None).await.body;
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut told = vec![names(&ada).await];
    let made = app.call("POST", "/api/projects", Some(&bob), Some(json!({"name": "One"}))).await.body;
    let path = format!("/api/projects/{}", made["id"]);
    for (method, body) in [("GET", None), ("PUT", Some(json!({"name": "Two"}))), ("DELETE", None)] {
        assert!(app.call(method, &path, Some(&bob), body).await.status < 300);
        // The second reply may be the kept one.
        told.push(names(&ada).await);
        assert_eq!(names(&bob).await, *told.last().unwrap());
        assert_eq!(names(&eve).await, Vec::<String>::new());
    }
    assert_eq!(told, [vec![], vec!["One".to_owned()], vec!["Two".to_owned()], vec![]]);
}

#[tokio::test]
async fn concurrent_callers_get_exactly_the_limit() {
    let app = Arc::new(App::start());
    app.org("acme");
    app.cli_json(&["quota", "set", "--org", "acme", "projects", "7"], "");
    let dev = app.person("dev", "developer", Some("acme")).await;
    let calls = (0..24).map(|number| {
        let (app, dev) = (app.clone(), dev.clone());
        async move { app.call("POST", "/api/projects", Some(&dev), Some(json!({"name": format!("P{number}")}))).await }
    });
    let replies = futures_util::future::join_all(calls).await;
    let made = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(made, 7, "{:?}", replies.iter().map(|reply| reply.status).collect::<Vec<_>>());
    let refused = replies.iter().find(|reply| reply.status == 429).unwrap();
    assert_eq!(refused.body["code"], "quota_exceeded");
    let quota = app.cli_json(&["quota", "show", "--org", "acme"], "");
    assert_eq!(quota["items"][0]["used"], 7);
}

#[tokio::test]
async fn what_was_answered_survives_kill_9() {
    let mut app = App::start();
    app.org("acme");
    let dev = app.person("dev", "developer", Some("acme")).await;
    let mut acknowledged = Vec::new();
    for number in 0..10 {
        let reply = app.call("POST", "/api/projects", Some(&dev), Some(json!({"name": format!("P{number}")}))).await;
        acknowledged.push(reply.body["id"].clone());
    }
    app.crash_and_restart();
    let list = app.call("GET", "/api/projects?limit=100", Some(&dev), None).await;
    let found: Vec<_> =
        list.body["items"].as_array().unwrap().iter().rev().map(|project| project["id"].clone()).collect();
    assert_eq!(found, acknowledged);
    let trail = app.cli_json(&["audit", "list", "--limit", "100", "--action", "create"], "");
    let told = trail["items"].as_array().unwrap().iter().filter(|entry| entry["resource_type"] == "project").count();
    assert_eq!(told, 10);
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip() {
    let app = App::start();
    app.org("acme");
    let dev = app.person("dev", "developer", Some("acme")).await;
    for number in 0..7 {
        app.call("POST", "/api/projects", Some(&dev), Some(json!({"name": format!("P{number}")}))).await;
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.call("GET", &format!("/api/projects?limit=3{cursor}"), Some(&dev), None).await;
        names.extend(
            page.body["items"].as_array().unwrap().iter().map(|project| project["name"].as_str().unwrap().to_owned()),
        );
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["P6", "P5", "P4", "P3", "P2", "P1", "P0"]);
}

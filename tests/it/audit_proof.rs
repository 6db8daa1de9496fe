//! What the trail proves: places, checkpoints and proofs over HTTP and by the commands, checked by others than us, and what
//! is found when somebody changed the database.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::app::App;

/// Waits until every entry has its place, and gives the organisation's log.
async fn settled(app: &App, token: &str, org: i64) -> Value {
    let started = Instant::now();
    loop {
        let entries = app.cli_json(&["audit", "list", "--limit", "1"], "")["items"][0]["id"].clone();
        let proof = app.call("GET", &format!("/api/audit/{entries}/proof"), Some(token), None).await;
        if proof.status == 200 {
            let logs = app.call("GET", "/api/audit/logs", Some(token), None).await.body;
            let logs = logs["items"].as_array().unwrap();
            return logs.iter().find(|log| log["organization_id"] == org).unwrap().clone();
        }
        assert_eq!(proof.body["code"], "not_placed_yet", "{}", proof.body);
        assert!(started.elapsed() < Duration::from_secs(20), "an entry got no place");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_entry_gets_its_place_soon_and_its_log_says_so() {
    let app = App::start();
    let org = app.org("acme");
    let root = app.person("root", "admin", None).await;
    let log = settled(&app, &root, org).await;
    assert!(log["tree_size"].as_u64().unwrap() >= 1, "{log}");
    let base = format!("/api/organizations/{org}/audit/log");
    let note = app.call("GET", &format!("{base}/checkpoint"), Some(&root), None).await.body;
    assert_eq!(note, log["checkpoint"]);
    assert_eq!(note.as_str().unwrap().lines().next(), log["origin"].as_str());
}

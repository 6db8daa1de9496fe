//! What administrators are told when a mirrored state gets old.

use serde_json::Value;

use super::{Inside, Outside};
use crate::app::App;

/// The kinds of root's notices, the newest first.
async fn told(inside: &Inside) -> Vec<String> {
    let reply = inside.get("/api/notices").await;
    let items = reply["items"].as_array().unwrap().iter();
    items.map(|notice| notice["kind"].as_str().unwrap().to_owned()).collect()
}

async fn restart(inside: &mut Inside) {
    // Whoever starts twice tells nothing twice.
    App::crash_and_restart(&mut inside.app);
    App::crash_and_restart(&mut inside.app);
}

#[tokio::test]
async fn administrators_are_told_once_before_a_state_expires_and_when_it_has() {
    let outside = Outside::with_plugins().await;
    let mut inside = Inside::trusting(&outside).await;
    let mut kinds = Vec::new();
    for days in [40, 20, 5] {
        outside.repository().sign(days, outside.now()).await.unwrap();
        inside.import(outside.bundle()).await;
        restart(&mut inside).await;
        kinds.push(told(&inside).await.len());
    }
    assert_eq!(kinds, [0, 1, 2]);
    let notices = inside.get("/api/notices").await;
    let newest: &Value = &notices["items"][0];
    assert_eq!((&newest["kind"], &newest["link"]), (&"mirror_expiring".into(), &"/site/mirror".into()));
    assert!(newest["text"].as_str().unwrap().contains("repository vendor expires on"), "{newest}");
    // As only time does.
    inside.app.sql("UPDATE mirror_repositories SET timestamp_expires = 1000000");
    restart(&mut inside).await;
    assert_eq!(told(&inside).await, ["mirror_expired", "mirror_expiring", "mirror_expiring"]);
}

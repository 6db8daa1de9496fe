//! Notices: each sees their own, unread first, and never more than a list that stays short.

use serde_json::json;

use crate::app::App;

/// Puts notices with the ids `ids` into somebody's list.
fn put(app: &App, name: &str, ids: std::ops::Range<i64>, read: &str) {
    for id in ids {
        app.sql(&format!(
            "INSERT INTO notices (id, user_id, kind, text, created_at, read_at) \
             SELECT {id}, id, 'test', 'number {id}', 0, {read} FROM users WHERE username = '{name}'"
        ));
    }
}

#[tokio::test]
async fn notices_are_ones_own_with_the_unread_first() {
    let app = App::start();
    app.org("acme");
    let ada = app.person("ada", "developer", Some("acme")).await;
    let bob = app.person("bob", "developer", Some("acme")).await;
    put(&app, "ada", 1001..1004, "NULL");
    put(&app, "ada", 1004..1006, "7");
    put(&app, "bob", 1006..1007, "NULL");
    let ids = async |token: &str, query: &str| {
        let list = app.call("GET", &format!("/api/notices?{query}"), Some(token), None).await.body;
        let ids: Vec<i64> = list["items"].as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect();
        (ids, list["unread"].clone(), list["next_cursor"].clone())
    };
    let (first, unread, cursor) = ids(&ada, "limit=2").await;
    assert_eq!((first, unread), (vec![1003, 1002], json!(3)));
    let (rest, _, cursor) = ids(&ada, &format!("limit=4&cursor={}", cursor.as_str().unwrap())).await;
    assert_eq!((rest, cursor), (vec![1001, 1005, 1004], json!(null)));

    let read = async |token: &str, id: i64| {
        app.call("POST", &format!("/api/notices/{id}/read"), Some(token), None).await.status
    };
    assert_eq!((read(&bob, 1003).await, read(&ada, 1003).await, read(&ada, 1003).await), (404, 204, 204));
    assert_eq!(ids(&ada, "").await.0, [1002, 1001, 1005, 1004, 1003]);
    let all = app.call("POST", "/api/notices/read", Some(&ada), None).await;
    assert_eq!(all.body, json!({"read": 2}));
    assert_eq!(ids(&ada, "").await.1, json!(0));
    assert_eq!(ids(&bob, "").await, (vec![1006], json!(1), json!(null)));
}

#[tokio::test]
async fn the_operator_of_the_box_has_no_notices_and_commands_say_so() {
    let app = App::start();
    assert_eq!(app.cli_json(&["notice", "list"], "")["items"], json!([]));
    assert_eq!(app.cli_json(&["notice", "read"], ""), json!({"read": 0}));
    assert_eq!(app.cli(&["notice", "read", "7"], "").status.code(), Some(3));
}

//! The API's description: committed, so that a change of the interface is seen in review and the pages' types follow it.

use std::path::Path;

use crate::app::App;

#[tokio::test]
async fn the_committed_description_is_the_one_that_is_served() {
    let app = App::start();
    let served = app.call("GET", "/api/openapi.json", None, None).await.body;
    let served = format!("{served:#}\n");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("embedded-ui/openapi.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &served).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == served,
        "embedded-ui/openapi.json is not what is served. Bring it and the pages' types up to date: make api"
    );
}

#[tokio::test]
async fn operations_have_names_of_their_own_and_refer_to_what_is_there() {
    let app = App::start();
    let served = app.call("GET", "/api/openapi.json", None, None).await.body;
    let paths = served["paths"].as_object().unwrap();
    let operations = paths.values().flat_map(|item| item.as_object().unwrap().values());
    let mut names: Vec<&str> = operations.filter_map(|operation| operation["operationId"].as_str()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "an operationId stands twice");
    let text = served.to_string();
    for (_, rest) in text.match_indices("\"$ref\":\"#").map(|(at, found)| text.split_at(at + found.len())) {
        let pointer = rest.split('"').next().unwrap();
        assert!(served.pointer(pointer).is_some(), "nothing is at {pointer}");
    }
}

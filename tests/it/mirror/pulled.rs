//! A box that passes its mirror on to a second one.

use serde_json::json;

use super::{Inside, Outside, failed};

#[tokio::test]
async fn a_second_box_pulls_what_the_first_one_mirrors() {
    let outside = Outside::with_plugins().await;
    let first = Inside::new(&[("RESOFTAI_MIRROR_SERVE", "true")]).await;
    first.trust(&outside.root(), "vendor", false).await;
    first.import(outside.bundle()).await;
    let second = Inside::trusting(&outside).await;
    let url = format!("http://{}/mirror", first.app.address);
    let done = second.app.cli_json(&["mirror", "import", &url], "");
    assert_eq!((&done["to"]["timestamp_version"], &done["contents"]), (&json!(2), &json!(3)), "{done}");
    second.check_contents().await;
    // What changed keys and root comes along.
    let days = resoftai::mirror::repository::Days { root: 100, rest: 10 };
    outside.repository().rotate(tough::schema::RoleType::Snapshot, days, outside.now()).await.unwrap();
    first.import(outside.bundle()).await;
    let done = second.app.cli_json(&["mirror", "import", &url], "");
    assert_eq!((&done["to"]["root_version"], &done["needed"]), (&json!(2), &json!([])), "{done}");
}

#[tokio::test]
async fn a_mirror_is_not_passed_on_unless_the_site_says_so() {
    let outside = Outside::with_plugins().await;
    let first = Inside::trusting(&outside).await;
    first.import(outside.bundle()).await;
    let reply = first.app.call("GET", "/mirror/vendor/metadata/timestamp.json", Some(&first.admin), None).await;
    assert_eq!(reply.status, 404, "{}", reply.body);
    let second = Inside::trusting(&outside).await;
    let url = format!("http://{}/mirror", first.app.address);
    let said = failed(&second.app.cli(&["--json", "mirror", "import", &url], ""), "mirror_missing");
    assert!(said.contains("mirror.serve"), "{said}");
}

#[tokio::test]
async fn what_is_served_is_what_is_listed_and_nothing_else() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::new(&[("RESOFTAI_MIRROR_SERVE", "true")]).await;
    inside.trust(&outside.root(), "vendor", false).await;
    inside.import(outside.bundle()).await;
    let contents = inside.contents().await;
    let sum = contents[2]["sha256"].as_str().unwrap();
    let good = format!("/mirror/vendor/targets/plugins/security-scanner/{sum}.1.0.0.rplugin");
    let get = async |path: &str| {
        let reply = crate::app::send(&inside.app.address, "GET", path, &[], bytes::Bytes::new()).await;
        reply.status
    };
    assert_eq!(get(&good).await, 200);
    for wrong in [
        good.replace("vendor", "own"),
        good.replace("1.0.0", "1.0.1"),
        good.replace("security-scanner", "file-headers"),
        good.replace(sum, &"0".repeat(64)),
        "/mirror/vendor/targets/../../../etc/passwd".to_owned(),
        "/mirror/vendor/metadata/..%2F..%2Fsecrets".to_owned(),
        "/mirror/other/metadata/timestamp.json".to_owned(),
    ] {
        assert_eq!(get(&wrong).await, 404, "{wrong}");
    }
}

//! What TUF keeps off, by the names of its attacks (specification 1.5), and what else may be done to a bundle.

use bytes::Bytes;
use resoftai::base::clock::{DAY, Time};
use resoftai::mirror::repository::{Days, Repository};
use resoftai::mirror::verify::Metadata;
use serde_json::{Value, json};
use tough::schema::RoleType;

use super::{Inside, Outside, bundle_of, plugin};

/// The metadata with a file changed.
fn edited(metadata: &Metadata, name: &str, edit: impl FnOnce(&mut Value)) -> Metadata {
    let mut changed: Value = serde_json::from_slice(&metadata[name]).unwrap();
    edit(&mut changed);
    let mut metadata = metadata.clone();
    metadata.insert(name.to_owned(), changed.to_string().into());
    metadata
}

#[tokio::test]
async fn a_rollback_to_an_older_state_is_refused() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::trusting(&outside).await;
    let old = outside.bundle();
    outside.sign().await;
    inside.import(outside.bundle()).await;
    let said = inside.refuses(old, "mirror_rollback").await;
    assert!(said.contains("mirror_rollback"), "{said}");
}

#[tokio::test]
async fn a_state_that_is_replayed_changes_nothing() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::trusting(&outside).await;
    inside.import(outside.bundle()).await;
    let before = inside.status().await;
    let again = inside.import(outside.bundle()).await;
    assert_eq!((&again["from"], &again["changes"]), (&again["to"], &json!([])));
    assert_eq!(inside.status().await, before);
}

#[tokio::test]
async fn a_freeze_on_expired_metadata_is_refused_or_taken_as_the_site_says() {
    let outside = Outside::with_plugins().await;
    let past = Time(outside.now().0 - 15 * DAY);
    // It counted for ten days, and ended five days ago.
    outside.repository().sign(10, past).await.unwrap();
    let inside = Inside::trusting(&outside).await;
    inside.refuses(outside.bundle(), "mirror_expired").await;
    for (setting, taken) in [("warn", true), ("6", true), ("3", false)] {
        let site = Inside::new(&[("RESOFTAI_MIRROR_EXPIRED", setting)]).await;
        site.trust(&outside.root(), "vendor", false).await;
        if !taken {
            site.refuses(outside.bundle(), "mirror_expired").await;
            continue;
        }
        let done = site.import(outside.bundle()).await;
        assert!(done["warnings"][0].as_str().unwrap().contains("expired"), "{done}");
        let status = site.get("/api/mirror").await;
        assert_eq!(status["expired"], setting);
        assert!(status["repositories"][0]["days_left"].as_i64().unwrap() < 0, "{status}");
        let entry = &site.app.cli_json(&["audit", "list", "--limit", "1"], "")["items"][0];
        assert!(entry["description"].as_str().unwrap().contains("expired"), "{entry}");
    }
}

#[tokio::test]
async fn files_of_two_states_mixed_and_matched_are_refused() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::trusting(&outside).await;
    let old = outside.metadata();
    outside.add(&plugin(&outside.path(""), "api-first", "1.0.0", ""));
    outside.sign().await;
    let new = outside.metadata();
    for (of_new, of_old) in [("3.snapshot.json", "2.snapshot.json"), ("3.targets.json", "2.targets.json")] {
        let mut mixed = new.clone();
        mixed.insert(of_new.to_owned(), old[of_old].clone());
        inside.refuses(bundle_of(&mixed, &outside.contents()), "mirror_mixed").await;
    }
    let mut without = new.clone();
    without.remove("3.targets.json");
    inside.refuses(bundle_of(&without, &[]), "mirror_incomplete").await;
}

#[tokio::test]
async fn metadata_that_was_edited_is_refused() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::trusting(&outside).await;
    let whole = outside.metadata();
    let longer = |value: &mut Value| value["signed"]["expires"] = json!("2090-01-01T00:00:00Z");
    for (name, code) in [
        ("timestamp.json", "mirror_signature"),
        ("2.snapshot.json", "mirror_mixed"),
        ("2.targets.json", "mirror_mixed"),
    ] {
        inside.refuses(bundle_of(&edited(&whole, name, longer), &outside.contents()), code).await;
    }
    let mut garbage = whole.clone();
    garbage.insert("timestamp.json".to_owned(), Bytes::from_static(b"{}"));
    inside.refuses(bundle_of(&garbage, &[]), "mirror_unreadable").await;
}

#[tokio::test]
async fn a_repository_with_another_root_is_refused() {
    let (outside, other) = (Outside::with_plugins().await, Outside::with_plugins().await);
    let inside = Inside::trusting(&outside).await;
    inside.import(outside.bundle()).await;
    for _ in 0..3 {
        other.sign().await;
    }
    inside.refuses(other.bundle(), "mirror_signature").await;
    // Two roots in one bundle: the site's own, and a second one that its keys did not sign.
    other.repository().rotate(RoleType::Root, Days { root: 100, rest: 10 }, other.now()).await.unwrap();
    let mut both = outside.metadata();
    both.insert("2.root.json".to_owned(), other.metadata()["2.root.json"].clone());
    inside.refuses(bundle_of(&both, &[]), "mirror_signature").await;
    // Trusting the other one is somebody's decision, and forgets what the first one listed.
    let body = json!({"repository": "vendor", "root": other.root()});
    let refused = inside.app.call("POST", "/api/mirror/trust", Some(&inside.admin), Some(body)).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("mirror_has_root")), "{}", refused.body);
    inside.trust(&other.root(), "vendor", true).await;
    assert_eq!((inside.state().await, inside.contents().await), (None, json!([])));
    inside.import(other.bundle()).await;
}

#[tokio::test]
async fn roots_and_keys_that_change_are_followed_and_old_keys_count_no_more() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::trusting(&outside).await;
    inside.import(outside.bundle()).await;
    let days = Days { root: 100, rest: 10 };
    let (stolen, before) = (outside.path("stolen"), outside.metadata());
    std::fs::create_dir(&stolen).unwrap();
    for key in std::fs::read_dir(outside.keys().online).unwrap().map(Result::unwrap) {
        std::fs::copy(key.path(), stolen.join(key.file_name())).unwrap();
    }
    for role in [RoleType::Timestamp, RoleType::Root, RoleType::Targets, RoleType::Snapshot] {
        outside.repository().rotate(role, days, outside.now()).await.unwrap();
    }
    let done = inside.import(outside.bundle()).await;
    assert_eq!((&done["from"]["root_version"], &done["to"]["root_version"]), (&json!(1), &json!(5)));
    // Whoever has an old timestamp key signs a later timestamp with it.
    inside.refuses(bundle_of(&before, &outside.contents()), "mirror_signature").await;
    let keys = resoftai::mirror::keys::Keys { online: stolen, ..outside.keys() };
    let error = Repository::open(&outside.folder(), keys).unwrap().sign(10, outside.now()).await.unwrap_err();
    assert_eq!(error.code(), "mirror_keys");
    outside.sign().await;
    inside.import(outside.bundle()).await;
}

#[tokio::test]
async fn a_root_with_too_few_signatures_or_swapped_keys_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let outside = Outside { dir };
    let days = Days { root: 100, rest: 10 };
    Repository::init(&outside.folder(), outside.keys(), (3, 2), days, outside.now()).await.unwrap();
    let inside = Inside::trusting(&outside).await;
    inside.import(outside.bundle()).await;
    outside.repository().rotate(RoleType::Root, days, outside.now()).await.unwrap();
    let whole = outside.metadata();
    // Six keys signed: three old ones and three new ones, two of each have to.
    let old_keys: Value = serde_json::from_slice(&whole["1.root.json"]).unwrap();
    let old_keys = old_keys["signed"]["roles"]["root"]["keyids"].clone();
    let few = edited(&whole, "2.root.json", |root| {
        let mut left = 1;
        root["signatures"].as_array_mut().unwrap().retain(|signature| {
            let old = old_keys.as_array().unwrap().contains(&signature["keyid"]);
            left -= i32::from(old);
            !old || left >= 0
        });
    });
    inside.refuses(bundle_of(&few, &[]), "mirror_signature").await;
    let lowered = edited(&whole, "2.root.json", |root| root["signed"]["roles"]["root"]["threshold"] = json!(1));
    inside.refuses(bundle_of(&lowered, &[]), "mirror_signature").await;
    let twice = edited(&few, "2.root.json", |root| {
        let again = root["signatures"].as_array().unwrap().clone();
        root["signatures"].as_array_mut().unwrap().extend(again);
    });
    inside.refuses(bundle_of(&twice, &[]), "mirror_signature").await;
    let swapped = edited(&whole, "2.root.json", |root| {
        let keys = root["signed"]["keys"].as_object_mut().unwrap();
        keys.values_mut().next().unwrap()["keyval"]["public"] = json!("00".repeat(32));
    });
    // The id of a key is its hash, so a swapped key is no readable root at all.
    inside.refuses(bundle_of(&swapped, &[]), "mirror_unreadable").await;
    inside.import(bundle_of(&whole, &[])).await;
}

#[tokio::test]
async fn a_root_that_does_not_hold_is_not_pinned() {
    let outside = Outside::new().await;
    let inside = Inside::new(&[]).await;
    let mut edited: Value = serde_json::from_str(&outside.root()).unwrap();
    edited["signed"]["version"] = json!(7);
    for root in [edited.to_string(), "{}".to_owned(), String::new(), "x".repeat(300_000)] {
        let body = json!({"repository": "vendor", "root": root});
        let reply = inside.app.call("POST", "/api/mirror/trust", Some(&inside.admin), Some(body)).await;
        assert_eq!((reply.status, &reply.body["code"]), (400, &json!("invalid_root")), "{}", reply.body);
    }
    assert_eq!(inside.status().await, json!([]));
}

#[tokio::test]
async fn names_that_lead_out_of_the_mirror_are_refused() {
    for name in [
        "models/../../../etc/passwd",
        "/etc/passwd",
        "plugins/a/../b/1.0.0.rplugin",
        "models/.hidden",
        "plugins/x.rplugin",
    ] {
        let outside = Outside::new().await;
        let list = json!([{"name": name, "kind": "model", "slug": null, "version": null, "title": "", "description": "",
            "sha256": "ab".repeat(32), "length": 3}]);
        std::fs::write(outside.folder().join("contents.json"), list.to_string()).unwrap();
        outside.sign().await;
        let inside = Inside::trusting(&outside).await;
        inside.refuses(bundle_of(&outside.metadata(), &[]), "mirror_name").await;
    }
}

#[tokio::test]
async fn a_bundle_cut_off_at_every_4_kib_leaves_the_old_state_and_goes_on_where_it_was() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::trusting(&outside).await;
    let whole = outside.bundle();
    for end in (0..whole.len()).step_by(4096) {
        let reply = inside.send("", whole.slice(..end)).await;
        if reply.status == 200 {
            // Only what ends an archive was missing, or came before.
            break;
        }
        assert!(
            ["mirror_bundle", "content_cut_off", "content_mismatch", "mirror_contents_missing"]
                .contains(&reply.body["code"].as_str().unwrap()),
            "{end}: {}",
            reply.body
        );
        assert_eq!((inside.state().await, inside.contents().await), (None, json!([])), "{end}");
    }
    let done = inside.import(whole).await;
    assert!(done["needed"].as_array().unwrap().len() < 3, "what came was kept: {done}");
    assert_eq!(inside.state().await, Some(2));
    inside.check_contents().await;
}

#[tokio::test]
async fn a_bit_that_flipped_anywhere_is_refused_or_meant_nothing() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::trusting(&outside).await;
    let whole = outside.bundle();
    let mut refused = 0;
    // A prime step walks over heads, metadata, contents and padding.
    for at in (0..whole.len()).step_by(997) {
        let mut flipped = whole.to_vec();
        flipped[at] ^= 1 << (at % 8);
        let reply = inside.send("", flipped.into()).await;
        if reply.status == 200 {
            inside.check_contents().await;
            inside.trust(&outside.root(), "vendor", true).await;
        } else {
            refused += 1;
            assert_eq!((reply.status / 100, inside.state().await), (4, None), "{at}: {}", reply.body);
        }
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn contents_nobody_signed_are_not_kept() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::trusting(&outside).await;
    let mut contents = outside.contents();
    contents.push((format!("targets/models/{}.x.gguf", "ab".repeat(32)), b"stray".to_vec()));
    contents.push(("../../outside".to_owned().replace("../", "a"), b"stray".to_vec()));
    inside.import(bundle_of(&outside.metadata(), &contents)).await;
    inside.check_contents().await;
    let blobs = inside.app.dir.path().join("blobs/ab/ab");
    assert!(!blobs.join("ab".repeat(32)).exists());
}

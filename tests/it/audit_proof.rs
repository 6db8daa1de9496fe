//! What the trail proves: places, checkpoints and proofs over HTTP and by the commands, checked by others than us, and what
//! is found when somebody changed the database.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::app::App;
use crate::files::unzip;

/// Ids of entries that tests put in, far from those that the product gives.
const FIRST: i64 = 1_000_000_000;

/// Puts `count` entries in as the product does, only faster, from the id `first` on.
fn write_entries(app: &App, org: i64, first: i64, count: i64) {
    slip_entries_in(app, org, first, count);
    app.sql(&format!(
        "INSERT INTO audit_pending (entry_id) SELECT id FROM audit_entries WHERE id >= {first} AND id < {first} + {count}"
    ));
}

/// Puts entries in that wait for no place, as a forger would.
fn slip_entries_in(app: &App, org: i64, first: i64, count: i64) {
    app.sql(&format!(
        "WITH RECURSIVE n (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM n WHERE n < {first} + {count} - 1) \
         INSERT INTO audit_entries (id, at, organization_id, actor_kind, actor_id, actor_name, action, resource_type, \
         resource_id, description, success, before_json, after_json, ip_address, user_agent, request_id) \
         SELECT n, 1700000000000000 + n, {org}, 'user', 5, 'ada', 'update', 'project', '7', \
         'Changed \"a\u{fc}\" \\ project', TRUE, '{{\"a\":1}}', '{{\"a\":2}}', '192.0.2.1', 'curl/8', 'r' FROM n"
    ));
}

fn org_log(app: &App, org: i64) -> Option<Value> {
    let logs = app.cli_json(&["audit", "logs"], "");
    logs["items"].as_array().unwrap().iter().find(|log| log["organization_id"] == org).cloned()
}

/// The organisation's log, once it has `size` entries.
fn settled(app: &App, org: i64, size: u64) -> Value {
    let started = Instant::now();
    loop {
        if let Some(log) = org_log(app, org).filter(|log| log["tree_size"].as_u64() >= Some(size)) {
            assert_eq!(log["tree_size"], size);
            return log;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "entries got no place: {:?}", org_log(app, org));
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Verifies what lies here, or is named by its address.
fn verify(app: &App, arguments: &[&str]) -> Output {
    app.cli(&[&["audit", "verify"], arguments].concat(), "")
}

fn keep(folder: &Path, name: &str, text: &Value) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text.as_str().map_or_else(|| text.to_string(), str::to_owned)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The note in the evidence that auditors are handed. Taking it is the log's next entry.
fn checkpoint_of_evidence(app: &App, org: i64, folder: &Path) -> String {
    let file = folder.join("evidence.zip");
    app.cli_json(&["audit", "evidence", "--org", "acme", "--out", file.to_str().unwrap()], "");
    let files = unzip(&std::fs::read(file).unwrap());
    let name = format!("audit/organization-{org}.checkpoint");
    let (_, note) = files.into_iter().find(|(file, _)| *file == name).unwrap();
    keep(folder, "earlier", &note.into())
}

#[tokio::test]
async fn another_implementation_verifies_checkpoints_and_proofs() {
    let app = App::start();
    let org = app.org("acme");
    let files = tempfile::tempdir().unwrap();
    write_entries(&app, org, FIRST, 299);
    settled(&app, org, 300);
    let earlier = checkpoint_of_evidence(&app, org, files.path());
    write_entries(&app, org, FIRST + 1000, 699);
    let log = settled(&app, org, 1000);
    let root = app.person("root", "admin", None).await;

    let consistency = format!("/api/organizations/{org}/audit/log/consistency?from=300");
    let consistency = app.call("GET", &consistency, Some(&root), None).await.body;
    let consistency = keep(files.path(), "consistency.json", &consistency);
    let proof = app.call("GET", &format!("/api/audit/{}/proof", FIRST + 77), Some(&root), None).await.body;
    let proof = keep(files.path(), "proof.json", &proof);
    let copy = files.path().join("copy");
    let folder = copy.to_str().unwrap();
    app.cli_json(&["audit", "log", "--org", "acme", "--out", folder], "");

    let key = log["verifier_key"].as_str().unwrap();
    let go = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit/verify.sh");
        std::process::Command::new("sh")
            .arg(script)
            .args([folder, key, &earlier, &consistency, &proof])
            .output()
            .unwrap()
    };
    let verified = go();
    assert!(verified.status.success(), "{}", said(&verified));
    assert!(said(&verified).starts_with("verified 1000 entries of resoftai-"), "{}", said(&verified));
    let bundle = copy.join("tile/entries/002");
    let text = std::fs::read_to_string(&bundle)
        .unwrap_or_else(|_| String::from_utf8_lossy(&std::fs::read(&bundle).unwrap()).into());
    assert!(text.contains("\"actor_name\":\"ada\""), "{text}");
    let mut bytes = std::fs::read(&bundle).unwrap();
    let at = bytes.windows(3).position(|bytes| bytes == b"ada").unwrap();
    bytes[at] = b'b';
    std::fs::write(&bundle, bytes).unwrap();
    assert!(said(&go()).contains("position 512"), "{}", said(&go()));
}

#[test]
fn a_proof_and_a_copy_verify_without_the_server() {
    let mut app = App::start();
    let org = app.org("acme");
    write_entries(&app, org, FIRST, 299);
    let early = settled(&app, org, 300);
    let files = tempfile::tempdir().unwrap();
    let (proof, copy) = (files.path().join("entry.tlog-proof"), files.path().join("copy"));
    let (proof, folder) = (proof.to_str().unwrap(), copy.to_str().unwrap());
    let entry = (FIRST + 5).to_string();
    let made = app.cli_json(&["audit", "prove", &entry, "--out", proof], "");
    let key = made["verifier_key"].as_str().unwrap();
    app.cli_json(&["audit", "log", "--org", "acme", "--out", folder], "");
    write_entries(&app, org, FIRST + 1000, 10);
    settled(&app, org, 310);
    let again = app.cli_json(&["audit", "log", "--org", "acme", "--out", folder], "");
    assert_eq!(again["entries"], 310);
    let own = app.cli_json(&["audit", "key", "--org", "acme"], "");
    assert_eq!(own["verifier_key"], key);
    assert_eq!(app.terminate(), 0);

    let good = verify(&app, &[proof, "--key", key]);
    assert!(good.status.success() && said(&good).contains(&format!("entry {entry} is at position")), "{}", said(&good));
    let unnamed = verify(&app, &[proof]);
    assert!(unnamed.status.success() && said(&unnamed).contains("compare it"), "{}", said(&unnamed));
    let earlier = keep(files.path(), "earlier", &early["checkpoint"]);
    let whole = verify(&app, &[folder, "--key", key, "--checkpoint", &earlier]);
    assert!(whole.status.success() && said(&whole).contains("begins with the 300"), "{}", said(&whole));

    // Another site's key, which is as well formed.
    let other = App::start();
    let other = other.cli_json(&["audit", "key"], "");
    let foreign = verify(&app, &[proof, "--key", other["verifier_key"].as_str().unwrap()]);
    assert_eq!(foreign.status.code(), Some(1), "{}", said(&foreign));
    let text = std::fs::read_to_string(proof).unwrap();
    std::fs::write(proof, text.replace("index ", "index 1")).unwrap();
    let bent = verify(&app, &[proof, "--key", key]);
    assert!(bent.status.code() == Some(1) && said(&bent).contains("not in the tree"), "{}", said(&bent));
    let bundle = copy.join("tile/entries/001.p/54");
    let mut bytes = std::fs::read(&bundle).unwrap();
    let at = bytes.windows(4).position(|bytes| bytes == b"curl").unwrap();
    bytes[at] = b'b';
    std::fs::write(&bundle, bytes).unwrap();
    let bent = verify(&app, &[folder, "--key", key]);
    assert!(bent.status.code() == Some(1) && said(&bent).contains("at position 256"), "{}", said(&bent));
}

#[tokio::test]
async fn a_server_is_verified_by_its_address() {
    let app = App::start();
    let org = app.org("acme");
    settled(&app, org, 1);
    let url = format!("http://{}/api/organizations/{org}/audit/log", app.address);
    let refused = verify(&app, &[&url]);
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
    let token = app.person("auditor", "org_admin", Some("acme")).await;
    let output = std::process::Command::new(crate::app::BINARY)
        .args(["audit", "verify", &url])
        .env_clear()
        .env("RESOFTAI_TOKEN", token)
        .output()
        .unwrap();
    assert!(output.status.success() && said(&output).contains("Verified: "), "{}", said(&output));
}

/// Lets the database change entries.
fn unlock(app: &App) {
    let postgres = std::env::var_os("RESOFTAI_TEST_POSTGRES_URL").is_some();
    if postgres {
        app.sql("DROP TRIGGER tr_audit_entries_no_delete ON audit_entries; \
                 DROP TRIGGER tr_audit_entries_no_change ON audit_entries; \
                 DROP TRIGGER tr_audit_leaves_no_change ON audit_leaves; DROP TRIGGER tr_audit_tiles_no_way_back ON audit_tiles");
    } else {
        app.sql(
            "DROP TRIGGER tr_audit_entries_no_update; DROP TRIGGER tr_audit_entries_no_delete; \
                 DROP TRIGGER tr_audit_leaves_no_delete; DROP TRIGGER tr_audit_tiles_no_way_back",
        );
    }
}

/// What the server finds about the organisation, as (what is wrong, entry).
fn found(app: &App) -> (Option<i32>, Vec<(String, i64)>) {
    let output = app.cli(&["--json", "audit", "verify", "--org", "acme"], "");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let findings = value["findings"].as_array().unwrap().iter();
    let findings = findings
        .map(|one| (one["wrong"].as_str().unwrap().to_owned(), one["entry_id"].as_i64().unwrap_or(-1)))
        .collect();
    (output.status.code(), findings)
}

#[test]
fn a_byte_changed_in_any_column_is_found_and_its_entry_named() {
    let app = App::start();
    let org = app.org("acme");
    write_entries(&app, org, FIRST, 599);
    settled(&app, org, 600);
    // What erasing somebody does.
    app.sql("UPDATE person_keys SET key = NULL, destroyed_at = 1");
    assert_eq!(found(&app), (Some(0), Vec::new()));

    unlock(&app);
    let texts = "actor_kind actor_name action resource_type resource_id description before_json after_json ip_address \
                 user_agent request_id";
    let numbers = "at actor_id person_id sealed";
    let mut changes: Vec<String> = texts.split_whitespace().map(|name| format!("{name} = {name} || ' '")).collect();
    changes.extend(numbers.split_whitespace().map(|name| format!("{name} = COALESCE({name}, 0) + 1")));
    changes.extend(["success = NOT success", "resource_id = NULL", "organization_id = NULL"].map(str::to_owned));
    let mut wanted = Vec::new();
    for (at, change) in (0..).zip(&changes) {
        let entry = FIRST + 30 * at;
        app.sql(&format!("UPDATE audit_entries SET {change} WHERE id = {entry}"));
        wanted.push(("changed".to_owned(), entry));
    }
    assert_eq!(found(&app), (Some(1), wanted));
    let told = app.cli(&["audit", "verify"], "");
    assert!(said(&told).contains(&format!("Entry {FIRST} is not what it was")), "{}", said(&told));
    assert!(said(&told).contains(&format!("Entry {} has no place in the log", FIRST + 30 * 17)), "{}", said(&told));
}

#[tokio::test]
async fn a_sealed_column_that_was_changed_is_named_too() {
    let app = App::start();
    let org = app.org("acme");
    let ada = app.person("ada", "developer", Some("acme")).await;
    let project = serde_json::json!({"name": "engine", "requirements": "Count."});
    assert_eq!(app.call("POST", "/api/projects", Some(&ada), Some(project)).await.status, 201);
    let entries = app.cli_json(&["audit", "list", "--org", "acme", "--actor", "ada"], "");
    let entry = entries["items"][0]["id"].as_i64().unwrap();
    let size =
        app.sql_texts(&format!("SELECT CAST(COUNT(*) AS TEXT) FROM audit_entries WHERE organization_id = {org}"));
    settled(&app, org, size[0].parse().unwrap());
    unlock(&app);
    app.sql(&format!("UPDATE audit_entries SET ip_address = 'A' || ip_address WHERE id = {entry}"));
    let output = app.cli(&["--json", "audit", "verify", "--org", "acme"], "");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["findings"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["findings"][0]["columns"], serde_json::json!(["ip_address"]));
    assert_eq!(told["findings"][0]["entry_id"], entry);
    assert!(told["findings"][0]["detail"].as_str().unwrap().ends_with("any more: ip_address."), "{told}");
}

#[test]
fn what_was_taken_out_put_in_or_hashed_anew_is_found() {
    let app = App::start();
    let org = app.org("acme");
    write_entries(&app, org, FIRST, 599);
    settled(&app, org, 600);
    unlock(&app);
    slip_entries_in(&app, org, FIRST + 5000, 1);
    app.sql(&format!("DELETE FROM audit_entries WHERE id = {}", FIRST + 3));
    app.sql(&format!("DELETE FROM audit_leaves WHERE entry_id = {}", FIRST + 4));
    app.sql(&format!("UPDATE audit_entries SET id = {} WHERE id = {}", FIRST + 6000, FIRST + 6));
    let (code, findings) = found(&app);
    let wrong = |wrong: &str, entry: i64| (wrong.to_owned(), entry);
    assert_eq!(code, Some(1));
    let wanted = [
        wrong("missing", FIRST + 3),
        wrong("missing", -1),
        wrong("missing", FIRST + 6),
        wrong("inserted", FIRST + 4),
        wrong("inserted", FIRST + 5000),
        wrong("inserted", FIRST + 6000),
    ];
    assert_eq!(findings, wanted);

    // A forger who hashes a changed entry anew must change the tile above, and then the root, which is signed.
    let zero = "00".repeat(32 * 256);
    let blob = if std::env::var_os("RESOFTAI_TEST_POSTGRES_URL").is_some() {
        format!("'\\x{zero}'")
    } else {
        format!("X'{zero}'")
    };
    app.sql(&format!("UPDATE audit_tiles SET hashes = {blob} WHERE log_id = {org} AND level = 0 AND number = 1"));
    let (_, findings) = found(&app);
    assert_eq!(findings.iter().filter(|one| one.0 == "tree").count(), 1, "{findings:?}");
    assert!(!findings.iter().any(|one| one.0 == "changed"), "the entries are as they were: {findings:?}");
}

#[test]
fn no_entry_is_lost_and_no_checkpoint_taken_back_when_the_server_is_killed() {
    let mut app = App::start();
    let org = app.org("acme");
    let files = tempfile::tempdir().unwrap();
    let mut kept = Vec::new();
    for round in 0..5 {
        write_entries(&app, org, FIRST + round * 10_000, 6_000);
        // Some batches are in, some are under way.
        std::thread::sleep(Duration::from_millis(200 * round.unsigned_abs()));
        if let Some(log) = org_log(&app, org) {
            kept.push(keep(files.path(), &format!("checkpoint-{round}"), &log["checkpoint"]));
        }
        app.crash_and_restart();
    }
    settled(&app, org, 30_001);
    assert_eq!(found(&app), (Some(0), Vec::new()));
    let copy = files.path().join("copy");
    let folder = copy.to_str().unwrap();
    app.cli_json(&["audit", "log", "--org", "acme", "--out", folder], "");
    for checkpoint in &kept {
        let verified = verify(&app, &[folder, "--checkpoint", checkpoint]);
        assert!(verified.status.success(), "{checkpoint}: {}", said(&verified));
    }
    assert!(kept.len() >= 3, "{kept:?}");
}

#[test]
fn a_server_with_another_key_signs_nothing() {
    let mut app = App::start();
    let org = app.org("acme");
    let before = settled(&app, org, 1);
    let key = app.dir.path().join("secrets/audit.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::write(&key, [1; 32]).unwrap();
    app.crash_and_restart();
    write_entries(&app, org, FIRST, 10);
    // More than one look of a sequencer.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(org_log(&app, org), Some(before));
    assert_eq!(found(&app).0, Some(1));
    std::fs::write(&key, kept).unwrap();
    app.crash_and_restart();
    settled(&app, org, 11);
    assert_eq!(found(&app), (Some(0), Vec::new()));
}

#[test]
fn two_servers_of_one_database_give_each_entry_one_place() {
    // Only PostgreSQL has more than one server.
    if std::env::var_os("RESOFTAI_TEST_POSTGRES_URL").is_none() {
        return;
    }
    let app = App::start();
    let org = app.org("acme");
    let other = app.beside();
    for round in 0..10 {
        write_entries(&app, org, FIRST + round * 10_000, 3_000);
    }
    settled(&app, org, 30_001);
    assert_eq!(found(&other), (Some(0), Vec::new()));
    assert_eq!(org_log(&app, org), org_log(&other, org));
}

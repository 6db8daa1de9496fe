//! What auditors are handed: everything they ask for, nothing of others, nothing secret, and whole.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::app::App;
use crate::files::unzip;

/// The evidence that the local operator takes.
fn taken(app: &App, org: Option<&str>) -> BTreeMap<String, String> {
    let file = app.dir.path().join("evidence.zip");
    let mut arguments = vec!["audit", "evidence", "-o", file.to_str().unwrap()];
    arguments.extend(org.iter().flat_map(|org| ["--org", org]));
    app.cli_json(&arguments, "");
    unzip(&std::fs::read(&file).unwrap()).into_iter().collect()
}

fn rows(files: &BTreeMap<String, String>, table: &str) -> Vec<Value> {
    serde_json::from_str(&files[&format!("{table}.json")]).unwrap()
}

fn sha256(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two organisations: acme with an administrator, somebody who was switched off, a token and an invitation, and another.
async fn two_organizations(app: &App) -> (i64, String, String) {
    let org = app.org("acme");
    app.org("other");
    let admin = app.person("ada", "org_admin", Some("acme")).await;
    let viewer = app.person("vic", "viewer", Some("acme")).await;
    app.person("mallory", "developer", Some("other")).await;
    app.person("dan", "developer", Some("acme")).await;
    app.cli_json(&["user", "deactivate", "dan", "--yes"], "");
    let token = app.call("POST", "/api/tokens", Some(&admin), Some(json!({"name": "laptop"}))).await;
    assert_eq!(token.status, 201, "{}", token.body);
    let role = json!({"code": "qa", "name": "Quality", "description": "=1+1", "permissions": ["project.read"]});
    let made = app.call("POST", &format!("/api/organizations/{org}/roles"), Some(&admin), Some(role)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let invitation = json!({"email": "new@example.org", "role": "viewer"});
    let path = format!("/api/organizations/{org}/invitations");
    let invited = app.call("POST", &path, Some(&admin), Some(invitation)).await;
    assert_eq!(invited.status, 201, "{}", invited.body);
    app.until_sequenced("acme").await;
    (org, admin, viewer)
}

#[tokio::test]
async fn the_evidence_of_an_organisation_is_whole_and_holds_nothing_of_another() {
    let app = App::start();
    let (org, _, _) = two_organizations(&app).await;
    let files = taken(&app, Some("acme"));

    let review = rows(&files, "access_review");
    let held: Vec<_> = review.iter().map(|row| (row["username"].as_str().unwrap(), &row["role"])).collect();
    assert_eq!(held, [("ada", &json!("org_admin")), ("vic", &json!("viewer")), ("dan", &json!("developer"))]);
    assert!(
        review.iter().all(|row| row["organization"] == "acme" && row["granted_at"].as_str().unwrap().ends_with('Z'))
    );
    let people = rows(&files, "people");
    let active: Vec<_> = people.iter().map(|row| row["is_active"].as_bool().unwrap()).collect();
    assert_eq!(active, [true, true, false], "{people:?}");
    assert_eq!((rows(&files, "tokens").len(), rows(&files, "audit_drops").len()), (1, 0));
    assert_eq!(rows(&files, "invitations")[0]["email"], "new@example.org");
    assert_eq!(rows(&files, "custom_roles")[0]["permissions"], Value::Null);
    assert_eq!(rows(&files, "custom_roles")[0]["permissions_json"], json!(["project.read"]));
    assert!(rows(&files, "quotas").iter().any(|row| row["resource"] == "llm_tokens" && row["is_custom"] == false));
    let policy = rows(&files, "policy");
    assert!(policy.iter().any(|row| row["name"] == "password_min_characters" && row["value"] == "16"), "{policy:?}");
    assert!(files["README.txt"].contains("tells of no backup and of no restore"), "{}", files["README.txt"]);
    assert_eq!(rows(&files, "audit_logs")[0]["checkpoint"], files[&format!("audit/organization-{org}.checkpoint")]);

    let all = files.values().cloned().collect::<String>();
    for absent in ["mallory", "\"other\"", "rat_", "argon2", "database.url", "/tmp/"] {
        assert!(!all.contains(absent), "{absent} is in the evidence");
    }
    for (name, csv) in files.iter().filter(|(name, _)| name.ends_with(".csv")) {
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let lines = reader.records().map(Result::unwrap).count();
        assert_eq!(lines, rows(&files, name.trim_end_matches(".csv")).len(), "{name}");
    }
    assert!(files["custom_roles.csv"].contains(",'=1+1,"), "{}", files["custom_roles.csv"]);
    let sums: Vec<_> = files["SHA256SUMS"].lines().map(|line| line.split_once("  ").unwrap()).collect();
    assert_eq!(sums.len(), files.len() - 1);
    sums.iter().for_each(|(sum, name)| assert_eq!(*sum, sha256(&files[*name]), "{name}"));
    let manifest: Value = serde_json::from_str(&files["manifest.json"]).unwrap();
    assert_eq!(manifest["organization"], json!({"id": org, "slug": "acme"}));
    assert_eq!(manifest["files"].as_array().unwrap().len(), files.len() - 2);
    assert_eq!(manifest["files"][0]["sha256"], sha256(&files["README.txt"]));
}

#[tokio::test]
async fn only_who_may_export_takes_evidence_and_that_is_recorded() {
    let app = App::start();
    let (org, admin, viewer) = two_organizations(&app).await;
    let stranger = app.person("sid", "org_admin", Some("other")).await;
    let path = format!("/api/organizations/{org}/evidence");
    let absent = app.call("GET", "/api/organizations/999999/evidence", Some(&stranger), None).await;
    let refused = app.call("GET", &path, Some(&stranger), None).await;
    assert_eq!((refused.status, &refused.body["detail"]), (404, &absent.body["detail"]));
    assert_eq!(app.call("GET", &path, Some(&viewer), None).await.status, 403);
    assert_eq!(app.call("GET", &path, None, None).await.status, 401);
    assert_eq!(app.call("GET", "/api/evidence", Some(&admin), None).await.status, 403);
    assert_eq!(app.call("GET", &path, Some(&admin), None).await.status, 200);
    let trail = app.cli_json(&["audit", "list", "--action", "export", "--org", "acme"], "");
    let entries = trail["items"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!((&entries[0]["resource_type"], &entries[0]["actor"]["name"]), (&json!("evidence"), &json!("ada")));
}

#[tokio::test]
async fn the_evidence_of_the_site_tells_of_all_organisations_and_of_its_settings_without_secrets() {
    let app = App::start_with_settings(&[("RESOFTAI_SECURITY_JWT_SECRET_KEY", "a secret of more than 32 characters")]);
    two_organizations(&app).await;
    assert_eq!(rows(&taken(&app, None), "backups"), [Value::Null; 0]);
    // As entries of backups will be.
    let columns = "id, at, actor_kind, actor_name, action, resource_type, resource_id, description, success";
    for (id, kind, success) in [(1, "backup", "TRUE"), (2, "backup", "FALSE"), (3, "restore", "TRUE")] {
        app.sql(&format!(
            "INSERT INTO audit_entries ({columns}) VALUES (-{id}, 86400000000, 'system', 'resoftai', 'create', '{kind}', 'b{id}', \
             'x', {success})"
        ));
    }
    app.sql(
        "INSERT INTO passkeys (id, user_id, name, site, credential_hash, credential, created_at) SELECT 9000001, id, 'blue key', \
         'site.example', 'the-hash', 'the-key', 86400000000 FROM users WHERE username = 'ada'",
    );
    let files = taken(&app, None);
    let backups: Vec<_> =
        rows(&files, "backups").iter().map(|row| (row["what"].clone(), row["is_success"].clone())).collect();
    let told = [("restore", true), ("backup", false), ("backup", true)];
    assert_eq!(backups, told.map(|(what, success)| (json!(what), json!(success))));
    assert_eq!(rows(&files, "backups")[0]["at"], "1970-01-02T00:00:00.000000Z");
    assert!(files["README.txt"].contains("The table backups has"), "{}", files["README.txt"]);
    let of_acme = taken(&app, Some("acme"));
    assert!(!of_acme.contains_key("backups.json") && of_acme["README.txt"].contains("They are of the whole site"));
    let of_other = taken(&app, Some("other"));
    assert_eq!((rows(&of_acme, "passkeys").len(), rows(&of_other, "passkeys").len()), (1, 0));
    let passkey = &rows(&files, "passkeys")[0];
    assert_eq!(
        (&passkey["username"], &passkey["name"], &passkey["created_at"], &passkey["last_used_at"]),
        (&json!("ada"), &json!("blue key"), &json!("1970-01-02T00:00:00.000000Z"), &Value::Null)
    );
    assert!(!files.values().any(|text| text.contains("the-key") || text.contains("the-hash")));
    let slugs: Vec<_> = rows(&files, "organizations").iter().map(|row| row["slug"].clone()).collect();
    assert!(slugs.contains(&json!("acme")) && slugs.contains(&json!("other")), "{slugs:?}");
    assert!(rows(&files, "access_review").iter().any(|row| row["username"] == "mallory"));
    let policy = rows(&files, "policy");
    let secret = policy.iter().find(|row| row["name"] == "security.jwt_secret_key").unwrap();
    assert_eq!(secret["value"], "(set)");
    assert!(files.contains_key("erasures.csv") && files.contains_key("audit/site.checkpoint"));
    assert!(!files.values().any(|text| text.contains("a secret of more")));
}

//! From the version before governance to this one: a filled database of that time (`site.sql`, schema up to step 45) is
//! opened by the real server, on both engines. Nothing may be lost, limits and tokens go on counting, and a start that is
//! cut off or fails half-way leaves whole steps of the schema.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{App, BINARY, PASSWORD, Reply, database_of, sql_texts, try_sql};

/// The last step of the schema at that time.
const BEFORE: i64 = 45;
/// Signed with the key below, as that version signed: one of a session that counts, one of a session that was ended.
const SESSION: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMyIsInNpZCI6MzEsImlhdCI6MTc5MDg0NTIwMCwiZXhwIjozMjQ3MjE0NDAwMH0.xVyzEn-JZf8NswZ8epAqNIc4FyugoPnl2EFQxZHVlAI";
const ENDED: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMyIsInNpZCI6MzIsImlhdCI6MTc5MDg0NTIwMCwiZXhwIjozMjQ3MjE0NDAwMH0.1x7kuGX2Pczf2hY9gsJjTisU_l5mdMxxGCWmFyc2YP0";
const JWT_KEY: &[u8; 32] = b"the key of a site from last year";
const TOKEN: &str = "rat_an-old-token-of-ann-000000000000000000000000000";
const EXPIRED: &str = "rat_an-old-token-that-has-ended-0000000000000000";
/// [`PASSWORD`] as that version kept it.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$Ven7IOlrvsPiuSimCCQ0AQ$CFl3FSgKbF1bA8TSGI+gkrwfq7xXg1PVCInVrAqUU74";
const CONTENTS: [&str; 3] = ["print(\"hello\")\n", "print(\"hello, world\")\n", "# Notes\n"];

fn hex(text: &[u8]) -> String {
    digest(&SHA256, text).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A data directory as that version left it.
fn old_site() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("secrets")).unwrap();
    std::fs::write(dir.path().join("secrets/jwt.key"), JWT_KEY).unwrap();
    for content in CONTENTS {
        let name = hex(content.as_bytes());
        let folder = dir.path().join("blobs").join(&name[..2]).join(&name[2..4]);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), content).unwrap();
    }
    let database = database_of(dir.path());
    let mut script = match &database {
        None => String::new(),
        Some(url) => format!("CREATE SCHEMA {};\n", url.rsplit_once("%3D").unwrap().1),
    };
    script += &old_schema(if database.is_some() { "postgres" } else { "sqlite" });
    script += &include_str!("site.sql").replace("{PASSWORD}", HASH);
    script += if database.is_some() { "SELECT setval('ids', 1000);" } else { "UPDATE ids SET last = 1000;" };
    try_sql(dir.path(), database.as_deref(), &script).unwrap();
    dir
}

fn migrations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")
}

/// The numbers and names of all steps there are, oldest first.
fn known() -> Vec<(i64, String)> {
    let names = std::fs::read_dir(migrations()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut steps: Vec<String> = names.map(|name| name.split('.').next().unwrap().to_owned()).collect();
    steps.sort_unstable();
    steps.dedup();
    let parts = steps.iter().map(|step| step.split_once('_').unwrap());
    parts.map(|(version, name)| (version.parse().unwrap(), name.to_owned())).collect()
}

/// The steps of that time as they were run, with their marks.
fn old_schema(engine: &str) -> String {
    let mut script =
        "CREATE TABLE schema_migrations (version BIGINT NOT NULL, name TEXT NOT NULL, checksum TEXT NOT NULL, \
        applied_at BIGINT NOT NULL, CONSTRAINT pk_schema_migrations PRIMARY KEY (version));\n"
            .to_owned();
    for (version, name) in known().into_iter().filter(|(version, _)| *version <= BEFORE) {
        let text = |ending: &str| {
            std::fs::read_to_string(migrations().join(format!("{version:04}_{name}{ending}"))).unwrap_or_default()
        };
        let (common, own) = (text(".sql"), text(&format!(".{engine}.sql")));
        let checksum = hex(format!("{common}\n{own}").as_bytes());
        script += &format!(
            "{common}\n{own}\nINSERT INTO schema_migrations VALUES ({version}, '{name}', '{checksum}', 1790845200000000);\n"
        );
    }
    script
}

/// The steps of the schema that a database has.
fn steps(dir: &Path) -> Vec<i64> {
    let sql = "SELECT CAST(version AS TEXT) FROM schema_migrations";
    let texts = sql_texts(dir, database_of(dir).as_deref(), sql);
    let mut steps: Vec<i64> = texts.iter().map(|version| version.parse().unwrap()).collect();
    steps.sort_unstable();
    steps
}

fn serve(dir: &Path) -> Child {
    let mut command = Command::new(BINARY);
    command.arg("--data-dir").arg(dir).args(["serve", "--http", "--listen", "127.0.0.1:0"]);
    command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(database_of(dir).map(|url| ("DATABASE_URL", url))).spawn().unwrap()
}

/// Somebody with a token.
struct As<'a>(&'a App, &'a str);

impl As<'_> {
    async fn get(&self, path: &str) -> Value {
        let reply = self.call("GET", path, Value::Null).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.body
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Reply {
        self.0.call(method, path, Some(self.1), Some(body).filter(|body| !body.is_null())).await
    }
}

async fn sign_in(app: &App, name: &str) -> Reply {
    app.call("POST", "/api/auth/login", None, Some(json!({"username": name, "password": PASSWORD}))).await
}

/// The values of `key`, in their order.
fn column<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list["items"].as_array().unwrap().iter().map(|item| item[key].as_str().unwrap_or_default()).collect()
}

/// Everything an administrator of the site sees that was there before, by address.
async fn everything(app: &App) -> Vec<(String, Value)> {
    let reply = sign_in(app, "Root").await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let root = As(app, reply.body["access_token"].as_str().unwrap());
    let mut addresses: Vec<String> = ["/api/organizations", "/api/users", "/api/role-assignments", "/api/projects"]
        .map(str::to_owned)
        .into_iter()
        .chain(
            ["/api/llm/providers", "/api/plugins", "/api/projects/61/files", "/api/projects/61/runs"]
                .map(str::to_owned),
        )
        .chain(["/api/files/71/versions", "/api/projects/61/findings", "/api/runs/91"].map(str::to_owned))
        .chain([71, 72].map(|file| format!("/api/files/{file}")))
        .chain((201..207).map(|entry| format!("/api/audit/{entry}")))
        .collect();
    for org in 1..4 {
        for part in [
            "members",
            "teams",
            "roles",
            "role-assignments",
            "quotas",
            "settings",
            "usage?group_by=model&from=2026-09-15&to=2026-10-31",
        ] {
            addresses.push(format!("/api/organizations/{org}/{part}"));
        }
    }
    let mut seen = Vec::new();
    for address in addresses {
        let body = root.get(&address).await;
        seen.push((address, body));
    }
    seen
}

fn at<'a>(seen: &'a [(String, Value)], address: &str) -> &'a Value {
    &seen.iter().find(|(known, _)| known == address).unwrap().1
}

#[tokio::test]
async fn a_filled_database_of_the_version_before_keeps_all_it_had() {
    let mut app = App::start_in(old_site());
    let seen = everything(&app).await;

    assert_eq!(column(at(&seen, "/api/organizations"), "slug"), ["gamma", "baeckerei", "acme"]);
    assert_eq!(column(at(&seen, "/api/users"), "username"), ["off", "vic", "dan", "ann", "Root"]);
    let roles = |org: i64| {
        let members = at(&seen, &format!("/api/organizations/{org}/members"));
        let mut held: Vec<String> = members["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|member| format!("{} {}", member["username"].as_str().unwrap(), member["role"].as_str().unwrap()))
            .collect();
        held.sort_unstable();
        held
    };
    assert_eq!(roles(1), ["ann org_admin", "dan developer", "vic viewer"]);
    assert_eq!(roles(2), ["off team_admin", "vic developer"]);
    for org in 1..4 {
        let teams = at(&seen, &format!("/api/organizations/{org}/teams"));
        assert_eq!(column(teams, "slug"), ["default"], "each organisation has its default team");
    }

    let quotas = |org: i64| {
        let list = at(&seen, &format!("/api/organizations/{org}/quotas"))["items"].as_array().unwrap().clone();
        let of = |quota: &Value| {
            json!([quota["resource"], quota["limit_value"], quota["used"], quota["reserved"], quota["custom"]])
        };
        Value::Array(list.iter().map(of).collect())
    };
    // What the dead process held counts as used; storage and members were counted where they are.
    let acme = json!([
        ["projects", 500, 1, 0, false],
        ["llm_tokens", 12345, 1000, 0, true],
        ["api_calls", 10_000_000, 0, 0, false],
        ["storage", 100_000_000_000_i64, 45, 0, false],
        ["team_members", 500, 3, 0, false]
    ]);
    let bakery = json!([
        ["projects", 1, 1, 0, true],
        ["llm_tokens", 100_000, 0, 0, true],
        ["api_calls", 100_000, 0, 0, false],
        ["storage", 1_000_000_000, 0, 0, false],
        ["team_members", 10, 2, 0, false]
    ]);
    assert_eq!((quotas(1), quotas(2)), (acme, bakery));
    assert_eq!(at(&seen, "/api/organizations/3/quotas")["items"][1]["limit_value"], Value::Null);
    let used = at(&seen, "/api/organizations/1/usage?group_by=model&from=2026-09-15&to=2026-10-31");
    assert_eq!(
        (&used["total"], &used["items"][0]["key"], &used["items"][0]["amount"]),
        (&json!(900), &json!("small"), &json!(600)),
        "{used}"
    );

    assert_eq!(column(at(&seen, "/api/projects/61/files"), "path"), ["NOTES.md", "src/Main.py"]);
    assert_eq!(at(&seen, "/api/files/71")["content"], CONTENTS[1]);
    assert_eq!(at(&seen, "/api/files/71/versions")["items"].as_array().unwrap().len(), 2);
    assert_eq!(at(&seen, "/api/projects/61/findings")["items"][0]["message"], "It prints.");
    assert_eq!(column(at(&seen, "/api/projects/61/runs"), "status"), ["paused", "completed"]);
    assert_eq!(at(&seen, "/api/runs/91")["stages"].as_array().unwrap().len(), 3);
    assert_eq!(at(&seen, "/api/audit/205")["after"], json!({"version": 2}));
    assert_eq!(at(&seen, "/api/audit/204")["ip_address"], "198.51.100.9");
    assert_eq!(at(&seen, "/api/plugins")["items"][0]["config"], json!({"severity_threshold": "high"}));

    // Opened again, it is the same; nothing is counted or converted twice.
    assert_eq!(app.terminate(), 0);
    app.crash_and_restart();
    let again = everything(&app).await;
    for ((address, before), (_, after)) in seen.iter().zip(&again) {
        assert_eq!(before, after, "{address}");
    }
}

#[tokio::test]
async fn who_could_come_in_still_can_and_limits_still_hold() {
    let app = App::start_in(old_site());
    for (token, status) in [(SESSION, 200), (ENDED, 401), (TOKEN, 200), (EXPIRED, 401)] {
        assert_eq!(app.call("GET", "/api/projects/61", Some(token), None).await.status, status, "{token}");
    }
    assert_eq!(sign_in(&app, "off").await.status, 401, "who was switched off stays so");
    let (dan, ann) = (As(&app, SESSION), As(&app, TOKEN));
    assert_eq!(dan.get("/api/auth/me").await["user"]["username"], "dan");
    assert_eq!(dan.call("GET", "/api/projects/62", Value::Null).await.status, 404, "another organisation's");

    let body = json!({"content": "print(1)\n", "expected_version": 2});
    assert_eq!(dan.call("PUT", "/api/files/71", body).await.status, 200);
    let storage = &ann.get("/api/organizations/1/quotas").await["items"][3];
    assert_eq!(
        (&storage["resource"], &storage["used"]),
        (&json!("storage"), &json!(54)),
        "new versions are counted on top"
    );
    let gone = dan.call("DELETE", "/api/projects/61", Value::Null).await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    let quotas = ann.get("/api/organizations/1/quotas").await;
    assert_eq!((&quotas["items"][0]["used"], &quotas["items"][3]["used"]), (&json!(0), &json!(0)), "and come back");

    let vic = sign_in(&app, "vic").await.body["access_token"].as_str().unwrap().to_owned();
    let refused = As(&app, &vic).call("POST", "/api/projects", json!({"name": "Second", "organization_id": 2})).await;
    assert_eq!((refused.status, &refused.body["code"]), (429, &json!("quota_exceeded")), "{}", refused.body);

    let verified = app.cli(&["audit", "verify"], "");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let proven = app.cli_json(&["audit", "prove", "203"], "");
    assert_eq!((&proven["entry_id"], &proven["position"]), (&json!(203), &json!(0)), "{proven}");
}

/// A thing in the way of a step, as late in it as can be, and how it is taken away.
const OBSTACLES: [(i64, &str, &str); 5] = [
    (50, "CREATE INDEX ix_role_grants_granted_by ON users (id)", "DROP INDEX ix_role_grants_granted_by"),
    (
        57,
        "CREATE INDEX uq_invitations_organization_id_email_key ON users (id)",
        "DROP INDEX uq_invitations_organization_id_email_key",
    ),
    (
        70,
        "ALTER TABLE file_versions ADD COLUMN created_by_id BIGINT",
        "ALTER TABLE file_versions DROP COLUMN created_by_id",
    ),
    (80, "CREATE TABLE audit_pending (entry_id BIGINT NOT NULL)", "DROP TABLE audit_pending"),
    (87, "CREATE INDEX ix_audit_dropped_drop_id ON users (id)", "DROP INDEX ix_audit_dropped_drop_id"),
];

#[tokio::test]
async fn a_step_that_fails_late_is_undone_whole_and_run_when_nothing_is_in_its_way() {
    let dir = old_site();
    let database = database_of(dir.path());
    let sql = |statement: &str| try_sql(dir.path(), database.as_deref(), statement).unwrap();
    for (step, obstacle, removal) in OBSTACLES {
        sql(obstacle);
        let output = serve(dir.path()).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(&format!("Step {step:04}_")), "{step}: {said}");
        let newest = *steps(dir.path()).last().unwrap();
        assert!((BEFORE..step).contains(&newest), "{step}: the database is at {newest}");
        // A table or column that the failed step left would be in its way at the next start.
        sql(removal);
    }
    let app = App::start_in(dir);
    let seen = everything(&app).await;
    assert_eq!(at(&seen, "/api/organizations/1/quotas")["items"][1]["used"], 1000);
    assert_eq!(at(&seen, "/api/files/71")["content"], CONTENTS[1]);
}

#[tokio::test]
async fn a_start_that_is_killed_between_steps_goes_on_where_it_was() {
    let dir = old_site();
    let newest = known().last().unwrap().0;
    let mut before = steps(dir.path());
    while *before.last().unwrap() < newest {
        let mut server = serve(dir.path());
        let begun = Instant::now();
        while steps(dir.path()).len() == before.len() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the schema stays at {before:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        server.kill().unwrap();
        server.wait().unwrap();
        let after = steps(dir.path());
        assert_eq!(after[..before.len()], before, "steps that ran stay");
        before = after;
    }
    let app = App::start_in(dir);
    let seen = everything(&app).await;
    assert_eq!(at(&seen, "/api/organizations/1/quotas")["items"][1]["used"], 1000);
    let verified = app.cli(&["audit", "verify"], "");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

/// Data folders that releases left (`keep.sh`). Every later version opens each, with all that was in it.
#[tokio::test]
async fn the_kept_data_folder_of_every_release_is_opened_with_all_that_was_in_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/upgrade/kept");
    let kept: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!kept.is_empty());
    for archive in kept {
        let name = archive.file_name().unwrap().to_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        if database_of(dir.path()).is_some() {
            // Their database is the file in them.
            return;
        }
        let packed = zstd::Decoder::new(std::fs::File::open(&archive).unwrap()).unwrap();
        tar::Archive::new(packed).unpack(dir.path()).unwrap();
        let app = App::start_in(dir);
        let signed_in = sign_in(&app, "dev").await;
        assert_eq!(signed_in.status, 200, "{name}: {}", signed_in.body);
        let dev = As(&app, signed_in.body["access_token"].as_str().unwrap());
        let projects = dev.get("/api/projects").await;
        assert_eq!(column(&projects, "name"), ["kept"], "{name}");
        let project = projects["items"][0]["id"].as_i64().unwrap();
        let files = dev.get(&format!("/api/projects/{project}/files")).await;
        let file = dev.get(&format!("/api/files/{}", files["items"][0]["id"])).await;
        assert_eq!(file["content"], "kept since then\n", "{name}: {file}");
        let plugins = app.cli_json(&["plugin", "list"], "");
        assert!(plugins.to_string().contains("security-scanner"), "{name}: {plugins}");
        app.until_sequenced("acme").await;
    }
}

//! What is held about people: shown, handed out, erased.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use serde_json::{Value, json};

use crate::app::{App, PASSWORD};
use crate::files::unzip;
use crate::model_server::{Answer, MODEL, ModelServer, PLAIN};

/// The files of a zip that a command saved.
fn saved(app: &App, arguments: &[&str]) -> BTreeMap<String, String> {
    let file = app.dir.path().join("saved.zip");
    app.cli_json(&[arguments, &["--out", file.to_str().unwrap()]].concat(), "");
    unzip(&std::fs::read(file).unwrap()).into_iter().collect()
}

fn json_of(files: &BTreeMap<String, String>, name: &str) -> Vec<Value> {
    serde_json::from_str(&files[&format!("data/{name}.json")]).unwrap()
}

#[tokio::test]
async fn administrators_see_what_is_held_about_people() {
    let app = App::start();
    app.org("acme");
    let admin = app.person("ada", "org_admin", Some("acme")).await;
    let viewer = app.person("vic", "viewer", Some("acme")).await;
    let shown = app.call("GET", "/api/privacy/inventory", Some(&admin), None).await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    let tables = shown.body["tables"].as_array().unwrap();
    let column = |table: &str, column: &str| -> Value {
        let table = tables.iter().find(|one| one["table"] == table).unwrap();
        table["columns"].as_array().unwrap().iter().find(|one| one["column"] == column).unwrap().clone()
    };
    assert_eq!(column("users", "email")["at_erasure"], "deleted");
    assert_eq!(column("projects", "created_by")["at_erasure"], "replaced");
    assert_eq!(column("runs", "ip_address")["at_erasure"], "emptied");
    assert_eq!(column("audit_entries", "actor_name")["at_erasure"], "unreadable");
    assert_eq!(column("usage_records", "user_id")["at_erasure"], "kept");
    assert!(column("sessions", "ip_address")["why"].as_str().unwrap().len() > 10);
    assert!(!shown.body["elsewhere"].as_array().unwrap().is_empty());

    let refused = app.call("GET", "/api/privacy/inventory", Some(&viewer), None).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let told = app.cli(&["privacy", "inventory"], "");
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("sessions.ip_address") && !told.contains("plugins.slug"), "{told}");
}

#[tokio::test]
async fn a_person_is_handed_all_that_is_held_about_them_and_nothing_of_others() {
    let app = App::start();
    let org = app.org("acme");
    let ada = app.person("ada", "developer", Some("acme")).await;
    let bob = app.person("bob", "developer", Some("acme")).await;
    for (token, name) in [(&ada, "ada's <b>engine</b>"), (&bob, "bob's secret plan")] {
        let project = json!({"name": name, "requirements": "Count."});
        assert_eq!(app.call("POST", "/api/projects", Some(token), Some(project)).await.status, 201);
    }
    app.call("POST", "/api/tokens", Some(&ada), Some(json!({"name": "editor"}))).await;

    let files = saved(&app, &["user", "export", "ada"]);
    assert_eq!(json_of(&files, "users")[0]["email"], "ada@example.org");
    assert_eq!(json_of(&files, "users")[0]["is_active"], true);
    assert!(json_of(&files, "users")[0].get("password_hash").is_none(), "a secret is given to nobody");
    assert_eq!(json_of(&files, "personal_tokens")[0]["name"], "editor");
    assert!(json_of(&files, "sessions")[0]["created_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(json_of(&files, "role_grants")[0]["organization_id"], org);
    assert_eq!(json_of(&files, "projects").len(), 1);
    assert_eq!(json_of(&files, "projects")[0]["name"], "ada's <b>engine</b>");
    let index = &files["index.html"];
    assert!(index.contains("ada's &lt;b&gt;engine"), "{index}");
    assert!(!index.contains("<b>") && !index.contains("<script"), "{index}");
    for (name, text) in &files {
        assert!(!text.contains("bob"), "{name} tells of somebody else: {text}");
    }

    let trail = json_of(&files, "audit_entries");
    let made = trail.iter().find(|entry| entry["resource_type"] == "project").unwrap();
    assert_eq!((&made["actor"]["name"], &made["after"]), (&json!("ada"), &Value::Null));
    let appointed = trail.iter().find(|entry| entry["action"] == "create" && entry["resource_type"] == "user").unwrap();
    assert_eq!((&appointed["actor"]["name"], &appointed["ip_address"]), (&json!("somebody else"), &Value::Null));
    assert!(trail.iter().any(|entry| entry["action"] == "login"), "{trail:?}");

    // What is written for an organisation stays there when one leaves.
    let me = app.call("GET", "/api/auth/me", Some(&ada), None).await.body["user"]["id"].as_i64().unwrap();
    app.cli_json(&["member", "remove", "acme", "ada"], "");
    let files = saved(&app, &["user", "export", "ada"]);
    let project = &json_of(&files, "projects")[0];
    assert_eq!((project["created_by"].as_str(), project.get("name")), (Some("ada"), None));

    for (token, address, wanted) in [
        (Some(&bob), format!("/api/users/{me}/export"), 403),
        (Some(&ada), "/api/users/me/export".to_owned(), 200),
        (None, "/api/users/me/export".to_owned(), 401),
    ] {
        let reply = app.call("GET", &address, token.map(String::as_str), None).await;
        assert_eq!(reply.status, wanted, "{address}: {}", reply.body);
    }
    let nobody = app.cli(&["user", "export", "--out", "/dev/null"], "");
    assert!(String::from_utf8(nobody.stderr).unwrap().contains("the local operator has none"));
    let told = app.cli_json(&["audit", "list", "--action", "export"], "");
    assert_eq!(told["items"].as_array().unwrap().len(), 3, "{told}");
}

#[tokio::test]
async fn an_export_of_many_rows_is_whole() {
    let app = App::start();
    app.org("acme");
    app.person("ada", "developer", Some("acme")).await;
    let ada = app.cli_json(&["user", "list"], "")["items"][0]["id"].as_i64().unwrap();
    let rows: Vec<String> =
        (0..1500).map(|n| format!("({}, 1, 'llm_tokens', {n}, {ada}, 'api', 5)", 9_000 + n)).collect();
    app.sql(&format!(
        "INSERT INTO usage_records (id, organization_id, resource, amount, user_id, source, at) VALUES {}",
        rows.join(", ")
    ));
    let files = saved(&app, &["user", "export", "ada"]);
    let amounts: Vec<i64> =
        json_of(&files, "usage_records").iter().map(|row| row["amount"].as_i64().unwrap()).collect();
    assert_eq!(amounts, (0..1500).collect::<Vec<i64>>());
    assert!(files["index.html"].contains("All 1500 rows"));
}

/// Nobody and nothing else carries this word, nor calls from this address or with this program.
const NAME: &str = "zephyrine";
const ADDRESS: &str = "127.0.0.77";

/// A call from [`ADDRESS`] with a user agent that names its owner; the body of the answer.
async fn call_from_afar(app: &App, method: &str, path: &str, token: &str, body: &Value) -> Value {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    let from: Ipv4Addr = ADDRESS.parse().unwrap();
    socket.bind(SocketAddrV4::new(from, 0).into()).unwrap();
    let stream = socket.connect(app.address.parse().unwrap()).await.unwrap().into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    let (body, mut stream) = (body.to_string(), stream);
    let token = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: Computer of {NAME}\r\nconnection: close\r\n{token}\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        app.address,
        body.len()
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 2"), "{method} {path}: {reply}");
    serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap_or_default()
}

/// Somebody who has left traces wherever a person does; their token and number.
async fn somebody_everywhere(app: &App, root: &str, models: &ModelServer) -> (String, i64) {
    let org = app.org("acme");
    app.person("olga", "org_admin", Some("acme")).await;
    let provider = json!({"name": "models", "base_url": models.url(), "organization_id": org});
    assert_eq!(app.call("POST", "/api/llm/providers", Some(root), Some(provider)).await.status, 201);
    app.person(NAME, "developer", Some("acme")).await;
    let login = json!({"username": NAME, "password": PASSWORD});
    let signed_in = call_from_afar(app, "POST", "/api/auth/login", "", &login).await;
    let token = signed_in["access_token"].as_str().unwrap().to_owned();
    let id = signed_in["user"]["id"].as_i64().unwrap();
    let make = async |path: &str, body: Value| call_from_afar(app, "POST", path, &token, &body).await;
    make("/api/tokens", json!({"name": format!("editor of {NAME}")})).await;
    let project = make("/api/projects", json!({"name": "shop", "requirements": "Sell."})).await["id"].clone();
    let file = json!({"path": "a.py", "content": "print(1)\n"});
    make(&format!("/api/projects/{project}/files"), file).await;
    make(&format!("/api/projects/{project}/runs"), json!({"requirement": "Build.", "model": MODEL})).await;
    app.org("elsewhere");
    let boss = app.person("boss", "org_admin", Some("elsewhere")).await;
    let there = app.cli_json(&["org", "show", "elsewhere"], "")["id"].clone();
    let invitation = json!({"email": format!("{NAME}@example.org"), "role": "developer"});
    let sent =
        app.call("POST", &format!("/api/organizations/{there}/invitations"), Some(&boss), Some(invitation)).await;
    assert_eq!(sent.status, 201, "{}", sent.body);
    let wrong = json!({"username": NAME, "password": "not their password"});
    assert_eq!(app.call("POST", "/api/auth/login", None, Some(wrong)).await.status, 401);
    app.sql(&format!(
        "INSERT INTO notices (id, user_id, kind, text, created_at) \
         SELECT 900001, id, 'test', '{NAME} ({NAME}@example.org) joined.', 1 FROM users WHERE username = 'olga'"
    ));
    (token, id)
}

/// Files below a folder in which a word stands, in any case. What people wrote is the organisation's.
fn files_with(folder: &Path, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "blobs" {
            found.extend(files_with(&path, word));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap().to_ascii_lowercase();
            let at = bytes.windows(word.len()).position(|part| part == word.as_bytes());
            found.extend(at.map(|at| {
                let around = &bytes[at.saturating_sub(80)..(at + 80).min(bytes.len())];
                format!("{}: {}", path.display(), String::from_utf8_lossy(around))
            }));
        }
    }
    found
}

/// Columns of the database in which a word stands, in any case.
async fn columns_with(app: &App, root: &str, word: &str) -> Vec<String> {
    let inventory = app.call("GET", "/api/privacy/inventory", Some(root), None).await.body;
    let mut found = Vec::new();
    for table in inventory["tables"].as_array().unwrap() {
        let name = table["table"].as_str().unwrap();
        if name == "ids" {
            continue;
        }
        for column in table["columns"].as_array().unwrap() {
            let column = column["column"].as_str().unwrap();
            // Refused where it is found; both engines say so.
            let probe = format!(
                "CREATE TEMPORARY TABLE probe (n BIGINT NOT NULL CHECK (n = 0)); INSERT INTO probe (n) \
                 SELECT COUNT(*) FROM {name} WHERE lower(CAST({column} AS TEXT)) LIKE '%{word}%'; DROP TABLE probe"
            );
            if app.try_sql(&probe).is_err() {
                found.push(format!("{name}.{column}"));
            }
        }
    }
    found
}

#[tokio::test]
async fn nothing_in_the_database_or_its_files_tells_of_somebody_who_was_erased() {
    let app = App::start();
    let models = ModelServer::start(|request| match request.body["stream"].as_bool() {
        Some(true) => Answer::half("").and_silence(),
        _ => Answer::json(200, PLAIN),
    });
    let root = app.person("root", "admin", None).await;
    let (token, id) = somebody_everywhere(&app, &root, &models).await;
    let seen = columns_with(&app, &root, NAME).await;
    for column in [
        "users.email",
        "invitations.email",
        "projects.created_by",
        "files.updated_by",
        "runs.created_by",
        "notices.text",
    ] {
        assert!(seen.iter().any(|one| one == column), "{column} tells of them before: {seen:?}");
    }

    let address = format!("/api/users/{id}/erase");
    let wrong = app.call("POST", &address, Some(&root), Some(json!({"username": "zephyrin"}))).await;
    assert_eq!((wrong.status, &wrong.body["code"]), (400, &json!("not_confirmed")));
    let erased = app.cli_json(&["user", "erase", NAME, "--confirm", NAME], "");
    assert_eq!(erased["person_id"], id);
    assert!(erased["not_erased"].as_array().unwrap().len() > 2, "{erased}");

    for word in [NAME, ADDRESS] {
        assert_eq!(columns_with(&app, &root, word).await, Vec::<String>::new(), "{word}");
        assert_eq!(files_with(app.dir.path(), word), Vec::<String>::new(), "{word}");
    }
    assert_eq!(app.call("GET", "/api/auth/me", Some(&token), None).await.status, 401);
    let project = app.cli_json(&["project", "list"], "")["items"][0].clone();
    assert_eq!(project["created_by"], format!("erased person {id}"));
    let runs = app.call("GET", &format!("/api/projects/{}/runs", project["id"]), Some(&root), None).await.body;
    assert_eq!(
        (&runs["items"][0]["status"], &runs["items"][0]["created_by"]),
        (&json!("canceled"), &project["created_by"])
    );
    let trail = app.cli_json(&["audit", "list", "--limit", "100"], "");
    let theirs: Vec<&Value> =
        trail["items"].as_array().unwrap().iter().filter(|entry| entry["actor"]["id"] == id).collect();
    assert!(theirs.len() > 3 && theirs.iter().all(|entry| entry["actor"]["name"] == format!("erased person {id}")));
    assert!(app.cli(&["audit", "verify"], "").status.success(), "no entry was touched");
    let gone = app.call("GET", &format!("/api/users/{id}/export"), Some(&root), None).await;
    let again = app.call("POST", &address, Some(&root), Some(json!({"username": NAME}))).await;
    assert_eq!((gone.status, again.status), (404, 404));
}

#[tokio::test]
async fn one_erases_oneself_with_the_password_and_the_last_owner_stays() {
    let app = App::start();
    app.org("acme");
    app.person("olga", "org_admin", Some("acme")).await;
    let root = app.person("root", "admin", None).await;
    let ada = app.person("ada", "developer", Some("acme")).await;
    let id = async |token: &str| {
        app.call("GET", "/api/auth/me", Some(token), None).await.body["user"]["id"].as_i64().unwrap()
    };
    let (ada_id, root_id) = (id(&ada).await, id(&root).await);
    let erase = async |token: &str, id: i64, body: Value| {
        let reply = app.call("POST", &format!("/api/users/{id}/erase"), Some(token), Some(body)).await;
        (reply.status, reply.body["code"].as_str().unwrap_or_default().to_owned())
    };
    let refused = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(erase(&ada, ada_id, json!({"username": "ada"})).await, refused(403, "password_missing"));
    let wrong = json!({"username": "ada", "password": "wrong wrong wrong"});
    assert_eq!(erase(&ada, ada_id, wrong).await, refused(403, "password_wrong"));
    assert_eq!(erase(&ada, root_id, json!({"username": "root"})).await, refused(403, "forbidden"));
    let last = json!({"username": "root", "password": PASSWORD});
    assert_eq!(erase(&root, root_id, last).await, refused(409, "last_owner"));
    let olga = app.cli(&["user", "erase", "olga", "--confirm", "olga"], "");
    assert!(String::from_utf8(olga.stderr).unwrap().contains("last org_admin"));
    let right = json!({"username": "ada", "password": PASSWORD});
    assert_eq!(erase(&ada, ada_id, right).await, refused(200, ""));
    assert_eq!(app.call("GET", "/api/auth/me", Some(&ada), None).await.status, 401);
    // The name is free for somebody else, who has nothing of hers.
    let another = app.person("ada", "developer", Some("acme")).await;
    assert_ne!(id(&another).await, ada_id);
}

#[tokio::test]
async fn a_restored_database_does_not_bring_back_who_was_erased() {
    let mut app = App::start();
    if std::env::var_os("RESOFTAI_TEST_POSTGRES_URL").is_some() {
        // The database of that site is not in the folder that is put back here.
        return;
    }
    app.org("acme");
    app.person("root", "admin", None).await;
    let ada = app.person("ada", "developer", Some("acme")).await;
    assert_eq!(app.terminate(), 0);
    let (database, backup) = (app.dir.path().join("resoftai.db"), app.dir.path().join("backup.db"));
    std::fs::copy(&database, &backup).unwrap();
    app.crash_and_restart();
    app.cli_json(&["user", "erase", "ada", "--confirm", "ada"], "");
    assert_eq!(app.terminate(), 0);
    std::fs::copy(&backup, &database).unwrap();
    std::fs::remove_file(&backup).unwrap();
    app.crash_and_restart();
    assert_eq!(app.call("GET", "/api/auth/me", Some(&ada), None).await.status, 401);
    let users = app.cli_json(&["user", "list"], "");
    assert_eq!(users["items"].as_array().unwrap().len(), 1, "{users}");
    assert_eq!(files_with(app.dir.path(), "ada@example.org"), Vec::<String>::new());

    // Who gets a number anew that was an erased person's is somebody else.
    let list = app.dir.path().join("erasures.jsonl");
    let told = std::fs::read_to_string(&list).unwrap();
    let root = users["items"][0]["id"].as_i64().unwrap();
    std::fs::write(&list, format!("{told}{{\"person\":{root},\"account_created_at\":5,\"erased_at\":6}}\n")).unwrap();
    app.crash_and_restart();
    assert_eq!(app.cli_json(&["user", "list"], "")["items"].as_array().unwrap().len(), 1);
}

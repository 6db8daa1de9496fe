//! Backups through the door: taken while people write, proven, pruned, put back on another machine, refused when damaged.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{self, App};

const PASSPHRASE: &str = "correct horse battery staple";

/// A site whose backups go to the folder beside it; None on PostgreSQL, where this version takes none.
async fn site() -> Option<(App, TempDir, String)> {
    let app = App::start();
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("backups").display().to_string();
    if app::database_of(app.dir.path()).is_some() {
        let refused = app.cli(&["--json", "backup", "init", &repository, "--passphrase-stdin"], PASSPHRASE);
        assert!(String::from_utf8_lossy(&refused.stderr).contains("backup_postgres"));
        assert!(!Path::new(&repository).exists());
        return None;
    }
    let arguments = ["backup", "init", &repository, "--passphrase-stdin", "--every-hours", "0"];
    app.cli_json(&arguments, PASSPHRASE);
    Some((app, folder, repository))
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(all_files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Text that does not get smaller.
fn noise(of: usize) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let word = |number: usize| {
        let mut hasher = DefaultHasher::new();
        (of, number).hash(&mut hasher);
        format!(" {:x}", hasher.finish())
    };
    (0..500).map(word).collect()
}

async fn project_with_files(app: &App, token: &str, name: &str, files: usize) -> i64 {
    let body = json!({"name": name, "requirements": "to be kept"});
    let project = app.call("POST", "/api/projects", Some(token), Some(body)).await;
    assert_eq!(project.status, 201, "{}", project.body);
    let id = project.body["id"].as_i64().unwrap();
    for number in 0..files {
        let path = format!("/api/projects/{id}/files");
        let body = json!({"path": format!("src/{number}.txt"), "content": format!("{name} {number}{}", noise(number))});
        let reply = app.call("POST", &path, Some(token), Some(body)).await;
        assert!(reply.status < 300, "{}", reply.body);
    }
    id
}

/// Restores into `target` without any server; what the command printed.
fn restore(repository: &str, target: &Path, more: &[&str]) -> Result<Value, String> {
    let output = run(repository, target, more, PASSPHRASE);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        return Err(text(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

fn run(repository: &str, target: &Path, more: &[&str], passphrase: &str) -> std::process::Output {
    use std::io::Write;
    let mut child = std::process::Command::new(app::BINARY)
        .args(["--json", "--data-dir"])
        .arg(target)
        .args(["restore", repository, "--passphrase-stdin"])
        .args(more)
        .env_clear()
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(passphrase.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[tokio::test]
async fn a_site_comes_back_on_another_machine_with_everything_it_had() {
    let Some((app, folder, repository)) = site().await else { return };
    app.org("acme");
    let token = app.person("ada", "org_admin", Some("acme")).await;
    let id = project_with_files(&app, &token, "kept", 5).await;
    let taken = app.cli_json(&["backup", "create"], "");
    assert_eq!((&taken["status"], &taken["proof"]["problems"]), (&json!("done"), &json!([])), "{taken}");
    assert!(taken["proof"]["contents"].as_i64().unwrap() >= 5, "{taken}");
    assert!(taken["proof"]["audit_entries"].as_i64().unwrap() > 0, "{taken}");
    // What comes later is not in it.
    project_with_files(&app, &token, "later", 1).await;
    drop(app);

    let machine = tempfile::tempdir().unwrap();
    let target = machine.path().join("data");
    let listed = restore(&repository, &target, &["--list"]).unwrap();
    assert_eq!(listed["items"][0]["id"], taken["name"]);
    assert!(!target.exists());
    let restored = restore(&repository, &target, &[]).unwrap();
    assert_eq!(restored["backup"]["id"], taken["name"]);
    assert_eq!(restored["before"], Value::Null);

    // The site as it was: people sign in, files are there, the trail says what happened.
    std::fs::rename(&target, folder.path().join("data")).unwrap();
    let home = tempfile::tempdir_in(folder.path()).unwrap();
    for entry in std::fs::read_dir(folder.path().join("data")).unwrap().map(Result::unwrap) {
        std::fs::rename(entry.path(), home.path().join(entry.file_name())).unwrap();
    }
    let again = App::start_in(home);
    let login = json!({"username": "ada", "password": app::PASSWORD});
    let login = again.call("POST", "/api/auth/login", None, Some(login)).await;
    assert_eq!(login.status, 200, "{}", login.body);
    let token = login.body["access_token"].as_str().unwrap();
    let files = again.call("GET", &format!("/api/projects/{id}/files"), Some(token), None).await;
    let files = files.body["items"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == "src/3.txt").unwrap();
    let file = again.call("GET", &format!("/api/files/{}", file["id"]), Some(token), None).await;
    assert_eq!(file.body["content"], format!("kept 3{}", noise(3)));
    let projects = again.call("GET", "/api/projects", Some(token), None).await;
    assert_eq!(projects.body["items"].as_array().unwrap().len(), 1);
    let trail = again.cli_json(&["audit", "list", "--resource", "restore"], "");
    assert!(trail["items"][0]["description"].as_str().unwrap().contains(taken["name"].as_str().unwrap()), "{trail}");
    again.until_sequenced("acme").await;
}

#[tokio::test]
async fn only_what_is_new_is_written_and_pruning_leaves_the_rest_whole() {
    let Some((app, _folder, repository)) = site().await else { return };
    app.org("acme");
    let token = app.person("ada", "org_admin", Some("acme")).await;
    project_with_files(&app, &token, "first", 20).await;
    let first = app.cli_json(&["backup", "create"], "");
    let second = app.cli_json(&["backup", "create"], "");
    let new = |record: &Value| record["summary"]["new_bytes"].as_i64().unwrap();
    assert!(new(&second) * 2 < new(&first), "{} then {}", new(&first), new(&second));
    project_with_files(&app, &token, "second", 20).await;
    let third = app.cli_json(&["backup", "create"], "");
    let arguments =
        ["backup", "schedule", "--keep-last", "1", "--keep-daily", "0", "--keep-weekly", "0", "--keep-monthly", "0"];
    app.cli_json(&arguments, "");
    let dry = app.cli_json(&["backup", "prune", "--dry-run"], "");
    assert_eq!(dry["kept"], json!([third["name"]]));
    let before = all_files(Path::new(&repository)).len();
    let pruned = app.cli_json(&["backup", "prune"], "");
    assert_eq!(pruned["removed"], json!([first["name"], second["name"]]));
    assert!(all_files(Path::new(&repository)).len() < before);
    let list = app.cli_json(&["backup", "list"], "");
    let states: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|item| item["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["done", "pruned", "pruned"]);
    let proven = app.cli_json(&["backup", "verify"], "");
    assert_eq!(proven["proof"]["problems"], json!([]), "{proven}");
    let machine = tempfile::tempdir().unwrap();
    restore(&repository, &machine.path().join("data"), &[]).unwrap();
}

#[tokio::test]
async fn what_was_damaged_or_is_in_use_is_refused_and_nothing_changes() {
    let Some((app, folder, repository)) = site().await else { return };
    app.org("acme");
    let token = app.person("ada", "org_admin", Some("acme")).await;
    project_with_files(&app, &token, "kept", 5).await;
    app.cli_json(&["backup", "create"], "");
    let data = app.dir.path().to_owned();
    let machine = tempfile::tempdir().unwrap();
    let target = machine.path().join("data");

    // Over a server that lives; into what holds something; with another passphrase.
    assert!(restore(&repository, &data, &["--replace"]).unwrap_err().contains("restore_in_use"));
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("mine"), "mine").unwrap();
    assert!(restore(&repository, &target, &[]).unwrap_err().contains("restore_not_empty"));
    let wrong = run(&repository, &target, &["--replace"], "another passphrase");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("backup_passphrase"));
    assert!(restore(folder.path().to_str().unwrap(), &target, &[]).unwrap_err().contains("backup_no_repository"));

    // Each kind of file, one byte changed in the middle, and cut off.
    let files = all_files(Path::new(&repository));
    for part in ["packs", "index", "backups", "key.age"] {
        let path = files.iter().find(|path| path.display().to_string().contains(&format!("/{part}"))).unwrap();
        let whole = std::fs::read(path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [flipped, whole[..whole.len() - 1].to_vec(), Vec::new()] {
            std::fs::write(path, damaged).unwrap();
            let error = restore(&repository, &target, &["--replace"]).unwrap_err();
            assert!(error.contains("backup_damaged") || error.contains("backup_passphrase"), "{part}: {error}");
            assert_eq!(std::fs::read_to_string(target.join("mine")).unwrap(), "mine");
            assert_eq!(std::fs::read_dir(machine.path()).unwrap().count(), 1);
        }
        std::fs::write(path, whole).unwrap();
    }
    // The server finds it too, and says so.
    let pack = files.iter().find(|path| path.display().to_string().contains("/packs/")).unwrap();
    let whole = std::fs::read(pack).unwrap();
    std::fs::write(pack, &whole[1..]).unwrap();
    let failed = app.cli(&["--json", "backup", "verify"], "");
    assert!(!failed.status.success());
    assert!(String::from_utf8_lossy(&failed.stderr).contains("backup_unproven"));
    std::fs::write(pack, whole).unwrap();

    // Whole again, what was there is kept beside it.
    let restored = restore(&repository, &target, &["--replace"]).unwrap();
    let before = PathBuf::from(restored["before"].as_str().unwrap());
    assert_eq!(std::fs::read_to_string(before.join("mine")).unwrap(), "mine");
}

#[tokio::test]
async fn backups_are_for_who_runs_the_site_and_go_to_a_place_that_can_be() {
    let Some((app, folder, repository)) = site().await else { return };
    app.org("acme");
    let admin = app.person("ada", "org_admin", Some("acme")).await;
    for (method, path) in [("GET", "/api/backup"), ("POST", "/api/backups"), ("POST", "/api/backup/prune")] {
        let reply = app.call(method, path, Some(&admin), None).await;
        assert!(matches!(reply.status, 403 | 404), "{method} {path}: {}", reply.body);
    }
    let inside = app.dir.path().join("backups").display().to_string();
    for (folder, code) in
        [("relative", "backup_folder"), (&inside, "backup_folder"), (&format!("{repository}/../x"), "backup_folder")]
    {
        let refused = app.cli(&["--json", "backup", "init", folder, "--passphrase-stdin"], PASSPHRASE);
        assert!(String::from_utf8_lossy(&refused.stderr).contains(code), "{folder}");
    }
    let elsewhere = folder.path().join("other").display().to_string();
    let short = app.cli(&["--json", "backup", "init", &elsewhere, "--passphrase-stdin"], "short");
    assert!(String::from_utf8_lossy(&short.stderr).contains("backup_lock"));
    let stranger = app.cli(&["--json", "backup", "init", &elsewhere, "--recipient", "age1nobody"], "");
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("backup_recipient"));
    assert!(!Path::new(&elsewhere).exists());
    // The same place again, with its passphrase: it is gone on with.
    app.cli_json(&["backup", "init", &repository, "--passphrase-stdin", "--at-hour", "3"], PASSPHRASE);
    let status = app.cli_json(&["backup", "show"], "");
    assert_eq!(status["target"]["schedule"], json!({"every": "day", "hour": 3}));
    assert!(status["target"]["next_at"].is_string());
}

//! `resoftai doctor` on sites in order and on sites where something is wrong, each thing staged for real.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use resoftai::base::clock::Clock;
use serde_json::Value;
use tempfile::TempDir;

use crate::app::{App, BINARY, database_of, sql_texts, try_sql};
use crate::full_disk::Disk;
use crate::vendor;

/// What the doctor says of a data directory, without the environment of this test.
fn output(dir: &Path, settings: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.env_clear().envs(vendor::settings()).envs(settings.iter().copied());
    command.args(["--json", "doctor", "--data-dir"]).arg(dir).args(arguments);
    if let Some(url) = database_of(dir) {
        command.env("DATABASE_URL", url);
    }
    command.output().unwrap()
}

/// Level, what was seen, and the mend, by code; the worst of several with one code.
fn checks(output: &Output) -> BTreeMap<String, (String, String, String)> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let mut found: BTreeMap<String, (String, String, String)> = BTreeMap::new();
    for check in report["checks"].as_array().unwrap() {
        let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
        let new = (text("level"), text("seen"), text("mend"));
        let rank = |level: &str| ["pass", "warn", "fail"].iter().position(|known| *known == level).unwrap();
        assert_eq!(new.0 == "pass", new.2.is_empty(), "what is wrong has a mend: {check}");
        match found.get(&text("code")) {
            Some(known) if rank(&known.0) >= rank(&new.0) => {}
            _ => drop(found.insert(text("code"), new)),
        }
    }
    found
}

fn look(dir: &Path, settings: &[(&str, &str)]) -> BTreeMap<String, (String, String, String)> {
    checks(&output(dir, settings, &[]))
}

/// Fails by this code, with these words in what was seen; and so does the command.
#[track_caller]
fn fails(dir: &Path, settings: &[(&str, &str)], code: &str, words: &str) -> String {
    let output = output(dir, settings, &[]);
    let (level, seen, mend) = checks(&output).remove(code).unwrap_or_else(|| panic!("no {code}: {output:?}"));
    assert_eq!(level, "fail", "{seen}");
    assert!(seen.contains(words), "{seen}");
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(said["code"], "doctor_failed", "{said}");
    assert!(said["detail"].as_str().unwrap().contains(code), "{said}");
    mend
}

/// A site that was served once, and is not.
fn stopped() -> TempDir {
    let mut app = App::start();
    app.org("acme");
    assert_eq!(app.terminate(), 0);
    let dir = app.into_dir();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    dir
}

/// Everything below a folder: path, mode, size and when it was changed.
fn listing(folder: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(&at).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let metadata = path.symlink_metadata().unwrap();
            let [mode, size] = [u64::from(metadata.mode()), metadata.size()];
            found.push(format!("{} {mode:o} {size} {}", path.display(), metadata.mtime_nsec()));
            if metadata.is_dir() {
                left.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_site_that_stands_still_passes_and_is_left_as_it_is() {
    let dir = stopped();
    let before = listing(dir.path());
    let output = output(dir.path(), &[("RESOFTAI_SERVER_LISTEN", "127.0.0.1:0")], &[]);
    assert!(output.status.success(), "{output:?}");
    let checks = checks(&output);
    assert_eq!(checks["server"].0, "warn", "{:?}", checks["server"]);
    for code in ["config", "data_dir", "data_files", "database", "audit", "clock", "licence", "mirror", "kernel"] {
        assert_eq!(checks[code].0, "pass", "{code}: {:?}", checks[code]);
    }
    if database_of(dir.path()).is_none() {
        assert_eq!(checks["database_integrity"].0, "pass");
        assert_eq!(checks["backup"].0, "warn", "none was ever taken");
    }
    assert_eq!(listing(dir.path()), before, "the doctor changed something");
}

#[test]
fn a_site_that_is_served_is_asked_and_its_port_is_known() {
    let app = App::start_https();
    let settings = [("RESOFTAI_SERVER_LISTEN", app.address.as_str())];
    let checks = look(app.dir.path(), &settings);
    for code in
        ["server", "server_version", "port", "certificate", "certificate_expiry", "certificate_names", "database"]
    {
        assert_eq!(checks[code].0, "pass", "{code}: {:?}", checks[code]);
    }
    assert!(checks["port"].1.contains(&app.process_id().to_string()), "{:?}", checks["port"]);
    let elsewhere = look(app.dir.path(), &[("RESOFTAI_SERVER_LISTEN", "127.0.0.1:0")]);
    assert_eq!(elsewhere["port"].0, "warn", "it listens on another one: {:?}", elsewhere["port"]);
}

#[test]
fn what_is_told_to_people_has_a_line_a_check_and_strict_counts_warnings() {
    let dir = stopped();
    let said = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.env_clear().envs(vendor::settings());
        command.args(["doctor", "--data-dir"]).arg(dir.path()).args(arguments);
        if let Some(url) = database_of(dir.path()) {
            command.env("DATABASE_URL", url);
        }
        command.env("RESOFTAI_SERVER_LISTEN", "127.0.0.1:0").output().unwrap()
    };
    let text = String::from_utf8(said(&[]).stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("PASS database ")), "{text}");
    assert!(text.contains("WARN server ") && text.contains("-> systemctl start resoftai"), "{text}");
    assert!(text.trim_end().ends_with(" 0 failed."), "{text}");
    assert_eq!(said(&["--strict"]).status.code(), Some(1));
}

#[test]
fn a_configuration_that_no_start_takes_is_told_of_and_the_machine_still_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    fails(dir.path(), &[("RESOFTAI_SERVER_LISEN", "x")], "config", "Did you mean RESOFTAI_SERVER_LISTEN?");
    fails(dir.path(), &[("RESOFTAI_SERVER_LISTEN", "nowhere")], "config", "server.listen");
    let mend = fails(dir.path(), &[("RESOFTAI_NETWORK_CA_FILE", "/nowhere.pem")], "config", "/nowhere.pem");
    assert!(mend.contains("resoftai config check"), "{mend}");
    let checks = look(dir.path(), &[("RESOFTAI_SERVER_LISTEN", "nowhere")]);
    assert_eq!(checks["kernel"].0, "pass");
    let useless = look(dir.path(), &[("LLM_API_KEY", "k")]);
    assert_eq!(useless["config_effect"].0, "warn");
    assert_eq!(useless["database"].0, "warn", "there is none yet");
}

#[test]
fn modes_that_let_others_in_are_told_of() {
    let dir = stopped();
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let key = dir.path().join("secrets/master.key");
    set(&key, 0o640);
    let mend = fails(dir.path(), &[], "data_files", "master.key");
    assert_eq!(mend, format!("chmod -R go= {}", dir.path().display()));
    set(&key, 0o600);
    set(dir.path(), 0o755);
    let mend = fails(dir.path(), &[], "data_dir", "0755");
    assert_eq!(mend, format!("chmod 700 {}", dir.path().display()));
    assert!(Command::new("sh").args(["-c", &mend]).status().unwrap().success());
    assert_eq!(look(dir.path(), &[])["data_dir"].0, "pass", "the mend mends");

    let config = dir.path().join("config.toml");
    fs::write(&config, "[llm]\nbase_url = 'http://127.0.0.1:9/v1'\napi_key = 'hunter2'\n").unwrap();
    let named = ["--config", config.to_str().unwrap()];
    for (mode, level, words) in [(0o644, "fail", "llm.api_key"), (0o662, "fail", "write"), (0o640, "pass", "0640")] {
        set(&config, mode);
        let output = output(dir.path(), &[], &named);
        let (found, seen, _) = &checks(&output)["config_file"];
        assert_eq!((found.as_str(), seen.contains(words)), (level, true), "{seen}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("hunter2"));
    }
}

#[test]
fn files_of_somebody_else_are_told_of() {
    let dir = stopped();
    let blobs = dir.path().join("blobs");
    if std::os::unix::fs::chown(&blobs, Some(12345), None).is_err() {
        return;
    }
    let mend = fails(dir.path(), &[], "data_files", "blobs");
    assert!(Command::new("sh").args(["-c", &mend]).status().unwrap().success(), "{mend}");
    assert_eq!(look(dir.path(), &[])["data_files"].0, "pass", "the mend mends");
}

/// A certificate and its key, which end after so many days.
fn certificate(dir: &Path, name: &str, days: i64) -> [String; 2] {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["box.example".to_owned()]).unwrap();
    let now = Clock::system().now().unix_seconds();
    let at = |days: i64| {
        std::time::UNIX_EPOCH + std::time::Duration::from_secs((now + days * 86_400 + 60).try_into().unwrap())
    };
    (parameters.not_before, parameters.not_after) = (at(-400).into(), at(days).into());
    let certificate = parameters.self_signed(&key).unwrap();
    let paths = ["pem", "key"].map(|ending| dir.join(format!("{name}.{ending}")));
    fs::write(&paths[0], certificate.pem()).unwrap();
    fs::write(&paths[1], key.serialize_pem()).unwrap();
    fs::set_permissions(&paths[1], fs::Permissions::from_mode(0o600)).unwrap();
    paths.map(|path| path.display().to_string())
}

#[test]
fn certificates_that_end_or_do_not_fit_are_told_of() {
    let (dir, files) = (stopped(), tempfile::tempdir().unwrap());
    let look_at = |cert: &str, key: &str| {
        let public = "https://resoftai.example";
        let settings = [
            ("RESOFTAI_SERVER_TLS_CERT", cert),
            ("RESOFTAI_SERVER_TLS_KEY", key),
            ("RESOFTAI_SERVER_PUBLIC_URL", public),
        ];
        look(dir.path(), &settings)
    };
    for (days, level) in [(-1, "fail"), (5, "fail"), (20, "warn"), (100, "pass")] {
        let [cert, key] = certificate(files.path(), "some", days);
        let found = look_at(&cert, &key);
        assert_eq!(found["certificate"].0, "pass", "{:?}", found["certificate"]);
        assert_eq!(found["certificate_expiry"].0, level, "{days}: {:?}", found["certificate_expiry"]);
        assert_eq!(found["certificate_names"].0, "warn", "it is for box.example: {:?}", found["certificate_names"]);
    }
    let [cert, key] = certificate(files.path(), "one", 100);
    let [_, other] = certificate(files.path(), "other", 100);
    let found = look_at(&cert, &other);
    assert_eq!(found["certificate"].0, "fail");
    assert!(found["certificate"].1.contains("is not that of the certificate"), "{:?}", found["certificate"]);
    // A start refuses it too.
    assert_eq!(found["config"].0, "fail", "{:?}", found["config"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(look_at(&cert, &key)["certificate"].0, "fail", "everybody reads the key");
    fs::write(&cert, "no certificate").unwrap();
    assert_eq!(look_at(&cert, &key)["certificate"].0, "fail");
}

#[test]
fn a_damaged_page_is_told_of() {
    let dir = stopped();
    if database_of(dir.path()).is_some() {
        return;
    }
    let file = dir.path().join("resoftai.db");
    let page = sql_texts(dir.path(), None, "SELECT CAST(rootpage AS TEXT) FROM sqlite_schema WHERE name = 'users'");
    let mut bytes = fs::read(&file).unwrap();
    let page = 4096 * (page[0].parse::<usize>().unwrap() - 1);
    bytes[page..page + 4096].fill(0xa5);
    fs::write(&file, &bytes).unwrap();
    let mend = fails(dir.path(), &[], "database_integrity", "damaged");
    assert!(mend.contains("resoftai restore"), "{mend}");
    fs::write(&file, "no database, but some text that is longer than a header of sixteen bytes").unwrap();
    fails(dir.path(), &[], "database", "cannot be read");
}

#[test]
fn databases_of_other_versions_are_told_of_and_not_touched() {
    let dir = stopped();
    let database = database_of(dir.path());
    let sql = |statement: &str| try_sql(dir.path(), database.as_deref(), statement).unwrap();
    let count = || sql_texts(dir.path(), database.as_deref(), "SELECT CAST(COUNT(*) AS TEXT) FROM schema_migrations");
    sql("INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (9999, 'later', 'x', 0)");
    let known = count();
    let mend = fails(dir.path(), &[], "database", "9999_later");
    assert!(mend.contains("restore"), "{mend}");
    sql(
        "DELETE FROM schema_migrations WHERE version = 9999 OR version = (SELECT MAX(version) FROM schema_migrations WHERE version < 9999)",
    );
    let older = look(dir.path(), &[]);
    assert_eq!(older["database"].0, "warn", "{:?}", older["database"]);
    assert!(older["database"].1.contains("1 steps have not run"), "{:?}", older["database"]);
    assert!(!older.contains_key("audit"), "the rest is not looked at");
    assert_ne!(count(), known);
    assert_eq!(look(dir.path(), &[])["database"].0, "warn", "no step was run");
}

#[test]
fn a_clock_that_was_set_back_is_told_of() {
    let dir = stopped();
    let year = 365 * 24 * 3600 * 1_000_000_i64;
    let database = database_of(dir.path());
    try_sql(dir.path(), database.as_deref(), &format!("UPDATE installation SET seen_at = seen_at + {year}")).unwrap();
    let mend = fails(dir.path(), &[], "clock", "has already seen");
    assert!(mend.contains("timedatectl"), "{mend}");

    // A program that was made later than now.
    let dir = stopped();
    let program = dir.path().join("resoftai");
    fs::copy(BINARY, &program).unwrap();
    let later = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000);
    fs::File::options().write(true).open(&program).unwrap().set_modified(later).unwrap();
    let mut command = Command::new(&program);
    command.env_clear().args(["--json", "doctor", "--data-dir"]).arg(dir.path());
    if let Some(url) = database_of(dir.path()) {
        command.env("DATABASE_URL", url);
    }
    let found = checks(&command.output().unwrap());
    assert_eq!(found["clock"].0, "fail", "{:?}", found["clock"]);
    assert!(found["clock"].1.contains("before this program was made"), "{:?}", found["clock"]);
}

#[test]
fn a_port_that_a_stranger_has_is_told_of() {
    let dir = stopped();
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stranger.local_addr().unwrap();
    let settings = [("RESOFTAI_SERVER_LISTEN", address.to_string())];
    let settings = [(settings[0].0, settings[0].1.as_str())];
    let mend = fails(dir.path(), &settings, "port", &std::process::id().to_string());
    assert!(mend.contains(&format!(":{}", address.port())), "{mend}");
    fails(dir.path(), &[("RESOFTAI_SERVER_LISTEN", "192.0.2.1:8443")], "port", "cannot be listened on");
}

#[test]
fn a_server_that_hangs_is_told_of() {
    let dir = stopped();
    // Takes connections, and never answers.
    let _hanging = std::os::unix::net::UnixListener::bind(dir.path().join("run/resoftai.sock")).unwrap();
    fails(dir.path(), &[], "server", "no answer to /healthz within 5 s");
}

#[test]
fn an_entry_of_the_trail_that_was_changed_is_told_of() {
    let mut app = App::start();
    app.org("acme");
    let started = std::time::Instant::now();
    while !app.cli(&["audit", "verify", "--org", "acme"], "").status.success() {
        assert!(started.elapsed() < std::time::Duration::from_secs(30));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(app.terminate(), 0);
    let dir = app.into_dir();
    if database_of(dir.path()).is_some() {
        return;
    }
    let triggers = sql_texts(
        dir.path(),
        None,
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'audit_entries'",
    );
    for trigger in triggers {
        try_sql(dir.path(), None, &format!("DROP TRIGGER {trigger}")).unwrap();
    }
    try_sql(dir.path(), None, "UPDATE audit_entries SET action = 'delete'").unwrap();
    let mend = fails(dir.path(), &[], "audit", "are not as their logs say");
    assert!(mend.contains("resoftai audit verify"), "{mend}");
    fs::remove_file(dir.path().join("secrets/audit.key")).unwrap();
    fails(dir.path(), &[], "audit", "is missing");
}

#[test]
fn backups_that_were_not_taken_are_told_of() {
    let mut app = App::start();
    if database_of(app.dir.path()).is_some() {
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    let folder = disk.path().join("backups");
    app.cli_json(&["backup", "init", folder.to_str().unwrap(), "--passphrase-stdin"], "a long passphrase of mine");
    assert_eq!(look(app.dir.path(), &[])["backup"].0, "warn", "none was completed");
    app.cli_json(&["backup", "create"], "");
    let found = look(app.dir.path(), &[]);
    assert_eq!([&found["backup"].0, &found["backup_proof"].0], ["pass", "pass"], "{found:?}");
    assert!(found.contains_key("space_backup"));
    assert_eq!(app.terminate(), 0);
    app.sql("UPDATE backups SET finished_at = finished_at - 864000000000");
    fails(app.dir.path(), &[], "backup", "there should be a newer one");
    app.sql(r#"UPDATE backups SET proof = REPLACE(proof, '"problems":[]', '"problems":["Table users has 0 rows."]')"#);
    fails(app.dir.path(), &[], "backup_proof", "Table users has 0 rows.");
    fs::rename(&folder, disk.path().join("away")).unwrap();
    fails(app.dir.path(), &[], "space_backup", "cannot be looked at");
}

#[test]
fn a_model_server_that_is_away_is_told_of() {
    let dir = stopped();
    let found = look(dir.path(), &[("LLM_API_BASE", "http://127.0.0.1:9/v1")]);
    assert_eq!(found["models"].0, "warn", "{:?}", found["models"]);
    assert!(found["models"].1.contains("http://127.0.0.1:9/v1"), "{:?}", found["models"]);
}

#[test]
fn few_open_files_are_told_of() {
    let dir = stopped();
    let script = format!("ulimit -n 256; exec {BINARY} --json doctor --data-dir '{}'", dir.path().display());
    let mut command = Command::new("sh");
    command.env_clear().args(["-c", &script]);
    if let Some(url) = database_of(dir.path()) {
        command.env("DATABASE_URL", url);
    }
    let found = checks(&command.output().unwrap());
    assert_eq!(found["open_files"].0, "warn", "{:?}", found["open_files"]);
    assert!(found["open_files"].1.contains("256"), "{:?}", found["open_files"]);
}

// Where it cannot be run, it says so.
#[allow(clippy::print_stderr)]
#[test]
fn a_full_disk_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(dir.path()) else {
        eprintln!("not tested: only root may mount a small disk");
        return;
    };
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let mut app = App::start_in(dir);
    assert_eq!(app.terminate(), 0);
    disk.fill();
    let mend = fails(app.dir.path(), &[], "space_data", "of 64.0 MiB are free");
    assert!(mend.starts_with("Free some space"), "{mend}");
    drop(app);
}

//! A server under test, and actors that talk to it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::vendor;

pub const BINARY: &str = env!("CARGO_BIN_EXE_resoftai");
pub const PASSWORD: &str = "correct horse battery";

pub struct App {
    pub dir: TempDir,
    pub address: String,
    /// Of the certificate, when the server speaks HTTPS.
    pub fingerprint: Option<String>,
    database: Option<String>,
    /// Environment variables the server is started with.
    settings: Vec<(String, String)>,
    process: Child,
}

pub struct Reply {
    pub status: u16,
    pub headers: hyper::HeaderMap,
    pub body: Value,
}

impl App {
    /// Starts the binary on an empty data directory and waits until it says where it answers.
    pub fn start() -> Self {
        Self::start_with(&["--http"], &[])
    }

    /// The same over HTTPS, with a certificate of its own.
    pub fn start_https() -> Self {
        Self::start_with(&[], &[])
    }

    /// The same over HTTP, with environment variables.
    pub fn start_with_settings(settings: &[(&str, &str)]) -> Self {
        Self::start_with(&["--http"], settings)
    }

    /// The same over HTTP, without a licence; one of the test's vendor counts.
    pub fn start_unlicensed() -> Self {
        Self::start_with_settings(&[("RESOFTAI_LICENCE_TRUSTED_KEYS", &vendor::key().to_string())])
    }

    /// The same over HTTP, with `dir` as the data directory.
    pub fn start_in(dir: TempDir) -> Self {
        Self::start_at(dir, &["--http"], &[])
    }

    /// Another server of the same site: the same PostgreSQL database and the same secrets, a data directory of its own.
    pub fn beside(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let secrets = dir.path().join("secrets");
        std::fs::create_dir(&secrets).unwrap();
        for secret in std::fs::read_dir(self.dir.path().join("secrets")).unwrap().map(Result::unwrap) {
            std::fs::copy(secret.path(), secrets.join(secret.file_name())).unwrap();
        }
        let database = self.database.clone();
        let (process, address, fingerprint) = launch(&dir, database.as_deref(), &["--http"], &self.settings);
        Self { dir, address, fingerprint, database, settings: self.settings.clone(), process }
    }

    fn start_with(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::start_at(tempfile::tempdir().unwrap(), arguments, settings)
    }

    fn start_at(dir: TempDir, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let settings: Vec<_> = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let database = database_of(dir.path());
        let (process, address, fingerprint) = launch(&dir, database.as_deref(), arguments, &settings);
        Self { dir, address, fingerprint, database, settings, process }
    }

    /// Kills the process as a power cut would and starts it again on the same data.
    pub fn crash_and_restart(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let arguments: &[&str] = if self.fingerprint.is_some() { &[] } else { &["--http"] };
        (self.process, self.address, self.fingerprint) =
            launch(&self.dir, self.database.as_deref(), arguments, &self.settings);
    }

    /// Asks the server to stop; its exit code.
    pub fn terminate(&mut self) -> i32 {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.process.wait().unwrap().code().unwrap()
    }

    /// Its data directory, for another server; this one is stopped.
    pub fn into_dir(mut self) -> TempDir {
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    /// The server's process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Changes the database behind the server's back, as only time can otherwise.
    pub fn sql(&self, statement: &str) {
        self.try_sql(statement).unwrap();
    }

    /// The same; what the database says when it refuses.
    pub fn try_sql(&self, statement: &str) -> Result<(), String> {
        try_sql(self.dir.path(), self.database.as_deref(), statement)
    }

    /// The first column of what a query finds, as the database keeps it.
    pub fn sql_texts(&self, query: &str) -> Vec<String> {
        sql_texts(self.dir.path(), self.database.as_deref(), query)
    }

    /// Runs a command on the box, with `input` as standard input.
    pub fn cli(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(BINARY)
            .arg("--data-dir")
            .arg(self.dir.path())
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs a command that must succeed; its JSON.
    pub fn cli_json(&self, arguments: &[&str], input: &str) -> Value {
        let output = self.cli(&[&["--json"], arguments].concat(), input);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A person with `role` in `org` (null: over the site), signed in; their access token.
    pub async fn person(&self, name: &str, role: &str, org: Option<&str>) -> String {
        let email = format!("{name}@example.org");
        let mut arguments = vec!["admin", "create-user", "--username", name, "--email", &email, "--role", role];
        if let Some(org) = org {
            arguments.extend(["--org", org]);
        }
        arguments.push("--password-stdin");
        self.cli_json(&arguments, PASSWORD);
        let reply =
            self.call("POST", "/api/auth/login", None, Some(json!({"username": name, "password": PASSWORD}))).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body["access_token"].as_str().unwrap().to_owned()
    }

    pub fn org(&self, slug: &str) -> i64 {
        let org = self.cli_json(&["admin", "create-org", "--name", slug, "--slug", slug, "--tier", "starter"], "");
        org["id"].as_i64().unwrap()
    }

    /// Waits until the organisation has a log: its first entries get their places within a second.
    pub async fn until_sequenced(&self, org: &str) {
        let started = std::time::Instant::now();
        while !self.cli(&["audit", "verify", "--org", org], "").status.success() {
            assert!(started.elapsed() < std::time::Duration::from_secs(30), "no entry of {org} gets a place");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    pub async fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Reply {
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let mut headers = vec![("content-type", "application/json".to_owned())];
        if let Some(token) = token {
            headers.push(("authorization", format!("Bearer {token}")));
        }
        self.send(method, path, &headers, bytes).await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, String)], body: Bytes) -> Reply {
        send(&self.address, method, path, headers, body).await
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // Already gone is fine.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// One request to the server at `address`, on a connection of its own.
pub async fn send(address: &str, method: &str, path: &str, headers: &[(&str, String)], body: Bytes) -> Reply {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let mut request = Request::builder().method(method).uri(path).header("host", address);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let exchange = async move {
        // Owns the sender: dropping it at the end lets the connection end too.
        let mut sender = sender;
        let reply = sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
        let (parts, body) = reply.into_parts();
        (parts, body.collect().await.unwrap().to_bytes())
    };
    let ((parts, body), _) = tokio::join!(exchange, connection);
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into()));
    Reply { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// The PostgreSQL database of the server whose data directory is `dir`: a schema of its own. None: it is on SQLite.
pub fn database_of(dir: &Path) -> Option<String> {
    let url = std::env::var_os("RESOFTAI_TEST_POSTGRES_URL")?.into_string().unwrap();
    let name = dir.file_name().unwrap().to_str().unwrap().to_lowercase();
    let schema: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    Some(format!("{url}?options=-csearch_path%3D{schema}"))
}

/// Runs statements on the database of a data directory, and tells what it says when it refuses.
pub fn try_sql(dir: &Path, database: Option<&str>, statement: &str) -> Result<(), String> {
    let Some(url) = database else {
        let database = rusqlite::Connection::open(dir.join("resoftai.db")).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        // As the product's connections have it.
        database.pragma_update(None, "recursive_triggers", true).unwrap();
        return database.execute_batch(statement).map_err(|error| error.to_string());
    };
    let (url, statement) = (url.to_owned(), statement.to_owned());
    // The driver waits on a runtime of its own, which a thread of ours must not hold.
    let work = move || {
        let done = postgres::Client::connect(&url, postgres::NoTls).unwrap().batch_execute(&statement);
        done.map_err(|error| error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned()))
    };
    std::thread::spawn(work).join().unwrap()
}

/// The first column of what a query finds in the database of a data directory.
pub fn sql_texts(dir: &Path, database: Option<&str>, query: &str) -> Vec<String> {
    let Some(url) = database else {
        let database = rusqlite::Connection::open(dir.join("resoftai.db")).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        let mut statement = database.prepare(query).unwrap();
        return statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    };
    let (url, query) = (url.to_owned(), query.to_owned());
    let work = move || {
        let rows = postgres::Client::connect(&url, postgres::NoTls).unwrap().query(&query, &[]).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    std::thread::spawn(work).join().unwrap()
}

fn launch(
    dir: &TempDir,
    database: Option<&str>,
    arguments: &[&str],
    settings: &[(String, String)],
) -> (Child, String, Option<String>) {
    let mut command = Command::new(BINARY);
    command.args(["--json", "--data-dir"]).arg(dir.path()).args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
    command.env_clear().stdout(Stdio::piped()).stderr(Stdio::null());
    // Sites are licensed, except those that say themselves whose licences count.
    if !settings.iter().any(|(name, _)| name == "RESOFTAI_LICENCE_TRUSTED_KEYS") {
        command.envs(vendor::settings());
    }
    command.envs(settings.iter().cloned());
    if let Some(url) = database {
        command.env("DATABASE_URL", url);
    }
    let mut process = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).expect("the server says where it answers");
    let address = ready["address"].as_str().unwrap().split_once("://").unwrap().1.to_owned();
    (process, address, ready["fingerprint"].as_str().map(str::to_owned))
}

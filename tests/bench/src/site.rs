//! The product on a data directory of its own, with an organisation and somebody in it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::load::{self, Ask};
use crate::process::{MEASURED, MEASURING, Server, pinned};

const PASSWORD: &str = "correct horse battery";
/// A server that is busy for longer than this is never at rest.
const REST_LIMIT: Duration = Duration::from_secs(20);

pub struct Site {
    program: PathBuf,
    dir: TempDir,
    pub org: i64,
    /// Of somebody's session, and a personal token of theirs.
    pub session: String,
    pub token: String,
}

impl Site {
    /// An organisation without a limit of projects and one of tokens that no bench reaches, a developer in it, and the
    /// model server at `model`.
    pub fn new(program: &Path, model: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut site = Self { program: program.to_owned(), dir, org: 0, session: String::new(), token: String::new() };
        let server = site.start();
        let org = ["admin", "create-org", "--name", "Acme", "--slug", "acme", "--tier", "enterprise"];
        site.org = site.cli(&org, "")["id"].as_i64().unwrap();
        for (resource, limit) in [("llm_tokens", "1000000000000"), ("api_calls", "unlimited"), ("storage", "unlimited")]
        {
            site.cli(&["quota", "set", "--org", "acme", resource, limit], "");
        }
        let admin = site.person(&server, "root", &["--role", "admin"]);
        let provider = json!({"name": "bench", "base_url": format!("http://{model}/v1"), "organization_id": site.org, "api_key": "k"});
        post(&server, "/api/llm/providers", &admin, &provider, 201);
        site.session = site.person(&server, "ada", &["--role", "developer", "--org", "acme"]);
        let made = post(&server, "/api/tokens", &site.session, &json!({"name": "bench"}), 201);
        site.token = made["secret"].as_str().unwrap().to_owned();
        for _ in 0..20 {
            let project =
                json!({"name": "A project of the bench", "requirements": "Build a URL shortener with an HTTP API."});
            post(&server, "/api/projects", &site.session, &project, 201);
        }
        server.stop();
        site
    }

    /// The database of the stopped site, whole in one file: what a server left in its write-ahead log is brought in.
    pub fn database(&self) -> PathBuf {
        let path = self.dir.path().join("resoftai.db");
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        path
    }

    pub fn start(&self) -> Server {
        serve(&self.program, self.dir.path(), MEASURED)
    }

    /// Copies the data directory of the stopped site to `to`.
    pub fn copy(&self, to: &Path) {
        copy(self.dir.path(), to);
    }

    /// What a command of the product prints, asked on the site's own machine.
    pub fn cli(&self, arguments: &[&str], input: &str) -> Value {
        let mut command = pinned(MEASURING, &self.program);
        command.args(["--json", "--data-dir"]).arg(self.dir.path()).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn person(&self, server: &Server, name: &str, role: &[&str]) -> String {
        let email = format!("{name}@example.org");
        let create = ["admin", "create-user", "--username", name, "--email", &email, "--password-stdin"];
        self.cli(&[&create, role].concat(), PASSWORD);
        let login = post(server, "/api/auth/login", "", &json!({"username": name, "password": PASSWORD}), 200);
        login["access_token"].as_str().unwrap().to_owned()
    }
}

/// The product on a data directory that is there, on these processors.
pub fn serve(program: &Path, dir: &Path, processors: &str) -> Server {
    let mut command = pinned(processors, program);
    command.args(["--json", "--data-dir"]).arg(dir);
    Server::start(command.args(["serve", "--http", "--listen", "127.0.0.1:0"]))
}

/// A session of the site's administrator.
pub fn administrator(server: &Server) -> String {
    let login = post(server, "/api/auth/login", "", &json!({"username": "root", "password": PASSWORD}), 200);
    login["access_token"].as_str().unwrap().to_owned()
}

/// Files and folders; what a process left that is neither, such as a socket, stays behind.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The answer to a body of JSON.
pub fn post(server: &Server, path: &'static str, token: &str, body: &Value, wanted: u16) -> Value {
    let body = Bytes::from(body.to_string());
    let ask = Ask { method: "POST", path, token: token.to_owned(), body, vary: false, wanted };
    serde_json::from_slice(&load::once(&server.address, &ask)).unwrap()
}

/// Milliseconds from the start of the process to the first answer of `/healthz`, and MiB resident once it is at rest.
/// On a data directory that is empty and on one that a server has used.
pub fn starts(program: &Path) -> [(f64, f64); 2] {
    let dir = tempfile::tempdir().unwrap();
    [start(program, dir.path()), start(program, dir.path())]
}

fn start(program: &Path, dir: &Path) -> (f64, f64) {
    let mut command = pinned(MEASURED, program);
    command.args(["--json", "--data-dir"]).arg(dir).args(["serve", "--http", "--listen", "127.0.0.1:0"]);
    let begun = Instant::now();
    // Once it says where it answers, it does.
    let server = Server::start(&mut command);
    let health =
        Ask { method: "GET", path: "/healthz", token: String::new(), body: Bytes::new(), vary: false, wanted: 200 };
    load::once(&server.address, &health);
    let elapsed = begun.elapsed();
    let resident = at_rest(&server);
    server.stop();
    (elapsed.as_secs_f64() * 1000.0, resident)
}

/// Memory once the process has used no processor for a while.
pub fn at_rest(server: &Server) -> f64 {
    let begun = Instant::now();
    loop {
        let before = server.cpu();
        std::thread::sleep(Duration::from_millis(500));
        if server.cpu() == before || begun.elapsed() > REST_LIMIT {
            return server.resident();
        }
    }
}

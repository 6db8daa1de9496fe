//! How a server finds its PostgreSQL: by a name, with TLS, and by URLs as SQLAlchemy writes them. Nothing is done without
//! RESOFTAI_TEST_POSTGRES_URL and RESOFTAI_TEST_POSTGRES_CA (tests/postgres.sh).

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::app::BINARY;

/// A throw-away PostgreSQL, and a data directory that no other test shares.
struct Site {
    /// user@127.0.0.1:port/database
    place: String,
    ca_file: String,
    dir: TempDir,
}

/// A server that is ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is fine.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Site {
    fn new() -> Option<Self> {
        let variable = |name| std::env::var_os(name)?.into_string().ok();
        let place = variable("RESOFTAI_TEST_POSTGRES_URL")?.split_once("://").unwrap().1.to_owned();
        let ca_file = variable("RESOFTAI_TEST_POSTGRES_CA")?;
        Some(Self { place, ca_file, dir: tempfile::tempdir().unwrap() })
    }

    /// The schema of this test, which also names its connections.
    fn name(&self) -> String {
        let name = self.dir.path().file_name().unwrap().to_str().unwrap().to_lowercase();
        name.chars().filter(char::is_ascii_alphanumeric).collect()
    }

    /// The URL's query, with a schema for this test alone.
    fn query(&self, more: &str) -> String {
        let name = self.name();
        format!("?options=-csearch_path%3D{name}&application_name={name}{more}")
    }

    /// Starts a server on `url`; what it says when it does not start.
    fn start(&self, url: &str, settings: &[(&str, &str)]) -> Result<Server, String> {
        let mut command = Command::new(BINARY);
        command.args(["--data-dir"]).arg(self.dir.path()).args(["serve", "--http", "--listen", "127.0.0.1:0"]);
        command.env_clear().env("DATABASE_URL", url).envs(settings.iter().copied());
        let mut server = Server(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.contains(" answers on ") {
            return Ok(server);
        }
        let mut said = String::new();
        server.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        Err(said)
    }

    /// How many of this test's connections there are, and how many of them are encrypted.
    fn connections(&self) -> (i64, i64) {
        let count = "SELECT count(*), count(*) FILTER (WHERE ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = $1";
        let mut client = postgres::Client::connect(&format!("postgres://{}", self.place), postgres::NoTls).unwrap();
        let row = client.query_one(count, &[&self.name()]).unwrap();
        (row.get(0), row.get(1))
    }
}

/// A name of this machine that only /etc/hosts knows; `localhost` needs no resolver.
fn name_of_this_machine() -> Option<String> {
    let hosts = std::fs::read_to_string("/etc/hosts").ok()?;
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let mut names = lines.filter_map(|line| line.trim().strip_prefix("127.0.0.1")).flat_map(str::split_whitespace);
    names.find(|name| *name != "localhost").map(str::to_owned)
}

#[test]
fn the_server_may_have_a_name_and_the_url_sqlalchemys_spelling() {
    let (Some(site), Some(name)) = (Site::new(), name_of_this_machine()) else { return };
    let place = site.place.replace("127.0.0.1", &name);
    let query = site.query("&pool_size=20&max_overflow=40");
    let _server = site.start(&format!("postgresql+asyncpg://{place}{query}"), &[]).unwrap();
    let (all, encrypted) = site.connections();
    assert!(all > 0 && encrypted == 0, "{all} {encrypted}");
}

#[test]
fn a_name_that_nobody_knows_is_told() {
    let Some(site) = Site::new() else { return };
    // RFC 6761 keeps `invalid` from ever being anybody's.
    let place = site.place.replace("127.0.0.1", "db.invalid");
    let said = site.start(&format!("postgres://{place}"), &[]).err().unwrap();
    assert!(said.contains("its host name db.invalid does not resolve"), "{said}");
}

#[test]
fn tls_is_used_when_the_url_asks_for_it() {
    let Some(site) = Site::new() else { return };
    let settings = [("RESOFTAI_NETWORK_CA_FILE", site.ca_file.as_str())];
    for host in ["127.0.0.1", "localhost"] {
        let place = site.place.replace("127.0.0.1", host);
        let url = format!("postgres://{place}{}", site.query("&sslmode=require"));
        let _server = site.start(&url, &settings).unwrap();
        let (all, encrypted) = site.connections();
        assert!(all > 0 && encrypted == all, "{host}: {all} {encrypted}");
    }
}

#[test]
fn a_certificate_of_an_unknown_authority_or_for_another_name_is_refused() {
    let Some(site) = Site::new() else { return };
    let url = |place: &str| format!("postgres://{place}{}", site.query("&sslmode=require"));
    let mut refused = vec![site.start(&url(&site.place), &[]).err().unwrap()];
    if let Some(name) = name_of_this_machine() {
        let settings = [("RESOFTAI_NETWORK_CA_FILE", site.ca_file.as_str())];
        refused.push(site.start(&url(&site.place.replace("127.0.0.1", &name)), &settings).err().unwrap());
    }
    for said in refused {
        assert!(said.contains("invalid peer certificate"), "{said}");
        assert!(said.contains("network.ca_file"), "{said}");
    }
    assert_eq!(site.connections(), (0, 0));
}

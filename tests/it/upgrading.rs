//! Upgrades from signed bundles: the checks, the new version in place, and every way back. The new version is this one with
//! another number; systemd's part is lived through in `tests/vm/story.sh`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use resoftai::base::crypto::{random_bytes, sha256_hex};
use serde_json::Value;
use tempfile::TempDir;

use crate::app::BINARY;

const OLD: &str = env!("CARGO_PKG_VERSION");
const PATIENCE: Duration = Duration::from_secs(120);
/// How often an upgrade is cut off, unless `RESOFTAI_TEST_KILLS` says another number.
const KILLS: u64 = 6;

/// The next version, of as many letters.
fn new() -> String {
    let (front, last) = OLD.split_at(OLD.len() - 1);
    format!("{front}{}", last.parse::<u8>().unwrap() + 1)
}

/// Where links to programs can be made.
const ROOM: &str = env!("CARGO_TARGET_TMPDIR");

/// This program, and the one that calls itself the next, made once.
fn programs() -> &'static [PathBuf; 2] {
    static MADE: OnceLock<[PathBuf; 2]> = OnceLock::new();
    MADE.get_or_init(|| {
        let room = tempfile::tempdir_in(ROOM).unwrap();
        let (path, renamed) = (room.path().join("resoftai"), room.path().join("renamed"));
        run(Command::new("strip").arg("-o").arg(&path).arg(BINARY));
        let (mut bytes, new) = (fs::read(&path).unwrap(), new());
        let (old, mut at) = (OLD.as_bytes(), 0);
        while let Some(found) = bytes[at..].windows(old.len()).position(|window| window == old) {
            at += found + old.len();
            bytes[at - old.len()..at].copy_from_slice(new.as_bytes());
        }
        fs::write(&renamed, bytes).unwrap();
        fs::set_permissions(&renamed, fs::Permissions::from_mode(0o755)).unwrap();
        // Their names stay from one run of the tests to the next.
        [(path, "this"), (renamed, "next")].map(|(made, name)| {
            let place = Path::new(ROOM).join(format!("resoftai-{name}"));
            fs::rename(made, &place).unwrap();
            place
        })
    })
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A program of a bundle: whatever it is asked goes to the renamed one, except what `instead` says.
fn script(instead: &str) -> Vec<u8> {
    format!("#!/bin/sh\n{instead}\nexec {} \"$@\"\n", programs()[1].display()).into_bytes()
}

/// Who makes releases.
pub struct Vendor(TempDir);

impl Vendor {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        run(Command::new(BINARY)
            .args(["vendor", "release", "keygen", "--without-passphrase", "-o"])
            .arg(dir.path().join("key")));
        Self(dir)
    }

    pub fn place(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn public_key(&self) -> PathBuf {
        self.place("key.pub")
    }

    /// A signed bundle; as `packaging/bundle.sh` packs them, with little in it.
    pub fn bundle(&self, version: &str, program: &[u8]) -> PathBuf {
        self.bundle_made(version, program, 0)
    }

    fn bundle_made(&self, version: &str, program: &[u8], built: i64) -> PathBuf {
        let (work, name) = (tempfile::tempdir_in(self.0.path()).unwrap(), format!("resoftai-{version}-linux-x86_64"));
        let folder = work.path().join(&name);
        fs::create_dir(&folder).unwrap();
        let (version_line, built) = (format!("{version}\n"), format!("{built}\n"));
        let files = [("BUILT", built.as_bytes()), ("VERSION", version_line.as_bytes()), ("resoftai", program)];
        let mut sums = String::new();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
            sums += &format!("{}  {name}\n", sha256_hex(content));
        }
        fs::set_permissions(folder.join("resoftai"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.join("SHA256SUMS"), sums).unwrap();
        let mut sign = Command::new(BINARY);
        sign.args(["vendor", "release", "sign"])
            .arg(folder.join("SHA256SUMS"))
            .arg("--key")
            .arg(self.0.path().join("key"));
        run(sign.args(["--release", version, "--output"]).arg(folder.join("RESOFTAI-BUNDLE.minisig")));
        let packed = self.0.path().join(format!("{name}-{}.tar.gz", sha256_hex(program)));
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(work.path()).args(["--format=ustar", "--owner=0", "--group=0", "-czf"]).arg(&packed);
        for file in ["RESOFTAI-BUNDLE.minisig", "SHA256SUMS", "BUILT", "VERSION", "resoftai"] {
            tar.arg(format!("{name}/{file}"));
        }
        run(&mut tar);
        packed
    }
}

/// A site whose program is a file of its own.
struct Site {
    dir: TempDir,
    vendor: Vendor,
}

impl Site {
    /// One with a project, whose server is stopped.
    fn filled() -> Self {
        let site = Self::new();
        let server = site.start();
        site.cli(&["admin", "create-org", "--name", "Acme", "--slug", "acme", "--tier", "starter"]);
        site.make("before");
        server.stop();
        site
    }

    fn new() -> Self {
        let site = Self { dir: tempfile::tempdir_in(ROOM).unwrap(), vendor: Vendor::new() };
        // Replacing it leaves the other link as it is.
        fs::hard_link(&programs()[0], site.program()).unwrap();
        site
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("resoftai")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("site")
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join("site.upgrade").join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.arg("--data-dir").arg(self.data()).args(arguments).stdin(Stdio::null());
        command
    }

    fn cli(&self, arguments: &[&str]) -> String {
        let output = run(self.command(arguments).arg("--json"));
        String::from_utf8(output.stdout).unwrap()
    }

    fn start(&self) -> Server {
        let mut serve = self.command(&["serve", "--http", "--listen", "127.0.0.1:0"]);
        let mut server = Server(serve.stdout(Stdio::null()).spawn().unwrap());
        let started = Instant::now();
        while !self.command(&["org", "list"]).output().unwrap().status.success() {
            assert!(server.0.try_wait().unwrap().is_none(), "it ended");
            assert!(started.elapsed() < PATIENCE, "it does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// The upgrade as an operator types it.
    fn upgrade(&self, bundle: &Path, more: &[&str]) -> Command {
        let key = self.vendor.public_key();
        let mut command = Command::new(self.program());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("RESOFTAI_DATA_DIR", self.data());
        command
            .args(["--json", "upgrade"])
            .arg(bundle)
            .arg("--yes")
            .arg("--key")
            .arg(key)
            .args(more)
            .stdin(Stdio::null());
        command
    }

    fn version(&self) -> String {
        let said = run(Command::new(self.program()).arg("--version")).stdout;
        String::from_utf8(said).unwrap().trim().replace("resoftai ", "")
    }

    fn has(&self, project: &str) -> bool {
        self.cli(&["project", "list", "--org", "acme"]).contains(&format!("\"{project}\""))
    }

    fn make(&self, project: &str) {
        self.cli(&["project", "create", "--name", project, "--org", "acme"]);
    }

    /// What a refused upgrade says of each check that failed.
    fn refused(&self, bundle: &Path, more: &[&str]) -> Vec<(String, String)> {
        let before = (fs::read(self.program()).unwrap(), fs::read(self.data().join("resoftai.db")).unwrap());
        let output = self.upgrade(bundle, more).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let after = (fs::read(self.program()).unwrap(), fs::read(self.data().join("resoftai.db")).unwrap());
        assert!(before == after && !self.beside("unfinished.json").exists(), "something was changed");
        assert!(!self.beside("bundle").exists() && !self.beside("rehearsal").exists(), "something is left");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = said["checks"].as_array().unwrap().iter().filter(|check| check["verdict"] == "fail");
        checks.map(|check| (text(&check["name"]), text(&check["text"]))).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

struct Server(Child);

impl Server {
    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_newer_version_is_put_in_place_and_there_is_a_way_back() {
    let site = Site::filled();
    let bundle = site.vendor.bundle(&new(), &script(""));
    let looked: Value = serde_json::from_slice(&run(&mut site.upgrade(&bundle, &["--check"])).stdout).unwrap();
    assert_eq!(looked["ready"], true, "{looked}");
    assert_eq!(site.version(), OLD);

    let done: Value = serde_json::from_slice(&run(&mut site.upgrade(&bundle, &[])).stdout).unwrap();
    assert_eq!((text(&done["outcome"]), site.version()), ("upgraded".to_owned(), new()));
    let server = site.start();
    assert!(site.has("before"));
    let trail = site.cli(&["audit", "list", "--resource", "site"]);
    assert!(trail.contains(&format!("Upgraded ResoftAI from {OLD} to {}", new())), "{trail}");
    site.make("later");
    let status: Value = serde_json::from_str(&site.cli(&["upgrade", "status"])).unwrap();
    assert!(status["step"] == "upgraded" && status["can_return"] == true, "{status}");
    let in_use = site.command(&["upgrade", "return", "--yes"]).output().unwrap();
    assert_eq!(in_use.status.code(), Some(5), "{in_use:?}");
    server.stop();

    let back: Value = serde_json::from_str(&site.cli(&["upgrade", "return", "--yes"])).unwrap();
    assert_eq!((site.version(), back["step"].as_str()), (OLD.to_owned(), Some("returned")));
    assert!(Path::new(back["aside"].as_str().unwrap()).join("resoftai.db").exists(), "what was written since is kept");
    let _server = site.start();
    assert!(site.has("before") && !site.has("later"));
    let trail = site.cli(&["audit", "list", "--resource", "site"]);
    assert!(trail.contains(&format!("Went back from {} to {OLD}", new())), "{trail}");
    let again = site.command(&["upgrade", "return", "--yes"]).output().unwrap();
    assert_eq!(again.status.code(), Some(5), "{again:?}");
}

#[test]
fn what_cannot_be_upgraded_to_is_refused_before_anything_changes() {
    let site = Site::new();
    let server = site.start();
    let newer = site.vendor.bundle(&new(), &script(""));
    let [(name, why)] = &site.refused(&newer, &[])[..] else { panic!() };
    assert!(name == "installation" && why.contains("stop it"), "{why}");
    server.stop();
    let failing = |bundle: &Path, check: &str, words: &str| {
        let found = site.refused(bundle, &[]);
        let hit = found.iter().any(|(name, why)| name == check && why.contains(words));
        assert!(hit, "{check} does not say {words}: {found:?}");
    };
    failing(
        &site.vendor.bundle(OLD, format!("#!/bin/sh\nexec {BINARY} \"$@\"\n").as_bytes()),
        "version",
        "is installed already",
    );
    failing(&site.vendor.bundle("0.0.1", &script("")), "version", "There is no way back but");
    failing(&site.vendor.bundle("9.9.9", &script("")), "program", "calls itself");
    failing(&site.vendor.bundle(&new(), b"\x7fELF\x02\x01\x01\0 of another machine"), "program", "cannot be run");
    let tomorrow = 10_000_000_000;
    failing(&site.vendor.bundle_made(&new(), &script("# later"), tomorrow), "clock", "set it");
    let strict = script("case \"$*\" in *'config check'*) echo 'error: not this setting' >&2; exit 2;; esac");
    failing(&site.vendor.bundle(&new(), &strict), "settings", "not this setting");
    let broken = script("case \"$*\" in *rehearse*) echo 'error: step 9999 failed' >&2; exit 1;; esac");
    failing(&site.vendor.bundle(&new(), &broken), "database", "step 9999 failed");

    let stranger = Vendor::new().bundle(&new(), &script(""));
    let output = site.upgrade(&stranger, &[]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("release_bundle"), "{said}");
    assert!(!site.beside("bundle").exists(), "what nobody stands for is left");
    let half = site.dir.path().join("half.tar.gz");
    let whole = fs::read(&newer).unwrap();
    fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(site.upgrade(&half, &[]).output().unwrap().status.code(), Some(2));
    assert_eq!(site.upgrade(&newer, &["--accept", "disk"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_damaged_database_and_plugins_that_do_not_fit_are_found_in_the_rehearsal() {
    let site = Site::new();
    site.start().stop();
    let bundle = site.vendor.bundle(&new(), &script(""));
    let folder = site.data().join("plugins/late");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("plugin.json"), "{").unwrap();
    let found = site.refused(&bundle, &[]);
    assert!(found.len() == 1 && found[0].0 == "plugins" && found[0].1.contains("late"), "{found:?}");
    let accepted = run(&mut site.upgrade(&bundle, &["--check", "--accept", "plugins"]));
    assert!(String::from_utf8(accepted.stdout).unwrap().contains("\"accepted\""));
    fs::remove_dir_all(&folder).unwrap();
    let database = rusqlite::Connection::open(site.data().join("resoftai.db")).unwrap();
    let sql = "PRAGMA foreign_keys = OFF; CREATE TABLE stray (id INTEGER PRIMARY KEY, \
               of INTEGER REFERENCES organizations (id)); INSERT INTO stray VALUES (1, 999999)";
    database.execute_batch(sql).unwrap();
    drop(database);
    let found = site.refused(&bundle, &[]);
    assert!(found.iter().any(|(name, why)| name == "database" && why.contains("stray")), "{found:?}");
}

#[test]
fn a_version_that_does_not_start_is_taken_back_with_all_data() {
    let site = Site::filled();
    let before = fs::read(site.program()).unwrap();
    let spoil = format!(
        "case \"$*\" in *serve*) echo spoilt >{}/resoftai.db; echo 'no such luck' >&2; exit 1;; esac",
        site.data().display()
    );
    let bundle = site.vendor.bundle(&new(), &script(&spoil));
    let output = site.upgrade(&bundle, &[]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && said.contains("no such luck") && said.contains("upgrade_undone"),
        "{said}"
    );
    assert_eq!(fs::read(site.program()).unwrap(), before);
    let _server = site.start();
    assert!(site.has("before"));
    let trail = site.cli(&["audit", "list", "--resource", "site"]);
    assert!(trail.contains("Went back from"), "{trail}");
    let status: Value = serde_json::from_str(&site.cli(&["upgrade", "status"])).unwrap();
    assert!(status["step"] == "returned" && status["can_return"] == false, "{status}");
    let aside = Path::new(status["aside"].as_str().unwrap());
    assert_eq!(fs::read_to_string(aside.join("resoftai.db")).unwrap(), "spoilt\n", "what it left is kept");
}

#[test]
fn an_upgrade_that_is_cut_off_leaves_the_old_version_or_the_new_one() {
    let said = std::env::var_os("RESOFTAI_TEST_KILLS").and_then(|text| text.into_string().ok()?.parse().ok());
    let site = Site::filled();
    let bundle = site.vendor.bundle(&new(), &script(""));
    let began = Instant::now();
    run(&mut site.upgrade(&bundle, &[]));
    let (mut about, mut olds) = (began.elapsed(), 0);
    let rounds: u64 = said.unwrap_or(KILLS);
    for round in 0..10 * rounds {
        if round >= rounds && olds > 0 {
            break;
        }
        if site.version() != OLD {
            site.cli(&["upgrade", "return", "--yes"]);
        }
        let random = u64::from_be_bytes(random_bytes::<8>().unwrap());
        let mut child =
            site.upgrade(&bundle, &[]).process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random % u64::try_from(about.as_micros()).unwrap()));
        // Whatever it started goes with it, as when the power does.
        let group = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
        if site.beside("unfinished.json").exists() {
            let refused = site.command(&["serve", "--http", "--listen", "127.0.0.1:0"]).output().unwrap();
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            // Until its files are in place the journal says that nothing was changed, and the server is refused all the same.
            assert!(!refused.status.success() && said.contains("upgrade settle"), "round {round}: {said}");
            run(Command::new(site.beside("previous/resoftai"))
                .env("RESOFTAI_DATA_DIR", site.data())
                .args(["upgrade", "settle"]));
            assert_eq!(site.version(), OLD, "round {round}");
        }
        olds += u64::from(site.version() == OLD);
        about = if site.version() == OLD { about * 6 / 5 } else { about * 5 / 6 };
        let server = site.start();
        assert!(site.has("before"), "round {round}");
        server.stop();
    }
    assert!(olds > 0, "none was cut off");
}

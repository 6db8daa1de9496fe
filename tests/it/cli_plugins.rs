//! Plugins by command: a folder sent over HTTPS, settings, and what slips are answered with.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::app::{App, BINARY};
use crate::cli::{Desk, person, said, shown};

const SCANNER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugin-sdk/examples/security-scanner");

#[test]
fn a_folder_is_sent_configured_switched_and_taken_out() {
    let app = App::start_https();
    person(&app, "root", "admin", None);
    let desk = Desk::new();
    assert!(desk.sign_in(&app, "root").status.success());
    assert!(shown(&desk.run(&["plugin", "list"], "")).is_empty(), "nothing is said on stdout of nothing");
    let installed = desk.json(&["plugin", "install", SCANNER, "--config", "severity_threshold=high"], "");
    assert_eq!(
        (&installed["slug"], &installed["status"], &installed["config"]),
        (&json!("security-scanner"), &json!("active"), &json!({"severity_threshold": "high"}))
    );
    let again = desk.run(&["plugin", "install", SCANNER], "");
    assert_eq!(again.status.code(), Some(5), "{}", said(&again));
    assert!(said(&again).contains("--replace"), "{}", said(&again));
    let replaced = desk.json(&["plugin", "install", SCANNER, "--replace"], "");
    assert_eq!(replaced["config"], installed["config"]);

    let config = desk.json(&["plugin", "config", "security-scanner", "severity_threshold=low"], "");
    assert_eq!(config, json!({"severity_threshold": "low"}));
    let wrong = desk.run(&["plugin", "config", "security-scanner", "severity_threshold=huge"], "");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said(&wrong).contains("severity_threshold"), "{}", said(&wrong));

    assert_eq!(desk.json(&["plugin", "disable", "security-scanner"], "")["status"], "disabled");
    assert_eq!(desk.json(&["plugin", "enable", "security-scanner"], "")["status"], "active");
    let info = desk.run(&["plugin", "info", "security-scanner"], "");
    assert!(shown(&info).contains("code.analyze"), "{}", shown(&info));
    let slip = desk.run(&["plugin", "info", "securty-scaner"], "");
    assert_eq!(slip.status.code(), Some(3));
    assert!(said(&slip).contains("Did you mean \"security-scanner\"?"), "{}", said(&slip));
    assert!(desk.run(&["plugin", "uninstall", "security-scanner", "--yes"], "").status.success());
    assert_eq!(desk.json(&["plugin", "list"], "")["items"], json!([]));
}

/// A copy of an example's folder, with its component where it is in WebAssembly's text format.
fn built(example: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").args([example, to]).status().unwrap().success());
    if let Ok(text) = fs::read(to.join("plugin.wat")) {
        fs::write(to.join("plugin.wasm"), wat::parse_bytes(&text).unwrap()).unwrap();
    }
}

#[test]
fn every_example_is_installed_and_switched_on_in_an_organisation() {
    let app = App::start();
    app.org("acme");
    let folder = tempfile::tempdir().unwrap();
    let examples = fs::read_dir(Path::new(SCANNER).parent().unwrap()).unwrap();
    let mut slugs: Vec<String> = examples.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    // The guide to plugins in JavaScript installs one of those.
    slugs.retain(|slug| !slug.starts_with("script-"));
    slugs.sort();
    for slug in &slugs {
        let at = folder.path().join(slug);
        built(&Path::new(SCANNER).with_file_name(slug), &at);
        let installed = app.cli_json(&["plugin", "install", at.to_str().unwrap()], "");
        assert_eq!((&installed["slug"], &installed["status"]), (&json!(slug), &json!("active")), "{installed}");
        let here = app.cli_json(&["plugin", "enable", slug, "--org", "acme", "--yes"], "");
        assert_eq!((&here["status"], &here["asks"]), (&json!("active"), &json!([])), "{here}");
    }
    assert!(slugs.len() >= 7, "six types and another language: {slugs:?}");
    let list = app.cli_json(&["plugin", "list"], "");
    let mut listed: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|one| one["slug"].as_str().unwrap()).collect();
    listed.sort_unstable();
    assert_eq!(listed, slugs);
}

#[test]
fn what_is_no_plugin_is_refused_before_anything_is_sent() {
    let app = App::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let empty = app.cli(&["plugin", "install", path], "");
    assert_eq!(empty.status.code(), Some(2));
    assert!(said(&empty).contains("plugin.json"), "{}", said(&empty));
    fs::write(folder.path().join("plugin.json"), "{").unwrap();
    let broken = app.cli(&["plugin", "install", path], "");
    assert_eq!(broken.status.code(), Some(2), "{}", said(&broken));
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    let linked = app.cli(&["plugin", "install", path], "");
    assert!(said(&linked).contains("link is a symbolic link"), "{}", said(&linked));
    let missing = app.cli(&["plugin", "install", "not-there"], "");
    assert_eq!(missing.status.code(), Some(3), "{}", said(&missing));
    let nothing = app.cli(&["plugin", "install", "not-there.rplugin"], "");
    assert!(said(&nothing).contains("no file or folder not-there.rplugin"), "{}", said(&nothing));
    let twice = app.cli(&["plugin", "install", SCANNER, "--config", "a=1", "--config", "a=2"], "");
    assert_eq!(twice.status.code(), Some(2));
    assert!(!Path::new(&app.dir.path().join("plugins/security-scanner")).exists());
}

#[test]
fn a_packed_plugin_is_the_same_each_time_and_installs() {
    let app = App::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scanner.rplugin");
    let packed = app.cli_json(&["plugin", "pack", SCANNER, "-o", file.to_str().unwrap()], "");
    assert_eq!(
        (&packed["slug"], &packed["version"], &packed["files"]),
        (&json!("security-scanner"), &json!("1.0.0"), &json!(6))
    );
    let first = fs::read(&file).unwrap();
    app.cli_json(&["plugin", "pack", SCANNER, "-o", folder.path().to_str().unwrap()], "");
    assert_eq!(fs::read(folder.path().join("security-scanner-1.0.0.rplugin")).unwrap(), first);
    let config = ["--config", "severity_threshold=high"];
    let installed = app.cli_json(&[&["plugin", "install", file.to_str().unwrap()], &config[..]].concat(), "");
    assert_eq!((&installed["status"], &installed["config"]["severity_threshold"]), (&json!("active"), &json!("high")));
    // What lies on the server is compared with its sums whenever it is read.
    let main = app.dir.path().join("plugins/security-scanner/main.py");
    fs::write(&main, format!("{}\n", fs::read_to_string(&main).unwrap())).unwrap();
    let changed = app.cli(&["plugin", "enable", "security-scanner"], "");
    assert!(said(&changed).contains("main.py is not the file that SHA256SUMS lists"), "{}", said(&changed));
    let wheel = app.cli(&["plugin", "pack", SCANNER, "--wheel", "numpy-2-cp312-cp312-linux_x86_64.whl"], "");
    assert_eq!(wheel.status.code(), Some(2), "{}", said(&wheel));
}

#[test]
fn a_site_that_wants_signatures_takes_no_plugin_without_one() {
    let app = App::start();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = app.cli_json(&["plugin", "keygen", "example.org/ada", "-o", &path("ada.key")], "");
    let public = made["public_key"].as_str().unwrap().to_owned();
    let mode = fs::metadata(path("ada.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = app.cli(&["plugin", "keygen", "example.org/ada", "-o", &path("ada.key")], "");
    assert_eq!(again.status.code(), Some(5), "{}", said(&again));
    app.cli_json(&["plugin", "pack", SCANNER, "-o", &path("plain.rplugin")], "");
    let sign = ["plugin", "sign", &path("plain.rplugin"), "--key", &path("ada.key"), "-o", &path("signed.rplugin")];
    app.cli_json(&sign, "");
    let trust = ["--trust", &path("ada.key.pub")];
    let verified = app.cli_json(&[&["plugin", "verify", &path("signed.rplugin")], &trust[..]].concat(), "");
    assert_eq!((&verified["sums"], &verified["signed_by"][0]["trusted"]), (&json!(true), &json!(true)));
    let unsigned = app.cli(&[&["plugin", "verify", &path("plain.rplugin")], &trust[..]].concat(), "");
    assert_eq!(unsigned.status.code(), Some(1), "{}", said(&unsigned));

    let app = App::start_with_settings(&[
        ("RESOFTAI_PLUGINS_TRUSTED_KEYS", &public),
        ("RESOFTAI_PLUGINS_REQUIRE_SIGNATURE", "true"),
    ]);
    let refused = app.cli(&["plugin", "install", &path("plain.rplugin")], "");
    assert_eq!(refused.status.code(), Some(4));
    assert!(said(&refused).contains("signed by nobody"), "{}", said(&refused));
    assert!(!app.dir.path().join("plugins/security-scanner").exists());
    let installed = app.cli_json(&["plugin", "install", &path("signed.rplugin")], "");
    assert_eq!(installed["signed_by"][0]["name"], "example.org/ada");
    let info = app.cli(&["plugin", "info", "security-scanner"], "");
    assert!(shown(&info).contains("example.org/ada ("), "{}", shown(&info));
}

#[test]
fn what_others_need_stays_and_circles_are_named() {
    let app = App::start();
    let folder = tempfile::tempdir().unwrap();
    let plugin = |slug: &str, version: &str, needs: &[&str]| {
        let at = folder.path().join(slug);
        fs::create_dir_all(&at).unwrap();
        fs::copy(Path::new(SCANNER).join("main.py"), at.join("main.py")).unwrap();
        let manifest = json!({"name": slug, "slug": slug, "version": version, "dependencies": needs,
            "entry_point": "main.py:SecurityScannerPlugin"});
        fs::write(at.join("plugin.json"), manifest.to_string()).unwrap();
        app.cli(&["plugin", "install", at.to_str().unwrap(), "--replace"], "")
    };
    let alone = plugin("upper", "1.0.0", &["base>=1.2"]);
    assert!(said(&alone).contains("upper needs the plugin base >=1.2, which is not active"), "{}", said(&alone));
    assert!(plugin("base", "1.4.0", &[]).status.success());
    assert!(plugin("upper", "1.0.0", &["base ~= 1.2"]).status.success());
    for verb in ["disable", "uninstall"] {
        let yes: &[&str] = if verb == "uninstall" { &["--yes"] } else { &[] };
        let kept = app.cli(&[&["plugin", verb, "base"], yes].concat(), "");
        assert_eq!(kept.status.code(), Some(5));
        assert!(said(&kept).contains("base is needed by upper"), "{}", said(&kept));
    }
    let newer = plugin("base", "2.0.0", &[]);
    assert!(said(&newer).contains("upper needs base"), "{}", said(&newer));
    let circle = plugin("base", "1.5.0", &["upper"]);
    assert!(said(&circle).contains("base -> upper -> base"), "{}", said(&circle));
    assert!(app.cli(&["plugin", "disable", "upper"], "").status.success());
    assert!(app.cli(&["plugin", "disable", "base"], "").status.success());
    let early = app.cli(&["plugin", "enable", "upper"], "");
    assert!(said(&early).contains("not active here"), "{}", said(&early));
}

#[test]
fn every_kind_of_new_plugin_passes_its_tests_in_the_sandbox() {
    let app = App::start();
    let folder = tempfile::tempdir().unwrap();
    for kind in ["agent", "llm-provider", "integration", "workflow", "code-quality", "template", "plain"] {
        let place = folder.path().join(kind).display().to_string();
        let made = app.cli_json(&["plugin", "new", kind, "My First Thing", "-o", &place], "");
        assert_eq!(made["slug"], "my-first-thing");
        let again = app.cli(&["plugin", "new", kind, "My First Thing", "-o", &place], "");
        assert_eq!(again.status.code(), Some(5), "{}", said(&again));
        let tested = app.cli_json(&["plugin", "test", &place], "");
        assert!(tested["passed"].as_u64().unwrap() > 0 && tested["failed"] == 0, "{kind}: {tested}");
    }
}

#[test]
fn the_examples_pass_their_tests_in_the_sandbox() {
    let app = App::start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-sdk/examples");
    let examples = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let tested = examples.filter(|example| example.join("main.py").exists()).map(|example| {
        let tested = app.cli(&["plugin", "test", example.to_str().unwrap()], "");
        assert!(tested.status.success(), "{}: {}{}", example.display(), shown(&tested), said(&tested));
    });
    assert!(tested.count() > 0);
}

/// Plugins as authors of the earlier Python product wrote them, unchanged.
#[test]
fn plugins_written_for_the_earlier_product_pass_their_tests_in_the_sandbox() {
    let app = App::start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugins/realistic");
    let mut seen = 0;
    for plugin in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let tested = app.cli(&["plugin", "test", plugin.to_str().unwrap()], "");
        assert!(tested.status.success(), "{}: {}{}", plugin.display(), shown(&tested), said(&tested));
        seen += 1;
    }
    assert_eq!(seen, 7);
}

#[test]
fn a_failing_test_shows_the_authors_own_line() {
    let app = App::start();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("p").display().to_string();
    app.cli_json(&["plugin", "new", "code-quality", "P", "-o", &place], "");
    let test = "import ssl\n\ndef test_never():\n    pass\n";
    fs::write(folder.path().join("p/tests/test_broken.py"), test).unwrap();
    let test = "from resoftai.testing import LoadedPlugin\nfrom pathlib import Path\n\n\ndef helper():\n    \
                return 1 / 0\n\n\ndef test_bad():\n    print('so far')\n    helper()\n\n\ndef test_endless():\n    \
                while True:\n        pass\n\n\ndef test_good():\n    open(Path(__file__).parent.parent / 'main.py').read()\n\n\n\
                def test_outside():\n    open('/etc/passwd')\n\n\ndef test_process():\n    import subprocess\n    \
                subprocess.run(['ls'])\n";
    fs::write(folder.path().join("p/tests/test_more.py"), test).unwrap();
    let tested = app.cli(&["plugin", "test", &place], "");
    assert_eq!(tested.status.code(), Some(1));
    let shown = shown(&tested);
    for words in [
        "File \"p/tests/test_more.py\", line 6, in helper",
        "ZeroDivisionError",
        "so far",
        "s of computing",
        "tests.test_more.test_good",
        "resoftai.files",
        "no processes in the sandbox",
        "TLS is made by the platform",
        "5 failed",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let one = app.cli(&["plugin", "test", &place, "-k", "test_good"], "");
    assert!(self::shown(&one).contains("1 passed"), "{}", self::shown(&one));
}

/// A `plugin dev --watch` that is watched itself.
struct Watching {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Watching {
    fn new(app: &App, folder: &str) -> Self {
        let mut command = Command::new(BINARY);
        command.arg("--data-dir").arg(app.dir.path()).args(["plugin", "dev", folder, "--watch"]).env_clear();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (told, lines) = std::sync::mpsc::channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let told = told.clone();
            std::thread::spawn(move || {
                BufReader::new(output).lines().map_while(Result::ok).all(|line| told.send(line).is_ok())
            });
        }
        Self { child, lines }
    }

    /// Reads on until a line holds this.
    fn until(&self, words: &str) {
        loop {
            let line =
                self.lines.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("never said: {words}"));
            if line.contains(words) {
                return;
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_watched_folder_is_followed_and_a_broken_one_changes_nothing() {
    let app = App::start();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("p").display().to_string();
    app.cli_json(&["plugin", "new", "code-quality", "P", "-o", &place], "");
    let main = folder.path().join("p/main.py");
    let good = fs::read_to_string(&main).unwrap();
    let watching = Watching::new(&app, &place);
    watching.until("The server has p 0.1.0; it is active.");
    fs::write(&main, good.replace("def load(", "def load(:")).unwrap();
    watching.until("File \"p/main.py\", line 9");
    watching.until("The server keeps the version it had.");
    let kept = app.cli_json(&["plugin", "info", "p"], "");
    assert_eq!((&kept["status"], &kept["error"]), (&json!("active"), &json!(null)));
    let there = fs::read_to_string(app.dir.path().join("plugins/p/main.py")).unwrap();
    assert_eq!(there, good);
    fs::write(&main, good.replace("\"low\"", "\"high\"")).unwrap();
    watching.until("The server has p 0.1.0");
    let there = fs::read_to_string(app.dir.path().join("plugins/p/main.py")).unwrap();
    assert!(there.contains("\"high\""));
}

//! The room with the real runtime, without HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::install::Wish;
use super::settings::{Settings, Vault};
use super::sign::Trust;
use super::{Analysis, CodeFile, Limits, Options, PluginStatus, Plugins, Severity, store};
use crate::access::{Action, Caller, OrgId, Permit};
use crate::base::clock::Clock;
use crate::base::crypto::Key;
use crate::base::tasks::Tasks;
use crate::db::{self, Db};
use crate::hooks::Hooks;
use crate::kv::Kv;
use crate::net;

static RUNTIME: LazyLock<&'static [u8]> = LazyLock::new(|| {
    let parts = std::env::var_os("RESOFTAI_PARTS").map_or_else(|| root().join("target/parts"), PathBuf::from);
    let file = parts.join("python-runtime.cwasm.zst");
    let bytes =
        fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}. Run `make plugin-runtime`.", file.display()));
    assert!(!bytes.is_empty(), "{} is empty. Run `make plugin-runtime`.", file.display());
    Vec::leak(bytes)
});

const SCANNER: &str = "plugin-sdk/examples/security-scanner";
const BAD_CODE: &str = "import os, hashlib\nos.system(cmd)\nhashlib.md5(b'')\neval(x)\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

struct Site {
    dir: TempDir,
    db: Db,
    kv: Kv,
    tasks: Tasks,
    plugins: Plugins,
}

impl Site {
    /// A site whose plugins folder holds these folders of the repository.
    async fn with(folders: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in folders {
            copy(&root().join(folder), &dir.path().join("plugins").join(Path::new(folder).file_name().unwrap()));
        }
        Self::on(dir, *RUNTIME).await
    }

    async fn on(dir: TempDir, runtime: &'static [u8]) -> Self {
        let clock = Clock::system();
        let db = Db::open_sqlite(&dir.path().join("test.db"), db::Options::default()).await.unwrap();
        let kv = Kv::open(&dir.path().join("kv.redb"), clock.clone()).await.unwrap();
        let limits = Limits { cpu: Duration::from_millis(300), wall: Duration::from_secs(30), ..Limits::default() };
        let key = Key::from_bytes([7; 32]);
        let options = Options {
            dir: dir.path().join("plugins"),
            runtime,
            compiler: b"",
            limits,
            most: limits,
            key,
            client: client(),
            trust: Trust::default(),
            scan: crate::scan::Policy::default(),
        };
        let tasks = Tasks::default();
        db.write(|tx| {
            let sql = "INSERT INTO organizations (id, name, name_key, slug, tier, created_at) \
                       VALUES (1, 'One', 'one', 'one', 'free', 0), (2, 'Two', 'two', 'two', 'free', 0) ON CONFLICT DO NOTHING";
            Ok(tx.execute(sql, &[])?)
        })
        .await
        .unwrap();
        let plugins =
            Plugins::start(options, db.clone(), kv.clone(), clock, tasks.clone(), Hooks::default()).await.unwrap();
        Self { dir, db, kv, tasks, plugins }
    }

    /// Ends all work in order and starts again on the same folder.
    async fn restart(self) -> Self {
        assert!(self.tasks.shut_down(Duration::from_secs(20)).await);
        let Self { dir, db, kv, plugins, .. } = self;
        drop((plugins, kv));
        db.close().await;
        Self::on(dir, *RUNTIME).await
    }

    async fn look(&self, code: &str) -> Vec<Analysis> {
        self.look_in(OrgId(1), code).await
    }

    async fn look_in(&self, org: OrgId, code: &str) -> Vec<Analysis> {
        let file =
            CodeFile { project_id: 7, path: "src/a.py".into(), language: Some("python".into()), code: code.into() };
        self.plugins.analyze(org, file).await
    }

    async fn shown(&self, slug: &str) -> super::Plugin {
        let name = slug.to_owned();
        let kept =
            self.db.read(move |tx| store::by_slug(tx, &Vault::new(Key::from_bytes([7; 32])), &name)).await.unwrap();
        super::shelf::view(kept, self.plugins.inner.shelf.get(slug).as_deref(), true)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join("plugins").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn client() -> net::Client {
    net::Client::new(net::Dns::from_system().unwrap(), &net::Options::default()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn permit<A: Action>() -> Permit<A> {
    Arc::new(Caller::system()).permit().unwrap()
}

fn settings(value: &Value) -> Settings {
    value.as_object().unwrap().clone()
}

fn kinds(analysis: &Analysis) -> Vec<(&str, i64)> {
    let found = analysis.outcome.as_ref().unwrap_or_else(|sentence| panic!("{}: {sentence}", analysis.plugin));
    found.iter().map(|finding| (finding.kind.as_str(), finding.line.unwrap())).collect()
}

/// A manifest and a `main.py` whose class `P` has this body, after `load` and `activate`.
fn inline(site: &Site, slug: &str, body: &str) {
    let manifest =
        json!({"name": slug, "slug": slug, "version": "1.0.0", "category": "code_quality", "entry_point": "main.py:P"});
    site.write(&format!("{slug}/plugin.json"), &manifest.to_string());
    let main = format!(
        "from resoftai.plugins.base import *\nimport resoftai.http, resoftai.kv\n\nclass P(CodeQualityPlugin):\n    \
         def load(self, context):\n        self.context = context\n        return True\n    \
         def deactivate(self): return True\n    def unload(self): return True\n    \
         def get_tool_name(self): return 'p'\n{body}"
    );
    site.write(&format!("{slug}/main.py"), &main);
}

#[tokio::test]
async fn a_folder_found_at_start_works_and_follows_its_configuration() {
    let site = Site::with(&[SCANNER]).await;
    let found = site.look(BAD_CODE).await;
    assert_eq!((found.len(), found[0].plugin.as_str()), (1, "security-scanner"));
    assert_eq!(kinds(&found[0]), [("command_injection", 2), ("weak_hash", 3), ("code_execution", 4)]);
    let worst = &found[0].outcome.as_ref().unwrap()[2];
    assert_eq!((worst.severity, worst.code.as_deref()), (Severity::Critical, Some("eval(x)")));
    assert!(worst.recommendation.is_some());

    let config = settings(&json!({"severity_threshold": "high"}));
    let shown = site.plugins.configure(permit(), "security-scanner".into(), config).await.unwrap();
    assert_eq!((shown.config["severity_threshold"].as_str(), shown.hooks.len()), (Some("high"), 1));
    assert_eq!(kinds(&site.look(BAD_CODE).await[0]), [("command_injection", 2), ("code_execution", 4)]);

    let site = site.restart().await;
    assert_eq!(kinds(&site.look(BAD_CODE).await[0]), [("command_injection", 2), ("code_execution", 4)]);
    let shown = site.shown("security-scanner").await;
    assert_eq!((shown.status, shown.calls, shown.failures, shown.error), (PluginStatus::Active, 3, 0, None));
}

/// The manifest, code and schema of the specification, to the letter.
#[tokio::test]
async fn the_specifications_example_runs_as_it_is_written() {
    let site = Site::with(&[]).await;
    let folder = "tests/plugins/specification/security-scanner";
    copy(&root().join(folder), &site.dir.path().join("plugins/security-scanner"));
    let config = Some(settings(&json!({"severity_threshold": "high"})));
    let shown =
        site.plugins.install(permit(), "security-scanner".into(), Wish { config, ..Wish::default() }).await.unwrap();
    assert_eq!(shown.config_schema.unwrap()["properties"]["scan_dependencies"]["default"], true);
    assert_eq!((shown.hooks.len(), shown.hooks[0].priority), (1, 5));
    let found = site.look("db.execute('SELECT %s' % name)").await;
    let finding = &found[0].outcome.as_ref().unwrap()[0];
    assert_eq!((finding.kind.as_str(), finding.severity, finding.line), ("sql_injection", Severity::High, None));
    let wrong = settings(&json!({"scan_dependencies": "yes"}));
    let error = site.plugins.configure(permit(), "security-scanner".into(), wrong).await.unwrap_err();
    assert_eq!((error.code(), error.field_name()), ("invalid_config", Some("config.scan_dependencies")));
}

#[tokio::test]
async fn a_plugin_that_fails_costs_its_own_findings_only() {
    let hostile = ["tests/plugins/endless-loop", "tests/plugins/memory-bomb", "tests/plugins/raises"];
    let site = Site::with(&[&hostile[..], &[SCANNER]].concat()).await;
    let found = site.look("eval(x)").await;
    let outcome = |slug: &str| found.iter().find(|one| one.plugin == slug).unwrap();
    for (slug, words) in
        [("endless-loop", "0.3 s of computing"), ("memory-bomb", "128 MiB"), ("raises", "ZeroDivisionError")]
    {
        assert!(outcome(slug).outcome.as_ref().unwrap_err().contains(words), "{slug}: {:?}", outcome(slug));
    }
    assert_eq!(kinds(outcome("security-scanner")), [("code_execution", 1)]);
}

#[tokio::test]
async fn straight_after_a_deadly_failure_a_plugin_is_left_in_peace_and_that_is_not_held_against_it() {
    let site = Site::with(&["tests/plugins/endless-loop"]).await;
    let failed = site.look("eval(x)").await;
    assert!(failed[0].outcome.as_ref().unwrap_err().contains("0.3 s of computing"), "{failed:?}");
    let spared = site.look("eval(x)").await;
    assert!(spared[0].outcome.as_ref().unwrap_err().contains("left in peace"), "{spared:?}");
    assert_eq!(site.shown("endless-loop").await.failures, 1);
}

#[tokio::test]
async fn five_failures_in_a_row_turn_a_plugin_off_in_that_organisation_until_it_is_enabled() {
    let site = Site::with(&["tests/plugins/raises", SCANNER]).await;
    for _ in 0..5 {
        assert_eq!(site.look("eval(x)").await.len(), 2);
    }
    let left: Vec<_> = site.look("eval(x)").await.into_iter().map(|one| one.plugin).collect();
    assert_eq!(left, ["security-scanner"]);
    let shown = site.shown("raises").await;
    assert_eq!((shown.status, shown.calls, shown.failures), (PluginStatus::Active, 5, 5));
    let error =
        site.db.read(|tx| Ok(tx.query_row("SELECT error FROM plugin_activations", &[], |row| row.get(0))?)).await;
    let error: String = error.unwrap().unwrap();
    assert!(error.contains("5 times in a row") && error.contains("raises/main.py\", line 31"), "{error}");
    assert_eq!(site.look_in(OrgId(2), "eval(x)").await.len(), 2, "another organisation's files are looked at");

    let site = site.restart().await;
    assert_eq!(site.look("eval(x)").await.len(), 1);
    let text = fs::read_to_string(site.dir.path().join("plugins/raises/main.py")).unwrap();
    site.write("raises/main.py", &text.replace("return self.divide(value, 0)", "return value"));
    let shown = site.plugins.enable(permit(), "raises".into()).await.unwrap();
    assert_eq!((shown.status, shown.error), (PluginStatus::Active, None));
    assert!(site.look("x").await.iter().all(|one| one.outcome == Ok(vec![])));
}

#[tokio::test]
async fn a_success_ends_the_row() {
    let site = Site::with(&[]).await;
    inline(
        &site,
        "moody",
        "    def activate(self):\n        self.context.hooks.register_filter('code.analyze', self.run)\n    \
         def analyze_code(self, code, language): return {}\n    \
         def run(self, value):\n        if value['code'] == 'bad': raise ValueError('moody')\n        return value\n",
    );
    site.plugins.install(permit(), "moody".into(), Wish::default()).await.unwrap();
    for code in ["bad", "bad", "bad", "bad", "good", "bad", "bad", "bad", "bad", "good"] {
        let found = site.look(code).await;
        assert_eq!(found[0].outcome.is_ok(), code == "good", "{found:?}");
    }
}

#[tokio::test]
async fn the_value_passes_on_by_priority_and_the_question_stays() {
    let site = Site::with(&[]).await;
    let filter = |priority: i32, run: &str| {
        format!(
            "    def activate(self):\n        self.context.hooks.register_filter('code.analyze', self.run, {priority})\n    \
             def analyze_code(self, code, language): return {{}}\n    def run(self, value):\n        {run}\n"
        )
    };
    inline(
        &site,
        "a-late",
        &filter(20, "return {**value, 'late': [{'message': value['code'] + str(len(value['early']))}]}"),
    );
    inline(&site, "b-early", &filter(1, "return {'code': 'forged', 'early': [{'message': 'e'}]}"));
    inline(&site, "c-flood", &filter(2, "return {**value, 'flood': 'x' * 5_000_000}"));
    inline(&site, "d-strange", &filter(3, "return 5"));
    inline(
        &site,
        "e-method",
        "    def activate(self): pass\n    async def analyze_code(self, code, language):\n        return {'issues': [{'message': language}]}\n",
    );
    for slug in ["a-late", "b-early", "c-flood", "d-strange", "e-method"] {
        site.plugins.install(permit(), slug.into(), Wish::default()).await.unwrap();
    }
    let found = site.look("true").await;
    let messages: Vec<Result<Vec<&str>, &str>> = found
        .iter()
        .map(|one| {
            one.outcome
                .as_ref()
                .map(|all| all.iter().map(|finding| finding.message.as_str()).collect())
                .map_err(String::as_str)
        })
        .collect();
    assert_eq!((&messages[0], &messages[1], &messages[4]), (&Ok(vec!["true1"]), &Ok(vec!["e"]), &Ok(vec!["python"])));
    assert!(messages[2].as_ref().unwrap_err().contains("more than 4 MiB"), "{messages:?}");
    assert!(messages[3].as_ref().unwrap_err().contains("it is no object"), "{messages:?}");
}

#[tokio::test]
async fn damaged_folders_are_listed_and_stop_nothing() {
    let site = Site::with(&[SCANNER]).await;
    let manifest = r#"{"name":"X","slug":"SLUG","version":"1.0.0","category":"utility","entry_point":"main.py:X"}"#;
    site.write("no-manifest/main.py", "");
    site.write("No Slug/plugin.json", &manifest.replace("SLUG", "No Slug"));
    site.write("broken-json/plugin.json", "{\"name\": ");
    site.write("no-main/plugin.json", &manifest.replace("SLUG", "no-main"));
    site.write("other-name/plugin.json", &manifest.replace("SLUG", "right-name"));
    site.write("other-name/main.py", "");
    site.write("leads-out/plugin.json", &manifest.replace("SLUG", "leads-out"));
    std::os::unix::fs::symlink("/etc/passwd", site.dir.path().join("plugins/leads-out/main.py")).unwrap();
    std::os::unix::fs::symlink("/etc", site.dir.path().join("plugins/a-link")).unwrap();
    site.write("wrong-code/plugin.json", &manifest.replace("SLUG", "wrong-code"));
    site.write("wrong-code/main.py", "def broken(:\n");
    let cases = [
        ("no-manifest", "no plugin.json"),
        ("broken-json", "line 1"),
        ("no-main", "names main.py"),
        ("other-name", "rename the folder to right-name"),
        ("leads-out", "main.py is a symbolic link"),
        ("a-link", "a-link is not a folder"),
        ("No Slug", "is no slug"),
        ("wrong-code", "File \"wrong-code/main.py\", line 1"),
    ];
    for (slug, words) in cases.into_iter().filter(|(slug, _)| *slug != "No Slug") {
        let error = site.plugins.install(permit(), slug.into(), Wish::default()).await.unwrap_err();
        assert!(error.message().contains(words), "{slug}: {error}");
    }
    let site = site.restart().await;
    assert_eq!(kinds(&site.look("eval(x)").await[0]), [("code_execution", 1)]);
    for (slug, words) in cases {
        // The code of the last one is loaded in the background.
        let mut shown = site.shown(slug).await;
        while shown.status != PluginStatus::Failed {
            tokio::task::yield_now().await;
            shown = site.shown(slug).await;
        }
        assert!(shown.error.as_deref().unwrap().contains(words), "{slug}: {:?}", shown.error);
        site.plugins.uninstall(permit(), slug.into()).await.unwrap();
        assert!(fs::symlink_metadata(site.dir.path().join("plugins").join(slug)).is_err(), "{slug}");
    }
    assert!(Path::new("/etc/passwd").exists());
    assert_eq!(fs::read_dir(site.dir.path().join("plugins")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_refused_change_leaves_everything_as_it_was() {
    let site = Site::with(&[SCANNER]).await;
    let slug = || "security-scanner".to_owned();
    let error =
        site.plugins.configure(permit(), slug(), settings(&json!({"severity_threshold": "huge"}))).await.unwrap_err();
    assert_eq!((error.code(), error.field_name()), ("invalid_config", Some("config.severity_threshold")));
    let main = fs::read_to_string(site.dir.path().join("plugins/security-scanner/main.py")).unwrap();
    site.write(
        "security-scanner/main.py",
        &main.replace("        context.log_info(", "        return False\n        context.log_info("),
    );
    let error = site.plugins.install(permit(), slug(), Wish::default()).await.unwrap_err();
    assert!(error.code() == "plugin_load_failed" && error.message().contains("returned False"), "{error}");
    assert_eq!(kinds(&site.look("eval(x)").await[0]), [("code_execution", 1)]);
    assert_eq!(site.shown("security-scanner").await.status, PluginStatus::Active);
}

#[tokio::test]
async fn data_is_kept_within_bounds_and_goes_with_the_plugin() {
    let site = Site::with(&[]).await;
    inline(
        &site,
        "keeper",
        "    def activate(self): pass\n    def analyze_code(self, code, language):\n        \
         n = self.context.get_data('n', 0) + 1\n        self.context.set_data('n', n)\n        \
         if code == 'big': resoftai.kv.set('big', 'x' * 2_000_000)\n        \
         if code == 'net': resoftai.http.get('https://example.org/')\n        return {'issues': [{'message': str(n)}]}\n",
    );
    site.plugins.install(permit(), "keeper".into(), Wish::default()).await.unwrap();
    assert_eq!(site.look("").await[0].outcome.as_ref().unwrap()[0].message, "1");
    let site = site.restart().await;
    assert_eq!(site.look("").await[0].outcome.as_ref().unwrap()[0].message, "2");
    let big = site.look("big").await;
    assert!(big[0].outcome.as_ref().unwrap_err().contains("more than its 1048576 bytes"), "{big:?}");
    let net = site.look("net").await;
    assert!(net[0].outcome.as_ref().unwrap_err().contains("Denied"), "{net:?}");
    assert!(site.kv.usage("plugin/keeper/1").await.unwrap() > 0);
    let other = site.look_in(OrgId(2), "").await;
    assert_eq!(other[0].outcome.as_ref().unwrap()[0].message, "1", "another organisation sees none of it");
    site.plugins.uninstall(permit(), "keeper".into()).await.unwrap();
    assert_eq!(site.kv.namespaces("plugin/").await.unwrap(), Vec::<String>::new());
    assert!(site.look("").await.is_empty());
}

#[tokio::test]
async fn without_a_runtime_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    copy(&root().join(SCANNER), &dir.path().join("plugins/security-scanner"));
    let site = Site::on(dir, &[]).await;
    let error = site.plugins.install(permit(), "security-scanner".into(), Wish::default()).await.unwrap_err();
    assert_eq!(error.code(), "no_plugin_runtime");
    assert!(site.look("eval(x)").await[0].outcome.as_ref().unwrap_err().contains("carries no plugin runtime"));
    assert_eq!(site.plugins.state(), (true, "this build carries none: plugins are off".to_owned()));
    let damaged = tempfile::tempdir().unwrap();
    copy(&root().join(SCANNER), &damaged.path().join("plugins/security-scanner"));
    let site = Site::on(damaged, b"no such thing").await;
    assert_eq!(
        site.plugins.install(permit(), "security-scanner".into(), Wish::default()).await.unwrap_err().code(),
        "plugin_runtime_failed"
    );
    assert!(!site.plugins.state().0);
}

//! Updates of plugins through the door: what comes in by itself, what waits, what is refused, and what comes back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use resoftai::plugins::pack::pack;
use resoftai::plugins::package::Files;
use serde_json::{Value, json};

use crate::app::{App, Reply};
use crate::market::{import, stock};
use crate::mirror::Outside;
use crate::scanning::CODE;

/// What works, but does not start where the setting `strict` is on.
fn faint() -> String {
    CODE.replace(
        "    def load(self, context):\n",
        "    def load(self, context):\n        if self.config.get('strict'):\n            raise RuntimeError('not so strict')\n",
    )
}

/// The connected side with a box that trusts it, has nothing installed, and whose window is always open.
struct Site {
    app: App,
    outside: Outside,
    root: String,
}

impl Site {
    async fn new(packages: &[(&str, &str, Value)]) -> Self {
        let (app, outside) = (App::start(), Outside::new().await);
        let root = app.person("root", "admin", None).await;
        for (slug, version, manifest) in packages {
            add(&outside, slug, version, manifest, CODE);
        }
        outside.sign().await;
        stock(&app, &root, &(outside.root(), outside.bundle())).await;
        let site = Self { app, outside, root };
        site.open(true);
        site.done().await;
        site
    }

    /// Opens the window for good, or closes it for the days around today.
    fn open(&self, open: bool) {
        let days = "monday,tuesday,wednesday,thursday,friday,saturday,sunday";
        let mut days: Vec<&str> = days.split(',').collect();
        if !open {
            let today = resoftai::base::zone::Zone::default().day(resoftai::base::clock::Clock::system().now());
            let today = usize::try_from(today.weekday().to_monday_zero_offset()).unwrap();
            days = vec![days[(today + 3) % 7]];
        }
        let window = ["plugin", "updates", "window", "--days", &days.join(","), "--from", "00:00", "--to", "24:00"];
        assert_eq!(self.app.cli_json(&window, "")["open"], open);
    }

    /// Waits until the marketplace and the updates have followed what happened.
    async fn done(&self) {
        for _ in 0..600 {
            let waiting = "SELECT kind FROM jobs WHERE kind IN ('mirror_switched', 'market.updates')";
            if self.app.sql_texts(waiting).is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{:?}", self.app.sql_texts("SELECT last_error FROM jobs WHERE kind = 'market.updates'"));
    }

    /// Carries more packages over.
    async fn bring(&self, packages: &[(&str, &str, Value, &str)]) {
        for (slug, version, manifest, code) in packages {
            add(&self.outside, slug, version, manifest, code);
        }
        self.outside.sign().await;
        import(&self.app, &self.root, self.outside.bundle()).await;
        self.done().await;
    }

    fn install(&self, slug: &str, policy: &str) {
        self.app.cli_json(&["plugin", "install", slug], "");
        self.app.cli_json(&["plugin", "updates", "set", slug, "--policy", policy], "");
    }

    fn run(&self, arguments: &[&str]) -> Value {
        self.app.cli_json(&[&["plugin", "updates", "run"], arguments].concat(), "")["items"].clone()
    }

    fn version(&self, slug: &str) -> Value {
        let plugin = self.app.cli_json(&["plugin", "info", slug], "");
        assert_eq!(plugin["status"], "active", "{plugin}");
        // What is at work is what lies in the folder.
        let text = fs::read(self.app.dir.path().join("plugins").join(slug).join("plugin.json")).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap()["version"], plugin["version"]);
        plugin["version"].clone()
    }

    /// What could become of a plugin.
    fn update(&self, slug: &str) -> Value {
        let all = self.app.cli_json(&["plugin", "updates"], "");
        all["items"].as_array().unwrap().iter().find(|one| one["slug"] == slug).cloned().unwrap_or_default()
    }

    /// As in `1.0.0 1.0.1 updated`, the newest first.
    fn history(&self, slug: &str) -> Vec<String> {
        let list = self.app.cli_json(&["plugin", "updates", "history", slug], "");
        let line =
            |one: &Value| ["from", "to", "outcome"].map(|field| one[field].as_str().unwrap().to_owned()).join(" ");
        list["items"].as_array().unwrap().iter().map(line).collect()
    }

    /// The kinds and texts of root's notices about updates.
    async fn notices(&self) -> Vec<(String, String)> {
        let list = self.app.call("GET", "/api/notices?limit=100", Some(&self.root), None).await.body;
        let pair = |one: &Value| (one["kind"].as_str().unwrap().to_owned(), one["text"].as_str().unwrap().to_owned());
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(pair)
            .filter(|(kind, _)| kind.starts_with("plugin_update"))
            .collect()
    }

    fn trail(&self) -> String {
        self.app.cli_json(&["audit", "list", "--resource", "plugin_update", "--limit", "100"], "")["items"].to_string()
    }

    /// What is left of versions that were kept while others were on trial.
    fn kept(&self) -> Vec<String> {
        let names = fs::read_dir(self.app.dir.path().join("plugins")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".before-") || name.starts_with(".change-")).collect()
    }
}

fn packed(slug: &str, version: &str, manifest: &Value, code: &str) -> Vec<u8> {
    let mut fields = json!({"slug": slug, "name": slug, "version": version, "entry_point": "main.py:It",
        "config_schema": {"type": "object", "properties": {"strict": {"type": "boolean"}}}});
    fields.as_object_mut().unwrap().extend(manifest.as_object().unwrap().clone());
    let mut files = Files::default();
    files.add("plugin.json", fields.to_string().into_bytes()).unwrap();
    files.add("main.py", code.as_bytes().to_vec()).unwrap();
    pack(files, vec![]).unwrap().bytes
}

fn add(outside: &Outside, slug: &str, version: &str, manifest: &Value, code: &str) {
    let file = outside.path(&format!("{slug}-{version}.rplugin"));
    fs::write(&file, packed(slug, version, manifest, code)).unwrap();
    outside.add(&file);
}

#[tokio::test]
async fn a_plugin_is_brought_as_far_as_its_policy_says() {
    let site = Site::new(&[("tool", "1.0.0", json!({})), ("still", "1.0.0", json!({}))]).await;
    site.install("tool", "patch");
    site.app.cli_json(&["plugin", "install", "still"], "");
    let nothing = site.app.cli(&["plugin", "updates"], "");
    assert!(nothing.status.success() && nothing.stdout.is_empty(), "{nothing:?}");
    let newer = [("tool", "1.0.1"), ("tool", "1.0.2-rc.1"), ("tool", "1.1.0"), ("tool", "2.0.0"), ("still", "1.0.1")];
    site.bring(&newer.map(|(slug, version)| (slug, version, json!({}), CODE))).await;
    assert_eq!((site.version("tool"), site.version("still")), (json!("1.0.1"), json!("1.0.0")));
    assert_eq!(site.history("tool"), ["1.0.0 1.0.1 updated"]);
    let held = site.update("tool");
    assert_eq!((&held["verdict"], &held["version"]), (&json!("held"), &json!("2.0.0")), "{held}");
    assert_eq!(site.update("still")["verdict"], "held");
    let notices = site.notices().await;
    assert_eq!(notices, [("plugin_updated".to_owned(), "The plugin tool was updated from 1.0.0 to 1.0.1.".to_owned())]);
    let trail = site.trail();
    assert!(trail.contains("Updated plugin tool from 1.0.0 to 1.0.1") && trail.contains("to patch"), "{trail}");
    assert_eq!(site.run(&[])[1]["verdict"], "held");

    // The history has an end: what is oldest goes.
    site.app.sql(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1005) INSERT INTO plugin_update_history \
         (id, slug, from_version, to_version, outcome, reason, by_hand, at) \
         SELECT -i, 'gone', '1.0.0', '1.0.1', 'refused', '', FALSE, 0 FROM n",
    );

    // Another policy leads further; a version that is named comes whatever the policy, and needs no hour.
    site.app.cli_json(&["plugin", "updates", "set", "tool", "--policy", "minor"], "");
    assert_eq!(site.run(&["tool"])[0]["outcome"], "updated");
    assert_eq!(site.version("tool"), "1.1.0");
    assert_eq!(site.app.sql_texts("SELECT CAST(COUNT(*) AS TEXT) FROM plugin_update_history"), ["1000"]);
    site.app.sql("DELETE FROM plugin_update_history WHERE slug = 'gone'");
    assert_eq!(site.run(&["tool"])[0]["verdict"], "held");
    assert_eq!(site.run(&["still", "--version", "1.0.1"])[0]["outcome"], "updated");
    assert_eq!(site.version("still"), "1.0.1");
    let absent = site.app.cli(&["plugin", "updates", "run", "still", "--version", "7.0.0"], "");
    assert_eq!(absent.status.code(), Some(3), "{absent:?}");
    let history = site.app.cli_json(&["plugin", "updates", "history"], "");
    let by_hand: Vec<_> = history["items"].as_array().unwrap().iter().map(|one| one["by_hand"].clone()).collect();
    assert_eq!(by_hand, [json!(true), json!(true), json!(false)], "{history}");
    let page = site.app.call("GET", "/api/marketplace/updates/history?limit=1", Some(&site.root), None).await.body;
    let next = format!("/api/marketplace/updates/history?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = site.app.call("GET", &next, Some(&site.root), None).await.body;
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (2, &json!(null)));
    assert_eq!(site.kept(), [""; 0]);
}

#[tokio::test]
async fn outside_of_the_window_nothing_comes_until_somebody_asks() {
    let site = Site::new(&[("tool", "1.0.0", json!({}))]).await;
    site.install("tool", "all");
    site.open(false);
    site.bring(&[("tool", "1.0.1", json!({}), CODE)]).await;
    assert_eq!((site.version("tool"), site.update("tool")["verdict"].clone()), (json!("1.0.0"), json!("ready")));
    let planned = site.run(&["--dry-run"]);
    assert_eq!((&planned[0]["verdict"], &planned[0]["outcome"]), (&json!("ready"), &json!(null)), "{planned}");
    assert_eq!((site.version("tool"), site.history("tool")), (json!("1.0.0"), vec![]));
    assert_eq!(site.run(&[])[0]["outcome"], "updated");
    assert_eq!(site.version("tool"), "1.0.1");
    for (change, field) in [(["--from", "24:00"], "from"), (["--to", "00:10"], "to"), (["--to", "3:00"], "to")] {
        let refused = site.app.cli(&[&["plugin", "updates", "window"], &change[..]].concat(), "");
        assert_eq!(refused.status.code(), Some(2), "{field}: {refused:?}");
    }
    assert!(site.trail().contains("Set when plugins are updated by themselves"));
}

#[tokio::test]
async fn what_asks_for_more_waits_for_exactly_that_to_be_approved() {
    let asks = json!({"capabilities": {"http": ["api.example.org"]}});
    let site = Site::new(&[("tool", "1.0.0", json!({}))]).await;
    site.install("tool", "minor");
    site.bring(&[("tool", "1.1.0", asks.clone(), CODE)]).await;
    let waiting = site.update("tool");
    assert_eq!((site.version("tool"), &waiting["verdict"]), (json!("1.0.0"), &json!("waiting")), "{waiting}");
    assert!(waiting["asks"].to_string().contains("api.example.org"), "{waiting}");
    // Once is enough, however often it is looked at.
    assert_eq!(site.run(&[])[0]["outcome"], "waiting");
    assert_eq!((site.history("tool"), site.notices().await.len()), (vec!["1.0.0 1.1.0 waiting".to_owned()], 1));
    // Naming it is not approving it.
    assert_eq!(site.run(&["tool", "--version", "1.1.0"])[0]["outcome"], "waiting");
    let nowhere = site.app.cli(&["plugin", "updates", "approve", "tool", "1.2.0"], "");
    assert_eq!(nowhere.status.code(), Some(3), "{nowhere:?}");

    // Other bytes of that name, such as after a change of repositories, are not what was looked at.
    site.open(false);
    site.app.cli_json(&["plugin", "updates", "approve", "tool", "1.1.0"], "");
    site.done().await;
    let approved = "UPDATE plugin_update_decisions SET sha256 =";
    let sha256 = site.app.sql_texts("SELECT sha256 FROM plugin_update_decisions").remove(0);
    site.app.sql(&format!("{approved} 'another'"));
    assert_eq!(site.update("tool")["verdict"], "waiting");
    site.app.sql(&format!("{approved} '{sha256}'"));
    assert_eq!(site.update("tool")["verdict"], "ready");
    site.open(true);
    let again = site.app.cli_json(&["plugin", "updates", "approve", "tool", "1.1.0"], "");
    assert_eq!(again["version"], "1.1.0", "{again}");
    site.done().await;
    assert_eq!((site.version("tool"), site.history("tool").len()), (json!("1.1.0"), 2));
    assert!(site.trail().contains("Approved the update of plugin tool to 1.1.0"));
    // Asking for less, or the same, is no more to decide about.
    site.bring(&[("tool", "1.2.0", asks, CODE), ("tool", "1.3.0", json!({}), CODE)]).await;
    assert_eq!(site.version("tool"), "1.3.0");
}

#[tokio::test]
async fn what_does_not_start_makes_room_for_the_version_before() {
    let site = Site::new(&[("tool", "1.0.0", json!({}))]).await;
    site.app.org("acme");
    site.install("tool", "all");
    site.app.cli_json(&["plugin", "enable", "tool", "--org", "acme"], "");
    site.app.cli_json(&["plugin", "config", "tool", "--org", "acme", "strict=true"], "");
    let broken = CODE.replace("class It(Plugin):", "raise RuntimeError('never ready')\n\n\nclass It(Plugin):");
    site.bring(&[("tool", "1.0.1", json!({}), &broken)]).await;
    assert_eq!((site.version("tool"), site.history("tool")), (json!("1.0.0"), vec!["1.0.0 1.0.1 returned".to_owned()]));
    assert_eq!(site.update("tool")["verdict"], "failed");
    assert!(site.update("tool")["reason"].as_str().unwrap().contains("never ready"));

    // It starts on the site, and not with what an organisation set.
    site.bring(&[("tool", "1.0.2", json!({}), &faint())]).await;
    assert_eq!(site.version("tool"), "1.0.0");
    let entry = &site.app.cli_json(&["plugin", "updates", "history", "tool"], "")["items"][0];
    assert_eq!((&entry["to"], &entry["outcome"]), (&json!("1.0.2"), &json!("returned")));
    let reason = entry["reason"].as_str().unwrap();
    assert!(reason.contains("In organisation") && reason.contains("not so strict"), "{reason}");
    let notices = site.notices().await;
    assert!(notices[0].0 == "plugin_update_returned" && notices[0].1.contains("1.0.0 is at work"), "{notices:?}");
    assert_eq!(site.kept(), [""; 0]);
    let config = site.app.cli_json(&["plugin", "config", "tool", "--org", "acme"], "");
    assert_eq!(config["strict"], true, "{config}");

    // It is not tried again unasked, and is when somebody asks.
    assert_eq!(site.run(&[])[0]["outcome"], json!(null));
    assert_eq!(site.history("tool").len(), 2);
    let asked = site.app.cli(&["plugin", "updates", "run", "tool", "--version", "1.0.2"], "");
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
    assert_eq!((site.version("tool"), site.history("tool").len()), (json!("1.0.0"), 3));
    site.app.cli_json(&["plugin", "config", "tool", "--org", "acme", "strict=false"], "");
    assert_eq!(site.run(&["tool", "--version", "1.0.2"])[0]["outcome"], "updated");
    assert_eq!(site.version("tool"), "1.0.2");
}

#[tokio::test]
async fn an_update_that_was_cut_off_is_ended_at_the_next_start() {
    let mut site = Site::new(&[("tool", "1.0.0", json!({}))]).await;
    site.app.org("acme");
    site.install("tool", "all");
    site.app.cli_json(&["plugin", "enable", "tool", "--org", "acme"], "");
    site.app.cli_json(&["plugin", "config", "tool", "--org", "acme", "strict=true"], "");
    // As it is when the power goes between the new version's first call and its proof.
    let folder = site.app.dir.path().join("plugins");
    copy(&folder.join("tool"), &folder.join(".before-tool"));
    let file = site.outside.path("tool.rplugin");
    fs::write(&file, packed("tool", "1.0.1", &json!({}), &faint())).unwrap();
    site.app.cli_json(&["plugin", "install", file.to_str().unwrap(), "--replace"], "");
    assert_eq!(site.version("tool"), "1.0.1");
    site.app.sql(
        "INSERT INTO plugin_update_trials (plugin_id, lead, from_version, to_version, sha256, began_at) \
         SELECT id, slug, '1.0.0', '1.0.1', 'none', 0 FROM plugins",
    );
    site.open(false);
    site.app.sql("UPDATE plugin_update_window SET looked_at = 0");
    site.app.crash_and_restart();
    for _ in 0..600 {
        if site.app.sql_texts("SELECT lead FROM plugin_update_trials").is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    site.done().await;
    assert_eq!((site.version("tool"), site.history("tool")), (json!("1.0.0"), vec!["1.0.0 1.0.1 returned".to_owned()]));
    assert_eq!(site.kept(), [""; 0]);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_the_reason() {
    let site = Site::new(&[
        ("chart", "1.0.0", json!({"dependencies": ["shape >=1.0.0"]})),
        ("shape", "1.0.0", json!({})),
        ("lone", "1.0.0", json!({})),
        ("old", "1.0.0", json!({})),
        ("safe", "1.0.0", json!({})),
    ])
    .await;
    for (slug, policy) in [("chart", "all"), ("lone", "all"), ("old", "off"), ("safe", "all")] {
        site.install(slug, policy);
    }
    let hidden = format!("{CODE}\nimport base64\n\n\ndef unused():\n    exec(base64.b64decode('cGFzcw=='))\n");
    site.bring(&[
        ("chart", "1.1.0", json!({"dependencies": ["shape >=1.1.0"]}), CODE),
        ("shape", "1.1.0", json!({}), CODE),
        ("other", "1.0.0", json!({}), CODE),
        ("lone", "1.1.0", json!({"dependencies": ["other"]}), CODE),
        ("lone", "1.2.0", json!({"dependencies": ["nobody-has-this"]}), CODE),
        ("old", "1.1.0", json!({}), CODE),
        ("safe", "1.1.0", json!({}), &hidden),
    ])
    .await;
    // As the catalogue has it of a package that is for another version of the platform.
    site.app.sql("UPDATE market_packages SET fault = 'It is for 99.0.0.' WHERE slug = 'old' AND version = '1.1.0'");
    site.app.cli_json(&["plugin", "updates", "set", "old", "--policy", "minor"], "");
    assert_eq!(site.run(&["old"])[0]["outcome"], "refused");
    for (slug, version, reason) in [
        ("chart", "1.1.0", "its policy, which is off"),
        ("lone", "1.2.0", "nobody-has-this"),
        ("old", "1.1.0", "99.0.0"),
        ("safe", "1.1.0", "main.py, line"),
    ] {
        assert_eq!(site.version(slug), "1.0.0");
        let update = site.update(slug);
        assert_eq!((&update["verdict"], &update["version"]), (&json!("refused"), &json!(version)), "{update}");
        assert!(update["reason"].as_str().unwrap().contains(reason), "{update}");
        assert_eq!(site.history(slug), [format!("1.0.0 {version} refused")]);
    }
    let named = site.run(&["lone", "--version", "1.1.0"]);
    assert!(named[0]["reason"].as_str().unwrap().contains("other, which is not installed"), "{named}");
    assert!(site.app.sql_texts("SELECT slug FROM plugins WHERE slug = 'other'").is_empty());
    // When both may, both come, all or none.
    site.app.cli_json(&["plugin", "updates", "set", "shape", "--policy", "minor"], "");
    let planned = site.run(&["chart", "--dry-run"]);
    assert_eq!(planned[0]["with"], json!(["shape 1.0.0 -> 1.1.0"]), "{planned}");
    assert_eq!(site.run(&["chart"])[0]["outcome"], "updated");
    assert_eq!((site.version("chart"), site.version("shape")), (json!("1.1.0"), json!("1.1.0")));
    assert_eq!(site.history("shape"), ["1.0.0 1.1.0 updated"]);
    // What was switched off is not switched on by the way.
    site.app.cli_json(&["plugin", "disable", "old"], "");
    site.bring(&[("old", "1.0.1", json!({}), CODE)]).await;
    assert_eq!(site.update("old")["verdict"], "held");
    assert_eq!(site.app.cli_json(&["plugin", "info", "old"], "")["status"], "disabled");
}

#[tokio::test]
async fn who_runs_the_site_says_what_is_updated_and_nobody_else() {
    let site = Site::new(&[("tool", "1.0.0", json!({}))]).await;
    site.app.org("acme");
    site.install("tool", "off");
    let owner = site.app.person("olga", "org_admin", Some("acme")).await;
    let call = async |method: &str, path: &str, body: Option<Value>| -> Reply {
        site.app.call(method, &format!("/api/marketplace/{path}"), Some(&owner), body).await
    };
    for (method, path, body) in [
        ("GET", "updates/check", None),
        ("GET", "updates/history", None),
        ("GET", "updates/window", None),
        ("GET", "plugins/tool/update", None),
        ("PUT", "updates/window", Some(json!({"days": ["monday"], "from": "01:00", "to": "03:00"}))),
        ("PUT", "plugins/tool/update-policy", Some(json!({"policy": "all"}))),
        ("POST", "updates/run", Some(json!({"dry_run": true}))),
        ("POST", "plugins/tool/update", Some(json!({}))),
        ("POST", "plugins/tool/approve", Some(json!({"version": "1.0.0"}))),
    ] {
        let reply = call(method, path, body).await;
        assert_eq!(reply.status, 403, "{method} {path}: {}", reply.body);
    }
    let absent = site.app.cli(&["plugin", "updates", "set", "tol", "--policy", "all"], "");
    let said = String::from_utf8_lossy(&absent.stderr).into_owned();
    assert!(absent.status.code() == Some(3) && said.contains("tool"), "{said}");
}

//! The mirror through the door: a repository made on one side, carried over as a bundle, verified and imported on the other.

mod attacks;
mod cut;
mod old;
mod others;
mod pulled;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use bytes::Bytes;
use resoftai::base::clock::{Clock, Time};
use resoftai::mirror::bundle;
use resoftai::mirror::keys::Keys;
use resoftai::mirror::names;
use resoftai::mirror::repository::{Days, Repository};
use resoftai::mirror::verify::Metadata;
use resoftai::plugins::{Package, unpack};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{App, Reply};

/// The connected side: a folder with a repository, its keys and what goes into it.
pub struct Outside {
    dir: TempDir,
}

impl Outside {
    /// A repository with nothing in it.
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let outside = Self { dir };
        let days = Days { root: 100, rest: 10 };
        Repository::init(&outside.folder(), outside.keys(), (1, 1), days, outside.now()).await.unwrap();
        outside
    }

    /// The same with two plugins and an advisory, signed.
    async fn with_plugins() -> Self {
        let outside = Self::new().await;
        for name in ["file-headers", "security-scanner"] {
            outside.add(&plugin(&outside.path(""), name, "1.0.0", ""));
        }
        std::fs::write(outside.path("PYSEC-2024-1.json"), r#"{"id": "PYSEC-2024-1"}"#).unwrap();
        outside.repository().add(&outside.path("PYSEC-2024-1.json"), Some(names::Kind::Advisory)).unwrap();
        outside.sign().await;
        outside
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn folder(&self) -> PathBuf {
        self.path("repository")
    }

    fn keys(&self) -> Keys {
        Keys::within(&self.path("keys"))
    }

    fn now(&self) -> Time {
        Clock::system().now()
    }

    pub fn repository(&self) -> Repository {
        Repository::open(&self.folder(), self.keys()).unwrap()
    }

    pub fn add(&self, file: &Path) {
        self.repository().add(file, None).unwrap();
    }

    pub async fn sign(&self) {
        self.repository().sign(10, self.now()).await.unwrap();
    }

    /// The first root, as a text.
    pub fn root(&self) -> String {
        std::fs::read_to_string(self.folder().join("metadata/1.root.json")).unwrap()
    }

    fn metadata(&self) -> Metadata {
        self.repository().metadata().unwrap()
    }

    /// The state as it was signed last, as a bundle.
    pub fn bundle(&self) -> Bytes {
        bundle_of(&self.metadata(), &self.contents())
    }

    /// What is in the repository, each with the place that a bundle has for it.
    fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let repository = self.repository();
        let contents = repository.contents().unwrap();
        contents
            .iter()
            .map(|content| (bundle::path(content), std::fs::read(repository.place(content)).unwrap()))
            .collect()
    }
}

/// A repository's root and a bundle of it with the plugin file-headers 1.0.0, made once.
pub fn sample() -> &'static (String, Bytes) {
    static SAMPLE: OnceLock<(String, Bytes)> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let made = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let outside = runtime.block_on(Outside::with_plugins());
            (outside.root(), outside.bundle())
        });
        made.join().unwrap()
    })
}

/// A plugin that no mirror here lists, packed, as somebody hands it in; without a licence it does not get far.
pub fn handed_in(licensed: bool) -> Bytes {
    let folder = tempfile::tempdir().unwrap();
    let packed = plugin(folder.path(), "api-first", "1.0.0", "");
    let (manifest, mut files) = Package::new(unpack(&std::fs::read(packed).unwrap()).unwrap()).unwrap().into_parts();
    let mut fields: Value = serde_json::from_slice(files.get("plugin.json").unwrap()).unwrap();
    fields["license"] = if licensed { "Apache-2.0".into() } else { json!(null) };
    fields["description"] = manifest.name.into();
    files.extract(|path| matches!(path, "plugin.json" | "SHA256SUMS" | "sbom.cdx.json"));
    files.add("plugin.json", fields.to_string().into_bytes()).unwrap();
    resoftai::plugins::pack::pack(files, vec![]).unwrap().bytes.into()
}

/// Packs a plugin of the examples under another version, with more in it.
fn plugin(folder: &Path, name: &str, version: &str, more: &str) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-sdk/examples").join(name);
    let to = folder.join(format!("{name}-{version}"));
    std::fs::create_dir_all(&to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    let manifest = to.join("plugin.json");
    let mut text: Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    text["version"] = version.into();
    text["icon"] = "icon.png".into();
    std::fs::write(to.join("icon.png"), crate::orgs::LOGO).unwrap();
    std::fs::write(manifest, text.to_string()).unwrap();
    std::fs::write(to.join("MORE.txt"), more).unwrap();
    let packed = resoftai::plugins::pack::pack(resoftai::plugins::package::Files::read(&to).unwrap(), vec![]).unwrap();
    let file = folder.join(format!("{name}-{version}.rplugin"));
    std::fs::write(&file, packed.bytes).unwrap();
    file
}

fn bundle_of(metadata: &Metadata, contents: &[(String, Vec<u8>)]) -> Bytes {
    let packed = bundle::pack(metadata).unwrap();
    let mut bytes = Vec::new();
    let first = (bundle::METADATA.to_owned(), packed);
    for (path, content) in std::iter::once(&first).chain(contents) {
        bytes.extend(bundle::head(path, content.len() as u64).unwrap());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len() + bundle::padding(content.len() as u64), 0);
    }
    bytes.resize(bytes.len() + bundle::END, 0);
    bytes.into()
}

/// The site.
struct Inside {
    app: App,
    admin: String,
}

impl Inside {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let app = App::start_with_settings(settings);
        let admin = app.person("root", "admin", None).await;
        Self { app, admin }
    }

    /// A site that trusts the root of `outside`.
    async fn trusting(outside: &Outside) -> Self {
        let inside = Self::new(&[]).await;
        inside.trust(&outside.root(), "vendor", false).await;
        inside
    }

    async fn trust(&self, root: &str, repository: &str, replace: bool) {
        let body = json!({"repository": repository, "root": root, "replace": replace});
        let reply = self.app.call("POST", "/api/mirror/trust", Some(&self.admin), Some(body)).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
    }

    async fn send(&self, query: &str, bundle: Bytes) -> Reply {
        let headers =
            [("authorization", format!("Bearer {}", self.admin)), ("content-type", "application/x-tar".to_owned())];
        self.app.send("POST", &format!("/api/mirror/import{query}"), &headers, bundle).await
    }

    async fn import(&self, bundle: Bytes) -> Value {
        let reply = self.send("", bundle).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    /// Imports what has to be refused with `code`, and leaves everything as it was.
    async fn refuses(&self, bundle: Bytes, code: &str) -> String {
        let before = (self.status().await, self.contents().await);
        for query in ["?dry_run=true", ""] {
            let reply = self.send(query, bundle.clone()).await;
            assert_eq!((reply.status / 100, &reply.body["code"]), (4, &json!(code)), "{query}: {}", reply.body);
        }
        assert_eq!((self.status().await, self.contents().await), before);
        let entries = self.app.cli_json(&["audit", "list", "--limit", "1"], "");
        let entry = &entries["items"][0];
        assert_eq!((&entry["resource_type"], &entry["success"]), (&json!("mirror"), &json!(false)), "{entry}");
        entry["description"].as_str().unwrap().to_owned()
    }

    async fn get(&self, path: &str) -> Value {
        let reply = self.app.call("GET", path, Some(&self.admin), None).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    /// Without what changes by itself.
    async fn status(&self) -> Value {
        self.get("/api/mirror").await["repositories"].clone()
    }

    async fn state(&self) -> Option<u64> {
        self.status().await[0]["timestamp_version"].as_u64()
    }

    async fn contents(&self) -> Value {
        self.get("/api/mirror/contents?limit=100").await["items"].clone()
    }

    /// That everything listed is there, byte for byte.
    async fn check_contents(&self) {
        for content in self.contents().await.as_array().unwrap() {
            let (name, sum) = (content["name"].as_str().unwrap(), content["sha256"].as_str().unwrap());
            let file = self.app.dir.path().join("taken-out");
            self.app.cli_json(&["mirror", "get", name, "-o", file.to_str().unwrap()], "");
            assert_eq!(resoftai::base::crypto::sha256_hex(&std::fs::read(&file).unwrap()), sum, "{name}");
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn failed(output: &Output, code: &str) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(code), "{said}");
    said
}

#[tokio::test]
async fn a_repository_is_made_carried_over_and_installed_from_by_commands() {
    let inside = Inside::new(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let app = &inside.app;
    let made = app.cli_json(&["mirror", "init", &at("repo")], "");
    let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
    for key in std::fs::read_dir(dir.path().join("repo-keys/online")).unwrap() {
        assert_eq!(mode(&key.unwrap().path()) & 0o777, 0o600);
    }
    failed(&app.cli(&["--json", "mirror", "init", &at("repo")], ""), "mirror_exists");
    let plugin = plugin(dir.path(), "file-headers", "1.0.0", "");
    let added = app.cli_json(&["mirror", "add", &at("repo"), text(&plugin)], "");
    assert_eq!(added["added"][0]["name"], "plugins/file-headers/1.0.0.rplugin");
    std::fs::write(dir.path().join("readme.txt"), "x").unwrap();
    failed(&app.cli(&["--json", "mirror", "add", &at("repo"), &at("readme.txt")], ""), "mirror_kind");
    app.cli_json(&["mirror", "sign", &at("repo")], "");
    app.cli_json(&["mirror", "export", &at("repo"), "--to", &at("b.tar")], "");

    failed(&app.cli(&["--json", "mirror", "import", &at("b.tar")], ""), "mirror_not_trusted");
    let root = at("repo/metadata/1.root.json");
    let trusted = app.cli_json(&["mirror", "trust", &root, "--yes"], "");
    assert_eq!(trusted["pinned_sha256"], made["fingerprint"]);
    failed(&app.cli(&["--json", "mirror", "trust", &root, "--yes"], ""), "mirror_has_root");
    let plan = app.cli_json(&["mirror", "import", &at("b.tar"), "--dry-run"], "");
    assert_eq!(
        (&plan["dry_run"], &plan["changes"][0]["what"], &plan["from"]),
        (&json!(true), &json!("added"), &json!(null))
    );
    assert_eq!(inside.state().await, None, "a dry run changes nothing");
    let done = app.cli_json(&["mirror", "import", &at("b.tar")], "");
    assert_eq!((&done["to"]["timestamp_version"], &done["needed"][0]["name"]), (&json!(2), &plan["needed"][0]["name"]));
    inside.check_contents().await;
    let status = inside.status().await;
    assert_eq!((&status[0]["counts"][0]["kind"], &status[0]["counts"][0]["contents"]), (&json!("plugin"), &json!(1)));
    assert_eq!(status[0]["days_left"], 364);
    let entry = &app.cli_json(&["audit", "list", "--limit", "1"], "")["items"][0];
    assert_eq!((&entry["resource_type"], &entry["after"]["state"]["timestamp_version"]), (&json!("mirror"), &json!(2)));

    let installed = app.cli_json(&["plugin", "install", "file-headers"], "");
    assert_eq!((&installed["slug"], &installed["version"]), (&json!("file-headers"), &json!("1.0.0")));
    failed(&app.cli(&["--json", "plugin", "install", "no-such"], ""), "plugin_folder_missing");
    let shown = app.cli(&["mirror", "status"], "");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("1 plugin"), "{shown:?}");
}

#[tokio::test]
async fn a_bundle_of_the_difference_holds_what_changed_and_no_more() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::trusting(&outside).await;
    inside.import(outside.bundle()).await;
    let state = outside.path("state.json");
    inside.app.cli_json(&["mirror", "state", "--out", text(&state)], "");
    let newer = plugin(&outside.path(""), "file-headers", "1.1.0", "more");
    outside.add(&newer);
    outside.repository().remove("plugins/file-headers/1.0.0.rplugin").unwrap();
    outside.sign().await;
    let (to, folder) = (outside.path("difference.tar"), outside.folder());
    let export = ["mirror", "export", text(&folder), "--to", text(&to), "--since", text(&state)];
    assert_eq!(inside.app.cli_json(&export, "")["contents"], 1);
    let done = inside.app.cli_json(&["mirror", "import", text(&to)], "");
    let changes: Vec<_> =
        done["changes"].as_array().unwrap().iter().map(|change| (&change["what"], &change["name"])).collect();
    assert_eq!(
        changes,
        [
            (&json!("added"), &json!("plugins/file-headers/1.1.0.rplugin")),
            (&json!("removed"), &json!("plugins/file-headers/1.0.0.rplugin"))
        ]
    );
    inside.check_contents().await;
    // To a site that has nothing it is not enough, and that site says so before anything changes.
    let empty = Inside::trusting(&outside).await;
    failed(&empty.app.cli(&["--json", "mirror", "import", text(&to)], ""), "mirror_contents_missing");
    assert_eq!(empty.state().await, None);
}

#[tokio::test]
async fn a_bundle_in_parts_is_one_again_and_a_damaged_part_is_named() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::trusting(&outside).await;
    let (to, folder) = (outside.path("b.tar"), outside.folder());
    let written = inside.app.cli_json(&["mirror", "export", text(&folder), "--to", text(&to), "--split", "4096"], "");
    let parts = written["parts"].as_array().unwrap();
    assert!(parts.len() > 2, "{written}");
    let last = PathBuf::from(parts.last().unwrap()["file"].as_str().unwrap());
    let whole = std::fs::read(&last).unwrap();
    let mut damaged = whole.clone();
    damaged.truncate(1);
    std::fs::write(&last, &damaged).unwrap();
    let first = outside.path("b.tar.001");
    let said = inside.app.cli(&["mirror", "import", text(&first)], "");
    if !said.status.success() {
        assert!(String::from_utf8_lossy(&said.stderr).contains("b.tar.0"), "{said:?}");
    }
    std::fs::remove_file(&last).unwrap();
    let list = outside.path("b.tar.SHA256SUMS");
    failed(&inside.app.cli(&["--json", "mirror", "import", text(&list)], ""), "mirror_part_missing");
    std::fs::write(&last, &whole).unwrap();
    let sums =
        std::process::Command::new("sha256sum").arg("-c").arg(&list).current_dir(outside.path("")).output().unwrap();
    assert!(sums.status.success(), "{sums:?}");
    inside.app.cli_json(&["mirror", "import", text(&list)], "");
    assert_eq!(inside.state().await, Some(2));
    inside.check_contents().await;
}

#[tokio::test]
async fn a_folder_is_imported_like_a_bundle() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::trusting(&outside).await;
    let (copy, folder) = (outside.path("stick"), outside.folder());
    inside.app.cli_json(&["mirror", "export", text(&folder), "--to", text(&copy)], "");
    inside.app.cli_json(&["mirror", "import", text(&copy)], "");
    assert_eq!(inside.state().await, Some(2));
    inside.check_contents().await;
    outside.sign().await;
    inside.app.cli_json(&["mirror", "import", text(&folder)], "");
    assert_eq!(inside.state().await, Some(3));
}

#[tokio::test]
async fn what_the_mirror_holds_is_searched_and_paged() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::trusting(&outside).await;
    inside.import(outside.bundle()).await;
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    let all = inside.get("/api/mirror/contents").await;
    assert_eq!(
        names(&all),
        [
            "advisories/PYSEC-2024-1.json",
            "plugins/file-headers/1.0.0.rplugin",
            "plugins/security-scanner/1.0.0.rplugin"
        ]
    );
    let first = inside.get("/api/mirror/contents?limit=2").await;
    let rest =
        inside.get(&format!("/api/mirror/contents?limit=2&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!([names(&first), names(&rest)].concat(), names(&all));
    assert_eq!(rest["next_cursor"], json!(null));
    assert_eq!(
        names(&inside.get("/api/mirror/contents?kind=plugin&q=HEADERS").await),
        ["plugins/file-headers/1.0.0.rplugin"]
    );
    assert_eq!(names(&inside.get("/api/mirror/contents?repository=own").await), Vec::<String>::new());
    assert_eq!(names(&inside.get("/api/mirror/contents?q=100%25_").await), Vec::<String>::new());
    for wrong in ["limit=0", "limit=101", "kind=x", "cursor=x", "unknown=1"] {
        let reply = inside.app.call("GET", &format!("/api/mirror/contents?{wrong}"), Some(&inside.admin), None).await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.body);
    }
}

#[tokio::test]
async fn two_repositories_stand_side_by_side_and_take_no_slug_from_one_another() {
    let (vendor, own) = (Outside::with_plugins().await, Outside::new().await);
    let inside = Inside::trusting(&vendor).await;
    inside.trust(&own.root(), "own", false).await;
    inside.import(vendor.bundle()).await;
    own.add(&plugin(&own.path(""), "api-first", "1.0.0", ""));
    own.sign().await;
    let reply = inside.send("?repository=own", own.bundle()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    own.add(&plugin(&own.path(""), "file-headers", "9.0.0", "mine now"));
    own.sign().await;
    let reply = inside.send("?repository=own", own.bundle()).await;
    assert_eq!((reply.status, &reply.body["code"]), (409, &json!("mirror_slug_taken")), "{}", reply.body);
    let state = inside.status().await;
    assert_eq!((&state[0]["repository"], &state[1]["repository"]), (&json!("vendor"), &json!("own")));
    assert_eq!(state[1]["timestamp_version"], 2, "the site's own is as it was");
    let installed = inside.app.cli_json(&["plugin", "install", "file-headers"], "");
    assert_eq!(installed["version"], "1.0.0");
}

#[tokio::test]
async fn who_may_not_install_plugins_over_the_site_sees_no_mirror() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::trusting(&outside).await;
    inside.app.org("acme");
    let someone = inside.app.person("olga", "org_admin", Some("acme")).await;
    for (method, path) in [
        ("GET", "/api/mirror"),
        ("GET", "/api/mirror/contents"),
        ("GET", "/api/mirror/state"),
        ("POST", "/api/mirror/import"),
        ("GET", "/api/mirror/contents/vendor/plugins/file-headers/1.0.0.rplugin"),
    ] {
        assert_eq!(inside.app.call(method, path, Some(&someone), None).await.status, 403, "{path}");
        assert_eq!(inside.app.call(method, path, None, None).await.status, 401, "{path}");
    }
}

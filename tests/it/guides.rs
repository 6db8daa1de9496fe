//! The guides of `docs/`: every `sh` block runs as it stands, in its order, on a terminal of a site where what the guide
//! takes for granted is there. Blocks that cannot run are `text`, and named here with the reason.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Child;

use serde_json::json;

use crate::app::{self, App, PASSWORD};
use crate::model_server::{Answer, ModelServer, STREAM};
use crate::specification::{hidden, shell};
use crate::vendor;

/// A password that was not there before.
const NEW: &str = "a sixth bright morning";
const ENTER: &str = "\r";
/// What is asked on the terminal (the end of the question), what is answered, whether that stays unseen.
const ANSWERS: [(&str, &[&str], bool); 9] = [
    ("Present password:", &[PASSWORD, ENTER], true),
    ("New password:", &[NEW, ENTER], true),
    ("Password:", &[NEW, ENTER], true),
    ("Type the name again:", &["ada", ENTER], false),
    ("password again:", &[NEW, ENTER], true),
    ("Password again:", &[NEW, ENTER], true),
    ("Passphrase of the backups:", &[NEW, ENTER], true),
    ("Passphrase of the backups again:", &[NEW, ENTER], true),
    ("[y/N]", &["y"], false),
];
/// Guides whose blocks other tests run, or that have none.
const ELSEWHERE: [&str; 21] = [
    "benchmarks",
    "cli",
    "mail",
    "operator/hardening",
    "operator/install",
    "operator/monitoring",
    "operator/packages",
    "operator/upgrade",
    "plugins/capabilities",
    "plugins/hooks",
    "plugins/integrations",
    "plugins/manifest",
    "plugins/models",
    "plugins/runs",
    "plugins/sdk",
    "plugins/templates",
    "plugins/testing",
    "plugins/troubleshooting",
    "quality",
    "runs",
    "sso",
];
/// Guide, first line of the block, why it cannot run.
const CANNOT: [(&str, &str, &str); 12] = [
    (
        "operator/packages",
        "resoftai verify resoftai-VERSION-linux-x86_64.tar.gz",
        "needs a release; tests/bundle.sh makes one",
    ),
    (
        "operator/packages",
        "resoftai vendor release keygen -o release.key",
        "needs a release; tests/bundle.sh makes one",
    ),
    (
        "marketplace",
        "resoftai plugin updates approve hello-plugin 1.2.0",
        "needs a version that asks for more; updates.rs has one",
    ),
    ("marketplace", "resoftai submission show 7", "is about the one that waits; market.rs decides about some"),
    (
        "marketplace",
        "resoftai market review hello-plugin --rating 5 --text \"Says hello at once.\"",
        "is by a person; market.rs has some",
    ),
    (
        "accounts",
        "resoftai user use-code",
        "asks for the code that another command just showed; accounts.rs uses codes",
    ),
    (
        "accounts",
        "resoftai user factor start               # shows a secret (a QR code on a terminal) for an authenticator app",
        "needs an app that makes codes; factors.rs is one",
    ),
    (
        "models",
        "mkdir -p /var/lib/resoftai/models",
        "a model of gigabytes, in the machine's own folder; models.rs has a small one",
    ),
    (
        "mirror",
        "resoftai mirror import https://first.site/mirror --from-fingerprint SHA256:..",
        "needs a second box; mirror/pulled.rs has one",
    ),
    (
        "organizations",
        "resoftai invitation join ada.json",
        "needs a sign-in as who was invited; invitations.rs has one",
    ),
    (
        "mail",
        "resoftai admin test-mail you@example.org    # each step: resolved, connected, secured, signed in, accepted",
        "needs a mail server; mail.rs has one",
    ),
    (
        "runs",
        "resoftai run \"Build a URL shortener with an HTTP API\" --follow",
        "each line needs a run in another state; runs.rs has them",
    ),
];

fn guides() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// A page's fenced blocks: language and text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut parts = page.split("\n```");
    let mut blocks = Vec::new();
    parts.next();
    while let (Some(block), after) = (parts.next(), parts.next()) {
        let (language, text) = block.split_once('\n').unwrap_or((block, ""));
        blocks.push((language.to_owned(), format!("{text}\n")));
        if after.is_none() {
            break;
        }
    }
    blocks
}

/// Answers what is asked until the terminal closes; what it showed.
fn converse(mut child: Child) -> String {
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut terminal = String::new();
    screen.read_line(&mut terminal).unwrap();
    let (mut shown, mut answered) = (Vec::new(), 0);
    loop {
        let mut piece = [0; 512];
        let read = screen.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        shown.extend_from_slice(&piece[..read]);
        // A question may end with hiding the cursor.
        let tail = String::from_utf8_lossy(&shown[answered..]).replace("\u{1b}[?25l", "");
        let Some((_, answer, unseen)) = ANSWERS.iter().find(|(end, ..)| tail.trim_end().ends_with(end)) else {
            continue;
        };
        answered = shown.len();
        if *unseen {
            hidden(terminal.trim());
        }
        keys.write_all(answer.concat().as_bytes()).unwrap();
    }
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(child.wait().unwrap().success(), "{shown}");
    shown
}

/// How npm reaches packages on this machine: what guides do has a home of its own.
fn where_packages_are() -> impl Iterator<Item = (String, String)> {
    let home = std::env::var_os("HOME").and_then(|home| home.into_string().ok()).unwrap_or_default();
    let given = std::env::vars().filter(|(name, _)| {
        let name = name.to_uppercase();
        name.starts_with("NPM_CONFIG_") || name.starts_with("NODE_") || name.ends_with("_PROXY")
    });
    let own = [("NPM_CONFIG_USERCONFIG", ".npmrc"), ("NPM_CONFIG_CACHE", ".npm")];
    own.into_iter().map(move |(name, file)| (name.to_owned(), format!("{home}/{file}"))).chain(given)
}

struct Site {
    app: App,
    /// Of an administrator of the site.
    root: String,
    /// Of a developer of the organisation.
    ada: String,
    org: i64,
}

impl Site {
    /// A site with an organisation of this slug and ada in it.
    async fn new(slug: &str) -> Self {
        let app = App::start();
        let root = app.person("root", "admin", None).await;
        let org = app.org(slug);
        let ada = app.person("ada", "developer", Some(slug)).await;
        Self { app, root, ada, org }
    }

    fn home(&self) -> PathBuf {
        self.app.dir.path().join("home")
    }

    fn run(&self, script: &str) -> String {
        let mut shell = shell(&self.app, &format!("set -eu\n{script}"));
        shell.env("RESOFTAI_TOKEN", &self.root).env("TOKEN", &self.ada).envs(where_packages_are());
        converse(shell.spawn().unwrap())
    }

    /// Runs a guide's blocks with each of `stands` in the place of what the guide has for it.
    fn follow(&self, guide: &str, stands: &[(&str, String)]) {
        let page = std::fs::read_to_string(guides().join(format!("{guide}.md"))).unwrap();
        let mut ran = 0;
        for (_, text) in blocks(&page).iter().filter(|(language, _)| language == "sh") {
            let script = stands.iter().fold(text.clone(), |text, (old, new)| text.replace(old, new));
            self.run(&script);
            ran += 1;
        }
        assert!(ran > 0, "docs/{guide}.md has no block that runs");
    }
}

#[tokio::test]
async fn the_guide_to_accounts_works_as_it_stands() {
    let site = Site::new("acme").await;
    site.run("resoftai team create acme web --name Web");
    // A session to be ended, opened when the guide has changed the password.
    let login = json!({"username": "root", "password": NEW});
    let other = format!(
        "$(curl -sf http://{}/api/auth/login -H 'content-type: application/json' -d '{login}' >/dev/null; \
         resoftai --json user sessions | grep -o '\"id\":[0-9]*' | head -n 1 | cut -d: -f2)",
        site.app.address
    );
    let token = "$(resoftai --json token list | grep -o '\"id\":[0-9]*' | head -n 1 | cut -d: -f2)";
    let stands = [("--end 42", format!("--end {other}")), ("token delete 42", format!("token delete {token}"))];
    site.follow("accounts", &stands);
}

#[tokio::test]
async fn the_guide_to_audit_works_as_it_stands() {
    let site = Site::new("acme").await;
    let entry = site.app.cli_json(&["audit", "list", "--org", "acme"], "")["items"][0]["id"].to_string();
    // Its place in the log comes within a second or so.
    site.run(&format!("until resoftai audit prove {entry} >/dev/null 2>&1; do sleep 0.1; done"));
    site.run("resoftai --json audit key --org acme >key.json; resoftai audit key --org acme >key.txt");
    site.run("resoftai audit log --org acme --out earlier; cp earlier/checkpoint kept-from-last-year");
    let keys = site.app.cli_json(&["audit", "key", "--org", "acme"], "");
    let key = keys["verifier_key"].as_str().or_else(|| keys["key"].as_str()).unwrap_or_else(|| panic!("{keys}"));
    let stands = [
        ("1234", entry.clone()),
        ("4711", entry),
        ("--key KEY", format!("--key '{key}'")),
        ("https://box:8443", format!("http://{}", site.app.address)),
        ("organizations/2/", format!("organizations/{}/", site.org)),
    ];
    site.follow("audit", &stands);
}

#[tokio::test]
async fn the_guide_to_the_mirror_works_as_it_stands() {
    let site = Site::new("acme").await;
    site.run("resoftai plugin new code-quality hello-plugin; sed -i 's/\"version\": \"[^\"]*\"/\"version\": \"1.0.0\"/' hello-plugin/plugin.json");
    site.run("echo '{\"id\": \"PYSEC-2024-1\"}' >PYSEC-2024-1.json");
    site.follow("mirror", &[]);
}

#[tokio::test]
async fn the_guide_to_the_marketplace_works_as_it_stands() {
    let site = Site::new("acme").await;
    site.run("resoftai plugin new code-quality hello-plugin; sed -i 's/\"version\": \"[^\"]*\"/\"version\": \"1.0.0\"/' hello-plugin/plugin.json");
    site.run("resoftai plugin pack hello-plugin");
    site.run(
        "resoftai mirror init made; resoftai mirror add made hello-plugin-1.0.0.rplugin; resoftai mirror sign made",
    );
    site.run("resoftai mirror export made --to made.tar");
    site.run("resoftai mirror trust made/metadata/1.root.json --yes; resoftai mirror import made.tar");
    let manifest = "hello-plugin/plugin.json";
    site.run(&format!(
        "sed -i 's/\"1.0.0\"/\"1.1.0\"/; s/\"slug\": \"hello-plugin\"/\"slug\": \"hello-again\"/' {manifest}"
    ));
    site.run("resoftai plugin pack hello-plugin -o hello-plugin-1.1.0.rplugin");
    site.follow("marketplace", &[]);
    let installed = site.app.cli_json(&["plugin", "list"], "");
    assert_eq!(installed["items"][0]["slug"], "hello-plugin", "{installed}");
}

#[tokio::test]
async fn the_guide_to_the_licence_works_as_it_stands() {
    let site = Site::new("acme").await;
    site.run("true");
    let files = [
        ("acme.licence", vendor::sign(&vendor::claims("L-1"))),
        ("revoked.list", vendor::sign_list(1, &["L-0"])),
        ("trusted", vendor::key().to_string()),
    ];
    for (name, text) in files {
        std::fs::write(site.home().join(name), text).unwrap();
    }
    let report_key = site.app.cli_json(&["licence", "show"], "")["report_key"].as_str().unwrap().to_owned();
    let stands = [
        ("verify acme.licence ", "verify acme.licence --trust trusted ".to_owned()),
        ("REPORT-KEY", format!("'{report_key}'")),
    ];
    site.follow("licence", &stands);
    assert_eq!(site.app.cli_json(&["licence", "show"], "")["licence"]["serial"], "L-1");
}

#[tokio::test]
async fn the_guide_to_models_works_as_it_stands() {
    let site = Site::new("your-company").await;
    let server = ModelServer::start(|_| Answer::stream(STREAM));
    site.run("echo secret >key");
    let provider = json!({"name": "lab", "base_url": server.url(), "models": ["qwen3-coder"]});
    let made = site.app.call("POST", "/api/llm/providers", Some(&site.root), Some(provider)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    site.follow("models", &[("https://resoftai.site:8443", format!("http://{}", site.app.address))]);
    assert_eq!(server.requests().len(), 1, "the call by hand came through");
}

#[tokio::test]
async fn the_guide_to_organizations_works_as_it_stands() {
    let app = App::start();
    let root = app.person("root", "admin", None).await;
    let site = Site { app, ada: String::new(), root, org: 0 };
    site.run("echo iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg== | base64 -d >acme.png");
    let pending = r#"$(resoftai --json invitation list acme --status pending | sed 's/.*"id":\([0-9]*\).*/\1/')"#;
    site.follow("organizations", &[("1234", pending.to_owned())]);
}

#[tokio::test]
async fn the_guide_to_plugins_works_as_it_stands() {
    let site = Site::new("acme").await;
    let scanner = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-sdk/examples/security-scanner");
    site.run("true");
    std::os::unix::fs::symlink(scanner, site.home().join("security-scanner")).unwrap();
    site.follow("plugins/index", &[("<data_dir>", site.app.dir.path().display().to_string())]);
}

/// An author who has nothing but `docs/plugins/` gets to an installed plugin with the commands printed there.
#[tokio::test]
async fn the_guides_for_plugin_authors_work_as_they_stand() {
    for guide in ["plugins/quick-start", "plugins/packaging", "plugins/scanning"] {
        Site::new("acme").await.follow(guide, &[]);
    }
}

#[tokio::test]
async fn the_guide_to_plugins_in_javascript_works_as_it_stands() {
    Site::new("acme").await.follow("plugins/javascript", &[]);
}

#[tokio::test]
async fn the_guide_to_privacy_works_as_it_stands() {
    Site::new("acme").await.follow("privacy", &[]);
}

#[tokio::test]
async fn the_guide_to_backups_works_as_it_stands() {
    let site = Site::new("acme").await;
    if app::database_of(site.app.dir.path()).is_some() {
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    let place = |name: &str| disk.path().join(name).display().to_string();
    let stands = [("/srv/backups/resoftai", place("backups")), ("/var/lib/resoftai", place("restored"))];
    site.follow("operator/backup", &stands);
    assert!(disk.path().join("restored/resoftai.db").exists());
}

#[tokio::test]
async fn the_guide_to_troubleshooting_works_as_it_stands() {
    use std::os::unix::fs::PermissionsExt;

    // The commands of the guide know no vendor of a test.
    let app = App::start_unlicensed();
    std::fs::set_permissions(app.dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let root = app.person("root", "admin", None).await;
    let site = Site { app, ada: String::new(), root, org: 0 };
    site.follow("operator/troubleshooting", &[]);
}

#[tokio::test]
async fn the_guide_to_projects_works_as_it_stands() {
    let site = Site::new("acme").await;
    site.run("resoftai project create --name shop --org acme; echo 'print(1)' >main.py");
    site.follow("projects", &[]);
}

#[tokio::test]
async fn the_guide_to_quotas_works_as_it_stands() {
    Site::new("acme").await.follow("quotas", &[]);
}

#[tokio::test]
async fn the_guide_to_roles_works_as_it_stands() {
    let site = Site::new("acme").await;
    site.run("resoftai team create acme platform --name Platform");
    site.run("resoftai role revoke ada developer --org acme");
    site.follow("roles", &[]);
}

/// Guides with a test above.
const FOLLOWED: [&str; 18] = [
    "accounts",
    "audit",
    "licence",
    "marketplace",
    "mirror",
    "models",
    "operator/backup",
    "operator/troubleshooting",
    "organizations",
    "plugins/index",
    "plugins/javascript",
    "plugins/packaging",
    "plugins/quick-start",
    "plugins/scanning",
    "privacy",
    "projects",
    "quotas",
    "roles",
];

#[test]
fn no_command_of_a_guide_escapes() {
    let is_command = |line: &str| ["resoftai ", "curl "].iter().any(|name| line.starts_with(name));
    let inside = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    for file in inside(guides()).chain(inside(guides().join("plugins"))).chain(inside(guides().join("operator"))) {
        let guide = file.strip_prefix(guides()).unwrap().with_extension("");
        let guide = guide.to_str().unwrap();
        if file.extension().is_none_or(|ending| ending != "md") || guide == "cli" {
            continue;
        }
        assert!(FOLLOWED.contains(&guide) || ELSEWHERE.contains(&guide), "docs/{guide}.md is followed by no test");
        let page = std::fs::read_to_string(&file).unwrap();
        for (language, text) in blocks(&page).iter().filter(|(language, _)| language != "sh") {
            let first = text.lines().next().unwrap_or_default();
            let known = CANNOT.iter().any(|(page, line, _)| *page == guide && *line == first.trim_end());
            assert!(
                known || !text.lines().any(is_command),
                "docs/{guide}.md: a `{language}` block has commands: {first}"
            );
        }
        let indented = page.lines().find(|line| line.strip_prefix("    ").is_some_and(is_command));
        assert_eq!(indented, None, "docs/{guide}.md: put commands between ```sh and ```");
    }
    for (guide, first, _) in CANNOT {
        let page = std::fs::read_to_string(guides().join(format!("{guide}.md"))).unwrap();
        assert!(page.contains(first), "docs/{guide}.md no longer has `{first}`");
    }
}

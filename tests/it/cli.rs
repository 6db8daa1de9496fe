//! The commands, as people and scripts meet them: on the box over its socket, from elsewhere over HTTPS after signing in.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{App, BINARY, PASSWORD};

/// Somebody at another machine: a home of their own, no data directory.
pub struct Desk {
    home: TempDir,
}

impl Desk {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        self.run_with(&[], arguments, input)
    }

    fn run_with(&self, environment: &[(&str, &str)], arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(BINARY)
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads no input may be gone already.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    }

    pub fn json(&self, arguments: &[&str], input: &str) -> Value {
        let output = self.run(&[&["--json"], arguments].concat(), input);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn sign_in(&self, app: &App, name: &str) -> Output {
        let server = format!("https://{}", app.address);
        let fingerprint = app.fingerprint.as_deref().unwrap();
        let arguments =
            ["login", "--server", &server, "--fingerprint", fingerprint, "--username", name, "--password-stdin"];
        self.run(&arguments, PASSWORD)
    }

    fn login_file(&self) -> std::path::PathBuf {
        self.home.path().join(".config/resoftai/login.json")
    }
}

/// What went to stderr.
pub fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn shown(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn person(app: &App, name: &str, role: &str, org: Option<&str>) {
    let email = format!("{name}@example.org");
    let mut arguments = vec!["user", "create", "--username", name, "--email", &email, "--role", role];
    arguments.extend(org.iter().flat_map(|org| ["--org", org]));
    arguments.push("--password-stdin");
    app.cli_json(&arguments, PASSWORD);
}

#[test]
fn a_sign_in_over_https_works_until_it_is_ended() {
    let app = App::start_https();
    app.org("acme");
    person(&app, "anna", "developer", Some("acme"));
    let desk = Desk::new();
    let signed_in = desk.sign_in(&app, "anna");
    assert!(signed_in.status.success(), "{}", said(&signed_in));
    assert!(shown(&signed_in).starts_with(&format!("Signed in to https://{} as anna.", app.address)));
    assert_eq!(std::fs::metadata(desk.login_file()).unwrap().permissions().mode() & 0o777, 0o600);

    let me = desk.json(&["whoami"], "");
    assert_eq!((&me["user"]["username"], &me["server"]), (&json!("anna"), &json!(format!("https://{}", app.address))));
    let project = desk.json(&["project", "create", "--name", "Shop", "--requirements", "sell"], "");
    assert_eq!(project["created_by"], "anna");
    assert_eq!(desk.json(&["token", "list"], "")["items"].as_array().unwrap().len(), 1, "the session itself is closed");

    let kept: Value = serde_json::from_slice(&std::fs::read(desk.login_file()).unwrap()).unwrap();
    assert!(desk.run(&["logout"], "").status.success());
    assert!(!desk.login_file().exists());
    let token = [("RESOFTAI_TOKEN", kept["token"].as_str().unwrap())];
    let server = format!("https://{}", app.address);
    let after = desk.run_with(
        &token,
        &["whoami", "--server", &server, "--fingerprint", app.fingerprint.as_deref().unwrap()],
        "",
    );
    assert_eq!(after.status.code(), Some(4), "{}", shown(&after));
    assert!(said(&after).contains("resoftai login --server"), "{}", said(&after));
}

#[test]
fn signing_in_again_leaves_one_token_behind() {
    let app = App::start_https();
    person(&app, "root", "admin", None);
    let desk = Desk::new();
    assert!(desk.sign_in(&app, "root").status.success());
    assert!(desk.sign_in(&app, "root").status.success());
    assert_eq!(desk.json(&["token", "list"], "")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_certificate_that_is_not_known_is_refused_and_named() {
    let app = App::start_https();
    person(&app, "anna", "admin", None);
    let (desk, server) = (Desk::new(), format!("https://{}", app.address));
    let login = ["login", "--server", &server, "--username", "anna", "--password-stdin"];
    let unknown = desk.run(&login, PASSWORD);
    assert_eq!(unknown.status.code(), Some(4));
    assert!(said(&unknown).contains(app.fingerprint.as_deref().unwrap()), "{}", said(&unknown));

    let other = format!("SHA256:{}", "A".repeat(43));
    let wrong = desk.run(&[&login[..], &["--fingerprint", &other]].concat(), PASSWORD);
    assert_eq!(wrong.status.code(), Some(4));
    assert!(said(&wrong).contains("is not the one that was pinned"), "{}", said(&wrong));
    assert!(!desk.login_file().exists(), "nothing is kept of a sign-in that failed");
    let trail = app.cli_json(&["audit", "list", "--action", "login"], "");
    assert_eq!(trail["items"], json!([]), "the password went nowhere");

    let garbled = desk.run(&[&login[..], &["--fingerprint", "SHA256:no"]].concat(), PASSWORD);
    assert_eq!(garbled.status.code(), Some(2));
}

#[test]
fn a_certificate_of_a_named_authority_is_accepted() {
    let app = App::start_https();
    person(&app, "anna", "admin", None);
    let other = app.dir.path().join("other.pem");
    let certificate = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&other, certificate.cert.pem()).unwrap();
    let (desk, server) = (Desk::new(), format!("https://{}", app.address));
    let login = |authority: &Path| {
        let file = authority.to_str().unwrap();
        let arguments = ["login", "--server", &server, "--username", "anna", "--password-stdin", "--ca-file", file];
        desk.run(&arguments, PASSWORD)
    };
    let foreign = login(&other);
    assert_eq!(foreign.status.code(), Some(4), "{}", said(&foreign));
    let nothing = login(Path::new("/nowhere/ca.pem"));
    assert_eq!(nothing.status.code(), Some(2), "{}", said(&nothing));
    assert!(said(&nothing).contains("/nowhere/ca.pem"));
    let good = login(&app.dir.path().join("tls/cert.pem"));
    assert!(good.status.success(), "{}", said(&good));
    assert_eq!(desk.json(&["whoami"], "")["name"], "anna", "the authority is kept with the sign-in");
}

#[test]
fn a_wrong_password_is_told_as_such() {
    let app = App::start_https();
    person(&app, "anna", "admin", None);
    let (desk, server) = (Desk::new(), format!("https://{}", app.address));
    let fingerprint = app.fingerprint.as_deref().unwrap();
    let login = ["login", "--server", &server, "--fingerprint", fingerprint, "--username", "anna", "--password-stdin"];
    let wrong = desk.run(&[&["--json"], &login[..]].concat(), "not the password");
    assert_eq!(wrong.status.code(), Some(4));
    assert!(wrong.stdout.is_empty());
    let problem: Value = serde_json::from_slice(&wrong.stderr).unwrap();
    assert_eq!(
        (&problem["code"], &problem["status"], &problem["exit_code"]),
        (&json!("login_failed"), &json!(401), &json!(4))
    );
    assert!(!problem["detail"].as_str().unwrap().contains("resoftai login"), "{problem}");
    let empty = desk.run(&login, "");
    assert_eq!(empty.status.code(), Some(2), "{}", said(&empty));
}

#[test]
fn a_token_whose_time_is_over_says_how_to_go_on() {
    let mut app = App::start_https();
    person(&app, "anna", "admin", None);
    let desk = Desk::new();
    assert!(desk.sign_in(&app, "anna").status.success());
    app.sql("UPDATE personal_tokens SET expires_at = 1");
    // A fresh process remembers no token from before.
    app.crash_and_restart();
    let server = format!("https://{}", app.address);
    let mut kept: Value = serde_json::from_slice(&std::fs::read(desk.login_file()).unwrap()).unwrap();
    kept["server"] = json!(server);
    std::fs::write(desk.login_file(), kept.to_string()).unwrap();
    let late = desk.run(&["project", "list"], "");
    assert_eq!(late.status.code(), Some(4));
    let said = said(&late);
    assert!(said.contains("expired") && said.contains(&format!("resoftai login --server {server}")), "{said}");
}

#[test]
fn a_saved_token_stays_with_its_server() {
    let (app, other) = (App::start_https(), App::start_https());
    person(&app, "anna", "admin", None);
    let desk = Desk::new();
    assert!(desk.sign_in(&app, "anna").status.success());
    let elsewhere = format!("https://{}", other.address);
    let arguments = ["org", "list", "--server", &elsewhere, "--fingerprint", other.fingerprint.as_deref().unwrap()];
    let refused = desk.run(&[&["--json"], &arguments[..]].concat(), "");
    let problem: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(problem["code"], "not_signed_in", "a token that came along would have been refused as unknown");
    let over_socket = desk.json(&["whoami", "--data-dir", other.dir.path().to_str().unwrap()], "");
    assert!(over_socket["user"].is_null());
}

#[test]
fn a_token_may_come_from_stdin_or_the_environment() {
    let app = App::start();
    person(&app, "anna", "admin", None);
    let (desk, server) = (Desk::new(), format!("http://{}", app.address));
    let login = ["login", "--server", &server, "--username", "anna", "--password-stdin"];
    assert!(desk.run(&login, PASSWORD).status.success());
    let made = desk.json(&["token", "create", "script", "--expires-in-days", "1"], "");
    let secret = made["secret"].as_str().unwrap();

    let script = Desk::new();
    assert!(script.run(&["login", "--server", &server, "--token"], &format!("{secret}\n")).status.success());
    assert_eq!(script.json(&["whoami"], "")["name"], "anna");
    let known = Desk::new().run_with(&[("RESOFTAI_TOKEN", secret), ("RESOFTAI_SERVER", &server)], &["whoami"], "");
    assert!(shown(&known).contains("anna"), "{}", said(&known));

    let id = made["token"]["id"].to_string();
    assert!(desk.run(&["token", "delete", &id], "").status.success());
    let gone = script.run(&["whoami"], "");
    assert_eq!(gone.status.code(), Some(4));
    let ended = script.run(&["logout"], "");
    assert!(ended.status.success() && !script.login_file().exists(), "{}", said(&ended));
}

#[test]
fn a_team_is_set_up_by_commands() {
    let app = App::start();
    let org = app.cli_json(&["org", "create", "--name", "Acme", "--slug", "acme", "--tier", "starter"], "");
    assert_eq!(app.cli_json(&["org", "show", "acme"], "")["id"], org["id"]);
    person(&app, "anna", "viewer", Some("acme"));
    person(&app, "ben", "viewer", Some("acme"));
    let member = app.cli_json(&["member", "add", "acme", "anna", "--role", "org_admin"], "");
    assert_eq!((&member["username"], &member["role"]), (&json!("anna"), &json!("org_admin")));
    assert!(app.cli(&["member", "remove", "acme", "ben"], "").status.success());
    let members = app.cli_json(&["member", "list", "acme"], "");
    let names: Vec<&str> =
        members["items"].as_array().unwrap().iter().map(|member| member["username"].as_str().unwrap()).collect();
    assert_eq!(names, ["anna"]);

    let made = app.cli_json(&["project", "create", "--name", "Shop", "--requirements", "-"], "sell bikes\nand parts\n");
    assert_eq!(made["requirements"], "sell bikes\nand parts\n");
    let by_name = app.cli(&["project", "show", "Shop"], "");
    assert!(shown(&by_name).contains("sell bikes\n              and parts"), "{}", shown(&by_name));
    let changed = app.cli_json(&["project", "update", "Shop", "--name", "Bike shop"], "");
    assert_eq!((&changed["name"], &changed["requirements"]), (&json!("Bike shop"), &made["requirements"]));
    let asks = app.cli(&["project", "delete", "Bike shop"], "");
    assert_eq!(asks.status.code(), Some(2), "without a terminal nobody can say yes");
    assert!(app.cli(&["project", "delete", "Bike shop", "--yes"], "").status.success());

    let set = app.cli(&["quota", "set", "--org", "acme", "projects", "unlimited"], "");
    assert_eq!(shown(&set), "acme: projects is now limited to unlimited; 0 used.\n");
    let kinds = ["--org", "acme", "--action", "delete", "--resource", "project"];
    let trail = app.cli_json(&[&["audit", "list"], &kinds[..]].concat(), "");
    assert_eq!(trail["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_slip_is_answered_with_what_was_meant() {
    let app = App::start();
    app.org("acme");
    app.cli_json(&["project", "create", "--org", "acme", "--name", "Bike shop"], "");
    for (arguments, code, meant) in [
        (&["projct", "list"][..], 2, "project"),
        (&["project", "lst"], 2, "list"),
        (&["org", "show", "acne"], 3, "Did you mean \"acme\"?"),
        (&["member", "list", "acmee"], 3, "Did you mean \"acme\"?"),
        (&["project", "show", "bike shp"], 3, "Did you mean \"Bike shop\"?"),
        (&["project", "list", "--limt", "3"], 2, "--limit"),
        (&["quota", "set", "--org", "acme", "project", "1"], 2, "projects"),
    ] {
        let output = app.cli(arguments, "");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(meant), "{arguments:?}: {}", said(&output));
        assert!(output.stdout.is_empty());
        let machine = app.cli(&[&["--json"], arguments].concat(), "");
        let problem: Value = serde_json::from_slice(&machine.stderr).unwrap();
        assert_eq!(problem["exit_code"], code, "{problem}");
    }
    app.cli_json(&["project", "create", "--org", "acme", "--name", "Bike shop"], "");
    let unclear = app.cli(&["project", "show", "Bike shop"], "");
    assert_eq!(unclear.status.code(), Some(2));
    assert!(said(&unclear).contains("2 projects are called"), "{}", said(&unclear));
}

#[test]
fn refusals_have_exit_codes_of_their_own() {
    let app = App::start();
    app.org("acme");
    let taken = app.cli(&["org", "create", "--name", "Acme", "--slug", "acme"], "");
    assert_eq!(taken.status.code(), Some(5), "{}", said(&taken));
    assert_eq!(app.cli(&["project", "show", "999"], "").status.code(), Some(3));
    app.cli_json(&["quota", "set", "--org", "acme", "projects", "0"], "");
    let full = app.cli(&["project", "create", "--name", "P", "--org", "acme"], "");
    assert_eq!(full.status.code(), Some(6), "{}", said(&full));
    let nobody = Desk::new();
    let server = format!("http://{}", app.address);
    assert_eq!(nobody.run(&["org", "list", "--server", &server], "").status.code(), Some(4));
    let gone = nobody.run(&["org", "list", "--server", "http://127.0.0.1:1"], "");
    assert_eq!(gone.status.code(), Some(7), "{}", said(&gone));
    assert_eq!(nobody.run(&["org", "list", "--server", "box.site"], "").status.code(), Some(2));
}

#[test]
fn long_lists_come_over_several_pages_and_say_when_there_is_more() {
    let app = App::start();
    app.org("acme");
    app.cli_json(&["quota", "set", "--org", "acme", "projects", "unlimited"], "");
    let statements: Vec<String> = (0..130)
        .map(|n| format!("INSERT INTO projects (id, organization_id, name, requirements, status, created_by, created_at, updated_at) SELECT {}, id, 'P{n}', '', 'pending', 'x', 1, 1 FROM organizations;", 1_000_000 + n))
        .collect();
    app.sql(&statements.concat());
    assert_eq!(app.cli_json(&["project", "list", "--limit", "500"], "")["items"].as_array().unwrap().len(), 130);
    let some = app.cli(&["project", "list", "--limit", "120"], "");
    assert_eq!(shown(&some).lines().count(), 121, "a title and the rows");
    assert!(said(&some).contains("the first 120; there are more"), "{}", said(&some));
}

#[test]
fn completions_and_help_need_no_server() {
    let desk = Desk::new();
    for (shell, mark) in [("bash", "complete -F"), ("zsh", "#compdef resoftai"), ("fish", "complete -c resoftai")] {
        let script = desk.run(&["completions", shell], "");
        assert!(script.status.success() && shown(&script).contains(mark), "{shell}");
    }
    let help = desk.run(&["--help"], "");
    assert!(help.status.success() && shown(&help).contains("Exit codes:"));
}

/// Every `sh` block of the page, in order, in one shell per block, on one site.
#[test]
fn the_commands_of_the_page_work_as_they_stand() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md")).unwrap();
    let app = App::start_https();
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(BINARY, home.path().join("resoftai")).unwrap();
    let scanner = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-sdk/examples/security-scanner");
    std::os::unix::fs::symlink(scanner, home.path().join("security-scanner")).unwrap();
    let (server, fingerprint) = (format!("https://{}", app.address), app.fingerprint.as_deref().unwrap());
    let mut ran = 0;
    for block in page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        let script =
            block.replace("https://resoftai.example:8443", &server).replace("SHA256:/afOI3ovsch...", fingerprint);
        // After a sign-in, the commands go where it leads; the page says so.
        let local = if block.contains("resoftai login") { "/nowhere" } else { app.dir.path().to_str().unwrap() };
        let mut shell = Command::new("sh");
        shell.args(["-euxc", &script]).current_dir(home.path()).env_clear().env("HOME", home.path());
        shell.env("PATH", format!("{}:/usr/bin:/bin", home.path().display())).env("PASSWORD", PASSWORD);
        if local != "/nowhere" {
            shell.env("RESOFTAI_DATA_DIR", local);
        }
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{script}\n{}\n{}", shown(&output), said(&output));
        ran += script.lines().filter(|line| line.contains("resoftai ")).count();
    }
    assert!(ran >= 18, "only {ran} commands ran");
}

#[tokio::test]
async fn a_project_is_made_where_its_maker_may() {
    let app = App::start();
    let (acme, globex) = (app.org("acme"), app.org("globex"));
    let root = app.person("root", "admin", None).await;
    app.person("ada", "viewer", Some("acme")).await;
    let ada = made_token(&app, "ada").await;
    let (desk, server) = (Desk::new(), format!("http://{}", app.address));
    let create = |more: &[&str]| {
        let arguments = ["--json", "--server", &server, "project", "create", "--name", "Shop"];
        desk.run_with(&[("RESOFTAI_TOKEN", &ada)], &[&arguments, more].concat(), "")
    };
    let place = |output: &Output| -> Value {
        assert!(output.status.success(), "{}", said(output));
        let project: Value = serde_json::from_slice(&output.stdout).unwrap();
        json!([project["organization_id"], project["team_id"]])
    };
    // In one team only: it goes there without a word.
    let team = json!({"slug": "core", "name": "Core"});
    let team = app.call("POST", &format!("/api/organizations/{acme}/teams"), Some(&root), Some(team)).await.body;
    let member = json!({"username": "ada", "role": "member"});
    let joined = app.call("POST", &format!("/api/teams/{}/members", team["id"]), Some(&root), Some(member)).await;
    assert_eq!(joined.status, 201, "{}", joined.body);
    assert_eq!(place(&create(&[])), json!([acme, team["id"]]));
    // In several places: it is said which.
    let member = json!({"username": "ada", "role": "developer"});
    let joined = app.call("POST", &format!("/api/organizations/{globex}/members"), Some(&root), Some(member)).await;
    assert_eq!(joined.status, 201, "{}", joined.body);
    let asked = create(&[]);
    assert_eq!(asked.status.code(), Some(2));
    assert!(said(&asked).contains("--org globex, or --org acme --team core"), "{}", said(&asked));
    assert_eq!(place(&create(&["--org", "globex"])), json!([globex, null]));
    // Who is in a team is told what they may do there.
    let me = app.call("GET", "/api/auth/me", Some(&ada), None).await.body;
    let core = &me["teams"][0];
    assert_eq!((&core["id"], &core["organization_id"], &core["slug"]), (&team["id"], &json!(acme), &json!("core")));
    assert!(core["permissions"].as_array().unwrap().contains(&json!("project.create")), "{me}");
}

/// A personal token without limits.
async fn made_token(app: &App, name: &str) -> String {
    let login = json!({"username": name, "password": PASSWORD});
    let session = app.call("POST", "/api/auth/login", None, Some(login)).await.body;
    let session = session["access_token"].as_str().unwrap();
    let token = app.call("POST", "/api/tokens", Some(session), Some(json!({"name": "cli"}))).await;
    token.body["secret"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_code_is_taken_without_its_file() {
    let app = App::start();
    let globex = app.org("globex");
    app.org("acme");
    app.person("ada", "viewer", Some("acme")).await;
    let ada = made_token(&app, "ada").await;
    let (desk, server) = (Desk::new(), format!("http://{}", app.address));
    let invite = |email: &str| {
        let sent = app.cli_json(&["invitation", "create", "globex", email, "--role", "viewer"], "");
        sent["code"].as_str().unwrap().to_owned()
    };
    let code = invite("ada@example.org");
    let join = ["--json", "--server", &server, "invitation", "join"];
    let joined = desk.run_with(&[("RESOFTAI_TOKEN", &ada)], &join, &code);
    assert!(joined.status.success(), "{}", said(&joined));
    let me = app.call("GET", "/api/auth/me", Some(&ada), None).await.body;
    let mine = me["organizations"].as_array().unwrap();
    assert!(mine.iter().any(|org| org["id"] == globex), "{me}");
    let used = desk.run_with(&[("RESOFTAI_TOKEN", &ada)], &join, &code);
    assert_eq!(used.status.code(), Some(2), "{}", said(&used));
    // Somebody new: the code and the password, a line each.
    let code = invite("new@example.org");
    let accept = ["--json", "--server", &server, "invitation", "accept", "--username", "new", "--password-stdin"];
    let accepted = desk.run(&accept, &format!("{code}\na fifth bright morning\n"));
    assert!(accepted.status.success(), "{}", said(&accepted));
}

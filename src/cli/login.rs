//! Which server the commands ask, and as whom: the saved sign-in, `login`, `logout`, `whoami`.
//!
//! Invariant: the token lies in a file of mode 0600 and is sent to no server but the one that gave it.

use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::client::{Client, Door};
use crate::cli::connect::{Fingerprint, Trust};
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::{Context, Global, input, output::Output, output::cell, write};

/// How long a sign-in of this program lasts, in days.
const DAYS: u32 = 30;
/// Far more than a sign-in takes, in bytes.
const SAVED_LIMIT: u64 = 1024 * 1024;

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The account's name (asked for when absent).
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Read the password from stdin, and the code of a second factor from its second line.
    #[arg(long)]
    password_stdin: bool,
    /// Sign in with a personal token instead, read from a prompt or from stdin.
    #[arg(long, conflicts_with_all = ["username", "password_stdin"])]
    token: bool,
}

/// What `login` keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    server: String,
    token: String,
    /// The personal token made for this sign-in, deleted by `logout`.
    token_id: Option<i64>,
    fingerprint: Option<String>,
    ca_file: Option<PathBuf>,
}

/// The server to ask: `--server`, else the local one when `--data-dir` or `--config` names it, else the saved one, else the
/// local one. `RESOFTAI_TOKEN` counts wherever the commands go; a saved token only where it came from.
///
/// # Errors
/// Wrong usage when the address is none; a sign-in that cannot be read.
pub fn choose(global: &Global) -> Result<Client> {
    let given = Trust { pinned: global.fingerprint, ca_file: global.ca_file.clone() };
    let token = global.person.token.clone();
    let saved = match &global.server {
        Some(url) => {
            let address = Door::parse(url, Trust::default())?.to_string();
            load(global)?.filter(|saved| saved.server == address)
        }
        None if global.data_dir.is_none() && global.config.is_none() => load(global)?,
        None => None,
    };
    let trust = match &saved {
        Some(saved) if given == Trust::default() => saved.trust()?,
        _ => given,
    };
    let door = match (&global.server, &saved) {
        (Some(url), _) => Door::parse(url, trust)?,
        (None, Some(saved)) => Door::parse(&saved.server, trust)?,
        (None, None) => Door::Unix(global.socket()?),
    };
    Ok(Client::new(door, token.or(saved.map(|saved| saved.token))))
}

impl Saved {
    fn trust(&self) -> Result<Trust> {
        let pinned = self.fingerprint.as_deref().map(Fingerprint::parse).transpose().map_err(|why| {
            Failure::new(
                Exit::Failed,
                "login_file",
                format!("The saved fingerprint cannot be read: {why}. Sign in again."),
            )
        })?;
        Ok(Trust { pinned, ca_file: self.ca_file.clone() })
    }
}

pub async fn login(args: &LoginArgs, global: &Global, out: Output) -> Result<()> {
    let Some(url) = &global.server else {
        return Err(Failure::usage(
            "Name the server to sign in to: resoftai login --server https://resoftai.example:8443",
        ));
    };
    let trust = Trust { pinned: global.fingerprint, ca_file: global.ca_file.clone() };
    let door = Door::parse(url, trust)?;
    if door.is_local() {
        return Err(Failure::usage(
            "The local socket needs no sign-in: leave --server out, or name it with --data-dir.",
        ));
    }
    if door.is_exposed() {
        out.note(&format!("warning: {door} is plain HTTP: what you type can be read on the way."))?;
    }
    let (token, token_id) =
        if args.token { (input::secret("Personal token")?, None) } else { with_password(args, &door).await? };
    let me = Client::new(door.clone(), Some(token.clone())).get("/api/auth/me").await?;
    let fingerprint = global.fingerprint.map(|pinned| pinned.to_string());
    let ca_file = global.ca_file.as_ref().map(std::path::absolute).transpose()?;
    let saved = Saved { server: door.to_string(), token, token_id, fingerprint, ca_file };
    let (path, before) = (path(global)?, load(global).ok().flatten());
    save(&path, &saved)?;
    if let Some(before) = before {
        end(&before, &door).await;
    }
    let sentence = format!("Signed in to {door} as {}. The sign-in is kept in {}.", cell(&me, "name"), path.display());
    out.done(&json!({"server": saved.server, "name": me["name"], "file": path}), &sentence)
}

/// Deletes the token of a sign-in that a new one took the place of. It would end by itself, so nothing hangs on it.
async fn end(before: &Saved, door: &Door) {
    if let (Some(id), true) = (before.token_id, before.server == door.to_string()) {
        let client = Client::new(door.clone(), Some(before.token.clone()));
        drop(client.delete(&format!("/api/tokens/{id}")).await);
    }
}

/// The code that the server asks for besides the password.
fn ask_code(from_stdin: bool, failure: Failure) -> Result<String> {
    if from_stdin {
        return Err(failure.and("Give it on the second line of stdin."));
    }
    input::ask("Code of your authenticator app, or a recovery code", "it on the second line with --password-stdin")
}

/// A password opens a session; a personal token of its own outlives it, so that the session can be closed at once.
async fn with_password(args: &LoginArgs, door: &Door) -> Result<(String, Option<i64>)> {
    let username = match &args.username {
        Some(username) => username.clone(),
        None => input::ask("User name", "--username NAME")?,
    };
    let (password, code) = input::password_and_code(args.password_stdin, "Password")?;
    let mut body = json!({"username": username, "password": password, "code": code});
    let client = Client::new(door.clone(), None);
    let reply = match client.post("/api/auth/login", &body).await {
        Err(failure) if failure.code() == "second_factor_required" => {
            body["code"] = json!(ask_code(args.password_stdin, failure)?);
            client.post("/api/auth/login", &body).await?
        }
        other => other?,
    };
    let access = reply["access_token"].as_str().ok_or_else(|| {
        Failure::new(Exit::Failed, "no_token", format!("{door} signed {username} in but gave no token."))
    })?;
    let session = Client::new(door.clone(), Some(access.to_owned()));
    let name = format!("resoftai on {}", rustix::system::uname().nodename().to_string_lossy());
    let name: String = name.chars().take(100).collect();
    let made = session.post("/api/tokens", &json!({"name": name, "expires_in_days": DAYS})).await?;
    // The session would end by itself, so nothing hangs on this.
    drop(session.act("/api/auth/logout").await);
    let secret = made["secret"].as_str().unwrap_or_default().to_owned();
    Ok((secret, made["token"]["id"].as_i64()))
}

pub async fn logout(global: &Global, out: Output) -> Result<()> {
    let Some(saved) = load(global)? else {
        return out.done(&json!({"signed_out": false}), "Nobody is signed in here.");
    };
    let client = Client::new(Door::parse(&saved.server, saved.trust()?)?, Some(saved.token.clone()));
    let ended = match saved.token_id {
        Some(id) => client.delete(&format!("/api/tokens/{id}")).await.map(drop),
        None => Ok(()),
    };
    std::fs::remove_file(path(global)?)?;
    if let Err(failure) = ended {
        out.note(&format!(
            "The token is forgotten here, but {} could not be told: {} Delete it there when you can.",
            saved.server,
            failure.detail()
        ))?;
    }
    out.done(&json!({"signed_out": true, "server": saved.server}), &format!("Signed out of {}.", saved.server))
}

pub async fn whoami(context: &Context) -> Result<()> {
    let mut me = context.client.get("/api/auth/me").await?;
    me["server"] = json!(context.client.door().to_string());
    if context.out.is_json() {
        return context.out.value(&me);
    }
    let fields = [("name", "name"), ("e-mail", "user.email"), ("server", "server")];
    context.out.item(&me, &fields)?;
    let roles: Vec<Value> = me["user"]["roles"].as_array().cloned().unwrap_or_default();
    if me["user"].is_null() {
        context.out.line("role    local operator: everything, everywhere")?;
    }
    for role in &roles {
        let organizations = me["organizations"].as_array().map(Vec::as_slice).unwrap_or_default();
        let organization = organizations.iter().find(|one| one["id"] == role["organization_id"]);
        let mut place = organization.map_or_else(|| "the whole site".to_owned(), |one| cell(one, "slug"));
        if let Some(team) = role["team_id"].as_i64() {
            place = format!("team {team} of {place}");
        }
        context.out.line(&format!("role    {} over {place}", cell(role, "role")))?;
    }
    Ok(())
}

fn path(global: &Global) -> Result<PathBuf> {
    if let Some(file) = &global.login_file {
        return Ok(file.clone());
    }
    global.person.config_home.as_ref().map(|config| config.join("resoftai/login.json")).ok_or_else(|| {
        Failure::usage("There is no home directory to keep the sign-in in. Set HOME, or name a file with --login-file.")
    })
}

fn load(global: &Global) -> Result<Option<Saved>> {
    // Without a home there is no saved sign-in; only `login` needs to complain.
    let Ok(path) = path(global) else { return Ok(None) };
    match read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|cause| {
            let detail = format!(
                "{} is not a sign-in that this program wrote ({cause}). Delete it and sign in again.",
                path.display()
            );
            Failure::new(Exit::Failed, "login_file", detail)
        }),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => {
            let detail = format!("{} cannot be read: {cause}.", path.display());
            Err(Failure::new(Exit::Failed, "login_file", detail))
        }
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(SAVED_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn save(path: &Path, saved: &Saved) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    Ok(write::put(path, json!(saved).to_string().as_bytes(), 0o600)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn global(folder: &Path) -> Global {
        Global { login_file: Some(folder.join("a/login.json")), ..Global::default() }
    }

    fn saved() -> Saved {
        let server = "https://box.site:443".to_owned();
        let fingerprint = Some(Fingerprint([7; 32]).to_string());
        Saved { server, token: "rat_1".to_owned(), token_id: Some(3), fingerprint, ca_file: None }
    }

    #[test]
    fn a_sign_in_is_kept_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let global = global(folder.path());
        assert_eq!(load(&global).unwrap(), None);
        let file = path(&global).unwrap();
        save(&file, &saved()).unwrap();
        assert_eq!(load(&global).unwrap(), Some(saved()));
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_door_is_chosen_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut global = global(folder.path());
        let shown = |global: &Global| choose(global).unwrap().door().to_string();
        assert_eq!(shown(&global), "unix:/var/lib/resoftai/run/resoftai.sock");
        save(&path(&global).unwrap(), &saved()).unwrap();
        assert_eq!(shown(&global), "https://box.site:443");
        global.data_dir = Some("/srv/r".into());
        assert_eq!(shown(&global), "unix:/srv/r/run/resoftai.sock");
        global.server = Some("http://other:8080".to_owned());
        assert_eq!(shown(&global), "http://other:8080");
    }

    #[test]
    fn a_token_goes_to_the_server_that_gave_it_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut global = global(folder.path());
        save(&path(&global).unwrap(), &saved()).unwrap();
        global.server = Some("https://elsewhere".to_owned());
        assert!(!format!("{:?}", choose(&global).unwrap()).contains("rat_1"));
        global.server = Some("https://box.site".to_owned());
        assert!(format!("{:?}", choose(&global).unwrap()).contains("rat_1"));
        global.person.token = Some("rat_2".to_owned());
        assert!(!format!("{:?}", choose(&global).unwrap()).contains("rat_1"), "the environment's token counts first");
        assert!(format!("{:?}", choose(&global).unwrap()).contains("rat_2"));
    }
}

//! The site on this machine, for commands that look at it without its server.
//!
//! Invariant: without being told otherwise, the settings are those that the service of the packages starts with.

use std::path::{Path, PathBuf};

use crate::base::clock::{Clock, Time};
use crate::base::error::Result;
use crate::cli::Global;
use crate::config::{Config, Sources};
use crate::doctor::Site;
use crate::server;

/// Where packages put the settings (systemd/resoftai.service).
const FILE: &str = "/etc/resoftai/config.toml";
const ENVIRONMENT: &str = "/etc/resoftai/environment";
/// Where systemd puts credentials while the service runs, and how it tells the service.
const CREDENTIALS: (&str, &str) = ("CREDENTIALS_DIRECTORY", "/run/credentials/resoftai.service");
/// The most of the file with variables.
const ENVIRONMENT_LIMIT: u64 = 256 * 1024;

/// Where the settings come from; `file` is what was named behind the command.
pub fn sources(global: &Global, file: Option<&PathBuf>) -> Sources {
    let mut sources = global.sources(file);
    let is_installed = global.data_dir.as_ref().is_none_or(|dir| *dir == Config::default().data_dir);
    if sources.file.is_none() && is_installed && Path::new(FILE).exists() {
        sources.file = Some(FILE.into());
        // A variable given here counts more.
        let mut installed = variables(&read(ENVIRONMENT));
        if Path::new(CREDENTIALS.1).exists() {
            installed.push((CREDENTIALS.0.to_owned(), CREDENTIALS.1.to_owned()));
        }
        let given = sources.env.clone();
        sources.env.extend(installed.into_iter().filter(|(name, _)| given.iter().all(|(known, _)| known != name)));
    }
    sources
}

/// The site with these settings.
///
/// # Errors
/// When they cannot be read.
pub fn site(sources: &Sources, full: bool) -> Result<Site> {
    let config = Config::load(sources)?;
    let refused = server::check(&config).err();
    Ok(Site { config, refused, clock: Clock::system(), made: made(), runtime: server::PYTHON_RUNTIME, full })
}

/// When this program's file was made, which packages set to the time of the build.
fn made() -> Option<Time> {
    let at = std::fs::metadata(std::env::current_exe().ok()?).ok()?.modified().ok()?;
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok().map(Time)
}

fn read(path: &str) -> String {
    use std::io::Read;
    let mut text = String::new();
    match std::fs::File::open(path).and_then(|file| file.take(ENVIRONMENT_LIMIT).read_to_string(&mut text)) {
        Ok(_) => text,
        Err(_) => String::new(),
    }
}

/// `NAME=value` lines as systemd reads them (systemd.exec(5), EnvironmentFile=), without what goes over several lines.
fn variables(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let bare = |value: &str| {
        let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
        quoted.unwrap_or(value).to_owned()
    };
    pairs.map(|(name, value)| (name.trim().to_owned(), bare(value.trim()))).collect()
}

#[test]
fn variables_are_read_as_systemd_reads_them() {
    let text = "# a remark\nDATABASE_URL=postgres://a:b=c@d/e\n; another\n\nLOG_LEVEL=\"warn\"\nA='b c'\nnothing\n";
    let read = variables(text);
    let read: Vec<(&str, &str)> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(read, [("DATABASE_URL", "postgres://a:b=c@d/e"), ("LOG_LEVEL", "warn"), ("A", "b c")]);
}

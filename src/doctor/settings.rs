//! Whether the configuration is one that a start takes, and whether its file is safe where it lies.
//!
//! Invariant: no value of a setting is told of, only names.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Check, Site};
use crate::base::error::Error;
use crate::config::{Config, KEYS, Sources};

/// The first of all checks, when nothing more can be known of the site.
pub(super) fn unreadable(error: &Error) -> Check {
    let setting = error.field_name().map_or_else(|| "the settings".to_owned(), |field| format!("`{field}`"));
    let mend = format!(
        "Change {setting} in the file, variable or option named; `resoftai config check` says when all is good, \
         `resoftai config reference` lists all there are."
    );
    Check::fail("config", error.message(), mend)
}

pub(super) fn checks(site: &Site) -> Vec<Check> {
    let config = &site.config;
    let mut checks = vec![match &site.refused {
        Some(error) => unreadable(error),
        None => {
            let default = Config::default();
            let set = KEYS.iter().filter(|setting| (setting.show)(config) != (setting.show)(&default)).count();
            let seen = format!(
                "{set} of {} settings differ from their defaults; all names are known, none is out of date.",
                KEYS.len()
            );
            Check::pass("config", seen)
        }
    }];
    let remarks = config.remarks();
    checks.push(match remarks.as_slice() {
        [] => Check::pass("config_effect", "Every setting that is given has an effect."),
        some => Check::warn("config_effect", some.join(" "), "Set what is missing, or take out what has no effect."),
    });
    checks.extend(config.sources.file.as_deref().map(file));
    checks
}

fn file(path: &Path) -> Check {
    const CODE: &str = "config_file";
    let shown = path.display();
    let mode = match std::fs::metadata(path) {
        Ok(metadata) => metadata.mode() & 0o7777,
        Err(cause) => {
            let mend = format!("Let the account that runs the server read it: chmod 640 {shown}");
            return Check::fail(CODE, format!("{shown} cannot be looked at: {cause}."), mend);
        }
    };
    if mode & 0o022 != 0 {
        let seen =
            format!("{shown} has mode {mode:04o}: others than its owner can write it, and so become the server.");
        return Check::fail(CODE, seen, format!("chmod go-w {shown}"));
    }
    let secrets = secrets_in(path);
    if mode & 0o004 != 0 && !secrets.is_empty() {
        let seen = format!("{shown} has mode {mode:04o}, so everybody here reads {}.", secrets.join(", "));
        return Check::fail(CODE, seen, format!("chmod o-r {shown}; then change those secrets."));
    }
    Check::pass(CODE, format!("{shown} has mode {mode:04o}."))
}

/// The secret settings that stand in the file itself.
fn secrets_in(path: &Path) -> Vec<&'static str> {
    let alone = Sources { file: Some(path.to_owned()), ..Sources::default() };
    let Ok(config) = Config::load(&alone) else { return Vec::new() };
    KEYS.iter().filter(|setting| (setting.show)(&config) == "(set)").map(|setting| setting.name).collect()
}

//! Settings that systemd hands over as credentials: files that only this service can read, and that lie encrypted on the disk
//! where `LoadCredentialEncrypted=` is used (systemd.exec(5)).
//!
//! Invariant: a file counts when its name is that of a setting's variable; what else the unit loads is somebody else's.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::{KEYS, Setting};
use crate::base::error::{Error, Result};

/// What systemd calls the folder.
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// In bytes. A credential of systemd's may have 1 MiB; no setting has as much.
const LIMIT: u64 = 64 << 10;

/// The variables that are there as credentials, with their values. A line's end behind a value does not belong to it.
///
/// # Errors
/// `unreadable_config`, naming the file.
pub(super) fn read(environment: &[(String, String)]) -> Result<Vec<(String, String)>> {
    let Some((_, folder)) = environment.iter().find(|(name, _)| name == DIRECTORY) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for name in KEYS.iter().flat_map(Setting::variables) {
        let path = Path::new(folder).join(&name);
        let wrong = |why: &dyn std::fmt::Display| {
            Error::invalid("unreadable_config", format!("The credential {} cannot be read: {why}.", path.display()))
        };
        let file = match File::open(&path) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(|cause| wrong(&cause))?,
        };
        let mut value = String::new();
        file.take(LIMIT + 1).read_to_string(&mut value).map_err(|cause| wrong(&cause))?;
        if value.len() as u64 > LIMIT {
            return Err(wrong(&format_args!("it has more than {LIMIT} bytes")));
        }
        found.push((name, value.trim_end_matches(['\n', '\r']).to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn load(folder: &Path, more: &[(&str, &str)]) -> Result<Config> {
        let directory = (DIRECTORY.to_owned(), folder.display().to_string());
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(&Sources { env: std::iter::once(directory).chain(more).collect(), ..Sources::default() })
    }

    #[test]
    fn a_credential_counts_as_its_variable_and_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
        write("LICENSE_KEY", b"from-a-credential\n");
        write("somebody.elses", b"\xff");
        let key = |config: Config| config.license_key.unwrap().0;
        assert_eq!(key(load(folder.path(), &[]).unwrap()), "from-a-credential");
        assert_eq!(key(load(folder.path(), &[("LICENSE_KEY", "from-a-variable")]).unwrap()), "from-a-variable");
        for wrong in [&b"\xff"[..], &vec![b'a'; 65 << 10]] {
            write("LICENSE_KEY", wrong);
            let error = load(folder.path(), &[]).unwrap_err();
            assert!(error.code() == "unreadable_config" && error.message().contains("LICENSE_KEY"), "{error}");
        }
    }
}

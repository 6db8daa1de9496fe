//! Files of the project that a call is about.
//!
//! Invariant: a plugin reaches files of that project and no other, by the patterns it was granted and by the name that a
//! file really has. What one call may do is bounded. It changes files only where it is told of somebody's deed, in that
//! one's name; what comes of a plugin's own writing changes nothing, so plugins cannot keep one another writing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use regex::RegexSet;
use resoftai_sandbox::{Host, Level};

use super::PluginHost;
use crate::access::{Caller, Permission, PermissionSet};
use crate::base::error::{Error, Result as Outcome};

/// Files listed, read, written and deleted in one call, all together.
const MAX_STEPS: u32 = 1_000;
/// Read and written in one call, in bytes.
const MAX_CARRIED: u64 = 64 << 20;
const CODE: &str = "files";
const NOT_GRANTED: &str = "not_granted";
const NO_DEED: &str = "Files are changed only where the plugin is told of what a person, a program or an agent did.";

/// Patterns of paths: `?` is one character and `*` any number of them within one name, `**` any number of folders. What they
/// are made into takes time by the length of a path only, whatever a plugin asks for.
#[derive(Debug, Clone)]
struct Globs(RegexSet);

impl Globs {
    /// # Errors
    /// A sentence, when they are too much to be understood.
    fn of<'a>(patterns: impl IntoIterator<Item = &'a String>) -> Result<Self, String> {
        let set = RegexSet::new(patterns.into_iter().map(|pattern| expression(pattern)));
        set.map(Self).map_err(|_| "The patterns are too long. Name fewer or shorter ones.".to_owned())
    }

    /// Whether one of them fits `path`.
    fn fit(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

/// The regular expression of a pattern, as the SDK's stand-in for tests has it.
fn expression(pattern: &str) -> String {
    const MEANING: [(&str, &str); 4] = [("**/", "(?:[^/]+/)*"), ("**", ".*"), ("*", "[^/]*"), ("?", "[^/]")];
    let (mut text, mut rest) = ("(?s)^".to_owned(), pattern);
    while let Some(letter) = rest.chars().next() {
        match MEANING.iter().find(|(sign, _)| rest.starts_with(sign)) {
            Some((sign, meaning)) => {
                text.push_str(meaning);
                rest = &rest[sign.len()..];
            }
            None => {
                text.push_str(&regex::escape(&rest[..letter.len_utf8()]));
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    text + "$"
}

/// A plugin at the files of a project.
#[derive(Clone)]
pub struct Reach {
    /// The plugin, in the name of whoever it acts for.
    pub caller: Arc<Caller>,
    pub project: i64,
    granted: Globs,
}

impl Reach {
    /// Whether it was granted the file of that name.
    pub fn covers(&self, path: &str) -> bool {
        self.granted.fit(path)
    }

    /// # Errors
    /// `not_granted`.
    pub fn check(&self, path: &str) -> Outcome<()> {
        if self.covers(path) {
            return Ok(());
        }
        Err(Error::forbidden(NOT_GRANTED, format!("The file {path} is not among those granted.")))
    }
}

/// The files of projects; their room stands behind it. Every path is checked with [`Reach::check`] as it is kept, whatever
/// the plugin wrote.
#[async_trait]
pub trait ProjectFiles: Send + Sync {
    /// The paths granted, sorted.
    ///
    /// # Errors
    /// `not_found` for a project of another organisation too.
    async fn paths(&self, reach: &Reach) -> Outcome<Vec<String>>;

    /// # Errors
    /// `not_found`, `not_granted`, `invalid_path`.
    async fn read(&self, reach: &Reach, path: &str) -> Outcome<Bytes>;

    /// Writes one file, new or as a new version.
    ///
    /// # Errors
    /// `not_found`, `not_granted`, `invalid_path`; what keeps anybody from writing that file, such as a quota.
    async fn write(&self, reach: &Reach, path: &str, content: Bytes) -> Outcome<()>;

    /// # Errors
    /// `not_found`, `not_granted`, `invalid_path`.
    async fn delete(&self, reach: &Reach, path: &str) -> Outcome<()>;
}

/// What the present call did to files.
#[derive(Debug, Default)]
pub(super) struct Work {
    steps: AtomicU32,
    carried: AtomicU64,
}

impl Work {
    pub(super) fn begin(&self) {
        self.steps.store(0, Ordering::Relaxed);
        self.carried.store(0, Ordering::Relaxed);
    }
}

impl PluginHost {
    pub(super) async fn list_files(&self, pattern: &str) -> Result<Vec<String>, String> {
        let asked = Globs::of([&pattern.to_owned()])?;
        let (files, reach) = self.reach("listing files", &Use::Read)?;
        self.step(0)?;
        let mut paths = files.paths(&reach).await.map_err(|error| error.to_string())?;
        paths.retain(|path| asked.fit(path));
        Ok(paths)
    }

    pub(super) async fn read_file(&self, path: &str) -> Result<Vec<u8>, String> {
        let what = format!("reading {path:.200}");
        let (files, reach) = self.reach(&what, &Use::Read)?;
        self.step(0)?;
        let content = files.read(&reach, path).await.map_err(|error| self.refused(&what, &error))?;
        self.carry(content.len())?;
        Ok(content.into())
    }

    pub(super) async fn write_file(&self, path: &str, content: Vec<u8>) -> Result<(), String> {
        let what = format!("writing {path:.200}");
        let (files, reach) = self.reach(&what, &Use::Change)?;
        self.step(content.len())?;
        files.write(&reach, path, content.into()).await.map_err(|error| self.refused(&what, &error))
    }

    pub(super) async fn delete_file(&self, path: &str) -> Result<(), String> {
        let what = format!("deleting {path:.200}");
        let (files, reach) = self.reach(&what, &Use::Change)?;
        self.step(0)?;
        files.delete(&reach, path).await.map_err(|error| self.refused(&what, &error))
    }

    /// The way to the files that the present call is about, as far as it was granted.
    fn reach(&self, what: &str, used: &Use) -> Result<(Arc<dyn ProjectFiles>, Reach), String> {
        let granted = self.powers().capabilities.files.unwrap_or_default();
        let (globs, right) = match used {
            Use::Read => (&granted.read, Permission::ProjectRead),
            Use::Change => (&granted.write, Permission::ProjectUpdate),
        };
        let Some(org) = self.org.filter(|_| !globs.is_empty()) else { return Err(self.denied(CODE, what)) };
        let about = self.about();
        let Some(project) = about.project else {
            return Err(self.warn(format!("Denied: {what}. This call is about no project, so there are no files.")));
        };
        let caller = Caller::plugin(self.slug(), org, PermissionSet::of(&[Permission::ProjectRead, right]));
        let caller = match (used, about.deed) {
            (Use::Read, deed) => caller.on_behalf_of(deed.and_then(|deed| deed.user)),
            (Use::Change, Some(deed)) => caller.on_behalf_of(deed.user),
            (Use::Change, None) => return Err(self.warn(format!("Denied: {what}. {NO_DEED}"))),
        };
        let files = self.doors.files.get().cloned().ok_or("The server is only just starting. Try again.")?;
        Ok((files, Reach { caller: Arc::new(caller), project, granted: Globs::of(globs)? }))
    }

    fn step(&self, bytes: usize) -> Result<(), String> {
        if self.work.steps.fetch_add(1, Ordering::Relaxed) >= MAX_STEPS {
            return Err(self.warn(format!(
                "Denied: one call may list, read, write and delete {MAX_STEPS} times. Do the rest in another one."
            )));
        }
        self.carry(bytes)
    }

    fn carry(&self, bytes: usize) -> Result<(), String> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.work.carried.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > MAX_CARRIED {
            let most = MAX_CARRIED >> 20;
            return Err(self.warn(format!(
                "Denied: one call may read and write {most} MiB of files. Do the rest in another one."
            )));
        }
        Ok(())
    }

    fn refused(&self, what: &str, error: &Error) -> String {
        match error.code() {
            NOT_GRANTED => self.denied(CODE, what),
            _ => error.to_string(),
        }
    }

    /// A sentence for the plugin that stands in its log too.
    fn warn(&self, sentence: String) -> String {
        self.log(Level::Warning, &sentence);
        sentence
    }
}

enum Use {
    Read,
    /// Write or delete.
    Change,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fit(pattern: &str, path: &str) -> bool {
        Globs::of([&pattern.to_owned()]).unwrap().fit(path)
    }

    #[test]
    fn patterns_mean_what_the_contract_says() {
        for (pattern, path) in [
            ("**", "a.py"),
            ("**", "a/b/c"),
            ("*.py", "a.py"),
            ("**/*.py", "a.py"),
            ("**/*.py", "a/b/c.py"),
            ("src/**", "src/a/b"),
            ("src/**/*.py", "src/a.py"),
            ("a?c", "abc"),
            ("[a]{b}!", "[a]{b}!"),
            ("ä/?.txt", "ä/ö.txt"),
        ] {
            assert!(fit(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*.py", "a/b.py"),
            ("src/*", "src/a/b"),
            ("src/**", "source/a"),
            ("a?c", "a/c"),
            ("[ab]", "a"),
            ("{a,b}", "a"),
            ("a.py", "A.py"),
            ("", "a"),
        ] {
            assert!(!fit(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_made_to_take_long_does_not() {
        let (pattern, path) = (format!("{}b", "*a".repeat(300)), "a".repeat(500));
        let started = std::time::Instant::now();
        assert!(!fit(&pattern, &path));
        assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

//! Names of files inside a package.
//!
//! Invariant: a path that passed names one file, inside the package, on every system people open packages on; no two paths
//! of a package can be taken for each other, by a file system or by an eye.

use std::collections::{HashMap, HashSet};

use unicode_normalization::UnicodeNormalization;
use unicode_security::skeleton;

use super::manifest::wrong;
use crate::base::error::Result;

const MAX_DEPTH: usize = 16;
const MAX_PATH: usize = 300;

/// # Errors
/// `invalid_plugin` for a path that is absolute, leads out, is too long, or that not every system can name.
pub fn check_path(path: &str) -> Result<()> {
    let refused = |why: String| {
        Err(wrong(format!(
            "The path {:?} is not allowed in a plugin: {why}",
            path.chars().take(80).collect::<String>()
        )))
    };
    if path.len() > MAX_PATH {
        return refused(format!("it has {} bytes; {MAX_PATH} are allowed.", path.len()));
    }
    if path.split('/').count() > MAX_DEPTH {
        return refused(format!("it is more than {MAX_DEPTH} folders deep."));
    }
    if path.chars().any(unseen) {
        return refused("it holds characters that nobody sees.".to_owned());
    }
    // A colon names a drive or a stream on Windows.
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if path.contains(['\\', ':']) || !path.split('/').all(plain) {
        return refused("paths are relative and stay inside the plugin's folder.".to_owned());
    }
    Ok(())
}

/// Control characters, and marks without width or that turn the direction of reading.
fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Left by editors, version control and Python: no part of a package.
pub fn is_debris(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.') && part != "." && part != ".." || part == "__pycache__")
}

/// Two names of `paths`, whole or of folders on the way, that differ in case only or look alike.
pub fn clash<'a>(paths: impl Iterator<Item = &'a str>) -> Option<(String, String)> {
    let mut names = HashSet::new();
    let (mut folded, mut looks) = (HashMap::new(), HashMap::new());
    for path in paths {
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            let name = &path[..end];
            if !names.insert(name) {
                continue;
            }
            let fold: String = name.nfkc().flat_map(char::to_lowercase).collect();
            // ASCII names such as `l1` and `ll` are told apart by who wrote them; a foreign letter among them is a trap.
            let look: String = skeleton(&fold).collect();
            if let Some(other) = looks.insert(look, name).filter(|other| !(other.is_ascii() && name.is_ascii())) {
                return Some((other.to_owned(), name.to_owned()));
            }
            if let Some(other) = folded.insert(fold, name) {
                return Some((other.to_owned(), name.to_owned()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_out_or_hide_something_are_refused() {
        let (long, deep) = ("a".repeat(301), "a/".repeat(16) + "a");
        let bad = [
            "",
            "/a",
            "a//b",
            "a/",
            "../a",
            "a/../b",
            "./a",
            "a\\b",
            "c:a",
            "a\n",
            "a\0b",
            "a\u{202e}yp.py",
            "\u{200b}",
        ];
        for path in bad.into_iter().chain([long.as_str(), deep.as_str()]) {
            assert!(check_path(path).is_err(), "{path:?}");
        }
        for path in ["main.py", "a/b/c.py", "a b.txt", "größe/日本.md", "..a", "a..b"] {
            assert!(check_path(path).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn names_that_can_be_taken_for_each_other_clash() {
        for (a, b) in [
            ("main.py", "Main.py"),
            ("lib/a.py", "Lib/b.py"),
            ("main.py", "m\u{430}in.py"),
            ("straße.py", "STRAßE.py"),
            ("caf\u{e9}.py", "cafe\u{301}.py"),
            ("a.py", "\u{ff41}.py"),
        ] {
            assert!(clash([a, b].into_iter()).is_some(), "{a} and {b}");
            assert!(clash([b, a].into_iter()).is_some(), "{b} and {a}");
        }
        assert_eq!(clash(["l1.py", "ll.py", "corn.py", "com.py", "a/b.py", "a/c.py", "a.py"].into_iter()), None);
        assert_eq!(clash(["größe.py", "日本.md", "main.py"].into_iter()), None);
    }
}

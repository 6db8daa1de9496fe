//! The path of a file inside its project.
//!
//! Invariant: whatever parses names one file below the project's folder on Linux, macOS and Windows alike, has one accepted
//! spelling, and parses again to itself. Two paths that a file system could take for the same have the same [`key`].
//!
//! [`key`]: ProjectPath::key

use unicode_normalization::UnicodeNormalization;

use crate::base::error::{Error, Result};

/// The longest path, in bytes of UTF-8.
pub const MAX_BYTES: usize = 500;
/// The longest name of one folder or file, in bytes: what file systems take.
pub const MAX_NAME_BYTES: usize = 255;
/// The most folders deep, the file included.
pub const MAX_LEVELS: usize = 32;

/// A checked path: relative, `/` between names, in Unicode's composed form (NFC).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProjectPath {
    path: String,
    key: String,
}

impl ProjectPath {
    /// Checks a path somebody gave.
    ///
    /// # Errors
    /// `invalid_path`, saying which rule and which part.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |why: String| Err(Error::invalid("invalid_path", why).field("path"));
        // Before normalising, which can only grow it by a small factor: a stranger's megabytes are not worked on.
        if text.len() > MAX_BYTES {
            return refuse(format!("The path is longer than {MAX_BYTES} bytes. Use fewer or shorter folder names."));
        }
        let path: String = text.nfc().collect();
        if path.len() > MAX_BYTES {
            return refuse(format!("The path is longer than {MAX_BYTES} bytes. Use fewer or shorter folder names."));
        }
        if path.is_empty() {
            return refuse("The path is empty. Give one such as `src/main.py`.".to_owned());
        }
        if path.starts_with('/') {
            return refuse(format!(
                "`{}` starts at the root. Paths start inside the project, such as `src/main.py`.",
                show(&path)
            ));
        }
        let names: Vec<&str> = path.split('/').collect();
        if names.len() > MAX_LEVELS {
            return refuse(format!("The path is more than {MAX_LEVELS} levels deep. Use fewer folders."));
        }
        for name in &names {
            if let Err(why) = check_name(name) {
                return refuse(format!("In the path `{}`, {why}.", show(&path)));
            }
        }
        let key = fold(&path);
        Ok(Self { path, key })
    }

    /// As it is shown and written into archives.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// The same for all paths that differ only by case.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The keys of the folders this file is in, outermost first.
    pub fn folder_keys(&self) -> impl Iterator<Item = &str> {
        self.key.match_indices('/').map(|(at, _)| &self.key[..at])
    }
}

/// Why a folder or file may not be called `name`, as the end of a sentence.
fn check_name(name: &str) -> Result<(), String> {
    let quoted = show(name);
    if name.is_empty() {
        return Err("a name is empty: `/` stands twice in a row or at the end".to_owned());
    }
    if name == "." || name == ".." {
        return Err(format!("`{name}` is not a name; write the path without it"));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("a name is longer than {MAX_NAME_BYTES} bytes"));
    }
    if let Some(bad) = name.chars().find(|c| is_forbidden(*c)) {
        return Err(format!(
            "the name `{quoted}` holds the character U+{:04X}, which not every system can have in a name",
            u32::from(bad)
        ));
    }
    if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        return Err(format!(
            "the name `{quoted}` starts with a space or ends with a space or a dot, which Windows drops"
        ));
    }
    let folded = fold(name);
    if folded == ".git" || folded == "git~1" {
        return Err(format!("`{quoted}` belongs to Git; files inside it could run as hooks"));
    }
    // Windows takes `con`, `con.txt` and `con .txt` for the console.
    let stem = folded.split('.').next().unwrap_or_default().trim_end();
    if is_device(stem) {
        return Err(format!("`{quoted}` is the name of a device on Windows"));
    }
    Ok(())
}

/// Control characters, what Windows reserves (a drive's colon and the backslash too), and characters that cannot be seen
/// or that turn the direction of writing, with which one name can be made to look like another.
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*' | '\u{fffd}' | '\u{feff}' | '\u{ad}')
        || matches!(u32::from(c), 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfff0..=0xfffb | 0xe0000..=0xe0fff)
}

fn is_device(stem: &str) -> bool {
    let numbered = |prefix: &str| {
        let mut rest = stem.strip_prefix(prefix).unwrap_or_default().chars();
        matches!((rest.next(), rest.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    };
    matches!(stem, "con" | "prn" | "aux" | "nul" | "conin$" | "conout$") || numbered("com") || numbered("lpt")
}

/// Case folded: up and down again reaches what only one direction would miss (ß, final sigma), then composed again.
fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

/// For a sentence: no control characters, not endless.
fn show(text: &str) -> String {
    text.chars().take(80).map(|c| if is_forbidden(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_paths_parse_to_themselves() {
        for path in [
            "main.py",
            "src/app/mod.rs",
            ".gitignore",
            ".github/workflows/ci.yml",
            "docs/Übersicht.md",
            "a b/c.txt",
            "console.log",
        ] {
            assert_eq!(ProjectPath::parse(path).unwrap().as_str(), path);
        }
    }

    #[test]
    fn what_leaves_the_project_or_breaks_a_system_is_refused() {
        let long = "a".repeat(256);
        let deep = vec!["a"; 33].join("/");
        for path in [
            "",
            "/etc/passwd",
            "..",
            "a/../b",
            "./a",
            "a//b",
            "a/",
            "a\\b",
            "C:x",
            "c:/x",
            "nul",
            "NUL.txt",
            "Com1",
            "lpt¹.c",
            "a/con .txt",
            "x.",
            "x ",
            " x",
            "a\0b",
            "a\nb",
            ".git/hooks/pre-commit",
            "sub/.GIT/config",
            "GIT~1/x",
            "a\u{202e}b",
            ".g\u{200c}it/x",
            &long,
            &deep,
        ] {
            let error = ProjectPath::parse(path).unwrap_err();
            assert_eq!((error.code(), error.field_name()), ("invalid_path", Some("path")), "{path:?}");
        }
    }

    #[test]
    fn names_that_differ_by_case_or_composition_share_a_key() {
        for (a, b) in [
            ("README.md", "readme.MD"),
            ("Straße", "STRASSE"),
            ("\u{e9}.txt", "e\u{301}.txt"),
            ("σας", "ΣΑΣ"),
            ("\u{212a}", "k"),
        ] {
            assert_eq!(ProjectPath::parse(a).unwrap().key(), ProjectPath::parse(b).unwrap().key(), "{a} {b}");
        }
        assert_eq!(ProjectPath::parse("A/b/C").unwrap().folder_keys().collect::<Vec<_>>(), ["a", "a/b"]);
    }

    /// Text of the pieces that paths go wrong with, and any other text.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("/".to_owned()),
            Just("..".to_owned()),
            Just(".".to_owned()),
            Just("\\".to_owned()),
            Just(".git".to_owned()),
            Just("con".to_owned()),
            Just("e\u{301}".to_owned()),
            Just(" ".to_owned()),
            "[a-zA-Z]{1,4}",
            "\\PC{1,3}",
            any::<char>().prop_map(String::from),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn whatever_parses_stays_inside_and_parses_to_itself(text in hostile()) {
            if let Ok(path) = ProjectPath::parse(&text) {
                let root = Path::new("/project");
                let joined = root.join(path.as_str());
                prop_assert!(joined.starts_with(root) && joined != root);
                prop_assert!(joined.strip_prefix(root).unwrap().components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert_eq!(&ProjectPath::parse(path.as_str()).unwrap(), &path);
            }
        }

        #[test]
        fn two_accepted_spellings_never_name_one_file(a in hostile(), b in hostile()) {
            if let (Ok(a), Ok(b)) = (ProjectPath::parse(&a), ProjectPath::parse(&b)) {
                // The lexical walk is what an extracting program does.
                let same_place = Path::new(a.as_str()).components().eq(Path::new(b.as_str()).components());
                prop_assert_eq!(same_place, a.as_str() == b.as_str());
            }
        }

        #[test]
        fn case_never_separates_two_keys(text in hostile()) {
            if let Ok(path) = ProjectPath::parse(&text) {
                for other in [path.as_str().to_uppercase(), path.as_str().to_lowercase()] {
                    if let Ok(other) = ProjectPath::parse(&other) {
                        prop_assert_eq!(other.key(), path.key());
                    }
                }
            }
        }
    }
}

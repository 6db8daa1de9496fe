//! Whether the project takes the files of an answer, asked before the turn is committed: the model can still be told then.
//!
//! Invariant: pure, and the rules are those of `projects::files`, which decides at the commit.

use std::collections::HashMap;

use crate::projects::files::{MAX_FILES, MAX_VERSIONS, ProjectFile};
use crate::projects::path::ProjectPath;

/// Why a file cannot be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// A sentence.
    pub why: String,
    /// What whoever chooses the path can do.
    pub instead: &'static str,
}

/// Whether `wanted` can all be written beside the files that are `there`.
///
/// # Errors
/// The first that cannot.
pub(super) fn check(there: &[ProjectFile], wanted: &[ProjectPath]) -> Result<(), Misfit> {
    let paths: Vec<(ProjectPath, &ProjectFile)> =
        there.iter().filter_map(|file| Some((ProjectPath::parse(&file.path).ok()?, file))).collect();
    let files: HashMap<&str, &ProjectFile> = paths.iter().map(|(path, file)| (path.key(), *file)).collect();
    let folders: HashMap<&str, &ProjectFile> =
        paths.iter().flat_map(|(path, file)| path.folder_keys().map(|folder| (folder, *file))).collect();
    let mut new = 0;
    for path in wanted {
        let name = path.as_str();
        if let Some(file) = files.get(path.key()) {
            if file.version >= MAX_VERSIONS {
                let why = format!("`{name}` has {MAX_VERSIONS} versions, the most a file may have.");
                return Err(Misfit { why, instead: "Write another file instead." });
            }
            continue;
        }
        new += 1;
        if let Some(file) = path.folder_keys().find_map(|folder| files.get(folder)) {
            let why = format!("`{name}` cannot be written: `{}` is a file of the project, not a folder.", file.path);
            return Err(Misfit { why, instead: "Use another path for it." });
        }
        if let Some(file) = folders.get(path.key()) {
            let why =
                format!("`{name}` cannot be written: it is a folder of the project, for `{}` is in it.", file.path);
            return Err(Misfit { why, instead: "Use another path for it." });
        }
    }
    let count = i64::try_from(there.len()).unwrap_or(i64::MAX);
    if new > 0 && count.saturating_add(new) > MAX_FILES {
        let why = format!("The project has {count} files of at most {MAX_FILES}, and {new} more are too many.");
        return Err(Misfit { why, instead: "Change files that are there." });
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::base::clock::Time;

    fn file(path: &str, version: i64) -> ProjectFile {
        ProjectFile {
            id: 1,
            project_id: 1,
            path: path.to_owned(),
            language: None,
            size: 1,
            version,
            sha256: String::new(),
            created_at: Time(0),
            updated_at: Time(0),
            updated_by: String::new(),
            findings: crate::projects::findings::SeverityCounts::default(),
        }
    }

    fn told(there: &[ProjectFile], wanted: &[&str]) -> Option<String> {
        let wanted: Vec<ProjectPath> = wanted.iter().map(|path| ProjectPath::parse(path).unwrap()).collect();
        check(there, &wanted).err().map(|misfit| misfit.why)
    }

    #[test]
    fn a_file_is_no_folder_and_a_folder_no_file() {
        let there = [file("Colours", 1), file("src/app.py", 3)];
        assert!(told(&there, &["colours/red.txt"]).unwrap().contains("`Colours` is a file"));
        assert!(told(&there, &["new.txt", "SRC"]).unwrap().contains("`src/app.py` is in it"));
        assert_eq!(told(&there, &["src/App.py", "src/b.py", "colours", "colours.txt"]), None);
    }

    #[test]
    fn what_is_full_takes_changes_only() {
        let there: Vec<ProjectFile> = (0..MAX_FILES).map(|n| file(&format!("f{n}.txt"), 1)).collect();
        assert_eq!(told(&there, &["f1.txt"]), None);
        assert!(told(&there, &["f1.txt", "more.txt"]).unwrap().contains("1 more are too many"));
        assert_eq!(told(&there[1..], &["more.txt"]), None);
        assert!(told(&[file("a", MAX_VERSIONS)], &["a"]).unwrap().contains("versions"));
    }
}

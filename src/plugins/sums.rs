//! `SHA256SUMS`: what a packed plugin's files are, in the format of sha256sum (`sha256sum -c SHA256SUMS` checks it too).
//!
//! Invariant: a package that brings the list holds exactly the files in it, byte for byte.

use std::collections::BTreeMap;

use super::manifest::wrong;
use super::package::Files;
use crate::base::crypto::sha256_hex;
use crate::base::error::Result;

pub const FILE: &str = "SHA256SUMS";
/// Signatures over the list; made after it, so not in it.
pub const SIGNATURES: &str = "SIGNATURES";

/// The list for these files, without itself and what signs it.
pub fn list(files: &Files) -> String {
    let counted = files.iter().filter(|(path, _)| !is_apart(path));
    counted.map(|(path, content)| format!("{}  {path}\n", sha256_hex(content))).collect()
}

fn is_apart(path: &str) -> bool {
    path == FILE || path == SIGNATURES
}

/// Compares files with the list among them, where there is one.
///
/// # Errors
/// `invalid_plugin`, naming the first file that differs, is missing or is too many.
pub fn verify(files: &Files) -> Result<()> {
    let Some(list) = files.get(FILE) else { return Ok(()) };
    let mut wanted = parse(list)?;
    for (path, content) in files.iter().filter(|(path, _)| !is_apart(path)) {
        match wanted.remove(path) {
            Some(sum) if sum == sha256_hex(content) => {}
            Some(_) => {
                return Err(wrong(format!(
                    "{path} is not the file that {FILE} lists: it was changed after the plugin was packed. Get the \
                     package again; if the change is yours, pack the plugin anew or delete {FILE}."
                )));
            }
            None => return Err(wrong(format!("{path} is not in {FILE}: it was added after the plugin was packed."))),
        }
    }
    match wanted.keys().next() {
        None => Ok(()),
        Some(path) => Err(wrong(format!("{FILE} lists {path}, which is missing. Get the package again."))),
    }
}

fn parse(list: &[u8]) -> Result<BTreeMap<&str, &str>> {
    let text = std::str::from_utf8(list).map_err(|_| wrong(format!("{FILE} is not UTF-8. Pack the plugin anew.")))?;
    let mut sums = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let entry = line.split_once("  ").filter(|(sum, path)| sum.len() == 64 && !path.is_empty());
        let (sum, path) = entry.ok_or_else(|| {
            wrong(format!("{FILE}, line {}: it is no sum and path of sha256sum. Pack the plugin anew.", number + 1))
        })?;
        if sums.insert(path, sum).is_some() {
            return Err(wrong(format!("{FILE} lists {path} twice. Pack the plugin anew.")));
        }
    }
    Ok(sums)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn files(entries: &[(&str, &str)]) -> Files {
        let mut files = Files::default();
        for (path, content) in entries {
            files.add(path, content.as_bytes().to_vec()).unwrap();
        }
        files
    }

    #[test]
    fn the_list_holds_and_every_difference_is_named() {
        let base = [("a.py", "1"), ("lib/b.py", "2")];
        let sums = list(&files(&base));
        let with = |entries: &[(&str, &str)], sums: &str| {
            verify(&files(&[entries, &[(FILE, sums)]].concat())).map_err(|error| error.to_string())
        };
        assert_eq!(with(&base, &sums), Ok(()));
        assert_eq!(verify(&files(&base)).map_err(|error| error.to_string()), Ok(()));
        assert_eq!(with(&[base[0], base[1], (SIGNATURES, "any")], &sums), Ok(()));
        for (entries, sums, words) in [
            (vec![("a.py", "9"), base[1]], sums.clone(), "a.py is not the file"),
            (vec![base[0]], sums.clone(), "lists lib/b.py, which is missing"),
            (vec![base[0], base[1], ("c.py", "3")], sums.clone(), "c.py is not in"),
            (base.to_vec(), "no list".to_owned(), "line 1"),
            (base.to_vec(), format!("{sums}{sums}"), "twice"),
        ] {
            let error = with(&entries, &sums).unwrap_err();
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}

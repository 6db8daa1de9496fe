//! Names that people give to things others rely on, such as roles and teams.
//!
//! Invariant: a name that passed [`check`] shows what it is (no invisible or reordering characters, no letters of two scripts
//! in one word), and two names that a reader could take for one have the same [`key`] (Unicode UTS 39).

use unicode_normalization::UnicodeNormalization;
use unicode_security::{MixedScript, skeleton};

use crate::base::error::{Error, Result};

/// The longest name, in characters, where nothing else is said.
pub const MAX: usize = 100;

/// The name in Unicode's composed form (NFC), without spaces around it.
///
/// # Errors
/// `invalid_name`, saying which rule; the field is `name`.
pub fn check(given: &str) -> Result<String> {
    check_field(given, "name", MAX)
}

/// [`check`] for a field of another name or length, in characters.
///
/// # Errors
/// `invalid_name`, naming `field`.
pub fn check_field(given: &str, field: &str, most: usize) -> Result<String> {
    let refuse = |why: String| Err(Error::invalid("invalid_name", why).field(field));
    let length = format!("A name has 1 to {most} characters in one line. Choose another name.");
    // A stranger's megabytes are not worked on.
    if given.len() > most.saturating_mul(8) {
        return refuse(length);
    }
    let name: String = given.trim_matches(' ').nfc().collect();
    if name.is_empty() || name.chars().count() > most {
        return refuse(length);
    }
    if let Some(bad) = name.chars().find(|char| !shows(*char)) {
        let code = u32::from(bad);
        return refuse(format!(
            "The name holds U+{code:04X}, which cannot be seen or moves other characters. Leave it out."
        ));
    }
    if let Some(word) = name.split(|char: char| !char.is_alphanumeric()).find(|word| !word.is_single_script()) {
        return refuse(format!(
            "`{word}` mixes letters of several scripts, which look like others. Use one script in a word."
        ));
    }
    if !name.chars().any(char::is_alphanumeric) {
        return refuse("The name has no letter and no digit. Choose another name.".to_owned());
    }
    Ok(name)
}

/// Whether a reader sees the character where it stands.
fn shows(char: char) -> bool {
    let space = char.is_whitespace() && char != ' ';
    let moves = matches!(char, '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}');
    // A skeleton leaves out what is ignored in display: joiners, marks of direction, fillers.
    !char.is_control() && !space && !moves && skeleton(char.encode_utf8(&mut [0; 4])).next().is_some()
}

/// The same for all names that look alike, whatever their case.
pub fn key(name: &str) -> String {
    let folded: String = name.nfkc().flat_map(char::to_lowercase).collect();
    let alike: String = skeleton(&folded).flat_map(char::to_lowercase).collect();
    // UTS 39 tells i from l, but a capital i is an l to the reader.
    alike.replace('i', "l").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(name: &str) -> Result<String, &'static str> {
        check(name).map_err(|error| error.code())
    }

    #[test]
    fn names_of_any_one_script_are_names() {
        for name in ["QA engineer", "Prüfer (extern)", "Инженер QA", "品質エンジニア", "مهندس", "R2-D2", "C++ team"]
        {
            assert_eq!(code(name).as_deref(), Ok(name));
        }
        assert_eq!(code("  Cafe\u{301} ").as_deref(), Ok("Café"));
    }

    #[test]
    fn what_does_not_show_is_refused() {
        for bad in [
            "\u{200b}", "\u{200d}", "\u{202e}", "\u{2066}", "\u{ad}", "\u{feff}", "\u{2028}", "\u{a0}", "\n", "\0",
            "\u{1b}", "\u{e001}",
        ] {
            assert_eq!(code(&format!("admin{bad}s")), Err("invalid_name"), "{bad:?}");
        }
        let long = "x".repeat(MAX + 1);
        for bad in ["", "   ", "---", "аdmin", "pаypal team", &long, &"x".repeat(9_000_000)] {
            assert_eq!(code(bad), Err("invalid_name"), "{}", bad.chars().take(20).collect::<String>());
        }
    }

    #[test]
    fn names_that_look_alike_have_one_key() {
        for (one, other) in [
            ("Viewer", "VIEWER"),
            ("Intern", "lntern"),
            ("Admin", "Adm1n"),
            ("Оnсе", "Once"),
            ("Modern", "Modem"),
            ("Zoo", "Z00"),
            ("QA  team", "qa team"),
            ("Ａｄｍｉｎ", "admin"),
        ] {
            assert_eq!(key(one), key(other), "{one} {other}");
        }
        assert_ne!(key("Developer"), key("Designer"));
        // As schema step 50 has it.
        assert_eq!(key("Default team"), "default tearn");
    }
}

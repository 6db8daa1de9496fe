//! What commands take in besides arguments: passwords, secrets, texts from stdin, `k=v` pairs.
//!
//! Invariant: a secret is read from a hidden prompt or from stdin, never from the command line, where `ps` shows it.

use std::io::{self, IsTerminal, Read};

use serde_json::{Map, Value};

use crate::cli::failure::{Exit, Failure, Result};

/// The most that is read from stdin as a text or a secret.
const TEXT_LIMIT: u64 = 1024 * 1024;

/// A password: from stdin when asked for, else from a hidden prompt; `twice` for a new one.
pub fn password(from_stdin: bool, prompt: &str, twice: bool) -> Result<String> {
    let password = if from_stdin { secret_line()? } else { hidden(prompt, twice, "--password-stdin")? };
    if password.is_empty() {
        return Err(Failure::usage("The password is empty."));
    }
    Ok(password)
}

/// A password, and the code of a second factor where stdin has one behind it on a line of its own.
pub fn password_and_code(from_stdin: bool, prompt: &str) -> Result<(String, Option<String>)> {
    if !from_stdin {
        return Ok((password(false, prompt, false)?, None));
    }
    let text = read_text(io::stdin(), "stdin")?;
    let mut lines = text.lines().map(str::to_owned);
    let password = lines.next().unwrap_or_default();
    if password.is_empty() {
        return Err(Failure::usage("The password is empty."));
    }
    Ok((password, lines.next().filter(|code| !code.trim().is_empty())))
}

/// Two secrets that belong together, the second one new: the first two lines of stdin when asked for, else hidden prompts.
pub fn secret_and_password(from_stdin: bool, first: &str, second: &str) -> Result<(String, String)> {
    let (one, two) = if from_stdin {
        let text = read_text(io::stdin(), "stdin")?;
        let mut lines = text.lines().map(str::to_owned);
        (lines.next().unwrap_or_default(), lines.next().unwrap_or_default())
    } else {
        (hidden(first, false, "--password-stdin")?, hidden(second, true, "--password-stdin")?)
    };
    if one.is_empty() || two.is_empty() {
        return Err(Failure::usage(format!("Give {first} and {second}, each on a line of its own.")));
    }
    Ok((one, two))
}

/// A key or token: from stdin when it is not a terminal, else from a hidden prompt.
pub fn secret(prompt: &str) -> Result<String> {
    let secret = if io::stdin().is_terminal() { hidden(prompt, false, "a pipe")? } else { secret_line()? };
    if secret.is_empty() {
        return Err(Failure::usage(format!("Nothing was given for \"{prompt}\".")));
    }
    Ok(secret)
}

/// A visible answer, where a person is there to give it.
pub fn ask(prompt: &str, instead: &str) -> Result<String> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "{prompt} is missing, and there is no terminal to ask on. Give {instead}."
        )));
    }
    dialoguer::Input::new().with_prompt(prompt).interact_text().map_err(unanswered)
}

/// Asks before something that cannot be undone; `yes` answers beforehand.
pub fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{question} There is no terminal to ask on: say so with --yes.")));
    }
    match dialoguer::Confirm::new().with_prompt(question).default(false).interact().map_err(unanswered)? {
        true => Ok(()),
        false => Err(Failure::new(Exit::Failed, "not_confirmed", "Nothing was changed.")),
    }
}

/// `-` reads stdin, `@file` reads a file, everything else is the text itself.
pub fn text(given: &str) -> Result<String> {
    if given == "-" {
        return read_text(io::stdin(), "stdin");
    }
    match given.strip_prefix('@') {
        None => Ok(given.to_owned()),
        Some(name) => {
            let file = std::fs::File::open(name).map_err(|cause| {
                Failure::usage(format!("Cannot read {name}: {cause}. `@` means the text of a file."))
            })?;
            read_text(file, name)
        }
    }
}

/// Splits `key=value`; the value is JSON where it parses as JSON, else a string.
pub fn pair(given: &str) -> Result<(String, Value), String> {
    match given.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            Ok((key.trim().to_owned(), value))
        }
        _ => Err(format!("\"{given}\" is not key=value")),
    }
}

/// Pairs as one JSON object; a key given twice is refused.
pub fn object(pairs: &[(String, Value)]) -> Result<Map<String, Value>> {
    let mut object = Map::new();
    for (key, value) in pairs {
        if object.insert(key.clone(), value.clone()).is_some() {
            return Err(Failure::usage(format!("{key} is given twice. Give it once.")));
        }
    }
    Ok(object)
}

fn hidden(prompt: &str, twice: bool, instead: &str) -> Result<String> {
    if !io::stdin().is_terminal() {
        let detail = format!("{prompt}: there is no terminal to ask on. Pass it through {instead}.");
        return Err(Failure::usage(detail));
    }
    let mut question = dialoguer::Password::new().with_prompt(prompt);
    if twice {
        question = question.with_confirmation(format!("{prompt} again"), "The two differ. Type both again.");
    }
    question.interact().map_err(unanswered)
}

/// The first line of stdin, without its line end.
fn secret_line() -> Result<String> {
    let text = read_text(io::stdin(), "stdin")?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn read_text(from: impl Read, name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    from.take(TEXT_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TEXT_LIMIT {
        return Err(Failure::new(
            Exit::Limit,
            "text_too_large",
            format!("{name} holds more than {TEXT_LIMIT} bytes of text."),
        ));
    }
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{name} is not UTF-8 text.")))
}

fn unanswered(cause: dialoguer::Error) -> Failure {
    let dialoguer::Error::IO(cause) = cause;
    Failure::new(Exit::Failed, "not_answered", format!("The question was not answered: {cause}. Nothing was changed."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_json_where_they_parse() {
        let read = |text: &str| pair(text).unwrap();
        assert_eq!(read("severity_threshold=high"), ("severity_threshold".to_owned(), json!("high")));
        assert_eq!(read("limit=3"), ("limit".to_owned(), json!(3)));
        assert_eq!(read("on=true"), ("on".to_owned(), json!(true)));
        assert_eq!(read(r#"list=["a","b"]"#).1, json!(["a", "b"]));
        assert_eq!(read(r#"version="3""#).1, json!("3"));
        assert_eq!(read("url=http://h/?a=b").1, json!("http://h/?a=b"));
        assert_eq!(read("empty=").1, json!(""));
        assert_eq!(read("broken=[1,").1, json!("[1,"));
    }

    #[test]
    fn a_pair_needs_a_key() {
        assert!(pair("novalue").is_err());
        assert!(pair("=x").is_err());
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        let failure = object(&[("a".to_owned(), json!(1)), ("a".to_owned(), json!(2))]).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
    }

    #[test]
    fn a_text_may_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a shop\n").unwrap();
        assert_eq!(text(&format!("@{}", file.path().display())).unwrap(), "a shop\n");
        assert_eq!(text("as it is").unwrap(), "as it is");
        assert_eq!(text("@/nowhere/at/all").unwrap_err().exit(), Exit::Usage);
    }
}

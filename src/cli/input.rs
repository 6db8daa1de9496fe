//! What commands take in besides arguments: passwords, secrets, texts from stdin, `k=v` pairs.
//!
//! Invariant: a secret is read from a hidden prompt or from stdin, never from the command line, where `ps` shows it.

use std::io::{self, IsTerminal, Read};

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

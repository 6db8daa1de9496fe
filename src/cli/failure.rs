//! How a command fails: a sentence, the server's code, and the exit code that scripts read.
//!
//! Invariant: every failure leaves through [`Failure::report`], on stderr, as text or as one line of JSON; stdout never
//! carries an error. The exit codes are part of the interface and are documented in `docs/cli.md`.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::base::error::{Error, Kind};
use crate::cli::output::{clean, escaped};

/// The most characters of a server's sentence that are shown.
const DETAIL_LIMIT: usize = 4000;

/// The result of everything in `cli`.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// What the process returns to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// It did not work, for a reason without a code of its own.
    Failed = 1,
    /// The command or a value in it can never work as it is.
    Usage = 2,
    /// There is no such thing, or it may not be seen.
    NotFound = 3,
    /// Not signed in, or the permission is missing.
    NotAllowed = 4,
    /// Something else got there first, or the name is taken.
    Conflict = 5,
    /// A quota, a rate or a size limit is reached.
    Limit = 6,
    /// No server answered.
    Unreachable = 7,
    /// A run that was followed ended failed or canceled.
    RunFailed = 8,
    /// A scan found what keeps a plugin out.
    Blocked = 9,
    /// Ctrl-C stopped watching; the run itself goes on.
    Detached = 130,
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    detail: String,
    code: String,
    field: Option<String>,
    request_id: Option<String>,
    status: Option<u16>,
    /// The reader of our output went away: nothing to say, nobody to say it to.
    quiet: bool,
}

impl Failure {
    /// `detail` is a sentence: what happened, where, and what to do.
    pub fn new(exit: Exit, code: &str, detail: impl Into<String>) -> Self {
        let (detail, code) = (detail.into(), code.to_owned());
        Self { exit, detail, code, field: None, request_id: None, status: None, quiet: false }
    }

    pub fn usage(detail: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", detail)
    }

    /// What the server said: problem+json where the body is that, else the status and the start of the body.
    pub fn from_reply(status: u16, body: &[u8]) -> Self {
        let exit = exit_of_status(status);
        let problem: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
        let text = |name: &str| {
            let value = problem.as_ref().and_then(|problem| problem[name].as_str());
            value.map(|value| value.chars().take(DETAIL_LIMIT).collect::<String>())
        };
        let detail = text("detail").unwrap_or_else(|| {
            let start: String = String::from_utf8_lossy(body).chars().take(200).collect();
            format!("The server answered {status} without a reason: \"{}\". Is this a ResoftAI server?", start.trim())
        });
        let mut failure = Self::new(exit, &text("code").unwrap_or_else(|| format!("http_{status}")), detail);
        failure.field = text("field");
        failure.request_id = text("request_id");
        failure.status = Some(status);
        failure
    }

    /// Adds a sentence behind the detail.
    #[must_use]
    pub fn and(mut self, sentence: &str) -> Self {
        self.detail = format!("{} {sentence}", self.detail.trim_end());
        self
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether the reader of our output went away.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The HTTP status, when a server answered.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    pub fn code(&self) -> &str {
        &self.code
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Writes the failure to stderr and gives the exit code.
    pub fn report(&self, as_json: bool) -> u8 {
        if self.quiet {
            return Exit::Done as u8;
        }
        let text = if as_json { escaped(&self.json().to_string()) } else { self.text() };
        // Where stderr is gone as well, the exit code still tells.
        drop(writeln!(io::stderr(), "{text}"));
        self.exit as u8
    }

    fn json(&self) -> Value {
        json!({
            "detail": self.detail, "code": self.code, "field": self.field, "status": self.status,
            "request_id": self.request_id, "exit_code": self.exit as u8,
        })
    }

    fn text(&self) -> String {
        let mut text = format!("error: {}", clean(&self.detail));
        let mut facts = Vec::new();
        if let Some(field) = &self.field {
            facts.push(format!("field {}", clean(field)));
        }
        if self.status.is_some() {
            facts.push(format!("code {}", clean(&self.code)));
        }
        if let Some(id) = &self.request_id {
            facts.push(format!("request {}", clean(id)));
        }
        if !facts.is_empty() {
            text.push_str(&format!("\n  ({})", facts.join(", ")));
        }
        text
    }
}

impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Self {
        let quiet = cause.kind() == io::ErrorKind::BrokenPipe;
        Self { quiet, ..Self::new(Exit::Failed, "io", format!("Reading or writing failed here: {cause}.")) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.kind() {
            Kind::Invalid => Exit::Usage,
            Kind::Unauthenticated | Kind::Forbidden => Exit::NotAllowed,
            Kind::NotFound => Exit::NotFound,
            Kind::Conflict => Exit::Conflict,
            Kind::TooLarge | Kind::Limited => Exit::Limit,
            Kind::TooSlow | Kind::Upstream | Kind::Unavailable | Kind::Internal => Exit::Failed,
        };
        let detail = match error.cause() {
            // No log and no request id here: the person at the terminal is the one who can act on the cause.
            Some(cause) if error.kind() == Kind::Internal => format!("This failed inside: {cause}."),
            _ => error.message().to_owned(),
        };
        let mut failure = Self::new(exit, error.code(), detail);
        failure.field = error.field_name().map(str::to_owned);
        failure
    }
}

fn exit_of_status(status: u16) -> Exit {
    match status {
        400 | 405 | 415 | 422 => Exit::Usage,
        401 | 403 => Exit::NotAllowed,
        404 | 410 => Exit::NotFound,
        409 | 412 => Exit::Conflict,
        413 | 429 => Exit::Limit,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_its_words_and_gets_its_exit_code() {
        let body = br#"{"type":"about:blank","status":409,"detail":"The slug acme is taken.","code":"slug_taken","field":"slug","request_id":"r1"}"#;
        let failure = Failure::from_reply(409, body);
        assert_eq!(failure.exit(), Exit::Conflict);
        assert_eq!(failure.text(), "error: The slug acme is taken.\n  (field slug, code slug_taken, request r1)");
        assert_eq!(failure.json()["exit_code"], 5);
    }

    #[test]
    fn a_body_that_is_no_problem_is_quoted() {
        let failure = Failure::from_reply(502, b"<html>Bad gateway</html>");
        assert_eq!(failure.exit(), Exit::Failed);
        assert!(failure.text().contains("<html>Bad gateway</html>"), "{}", failure.text());
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.report(false), 0);
    }
}

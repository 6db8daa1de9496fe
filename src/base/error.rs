//! The one error type: about ten kinds, a stable code, a sentence for people, a private cause.
//!
//! Invariant: `message` says what happened, where, and what to do, and never carries secrets or SQL. The cause is for the
//! log at the edge only. How a kind becomes an HTTP status belongs to `web`, an exit code to `cli`.

use std::error::Error as StdError;
use std::fmt;

/// The result of everything fallible in the product.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What class of thing went wrong; decides the HTTP status and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The caller sent something that can never succeed as it is.
    Invalid,
    /// Nobody we know, or a token that no longer counts.
    Unauthenticated,
    /// Known, but not allowed.
    Forbidden,
    /// Absent, or not visible to this caller: the two are never told apart.
    NotFound,
    /// True when asked, but something else got there first.
    Conflict,
    /// More bytes than we take.
    TooLarge,
    /// The caller kept us waiting for the rest of what it sends.
    TooSlow,
    /// A quota or a rate says not now.
    Limited,
    /// A model server (or another peer) failed or lied.
    Upstream,
    /// We can't at the moment: starting, stopping, disk full, queue full.
    Unavailable,
    /// Our fault.
    Internal,
}

/// An error as it travels from the rule that found it to the edge that shows it.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: Kind,
    code: &'static str,
    message: String,
    field: Option<String>,
    retry_after: Option<u64>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A new error. `code` is part of the interface: scripts match on it, so it never changes.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { inner: Box::new(Inner { kind, code, message, field: None, retry_after: None, cause: None }) }
    }

    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, code, message)
    }

    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, code, message)
    }

    /// `what` completes "There is no {what} here that you may see".
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(Kind::NotFound, "not_found", format!("There is no {what} here that you may see."))
    }

    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, code, message)
    }

    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, code, message)
    }

    pub fn upstream(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Upstream, code, message)
    }

    /// A fault of ours. The cause goes to the log, the caller gets the request id.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Kind::Internal, "internal", "The server failed. The log has the cause under this request's id.")
            .caused_by(cause)
    }

    /// Names the input field the sentence is about.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.inner.field = Some(field.into());
        self
    }

    /// Seconds after which the same call may succeed.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.inner.retry_after = Some(seconds);
        self
    }

    /// Keeps the private cause for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.cause = Some(cause.into());
        self
    }

    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    pub fn code(&self) -> &'static str {
        self.inner.code
    }

    pub fn message(&self) -> &str {
        &self.inner.message
    }

    pub fn field_name(&self) -> Option<&str> {
        self.inner.field.as_deref()
    }

    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.inner.retry_after
    }

    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync)> {
        self.inner.cause.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, code, message, field, cause, .. } = &*self.inner;
        write!(f, "{kind:?}/{code}: {message}")?;
        if let Some(field) = field {
            write!(f, " (field {field})")?;
        }
        if let Some(cause) = cause {
            write!(f, ": {cause:?}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

impl From<std::io::Error> for Error {
    fn from(cause: std::io::Error) -> Self {
        if cause.kind() == std::io::ErrorKind::StorageFull {
            return Self::unavailable(
                "disk_full",
                "The disk of the data directory is full. Nothing was changed; free some space and try again.",
            )
            .caused_by(cause);
        }
        Self::internal(cause)
    }
}

//! Calls and failures of one plugin since they were last written down.
//!
//! Invariant: what is taken is taken once; a count that could not be written is put back.

use std::sync::{Mutex, PoisonError};

/// What happened since the last writing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    pub calls: i64,
    pub failures: i64,
    /// The last failure's words.
    pub error: Option<String>,
}

#[derive(Debug, Default)]
pub struct Counts(Mutex<Counted>);

impl Counts {
    pub fn called(&self) {
        self.with(|counted| counted.calls += 1);
    }

    pub fn failed(&self, sentence: &str) {
        self.with(|counted| {
            counted.failures += 1;
            counted.error = Some(sentence.to_owned());
        });
    }

    /// What is not yet written.
    pub fn pending(&self) -> Counted {
        self.with(|counted| counted.clone())
    }

    pub fn take(&self) -> Counted {
        self.with(std::mem::take)
    }

    pub fn put_back(&self, taken: Counted) {
        self.with(|counted| {
            counted.calls += taken.calls;
            counted.failures += taken.failures;
            counted.error = counted.error.take().or(taken.error);
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Counted) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

//! Replies that are kept until something is written.
//!
//! Invariant: what is given out is what the database would say. A reply counts only while not one transaction was committed
//! since before it was made, and only for the very question: who may see what is part of it. Bounded in number and size.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

use crate::base::error::{Error, Result};
use crate::db::Db;

/// Replies kept; past it all are let go.
const MOST: usize = 512;
/// The largest reply that is kept, in bytes.
const LARGEST: usize = 64 * 1024;

/// Replies as JSON by their question.
#[derive(Clone)]
pub struct Kept<Q>(Arc<Mutex<HashMap<Q, (u64, Bytes)>>>);

impl<Q> Default for Kept<Q> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<Q: Hash + Eq> Kept<Q> {
    /// The reply to `question`, made by `make` when none is kept or something was written since.
    ///
    /// # Errors
    /// Those of `make`.
    pub async fn reply<T: Serialize>(
        &self,
        db: &Db,
        question: Q,
        make: impl AsyncFnOnce() -> Result<T>,
    ) -> Result<Response> {
        let version = db.version();
        if let Some(body) = version.and_then(|version| self.find(&question, version)) {
            return Ok(json(body));
        }
        let body = Bytes::from(serde_json::to_vec(&make().await?).map_err(Error::internal)?);
        if let Some(version) = version.filter(|_| body.len() <= LARGEST) {
            self.keep(question, version, body.clone());
        }
        Ok(json(body))
    }

    fn find(&self, question: &Q, version: u64) -> Option<Bytes> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(question).filter(|(made, _)| *made == version).map(|(_, body)| body.clone())
    }

    fn keep(&self, question: Q, version: u64, body: Bytes) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(question, (version, body));
    }
}

fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

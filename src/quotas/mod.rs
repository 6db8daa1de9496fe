//! Quotas: how much of a resource an organisation may have, and how much it has.
//!
//! Invariant: checking and counting are one statement in the transaction of what is counted, so any number of concurrent
//! callers get exactly the limit and an undone action counts nothing.

pub mod routes;
mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use store::{give_back, open, take};

use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::db::Db;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Projects that exist.
    Projects,
}

impl Resource {
    pub const ALL: [Self; 1] = [Self::Projects];

    pub fn code(self) -> &'static str {
        match self {
            Self::Projects => "projects",
        }
    }

    /// # Errors
    /// `not_found`, listing the resources there are.
    pub fn parse(code: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|resource| resource.code() == code).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|resource| resource.code()).collect();
            Error::not_found(format!("quota `{code}` (there are: {})", known.join(", ")))
        })
    }

    /// What a tier starts with; null is without limit.
    fn default_limit(self, tier: &str) -> Option<i64> {
        match (self, tier) {
            (Self::Projects, "enterprise") => None,
            (Self::Projects, "professional") => Some(500),
            (Self::Projects, "starter") => Some(50),
            (Self::Projects, _) => Some(5),
        }
    }
}

/// One quota as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quota {
    pub resource: Resource,
    /// Null: without limit.
    pub limit_value: Option<i64>,
    pub used: i64,
}

/// The room of quotas.
#[derive(Clone)]
pub struct Quotas {
    db: Db,
    clock: Clock,
}

impl Quotas {
    pub fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }
}

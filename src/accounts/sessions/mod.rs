//! Sessions as their owner sees them: where somebody is signed in, since when, and the end of it.
//!
//! Invariant: a session that was ended counts for nothing from the next request on.

pub mod signer;
pub mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Time;

/// Somebody signed in somewhere.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Session {
    pub id: i64,
    pub ip_address: Option<String>,
    /// What the browser or program called itself.
    pub user_agent: Option<String>,
    pub created_at: Time,
    /// To the minute; null: not since it was opened.
    pub last_seen_at: Option<Time>,
    pub expires_at: Time,
    /// Whether it was opened with two factors, or with a passkey.
    pub strong: bool,
    /// Whether it is the one that asks.
    pub current: bool,
}

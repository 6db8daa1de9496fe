//! Ratings and reviews: what people who have a plugin say of it, and which of that helped others.
//!
//! Invariant: one review a person and plugin, and only by who has the plugin: it works in an organisation of theirs, or they
//! install plugins. Nobody votes for themselves. Who wrote a review is told to people of their own organisations only.

pub mod routes;
pub mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Time;
use crate::base::error::{Error, Result};

/// A review's text, at most, in characters.
const LONGEST: usize = 4_000;

/// A review as it is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MarketReview)]
pub struct Review {
    pub id: i64,
    /// Null where it was somebody of other organisations.
    pub author: Option<String>,
    /// Whether it is the caller's.
    pub mine: bool,
    /// 1 to 5.
    pub rating: i64,
    pub text: String,
    /// The version that was installed when it was written last.
    pub version: String,
    /// How many found it helpful.
    pub helpful: i64,
    /// Whether the caller did.
    pub voted: bool,
    pub created_at: Time,
    pub updated_at: Time,
}

/// What somebody says of a plugin.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MarketReviewRequest)]
pub struct Said {
    /// 1 to 5.
    pub rating: i64,
    /// Plain text, at most 4,000 characters; may be empty.
    #[serde(default)]
    pub text: String,
}

impl Said {
    fn check(self) -> Result<Self> {
        if !(1..=5).contains(&self.rating) {
            let sentence = format!("rating is {}; it must be between 1 and 5.", self.rating);
            return Err(Error::invalid("invalid_rating", sentence).field("rating"));
        }
        let text = self.text.trim().to_owned();
        if text.chars().count() > LONGEST || text.chars().any(|c| c.is_control() && c != '\n') {
            let sentence = format!("A review has at most {LONGEST} characters, none of them control characters.");
            return Err(Error::invalid("invalid_review", sentence).field("text"));
        }
        Ok(Self { rating: self.rating, text })
    }
}

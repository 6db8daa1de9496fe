//! Lists by page: a bounded number of items and a cursor to the rest.
//!
//! Invariant: no list is longer than [`MAX_LIMIT`]; the order is by descending id, so a page never repeats or skips what
//! existed when the first one was read.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::base::error::{Error, Result};

pub const DEFAULT_LIMIT: u32 = 20;
pub const MAX_LIMIT: u32 = 100;
/// The most characters that are looked for in names.
const LONGEST_PART: usize = 100;

/// # Errors
/// `invalid_query` when `q`, a part of a name to look for, is too long.
pub fn check_part(q: Option<&String>) -> Result<()> {
    if q.is_some_and(|text| text.chars().count() > LONGEST_PART) {
        let message = format!("q has more than {LONGEST_PART} characters. Look for a shorter part of the name.");
        return Err(Error::invalid("invalid_query", message).field("q"));
    }
    Ok(())
}

/// How many items a page has; `asked`, or what is given when nobody asks.
///
/// # Errors
/// `invalid_limit`.
pub fn limit(asked: Option<u32>) -> Result<u32> {
    let limit = asked.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    let message = format!("limit is {limit}; it must be between 1 and {MAX_LIMIT}.");
    Err(Error::invalid("invalid_limit", message).field("limit"))
}

/// The page a caller asks for.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items, 1 to 100; 20 when absent.
    pub limit: Option<u32>,
    /// Where the previous page ended, as its `next_cursor` said.
    pub cursor: Option<String>,
}

/// A checked page: at most `limit` items with an id below `before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Page {
    pub limit: u32,
    pub before: i64,
}

impl PageQuery {
    /// # Errors
    /// `invalid_limit` and `invalid_cursor`, naming the parameter.
    pub fn check(&self) -> Result<Page> {
        let limit = limit(self.limit)?;
        let before = match &self.cursor {
            None => i64::MAX,
            Some(cursor) => cursor.parse().map_err(|_| {
                Error::invalid("invalid_cursor", "This cursor is not one a list gave. Start again without a cursor.")
                    .field("cursor")
            })?,
        };
        Ok(Page { limit, before })
    }
}

impl Page {
    /// What to ask the database for: one more than the page, to know whether there is a next one.
    pub fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Cuts the surplus row off and makes the cursor from the last row kept.
    pub fn list<T>(&self, mut items: Vec<T>, id: impl Fn(&T) -> i64) -> List<T> {
        let more = items.len() > self.limit as usize;
        items.truncate(self.limit as usize);
        let next_cursor = if more { items.last().map(|last| id(last).to_string()) } else { None };
        List { items, next_cursor }
    }
}

/// One page of a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    pub items: Vec<T>,
    /// Pass as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

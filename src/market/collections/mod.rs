//! Collections: curated lists of plugins, of an organisation or for everybody on the site.
//!
//! Invariant: a collection names plugins and holds nothing of them, so it also outlives what the mirror drops; it is
//! installed as one whole or not at all.

pub mod routes;
pub mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::names;
use crate::plugins::is_slug;

const MOST_PLUGINS: usize = 100;
const LONGEST: usize = 2_000;

/// A collection as it is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MarketCollection)]
pub struct Collection {
    pub id: i64,
    /// Null: everybody on the site sees it.
    pub organization_id: Option<i64>,
    pub name: String,
    pub description: String,
    /// Slugs, in the order that was given.
    pub plugins: Vec<String>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// What a collection is to be.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MarketCollectionRequest)]
pub struct Wished {
    /// At most 100 characters; unique in its organisation, or on the site.
    pub name: String,
    /// At most 2,000 characters.
    #[serde(default)]
    pub description: String,
    /// Slugs, 1 to 100; what is there twice counts once.
    pub plugins: Vec<String>,
    /// When it is made: whose it is; absent: everybody's.
    pub organization_id: Option<i64>,
}

impl Wished {
    fn check(mut self) -> Result<Self> {
        self.name = names::check(&self.name)?;
        self.description = self.description.trim().to_owned();
        if self.description.chars().count() > LONGEST || self.description.contains('\0') {
            let sentence = format!("A description has at most {LONGEST} characters.");
            return Err(Error::invalid("invalid_description", sentence).field("description"));
        }
        let mut seen = std::collections::BTreeSet::new();
        self.plugins.retain(|slug| seen.insert(slug.clone()));
        if let Some(wrong) = self.plugins.iter().find(|slug| !is_slug(slug)) {
            let sentence = format!("{wrong:?} is no plugin's slug. A slug has 1 to 64 of a-z, 0-9 and -.");
            return Err(Error::invalid("invalid_slug", sentence).field("plugins"));
        }
        if self.plugins.is_empty() || self.plugins.len() > MOST_PLUGINS {
            let sentence =
                format!("A collection has 1 to {MOST_PLUGINS} plugins; this one has {}.", self.plugins.len());
            return Err(Error::invalid("invalid_collection", sentence).field("plugins"));
        }
        Ok(self)
    }
}

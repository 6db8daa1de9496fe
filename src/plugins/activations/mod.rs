//! What organisations made of the plugins that are installed for the site, kept in memory.
//!
//! Invariant: what is in memory is what the database held after the last change that this process made or saw; whether a
//! plugin works somewhere is decided by [`works`] and nowhere else.

mod change;
pub mod routes;
pub mod store;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::capabilities::Decision;
use super::settings::Settings;
use crate::access::OrgId;
use crate::base::clock::Time;

/// What one organisation made of one plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    pub enabled: bool,
    /// Why it was turned off here after it failed too often in a row.
    pub error: Option<String>,
    pub decision: Decision,
    /// The organisation's, over the site's.
    pub config: Settings,
    pub updated_at: Time,
    /// Another one after every change.
    pub revision: i64,
}

/// By the plugin's id and the organisation.
#[derive(Debug, Default)]
pub struct Activations(BTreeMap<(i64, OrgId), Arc<Activation>>);

impl Activations {
    pub fn new(rows: impl IntoIterator<Item = ((i64, OrgId), Activation)>) -> Self {
        Self(rows.into_iter().map(|(key, activation)| (key, Arc::new(activation))).collect())
    }

    pub fn get(&self, plugin: i64, org: OrgId) -> Option<&Arc<Activation>> {
        self.0.get(&(plugin, org))
    }

    /// What organisations made of a plugin.
    pub fn of(&self, plugin: i64) -> impl Iterator<Item = (OrgId, &Arc<Activation>)> {
        let every = (plugin, OrgId(i64::MIN))..=(plugin, OrgId(i64::MAX));
        self.0.range(every).map(|((_, org), activation)| (*org, activation))
    }

    /// Those that said something about some plugin.
    pub fn organizations(&self) -> Vec<OrgId> {
        let every: BTreeSet<OrgId> = self.0.keys().map(|(_, org)| *org).collect();
        every.into_iter().collect()
    }
}

/// Whether a plugin that the site lets work does so in an organisation. Without a word of the organisation, as the site
/// says.
pub fn works(everywhere: bool, activation: Option<&Activation>) -> bool {
    activation.map_or(everywhere, |activation| activation.enabled && activation.error.is_none())
}

//! A plugin as an organisation sees it.
//!
//! Invariant: secrets are in none of it, and settings only for who may change them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Activation, works};
use crate::access::OrgId;
use crate::base::clock::Time;
use crate::plugins::capabilities::CapabilityView;
use crate::plugins::live::HookView;
use crate::plugins::settings::{Settings, masked};
use crate::plugins::shelf::Entry;

/// Whether a plugin works in an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrgPluginStatus {
    Active,
    /// Nobody decided about it here, and it does not work by itself.
    Available,
    /// By an administrator of the organisation.
    Disabled,
    /// It failed too often in a row here; `error` says how.
    Failed,
    /// The site keeps it from working anywhere.
    Unavailable,
}

/// A plugin as an organisation sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OrgPlugin {
    pub id: i64,
    pub organization_id: i64,
    pub slug: String,
    pub name: String,
    pub version: String,
    pub description: String,
    pub category: String,
    pub author: String,
    pub status: OrgPluginStatus,
    /// Why it failed here; null when it did not.
    pub error: Option<String>,
    /// What it asks for, in words, and what of that is granted here.
    pub capabilities: Vec<CapabilityView>,
    /// What it asks for and nobody here decided about, in words: of a new version, what the one before did not ask for.
    pub asks: Vec<String>,
    /// The organisation's settings, secrets as `(set)`; empty for who may not change them.
    #[schema(value_type = Object)]
    pub config: Settings,
    /// The site's settings, in force where the organisation has none; shown as `config` is.
    #[schema(value_type = Object)]
    pub inherited: Settings,
    /// JSON Schema of both together.
    pub config_schema: Option<Value>,
    pub hooks: Vec<HookView>,
    /// When the organisation decided last; null: never.
    pub updated_at: Option<Time>,
}

impl OrgPlugin {
    /// With settings only when `with_config`.
    pub fn of(entry: &Entry, org: OrgId, activation: Option<&Activation>, with_config: bool) -> Self {
        let package = entry.package.as_ref().ok();
        let manifest = package.map(|package| &package.manifest);
        let text = |of: fn(&super::super::manifest::Manifest) -> &String| manifest.map(of).cloned().unwrap_or_default();
        let asked = manifest.map(|manifest| manifest.capabilities.clone()).unwrap_or_default();
        let decision = activation.map(|activation| activation.decision.clone()).unwrap_or_default();
        let schema = entry.schema();
        let shown = |settings: Option<&Settings>| {
            let settings = settings.filter(|_| with_config);
            settings.map(|settings| masked(settings, schema.as_ref())).unwrap_or_default()
        };
        Self {
            id: entry.id,
            organization_id: org.0,
            slug: entry.slug.clone(),
            name: manifest.map_or_else(|| entry.slug.clone(), |manifest| manifest.name.clone()),
            version: manifest.map(|manifest| manifest.version.to_string()).unwrap_or_default(),
            description: text(|manifest| &manifest.description),
            category: text(|manifest| &manifest.category),
            author: text(|manifest| &manifest.author),
            status: status(entry, activation),
            error: activation.and_then(|activation| activation.error.clone()),
            capabilities: asked.view(&asked.within(&decision.granted)),
            asks: decision.asks(&asked),
            config: shown(activation.map(|activation| &activation.config)),
            inherited: shown(Some(&entry.config)),
            config_schema: schema.clone(),
            hooks: entry.learned().map(|learned| learned.hooks.clone()).unwrap_or_default(),
            updated_at: activation.map(|activation| activation.updated_at),
        }
    }
}

fn status(entry: &Entry, activation: Option<&Activation>) -> OrgPluginStatus {
    if !entry.active || entry.package.is_err() {
        return OrgPluginStatus::Unavailable;
    }
    if works(entry.everywhere, activation) {
        return OrgPluginStatus::Active;
    }
    match activation {
        None => OrgPluginStatus::Available,
        Some(activation) if activation.enabled => OrgPluginStatus::Failed,
        Some(_) => OrgPluginStatus::Disabled,
    }
}

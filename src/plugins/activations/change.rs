//! What an administrator of an organisation does about a plugin there.
//!
//! Invariant: a plugin that asks for something begins to work only after somebody said what of it is granted; what is to
//! work is loaded once with its settings and grants before anything changes; taking a grant away asks for nothing first.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Activation;
use super::store::{self, Subject};
use super::view::OrgPlugin;
use crate::access::actions::PluginEnable;
use crate::access::{OrgId, Permit, Place};
use crate::base::error::{Error, Result};
use crate::plugins::capabilities::{Capabilities, Decision, read_granted};
use crate::plugins::settings::{self, Settings};
use crate::plugins::shelf::Entry;
use crate::plugins::{Plugins, host, install};

/// What is to be otherwise; what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Whether it works in the organisation.
    pub enabled: Option<bool>,
    /// `"all"`, or an object in the form of the manifest's capabilities with no more than the plugin asks for: `{}` grants
    /// nothing, `true` a capability as it is asked for.
    #[schema(value_type = Option<Object>)]
    pub granted: Option<Value>,
    /// The organisation's settings, which count before the site's; a secret that comes back as `(set)` stays.
    #[schema(value_type = Option<Object>)]
    pub config: Option<Settings>,
}

/// A change with what is there now.
struct Case {
    entry: std::sync::Arc<Entry>,
    before: Option<Activation>,
}

impl Plugins {
    /// Lets a plugin work in an organisation, keeps it from that, grants it something, or configures it there.
    ///
    /// # Errors
    /// `not_found`, `plugin_asks`, `not_asked_for`, `invalid_config`, `plugin_load_failed`, `changed_meanwhile`.
    pub async fn activate(
        &self,
        permit: Permit<PluginEnable>,
        org: OrgId,
        slug: String,
        change: Change,
    ) -> Result<OrgPlugin> {
        let plugins = self.clone();
        self.to_the_end(async move {
            let _alone = plugins.inner.changes.lock().await;
            let case = plugins.case(&permit, org, &slug)?;
            let package = install::usable(&case.entry)?;
            let asked = &package.manifest.capabilities;
            let by_site = permit.covers_place(Place::Site);
            let granted = change.granted.map(|granted| decide(&granted, asked, by_site)).transpose()?;
            if granted.is_none() && case.before.is_none() && change.enabled == Some(true) && asked.ask_for_a_grant() {
                return Err(undecided(&case.entry, asked));
            }
            let mut after = case.start(plugins.inner.clock.now());
            after.decision = granted.unwrap_or(after.decision);
            if let Some(enabled) = change.enabled {
                after.enabled = enabled;
                after.error = after.error.filter(|_| !enabled);
            }
            let schema = case.entry.schema();
            if let Some(config) = change.config {
                after.config = settings::unmasked(config, &after.config, schema.as_ref());
            }
            let whole = settings::merged(&case.entry.config, &after.config);
            if after.enabled {
                settings::check(&whole, schema.as_ref())?;
                let place = Some((org, after.decision.clone()));
                let learned = plugins.prove_in(&package, place, &whole).await?;
                case.entry.has_learned(learned);
            } else {
                settings::check_part(&whole, schema.as_ref())?;
            }
            let verb = match change.enabled {
                Some(true) => "Enabled",
                Some(false) => "Disabled",
                None => "Changed",
            };
            plugins.put_activation(permit, org, case, after, verb).await
        })
        .await
    }

    /// Takes grants away, all of them when none is named; the plugin's next call of the host finds them gone.
    ///
    /// # Errors
    /// `not_found`, `unknown_capability`, `changed_meanwhile`.
    pub async fn revoke(
        &self,
        permit: Permit<PluginEnable>,
        org: OrgId,
        slug: String,
        codes: Option<Vec<String>>,
    ) -> Result<OrgPlugin> {
        let plugins = self.clone();
        self.to_the_end(async move {
            let _alone = plugins.inner.changes.lock().await;
            let case = plugins.case(&permit, org, &slug)?;
            let mut after = case.start(plugins.inner.clock.now());
            let granted = std::mem::take(&mut after.decision.granted);
            after.decision.granted = match codes {
                Some(codes) => granted.without(&codes)?,
                None => Capabilities::default(),
            };
            plugins.put_activation(permit, org, case, after, "Took grants away from").await
        })
        .await
    }

    /// Forgets what an organisation made of a plugin: its decision, its settings, and what the plugin kept there.
    ///
    /// # Errors
    /// `not_found`, `changed_meanwhile`.
    pub async fn deactivate(&self, permit: Permit<PluginEnable>, org: OrgId, slug: String) -> Result<()> {
        let plugins = self.clone();
        self.to_the_end(async move {
            let _alone = plugins.inner.changes.lock().await;
            let Case { entry, before } = plugins.case(&permit, org, &slug)?;
            let before = before.ok_or_else(|| Error::not_found("plugin"))?;
            let now = plugins.inner.clock.now();
            let removed = plugins.inner.db.write(move |tx| {
                let schema = entry.schema();
                let subject = Subject { plugin: entry.id, slug: &entry.slug, org, schema: schema.as_ref() };
                store::remove(tx, &permit, now, &subject, &before)
            });
            removed.await?;
            plugins.read_activations().await?;
            plugins.inner.doors.kv.clear(&host::namespace(&slug, Some(org))).await
        })
        .await
    }

    fn case(&self, permit: &Permit<PluginEnable>, org: OrgId, slug: &str) -> Result<Case> {
        permit.require(org, "such organization")?;
        let entry = self.shelved(slug)?;
        let before = self.inner.crew.activations().get(entry.id, org).map(|activation| Activation::clone(activation));
        Ok(Case { entry, before })
    }

    async fn put_activation(
        &self,
        permit: Permit<PluginEnable>,
        org: OrgId,
        case: Case,
        after: Activation,
        verb: &'static str,
    ) -> Result<OrgPlugin> {
        let Case { entry, before } = case;
        let (kept, vault) = (entry.clone(), self.inner.vault.clone());
        let write = self.inner.db.write(move |tx| {
            let schema = kept.schema();
            let subject = Subject { plugin: kept.id, slug: &kept.slug, org, schema: schema.as_ref() };
            store::put(tx, &permit, &vault, &subject, verb, (before.as_ref(), &after))
        });
        let written = write.await;
        // Also when another server was first: then this one learns of it.
        self.read_activations().await?;
        written?;
        let activations = self.inner.crew.activations();
        Ok(OrgPlugin::of(&entry, org, activations.get(entry.id, org).map(std::convert::AsRef::as_ref), true))
    }
}

impl Case {
    /// What is there, else what holds without a decision.
    fn start(&self, now: crate::base::clock::Time) -> Activation {
        let fresh = || Activation {
            enabled: self.entry.everywhere,
            error: None,
            decision: Decision::default(),
            config: Settings::new(),
            updated_at: now,
            revision: 0,
        };
        Activation { updated_at: now, ..self.before.clone().unwrap_or_else(fresh) }
    }
}

fn decide(granted: &Value, asked: &Capabilities, by_site: bool) -> Result<Decision> {
    let granted = match granted {
        Value::String(all) if all == "all" => asked.clone(),
        Value::Object(fields) => read_granted(fields, asked)?,
        _ => {
            let sentence =
                "`granted` is \"all\" or an object such as {\"http\": [\"hooks.slack.com\"]}; {} grants nothing.";
            return Err(Error::invalid("invalid_grant", sentence).field("granted"));
        }
    };
    asked.check_grant(&granted)?;
    Ok(Decision { granted, asked: asked.clone(), by_site })
}

fn undecided(entry: &Entry, asked: &Capabilities) -> Error {
    let words: Vec<String> =
        asked.words().into_iter().filter(|(code, _)| *code != "kv").flat_map(|(_, words)| words).collect();
    let sentence = format!(
        "{} asks to: {}. Say what of it you grant: \"all\", some of it, or {{}} for nothing.",
        entry.slug,
        words.join("; ")
    );
    Error::conflict("plugin_asks", sentence).field("granted")
}

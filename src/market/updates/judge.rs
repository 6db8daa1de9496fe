//! What is to be had of newer versions, and what speaks against each.
//!
//! Invariant: nothing is changed. What is ready fits this platform, has all it needs among what is installed, was not
//! yanked, passes the same scan and signatures as an installation, and asks for nothing that nobody approved.

use semver::Version;

use super::store::{Decision, State};
use super::{Change, Update, Verdict};
use crate::base::error::{Error, Kind, Result};
use crate::market::resolve::{Step, Wanted, no_plugin};
use crate::market::{Market, store};

/// Newer versions of a plugin that are looked at, the newest first.
const MOST_TRIED: usize = 5;

/// A verdict and what it comes to.
#[derive(Debug)]
pub struct Judged {
    pub update: Update,
    /// What becomes of the plugin itself; None when nothing newer is meant.
    pub own: Option<Change>,
    /// All that changes, each after what it needs; empty unless it is ready.
    pub changes: Vec<Change>,
}

/// Whether it may go better at another time.
pub fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), Kind::Internal | Kind::Unavailable | Kind::Upstream)
}

impl Market {
    /// What could become of a plugin: of the newest version that its policy leads to and that can come in, else of the newest
    /// there is. A version that is named counts whatever the policy says, also when it failed before.
    ///
    /// # Errors
    /// `not_found` when no such plugin is installed; `market_no_plugin` when there is no version of that name.
    pub(super) async fn judge(&self, state: &State, slug: &str, named: Option<&Version>) -> Result<Judged> {
        if !state.policies.contains_key(slug) {
            return Err(Error::not_found("plugin"));
        }
        let here = self.inner.plugins.installed_version(slug);
        let Some(here) = here.as_deref().and_then(|text| Version::parse(text).ok()) else {
            let sentence = "Its folder is damaged. Install it anew.";
            return Ok(said(state, slug, None, Verdict::Held, sentence.to_owned()));
        };
        let asked = slug.to_owned();
        let packages = self.inner.db.read(move |tx| store::packages(tx, &asked)).await?;
        let mut newer: Vec<(Version, store::Package)> = packages
            .into_iter()
            .filter_map(|package| Some((Version::parse(&package.version).ok()?, package)))
            .filter(|(version, _)| named.map_or(version.pre.is_empty(), |named| named == version))
            .collect();
        if let Some(named) = named.filter(|_| newer.is_empty()) {
            return Err(no_plugin(slug, Some(named)).field("target_version"));
        }
        newer.retain(|(version, _)| version.cmp_precedence(&here).is_gt());
        newer.sort_by(|(one, _), (other, _)| other.cmp(one));
        let Some((newest, _)) = newer.first() else {
            let sentence = format!("{here} is here, and there is nothing newer in the marketplace.");
            return Ok(said(state, slug, Some(&here), Verdict::Current, sentence));
        };
        let at_work = self.inner.plugins.active_with_needs().contains_key(slug);
        let change = |to: &Version, sha256: &str| Change {
            slug: slug.to_owned(),
            from: here.clone(),
            to: to.clone(),
            sha256: sha256.to_owned(),
        };
        let policy = state.policy(slug);
        let allowed = newer.iter().filter(|(to, _)| named.is_some() || policy.allows(&here, to)).take(MOST_TRIED);
        let allowed: Vec<_> = allowed.filter(|_| at_work).collect();
        if allowed.is_empty() {
            let sentence = if at_work {
                format!("Its policy is {}, which does not lead from {here} to {newest}.", policy.code())
            } else {
                "It is not at work. Enable it, or install the version by hand.".to_owned()
            };
            let mut held = said(state, slug, Some(&here), Verdict::Held, sentence);
            held.update.version = Some(newest.to_string());
            return Ok(held);
        }
        let mut first = None;
        for (to, package) in allowed {
            let mut judged = self.judge_version(state, change(to, &package.sha256), package, named.is_some()).await?;
            judged.update.version = Some(to.to_string());
            if judged.update.verdict == Verdict::Ready {
                return Ok(judged);
            }
            first.get_or_insert(judged);
        }
        first.ok_or_else(|| Error::internal("of several versions none was looked at"))
    }

    /// One version.
    async fn judge_version(&self, state: &State, own: Change, package: &store::Package, named: bool) -> Result<Judged> {
        let slug = own.slug.as_str();
        let say = |verdict, sentence| Judged {
            own: Some(own.clone()),
            ..said(state, slug, Some(&own.from), verdict, sentence)
        };
        if let Some(fault) = &package.fault {
            return Ok(say(Verdict::Refused, fault.clone()));
        }
        let failed = |of: &str, version: &Version| match state.decision(of, version) {
            Some(Decision::Failed { reason }) => Some(reason.clone()),
            _ => None,
        };
        if let Some(reason) = failed(slug, &own.to).filter(|_| !named) {
            return Ok(say(Verdict::Failed, reason));
        }
        let wanted = Wanted { slug: slug.to_owned(), version: Some(own.to.clone()) };
        let (steps, packages) = match self.work_out(&[wanted]).await {
            Ok(worked_out) => worked_out,
            Err(error) if is_passing(&error) => return Err(error),
            Err(error) => return Ok(say(Verdict::Refused, error.to_string())),
        };
        let (mut changes, mut asks, mut unapproved) = (Vec::new(), Vec::new(), None);
        for Step { slug: of, version: to, before } in steps {
            let Some(from) = before else {
                let sentence = format!(
                    "{slug} {} needs the plugin {of}, which is not installed, and nothing is installed by the way. Install it \
                     first: resoftai plugin install {of}",
                    own.to
                );
                return Ok(say(Verdict::Refused, sentence));
            };
            if from == to {
                continue;
            }
            let policy = state.policy(&of);
            if of != slug && (!policy.allows(&from, &to) || failed(&of, &to).is_some()) {
                let sentence = format!(
                    "{slug} {} needs {of} {to}. {from} is here, and its policy, which is {}, does not lead there.",
                    own.to,
                    policy.code()
                );
                return Ok(say(Verdict::Refused, sentence));
            }
            let found = packages.get(&(of.clone(), to.to_string()));
            let (sha256, _) = found.ok_or_else(|| no_plugin(&of, Some(&to)))?;
            let more = match self.examined(sha256).await {
                Ok(more) => more,
                Err(error) if is_passing(&error) => return Err(error),
                Err(error) => return Ok(say(Verdict::Refused, error.to_string())),
            };
            let approved =
                matches!(state.decision(&of, &to), Some(Decision::Approved { sha256: known }) if known == sha256);
            if !more.is_empty() && !approved {
                asks.extend(more);
                unapproved.get_or_insert_with(|| format!("{of} {to}"));
            }
            changes.push(Change { slug: of, from, to, sha256: sha256.clone() });
        }
        let mut judged = match unapproved {
            Some(of) => {
                let sentence = format!(
                    "It asks for more than the version here: {}. Approve it: resoftai plugin updates approve {of}",
                    asks.join("; ")
                );
                say(Verdict::Waiting, sentence)
            }
            None => say(Verdict::Ready, format!("{} can come in.", own.to)),
        };
        judged.update.asks = asks;
        judged.update.with = changes.iter().filter(|change| change.slug != slug).map(ToString::to_string).collect();
        if judged.update.verdict == Verdict::Ready {
            judged.changes = changes;
        }
        Ok(judged)
    }

    async fn examined(&self, sha256: &str) -> Result<Vec<String>> {
        self.inner.plugins.would_take(self.open(sha256).await?).await
    }
}

/// A verdict about a plugin, of no version in particular.
pub fn said(state: &State, slug: &str, here: Option<&Version>, verdict: Verdict, reason: String) -> Judged {
    let update = Update {
        slug: slug.to_owned(),
        installed: here.map(ToString::to_string).unwrap_or_default(),
        policy: state.policy(slug),
        version: None,
        verdict,
        reason,
        asks: Vec::new(),
        with: Vec::new(),
    };
    Judged { update, own: None, changes: Vec::new() }
}

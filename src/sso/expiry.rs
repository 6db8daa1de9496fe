//! Telling administrators before the certificates of a SAML provider end: people are locked out when they do.
//!
//! Invariant: each end is told once, however many replicas look; new metadata with a later end is told anew in its time.

use std::time::Duration;

use super::provider::Provider;
use super::{Connection, Sso, saml, store};
use crate::access::OrgId;
use crate::base::clock::{DAY, Time};
use crate::base::error::Result;
use crate::base::tasks::Tasks;
use crate::notices::{self, NewNotice};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(3600);
/// How many providers are read at once; metadata is long.
const BATCH: i64 = 20;

impl Sso {
    /// Looks once an hour from now on, until the server stops.
    pub fn watch_certificates(&self, tasks: &Tasks) {
        let room = self.clone();
        tasks.spawn_until_stop(async move {
            loop {
                if let Err(error) = room.tell_ends().await {
                    tracing::warn!(
                        ?error,
                        "the certificates of identity providers could not be looked at; trying again in an hour"
                    );
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }

    async fn tell_ends(&self) -> Result<()> {
        let mut after = 0;
        loop {
            let found = self.accounts.db.read(move |tx| store::enabled(tx, after, BATCH)).await?;
            let Some((last, _)) = found.last() else { return Ok(()) };
            after = last.id;
            for (provider, told) in found {
                let now = self.accounts.clock.now();
                let end = last_end(&provider, now)?.filter(|end| *end <= now.plus(saml::EXPIRING * DAY));
                let Some(end) = end.filter(|end| Some(*end) != told) else { continue };
                self.tell_end(provider, end, now).await?;
            }
        }
    }

    async fn tell_end(&self, provider: Provider, end: Time, now: Time) -> Result<()> {
        let write = self.accounts.db.write(move |tx| {
            if !store::note_told(tx, provider.id, end)? {
                return Ok(());
            }
            let text = format!(
                "The last certificate of the identity provider {} ends at {end}. Bring its new metadata before: nobody comes in \
                 with it afterwards.",
                provider.name
            );
            let notice = NewNotice::new("sso_certificate", text);
            match provider.organization_id.map(OrgId) {
                Some(org) => {
                    let link = format!("/organizations/{}/sso/{}", org.0, provider.id);
                    notices::to_admins(tx, now, org, &notice.org(org).link(link)).map(drop)
                }
                None => notices::to_site(tx, now, &notice.link(format!("/site/sso/{}", provider.id))),
            }
        });
        write.await
    }
}

/// When the last of its certificates ends; None without any.
fn last_end(provider: &Provider, now: Time) -> Result<Option<Time>> {
    let Connection::Saml { metadata, .. } = &provider.connection else { return Ok(None) };
    let certificates = saml::certificates(&saml::read_metadata(metadata)?, now)?;
    Ok(certificates.iter().map(|certificate| certificate.not_after).max())
}

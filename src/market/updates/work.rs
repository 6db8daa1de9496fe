//! When updates are done by themselves: within the window, after the mirror changed and every few minutes.
//!
//! Invariant: of several servers one looks; a job that finds the window closed changes nothing.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::run::How;
use super::{Policy, store};
use crate::access::Caller;
use crate::base::clock::{SECOND, Time};
use crate::base::error::Result;
use crate::db::Tx;
use crate::jobs::{self, Job, Jobs};
use crate::market::Market;

const KIND: &str = "market.updates";
/// Between two looks.
const LOOK: Duration = Duration::from_secs(600);

/// Has what is due done after the commit.
///
/// # Errors
/// When the database fails.
pub fn enqueue(tx: &mut Tx<'_>, now: Time) -> Result<()> {
    jobs::enqueue(tx, now, KIND, &json!({})).map(drop)
}

impl Market {
    /// Does updates by themselves from now on.
    pub(in crate::market) fn keep_up_to_date(&self, jobs: &mut Jobs) {
        let market = self.clone();
        jobs.handle(KIND, 1, move |job| market.clone().update_what_is_due(job));
        let market = self.clone();
        self.inner.tasks.spawn_until_stop(async move {
            loop {
                if let Err(error) = market.look_for_updates().await {
                    tracing::warn!(%error, "whether plugins are to be updated could not be seen; trying again");
                }
                tokio::time::sleep(LOOK).await;
            }
        });
    }

    async fn look_for_updates(&self) -> Result<()> {
        let now = self.inner.clock.now();
        let every = i64::try_from(LOOK.as_secs()).unwrap_or_default() * SECOND / 2;
        let look = move |tx: &mut Tx<'_>| if store::take_turn(tx, now, every)? { enqueue(tx, now) } else { Ok(()) };
        self.inner.db.write(look).await
    }

    async fn update_what_is_due(self, job: Job) -> Result<()> {
        let read = |tx: &mut Tx<'_>| Ok((store::window(tx)?, store::state(tx)?, store::trials(tx)?));
        let (window, state, trials) = self.inner.db.read(read).await?;
        let open = window.is_open(self.inner.zone.clock(self.inner.clock.now()));
        let wanted = open && state.policies.values().any(|policy| *policy != Policy::Off);
        let permit = Arc::new(Caller::system()).permit()?;
        if wanted {
            self.update_all(permit, How::BY_ITSELF).await?;
        } else if !trials.is_empty() {
            self.end_cut_off(permit).await?;
        }
        self.inner.db.write(move |tx| jobs::finish(tx, job.id)).await
    }
}

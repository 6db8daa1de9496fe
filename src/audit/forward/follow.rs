//! The loop that brings a destination up to the end of the logs and keeps it there.
//!
//! Invariant: after a failure it goes on from what is known to have arrived, so that a destination that was away misses
//! nothing; what was on the way then arrives twice.

use std::collections::VecDeque;
use std::time::Duration;

use super::store::{self, Places};
use super::{Destination, Failing, Sink, Tell, failed};
use crate::base::clock::Clock;
use crate::base::error::Result;
use crate::db::{Db, Engine, Tx};

/// How many entries are read and sent at once.
const BATCH: u64 = 256;
/// How many batches may be on the way; more wait.
const ON_THE_WAY: usize = 1024;
/// How long the loop trusts that nothing happened.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a server that does not hold the destination waits before it asks again.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// The pauses after failures, the last one over and over, in seconds.
const BACK_OFF: [u64; 6] = [1, 2, 4, 8, 15, 30];

/// One destination, on this server.
pub(super) struct Follower {
    pub db: Db,
    pub clock: Clock,
    pub destination: Destination,
    pub process: String,
    /// The address or the path.
    pub target: String,
    pub tell: Tell,
}

/// A batch that was taken and is not known to have arrived.
struct OnTheWay {
    /// The places behind it.
    behind: Places,
    entries: i64,
}

impl Follower {
    pub async fn run(self, mut sink: impl Sink) {
        let mut failures = 0;
        loop {
            let error = match self.hold().await {
                Ok(true) => {
                    let Err(error) = self.follow(&mut sink, &mut failures).await;
                    error
                }
                Ok(false) => {
                    tokio::time::sleep(ASK_AGAIN).await;
                    continue;
                }
                Err(error) => error,
            };
            sink.close();
            metrics::counter!("audit_forward_failures_total", "destination" => self.destination.code()).increment(1);
            tracing::warn!(?error, to = self.destination.code(), "the audit trail is not forwarded; trying again");
            self.keep_error(error.message().to_owned()).await;
            let pause = BACK_OFF[failures.min(BACK_OFF.len() - 1)];
            failures += 1;
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
    }

    async fn hold(&self) -> Result<bool> {
        let (to, process, now) = (self.destination, self.process.clone(), self.clock.now());
        let alone = self.db.engine() == Engine::Sqlite;
        self.db.write(move |tx| store::hold(tx, to, &process, now, alone)).await
    }

    /// Keeps why it does not go on, and tells of it when that is so for long.
    async fn keep_error(&self, error: String) {
        let (to, process, now) = (self.destination, self.process.clone(), self.clock.now());
        let (target, tell) = (self.target.clone(), self.tell.clone());
        let write = self.db.write(move |tx| match store::fails(tx, to, &process, now, &error)? {
            Some(since) => tell(tx, now, &Failing { target: &target, since, error: &error }),
            None => Ok(()),
        });
        if let Err(error) = write.await {
            tracing::warn!(?error, "how forwarding stands could not be kept");
        }
    }

    async fn keep(&self, state: fn(&mut Tx<'_>, Destination, &str) -> Result<()>) -> Result<()> {
        let (to, process) = (self.destination, self.process.clone());
        self.db.write(move |tx| state(tx, to, &process)).await
    }

    /// Goes on until something fails. Failures of before are forgotten once something arrived.
    async fn follow(&self, sink: &mut impl Sink, failures: &mut usize) -> Result<std::convert::Infallible> {
        let to = self.destination;
        let mut sent = self.db.read(move |tx| store::places(tx, to)).await?;
        sink.open().await?;
        self.keep(store::goes_on).await?;
        let mut works = false;
        let mut on_the_way = VecDeque::new();
        let mut held = self.clock.now();
        loop {
            sink.open().await?;
            let room = on_the_way.len() < ON_THE_WAY;
            let (entries, behind) = if room { self.next(&sent).await? } else { Default::default() };
            let idle = behind.is_empty();
            if !idle {
                sink.take(&entries).await?;
                let entries = i64::try_from(entries.len()).unwrap_or(i64::MAX);
                sent.extend(behind.iter().map(|(log, place)| (*log, *place)));
                on_the_way.push_back(OnTheWay { behind, entries });
            }
            let settled = sink.settled().await?;
            let settled: Vec<OnTheWay> = on_the_way.drain(..settled.min(on_the_way.len())).collect();
            if !settled.is_empty() {
                self.advance(settled).await?;
                (*failures, held) = (0, self.clock.now());
            }
            if idle {
                if on_the_way.is_empty() && !works {
                    self.keep(store::works).await?;
                    works = true;
                }
                self.measure().await?;
                // Long before the lease ends.
                if self.clock.now() > held.plus(5 * crate::base::clock::SECOND) {
                    if !self.hold().await? {
                        return Err(taken());
                    }
                    held = self.clock.now();
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn next(&self, sent: &Places) -> Result<(Vec<super::Forwarded>, Places)> {
        let sent = sent.clone();
        self.db.read(move |tx| store::next(tx, &sent, BATCH)).await
    }

    async fn advance(&self, settled: Vec<OnTheWay>) -> Result<()> {
        let entries = settled.iter().map(|batch| batch.entries).sum();
        let places: Places = settled.into_iter().flat_map(|batch| batch.behind).collect();
        let (to, process, now) = (self.destination, self.process.clone(), self.clock.now());
        let write = self.db.write(move |tx| store::advance(tx, to, &process, now, &places, entries));
        if !write.await? {
            return Err(taken());
        }
        let count = u64::try_from(entries).unwrap_or(0);
        metrics::counter!("audit_forwarded_total", "destination" => to.code()).increment(count);
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
    async fn measure(&self) -> Result<()> {
        let to = self.destination;
        let behind = self.db.read(move |tx| store::behind(tx, to)).await?;
        metrics::gauge!("audit_forward_behind", "destination" => to.code()).set(behind as f64);
        Ok(())
    }
}

fn taken() -> crate::base::error::Error {
    failed("Another server of the site sends the audit trail by now.".to_owned())
}

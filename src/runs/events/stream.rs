//! A run's events as server-sent events (WHATWG HTML, section 9.2), from any number on.
//!
//! Invariant: one stream reads what is written down and nothing else, so it can be taken up on any server of the site;
//! memory is bounded by one page of events. It ends after the events of a run that has ended.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::Stream;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::store::{self, Written};
use super::{Ear, Hub, Live, RunEvent};
use crate::base::error::Result;
use crate::base::tasks::Tasks;
use crate::db::Db;
use crate::runs::store as runs;

/// Events read at a time.
const PAGE: i64 = 100;
/// How long it is trusted that nothing happened: events written by another server are seen after this at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(1);

struct Reader {
    db: Db,
    tasks: Tasks,
    run: i64,
    last: i64,
    ear: Ear,
}

/// The events of `run` after number `last`, then those to come.
pub(in crate::runs) fn stream(
    db: Db,
    tasks: Tasks,
    hub: &Hub,
    run: i64,
    last: i64,
) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let mut reader = Reader { db, tasks, run, last, ear: hub.listen(run) };
    async_stream::stream! {
        loop {
            match reader.page().await {
                Ok((page, over)) => {
                    let more = page.len() as i64 == PAGE;
                    for written in page {
                        reader.last = written.number;
                        yield Ok(durable(written));
                    }
                    if more {
                        continue;
                    }
                    if over {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(?error, run, "a run's events could not be read; the reader will come again");
                    break;
                }
            }
            let mut quiet = false;
            while !quiet {
                match reader.next().await {
                    Some(Heard::Words(event)) => yield Ok(event),
                    Some(Heard::Look) => quiet = true,
                    None => return,
                }
            }
        }
    }
}

enum Heard {
    Words(Event),
    /// Look into the database.
    Look,
}

impl Reader {
    /// The next events, and whether the run had ended when they were read.
    async fn page(&self) -> Result<(Vec<Written>, bool)> {
        let (run, last) = (self.run, self.last);
        self.db
            .read(move |tx| {
                let page = store::after(tx, run, last, PAGE)?;
                Ok((page, runs::has_ended(tx, run)?))
            })
            .await
    }

    /// Waits for something to say; None when the server stops.
    async fn next(&mut self) -> Option<Heard> {
        tokio::select! {
            biased;
            () = self.tasks.stopping() => None,
            heard = self.ear.live.recv() => Some(match heard {
                Ok(Live::Words(role, text)) => {
                    let told = json!(RunEvent::Delta { role: role.to_string(), text: text.to_string() });
                    Heard::Words(Event::default().event("delta").data(told["data"].to_string()))
                }
                Ok(Live::Committed) | Err(RecvError::Lagged(_) | RecvError::Closed) => Heard::Look,
            }),
            () = tokio::time::sleep(LOOK_EVERY) => Some(Heard::Look),
        }
    }
}

fn durable(written: Written) -> Event {
    Event::default().event(written.name).id(written.number.to_string()).data(written.data)
}

//! Carrying queued mails to the mail server, and what becomes of those it does not take.
//!
//! Invariant: every try ends in one transaction that takes its job out of the queue and settles the mail or puts the next
//! job in; until then the mail counts as untried.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::compose::{self, Letter, compose};
use super::smtp::{self, Failure, Link, Outgoing, Step};
use super::{Errand, Mail, Mailer, SEND, Server, next_attempt, place, store};
use crate::access::{Caller, UserId};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::{DAY, Time};
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::db::Tx;
use crate::jobs::{self, Job, Jobs};

/// How many mails are sent at once.
const AT_ONCE: usize = 2;
/// The most mails that go over one connection.
const MOST_A_LINK: u32 = 100;
/// How long a connection may have had a rest before it is used again.
const FRESH: Duration = Duration::from_secs(30);
/// How long a mail that is settled stays in the list.
const KEEP: i64 = 30 * DAY;
/// How long the body of one that was given up can still be sent.
const KEEP_BODY: i64 = 7 * DAY;
/// How often the queue is measured.
const MEASURE: Duration = Duration::from_secs(15);
/// How often old rows are dropped, in measurements.
const CLEAR_EVERY: u32 = 240;

/// Told in the transaction in which a mail is given up.
pub type GivenUp = Arc<dyn Fn(&mut Tx<'_>, Time, &Mail) -> Result<()> + Send + Sync>;

impl Mailer {
    /// Takes on the sending; `given_up` is told of what was not sent.
    pub fn register(&self, jobs: &mut Jobs, given_up: GivenUp) {
        let (mailer, told) = (self.clone(), given_up.clone());
        jobs.handle(SEND, AT_ONCE, move |job| mailer.clone().send(job, told.clone()));
        let mailer = self.clone();
        jobs.on_dead(SEND, move |job, error| mailer.clone().stumbled(job, error, given_up.clone()));
    }

    /// Measures the queue and drops what is old until the server stops.
    pub fn start(&self, tasks: &Tasks) {
        let mailer = self.clone();
        tasks.spawn_until_stop(async move {
            for round in 0_u32.. {
                if let Err(error) = mailer.look_after(round % CLEAR_EVERY == 0).await {
                    tracing::warn!(?error, "the queue of mails could not be looked at; trying again");
                }
                tokio::time::sleep(MEASURE).await;
            }
        });
    }

    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
    async fn look_after(&self, clear: bool) -> Result<()> {
        let now = self.0.clock.now();
        if clear {
            self.0.db.write(move |tx| store::clear(tx, now.plus(-KEEP), now.plus(-KEEP_BODY))).await?;
        }
        let queued = self.0.db.read(store::counts).await?.queued;
        metrics::gauge!("mails_queued").set(queued as f64);
        Ok(())
    }

    async fn send(self, job: Job, given_up: GivenUp) -> Result<()> {
        let Errand { mail: id } = job.parse()?;
        let due = self.0.db.read(move |tx| store::due(tx, id, job.id)).await?;
        // Erased, or taken over by another job.
        let Some((mail, body)) = due else { return Ok(()) };
        let outcome = self.carry(&mail, &body).await;
        let settled = self.clone().settle(job, mail, outcome, given_up).await;
        self.let_go().await;
        settled
    }

    /// Ends the connections that no mail waits for. Each is put back before its mail is settled, so whoever settles the last
    /// one finds them all.
    async fn let_go(&self) {
        let now = self.0.clock.now();
        if let Ok(true) = self.0.db.read(move |tx| store::any_due(tx, now)).await {
            return;
        }
        for link in self.idle(std::mem::take) {
            link.quit().await;
        }
    }

    fn idle<T>(&self, f: impl FnOnce(&mut Vec<Link>) -> T) -> T {
        f(&mut self.0.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn carry(&self, mail: &Mail, body: &[u8]) -> Result<(), Failure> {
        let server = self.0.server.as_ref().ok_or_else(|| Failure::before(false, off()))?;
        let outgoing = self.outgoing(server, mail, body).map_err(|error| Failure::before(true, error))?;
        let link = self.idle(Vec::pop).filter(|link| link.used.elapsed() < FRESH);
        let (outcome, link) = smtp::send(&self.0.client, server, link, &outgoing, &mut Vec::new()).await;
        match link {
            Some(link) if link.mails < MOST_A_LINK => self.idle(|idle| idle.push(link)),
            Some(link) => link.quit().await,
            None => {}
        }
        outcome
    }

    fn outgoing(&self, server: &Server, mail: &Mail, body: &[u8]) -> Result<Outgoing> {
        let body = String::from_utf8(self.0.key.open(&place(mail.id), body)?).map_err(Error::internal)?;
        let letter = Letter {
            id: mail.id,
            recipient: &mail.recipient,
            subject: &mail.subject,
            body: &body,
            created_at: mail.created_at,
        };
        Outgoing::new(server, &letter)
    }

    async fn settle(self, job: Job, mail: Mail, outcome: Result<(), Failure>, given_up: GivenUp) -> Result<()> {
        let now = self.0.clock.now();
        let write = self.0.db.write(move |tx| {
            jobs::finish(tx, job.id)?;
            let Err(failure) = &outcome else { return store::sent(tx, mail.id, now).map(|()| "sent") };
            let why = failure.error.message();
            let next = next_attempt(now, mail.created_at, mail.attempts + 1).filter(|_| !failure.is_final);
            if let Some(next) = next {
                let job = jobs::enqueue_at(tx, now, next, SEND, &Errand { mail: mail.id })?;
                return store::later(tx, mail.id, job, next, why).map(|()| "retried");
            }
            store::failed(tx, mail.id, now, why)?;
            record_failure(tx, now, &mail)?;
            given_up(tx, now, &mail)?;
            Ok("failed")
        });
        let outcome = write.await?;
        metrics::counter!("mails_total", "outcome" => outcome).increment(1);
        Ok(())
    }

    /// The work of a job failed over and over, such as by a full disk: the mail waits for better times.
    async fn stumbled(self, job: Job, error: Error, given_up: GivenUp) -> Result<()> {
        let Errand { mail: id } = job.parse()?;
        let due = self.0.db.read(move |tx| store::due(tx, id, job.id)).await?;
        match due {
            Some((mail, _)) => self.settle(job, mail, Err(Failure::before(false, error)), given_up).await,
            None => Ok(()),
        }
    }

    /// Sends a mail at once and tells how each step went. Nothing is queued.
    ///
    /// # Errors
    /// `mail_off`; `invalid_email`.
    pub(super) async fn test(&self, address: &str) -> Result<Vec<Step>> {
        let server = self.0.server.as_ref().ok_or_else(off)?;
        let now = self.0.clock.now();
        let body = format!(
            "This is the test that an administrator of {} asked for. The site's mails arrive.",
            self.0.public_url.as_deref().unwrap_or("the site")
        );
        let letter = Letter {
            id: 0,
            recipient: address,
            subject: &format!("Test of the mails of {}", server.from_name),
            body: &body,
            created_at: now,
        };
        let outgoing = Outgoing::new(server, &letter)?;
        let mut steps = Vec::new();
        let (outcome, link) = smtp::send(&self.0.client, server, None, &outgoing, &mut steps).await;
        if let Some(link) = link {
            link.quit().await;
        }
        if let Err(Failure { step, error, .. }) = outcome {
            steps.push(Step { step, ok: false, detail: error.message().to_owned() });
        }
        Ok(steps)
    }
}

impl Outgoing {
    fn new(server: &Server, letter: &Letter<'_>) -> Result<Self> {
        Ok(Self {
            from: compose::address(&server.from)?,
            to: compose::address(letter.recipient)?,
            message: compose(server, letter)?,
        })
    }
}

pub(super) fn off() -> Error {
    let sentence = "This site sends no mail. Set smtp.host and smtp.from (docs/mail.md) and start the server again.";
    Error::unavailable("mail_off", sentence)
}

/// Without the address, which the mail's row has.
fn record_failure(tx: &mut Tx<'_>, now: Time, mail: &Mail) -> Result<()> {
    let words = format!("Mail {} ({}) could not be sent and was given up", mail.id, mail.kind.code());
    let mut event = Event::new(AuditAction::Execute, "mail", words).id(mail.id).failed();
    if let Some(user) = mail.user_id {
        event = event.person(UserId(user));
    }
    audit::record(tx, now, &Caller::system(), &event)
}

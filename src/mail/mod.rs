//! Mails: written into the database with what they tell of, and carried to the site's mail server afterwards.
//!
//! Invariants: a mail exists exactly when the transaction that queued it committed, and nothing waits for a mail server
//! inside one; it is tried until it was taken, refused for good, or [`GIVE_UP`] old, and is lost by no crash (after one it may
//! arrive twice, under one Message-ID). Bodies hold codes: they are sealed with the site's key, and go once they were sent.
//! Without a mail server nothing is queued. What a mail says belongs to the rooms.

mod compose;
mod deliver;
mod routes;
mod smtp;
mod store;

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use deliver::GivenUp;
pub use store::forget_address;

use crate::access::UserId;
use crate::base::clock::{Clock, DAY, SECOND, Time};
use crate::base::crypto::Key;
use crate::base::error::Result;
use crate::config::SmtpConfig;
use crate::db::{Db, Tx};
use crate::jobs;
use crate::net;

/// The job that sends one mail.
const SEND: &str = "mail.send";
/// The most characters of a subject; more are cut off.
const SUBJECT_MAX: usize = 150;
/// The most bytes of a body; more are cut off.
const BODY_MAX: usize = 32 * 1024;
/// The most mails that wait at once.
const MOST_QUEUED: i64 = 50_000;
/// The most mails to one address within an hour.
const MOST_AN_HOUR: i64 = 20;
/// The most of those that are notices, so that others still get through.
const MOST_NOTICES_AN_HOUR: i64 = 12;
/// How long a mail is tried.
const GIVE_UP: i64 = 3 * DAY;
/// The longest pause between two tries.
const LONGEST_PAUSE: i64 = 4 * 3600 * SECOND;

/// What a mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    Invitation,
    PasswordReset,
    Notice,
    /// Something about the safety of an account; sent whatever its owner prefers.
    Security,
}

impl MailKind {
    const ALL: [Self; 4] = [Self::Invitation, Self::PasswordReset, Self::Notice, Self::Security];

    fn code(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::PasswordReset => "password_reset",
            Self::Notice => "notice",
            Self::Security => "security",
        }
    }
}

/// How a mail stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailState {
    /// It waits for its next try.
    Queued,
    /// The mail server took it.
    Sent,
    /// It was given up.
    Failed,
}

impl MailState {
    const ALL: [Self; 3] = [Self::Queued, Self::Sent, Self::Failed];

    fn code(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }
}

/// A mail as the site's administrators see it; its body is shown to nobody.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Mail {
    pub id: i64,
    /// The person it is for; null: somebody without an account.
    pub user_id: Option<i64>,
    pub recipient: String,
    pub kind: MailKind,
    pub subject: String,
    pub state: MailState,
    /// How often it was tried.
    pub attempts: i64,
    /// Null once nothing more is tried.
    pub next_attempt_at: Option<Time>,
    /// Why the last try failed.
    pub last_error: Option<String>,
    pub created_at: Time,
    /// When it was taken or given up.
    pub settled_at: Option<Time>,
}

/// What is to be sent.
pub struct NewMail<'a> {
    pub kind: MailKind,
    pub user: Option<UserId>,
    /// The number of what it is about, so that it can be withdrawn; see [`withdraw`].
    pub about: Option<i64>,
    pub recipient: &'a str,
    /// Line breaks in it become blanks.
    pub subject: &'a str,
    /// Plain text.
    pub body: &'a str,
}

/// What became of a mail that was to be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    Yes,
    /// The site sends no mail.
    Off,
    /// The address had too many within the hour, or too many wait already.
    Limited,
}

/// Where mails go, and from whom.
#[derive(Clone)]
struct Server {
    host: String,
    port: u16,
    security: crate::config::Security,
    credentials: Option<(String, String)>,
    from: String,
    from_name: String,
    /// What we call ourselves in EHLO.
    hello: String,
}

impl Server {
    fn of(smtp: &SmtpConfig, public_url: Option<&str>) -> Option<Self> {
        let password = smtp.password.as_ref().map(|password| password.0.clone());
        let own = public_url.and_then(|url| url.parse::<hyper::Uri>().ok());
        Some(Self {
            host: smtp.host.clone()?,
            port: smtp.port(),
            security: smtp.security,
            credentials: smtp.username.clone().zip(password),
            from: smtp.from.clone()?,
            from_name: smtp.from_name.clone().unwrap_or_else(|| "ResoftAI".to_owned()),
            hello: own.and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_else(|| "localhost".to_owned()),
        })
    }
}

/// The room of mails.
#[derive(Clone)]
pub struct Mailer(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Clock,
    /// The site's master key.
    key: Key,
    client: net::Client,
    server: Option<Server>,
    public_url: Option<String>,
    /// Connections to the mail server between two mails.
    idle: Mutex<Vec<smtp::Link>>,
}

impl Mailer {
    /// `client` may dial the mail server from now on.
    pub fn new(
        db: Db,
        clock: Clock,
        key: Key,
        client: net::Client,
        smtp: &SmtpConfig,
        public_url: Option<String>,
    ) -> Self {
        let server = Server::of(smtp, public_url.as_deref());
        if let Some(server) = &server {
            client.allow(&server.host, server.port);
        }
        Self(Arc::new(Inner { db, clock, key, client, server, public_url, idle: Mutex::default() }))
    }

    /// Whether the site sends mails.
    pub fn is_on(&self) -> bool {
        self.0.server.is_some()
    }

    /// A page of this site as a whole address; the path alone where the site was not told its own.
    pub fn link(&self, path: &str) -> String {
        format!("{}{path}", self.0.public_url.as_deref().unwrap_or_default())
    }

    /// The same for a mail, in which a path alone is of no use.
    pub fn whole_link(&self, path: &str) -> Option<String> {
        self.0.public_url.as_ref().map(|url| format!("{url}{path}"))
    }

    /// Queues a mail as part of the caller's transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub fn queue(&self, tx: &mut Tx<'_>, now: Time, new: &NewMail<'_>) -> Result<Queued> {
        if !self.is_on() {
            return Ok(Queued::Off);
        }
        let most = if new.kind == MailKind::Notice { MOST_NOTICES_AN_HOUR } else { MOST_AN_HOUR };
        let recent = store::recent(tx, new.recipient, now.plus(-3600 * SECOND))?;
        if recent >= most || store::is_full(tx, MOST_QUEUED)? {
            metrics::counter!("mails_total", "outcome" => "limited").increment(1);
            return Ok(Queued::Limited);
        }
        let id = tx.next_id()?;
        let body = self.0.key.seal(&place(id), cut(new.body, BODY_MAX).as_bytes())?;
        let subject: String = compose::line(new.subject).chars().take(SUBJECT_MAX).collect();
        let job = jobs::enqueue(tx, now, SEND, &Errand { mail: id })?;
        store::insert(tx, id, job, now, &NewMail { subject: &subject, ..*new }, body)?;
        Ok(Queued::Yes)
    }
}

/// Forgets the mails about something that wait: it counts no more. One that is on its way to the mail server arrives.
///
/// # Errors
/// When the database fails.
pub fn withdraw(tx: &mut Tx<'_>, kind: MailKind, about: i64) -> Result<()> {
    for job in store::withdraw(tx, kind, about)? {
        jobs::withdraw(tx, job)?;
    }
    Ok(())
}

/// What that job says.
#[derive(Debug, Serialize, Deserialize)]
struct Errand {
    mail: i64,
}

/// Where a sealed body lies.
fn place(id: i64) -> String {
    format!("mails.body.{id}")
}

/// At most `most` bytes of `text`, in whole characters.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// When a mail is tried again after `attempts` tries: after 5 seconds, then four times as long each time, up to
/// [`LONGEST_PAUSE`]. None: it is given up.
fn next_attempt(now: Time, created: Time, attempts: i64) -> Option<Time> {
    let power = u32::try_from(attempts.clamp(1, 12) - 1).unwrap_or(0);
    let next = now.plus((5 * SECOND).saturating_mul(4_i64.pow(power)).min(LONGEST_PAUSE));
    (next < created.plus(GIVE_UP)).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_tried_for_three_days_with_growing_pauses() {
        let (created, mut now, mut pauses) = (Time(0), Time(0), Vec::new());
        for attempts in 1.. {
            let Some(next) = next_attempt(now, created, attempts) else { break };
            pauses.push((next.0 - now.0) / SECOND);
            now = next;
        }
        assert_eq!(pauses[..8], [5, 20, 80, 320, 1280, 5120, 14400, 14400]);
        assert!(now > Time(2 * DAY) && now < Time(GIVE_UP), "{now}");
        assert!(pauses.len() < 40, "{pauses:?}");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
    }
}

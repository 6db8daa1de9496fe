//! A new password for who forgot theirs, by a code to the address of their account; where the site sends mails.
//!
//! Invariant: whoever asks learns nothing: the answer and its time are the same for addresses that somebody has and those
//! that nobody has, because a job looks the address up later. Until then the queue holds what was asked sealed: it may name
//! somebody who has no account here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::passwords;
use super::{Accounts, User, event, store};
use crate::access::{Actor, Origin, UserId};
use crate::audit::{self, AuditAction};
use crate::base::clock::{SECOND, Time};
use crate::base::crypto::Key;
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::jobs::{self, Job, Jobs};
use crate::mail::{MailKind, Mailer, NewMail, Queued};

const FORGOT: &str = "accounts.forgot";
/// How long a code counts that was asked for by mail.
const CODE_TIME: i64 = 30 * 60 * SECOND;

/// Where what was asked lies sealed.
const PLACE: &str = "jobs.payload.accounts.forgot";

/// What that job says.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Payload {
    Sealed {
        /// [`Forgot`] as JSON, sealed with the site's key, in URL-safe Base64.
        sealed: String,
    },
    /// As the versions before 150 of the schema queued it.
    Plain(Forgot),
}

impl Payload {
    fn seal(key: &Key, asked: &Forgot) -> Result<Self> {
        let asked = serde_json::to_vec(asked).map_err(Error::internal)?;
        Ok(Self::Sealed { sealed: URL_SAFE_NO_PAD.encode(key.seal(PLACE, &asked)?) })
    }

    fn open(self, key: &Key) -> Result<Forgot> {
        match self {
            Self::Plain(asked) => Ok(asked),
            Self::Sealed { sealed } => {
                let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(Error::internal)?;
                serde_json::from_slice(&key.open(PLACE, &sealed)?).map_err(Error::internal)
            }
        }
    }
}

/// What somebody asked, and from where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Forgot {
    pub email: String,
    pub ip_address: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
}

impl Accounts {
    /// Takes on the mailing of codes.
    pub fn register(&self, jobs: &mut Jobs) {
        let room = self.clone();
        jobs.handle(FORGOT, 1, move |job| room.clone().mail_code(job));
    }

    async fn mail_code(self, job: Job) -> Result<()> {
        let asked = job.parse::<Payload>()?.open(&self.key)?;
        let now = self.clock.now();
        let (code, digest) = passwords::code()?;
        let write = self.db.write(move |tx| {
            jobs::finish(tx, job.id)?;
            let user = store::user_by_email(tx, &asked.email)?.filter(|user| user.is_active);
            let Some(user) = user else { return Ok(()) };
            let expires_at = now.plus(CODE_TIME);
            if mail_code(tx, &self.mailer, now, &user, &code, "within 30 minutes")? != Queued::Yes {
                return Ok(());
            }
            passwords::store::keep_code(tx, UserId(user.id), &digest, expires_at)?;
            let Forgot { ip_address, user_agent, request_id, .. } = asked.clone();
            let words =
                format!("Somebody who forgot the password of {} was mailed a code to set another", user.username);
            let origin = Origin { ip_address, user_agent, request_id };
            let actor = Actor::anonymous(&user.username);
            audit::record_as(tx, now, &actor, &origin, &event(AuditAction::Update, &user, words))
        });
        write.await
    }
}

pub(super) fn ask(tx: &mut Tx<'_>, now: Time, key: &Key, asked: &Forgot) -> Result<()> {
    jobs::enqueue(tx, now, FORGOT, &Payload::seal(key, asked)?).map(drop)
}

/// Mails a code that sets a new password; `until` says how long it counts.
///
/// # Errors
/// When the database fails.
pub(super) fn mail_code(
    tx: &mut Tx<'_>,
    mailer: &Mailer,
    now: Time,
    user: &User,
    code: &str,
    until: &str,
) -> Result<Queued> {
    let site = mailer.whole_link("").unwrap_or_else(|| "the site".to_owned());
    let way = match mailer.whole_link(&format!("/reset#{code}")) {
        Some(link) => {
            format!("Set it {until} here:\n\n{link}\n\nor give this code where the sign-in page asks for one:")
        }
        None => {
            format!("Set it {until}: open the site, follow \"I have a code\" on the sign-in page, and give this code:")
        }
    };
    let body = format!(
        "A new password was asked for your account {} at {site}.\n\n{way}\n\n{code}\n\nIf you did not ask for it, do \
         nothing: your password stays as it is.",
        user.username
    );
    let subject = "A code to set a new password";
    let user_id = Some(UserId(user.id));
    let (kind, recipient) = (MailKind::PasswordReset, user.email.as_str());
    let mail = NewMail { kind, user: user_id, about: None, recipient, subject, body: &body };
    mailer.queue(tx, now, &mail)
}

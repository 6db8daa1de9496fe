//! Notices as mails: each goes out once, to whom it is for, when they want it.
//!
//! Invariant: whether a notice becomes a mail is decided once, in one transaction with the mail itself. What is about the
//! safety of an account always does; what tells that mails do not arrive never does.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use utoipa::ToSchema;

use super::{NewNotice, store};
use crate::access::{Caller, UserId};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::{Clock, DAY, Time};
use crate::base::error::Result;
use crate::base::tasks::Tasks;
use crate::db::{Db, Tx};
use crate::mail::{Mail, MailKind, Mailer, NewMail};

/// Tells the loop of this process that a notice was committed. A hint only: it also looks by itself.
pub(super) static RAISED: Notify = Notify::const_new();
/// How long the loop trusts that nothing happened.
const PAUSE: Duration = Duration::from_secs(5);
/// How many notices are looked at in one transaction.
const BATCH: i64 = 50;
/// Older ones are no news: mails were switched on, or the server was down.
const NEWS: i64 = DAY;

/// About the safety of the account, each with the subject of its mail.
const SECURITY: [(&str, &str); 9] = [
    ("password_changed", "Your password was changed"),
    ("token_created", "A token was made for your account"),
    ("second_factor_on", "A second factor was set up for your account"),
    ("second_factor_off", "The second factor of your account was turned off"),
    ("second_factor_reset", "The second factor of your account was taken away"),
    ("recovery_code_used", "A recovery code of your account was used"),
    ("passkey_added", "A passkey was added to your account"),
    ("passkey_copied", "A copy of your passkey may be in use"),
    ("email_changed", "The address of your account was changed"),
];
/// What somebody has to act on.
const IMPORTANT: [&str; 6] = [
    "quota_warning",
    "organization_suspended",
    "organization_resumed",
    "organization_deleting",
    "organization_restored",
    "tier_changed",
];
/// The kind of notice that tells of mails that were given up.
const GIVEN_UP: &str = "mail_given_up";

/// Which notices a person gets as mails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailPreference {
    All,
    /// Those that ask for something to be done.
    #[default]
    Important,
    /// Only what is about the safety of the account.
    None,
}

impl MailPreference {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Important => "important",
            Self::None => "none",
        }
    }

    pub(super) fn parse(code: &str) -> Option<Self> {
        [Self::All, Self::Important, Self::None].into_iter().find(|known| known.code() == code)
    }
}

/// A notice that was not looked at yet, with what decides.
pub(super) struct Unmailed {
    pub id: i64,
    pub user: UserId,
    pub kind: String,
    pub text: String,
    pub link: Option<String>,
    pub created_at: Time,
    pub is_read: bool,
    pub email: String,
    pub is_active: bool,
    pub preference: MailPreference,
}

impl Unmailed {
    fn security(&self) -> Option<&'static str> {
        SECURITY.iter().find(|(kind, _)| *kind == self.kind).map(|(_, subject)| *subject)
    }

    fn is_wanted(&self, now: Time) -> bool {
        // Accounts of programs have no address.
        let reached = self.is_active && !self.email.is_empty();
        if !reached || self.kind == GIVEN_UP || self.created_at < now.plus(-NEWS) {
            return false;
        }
        if self.security().is_some() {
            return true;
        }
        let wanted = match self.preference {
            MailPreference::All => true,
            MailPreference::Important => IMPORTANT.contains(&self.kind.as_str()),
            MailPreference::None => false,
        };
        wanted && !self.is_read
    }

    fn queue(&self, tx: &mut Tx<'_>, now: Time, mailer: &Mailer) -> Result<()> {
        let mut body = self.text.clone();
        if let Some(link) = self.link.as_deref().and_then(|path| mailer.whole_link(path)) {
            body.push_str(&format!("\n\n{link}"));
        }
        let account = mailer.whole_link("/account").unwrap_or_else(|| "your account on the site".to_owned());
        let (kind, subject) = match self.security() {
            Some(subject) => {
                body.push_str("\n\nIf this was not you, change your password and tell an administrator of the site.");
                (MailKind::Security, subject)
            }
            None => {
                body.push_str(&format!("\n\n-- \nWhich notices you get as mails is up to you: {account}"));
                (MailKind::Notice, self.text.as_str())
            }
        };
        let mail = NewMail { kind, user: Some(self.user), about: None, recipient: &self.email, subject, body: &body };
        mailer.queue(tx, now, &mail).map(drop)
    }
}

/// Mails what is raised from now on until the server stops; does nothing where the site sends no mail.
pub fn start(db: Db, clock: Clock, mailer: Mailer, tasks: &Tasks) {
    if !mailer.is_on() {
        return;
    }
    tasks.spawn_until_stop(async move {
        loop {
            match mail_some(&db, &clock, &mailer).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(?error, "notices could not be mailed; trying again"),
            }
            tokio::select! {
                () = RAISED.notified() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    });
}

/// Whether there may be more.
async fn mail_some(db: &Db, clock: &Clock, mailer: &Mailer) -> Result<bool> {
    if db.read(|tx| store::unmailed(tx, 1)).await?.is_empty() {
        return Ok(false);
    }
    let (now, mailer) = (clock.now(), mailer.clone());
    let write = db.write(move |tx| {
        let notices = store::unmailed(tx, BATCH)?;
        for notice in &notices {
            if notice.is_wanted(now) {
                notice.queue(tx, now, &mailer)?;
            }
            store::set_mailed(tx, notice.id, now)?;
        }
        Ok(notices.len())
    });
    Ok(write.await? == usize::try_from(BATCH).unwrap_or(usize::MAX))
}

/// Keeps what a person chose.
pub(super) fn prefer(tx: &mut Tx<'_>, now: Time, caller: &Caller, user: UserId, mail: MailPreference) -> Result<()> {
    let before = store::preference(tx, user)?;
    store::set_preference(tx, user, mail)?;
    let words = format!("{} gets {} notices as mails", caller.actor.name, mail.code());
    let event = Event::new(AuditAction::Update, "notice_preferences", words).id(user.0).person(user);
    let image = |mail: MailPreference| serde_json::json!({"mail": mail});
    audit::record(tx, now, caller, &event.before(&image(before)).after(&image(mail)))
}

/// Tells the site's administrators of a mail that was given up, unless they have not read yet that others were.
///
/// # Errors
/// When the database fails.
pub fn given_up(tx: &mut Tx<'_>, now: Time, mail: &Mail) -> Result<()> {
    let mut untold = Vec::new();
    for admin in store::administrators(tx, None)? {
        if !store::has_unread(tx, admin, GIVEN_UP)? {
            untold.push(admin);
        }
    }
    let text = format!(
        "Mail {} could not be sent and was given up; there may be others. `resoftai mail list --state failed` says why.",
        mail.id
    );
    super::raise(tx, now, &untold, &NewNotice::new(GIVEN_UP, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(100 * DAY);

    fn notice(kind: &str, preference: MailPreference) -> Unmailed {
        Unmailed {
            id: 1,
            user: UserId(1),
            kind: kind.to_owned(),
            text: "Something happened.".to_owned(),
            link: None,
            created_at: NOW,
            is_read: false,
            email: "ada@example.org".to_owned(),
            is_active: true,
            preference,
        }
    }

    #[test]
    fn people_get_the_mails_they_want_and_those_that_guard_their_account() {
        use MailPreference::{All, Important, None};
        for (kind, wanted_by) in [
            ("password_changed", vec![All, Important, None]),
            ("quota_warning", vec![All, Important]),
            ("invitation_accepted", vec![All]),
            ("mail_given_up", vec![]),
        ] {
            for preference in [All, Important, None] {
                assert_eq!(
                    notice(kind, preference).is_wanted(NOW),
                    wanted_by.contains(&preference),
                    "{kind} {preference:?}"
                );
            }
        }
    }

    #[test]
    fn old_and_read_notices_and_those_of_people_who_are_switched_off_are_no_mails() {
        let all = || notice("quota_warning", MailPreference::All);
        assert!(all().is_wanted(NOW));
        assert!(!Unmailed { is_read: true, ..all() }.is_wanted(NOW));
        assert!(!Unmailed { is_active: false, ..all() }.is_wanted(NOW));
        assert!(!Unmailed { email: String::new(), ..all() }.is_wanted(NOW));
        assert!(!Unmailed { created_at: Time(98 * DAY), ..all() }.is_wanted(NOW));
    }
}

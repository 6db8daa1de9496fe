//! Codes against clocks that jump, and as people type them.
#![allow(clippy::unwrap_used)]

use totp_rs::Secret;

use super::*;
use crate::base::clock::{DAY, SECOND};
use crate::db::{Db, Options};

const ADA: UserId = UserId(1);

/// A site in which ada's app was set up at `now`.
struct Site {
    db: Db,
    key: Key,
    app: Totp,
    codes: Vec<String>,
    _dir: tempfile::TempDir,
}

impl Site {
    async fn new(now: Time) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(&dir.path().join("test.db"), Options::default()).await.unwrap();
        let key = Key::random().unwrap();
        let sealing = key.clone();
        let begun = db.write(move |tx| {
            tx.execute(
                "INSERT INTO users (id, username, username_key, email, email_key, password_hash, is_active, created_at) \
                 VALUES (1, 'ada', 'ada', 'a@x', 'a@x', '', TRUE, 0)",
                &[],
            )?;
            let ada = crate::accounts::store::user(tx, ADA)?.unwrap();
            begin(tx, &sealing, &ada)
        });
        let begun = begun.await.unwrap();
        assert!(begun.uri.starts_with("otpauth://totp/ResoftAI:ada?secret="), "{}", begun.uri);
        assert!(begun.qr.contains("<svg"));
        let app = Builder::new().with_secret(Secret::try_from_base32(&begun.secret).unwrap()).build().unwrap();
        let (code, opening) = (at(&app, now), key.clone());
        let codes = db.write(move |tx| finish(tx, &opening, ADA, &code, now)).await.unwrap().unwrap();
        Self { db, key, app, codes, _dir: dir }
    }

    async fn accept(&self, code: String, now: Time) -> Option<Proof> {
        let key = self.key.clone();
        self.db.write(move |tx| accept(tx, &key, ADA, &code, now)).await.unwrap()
    }
}

fn at(app: &Totp, now: Time) -> String {
    app.generate(now.unix_seconds().unsigned_abs()).to_string()
}

#[tokio::test]
async fn a_code_counts_once_also_when_the_clock_is_set_back() {
    let start = Time(1_800_000_000 * SECOND);
    let site = Site::new(start).await;
    assert_eq!(site.accept(at(&site.app, start), start).await, None, "it switched the factor on");
    let hour = start.plus(3600 * SECOND);
    let used = at(&site.app, hour);
    assert_eq!(site.accept(used.clone(), hour).await, Some(Proof::App));
    assert_eq!(site.accept(used.clone(), hour.plus(20 * SECOND)).await, None);
    // Set back by an hour, and an hour later at the same time again.
    let again = at(&site.app, start.plus(60 * SECOND));
    assert_eq!(site.accept(again, start.plus(60 * SECOND)).await, Some(Proof::App), "nobody is locked out by it");
    assert_eq!(site.accept(at(&site.app, start), start).await, None);
    assert_eq!(site.accept(used, hour.plus(SECOND)).await, None);
}

#[tokio::test]
async fn a_clock_that_was_a_year_ahead_locks_nobody_out() {
    let start = Time(1_800_000_000 * SECOND);
    let site = Site::new(start).await;
    let ahead = start.plus(365 * DAY);
    assert_eq!(site.accept(at(&site.app, ahead), ahead).await, Some(Proof::App));
    let back = start.plus(90 * SECOND);
    assert_eq!(site.accept(at(&site.app, back), back).await, Some(Proof::App));
}

#[tokio::test]
async fn a_code_is_good_for_the_half_minutes_beside_its_own() {
    let now = Time(1_800_000_000 * SECOND);
    let site = Site::new(now.plus(-3600 * SECOND)).await;
    for (seconds, wanted) in [(-60, None), (60, None), (-30, Some(Proof::App)), (30, Some(Proof::App))] {
        assert_eq!(site.accept(at(&site.app, now.plus(seconds * SECOND)), now).await, wanted, "{seconds}");
    }
}

#[tokio::test]
async fn recovery_codes_are_taken_as_people_type_them_and_once() {
    let now = Time(1_800_000_000 * SECOND);
    let site = Site::new(now).await;
    assert_eq!(site.codes.len(), CODES);
    let typed = [
        site.codes[0].to_uppercase(),
        site.codes[1].replace('-', " "),
        site.codes[2].replace('-', ""),
        format!("  {} ", site.codes[3].replace('0', "o").replace('1', "l")),
    ];
    for (used, code) in (1..).zip(typed) {
        assert_eq!(site.accept(code.clone(), now).await, Some(Proof::Recovery { left: 10 - used }), "{code}");
        assert_eq!(site.accept(code, now).await, None);
    }
    for wrong in ["", "-", "000000", "12345", &"9".repeat(100_000), "aaaa-aaaa-aaaa-aaaa"] {
        assert_eq!(site.accept(wrong.to_owned(), now).await, None);
    }
}

#[tokio::test]
async fn a_secret_opens_for_its_owner_only() {
    let now = Time(1_800_000_000 * SECOND);
    let site = Site::new(now).await;
    let kept = site.db.read(|tx| store::kept(tx, ADA)).await.unwrap().unwrap();
    assert!(site.key.open(&place(ADA), &kept.sealed).is_ok());
    assert!(site.key.open(&place(UserId(2)), &kept.sealed).is_err());
    assert!(!kept.sealed.windows(20).any(|part| part == site.app.secret().as_bytes()));
}

proptest::proptest! {
    #[test]
    fn any_text_may_be_brought_as_a_code(text in ".{0,200}") {
        let read = plain(&text);
        proptest::prop_assert!(read.chars().count() <= CODE_MAX);
        proptest::prop_assert_eq!(plain(&read), read);
    }
}

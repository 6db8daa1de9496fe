//! The SQLite engine: one writer thread that commits jobs in groups, and a few readers.
//!
//! Invariant: the file is its owner's alone and in WAL mode, with synchronous=FULL for every job. What a job means is not
//! known here.

mod group;
mod quick;
mod session;
mod snapshot;
#[cfg(test)]
mod tests;

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use async_channel::Receiver;

pub(super) use group::write_loop;
pub(super) use quick::Quick;
pub(super) use session::{Session, column};
pub use snapshot::{Kept, Snapshot};

use super::Engine;
use super::error::{DbError, busy};
use super::job::{Job, Message, Outcome, run_hooks};
use super::migrate::{self, Migration};
use super::tx::{Conn, Tx};
use crate::base::error::{Error, Result};

/// The connections to one file.
pub(super) struct Sessions {
    pub writer: Session,
    pub readers: Vec<Session>,
    pub quick: Quick,
}

/// Opens or creates the file (mode 0600) and brings its schema up to date.
pub(super) fn open(path: &Path, readers: usize, migrations: &[Migration]) -> Result<Sessions> {
    create(path)?;
    let refused = |cause: DbError| cannot_open(path, &cause.to_string());
    let writer = Session::open(path).map_err(refused)?;
    // A step that is lost with the machine's power is repeated at the next start; the first write that anybody is told of
    // makes all of them durable. Waiting for the disk after each would be most of a first start.
    writer.batch("PRAGMA synchronous = NORMAL").map_err(refused)?;
    while migrate_one(&writer, migrations)? {}
    writer.batch("PRAGMA synchronous = FULL").map_err(refused)?;
    let quick = Quick::open(path, readers).map_err(refused)?;
    let readers = (0..readers).map(|_| Session::open(path)?.read_only()).collect::<Result<Vec<_>, DbError>>();
    Ok(Sessions { writer, readers: readers.map_err(refused)?, quick })
}

/// A connection that changes nothing.
pub(super) fn look(path: &Path) -> Result<Session> {
    let opened = Session::look(path).and_then(|session| {
        // SQLite reads nothing before it is asked for something.
        session.each_row("SELECT count(*) FROM sqlite_schema", &[], &mut |_| true)?;
        Ok(session)
    });
    opened.map_err(|cause| {
        let sentence = format!("The database file {} cannot be read: {cause}.", path.display());
        Error::unavailable("database_unreachable", sentence)
    })
}

/// What SQLite says is wrong in the file, at most 20 sentences; None when it takes longer than `limit` to know.
pub(super) fn damage(path: &Path, limit: Duration) -> Result<Option<Vec<String>>> {
    let (session, mut problems) = (look(path)?, Vec::new());
    let (done, over) = session.bounded_by(limit, || {
        session.each_row("PRAGMA quick_check(20)", &[], &mut |row| {
            problems.extend(row.get::<String>(0).ok().filter(|text| text != "ok"));
            true
        })
    });
    match done {
        Ok(()) => Ok(Some(problems)),
        Err(_) if over => Ok(None),
        Err(cause) => Ok(Some(vec![cause.to_string()])),
    }
}

/// Makes the file for its owner alone. It is closed again before SQLite opens it: closing any descriptor of a file lets go
/// of all the locks that this process holds on it.
fn create(path: &Path) -> Result<()> {
    let file = std::fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path);
    let file = file.map_err(|cause| cannot_open(path, &cause.to_string()).caused_by(cause))?;
    Ok(file.set_permissions(std::fs::Permissions::from_mode(0o600))?)
}

/// Writes the log back and empties it, over a connection of its own.
pub(super) fn empty_log(path: &Path) -> Result<()> {
    let mut in_use = true;
    Session::open(path)?.each_row("PRAGMA wal_checkpoint(TRUNCATE)", &[], &mut |row| {
        in_use = row.get::<bool>(0).unwrap_or(true);
        true
    })?;
    if in_use { Err(busy()) } else { Ok(()) }
}

fn cannot_open(path: &Path, why: &str) -> Error {
    let sentence = format!(
        "The database file {} could not be opened: {why}. Check the data directory's owner and free space.",
        path.display()
    );
    Error::unavailable("database_unreachable", sentence)
}

/// Applies the next outstanding migration in its own transaction; false when there is none.
fn migrate_one(session: &Session, migrations: &[Migration]) -> Result<bool> {
    session.control("BEGIN IMMEDIATE")?;
    let mut tx = Tx::new(Conn::Sqlite(session));
    let done = migrate::step(&mut tx, Engine::Sqlite, migrations);
    let done = match done {
        Ok(_) if !session.in_transaction() => Err(Error::internal("a migration ended its own transaction")),
        Ok(applied) => session.control("COMMIT").map(|()| applied).map_err(Error::from),
        Err(error) => Err(error),
    };
    if done.is_err() {
        session.roll_back();
    }
    done
}

/// A reader's life: one job at a time, each on its own snapshot.
pub(super) fn read_loop(session: &Session, queue: &Receiver<Message>) {
    while let Ok(message) = queue.recv_blocking() {
        match message {
            Message::Close => break,
            Message::Run(job) if job.expired() => job.answer(Err(busy())),
            Message::Run(job) => read(session, job),
        }
    }
}

fn read(session: &Session, mut job: Box<dyn Job>) {
    if let Err(error) = session.control("BEGIN") {
        return job.answer(Err(error.into()));
    }
    let outcome = session.bounded(|| job.run(Conn::Sqlite(session)));
    session.roll_back();
    if let Outcome::Keep(hooks) = outcome {
        run_hooks(hooks);
    }
    job.answer(Ok(()));
}

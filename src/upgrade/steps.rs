//! The upgrade itself, and every way back.
//!
//! Invariant: whatever ends it, the site is left with a program and data that belong together: the new ones once they
//! answered, else the old ones.

use std::fs::File;
use std::path::PathBuf;

use super::checks::{ACCEPTABLE, Check, Checks, Verdict};
use super::journal::{Journal, Step};
use super::program::Program;
use super::service::{self, Server, Start};
use super::{Owner, Places, outcome, remove, saved};
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::base::minisign::PublicKey;
use crate::release::bundle;

/// What is to be upgraded, and with what.
#[derive(Clone)]
pub struct Options {
    pub bundle: PathBuf,
    /// Who may make releases.
    pub keys: Vec<PublicKey>,
    pub start: Start,
    pub data_dir: PathBuf,
    pub program: Program,
    pub is_on_postgres: bool,
    /// Checks whose failure is known and accepted.
    pub accepted: Vec<String>,
    pub clock: Clock,
}

/// A bundle that was unpacked and looked at. Nobody else upgrades this site while it is held.
pub struct Prepared {
    pub from: String,
    pub to: String,
    pub checks: Vec<Check>,
    options: Options,
    places: Places,
    _held: File,
}

/// Unpacks a bundle beside the data and looks whether the site can be upgraded with it.
///
/// # Errors
/// `release_bundle`, `upgrade_at_work`, `upgrade_unfinished`, `upgrade_disk`.
pub fn prepare(options: Options) -> Result<Prepared> {
    if let Some(other) = options.accepted.iter().find(|name| !ACCEPTABLE.contains(&name.as_str())) {
        let sentence = format!("{other} is no check that can be accepted. Those are: {}.", ACCEPTABLE.join(", "));
        return Err(Error::invalid("upgrade_accept", sentence));
    }
    let places = Places::beside(&options.data_dir)?;
    Owner::of(&options.data_dir)?;
    let _held = places.hold()?;
    if places.cut_off()?.is_some() {
        let sentence = "An upgrade was cut off. End it first: resoftai upgrade settle";
        return Err(Error::conflict("upgrade_unfinished", sentence));
    }
    let folder = places.bundle();
    remove(&folder)?;
    let packed = File::open(&options.bundle).map_err(|cause| {
        let sentence = format!("{} cannot be read: {cause}.", options.bundle.display());
        Error::invalid("release_bundle", sentence)
    })?;
    let looked = bundle::unpack(packed, &options.keys, &folder).and_then(|found| {
        let checks = Checks::new(&options, &places)?.all(&found)?;
        Ok((found, checks))
    });
    let (found, checks) = match looked {
        Ok(looked) => looked,
        Err(error) => {
            remove(&folder)?;
            return Err(error);
        }
    };
    Ok(Prepared { from: env!("CARGO_PKG_VERSION").to_owned(), to: found.version, checks, options, places, _held })
}

impl Prepared {
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|check| check.verdict != Verdict::Fail)
    }

    /// Lets go of what was unpacked.
    ///
    /// # Errors
    /// `upgrade_disk`.
    pub fn leave(self) -> Result<()> {
        remove(&self.places.bundle())
    }

    /// Puts the new version in place, and the old one back when anything fails; how it ended.
    ///
    /// # Errors
    /// When nothing was changed, and when the old version does not answer either.
    pub fn go(self, server: Server<'_>) -> Result<Journal> {
        let places = &self.places;
        let began_at = self.options.clock.now();
        let digits: String = began_at.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
        let name = places.data_dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut journal = Journal {
            from: self.from.clone(),
            to: self.to.clone(),
            step: Step::Saving,
            began_at,
            program: self.options.program.clone(),
            runs: !self.options.program.is_service || service::is_active("resoftai.service"),
            aside: places.data_dir.with_file_name(format!("{name}.failed-{}-{digits}", self.to)),
            why: None,
        };
        journal.program.keep(places)?;
        places.note(&journal)?;
        let saved = service::stop(&journal).and_then(|()| saved::save(places, Owner::of(&places.data_dir)?));
        if let Err(error) = saved {
            self.as_it_was(&journal, server)?;
            return Err(error);
        }
        journal.step = Step::Trying;
        places.note(&journal)?;
        let tried = journal
            .program
            .replace(places)
            .and_then(|()| outcome::leave(&journal, &places.data_dir))
            .and_then(|()| service::start(&journal, places, server, &journal.to));
        if let Err(error) = tried {
            return turn_back(places, journal, error.message().to_owned(), Some(server));
        }
        journal.step = Step::Upgraded;
        places.note(&journal)?;
        // What is left of it goes with the next one.
        drop(remove(&places.bundle()));
        Ok(journal)
    }

    /// Nothing but the server's rest was changed.
    fn as_it_was(&self, journal: &Journal, server: Server<'_>) -> Result<()> {
        let places = &self.places;
        places.drop_journal()?;
        remove(&places.data())?;
        if journal.program.is_service {
            service::start(journal, places, server, &journal.from)?;
        }
        Ok(())
    }
}

/// Puts the old program and the old data back. Without `server` the server is left to who starts it.
fn turn_back(places: &Places, mut journal: Journal, why: String, server: Option<Server<'_>>) -> Result<Journal> {
    journal.why = Some(why);
    journal.step = Step::Returning;
    places.note(&journal)?;
    if server.is_some() {
        service::stop(&journal)?;
    }
    journal.program.put_back(places)?;
    saved::put_back(places, &journal.aside)?;
    outcome::leave(&journal, &places.data_dir)?;
    journal.step = Step::Returned;
    places.note(&journal)?;
    drop(remove(&places.bundle()));
    if let Some(server) = server {
        service::start(&journal, places, server, &journal.from).map_err(|error| {
            let why = journal.why.as_deref().unwrap_or_default();
            let sentence = format!(
                "The upgrade failed ({why}), the program and the data of before are back, and do not start either: {} \
                 What the new version left lies in {}.",
                error.message(),
                journal.aside.display()
            );
            Error::unavailable("upgrade_return", sentence)
        })?;
    }
    Ok(journal)
}

/// What became of an upgrade that was cut off.
#[derive(Debug)]
pub enum Settled {
    /// There was none.
    Nothing,
    /// It had changed nothing yet.
    Unchanged,
    /// The old version is back.
    Returned(Box<Journal>),
}

/// Ends an upgrade that was cut off: the old version comes back. Without `server`, as when the machine starts, the server is left
/// to who starts it.
///
/// # Errors
/// `upgrade_at_work`, `upgrade_disk`, and when the old version does not start.
pub fn settle(places: &Places, server: Option<Server<'_>>) -> Result<Settled> {
    let _held = places.hold()?;
    let Some(journal) = places.cut_off()? else { return Ok(Settled::Nothing) };
    if journal.step == Step::Saving {
        if server.is_some() {
            // It may have been cut off before the server was stopped, or behind it.
            service::stop(&journal)?;
        }
        remove(&places.data())?;
        remove(&places.bundle())?;
        places.drop_journal()?;
        if let Some(server) = server.filter(|_| journal.program.is_service) {
            service::start(&journal, places, server, &journal.from)?;
        }
        return Ok(Settled::Unchanged);
    }
    let why = "It was cut off before the new version answered.".to_owned();
    turn_back(places, journal, why, server).map(|journal| Settled::Returned(Box::new(journal)))
}

/// Goes back to the version before the last upgrade, and to its data: what was written since is moved aside.
///
/// # Errors
/// `upgrade_no_return` when there is nothing to go back to; those of [`settle`].
pub fn go_back(places: &Places, server: Server<'_>) -> Result<Journal> {
    let _held = places.hold()?;
    let journal = returnable(places)?;
    if !journal.program.is_service && crate::kv::Kv::is_in_use(&places.data_dir.join("kv.redb")) {
        let sentence = format!("A server works in {}. Stop it first.", places.data_dir.display());
        return Err(Error::conflict("upgrade_in_use", sentence));
    }
    turn_back(places, journal, "An operator went back.".to_owned(), Some(server))
}

fn returnable(places: &Places) -> Result<Journal> {
    let last = places.last()?.filter(|last| last.step == Step::Upgraded && places.data().exists());
    last.ok_or_else(|| {
        let sentence = "There is no upgrade to go back from: none was made, it went back already, or what was there before \
                        was let go of. Restore a backup with the version that made it.";
        Error::conflict("upgrade_no_return", sentence)
    })
}

/// The last upgrade that came to its end, and whether there is a way back from it.
///
/// # Errors
/// `upgrade_journal`.
pub fn last(places: &Places) -> Result<Option<(Journal, bool)>> {
    Ok(places.last()?.map(|last| {
        let returnable = returnable(places).is_ok();
        (last, returnable)
    }))
}

/// Deletes the program and the data of before.
///
/// # Errors
/// `upgrade_at_work`, `upgrade_unfinished`, `upgrade_disk`.
pub fn forget(places: &Places) -> Result<()> {
    let _held = places.hold()?;
    if places.cut_off()?.is_some() {
        let sentence = "An upgrade was cut off. End it first: resoftai upgrade settle";
        return Err(Error::conflict("upgrade_unfinished", sentence));
    }
    remove(&places.data())?;
    remove(&places.previous())?;
    remove(&places.bundle())
}

//! The check at the source: every stored entry against its leaf, every tile against the one above, the root against the
//! signed checkpoint. What an outsider can do without us is `resoftai audit verify`.
//!
//! Invariant: a part of the check reads one snapshot and a bounded number of rows; the caller goes on with the cursor.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::hash::{Hash, TileId, WIDTH, fold, leaf_hash};
use super::note::Signer;
use super::store::{self, Place};
use super::{AuditLog, LogId};
use crate::audit;
use crate::base::error::{Error, Result};
use crate::db::Tx;

/// Leaves looked at in one part: a multiple of a tile.
const LEAVES: u64 = 64 * WIDTH as u64;
/// Entries looked at in one part.
const ENTRIES: i64 = 20_000;
/// Findings told of one part; more are counted.
const TOLD: usize = 100;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// The entry's bytes are not those that were hashed.
    Changed,
    /// The entry, or the record of its place, is gone.
    Missing,
    /// The entry has no place in the log: it was not written by the product, or moved here.
    Inserted,
    /// A stored hash or the checkpoint does not follow from the leaves.
    Tree,
}

/// Something that is not as the log says.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditFinding)]
pub struct Finding {
    pub wrong: Wrong,
    pub entry_id: Option<i64>,
    /// Zero-based.
    pub position: Option<u64>,
    /// Of a changed entry: sealed columns that do not open any more. Empty when the change is elsewhere, or their key is gone.
    pub columns: Vec<String>,
    /// A sentence for people.
    pub detail: String,
}

/// One part of the check of a log.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// Leaves that this part looked at.
    pub checked: u64,
    /// Leaves of the log.
    pub tree_size: u64,
    /// Entries of this part whose bodies retention has dropped; their hashes remain.
    pub dropped: u64,
    /// At most 100.
    pub findings: Vec<Finding>,
    /// How many more findings there were.
    pub untold: u64,
    /// Pass as `cursor` for the next part; null at the end.
    pub next_cursor: Option<String>,
}

impl Check {
    fn tell(&mut self, wrong: Wrong, entry_id: Option<i64>, position: Option<u64>, detail: impl Into<String>) {
        if self.findings.len() < TOLD {
            self.findings.push(Finding { wrong, entry_id, position, columns: Vec::new(), detail: detail.into() });
        } else {
            self.untold += 1;
        }
    }
}

/// Where a check goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// With the leaf at this place.
    Leaf(u64),
    /// With the upper tiles and the checkpoint.
    Tree,
    /// With the entries behind this id.
    Entry(i64),
}

impl Cursor {
    /// # Errors
    /// `invalid_cursor`.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(Self::Leaf(0)) };
        let read = match text.split_once('-') {
            None if text == "tree" => Some(Self::Tree),
            // A part begins with a tile.
            Some(("leaf", at)) => at.parse().ok().filter(|at: &u64| at.is_multiple_of(WIDTH as u64)).map(Self::Leaf),
            Some(("entry", id)) => id.parse().ok().map(Self::Entry),
            _ => None,
        };
        read.ok_or_else(|| {
            let message = "This cursor is not one a check gave. Start again without a cursor.";
            Error::invalid("invalid_cursor", message).field("cursor")
        })
    }

    fn text(self) -> String {
        match self {
            Self::Leaf(at) => format!("leaf-{at}"),
            Self::Tree => "tree".to_owned(),
            Self::Entry(id) => format!("entry-{id}"),
        }
    }
}

/// One part.
///
/// # Errors
/// When the database fails.
pub fn part(tx: &mut Tx<'_>, id: LogId, log: &AuditLog, signer: &Signer, cursor: Cursor) -> Result<Check> {
    let mut check = Check { tree_size: log.tree_size, ..Check::default() };
    let next = match cursor {
        Cursor::Leaf(from) => {
            let to = log.tree_size.min(from.saturating_add(LEAVES));
            leaves(tx, id, from..to, &mut check)?;
            Some(if to == log.tree_size { Cursor::Tree } else { Cursor::Leaf(to) })
        }
        Cursor::Tree => {
            upper_tiles(tx, id, log, &mut check)?;
            checkpoint(tx, id, log, signer, &mut check)?;
            Some(Cursor::Entry(i64::MIN))
        }
        Cursor::Entry(after) => entries(tx, id, after, &mut check)?,
    };
    for finding in check.findings.iter_mut().filter(|finding| finding.wrong == Wrong::Changed) {
        name_columns(tx, finding)?;
    }
    check.next_cursor = next.map(Cursor::text);
    Ok(check)
}

/// The hash is over the whole entry; but what is sealed does not open where a byte of it was changed.
fn name_columns(tx: &mut Tx<'_>, finding: &mut Finding) -> Result<()> {
    let Some(entry) = finding.entry_id else { return Ok(()) };
    let columns = audit::store::broken(tx, entry)?;
    if !columns.is_empty() {
        finding.detail.push_str(&format!(" Sealed, and not opening with its key any more: {}.", columns.join(", ")));
    }
    finding.columns = columns.into_iter().map(str::to_owned).collect();
    Ok(())
}

fn leaves(tx: &mut Tx<'_>, id: LogId, range: Range<u64>, check: &mut Check) -> Result<()> {
    let mut above = Above::default();
    for from in range.clone().step_by(WIDTH) {
        let to = range.end.min(from + WIDTH as u64);
        let number = from / WIDTH as u64;
        let stored = store::tile(tx, id, (0, number))?;
        let parent = if to - from == WIDTH as u64 { Some(above.hash(tx, id, (0, number))?) } else { None };
        let places = store::places(tx, id, from, to)?;
        compare(&stored, parent, from..to, &places, check);
    }
    check.checked = range.end.saturating_sub(range.start);
    Ok(())
}

/// A tile of leaves with the entries at its places. `parent` is what the tile above says of a full one.
fn compare(stored: &[Hash], parent: Option<Option<Hash>>, range: Range<u64>, places: &[Place], check: &mut Check) {
    let found: BTreeMap<u64, &Place> = places.iter().map(|place| (place.position, place)).collect();
    let hashes: Vec<Option<Hash>> = range
        .clone()
        .map(|position| found.get(&position)?.leaf.as_ref().map(|leaf| leaf_hash(leaf.as_bytes())))
        .collect();
    if parent.is_some_and(|parent| parent != Some(fold(stored))) || stored.len() as u64 != range.end - range.start {
        let whole: Option<Vec<Hash>> = hashes.iter().copied().collect();
        let detail = format!("The stored hashes of the entries from position {} on were changed.", range.start);
        check.tell(Wrong::Tree, None, Some(range.start), detail);
        if parent.is_some_and(|parent| parent == whole.as_deref().map(fold)) {
            return;
        }
    }
    for (at, position) in range.enumerate() {
        let Some(place) = found.get(&position) else {
            check.tell(Wrong::Missing, None, Some(position), format!("No entry is at position {position} any more."));
            continue;
        };
        match hashes[at] {
            Some(hash) if stored.get(at) == Some(&hash) => {}
            Some(_) => {
                let detail = format!("Entry {} is not what it was when it got position {position}.", place.entry);
                check.tell(Wrong::Changed, Some(place.entry), Some(position), detail);
            }
            None if place.dropped => check.dropped += 1,
            None => {
                let detail = format!("Entry {} at position {position} was deleted.", place.entry);
                check.tell(Wrong::Missing, Some(place.entry), Some(position), detail);
            }
        }
    }
}

/// Hashes of full tiles by the word of the tiles above, each of which is read once.
#[derive(Default)]
struct Above(Option<(TileId, Vec<Hash>)>);

impl Above {
    fn hash(&mut self, tx: &mut Tx<'_>, log: LogId, (level, number): TileId) -> Result<Option<Hash>> {
        let above = (level + 1, number / WIDTH as u64);
        if self.0.as_ref().is_none_or(|(tile, _)| *tile != above) {
            self.0 = Some((above, store::tile(tx, log, above)?));
        }
        Ok(self.0.as_ref().and_then(|(_, hashes)| hashes.get((number % WIDTH as u64) as usize)).copied())
    }
}

/// Full tiles of hashes of tiles.
fn upper_tiles(tx: &mut Tx<'_>, id: LogId, log: &AuditLog, check: &mut Check) -> Result<()> {
    let (mut level, mut full) = (1, log.tree_size >> 16);
    while full > 0 {
        let mut above = Above::default();
        for number in 0..full {
            let hashes = store::tile(tx, id, (level, number))?;
            if hashes.len() != WIDTH || above.hash(tx, id, (level, number))? != Some(fold(&hashes)) {
                check.tell(Wrong::Tree, None, None, format!("Tile {number} of level {level} was changed."));
            }
        }
        (level, full) = (level + 1, full >> 8);
    }
    Ok(())
}

fn checkpoint(tx: &mut Tx<'_>, id: LogId, log: &AuditLog, signer: &Signer, check: &mut Check) -> Result<()> {
    let verifier = signer.verifier(&log.origin);
    if verifier.to_string() != log.verifier_key {
        let detail = format!("The log says it is signed with another key than this server has: {}.", log.verifier_key);
        check.tell(Wrong::Tree, None, None, detail);
    }
    match verifier.open(&log.checkpoint) {
        Err(why) => check.tell(Wrong::Tree, None, None, format!("The checkpoint does not verify: {why}.")),
        Ok(signed) => {
            let root = match store::edge(tx, id, log.tree_size) {
                Ok(edge) => Some(edge.root()),
                Err(error) if error.code() == "audit_log_damaged" => None,
                Err(error) => return Err(error),
            };
            if signed.size != log.tree_size || root != Some(signed.root) {
                let detail = "The stored tiles do not give the root that the checkpoint has.";
                check.tell(Wrong::Tree, None, None, detail);
            }
        }
    }
    Ok(())
}

/// Entries without a place. Where to go on, when there are more.
fn entries(tx: &mut Tx<'_>, id: LogId, after: i64, check: &mut Check) -> Result<Option<Cursor>> {
    let found = store::belonging(tx, id, after, ENTRIES)?;
    for entry in found.iter().filter(|entry| !entry.known) {
        let detail = format!("Entry {} has no place in the log: it was put in from outside.", entry.entry);
        check.tell(Wrong::Inserted, Some(entry.entry), None, detail);
    }
    let more = found.len() as i64 == ENTRIES;
    Ok(found.last().filter(|_| more).map(|last| Cursor::Entry(last.entry)))
}

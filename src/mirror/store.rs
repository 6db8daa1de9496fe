//! All SQL of the mirror.
//!
//! Invariant: a state is switched in one transaction, with its audit entry, upon the state it was planned from; a plugin's
//! slug is in one repository at most.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use serde_json::json;

use super::verify::{Metadata, Pin, Trusted, Verified};
use super::{Content, Expiry, Kind, Owner, SWITCHED, State};
use crate::access::Permit;
use crate::access::actions::PluginInstall;
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::{DAY, Time};
use crate::base::error::{Error, Result};
use crate::db::{DbError, Row, Tx, Val, params};
use crate::jobs;
use crate::plugins::scanning;

/// How long a content that an import staged waits for the next attempt.
const PATIENCE: i64 = 30 * DAY;

/// A row of `mirror_repositories`.
#[derive(Debug, Clone)]
pub struct Kept {
    pub owner: Owner,
    /// SHA-256 of the root that was pinned.
    pub pinned_sha256: String,
    pub pinned_version: u64,
    pub pinned_at: Time,
    pub root_version: u64,
    pub root_expires: Time,
    /// None before the first import.
    pub state: Option<State>,
    pub imported_at: Option<Time>,
    /// Who that was, where it was somebody with an account.
    pub imported_by: Option<String>,
    pub revision: i64,
}

const REPOSITORY: &str = "SELECT m.name, m.pinned_sha256, m.pinned_version, m.pinned_at, m.root_version, m.root_expires, \
    m.timestamp_version, m.timestamp_expires, m.snapshot_version, m.snapshot_expires, m.targets_version, m.targets_expires, \
    m.imported_at, u.username, m.revision FROM mirror_repositories m LEFT JOIN users u ON u.id = m.imported_by";
const CONTENT: &str =
    "SELECT name, kind, slug, version, title, description, sha256, length, repository FROM mirror_contents";

fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

fn kept(value: u64) -> Result<i64, DbError> {
    i64::try_from(value).map_err(|_| DbError::Other(format!("{value} is more than a column holds")))
}

fn read(row: &Row<'_>) -> Result<Kept, DbError> {
    let name: String = row.get(0)?;
    let (root_version, root_expires) = (number(row.get(4)?), row.get(5)?);
    let timestamp: Option<i64> = row.get(6)?;
    let state = match timestamp {
        None => None,
        Some(timestamp) => Some(State {
            root_version,
            timestamp_version: number(timestamp),
            snapshot_version: number(row.get(8)?),
            targets_version: number(row.get(10)?),
            expires: Expiry {
                root: root_expires,
                timestamp: row.get(7)?,
                snapshot: row.get(9)?,
                targets: row.get(11)?,
            },
        }),
    };
    Ok(Kept {
        owner: Owner::parse(&name).map_err(|_| DbError::Other(format!("a repository is called {name}")))?,
        pinned_sha256: row.get(1)?,
        pinned_version: number(row.get(2)?),
        pinned_at: row.get(3)?,
        root_version,
        root_expires,
        state,
        imported_at: row.get(12)?,
        imported_by: row.get(13)?,
        revision: row.get(14)?,
    })
}

fn read_content(row: &Row<'_>) -> Result<Content, DbError> {
    let kind: String = row.get(1)?;
    Ok(Content {
        name: row.get(0)?,
        kind: Kind::parse(&kind).unwrap_or(Kind::Other),
        slug: row.get(2)?,
        version: row.get(3)?,
        title: row.get(4)?,
        description: row.get(5)?,
        sha256: row.get(6)?,
        length: number(row.get(7)?),
    })
}

/// Those that are trusted.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<Kept>> {
    Ok(tx.query_map(&format!("{REPOSITORY} ORDER BY m.name DESC"), &params![], read)?)
}

/// # Errors
/// `mirror_not_trusted` when no root was pinned.
pub fn find(tx: &mut Tx<'_>, owner: Owner) -> Result<Kept> {
    tx.query_row(&format!("{REPOSITORY} WHERE m.name = $1"), &params![owner.code()], read)?.ok_or_else(|| {
        let sentence = format!(
            "This site trusts no root for the repository `{}` yet. Bring its root.json, compare its fingerprint with who \
             made it, and pin it: resoftai mirror trust ROOT.json",
            owner.code()
        );
        Error::conflict("mirror_not_trusted", sentence)
    })
}

/// Every metadata file that is kept.
pub fn metadata(tx: &mut Tx<'_>, owner: Owner) -> Result<Metadata> {
    let sql = "SELECT name, content FROM mirror_metadata WHERE repository = $1";
    let rows: Vec<(String, String)> =
        tx.query_map(sql, &params![owner.code()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.into_iter().map(|(name, text)| (name, text.into())).collect())
}

/// One of them.
pub fn metadata_file(tx: &mut Tx<'_>, owner: Owner, name: &str) -> Result<Option<String>> {
    let sql = "SELECT content FROM mirror_metadata WHERE repository = $1 AND name = $2";
    Ok(tx.query_row(sql, &params![owner.code(), name], |row| row.get(0))?)
}

/// What is believed of a repository.
pub fn trusted(tx: &mut Tx<'_>, of: &Kept) -> Result<Trusted> {
    let metadata = metadata(tx, of.owner)?;
    let root = metadata.get(&format!("{}.root.json", of.root_version)).cloned();
    let root = root.ok_or_else(|| Error::internal(format!("the root {} is not kept", of.root_version)))?;
    Ok(Trusted { root, metadata })
}

/// Everything the current state lists.
pub fn contents(tx: &mut Tx<'_>, owner: Owner) -> Result<Vec<Content>> {
    Ok(tx.query_map(&format!("{CONTENT} WHERE repository = $1 ORDER BY name"), &params![owner.code()], read_content)?)
}

/// One content.
pub fn content(tx: &mut Tx<'_>, owner: Owner, name: &str) -> Result<Option<Content>> {
    let sql = format!("{CONTENT} WHERE repository = $1 AND name = $2");
    Ok(tx.query_row(&sql, &params![owner.code(), name], read_content)?)
}

/// What scans of plugins go by: advisories and rules, of both repositories.
pub fn for_scans(tx: &mut Tx<'_>) -> Result<Vec<Content>> {
    let sql = format!("{CONTENT} WHERE kind = 'advisory' ORDER BY name, repository");
    Ok(tx.query_map(&sql, &[], read_content)?)
}

/// Which contents are meant.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub owner: Option<Owner>,
    pub kind: Option<Kind>,
    /// A part of the name, title or description.
    pub part: Option<String>,
    /// The last that was shown.
    pub after: Option<(String, String)>,
    pub limit: i64,
}

/// By name; at most one more than the limit.
pub fn page(tx: &mut Tx<'_>, filter: &Filter) -> Result<Vec<(Owner, Content)>> {
    let mut values: Vec<Val> = params![filter.limit + 1].to_vec();
    let mut rules = vec!["TRUE".to_owned()];
    if let Some(owner) = filter.owner {
        values.push(owner.code().into());
        rules.push(format!("repository = ${}", values.len()));
    }
    if let Some(kind) = filter.kind {
        values.push(kind.code().into());
        rules.push(format!("kind = ${}", values.len()));
    }
    if let Some(part) = &filter.part {
        values.push(Val::within(&part.to_lowercase()));
        let at = values.len();
        rules.push(format!("words LIKE ${at} ESCAPE '!'"));
    }
    if let Some((name, owner)) = &filter.after {
        values.extend([name.as_str().into(), owner.as_str().into()]);
        rules.push(format!("(name, repository) > (${}, ${})", values.len() - 1, values.len()));
    }
    let sql = format!("{CONTENT} WHERE {} ORDER BY name, repository LIMIT $1", rules.join(" AND "));
    let rows = tx.query_map(&sql, &values, |row| Ok((row.get::<String>(8)?, read_content(row)?)))?;
    rows.into_iter().map(|(owner, content)| Ok((Owner::parse(&owner)?, content))).collect()
}

/// How many contents of each kind a repository lists, and their bytes.
pub fn counts(tx: &mut Tx<'_>, owner: Owner) -> Result<Vec<(Kind, i64, i64)>> {
    let sql = "SELECT kind, COUNT(*), CAST(SUM(length) AS BIGINT) FROM mirror_contents WHERE repository = $1 \
               GROUP BY kind ORDER BY kind";
    let rows: Vec<(String, i64, i64)> =
        tx.query_map(sql, &params![owner.code()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.into_iter().map(|(kind, count, bytes)| (Kind::parse(&kind).unwrap_or(Kind::Other), count, bytes)).collect())
}

/// What the trail keeps of a repository.
#[derive(Serialize)]
struct Shown<'a> {
    root: &'a str,
    state: Option<State>,
}

/// Trusts a root. A repository that is trusted already is only replaced, with all it lists, when `replace` says so.
///
/// # Errors
/// `mirror_has_root`.
pub fn pin(
    tx: &mut Tx<'_>,
    permit: &Permit<PluginInstall>,
    now: Time,
    owner: Owner,
    (pin, text): (&Pin, &str),
    replace: bool,
) -> Result<Kept> {
    let before = match find(tx, owner) {
        Ok(kept) => Some(kept),
        Err(error) if error.code() == "mirror_not_trusted" => None,
        Err(error) => return Err(error),
    };
    if let Some(kept) = before.as_ref().filter(|_| !replace) {
        let sentence = format!(
            "This site trusts a root for `{}` already, {}. A new one of the same repository comes with its bundles. To \
             trust another repository instead, and forget what this one listed, say replace.",
            owner.code(),
            kept.pinned_sha256
        );
        return Err(Error::conflict("mirror_has_root", sentence).field("replace"));
    }
    tx.execute("DELETE FROM mirror_repositories WHERE name = $1", &params![owner.code()])?;
    if before.is_some() {
        jobs::enqueue(tx, now, SWITCHED, &json!({}))?;
    }
    let sql = "INSERT INTO mirror_repositories (name, pinned_sha256, pinned_version, pinned_at, root_version, root_expires, \
               revision) VALUES ($1, $2, $3, $4, $3, $5, $6)";
    let revision = before.as_ref().map_or(1, |kept| kept.revision + 1);
    let (version, sha256) = (kept(pin.version)?, pin.sha256.as_str());
    tx.execute(sql, &params![owner.code(), sha256, version, now, pin.expires, revision])?;
    insert_metadata(tx, owner, &format!("{}.root.json", pin.version), text)?;
    let event = Event::new(AuditAction::Update, "mirror", format!("trusted the root {sha256} for {}", owner.code()));
    let event = event.id(owner.code()).after(&Shown { root: sha256, state: None });
    let event = match &before {
        Some(before) => event.before(&Shown { root: &before.pinned_sha256, state: before.state }),
        None => event,
    };
    audit::record(tx, now, permit.caller(), &event)?;
    find(tx, owner)
}

fn insert_metadata(tx: &mut Tx<'_>, owner: Owner, name: &str, text: &str) -> Result<(), DbError> {
    let sql = "INSERT INTO mirror_metadata (repository, name, content) VALUES ($1, $2, $3)";
    tx.execute(sql, &params![owner.code(), name, text]).map(drop)
}

/// Whether it was not noted before that this was told; forgets what was told of other states.
pub fn note_told(tx: &mut Tx<'_>, owner: Owner, expires: Time, mark: &str, now: Time) -> Result<bool> {
    let sql = "DELETE FROM mirror_told WHERE repository = $1 AND expires_at <> $2";
    tx.execute(sql, &params![owner.code(), expires])?;
    let sql = "INSERT INTO mirror_told (repository, expires_at, mark, told_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (repository, expires_at, mark) DO NOTHING";
    Ok(tx.execute(sql, &params![owner.code(), expires, mark, now])? == 1)
}

/// Says that contents with these hashes are about to be staged, so that nothing sweeps them; forgets what was never
/// switched to.
pub fn want(tx: &mut Tx<'_>, now: Time, hashes: &[String]) -> Result<()> {
    tx.execute("DELETE FROM mirror_wanted WHERE wanted_at < $1", &params![now.plus(-PATIENCE)])?;
    let sql = "INSERT INTO mirror_wanted (sha256, wanted_at) VALUES ($1, $2) \
               ON CONFLICT (sha256) DO UPDATE SET wanted_at = $2";
    for hash in hashes {
        tx.execute(sql, &params![hash.as_str(), now])?;
    }
    Ok(())
}

/// Those of the hashes that begin with `digits` whose contents are listed or wanted.
pub fn named(tx: &mut Tx<'_>, digits: &str) -> Result<HashSet<String>, DbError> {
    // Behind every hexadecimal digit, in any collation.
    let end = format!("{digits}g");
    let sql = "SELECT sha256 FROM mirror_contents WHERE sha256 >= $1 AND sha256 < $2 \
               UNION SELECT sha256 FROM mirror_wanted WHERE sha256 >= $1 AND sha256 < $2";
    Ok(tx.query_map(sql, &params![digits, end], |row| row.get(0))?.into_iter().collect())
}

/// Makes `new` the current state, whose contents are all staged, upon the one that `before` tells of.
///
/// # Errors
/// `mirror_changed` when another state came in between; `mirror_slug_taken`.
pub fn switch(
    tx: &mut Tx<'_>,
    permit: &Permit<PluginInstall>,
    now: Time,
    before: &Kept,
    new: &Verified,
    warning: Option<&str>,
) -> Result<Kept> {
    let (owner, state) = (before.owner, &new.state);
    let sql = "UPDATE mirror_repositories SET root_version = $3, root_expires = $4, timestamp_version = $5, \
               timestamp_expires = $6, snapshot_version = $7, snapshot_expires = $8, targets_version = $9, \
               targets_expires = $10, imported_at = $11, imported_by = $12, revision = revision + 1 \
               WHERE name = $1 AND revision = $2";
    let changed = tx.execute(
        sql,
        &params![
            owner.code(),
            before.revision,
            kept(state.root_version)?,
            state.expires.root,
            kept(state.timestamp_version)?,
            state.expires.timestamp,
            kept(state.snapshot_version)?,
            state.expires.snapshot,
            kept(state.targets_version)?,
            state.expires.targets,
            now,
            permit.caller().user.map(|user| user.0),
        ],
    )?;
    if changed != 1 {
        let sentence = "Another state came in while this one was read. Import again.";
        return Err(Error::conflict("mirror_changed", sentence));
    }
    let scanned_with = for_scans(tx)?;
    tx.execute("DELETE FROM mirror_metadata WHERE repository = $1", &params![owner.code()])?;
    for (name, bytes) in &new.metadata {
        insert_metadata(tx, owner, name, &String::from_utf8_lossy(bytes))?;
    }
    replace_contents(tx, owner, &new.contents)?;
    if for_scans(tx)? != scanned_with {
        scanning::enqueue(tx, now)?;
    }
    refuse_taken_slugs(tx, owner)?;
    jobs::enqueue(tx, now, SWITCHED, &json!({}))?;
    tx.execute("DELETE FROM mirror_wanted WHERE sha256 IN (SELECT sha256 FROM mirror_contents)", &params![])?;
    let from = before.state.map_or_else(|| "nothing".to_owned(), |state| format!("state {}", state.timestamp_version));
    let mut words =
        format!("imported state {} of the repository {} over {from}", state.timestamp_version, owner.code());
    if let Some(warning) = warning {
        words = format!("{words}. {warning}");
    }
    let event = Event::new(AuditAction::Update, "mirror", words).id(owner.code());
    let event = event.before(&Shown { root: &before.pinned_sha256, state: before.state });
    audit::record(tx, now, permit.caller(), &event.after(&Shown { root: &before.pinned_sha256, state: Some(*state) }))?;
    find(tx, owner)
}

fn replace_contents(tx: &mut Tx<'_>, owner: Owner, new: &[Content]) -> Result<()> {
    let before: BTreeMap<String, Content> =
        contents(tx, owner)?.into_iter().map(|content| (content.name.clone(), content)).collect();
    let listed: HashSet<&str> = new.iter().map(|content| content.name.as_str()).collect();
    for name in before.keys().filter(|name| !listed.contains(name.as_str())) {
        let sql = "DELETE FROM mirror_contents WHERE repository = $1 AND name = $2";
        tx.execute(sql, &params![owner.code(), name.as_str()])?;
    }
    let sql = "INSERT INTO mirror_contents (repository, name, kind, slug, version, title, description, words, sha256, length) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
               ON CONFLICT (repository, name) DO UPDATE SET title = $6, description = $7, words = $8, sha256 = $9, length = $10";
    for content in new.iter().filter(|content| before.get(&content.name) != Some(content)) {
        let words = format!("{} {} {}", content.name, content.title, content.description).to_lowercase();
        tx.execute(
            sql,
            &params![
                owner.code(),
                content.name.as_str(),
                content.kind.code(),
                content.slug.clone(),
                content.version.clone(),
                content.title.as_str(),
                content.description.as_str(),
                words,
                content.sha256.as_str(),
                kept(content.length)?,
            ],
        )?;
    }
    Ok(())
}

fn refuse_taken_slugs(tx: &mut Tx<'_>, owner: Owner) -> Result<()> {
    let sql = "SELECT a.slug FROM mirror_contents a WHERE a.repository = $1 AND a.slug IS NOT NULL AND EXISTS \
               (SELECT 1 FROM mirror_contents b WHERE b.repository <> $1 AND b.slug = a.slug) LIMIT 1";
    let taken: Option<String> = tx.query_row(sql, &params![owner.code()], |row| row.get(0))?;
    let Some(slug) = taken else { return Ok(()) };
    let sentence = format!(
        "The plugin {slug} is in the site's other repository, and a repository cannot take over what another one has. \
         Rename the one that came later."
    );
    Err(Error::conflict("mirror_slug_taken", sentence))
}

/// Notes that something was refused.
///
/// # Errors
/// When the database fails.
pub fn note_refusal(
    tx: &mut Tx<'_>,
    permit: &Permit<PluginInstall>,
    now: Time,
    owner: Owner,
    refused: &Error,
) -> Result<()> {
    let event =
        Event::new(AuditAction::Update, "mirror", format!("an import was refused ({}): {refused}", refused.code()));
    let event = event.id(owner.code()).after(&json!({"refused": refused.code()})).failed();
    audit::record(tx, now, permit.caller(), &event)
}

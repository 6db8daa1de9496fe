//! All SQL of files and their versions.
//!
//! Invariant: every statement is bounded to a project or file whose place the permit was checked against.

use std::collections::HashSet;

use super::{FileVersion, MAX_FILES, MAX_VERSIONS, ProjectFile, StagedFile};
use crate::access::actions::{ProjectRead, ProjectUpdate};
use crate::access::{Action, Caller, OrgId, Permit, TeamId, UserId};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Kind, Result};
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, params};
use crate::hooks::{Hook, Hooks};
use crate::projects::findings::SeverityCounts;
use crate::projects::path::ProjectPath;
use crate::projects::{Project, ProjectId, quality, store as projects, telling};
use crate::quotas::{self, Owner, Resource};

const COLUMNS: &str = "id, project_id, path, language, size, version, sha256, created_at, updated_at, updated_by, \
    (SELECT count(*) FROM findings WHERE findings.file_id = files.id AND findings.severity = 'low'), \
    (SELECT count(*) FROM findings WHERE findings.file_id = files.id AND findings.severity = 'medium'), \
    (SELECT count(*) FROM findings WHERE findings.file_id = files.id AND findings.severity = 'high'), \
    (SELECT count(*) FROM findings WHERE findings.file_id = files.id AND findings.severity = 'critical')";

/// Writes a file: makes it, or adds a version; the content it has already adds none. Audits it and tells plugins.
///
/// # Errors
/// `version_conflict` when `expected` is not its latest version; `path_taken`, `too_many_files`, `too_many_versions`.
pub fn write<A: Action>(
    tx: &mut Tx<'_>,
    (permit, hooks): (&Permit<A>, &Hooks),
    now: Time,
    project: &Project,
    file: &StagedFile,
    expected: Option<i64>,
) -> Result<ProjectFile> {
    permit.require_place(project.place(), "project")?;
    let Some(before) = by_key(tx, project.id, file.path.key())? else {
        let made = make(tx, permit, now, project, file)?;
        tell(tx, (permit, hooks), Hook::FileCreateAfter, project, &made);
        return Ok(made);
    };
    let after = add_version(tx, permit, now, project, &before, file, expected)?;
    if after.version != before.version {
        tell(tx, (permit, hooks), Hook::FileUpdateAfter, project, &after);
    }
    Ok(after)
}

fn tell<A: Action>(
    tx: &mut Tx<'_>,
    (permit, hooks): (&Permit<A>, &Hooks),
    hook: Hook,
    project: &Project,
    file: &ProjectFile,
) {
    hooks.tell_after(tx, hook, OrgId(project.organization_id), || telling::file(project, file, permit.caller()));
}

/// Makes a file that must not be there yet.
///
/// # Errors
/// `path_taken`, `too_many_files`.
pub fn create<A: Action>(
    tx: &mut Tx<'_>,
    (permit, hooks): (&Permit<A>, &Hooks),
    now: Time,
    project: &Project,
    file: &StagedFile,
) -> Result<ProjectFile> {
    permit.require_place(project.place(), "project")?;
    if let Some(there) = by_key(tx, project.id, file.path.key())? {
        return Err(taken(&file.path, &format!("The file {} is there", there.path)));
    }
    let made = make(tx, permit, now, project, file)?;
    tell(tx, (permit, hooks), Hook::FileCreateAfter, project, &made);
    Ok(made)
}

fn make<A: Action>(
    tx: &mut Tx<'_>,
    permit: &Permit<A>,
    now: Time,
    project: &Project,
    file: &StagedFile,
) -> Result<ProjectFile> {
    let count =
        tx.query_row("SELECT count(*) FROM files WHERE project_id = $1", &params![project.id], |row| row.get(0))?;
    if count.unwrap_or(0) >= MAX_FILES {
        let sentence = format!("The project has {MAX_FILES} files, the most there may be. Delete some first.");
        return Err(Error::new(Kind::Limited, "too_many_files", sentence));
    }
    free_of_folders(tx, project.id, &file.path)?;
    let (id, by) = (tx.next_id()?, permit.caller().actor.name.as_str());
    let inserted = tx.savepoint(|tx| {
        tx.execute(
            "INSERT INTO files (id, project_id, path, path_key, language, size, version, sha256, created_at, updated_at, \
             updated_by) VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $8, $9)",
            &params![
                id,
                project.id,
                file.path.as_str(),
                file.path.key(),
                file.language.clone(),
                file.size,
                &file.sha256,
                now,
                by
            ],
        )
    });
    match inserted {
        Err(DbError::Unique(_)) => return Err(taken(&file.path, "Somebody else just made that file")),
        other => other?,
    };
    insert_version(tx, permit, project, id, 1, file, now)?;
    let made = by_id(tx, id)?.ok_or_else(|| Error::not_found("file"))?;
    record(tx, permit, now, project, AuditAction::Create, None, Some(&made))?;
    Ok(made)
}

/// Whether the file still has the version that a change was made on.
///
/// # Errors
/// `version_conflict`.
pub fn check_version(file: &ProjectFile, expected: Option<i64>) -> Result<()> {
    match expected {
        Some(expected) if expected != file.version => Err(conflict(file, expected)),
        _ => Ok(()),
    }
}

fn add_version<A: Action>(
    tx: &mut Tx<'_>,
    permit: &Permit<A>,
    now: Time,
    project: &Project,
    before: &ProjectFile,
    file: &StagedFile,
    expected: Option<i64>,
) -> Result<ProjectFile> {
    check_version(before, expected)?;
    if before.sha256 == file.sha256 && before.path == file.path.as_str() {
        return Ok(before.clone());
    }
    if before.version >= MAX_VERSIONS {
        let sentence = format!(
            "{} has {MAX_VERSIONS} versions, the most a file may have. Delete it and make it anew.",
            before.path
        );
        return Err(Error::new(Kind::Limited, "too_many_versions", sentence));
    }
    let (version, by) = (before.version + 1, permit.caller().actor.name.as_str());
    let changed = tx.execute(
        "UPDATE files SET path = $2, language = $3, size = $4, version = $5, sha256 = $6, updated_at = $7, updated_by = $8 \
         WHERE id = $1 AND version = $9",
        &params![
            before.id,
            file.path.as_str(),
            file.language.clone(),
            file.size,
            version,
            &file.sha256,
            now,
            by,
            before.version
        ],
    )?;
    if changed == 0 {
        return Err(conflict(before, before.version));
    }
    insert_version(tx, permit, project, before.id, version, file, now)?;
    // They are about a content that is no longer the latest.
    tx.execute("DELETE FROM findings WHERE file_id = $1", &params![before.id])?;
    quality::store::forget_scores(tx, before.id)?;
    let after = by_id(tx, before.id)?.ok_or_else(|| Error::not_found("file"))?;
    record(tx, permit, now, project, AuditAction::Update, Some(before), Some(&after))?;
    Ok(after)
}

/// Makes an older version the latest, as a new one.
///
/// # Errors
/// `not_found`.
pub fn restore(
    tx: &mut Tx<'_>,
    (permit, hooks): (&Permit<ProjectUpdate>, &Hooks),
    now: Time,
    id: i64,
    version: i64,
) -> Result<(Project, ProjectFile)> {
    let (project, file) = find(tx, permit, id)?;
    let old = self::version(tx, id, version)?;
    let path = ProjectPath::parse(&file.path)?;
    let staged = StagedFile { path, sha256: old.sha256, size: old.size, language: file.language.clone() };
    let restored = add_version(tx, permit, now, &project, &file, &staged, None)?;
    if restored.version != file.version {
        tell(tx, (permit, hooks), Hook::FileUpdateAfter, &project, &restored);
    }
    Ok((project, restored))
}

/// Deletes a file with its versions and findings.
///
/// # Errors
/// `not_found`.
pub fn delete(tx: &mut Tx<'_>, (permit, hooks): (&Permit<ProjectUpdate>, &Hooks), now: Time, id: i64) -> Result<()> {
    let (project, file) = find(tx, permit, id)?;
    give_back(tx, now, &project, Some(id))?;
    tx.execute("DELETE FROM files WHERE id = $1", &params![id])?;
    tell(tx, (permit, hooks), Hook::FileDeleteAfter, &project, &file);
    record(tx, permit, now, &project, AuditAction::Delete, Some(&file), None)
}

/// A file of a project the permit covers, and the project.
///
/// # Errors
/// `not_found`, also when it belongs to somebody else.
pub fn find<A: Action>(tx: &mut Tx<'_>, permit: &Permit<A>, id: i64) -> Result<(Project, ProjectFile)> {
    let file = by_id(tx, id)?.ok_or_else(|| Error::not_found("file"))?;
    let project = projects::find(tx, permit, ProjectId(file.project_id)).map_err(|_| Error::not_found("file"))?;
    Ok((project, file))
}

/// A page of a project's files, newest first.
///
/// # Errors
/// `not_found` when the project is none the permit covers.
pub fn list(tx: &mut Tx<'_>, permit: &Permit<ProjectRead>, project: ProjectId, page: Page) -> Result<Vec<ProjectFile>> {
    projects::find(tx, permit, project)?;
    let sql = format!("SELECT {COLUMNS} FROM files WHERE project_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    Ok(tx.query_map(&sql, &params![project, page.before, page.fetch()], read)?)
}

/// All files of a project by path; at most [`MAX_FILES`].
pub fn list_paths(tx: &mut Tx<'_>, project: ProjectId) -> Result<Vec<ProjectFile>> {
    let sql = format!("SELECT {COLUMNS} FROM files WHERE project_id = $1 ORDER BY path_key LIMIT $2");
    Ok(tx.query_map(&sql, &params![project, MAX_FILES], read)?)
}

/// The paths of all files of a project; at most [`MAX_FILES`].
///
/// # Errors
/// When the database fails.
pub fn paths(tx: &mut Tx<'_>, project: ProjectId) -> Result<Vec<String>, DbError> {
    let sql = "SELECT path FROM files WHERE project_id = $1 LIMIT $2";
    tx.query_map(sql, &params![project, MAX_FILES], |row| row.get(0))
}

/// A page of a file's versions, latest first.
pub fn versions(tx: &mut Tx<'_>, permit: &Permit<ProjectRead>, id: i64, page: Page) -> Result<Vec<FileVersion>> {
    find(tx, permit, id)?;
    let sql = "SELECT version, size, sha256, created_at, created_by FROM file_versions \
               WHERE file_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3";
    Ok(tx.query_map(sql, &params![id, page.before, page.fetch()], read_version)?)
}

/// One version of a file.
///
/// # Errors
/// `not_found`.
pub fn version(tx: &mut Tx<'_>, id: i64, version: i64) -> Result<FileVersion> {
    let sql =
        "SELECT version, size, sha256, created_at, created_by FROM file_versions WHERE file_id = $1 AND version = $2";
    let found = tx.query_row(sql, &params![id, version], read_version)?;
    found.ok_or_else(|| Error::not_found(format!("version {version} of this file")))
}

/// Keeps a version and counts its bytes against the quotas that hold.
fn insert_version<A: Action>(
    tx: &mut Tx<'_>,
    permit: &Permit<A>,
    project: &Project,
    id: i64,
    version: i64,
    file: &StagedFile,
    now: Time,
) -> Result<()> {
    let Caller { actor, user, .. } = permit.caller();
    let team = project.team_id.map(TeamId);
    let owner = Owner::org(OrgId(project.organization_id)).team(team).person(*user);
    quotas::take(tx, now, &owner, Resource::Storage, file.size)?;
    tx.execute(
        "INSERT INTO file_versions (file_id, version, sha256, size, created_at, created_by, created_by_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &params![id, version, &file.sha256, file.size, now, actor.name.as_str(), user.map(|user| user.0)],
    )?;
    Ok(())
}

/// The hashes that begin with `digits` and that a version of some file names.
///
/// # Errors
/// When the database fails.
pub fn named(tx: &mut Tx<'_>, digits: &str) -> Result<HashSet<String>, DbError> {
    // Behind every hexadecimal digit, in any collation.
    let end = format!("{digits}g");
    let sql = "SELECT DISTINCT sha256 FROM file_versions WHERE sha256 >= $1 AND sha256 < $2";
    Ok(tx.query_map(sql, &params![digits, end], |row| row.get(0))?.into_iter().collect())
}

/// The bytes of all versions of a project's files.
///
/// # Errors
/// When the database fails.
pub fn stored(tx: &mut Tx<'_>, project: &Project) -> Result<i64> {
    let sql = "SELECT CAST(COALESCE(SUM(v.size), 0) AS BIGINT) FROM file_versions v \
               JOIN files f ON f.id = v.file_id WHERE f.project_id = $1";
    Ok(tx.query_row(sql, &params![project.id], |row| row.get(0))?.unwrap_or(0))
}

/// Gives back the bytes of a file's versions, or of all of a project's, which are about to be deleted.
///
/// # Errors
/// When the database fails.
pub fn give_back(tx: &mut Tx<'_>, now: Time, project: &Project, file: Option<i64>) -> Result<()> {
    let stored: Vec<(Option<i64>, i64)> = tx.query_map(
        "SELECT v.created_by_id, CAST(SUM(v.size) AS BIGINT) FROM file_versions v JOIN files f ON f.id = v.file_id \
         WHERE f.project_id = $1 AND f.id = COALESCE($2, f.id) GROUP BY v.created_by_id",
        &params![project.id, file],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    for (user, bytes) in stored {
        let team = project.team_id.map(TeamId);
        let owner = Owner::org(OrgId(project.organization_id)).team(team).person(user.map(UserId));
        quotas::give_back(tx, now, &owner, Resource::Storage, bytes, project.created_at)?;
    }
    Ok(())
}

/// No folder of the path may be a file, and the path itself no folder.
fn free_of_folders(tx: &mut Tx<'_>, project: ProjectId, path: &ProjectPath) -> Result<()> {
    for folder in path.folder_keys() {
        if let Some(there) = by_key(tx, project, folder)? {
            return Err(taken(path, &format!("{} is a file, so it cannot be a folder", there.path)));
        }
    }
    let below = format!("{}/", path.key());
    let length = i64::try_from(below.chars().count()).unwrap_or(i64::MAX);
    let sql = "SELECT path FROM files WHERE project_id = $1 AND substr(path_key, 1, $2) = $3 LIMIT 1";
    let there: Option<String> = tx.query_row(sql, &params![project, length, below], |row| row.get(0))?;
    there.map_or(Ok(()), |there| Err(taken(path, &format!("It is a folder, for the file {there} is in it"))))
}

fn taken(path: &ProjectPath, why: &str) -> Error {
    let sentence = format!("{why}. `{}` was not written; choose another path, or change that file.", path.as_str());
    Error::conflict("path_taken", sentence).field("path")
}

fn conflict(file: &ProjectFile, expected: i64) -> Error {
    let sentence = format!(
        "{} is at version {} by {}, not at {expected}. Read it again, put your change into it, and send that.",
        file.path, file.version, file.updated_by
    );
    Error::conflict("version_conflict", sentence).field("expected_version")
}

fn record<A: Action>(
    tx: &mut Tx<'_>,
    permit: &Permit<A>,
    now: Time,
    project: &Project,
    action: AuditAction,
    before: Option<&ProjectFile>,
    after: Option<&ProjectFile>,
) -> Result<()> {
    let Some(file) = after.or(before) else { return Ok(()) };
    let (did, more) = match action {
        AuditAction::Create => ("Created", 1),
        AuditAction::Delete => ("Deleted", -1),
        _ => ("Changed", 0),
    };
    let words = format!("{did} file {} of project {}", file.path, project.name);
    let mut event = Event::new(action, "file", words).id(file.id).org(OrgId(project.organization_id));
    if let Some(before) = before {
        event = event.before(before);
    }
    if let Some(after) = after {
        event = event.after(after);
    }
    projects::touch(tx, project.id, now, more)?;
    audit::record(tx, now, permit.caller(), &event)
}

/// The file at this key of [`ProjectPath`], for who may see the project.
///
/// # Errors
/// When the database fails.
pub fn by_key(tx: &mut Tx<'_>, project: ProjectId, key: &str) -> Result<Option<ProjectFile>> {
    let sql = format!("SELECT {COLUMNS} FROM files WHERE project_id = $1 AND path_key = $2");
    Ok(tx.query_row(&sql, &params![project, key], read)?)
}

/// The file with this id; who may see it is asked by whoever calls this.
///
/// # Errors
/// When the database fails.
pub fn by_id(tx: &mut Tx<'_>, id: i64) -> Result<Option<ProjectFile>> {
    Ok(tx.query_row(&format!("SELECT {COLUMNS} FROM files WHERE id = $1"), &params![id], read)?)
}

fn read(row: &Row<'_>) -> Result<ProjectFile, DbError> {
    Ok(ProjectFile {
        id: row.get(0)?,
        project_id: row.get(1)?,
        path: row.get(2)?,
        language: row.get(3)?,
        size: row.get(4)?,
        version: row.get(5)?,
        sha256: row.get(6)?,
        created_at: row.get(7)?,
        updated_at: row.get(8)?,
        updated_by: row.get(9)?,
        findings: SeverityCounts {
            low: row.get(10)?,
            medium: row.get(11)?,
            high: row.get(12)?,
            critical: row.get(13)?,
        },
    })
}

fn read_version(row: &Row<'_>) -> Result<FileVersion, DbError> {
    Ok(FileVersion {
        version: row.get(0)?,
        size: row.get(1)?,
        sha256: row.get(2)?,
        created_at: row.get(3)?,
        created_by: row.get(4)?,
    })
}

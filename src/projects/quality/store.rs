//! All SQL of scores and of analyses that somebody asked for.

use super::{AnalysisRun, AnalysisStatus, FileScore, MOST_WORST};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::{DbError, Row, Tx, params};
use crate::projects::ProjectId;
use crate::projects::files::ProjectFile;
use crate::projects::findings::SeverityCounts;

const COLUMNS: &str = "project_id, number, status, files, files_done, error, started_at, finished_at";

/// Notes what a plugin makes of the file's latest version.
pub fn keep_score(tx: &mut Tx<'_>, file: i64, plugin: &str, score: f64) -> Result<()> {
    tx.execute(
        "INSERT INTO file_scores (file_id, plugin, score) VALUES ($1, $2, $3) \
         ON CONFLICT (file_id, plugin) DO UPDATE SET score = $3",
        &params![file, plugin, score],
    )?;
    Ok(())
}

/// Forgets what was made of a version that is no longer the latest.
pub fn forget_scores(tx: &mut Tx<'_>, file: i64) -> Result<()> {
    tx.execute("DELETE FROM file_scores WHERE file_id = $1", &params![file])?;
    Ok(())
}

/// How many files plugins looked at, and the mean of their scores.
pub fn score(tx: &mut Tx<'_>, project: ProjectId) -> Result<(i64, Option<f64>)> {
    let sql = "SELECT count(*), AVG(lowest) FROM (SELECT MIN(s.score) AS lowest FROM file_scores s \
               JOIN files f ON f.id = s.file_id WHERE f.project_id = $1 GROUP BY s.file_id) per_file";
    let found = tx.query_row(sql, &params![project], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.unwrap_or((0, None)))
}

/// The files with the lowest scores, the lowest first.
pub fn worst(tx: &mut Tx<'_>, project: ProjectId) -> Result<Vec<FileScore>> {
    let sql = "SELECT f.id, f.path, MIN(s.score) FROM file_scores s JOIN files f ON f.id = s.file_id \
               WHERE f.project_id = $1 GROUP BY f.id, f.path ORDER BY MIN(s.score), f.path LIMIT $2";
    let read = |row: &Row<'_>| Ok(FileScore { file_id: row.get(0)?, path: row.get(1)?, score: row.get(2)? });
    Ok(tx.query_map(sql, &params![project, MOST_WORST], read)?)
}

/// How many findings a project has, by severity.
pub fn findings(tx: &mut Tx<'_>, project: ProjectId) -> Result<SeverityCounts> {
    let sql = "SELECT severity, count(*) FROM findings WHERE project_id = $1 GROUP BY severity";
    let rows: Vec<(String, i64)> = tx.query_map(sql, &params![project], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let of = |severity: &str| rows.iter().find(|(own, _)| own == severity).map_or(0, |(_, count)| *count);
    Ok(SeverityCounts { low: of("low"), medium: of("medium"), high: of("high"), critical: of("critical") })
}

/// Begins an analysis of `files` files; `number` is its own.
///
/// # Errors
/// `analysis_active` while another one of the project is going.
pub fn begin(
    tx: &mut Tx<'_>,
    now: Time,
    project: ProjectId,
    number: i64,
    paths: Option<String>,
    files: i64,
) -> Result<AnalysisRun> {
    let begun = tx.execute(
        "INSERT INTO analyses (project_id, number, status, paths, files, files_done, last_file_id, error, started_at, \
         finished_at) VALUES ($1, $2, 'running', $3, $4, 0, 0, NULL, $5, NULL) \
         ON CONFLICT (project_id) DO UPDATE SET number = $2, status = 'running', paths = $3, files = $4, files_done = 0, \
         last_file_id = 0, error = NULL, started_at = $5, finished_at = NULL WHERE analyses.status <> 'running'",
        &params![project, number, paths, files, now],
    )?;
    if begun == 0 {
        let sentence = "The project is being looked at already. Wait for its end: GET /api/projects/{id}/quality.";
        return Err(Error::conflict("analysis_active", sentence));
    }
    latest(tx, project)?.ok_or_else(|| Error::not_found("analysis"))
}

/// The latest analysis of a project, if anybody ever asked for one.
pub fn latest(tx: &mut Tx<'_>, project: ProjectId) -> Result<Option<AnalysisRun>> {
    let sql = format!("SELECT {COLUMNS} FROM analyses WHERE project_id = $1");
    Ok(tx.query_row(&sql, &params![project], read)?)
}

/// The paths that were asked for, as JSON, and the last file that was looked at; None when the analysis is over.
pub fn under_way(tx: &mut Tx<'_>, project: ProjectId, number: i64) -> Result<Option<(Option<String>, i64)>> {
    let sql = "SELECT paths, last_file_id FROM analyses WHERE project_id = $1 AND number = $2 AND status = 'running'";
    Ok(tx.query_row(sql, &params![project, number], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Notes how far an analysis is.
pub fn advance(tx: &mut Tx<'_>, project: ProjectId, number: i64, done: i64, last: i64) -> Result<()> {
    tx.execute(
        "UPDATE analyses SET files_done = files_done + $3, last_file_id = $4 \
         WHERE project_id = $1 AND number = $2 AND status = 'running'",
        &params![project, number, done, last],
    )?;
    Ok(())
}

/// Ends an analysis, well or with what went wrong.
pub fn end(tx: &mut Tx<'_>, now: Time, project: ProjectId, number: i64, error: Option<&str>) -> Result<()> {
    let status = if error.is_some() { AnalysisStatus::Failed } else { AnalysisStatus::Done };
    tx.execute(
        "UPDATE analyses SET status = $3, error = $4, finished_at = $5 \
         WHERE project_id = $1 AND number = $2 AND status = 'running'",
        &params![project, number, status.code(), error, now],
    )?;
    Ok(())
}

/// Those of `files` that are wanted: at these paths, or in these folders, which end with a slash. No paths: all.
pub fn wanted(files: Vec<ProjectFile>, paths: Option<&[String]>) -> Vec<ProjectFile> {
    let fits = |file: &ProjectFile| {
        paths.is_none_or(|paths| {
            paths.iter().any(|path| file.path == *path || (path.ends_with('/') && file.path.starts_with(path.as_str())))
        })
    };
    files.into_iter().filter(fits).collect()
}

fn read(row: &Row<'_>) -> Result<AnalysisRun, DbError> {
    let status: String = row.get(2)?;
    Ok(AnalysisRun {
        project_id: row.get(0)?,
        number: row.get(1)?,
        status: AnalysisStatus::from_code(&status)
            .ok_or_else(|| DbError::Other(format!("analyses.status holds `{status}`, which is no status")))?,
        files: row.get(3)?,
        files_done: row.get(4)?,
        error: row.get(5)?,
        started_at: row.get(6)?,
        finished_at: row.get(7)?,
    })
}

//! All SQL of findings.

use super::{Finding, MAX_KEPT, NOT_LOOKED_AT, left_out, not_looked_at};
use crate::access::Permit;
use crate::access::actions::ProjectRead;
use crate::base::error::Result;
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, params};
use crate::plugins::{Analysis, NewFinding, Severity};
use crate::projects::files::ProjectFile;
use crate::projects::{ProjectId, files, quality, store as projects};

const COLUMNS: &str = "findings.id, findings.file_id, files.path, findings.file_version, findings.plugin, findings.type, \
    findings.severity, findings.message, findings.line, findings.code, findings.recommendation";
const FROM: &str = "FROM findings JOIN files ON files.id = findings.file_id";

/// Puts what plugins say now in place of what they said before about this version of the file. That a plugin failed is kept
/// beside what it said before, so that nobody takes a file for clean that it did not look at. Nothing is kept when the file
/// has a newer version by now.
pub fn replace(tx: &mut Tx<'_>, file: &ProjectFile, analyses: &[Analysis]) -> Result<()> {
    let sql = "SELECT 1 FROM files WHERE id = $1 AND version = $2";
    if tx.query_row(sql, &params![file.id, file.version], |_| Ok(()))?.is_none() {
        return Ok(());
    }
    for analysis in analyses {
        let Analysis { plugin, outcome, .. } = analysis;
        let failed = outcome.is_err();
        tx.execute(
            "DELETE FROM findings WHERE file_id = $1 AND plugin = $2 AND (type = $3 OR NOT $4)",
            &params![file.id, plugin, NOT_LOOKED_AT, failed],
        )?;
        match outcome {
            Err(sentence) => insert(tx, file, plugin, &not_looked_at(sentence))?,
            Ok(found) => {
                if let Some(score) = analysis.score() {
                    quality::store::keep_score(tx, file.id, plugin, score)?;
                }
                for finding in found.iter().take(MAX_KEPT) {
                    insert(tx, file, plugin, finding)?;
                }
                if let Some(more) = found.len().checked_sub(MAX_KEPT).filter(|more| *more > 0) {
                    insert(tx, file, plugin, &left_out(more))?;
                }
            }
        }
    }
    Ok(())
}

fn insert(tx: &mut Tx<'_>, file: &ProjectFile, plugin: &str, finding: &NewFinding) -> Result<()> {
    let id = tx.next_id()?;
    tx.execute(
        "INSERT INTO findings (id, file_id, project_id, file_version, plugin, type, severity, message, line, code, \
         recommendation) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        &params![
            id,
            file.id,
            file.project_id,
            file.version,
            plugin,
            &finding.kind,
            finding.severity.code(),
            &finding.message,
            finding.line,
            finding.code.clone(),
            finding.recommendation.clone()
        ],
    )?;
    Ok(())
}

/// A project's findings about its code, the worst first.
pub fn worst(tx: &mut Tx<'_>, project: ProjectId, limit: i64) -> Result<Vec<Finding>> {
    let sql = format!(
        "SELECT {COLUMNS} {FROM} WHERE findings.project_id = $1 AND findings.type <> $3 ORDER BY CASE findings.severity \
         WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END, findings.id LIMIT $2"
    );
    Ok(tx.query_map(&sql, &params![project, limit, NOT_LOOKED_AT], read)?)
}

/// A page of a project's findings, newest first.
///
/// # Errors
/// `not_found` when the project is none the permit covers.
pub fn of_project(
    tx: &mut Tx<'_>,
    permit: &Permit<ProjectRead>,
    project: ProjectId,
    page: Page,
) -> Result<Vec<Finding>> {
    projects::find(tx, permit, project)?;
    let sql = format!(
        "SELECT {COLUMNS} {FROM} WHERE findings.project_id = $1 AND findings.id < $2 ORDER BY findings.id DESC LIMIT $3"
    );
    Ok(tx.query_map(&sql, &params![project, page.before, page.fetch()], read)?)
}

/// A page of a file's findings, newest first.
///
/// # Errors
/// `not_found` when the file is none the permit covers.
pub fn of_file(tx: &mut Tx<'_>, permit: &Permit<ProjectRead>, file: i64, page: Page) -> Result<Vec<Finding>> {
    files::store::find(tx, permit, file)?;
    let sql = format!(
        "SELECT {COLUMNS} {FROM} WHERE findings.file_id = $1 AND findings.id < $2 ORDER BY findings.id DESC LIMIT $3"
    );
    Ok(tx.query_map(&sql, &params![file, page.before, page.fetch()], read)?)
}

fn read(row: &Row<'_>) -> Result<Finding, DbError> {
    let severity: String = row.get(6)?;
    Ok(Finding {
        id: row.get(0)?,
        file_id: row.get(1)?,
        path: row.get(2)?,
        file_version: row.get(3)?,
        plugin: row.get(4)?,
        kind: row.get(5)?,
        severity: Severity::from_code(&severity)
            .ok_or_else(|| DbError::Other(format!("findings.severity holds `{severity}`, which is no severity")))?,
        message: row.get(7)?,
        line: row.get(8)?,
        code: row.get(9)?,
        recommendation: row.get(10)?,
    })
}

//! All SQL of teams.

use crate::access::{OrgId, TeamId};
use crate::base::error::Result;
use crate::db::{Tx, params};

/// The organisation a team belongs to; None when there is no such team.
///
/// # Errors
/// When the database fails.
pub fn organization(tx: &mut Tx<'_>, team: TeamId) -> Result<Option<OrgId>> {
    let sql = "SELECT organization_id FROM teams WHERE id = $1";
    Ok(tx.query_row(sql, &params![team.0], |row| row.get(0).map(OrgId))?)
}

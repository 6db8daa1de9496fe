//! All SQL of teams.
//!
//! Invariant: what is shown is bounded to the organisations and teams of the permit it was given.

use super::{MOST, NewTeam, Team, TeamSettings};
use crate::access::actions::{TeamManage, UserRead};
use crate::access::{OrgId, Permit, TeamId, UserId};
use crate::base::clock::Time;
use crate::base::error::{Error, Kind, Result};
use crate::base::names;
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};

const COLUMNS: &str = "id, organization_id, slug, name, description, settings, is_default, created_at, updated_at";

fn read(row: &Row<'_>) -> Result<Team, DbError> {
    let settings: String = row.get(5)?;
    Ok(Team {
        id: row.get(0)?,
        organization_id: row.get(1)?,
        slug: row.get(2)?,
        name: row.get(3)?,
        description: row.get(4)?,
        settings: TeamSettings::stored(&settings).map_err(|cause| unreadable(&cause))?,
        is_default: row.get(6)?,
        created_at: row.get(7)?,
        updated_at: row.get(8)?,
    })
}

/// The organisation a team belongs to; None when there is no such team.
///
/// # Errors
/// When the database fails.
pub fn organization(tx: &mut Tx<'_>, team: TeamId) -> Result<Option<OrgId>> {
    let sql = "SELECT organization_id FROM teams WHERE id = $1";
    Ok(tx.query_row(sql, &params![team.0], |row| row.get(0).map(OrgId))?)
}

/// The settings of a team of the organisation, or of its default one.
pub(super) fn settings(tx: &mut Tx<'_>, org: OrgId, team: Option<TeamId>) -> Result<Option<TeamSettings>, DbError> {
    let team = team.map(|team| team.0);
    let sql = "SELECT settings FROM teams WHERE organization_id = $1 AND \
               (id = $2 OR (is_default AND CAST($2 AS BIGINT) IS NULL))";
    let stored: Option<String> = tx.query_row(sql, &params![org.0, team], |row| row.get(0))?;
    let read = |text: String| TeamSettings::stored(&text).map_err(|cause| unreadable(&cause));
    stored.map(read).transpose()
}

fn unreadable(cause: &serde_json::Error) -> DbError {
    DbError::Other(format!("teams.settings: {cause}"))
}

/// A team, whoever asks.
///
/// # Errors
/// `not_found` when there is none.
pub fn find(tx: &mut Tx<'_>, id: TeamId) -> Result<Team> {
    let team = tx.query_row(&format!("SELECT {COLUMNS} FROM teams WHERE id = $1"), &params![id.0], read)?;
    team.ok_or_else(|| Error::not_found("such team"))
}

/// The teams of an organisation that the permit covers, newest first.
///
/// # Errors
/// When the database fails.
pub fn list(
    tx: &mut Tx<'_>,
    permit: &Permit<UserRead>,
    org: OrgId,
    part: Option<&str>,
    page: Page,
) -> Result<Vec<Team>> {
    let mut params: Vec<Val> = params![org.0, page.before, page.fetch()].to_vec();
    let mut rules = vec![permit.sql_teamed("organization_id", "id", &mut params)];
    if let Some(part) = part {
        params.extend([Val::within(&names::key(part)), Val::within(&part.to_lowercase())]);
        let at = params.len();
        rules.push(format!("(name_key LIKE ${} ESCAPE '!' OR slug LIKE ${at} ESCAPE '!')", at - 1));
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM teams WHERE organization_id = $1 AND id < $2 AND {} ORDER BY id DESC LIMIT $3",
        rules.join(" AND ")
    );
    Ok(tx.query_map(&sql, &params, read)?)
}

/// # Errors
/// `slug_taken`, `name_taken`, `too_many_teams`.
pub fn insert(tx: &mut Tx<'_>, _: &Permit<TeamManage>, now: Time, org: OrgId, new: &NewTeam) -> Result<Team> {
    let sql = "SELECT COUNT(*) FROM teams WHERE organization_id = $1";
    if tx.query_row(sql, &params![org.0], |row| row.get(0))?.unwrap_or(0) >= MOST {
        let message = format!("The organisation has {MOST} teams, the most there may be. Delete some first.");
        return Err(Error::new(Kind::Limited, "too_many_teams", message));
    }
    let id = tx.next_id()?;
    let settings = serde_json::to_string(&new.settings).map_err(Error::internal)?;
    tx.savepoint(|tx| {
        tx.execute(
            "INSERT INTO teams (id, organization_id, slug, name, name_key, description, settings, is_default, created_at, \
             updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, FALSE, $8, $8)",
            &params![
                id,
                org.0,
                new.slug.as_str(),
                new.name.as_str(),
                names::key(&new.name),
                new.description.as_str(),
                settings,
                now
            ],
        )
    })
    .map_err(|cause| taken(cause, &new.slug, &new.name))?;
    find(tx, TeamId(id))
}

fn taken(cause: DbError, slug: &str, name: &str) -> Error {
    match cause {
        DbError::Unique(index) if index == "uq_teams_organization_id_slug" => {
            let message = format!("The organisation has a team with the slug {slug}. Choose another.");
            Error::conflict("slug_taken", message).field("slug")
        }
        DbError::Unique(index) if index == "uq_teams_organization_id_name_key" => {
            let message = format!("The organisation has a team whose name looks like `{name}`. Choose another.");
            Error::conflict("name_taken", message).field("name")
        }
        other => other.into(),
    }
}

/// Writes everything of a team that changes.
///
/// # Errors
/// `slug_taken`, `name_taken`.
pub fn save(tx: &mut Tx<'_>, _: &Permit<TeamManage>, team: &Team) -> Result<()> {
    let settings = serde_json::to_string(&team.settings).map_err(Error::internal)?;
    tx.savepoint(|tx| {
        tx.execute(
            "UPDATE teams SET slug = $2, name = $3, name_key = $4, description = $5, settings = $6, updated_at = $7 \
             WHERE id = $1",
            &params![
                team.id,
                team.slug.as_str(),
                team.name.as_str(),
                names::key(&team.name),
                team.description.as_str(),
                settings,
                team.updated_at
            ],
        )
    })
    .map_err(|cause| taken(cause, &team.slug, &team.name))?;
    Ok(())
}

/// Deletes a team with the roles held in it.
///
/// # Errors
/// `team_has_projects`.
pub fn delete(tx: &mut Tx<'_>, _: &Permit<TeamManage>, team: &Team) -> Result<()> {
    let sql = "SELECT COUNT(*) FROM projects WHERE team_id = $1";
    let projects: i64 = tx.query_row(sql, &params![team.id], |row| row.get(0))?.unwrap_or(0);
    if projects > 0 {
        let message =
            format!("{} has {projects} projects. Move them to another team, or delete them first.", team.name);
        return Err(Error::conflict("team_has_projects", message));
    }
    tx.execute("DELETE FROM role_grants WHERE team_id = $1", &params![team.id])?;
    tx.execute("DELETE FROM teams WHERE id = $1", &params![team.id])?;
    Ok(())
}

/// The ids of a team's members, descending.
///
/// # Errors
/// When the database fails.
pub fn member_ids(tx: &mut Tx<'_>, team: &Team, page: Page) -> Result<Vec<UserId>> {
    let (held, id) = if team.is_default {
        ("organization_id = $1 AND team_id IS NULL", team.organization_id)
    } else {
        ("team_id = $1", team.id)
    };
    let sql = format!(
        "SELECT DISTINCT user_id FROM role_grants WHERE {held} AND user_id < $2 ORDER BY user_id DESC LIMIT $3"
    );
    Ok(tx.query_map(&sql, &params![id, page.before, page.fetch()], |row| row.get(0).map(UserId))?)
}

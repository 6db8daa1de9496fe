//! All SQL of projects.
//!
//! Invariant: every statement is bounded to the organisations and teams of the permit it was given.

use super::{Project, ProjectId, ProjectStatus, files};
use crate::access::actions::{ProjectCreate, ProjectDelete, ProjectRead, ProjectUpdate, RunExecute};
use crate::access::{Action, OrgId, Permit, Place, TeamId, UserId};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};
use crate::orgs::settings::QualityGate;
use crate::quotas::{self, Owner, Resource};
use crate::teams;

const COLUMNS: &str = "id, organization_id, name, requirements, status, created_by, created_at, updated_at, \
    file_count, latest_run_id, team_id, quality_gate";

/// Where a project is to belong, as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// An organisation, and no team of it.
    Org(OrgId),
    /// A team, of this organisation when one is named.
    Team(TeamId, Option<OrgId>),
}

impl Home {
    /// What is meant, if the permit counts there.
    ///
    /// # Errors
    /// `not_found`.
    pub fn find<A: Action>(self, tx: &mut Tx<'_>, permit: &Permit<A>) -> Result<(OrgId, Option<TeamId>)> {
        match self {
            Self::Org(org) => permit.require(org, "organization").map(|()| (org, None)),
            Self::Team(team, named) => {
                let org = teams::store::organization(tx, team)?.filter(|org| named.is_none_or(|named| named == *org));
                let org = org.filter(|org| permit.covers_place(Place::Team(*org, team)));
                org.map(|org| (org, Some(team))).ok_or_else(|| Error::not_found("team"))
            }
        }
    }
}

/// What a new project starts with; checked by the rule that made it.
pub struct NewProject {
    pub home: Home,
    pub name: String,
    pub requirements: String,
}

/// Makes a project, counts it against the quotas that hold and audits it.
///
/// # Errors
/// `not_found` when there is no such organisation or team; `quota_exceeded`.
pub fn create(tx: &mut Tx<'_>, permit: &Permit<ProjectCreate>, now: Time, new: &NewProject) -> Result<Project> {
    let (org, team) = new.home.find(tx, permit)?;
    // First what may be refused: nothing has to be undone then.
    let person = permit.caller().user;
    quotas::take(tx, now, &Owner::org(org).team(team).person(person), Resource::Projects, 1)?;
    let id = tx.next_id()?;
    let by = permit.caller().actor.name.as_str();
    tx.execute(
        "INSERT INTO projects (id, organization_id, name, requirements, status, created_by, created_at, updated_at, \
         team_id, created_by_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9)",
        &params![
            id,
            org.0,
            &new.name,
            &new.requirements,
            ProjectStatus::Pending.code(),
            by,
            now,
            team.map(|team| team.0),
            person.map(|user| user.0)
        ],
    )?;
    let project = Project {
        id: ProjectId(id),
        organization_id: org.0,
        team_id: team.map(|team| team.0),
        name: new.name.clone(),
        requirements: new.requirements.clone(),
        status: ProjectStatus::Pending,
        created_by: by.to_owned(),
        created_at: now,
        updated_at: now,
        file_count: 0,
        latest_run_id: None,
        quality_gate: None,
    };
    let event = Event::new(AuditAction::Create, "project", format!("Created project {}", project.name));
    audit::record(tx, now, permit.caller(), &event.id(id).org(org).after(&project))?;
    Ok(project)
}

/// One project the permit covers.
///
/// # Errors
/// `not_found`, also when it belongs to somebody else.
pub fn get(tx: &mut Tx<'_>, permit: &Permit<ProjectRead>, id: ProjectId) -> Result<Project> {
    find(tx, permit, id)
}

/// [`get`] for whatever is about to be done to the project.
///
/// # Errors
/// `not_found`, also when it belongs to somebody else.
pub fn find<A: Action>(tx: &mut Tx<'_>, permit: &Permit<A>, id: ProjectId) -> Result<Project> {
    let project = by_id(tx, id)?.ok_or_else(|| Error::not_found("project"))?;
    permit.require_place(project.place(), "project")?;
    Ok(project)
}

fn by_id(tx: &mut Tx<'_>, id: ProjectId) -> Result<Option<Project>> {
    Ok(tx.query_row(&format!("SELECT {COLUMNS} FROM projects WHERE id = $1"), &params![id], read)?)
}

/// What a listing is narrowed to; absent means any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Filter {
    pub org: Option<i64>,
    pub team: Option<i64>,
}

/// Newest first, over the organisations and teams the permit covers.
pub fn list(tx: &mut Tx<'_>, permit: &Permit<ProjectRead>, filter: Filter, page: Page) -> Result<Vec<Project>> {
    let mut params: Vec<Val> = params![page.before, page.fetch()].to_vec();
    let mut conditions = vec!["id < $1".to_owned(), permit.sql_teamed("organization_id", "team_id", &mut params)];
    for (column, wanted) in [("organization_id", filter.org), ("team_id", filter.team)] {
        if let Some(wanted) = wanted {
            params.push(Val::I64(wanted));
            conditions.push(format!("{column} = ${}", params.len()));
        }
    }
    let sql = format!("SELECT {COLUMNS} FROM projects WHERE {} ORDER BY id DESC LIMIT $2", conditions.join(" AND "));
    Ok(tx.query_map(&sql, &params, read)?)
}

/// What a change may set; absent stays.
#[derive(Default)]
pub struct Change {
    pub name: Option<String>,
    pub requirements: Option<String>,
    /// The team it goes to; None within: to no team.
    pub team: Option<Option<TeamId>>,
    /// What its runs are held to; None within: to nothing of its own.
    pub gate: Option<Option<QualityGate>>,
}

impl Change {
    /// The names of what it changes of `project`.
    pub fn changes(&self, project: &Project) -> Vec<&'static str> {
        let differs = [
            ("name", self.name.as_ref().is_some_and(|name| *name != project.name)),
            ("requirements", self.requirements.as_ref().is_some_and(|text| *text != project.requirements)),
            ("quality_gate", self.gate.as_ref().is_some_and(|gate| *gate != project.quality_gate)),
            ("team_id", self.team.is_some_and(|team| team.map(|team| team.0) != project.team_id)),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

/// Changes name, requirements, team or gate and audits it; a change that changes nothing leaves no trace. Who moves a project
/// may change it where it was and where it goes.
///
/// # Errors
/// `not_found`; `quota_exceeded` when the team it goes to has no room for it.
pub fn update(
    tx: &mut Tx<'_>,
    permit: &Permit<ProjectUpdate>,
    now: Time,
    id: ProjectId,
    change: &Change,
) -> Result<Project> {
    let before = find(tx, permit, id)?;
    let org = OrgId(before.organization_id);
    let moved = change.team.map(|team| team.map_or(Home::Org(org), |team| Home::Team(team, Some(org))));
    let team_id = match moved {
        None => before.team_id,
        Some(home) => home.find(tx, permit)?.1.map(|team| team.0),
    };
    let after = Project {
        team_id,
        name: change.name.clone().unwrap_or_else(|| before.name.clone()),
        requirements: change.requirements.clone().unwrap_or_else(|| before.requirements.clone()),
        quality_gate: change.gate.clone().unwrap_or_else(|| before.quality_gate.clone()),
        ..before.clone()
    };
    if after == before {
        return Ok(before);
    }
    let after = Project { updated_at: now, ..after };
    if after.team_id != before.team_id {
        let teams = [before.team_id, after.team_id].map(|team| team.map(TeamId));
        quotas::hand_over(tx, now, org, teams, Resource::Projects, 1, before.created_at)?;
        let stored = files::store::stored(tx, &before)?;
        quotas::hand_over(tx, now, org, teams, Resource::Storage, stored, before.created_at)?;
    }
    let gate = after.quality_gate.as_ref().map(serde_json::to_string).transpose().map_err(Error::internal)?;
    tx.execute(
        "UPDATE projects SET name = $2, requirements = $3, updated_at = $4, team_id = $5, quality_gate = $6 WHERE id = $1",
        &params![id, &after.name, &after.requirements, now, after.team_id, gate],
    )?;
    let event = Event::new(AuditAction::Update, "project", format!("Changed project {}", after.name)).id(id.0);
    audit::record(tx, now, permit.caller(), &event.org(org).before(&before).after(&after))?;
    Ok(after)
}

/// Deletes a project with its files and runs, gives their place in the quotas back and audits it.
///
/// # Errors
/// `not_found`; `project_busy` while one of its runs is going.
pub fn delete(tx: &mut Tx<'_>, permit: &Permit<ProjectDelete>, now: Time, id: ProjectId) -> Result<()> {
    let project = find(tx, permit, id)?;
    let sql = "SELECT id FROM runs WHERE project_id = $1 AND status IN ('queued', 'running') ORDER BY id LIMIT 1";
    if let Some(run) = tx.query_row(sql, &params![id], |row| row.get::<i64>(0))? {
        let what = format!("Run {run} of project {} is still going. Cancel it, then delete the project.", project.name);
        return Err(Error::conflict("project_busy", what));
    }
    let org = OrgId(project.organization_id);
    files::store::give_back(tx, now, &project, None)?;
    let maker = tx.query_row("SELECT created_by_id FROM projects WHERE id = $1", &params![id], |row| row.get(0))?;
    let owner = Owner::org(org).team(project.team_id.map(TeamId)).person(maker.flatten().map(UserId));
    quotas::give_back(tx, now, &owner, Resource::Projects, 1, project.created_at)?;
    tx.execute("DELETE FROM projects WHERE id = $1", &params![id])?;
    let event = Event::new(AuditAction::Delete, "project", format!("Deleted project {}", project.name)).id(id.0);
    audit::record(tx, now, permit.caller(), &event.org(org).before(&project))
}

/// Says how far the project is; a run's doing, which the run's own entries tell of.
///
/// # Errors
/// `not_found`.
pub fn set_status(
    tx: &mut Tx<'_>,
    permit: &Permit<RunExecute>,
    id: ProjectId,
    status: ProjectStatus,
    now: Time,
) -> Result<()> {
    find(tx, permit, id)?;
    tx.execute(
        "UPDATE projects SET status = $2, updated_at = $3 WHERE id = $1 AND status <> $2",
        &params![id, status.code(), now],
    )?;
    Ok(())
}

/// Notes that a file of the project changed, and how many files there are more than before.
pub fn touch(tx: &mut Tx<'_>, id: ProjectId, now: Time, more: i64) -> Result<()> {
    tx.execute(
        "UPDATE projects SET updated_at = $2, file_count = file_count + $3 WHERE id = $1",
        &params![id, now, more],
    )?;
    Ok(())
}

/// Notes the project's newest run.
pub fn set_latest_run(tx: &mut Tx<'_>, id: ProjectId, run: i64) -> Result<()> {
    tx.execute("UPDATE projects SET latest_run_id = $2 WHERE id = $1", &params![id, run])?;
    Ok(())
}

fn read_gate(kept: Option<String>) -> Result<Option<QualityGate>, DbError> {
    let unreadable = |cause| DbError::Other(format!("projects.quality_gate cannot be read: {cause}"));
    kept.map(|text| serde_json::from_str(&text)).transpose().map_err(unreadable)
}

fn read(row: &Row<'_>) -> Result<Project, DbError> {
    Ok(Project {
        id: row.get(0)?,
        organization_id: row.get(1)?,
        name: row.get(2)?,
        requirements: row.get(3)?,
        status: ProjectStatus::from_code(&row.get::<String>(4)?)?,
        created_by: row.get(5)?,
        created_at: row.get(6)?,
        updated_at: row.get(7)?,
        file_count: row.get(8)?,
        latest_run_id: row.get(9)?,
        team_id: row.get(10)?,
        quality_gate: read_gate(row.get(11)?)?,
    })
}

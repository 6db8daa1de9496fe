//! Projects over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::store::{self, Change, Filter, Home, NewProject};
use super::{
    Project, ProjectId, Projects, archive, check_name, check_requirements, files, findings, quality, telling, templates,
};
use crate::access::actions::{ProjectCreate, ProjectDelete, ProjectRead, ProjectUpdate};
use crate::access::{Action, OrgId, Permit, Place, TeamId};
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::hooks::{Hook, by};
use crate::orgs::settings::QualityGate;
use crate::web::{Created, Json, Path, Problem, Query};

impl Projects {
    /// The project as it still is, for the plugins that `hook` tells of it; None: there are none.
    async fn about_to<A: Action>(&self, hook: Hook, permit: &Permit<A>, id: i64) -> Result<Option<Project>> {
        if !self.hooks.wants(hook) {
            return Ok(None);
        }
        let permit = permit.clone();
        self.db.read(move |tx| store::find(tx, &permit, ProjectId(id))).await.map(Some)
    }

    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list, create))
            .routes(routes!(get, update, delete))
            .merge(files::routes::routes())
            .merge(archive::routes())
            .merge(findings::routes::routes())
            .merge(quality::routes::routes())
            .merge(templates::routes::routes())
            .with_state(self)
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ProjectsQuery {
    organization_id: Option<i64>,
    team_id: Option<i64>,
    /// How many, 1 to 100; 20 when absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// The projects the caller may see, newest first.
#[utoipa::path(get, path = "/api/projects", tag = "projects", params(ProjectsQuery),
    responses((status = 200, body = List<Project>), (status = "default", response = Problem)))]
async fn list(
    State(projects): State<Projects>,
    permit: Permit<ProjectRead>,
    Query(query): Query<ProjectsQuery>,
) -> Result<Response> {
    let page = PageQuery { limit: query.limit, cursor: query.cursor }.check()?;
    let filter = Filter { org: query.organization_id, team: query.team_id };
    let question = (permit.scope(), filter, page);
    let read = async || {
        let found = projects.db.read(move |tx| store::list(tx, &permit, filter, page)).await?;
        Ok(page.list(found, |project| project.id.0))
    };
    projects.pages.reply(&projects.db, question, read).await
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewProjectRequest {
    name: String,
    /// What is to be built.
    #[serde(default)]
    requirements: String,
    /// May be left out by who may make projects in one organisation, or one team, only.
    organization_id: Option<i64>,
    /// The team it belongs to; none when absent.
    team_id: Option<i64>,
}

impl NewProjectRequest {
    fn home(&self, permit: &Permit<ProjectCreate>) -> Result<Home> {
        let org = self.organization_id.map(OrgId);
        let asked = self.team_id.map(|team| Home::Team(TeamId(team), org)).or(org.map(Home::Org));
        let only = || match permit.only_place()? {
            Place::Site => None,
            Place::Org(org) => Some(Home::Org(org)),
            Place::Team(org, team) => Some(Home::Team(team, Some(org))),
        };
        asked.or_else(only).ok_or_else(|| {
            Error::invalid("organization_missing", "Say in which organisation or team the project is made.")
                .field("organization_id")
        })
    }
}

/// Create a project; it counts against the organisation's quota.
#[utoipa::path(post, path = "/api/projects", tag = "projects", request_body = NewProjectRequest,
    responses((status = 201, body = Project), (status = "default", response = Problem)))]
async fn create(
    State(projects): State<Projects>,
    permit: Permit<ProjectCreate>,
    Json(body): Json<NewProjectRequest>,
) -> Result<Created<Project>> {
    check_requirements(&body.requirements)?;
    let new = NewProject { home: body.home(&permit)?, name: check_name(&body.name)?, requirements: body.requirements };
    if projects.hooks.wants(Hook::ProjectCreateBefore) {
        let (asked, home) = (permit.clone(), new.home);
        let (org, team) = projects.db.read(move |tx| home.find(tx, &asked)).await?;
        let payload = || by(permit.caller(), json!({"name": new.name, "team_id": team, "organization_id": org}));
        projects.hooks.before(Hook::ProjectCreateBefore, org, payload).await;
    }
    let (now, hooks) = (projects.clock.now(), projects.hooks.clone());
    let write = projects.db.write(move |tx| {
        let project = store::create(tx, &permit, now, &new)?;
        let payload = || telling::project(&project, permit.caller());
        hooks.tell_after(tx, Hook::ProjectCreateAfter, OrgId(project.organization_id), payload);
        Ok(project)
    });
    write.await.map(Created)
}

/// One project.
#[utoipa::path(get, path = "/api/projects/{id}", tag = "projects", params(("id" = i64, Path)),
    responses((status = 200, body = Project), (status = "default", response = Problem)))]
async fn get(
    State(projects): State<Projects>,
    permit: Permit<ProjectRead>,
    Path(id): Path<i64>,
) -> Result<Json<Project>> {
    projects.db.read(move |tx| store::get(tx, &permit, ProjectId(id))).await.map(Json)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProjectChange {
    name: Option<String>,
    requirements: Option<String>,
    /// The team it goes to; null: to no team.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<i64>)]
    team_id: Option<Option<i64>>,
    /// Null: none of its own.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<QualityGate>)]
    quality_gate: Option<Option<QualityGate>>,
}

/// Tells null from absent.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Change a project's name, requirements, team or quality gate; what is absent stays. Moving it asks for `project.update` in both places.
#[utoipa::path(put, path = "/api/projects/{id}", tag = "projects", params(("id" = i64, Path)), request_body = ProjectChange,
    responses((status = 200, body = Project), (status = "default", response = Problem)))]
async fn update(
    State(projects): State<Projects>,
    permit: Permit<ProjectUpdate>,
    Path(id): Path<i64>,
    Json(body): Json<ProjectChange>,
) -> Result<Json<Project>> {
    body.requirements.as_deref().map(check_requirements).transpose()?;
    body.quality_gate.iter().flatten().try_for_each(quality::score::check)?;
    let change = Change {
        name: body.name.as_deref().map(check_name).transpose()?,
        requirements: body.requirements,
        team: body.team_id.map(|team| team.map(TeamId)),
        gate: body.quality_gate,
    };
    if let Some(before) = projects.about_to(Hook::ProjectUpdateBefore, &permit, id).await? {
        let changed = change.changes(&before);
        let (org, payload) = (OrgId(before.organization_id), || telling::change(&before, &changed, permit.caller()));
        projects.hooks.before(Hook::ProjectUpdateBefore, org, payload).await;
    }
    let (now, hooks) = (projects.clock.now(), projects.hooks.clone());
    let write = projects.db.write(move |tx| {
        let before = store::find(tx, &permit, ProjectId(id))?;
        let after = store::update(tx, &permit, now, ProjectId(id), &change)?;
        let changed = change.changes(&before);
        if !changed.is_empty() {
            let payload = || telling::change(&after, &changed, permit.caller());
            hooks.tell_after(tx, Hook::ProjectUpdateAfter, OrgId(after.organization_id), payload);
        }
        Ok(after)
    });
    write.await.map(Json)
}

/// Delete a project for good.
#[utoipa::path(delete, path = "/api/projects/{id}", tag = "projects", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
async fn delete(
    State(projects): State<Projects>,
    permit: Permit<ProjectDelete>,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    if let Some(before) = projects.about_to(Hook::ProjectDeleteBefore, &permit, id).await? {
        let (org, payload) = (OrgId(before.organization_id), || telling::project(&before, permit.caller()));
        projects.hooks.before(Hook::ProjectDeleteBefore, org, payload).await;
    }
    let (now, hooks) = (projects.clock.now(), projects.hooks.clone());
    let write = projects.db.write(move |tx| {
        let project = store::find(tx, &permit, ProjectId(id))?;
        store::delete(tx, &permit, now, ProjectId(id))?;
        let payload = || telling::project(&project, permit.caller());
        hooks.tell_after(tx, Hook::ProjectDeleteAfter, OrgId(project.organization_id), payload);
        Ok(())
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}

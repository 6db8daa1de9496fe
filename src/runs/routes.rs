//! Runs over HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::response::sse::{KeepAlive, Sse};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::control::Act;
use super::planning::WorkflowView;
use super::store::{self, NewRun};
use super::{DEFAULT_ITERATIONS, MAX_ITERATIONS, MAX_REQUIREMENT, Rooms, Run, Runs, events};
use crate::access::actions::{ProjectRead, RunExecute};
use crate::access::{Caller, OrgId, Permit, TeamId};
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::hooks::{Hook, by};
use crate::orgs;
use crate::projects::{self, ProjectId};
use crate::teams::{self, settings::LEAST_BUDGET};
use crate::web::{Created, Json, Path, Problem, Query};

/// A comment goes out this often, so that nothing between us and the reader takes the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

impl Runs {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list, create))
            .routes(routes!(workflows))
            .routes(routes!(workflows_of_organization))
            .routes(routes!(get))
            .routes(routes!(pause))
            .routes(routes!(resume))
            .routes(routes!(cancel))
            .routes(routes!(retry))
            .routes(routes!(follow))
            .with_state(self)
    }
}

/// A project's runs, newest first.
#[utoipa::path(get, path = "/api/projects/{id}/runs", tag = "runs", params(("id" = i64, Path), PageQuery),
    responses((status = 200, body = List<Run>), (status = "default", response = Problem)))]
async fn list(
    State(runs): State<Runs>,
    permit: Permit<ProjectRead>,
    Path(id): Path<i64>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<Run>>> {
    let page = query.check()?;
    let found = runs.inner.rooms.db.read(move |tx| store::list(tx, &permit, id, page));
    Ok(Json(page.list(found.await?, |run| run.id)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRunRequest {
    /// What is to be built; the project's requirements when absent.
    requirement: Option<String>,
    /// When absent, the one the project's team or the organisation has set, else the first; see `GET /api/models`.
    model: Option<String>,
    #[serde(default)]
    skip_ui_design: bool,
    /// The workflow to keep to, by its plugin's slug or its name; the platform's own when absent. See
    /// `GET /api/projects/{id}/workflows`.
    workflow: Option<String>,
    /// How often development may be begun, 1 to 10; 3 when absent.
    max_iterations: Option<i64>,
    /// The most tokens of prompts and answers, at least 2000; when absent, what the project's team and the organisation have
    /// set for a run, else only the quota counts.
    token_budget: Option<i64>,
}

/// Start a run: agents work on the project, stage by stage.
#[utoipa::path(post, path = "/api/projects/{id}/runs", tag = "runs", params(("id" = i64, Path)), request_body = NewRunRequest,
    responses((status = 201, body = Run), (status = "default", response = Problem)))]
async fn create(
    State(runs): State<Runs>,
    permit: Permit<RunExecute>,
    Path(id): Path<i64>,
    Json(body): Json<NewRunRequest>,
) -> Result<Created<Run>> {
    let max_iterations = body.max_iterations.unwrap_or(DEFAULT_ITERATIONS);
    if !(1..=MAX_ITERATIONS).contains(&max_iterations) {
        let rule = format!("max_iterations is {max_iterations}; it must be between 1 and {MAX_ITERATIONS}.");
        return Err(Error::invalid("invalid_iterations", rule).field("max_iterations"));
    }
    if let Some(budget) = body.token_budget.filter(|budget| *budget < LEAST_BUDGET) {
        let rule = format!("token_budget is {budget}; a run needs at least {LEAST_BUDGET} tokens to come to its end.");
        return Err(Error::invalid("invalid_budget", rule).field("token_budget"));
    }
    let asked = permit.clone();
    let rooms = &runs.inner.rooms;
    let read = rooms.db.read(move |tx| {
        let project = projects::store::find(tx, &asked, ProjectId(id))?;
        let org = OrgId(project.organization_id);
        let set = orgs::settings::of(tx, org)?;
        Ok((teams::settings::of(tx, org, project.team_id.map(TeamId))?, set, project))
    });
    let (team, set, project) = read.await?;
    let most = [("team", team.run_token_budget), ("organisation", set.run_token_budget)];
    let token_budget = budget(body.token_budget, &most)?;
    let org = OrgId(project.organization_id);
    let requirement = check_requirement(body.requirement.unwrap_or(project.requirements))?;
    let plan = runs.plan(org, body.workflow.as_deref(), &set.extra_stages, body.skip_ui_design).await?;
    let requirement = runs.filtered(&permit, org, id, requirement).await;
    let model = body.model.or(team.default_model);
    let model = rooms.llm.model(permit.caller(), org, model.as_deref()).await?.id;
    let new = NewRun {
        project_id: id,
        org,
        requirement,
        model,
        skip_ui_design: body.skip_ui_design,
        max_iterations,
        token_budget,
        plan,
    };
    runs.start(permit, new).await.map(Created)
}

/// The workflows of plugins that a run of the project can keep to, beside the platform's own order.
#[utoipa::path(get, path = "/api/projects/{id}/workflows", tag = "runs", params(("id" = i64, Path)),
    responses((status = 200, body = List<WorkflowView>), (status = "default", response = Problem)))]
async fn workflows(
    State(runs): State<Runs>,
    permit: Permit<ProjectRead>,
    Path(id): Path<i64>,
) -> Result<Json<List<WorkflowView>>> {
    let project = runs.inner.rooms.db.read(move |tx| projects::store::find(tx, &permit, ProjectId(id))).await?;
    let items = runs.workflows_in(OrgId(project.organization_id)).await;
    Ok(Json(List { items, next_cursor: None }))
}

/// The same for a project that is yet to be made in an organisation.
#[utoipa::path(get, path = "/api/organizations/{id}/workflows", tag = "runs", params(("id" = i64, Path)),
    responses((status = 200, body = List<WorkflowView>), (status = "default", response = Problem)))]
async fn workflows_of_organization(
    State(runs): State<Runs>,
    permit: Permit<ProjectRead>,
    Path(id): Path<i64>,
) -> Result<Json<List<WorkflowView>>> {
    let org = OrgId(id);
    if !permit.reaches(org) {
        permit.require(org, "such organization")?;
    }
    runs.inner.rooms.db.read(move |tx| orgs::store::by_id(tx, org)).await?;
    Ok(Json(List { items: runs.workflows_in(org).await, next_cursor: None }))
}

impl Runs {
    /// What is to be built, as plugins let it pass.
    async fn filtered(&self, permit: &Permit<RunExecute>, org: OrgId, project: i64, text: String) -> String {
        let value =
            || by(permit.caller(), json!({"requirements": text, "project_id": project, "organization_id": org}));
        let hooks = &self.inner.rooms.hooks;
        let changed = hooks.filter_text(Hook::FilterProjectRequirements, org, "requirements", value).await;
        // What would be refused of a person is not taken from a plugin.
        changed.and_then(|text| check_requirement(text).ok()).unwrap_or(text)
    }
}

/// What a run may use: what was asked for, within what its team and organisation allow a run.
fn budget(asked: Option<i64>, allowed: &[(&str, Option<i64>)]) -> Result<Option<i64>> {
    let least = allowed.iter().filter_map(|(who, most)| Some(((*most)?, *who))).min();
    match (asked, least) {
        (Some(asked), Some((most, who))) if asked > most => {
            let rule = format!(
                "token_budget is {asked}; the {who} allows a run {most}. Ask its administrators to raise the setting run_token_budget."
            );
            Err(Error::invalid("invalid_budget", rule).field("token_budget"))
        }
        (asked, least) => Ok(asked.or(least.map(|(most, _)| most))),
    }
}

fn check_requirement(text: String) -> Result<String> {
    let wrong = if text.trim().is_empty() {
        "Say what is to be built: neither this call nor the project has a requirement.".to_owned()
    } else if text.len() > MAX_REQUIREMENT {
        format!("A requirement has at most {MAX_REQUIREMENT} bytes. Put longer documents into the project as files.")
    } else {
        return Ok(text);
    };
    Err(Error::invalid("invalid_requirement", wrong).field("requirement"))
}

/// One run with its stages.
#[utoipa::path(get, path = "/api/runs/{id}", tag = "runs", params(("id" = i64, Path)),
    responses((status = 200, body = Run), (status = "default", response = Problem)))]
async fn get(State(runs): State<Runs>, permit: Permit<ProjectRead>, Path(id): Path<i64>) -> Result<Json<Run>> {
    runs.inner.rooms.db.read(move |tx| store::get(tx, &permit, id)).await.map(Json)
}

/// Stop after the turn under way.
#[utoipa::path(post, path = "/api/runs/{id}/pause", tag = "runs", params(("id" = i64, Path)),
    responses((status = 200, body = Run), (status = "default", response = Problem)))]
async fn pause(State(runs): State<Runs>, permit: Permit<RunExecute>, Path(id): Path<i64>) -> Result<Json<Run>> {
    runs.act(permit, id, Act::Pause).await.map(Json)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ResumeQuery {
    /// Also when the quality gate holds it; needs the permission team.manage where the project is.
    #[serde(default, rename = "override")]
    anyway: bool,
}

/// Go on with a paused run. One that the quality gate holds goes on when its project passes by now.
#[utoipa::path(post, path = "/api/runs/{id}/resume", tag = "runs", params(("id" = i64, Path), ResumeQuery),
    responses((status = 200, body = Run), (status = "default", response = Problem)))]
async fn resume(
    State(runs): State<Runs>,
    permit: Permit<RunExecute>,
    Path(id): Path<i64>,
    Query(query): Query<ResumeQuery>,
) -> Result<Json<Run>> {
    runs.act(permit, id, Act::Resume(query.anyway)).await.map(Json)
}

/// End a run now; what was committed stays.
#[utoipa::path(post, path = "/api/runs/{id}/cancel", tag = "runs", params(("id" = i64, Path)),
    responses((status = 200, body = Run), (status = "default", response = Problem)))]
async fn cancel(State(runs): State<Runs>, permit: Permit<RunExecute>, Path(id): Path<i64>) -> Result<Json<Run>> {
    runs.act(permit, id, Act::Cancel).await.map(Json)
}

/// Do a stage of an ended run again, and what follows it.
#[utoipa::path(post, path = "/api/runs/{id}/stages/{stage}/retry", tag = "runs",
    params(("id" = i64, Path), ("stage" = String, Path, description = "The stage's name, as the run lists it")),
    responses((status = 200, body = Run), (status = "default", response = Problem)))]
async fn retry(
    State(runs): State<Runs>,
    permit: Permit<RunExecute>,
    Path((id, stage)): Path<(i64, String)>,
) -> Result<Json<Run>> {
    runs.act(permit, id, Act::Retry(stage)).await.map(Json)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct FollowQuery {
    /// The number of the last event seen; the header `Last-Event-ID` says the same and comes first.
    after: Option<i64>,
}

/// What happens in a run, as server-sent events, from the beginning or from any event on. The events `status`, `stage`,
/// `file`, `finding`, `tokens` and `message` are numbered and kept; `delta` is the model's words as they come. The stream
/// ends after the events of a run that has ended, and at once when its reader may not see the run any more.
#[utoipa::path(get, path = "/api/runs/{id}/events", tag = "runs", params(("id" = i64, Path), FollowQuery),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = "default", response = Problem)))]
async fn follow(
    State(runs): State<Runs>,
    permit: Permit<ProjectRead>,
    Path(id): Path<i64>,
    Query(query): Query<FollowQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    let rooms = &runs.inner.rooms;
    let lost = lost(rooms, permit.caller_arc().clone(), id);
    rooms.db.read(move |tx| store::get(tx, &permit, id)).await?;
    let seat = Arc::clone(&runs.inner.seats).try_acquire_owned().map_err(|_| {
        Error::unavailable("too_many_streams", "Too many people watch runs at the moment. Try again shortly.")
            .retry_after(10)
    })?;
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok()).or(query.after);
    let events = events::stream(rooms.db.clone(), rooms.tasks.clone(), &runs.inner.hub, id, seen.unwrap_or(0));
    let events = async_stream::stream! {
        // Held as long as somebody reads.
        let _seat = seat;
        for await event in events.take_until(Box::pin(lost)) {
            yield event as Result<_, Infallible>;
        }
    };
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// Waits until the caller may not see the run any more, or that cannot be told.
fn lost(rooms: &Rooms, caller: Arc<Caller>, run: i64) -> impl Future<Output = ()> + Send + use<> {
    let (mut watch, db) = (rooms.accounts.watch(caller), rooms.db.clone());
    async move {
        while let Ok(Some(caller)) = watch.changed().await {
            let Ok(permit) = caller.permit::<ProjectRead>() else { return };
            if db.read(move |tx| store::get(tx, &permit, run)).await.is_err() {
                return;
            }
        }
    }
}

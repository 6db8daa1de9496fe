//! Code quality over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{AnalysisRun, Opinion, Opinions, ProposedFile, Quality};
use crate::access::Permit;
use crate::access::actions::{ProjectRead, ProjectUpdate};
use crate::base::error::Result;
use crate::projects::{ProjectId, Projects, store};
use crate::web::{Json, Path, Problem, Query};

pub fn routes() -> OpenApiRouter<Projects> {
    OpenApiRouter::new()
        .routes(routes!(quality))
        .routes(routes!(analyze))
        .routes(routes!(lint))
        .routes(routes!(format))
        .routes(routes!(fix))
}

/// What plugins make of a project: score, findings by severity, the worst files, and how far an analysis is.
#[utoipa::path(get, path = "/api/projects/{id}/quality", tag = "projects", params(("id" = i64, Path)),
    responses((status = 200, body = Quality), (status = "default", response = Problem)))]
async fn quality(
    State(projects): State<Projects>,
    permit: Permit<ProjectRead>,
    Path(id): Path<i64>,
) -> Result<Json<Quality>> {
    let read = projects.db.read(move |tx| {
        let project = store::find(tx, &permit, ProjectId(id))?;
        super::of(tx, &project)
    });
    read.await.map(Json)
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AnalyzeRequest {
    /// Files, or folders that end with a slash, as `src/`; absent: the whole project. At most 500.
    paths: Option<Vec<String>>,
}

/// Have plugins look at a project's files again. It goes on in the background, see `analysis` of the project's quality; what
/// they find takes the place of what they found before.
#[utoipa::path(post, path = "/api/projects/{id}/analyze", tag = "projects", params(("id" = i64, Path)),
    request_body = AnalyzeRequest,
    responses((status = 202, body = AnalysisRun), (status = "default", response = Problem)))]
async fn analyze(
    State(projects): State<Projects>,
    permit: Permit<ProjectUpdate>,
    Path(id): Path<i64>,
    Json(body): Json<AnalyzeRequest>,
) -> Result<(StatusCode, Json<AnalysisRun>)> {
    let begun = projects.begin_analysis(permit, ProjectId(id), body.paths).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// Ask the plugins for a quick look at a file: the hook `code.lint`. What they say is not kept.
#[utoipa::path(post, path = "/api/files/{id}/lint", tag = "files", params(("id" = i64, Path)),
    responses((status = 200, body = Opinions), (status = "default", response = Problem)))]
async fn lint(
    State(projects): State<Projects>,
    permit: Permit<ProjectUpdate>,
    Path(id): Path<i64>,
) -> Result<Json<Opinions>> {
    let asked = projects.asked(permit, id).await?;
    let said = projects.plugins.lint(asked.org, asked.code()).await;
    let items = said.into_iter().map(Opinion::of).collect();
    Ok(Json(Opinions { file_id: asked.file.id, version: asked.file.version, items }))
}

/// Ask the plugins how a file would look in order: the hook `code.format`. Nothing is written.
#[utoipa::path(post, path = "/api/files/{id}/format", tag = "files", params(("id" = i64, Path)),
    responses((status = 200, body = ProposedFile), (status = "default", response = Problem)))]
async fn format(
    State(projects): State<Projects>,
    permit: Permit<ProjectUpdate>,
    Path(id): Path<i64>,
) -> Result<Json<ProposedFile>> {
    let asked = projects.asked(permit, id).await?;
    let proposal = projects.plugins.format(asked.org, asked.code()).await;
    Ok(Json(ProposedFile::new(&asked.file, &asked.text, proposal)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct FixQuery {
    /// The slug of a plugin for code quality.
    plugin: String,
}

/// Ask a plugin how it would mend a file: its `fix_code`. Nothing is written.
#[utoipa::path(post, path = "/api/files/{id}/fix", tag = "files", params(("id" = i64, Path), FixQuery),
    responses((status = 200, body = ProposedFile), (status = "default", response = Problem)))]
async fn fix(
    State(projects): State<Projects>,
    permit: Permit<ProjectUpdate>,
    Path(id): Path<i64>,
    Query(query): Query<FixQuery>,
) -> Result<Json<ProposedFile>> {
    let asked = projects.asked(permit, id).await?;
    let proposal = projects.plugins.fix(asked.org, &query.plugin, asked.code()).await?;
    Ok(Json(ProposedFile::new(&asked.file, &asked.text, proposal)))
}

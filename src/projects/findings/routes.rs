//! Findings over HTTP.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Finding, store};
use crate::access::Permit;
use crate::access::actions::ProjectRead;
use crate::base::error::Result;
use crate::base::page::{List, PageQuery};
use crate::projects::{ProjectId, Projects};
use crate::web::{Json, Path, Problem, Query};

pub fn routes() -> OpenApiRouter<Projects> {
    OpenApiRouter::new().routes(routes!(of_project)).routes(routes!(of_file))
}

/// What plugins found in a project's files, newest first.
#[utoipa::path(get, path = "/api/projects/{id}/findings", tag = "files", params(("id" = i64, Path), PageQuery),
    responses((status = 200, body = List<Finding>), (status = "default", response = Problem)))]
async fn of_project(
    State(projects): State<Projects>,
    permit: Permit<ProjectRead>,
    Path(id): Path<i64>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<Finding>>> {
    let page = query.check()?;
    let found = projects.db.read(move |tx| store::of_project(tx, &permit, ProjectId(id), page)).await?;
    Ok(Json(page.list(found, |finding| finding.id)))
}

/// What plugins found in a file, newest first.
#[utoipa::path(get, path = "/api/files/{id}/findings", tag = "files", params(("id" = i64, Path), PageQuery),
    responses((status = 200, body = List<Finding>), (status = "default", response = Problem)))]
async fn of_file(
    State(projects): State<Projects>,
    permit: Permit<ProjectRead>,
    Path(id): Path<i64>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<Finding>>> {
    let page = query.check()?;
    let found = projects.db.read(move |tx| store::of_file(tx, &permit, id, page)).await?;
    Ok(Json(page.list(found, |finding| finding.id)))
}

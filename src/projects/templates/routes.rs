//! Templates over HTTP.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Applied, TemplateDetail};
use crate::access::Permit;
use crate::access::actions::{ProjectRead, ProjectUpdate};
use crate::base::error::Result;
use crate::base::page::List;
use crate::plugins::Template;
use crate::projects::{ProjectId, Projects};
use crate::web::{Json, Path, Problem, Query};

pub fn routes() -> OpenApiRouter<Projects> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get)).routes(routes!(preview)).routes(routes!(apply))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TemplatesQuery {
    /// May be left out by who sees projects in one organisation only.
    organization_id: Option<i64>,
}

/// The templates on offer in an organisation, by slug; there are at most 200.
#[utoipa::path(get, path = "/api/templates", tag = "templates", params(TemplatesQuery),
    responses((status = 200, body = List<Template>), (status = "default", response = Problem)))]
async fn list(
    State(projects): State<Projects>,
    permit: Permit<ProjectRead>,
    Query(query): Query<TemplatesQuery>,
) -> Result<Json<List<Template>>> {
    let org = projects.organization_asked(&permit, query.organization_id).await?;
    Ok(Json(List { items: projects.plugins.templates(org), next_cursor: None }))
}

/// A template and its variables.
#[utoipa::path(get, path = "/api/templates/{plugin}", tag = "templates",
    params(("plugin" = String, Path), TemplatesQuery),
    responses((status = 200, body = TemplateDetail), (status = "default", response = Problem)))]
async fn get(
    State(projects): State<Projects>,
    permit: Permit<ProjectRead>,
    Path(plugin): Path<String>,
    Query(query): Query<TemplatesQuery>,
) -> Result<Json<TemplateDetail>> {
    let org = projects.organization_asked(&permit, query.organization_id).await?;
    projects.template(org, &plugin).await.map(Json)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PreviewRequest {
    /// May be left out by who sees projects in one organisation only.
    organization_id: Option<i64>,
    /// Values by the names of variables.
    #[serde(default)]
    #[schema(value_type = Object)]
    variables: Map<String, Value>,
}

/// A file as a template would write it.
#[derive(Debug, Serialize, ToSchema)]
struct PreviewFile {
    path: String,
    content: String,
}

/// The files that a template makes of these values. Nothing is kept.
#[utoipa::path(post, path = "/api/templates/{plugin}/preview", tag = "templates", params(("plugin" = String, Path)),
    request_body = PreviewRequest,
    responses((status = 200, body = List<PreviewFile>), (status = "default", response = Problem)))]
async fn preview(
    State(projects): State<Projects>,
    permit: Permit<ProjectRead>,
    Path(plugin): Path<String>,
    Json(body): Json<PreviewRequest>,
) -> Result<Json<List<PreviewFile>>> {
    let org = projects.organization_asked(&permit, body.organization_id).await?;
    let filled = projects.filled(org, &plugin, &body.variables, None).await?;
    let file = |file: super::Filled| PreviewFile { path: file.path.as_str().to_owned(), content: file.content };
    Ok(Json(List { items: filled.into_iter().map(file).collect(), next_cursor: None }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ApplyRequest {
    /// The slug of the plugin that brings the template.
    plugin: String,
    /// Values by the names of variables.
    #[serde(default)]
    #[schema(value_type = Object)]
    variables: Map<String, Value>,
    /// Whether files that are there and say something else get a new version; refused otherwise.
    #[serde(default)]
    overwrite: bool,
}

/// Write the files of a template into a project: all of them or none.
#[utoipa::path(post, path = "/api/projects/{id}/apply-template", tag = "templates", params(("id" = i64, Path)),
    request_body = ApplyRequest,
    responses((status = 200, body = Applied), (status = "default", response = Problem)))]
async fn apply(
    State(projects): State<Projects>,
    permit: Permit<ProjectUpdate>,
    Path(id): Path<i64>,
    Json(body): Json<ApplyRequest>,
) -> Result<Json<Applied>> {
    let ApplyRequest { plugin, variables, overwrite } = body;
    projects.apply_template(permit, ProjectId(id), plugin, variables, overwrite).await.map(Json)
}

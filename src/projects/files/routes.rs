//! Files over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Encoding, FileVersion, MAX_SIZE, ProjectFile, store};
use crate::access::actions::{ProjectRead, ProjectUpdate};
use crate::access::{OrgId, Permit};
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::hooks::Hook;
use crate::projects::path::ProjectPath;
use crate::projects::{ProjectId, Projects, analyze, store as projects, telling};
use crate::web::{BodyLimit, Created, Json, Path, Problem, Query};

/// A content of [`MAX_SIZE`] as JSON: text may be escaped, bytes are base64.
const MAX_BODY: usize = MAX_SIZE * 2 + 4096;

pub fn routes() -> OpenApiRouter<Projects> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, put, delete))
        .routes(routes!(versions))
        .routes(routes!(version))
        .routes(routes!(restore))
        .layer(axum::Extension(BodyLimit(MAX_BODY)))
}

/// A file with its content.
#[derive(Debug, Serialize, ToSchema)]
struct FileContent {
    #[serde(flatten)]
    file: ProjectFile,
    content: String,
    /// `base64` for what is no UTF-8 text, or holds a NUL, which no text that is sent here may.
    encoding: Encoding,
}

impl FileContent {
    fn new(file: ProjectFile, content: &Bytes) -> Self {
        match std::str::from_utf8(content) {
            Ok(text) if !text.contains('\0') => Self { file, content: text.to_owned(), encoding: Encoding::Utf8 },
            _ => Self { file, content: STANDARD.encode(content), encoding: Encoding::Base64 },
        }
    }
}

/// A project's files, newest first.
#[utoipa::path(get, path = "/api/projects/{id}/files", tag = "files", params(("id" = i64, Path), PageQuery),
    responses((status = 200, body = List<ProjectFile>), (status = "default", response = Problem)))]
async fn list(
    State(projects): State<Projects>,
    permit: Permit<ProjectRead>,
    Path(id): Path<i64>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<ProjectFile>>> {
    let page = query.check()?;
    let found = projects.db.read(move |tx| store::list(tx, &permit, ProjectId(id), page)).await?;
    Ok(Json(page.list(found, |file| file.id)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewFileRequest {
    /// Relative to the project, with `/`, such as `src/main.py`.
    path: String,
    content: String,
    #[serde(default)]
    encoding: Encoding,
}

/// Write a new file.
#[utoipa::path(post, path = "/api/projects/{id}/files", tag = "files", params(("id" = i64, Path)), request_body = NewFileRequest,
    responses((status = 201, body = ProjectFile), (status = "default", response = Problem)))]
async fn create(
    State(projects): State<Projects>,
    permit: Permit<ProjectUpdate>,
    Path(id): Path<i64>,
    Json(body): Json<NewFileRequest>,
) -> Result<Created<ProjectFile>> {
    let asked = permit.clone();
    let project = projects.db.read(move |tx| projects::find(tx, &asked, ProjectId(id))).await?;
    let staged = projects.stage(ProjectPath::parse(&body.path)?, decode(body.content, body.encoding)?).await?;
    projects.before_write(&permit, &project, &staged, None).await;
    let (now, hooks) = (projects.clock.now(), projects.hooks.clone());
    let written = projects.db.write(move |tx| {
        let project = projects::find(tx, &permit, ProjectId(id))?;
        let file = store::create(tx, (&permit, &hooks), now, &project, &staged)?;
        analyze::enqueue(tx, now, OrgId(project.organization_id), &file)?;
        Ok(file)
    });
    written.await.map(Created)
}

/// One file with its content.
#[utoipa::path(get, path = "/api/files/{id}", tag = "files", params(("id" = i64, Path)),
    responses((status = 200, body = FileContent), (status = "default", response = Problem)))]
async fn get(
    State(projects): State<Projects>,
    permit: Permit<ProjectRead>,
    Path(id): Path<i64>,
) -> Result<Json<FileContent>> {
    let (_, file) = projects.db.read(move |tx| store::find(tx, &permit, id)).await?;
    let content = projects.content(&file.sha256).await?;
    Ok(Json(FileContent::new(file, &content)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FileChange {
    content: String,
    #[serde(default)]
    encoding: Encoding,
    /// The version the change was made on; refused when there is a newer one.
    expected_version: Option<i64>,
}

/// Write a new version of a file.
#[utoipa::path(put, path = "/api/files/{id}", tag = "files", params(("id" = i64, Path)), request_body = FileChange,
    responses((status = 200, body = ProjectFile), (status = "default", response = Problem)))]
async fn put(
    State(projects): State<Projects>,
    permit: Permit<ProjectUpdate>,
    Path(id): Path<i64>,
    Json(body): Json<FileChange>,
) -> Result<Json<ProjectFile>> {
    let (asked, expected) = (permit.clone(), body.expected_version);
    let (project, file) = projects.db.read(move |tx| store::find(tx, &asked, id)).await?;
    // Nothing is put on the disk for a change that is refused anyhow.
    store::check_version(&file, expected)?;
    let staged = projects.stage(ProjectPath::parse(&file.path)?, decode(body.content, body.encoding)?).await?;
    projects.before_write(&permit, &project, &staged, Some(&file)).await;
    let (now, hooks) = (projects.clock.now(), projects.hooks.clone());
    let written = projects.db.write(move |tx| {
        // It may have been deleted in the meantime.
        let (project, before) = store::find(tx, &permit, id)?;
        let file = store::write(tx, (&permit, &hooks), now, &project, &staged, expected)?;
        if file.version != before.version {
            analyze::enqueue(tx, now, OrgId(project.organization_id), &file)?;
        }
        Ok(file)
    });
    written.await.map(Json)
}

/// Delete a file with its versions.
#[utoipa::path(delete, path = "/api/files/{id}", tag = "files", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
async fn delete(
    State(projects): State<Projects>,
    permit: Permit<ProjectUpdate>,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    projects.before_change(Hook::FileDeleteBefore, &permit, id).await?;
    let (now, hooks) = (projects.clock.now(), projects.hooks.clone());
    projects.db.write(move |tx| store::delete(tx, (&permit, &hooks), now, id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A file's versions, latest first.
#[utoipa::path(get, path = "/api/files/{id}/versions", tag = "files", params(("id" = i64, Path), PageQuery),
    responses((status = 200, body = List<FileVersion>), (status = "default", response = Problem)))]
async fn versions(
    State(projects): State<Projects>,
    permit: Permit<ProjectRead>,
    Path(id): Path<i64>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<FileVersion>>> {
    let page = query.check()?;
    let found = projects.db.read(move |tx| store::versions(tx, &permit, id, page)).await?;
    Ok(Json(page.list(found, |version| version.version)))
}

/// A file as it was at a version.
#[utoipa::path(get, path = "/api/files/{id}/versions/{version}", tag = "files",
    params(("id" = i64, Path), ("version" = i64, Path)),
    responses((status = 200, body = FileContent), (status = "default", response = Problem)))]
async fn version(
    State(projects): State<Projects>,
    permit: Permit<ProjectRead>,
    Path((id, version)): Path<(i64, i64)>,
) -> Result<Json<FileContent>> {
    let found = projects.db.read(move |tx| {
        let (_, file) = store::find(tx, &permit, id)?;
        Ok((file, store::version(tx, id, version)?))
    });
    let (file, old) = found.await?;
    let content = projects.content(&old.sha256).await?;
    let file = ProjectFile {
        version: old.version,
        size: old.size,
        sha256: old.sha256,
        updated_at: old.created_at,
        updated_by: old.created_by,
        ..file
    };
    Ok(Json(FileContent::new(file, &content)))
}

/// Make an older version the latest; it becomes a new version.
#[utoipa::path(post, path = "/api/files/{id}/restore/{version}", tag = "files",
    params(("id" = i64, Path), ("version" = i64, Path)),
    responses((status = 200, body = ProjectFile), (status = "default", response = Problem)))]
async fn restore(
    State(projects): State<Projects>,
    permit: Permit<ProjectUpdate>,
    Path((id, version)): Path<(i64, i64)>,
) -> Result<Json<ProjectFile>> {
    projects.before_change(Hook::FileUpdateBefore, &permit, id).await?;
    let (now, hooks) = (projects.clock.now(), projects.hooks.clone());
    let restored = projects.db.write(move |tx| {
        let (project, file) = store::restore(tx, (&permit, &hooks), now, id, version)?;
        analyze::enqueue(tx, now, OrgId(project.organization_id), &file)?;
        Ok(file)
    });
    restored.await.map(Json)
}

impl Projects {
    /// Tells plugins of what is about to be done to a file, as it still is.
    async fn before_change(&self, hook: Hook, permit: &Permit<ProjectUpdate>, id: i64) -> Result<()> {
        if self.hooks.wants(hook) {
            let asked = permit.clone();
            let (project, file) = self.db.read(move |tx| store::find(tx, &asked, id)).await?;
            let payload = || telling::file(&project, &file, permit.caller());
            self.hooks.before(hook, OrgId(project.organization_id), payload).await;
        }
        Ok(())
    }
}

fn decode(content: String, encoding: Encoding) -> Result<Bytes> {
    match encoding {
        Encoding::Utf8 => Ok(content.into()),
        Encoding::Base64 => STANDARD.decode(content).map(Bytes::from).map_err(|cause| {
            Error::invalid("invalid_base64", format!("The content is no base64 (RFC 4648, with padding): {cause}."))
                .field("content")
        }),
    }
}

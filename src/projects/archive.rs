//! A project packed for taking away, as zip or tar.
//!
//! Invariant: one file's content is held at a time, however large the project; files are in the order of their paths and
//! nothing tells when it was packed, so the same files give the same bytes. Taking a project away is audited.

use std::io::{self, Write};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::files::ProjectFile;
use super::{ProjectId, Projects, files, store};
use crate::access::actions::ProjectRead;
use crate::access::{OrgId, Permit};
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::web::archive::{MODE, Sink, Zip, attachment};
use crate::web::{Path, Problem, Query};

/// Projects being packed at a time.
pub const AT_WORK: usize = 4;

pub fn routes() -> OpenApiRouter<Projects> {
    OpenApiRouter::new().routes(routes!(download))
}

/// How files are packed.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// PKWARE APPNOTE, deflated.
    #[default]
    Zip,
    /// POSIX ustar, with GNU long names.
    Tar,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DownloadQuery {
    /// `zip` when absent.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// All files of a project in their latest versions.
#[utoipa::path(get, path = "/api/projects/{id}/download", tag = "files", params(("id" = i64, Path), DownloadQuery),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "default", response = Problem)))]
async fn download(
    State(projects): State<Projects>,
    permit: Permit<ProjectRead>,
    Path(id): Path<i64>,
    Query(query): Query<DownloadQuery>,
) -> Result<Response> {
    let turn = Arc::clone(&projects.downloads).try_acquire_owned().map_err(|_| {
        Error::unavailable("too_many_downloads", "Several projects are being packed already. Try again shortly.")
            .retry_after(5)
    })?;
    let now = projects.clock.now();
    let taken = projects.db.write(move |tx| {
        let project = store::find(tx, &permit, ProjectId(id))?;
        let words = format!("Downloaded project {}", project.name);
        let event = Event::new(AuditAction::Export, "project", words).id(id).org(OrgId(project.organization_id));
        audit::record(tx, now, permit.caller(), &event)?;
        files::store::list_paths(tx, ProjectId(id))
    });
    let files = taken.await?;
    let (media, ending) = match query.format {
        Format::Zip => ("application/zip", "zip"),
        Format::Tar => ("application/x-tar", "tar"),
    };
    let body = async_stream::try_stream! {
        // Held until the last byte is out.
        let _turn = turn;
        let mut packer = Packer::new(query.format);
        for file in files {
            let content = projects.content(&file.sha256).await.map_err(io::Error::other)?;
            yield packer.add(&file, &content)?;
        }
        yield packer.finish()?;
    };
    Ok(attachment(media, &format!("project-{id}.{ending}"), body))
}

enum Packer {
    Zip(Zip),
    Tar(Sink, Box<tar::Builder<Sink>>),
}

impl Packer {
    fn new(format: Format) -> Self {
        match format {
            Format::Zip => Self::Zip(Zip::default()),
            Format::Tar => {
                let sink = Sink::default();
                Self::Tar(sink.clone(), Box::new(tar::Builder::new(sink)))
            }
        }
    }

    /// Packs a file; the bytes that can go out.
    fn add(&mut self, file: &ProjectFile, content: &[u8]) -> io::Result<Bytes> {
        match self {
            Self::Zip(zip) => {
                zip.start(&file.path)?;
                zip.write_all(content)?;
                Ok(zip.take())
            }
            Self::Tar(sink, tar) => {
                let mut header = tar::Header::new_gnu();
                header.set_size(content.len() as u64);
                header.set_mode(MODE);
                header.set_mtime(u64::try_from(file.updated_at.unix_seconds()).unwrap_or(0));
                tar.append_data(&mut header, &file.path, content)?;
                Ok(sink.take())
            }
        }
    }

    fn finish(self) -> io::Result<Bytes> {
        match self {
            Self::Zip(zip) => zip.finish(),
            Self::Tar(sink, tar) => {
                drop(tar.into_inner()?);
                Ok(sink.take())
            }
        }
    }
}

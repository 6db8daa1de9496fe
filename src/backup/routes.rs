//! Backups over HTTP, for who runs the site.

use age::secrecy::SecretString;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::keep::Keep;
use super::schedule::Schedule;
use super::work::Doing;
use super::{Backups, Lock, Pruned, Record, store};
use crate::access::Permit;
use crate::access::actions::BackupManage;
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::web::{Json, Path, Problem, Query};

/// The shortest passphrase that is taken, in characters.
const SHORTEST: usize = 12;
const LONGEST: usize = 1000;
const MOST_RECIPIENTS: usize = 20;

impl Backups {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(status, choose))
            .routes(routes!(plan))
            .routes(routes!(list, ask))
            .routes(routes!(one))
            .routes(routes!(verify))
            .routes(routes!(prune))
            .with_state(self)
    }
}

/// Where backups go.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackupTarget)]
struct Target {
    folder: String,
    repository_id: String,
    keep: Keep,
    schedule: Schedule,
    set_at: Time,
    /// When the next one is taken; null when none is planned.
    next_at: Option<Time>,
    /// Why the folder cannot be used now; null when it can.
    problem: Option<String>,
    /// Who can open the repository beside the site: `passphrase`, or public keys of age.
    opened_by: Vec<String>,
}

/// What is being done, and how far.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackupAtWork)]
struct AtWork {
    doing: Doing,
    bytes_done: u64,
    /// Grows while more is found.
    bytes_expected: u64,
}

/// How backups of the site stand.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackupState)]
struct Status {
    /// Null until somebody chose one.
    target: Option<Target>,
    at_work: Option<AtWork>,
    /// The newest that is complete.
    newest: Option<Record>,
}

/// How backups stand: where they go, when, what is being done, and the newest. Administrators of the site only.
#[utoipa::path(get, path = "/api/backup", tag = "backup",
    responses((status = 200, body = Status), (status = "default", response = Problem)))]
async fn status(State(backups): State<Backups>, permit: Permit<BackupManage>) -> Result<Json<Status>> {
    permit.require_site()?;
    backups.shown().await.map(Json)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Choice {
    /// An absolute path on the server: an empty folder, or one with a repository that the passphrase opens.
    folder: String,
    /// What opens the repository without this site, 12 characters at least. Either this or `recipients`.
    passphrase: Option<String>,
    /// Public keys of age whose owners can open it.
    #[serde(default)]
    recipients: Vec<String>,
    #[serde(default)]
    keep: Keep,
    #[serde(default)]
    schedule: Schedule,
}

/// Choose where backups go: an empty folder becomes a repository, one that is there is gone on with. Keep the passphrase where
/// this server is not: without it a lost site's backups cannot be opened. Administrators of the site only.
#[utoipa::path(put, path = "/api/backup", tag = "backup", request_body = Choice,
    responses((status = 200, body = Status), (status = "default", response = Problem)))]
async fn choose(
    State(backups): State<Backups>,
    permit: Permit<BackupManage>,
    Json(choice): Json<Choice>,
) -> Result<Json<Status>> {
    permit.require_site()?;
    let Choice { folder, passphrase, recipients, keep, schedule } = choice;
    let lock = lock(passphrase.map(SecretString::from), recipients)?;
    backups.choose(permit.caller().clone(), folder, lock, keep, schedule).await?;
    backups.shown().await.map(Json)
}

fn lock(passphrase: Option<SecretString>, recipients: Vec<String>) -> Result<Lock> {
    use age::secrecy::ExposeSecret;
    let wrong = |field: &str, sentence: String| Err(Error::invalid("backup_lock", sentence).field(field));
    match (passphrase, recipients.len()) {
        (Some(passphrase), 0) => match passphrase.expose_secret().chars().count() {
            SHORTEST..=LONGEST => Ok(Lock::Passphrase(passphrase)),
            _ => wrong("passphrase", format!("A passphrase has {SHORTEST} to {LONGEST} characters.")),
        },
        (None, 1..=MOST_RECIPIENTS) => Ok(Lock::Recipients(recipients)),
        (None, 0) => wrong("passphrase", "Give a passphrase, or public keys of age as recipients.".to_owned()),
        _ => wrong("recipients", format!("Give either a passphrase or 1 to {MOST_RECIPIENTS} recipients.")),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BackupPlan)]
struct Plan {
    keep: Keep,
    schedule: Schedule,
}

/// Change when backups are taken and how many are kept. Administrators of the site only.
#[utoipa::path(put, path = "/api/backup/plan", tag = "backup", request_body = Plan,
    responses((status = 200, body = Status), (status = "default", response = Problem)))]
async fn plan(
    State(backups): State<Backups>,
    permit: Permit<BackupManage>,
    Json(Plan { keep, schedule }): Json<Plan>,
) -> Result<Json<Status>> {
    permit.require_site()?;
    backups.plan(permit.caller().clone(), keep, schedule).await?;
    backups.shown().await.map(Json)
}

/// Backups that were taken here, newest first. Administrators of the site only.
#[utoipa::path(get, path = "/api/backups", tag = "backup", params(PageQuery),
    responses((status = 200, body = List<Record>), (status = "default", response = Problem)))]
async fn list(
    State(backups): State<Backups>,
    permit: Permit<BackupManage>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<Record>>> {
    permit.require_site()?;
    let page = query.check()?;
    let records = backups.inner.site.db.read(move |tx| store::page(tx, page)).await?;
    Ok(Json(page.list(records, |record| record.id)))
}

/// Take a backup now. It goes on when you leave; its progress is under GET /api/backup. Administrators of the site only.
#[utoipa::path(post, path = "/api/backups", tag = "backup",
    responses((status = 202, body = Record), (status = "default", response = Problem)))]
async fn ask(State(backups): State<Backups>, permit: Permit<BackupManage>) -> Result<(StatusCode, Json<Record>)> {
    permit.require_site()?;
    Ok((StatusCode::ACCEPTED, Json(backups.ask(permit.caller().clone()).await?)))
}

/// One backup. Administrators of the site only.
#[utoipa::path(get, path = "/api/backups/{backup_id}", tag = "backup", params(("backup_id" = i64, Path)),
    responses((status = 200, body = Record), (status = "default", response = Problem)))]
async fn one(
    State(backups): State<Backups>,
    permit: Permit<BackupManage>,
    Path(id): Path<i64>,
) -> Result<Json<Record>> {
    permit.require_site()?;
    backups.inner.site.db.read(move |tx| store::find(tx, id)).await.map(Json)
}

/// Restore a backup into a scratch place and look at what comes of it, also whether its trail is whole. It goes on when you
/// leave; what was found is the backup's `proof`. Administrators of the site only.
#[utoipa::path(post, path = "/api/backups/{backup_id}/verify", tag = "backup", params(("backup_id" = i64, Path)),
    responses((status = 202, body = Record), (status = "default", response = Problem)))]
async fn verify(
    State(backups): State<Backups>,
    permit: Permit<BackupManage>,
    Path(id): Path<i64>,
) -> Result<(StatusCode, Json<Record>)> {
    permit.require_site()?;
    Ok((StatusCode::ACCEPTED, Json(backups.ask_proof(permit.caller().clone(), id).await?)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PruneQuery {
    /// Tell what would go, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Let go of backups that the rule does not keep, and of what only they held. Administrators of the site only.
#[utoipa::path(post, path = "/api/backup/prune", tag = "backup", params(PruneQuery),
    responses((status = 200, body = Pruned), (status = "default", response = Problem)))]
async fn prune(
    State(backups): State<Backups>,
    permit: Permit<BackupManage>,
    Query(query): Query<PruneQuery>,
) -> Result<Json<Pruned>> {
    permit.require_site()?;
    backups.prune(permit.caller().clone(), query.dry_run).await.map(Json)
}

impl Backups {
    async fn shown(&self) -> Result<Status> {
        let target = match self.target().await? {
            None => None,
            Some(kept) => {
                let (problem, opened_by) = match self.repository().await {
                    Ok(repository) => (None, repository.about().opened_by.clone()),
                    Err(error) => (Some(error.message().to_owned()), Vec::new()),
                };
                let store::Target { folder, repository_id, keep, schedule, set_at, next_at, .. } = kept;
                Some(Target { folder, repository_id, keep, schedule, set_at, next_at, problem, opened_by })
            }
        };
        let at_work = self.doing().map(|(doing, progress)| {
            let (bytes_done, bytes_expected) = progress.get();
            AtWork { doing, bytes_done, bytes_expected }
        });
        Ok(Status { target, at_work, newest: self.newest().await? })
    }
}

//! Mails over HTTP: for the site's administrators.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::smtp::Step;
use super::{Errand, Mail, MailState, Mailer, SEND, deliver, store};
use crate::access::Permit;
use crate::access::actions::OrganizationManage;
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::email;
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::jobs;
use crate::web::{Json, Path, Problem, Query};

impl Mailer {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(status))
            .routes(routes!(test))
            .routes(routes!(list))
            .routes(routes!(retry))
            .routes(routes!(discard))
            .with_state(self)
    }
}

/// Whether and how the site sends mails, and how they stand.
#[derive(Debug, Serialize, ToSchema)]
struct MailStatus {
    /// Whether there is a mail server; the other settings are null when not.
    configured: bool,
    /// Its host and port.
    server: Option<String>,
    /// `starttls`, `tls`, `none` or `unprotected`.
    security: Option<&'static str>,
    /// Whom the site signs in as there.
    username: Option<String>,
    from: Option<String>,
    /// Where links in mails lead; null: mails hold codes only.
    public_url: Option<String>,
    /// How many mails wait.
    queued: i64,
    /// When the oldest of those was made.
    oldest_queued_at: Option<Time>,
    /// How many the mail server took within the last 30 days.
    sent: i64,
    /// How many were given up within the last 30 days.
    failed: i64,
    /// Why the newest of those that wait or were given up was not taken.
    last_error: Option<String>,
}

/// Whether and how the site sends mails. Administrators of the site only.
#[utoipa::path(get, path = "/api/mail", tag = "mail",
    responses((status = 200, body = MailStatus), (status = "default", response = Problem)))]
async fn status(State(mailer): State<Mailer>, permit: Permit<OrganizationManage>) -> Result<Json<MailStatus>> {
    permit.require_site()?;
    let read = mailer.0.db.read(|tx| Ok((store::counts(tx)?, store::last_error(tx)?)));
    let (counts, last_error) = read.await?;
    let server = mailer.0.server.as_ref();
    Ok(Json(MailStatus {
        configured: server.is_some(),
        server: server.map(super::Server::name),
        security: server.map(|server| server.security.name()),
        username: server.and_then(|server| server.credentials.as_ref().map(|(name, _)| name.clone())),
        from: server.map(|server| server.from.clone()),
        public_url: mailer.0.public_url.clone(),
        queued: counts.queued,
        oldest_queued_at: counts.oldest_queued,
        sent: counts.sent,
        failed: counts.failed,
        last_error,
    }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TestMail {
    /// Whom to send it to.
    address: String,
}

/// How a test went.
#[derive(Debug, Serialize, ToSchema)]
struct TestedMail {
    /// Whether the mail server took it.
    delivered: bool,
    /// In their order; the last one is the one that failed, when one did.
    steps: Vec<Step>,
}

/// Send a mail at once and tell how each step went. Administrators of the site only.
#[utoipa::path(post, path = "/api/mail/test", tag = "mail", request_body = TestMail,
    responses((status = 200, body = TestedMail), (status = "default", response = Problem)))]
async fn test(
    State(mailer): State<Mailer>,
    permit: Permit<OrganizationManage>,
    Json(body): Json<TestMail>,
) -> Result<Json<TestedMail>> {
    permit.require_site()?;
    email::check(&body.address, "address")?;
    let steps = mailer.test(&body.address).await?;
    let delivered = steps.iter().all(|step| step.ok);
    let now = mailer.0.clock.now();
    let write = mailer.0.db.write(move |tx| {
        let event = Event::new(AuditAction::Execute, "mail", "Sent a mail to test the mail server");
        audit::record(tx, now, permit.caller(), &if delivered { event } else { event.failed() })
    });
    write.await?;
    Ok(Json(TestedMail { delivered, steps }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct MailFilter {
    state: Option<MailState>,
}

/// The mails that wait, and those sent or given up within the last 30 days, newest first. Administrators of the site only.
#[utoipa::path(get, path = "/api/mails", tag = "mail", params(PageQuery, MailFilter),
    responses((status = 200, body = List<Mail>), (status = "default", response = Problem)))]
async fn list(
    State(mailer): State<Mailer>,
    permit: Permit<OrganizationManage>,
    Query(query): Query<PageQuery>,
    Query(filter): Query<MailFilter>,
) -> Result<Json<List<Mail>>> {
    permit.require_site()?;
    let page = query.check()?;
    let found = mailer.0.db.read(move |tx| store::list(tx, filter.state, page));
    Ok(Json(page.list(found.await?, |mail| mail.id)))
}

/// Try a mail again now, also one that was given up within the last 7 days. Administrators of the site only.
#[utoipa::path(post, path = "/api/mails/{id}/retry", tag = "mail", params(("id" = i64, Path)),
    responses((status = 200, body = Mail), (status = "default", response = Problem)))]
async fn retry(
    State(mailer): State<Mailer>,
    permit: Permit<OrganizationManage>,
    Path(id): Path<i64>,
) -> Result<Json<Mail>> {
    permit.require_site()?;
    if !mailer.is_on() {
        return Err(deliver::off());
    }
    let now = mailer.0.clock.now();
    let write = mailer.0.db.write(move |tx| {
        let before = store::find(tx, id)?.ok_or_else(|| Error::not_found("such mail"))?;
        let job = jobs::enqueue(tx, now, SEND, &Errand { mail: id })?;
        let Some(waited) = store::again(tx, id, job, now)? else { return Err(gone(&before)) };
        if let Some(waited) = waited {
            jobs::withdraw(tx, waited)?;
        }
        let event = Event::new(AuditAction::Update, "mail", format!("Tried mail {id} again")).id(id);
        audit::record(tx, now, permit.caller(), &event)?;
        store::find(tx, id)?.ok_or_else(|| Error::not_found("such mail"))
    });
    write.await.map(Json)
}

/// Drop a mail: one that waits is not sent, and its text goes. Administrators of the site only.
#[utoipa::path(delete, path = "/api/mails/{id}", tag = "mail", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
async fn discard(
    State(mailer): State<Mailer>,
    permit: Permit<OrganizationManage>,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    permit.require_site()?;
    let now = mailer.0.clock.now();
    let write = mailer.0.db.write(move |tx| {
        let mail = store::find(tx, id)?.ok_or_else(|| Error::not_found("such mail"))?;
        if let Some(job) = store::delete(tx, id)? {
            jobs::withdraw(tx, job)?;
        }
        // Neither the address nor the subject: both tell of a person whom the trail outlives.
        let before = json!({"kind": mail.kind, "state": mail.state, "attempts": mail.attempts});
        let event = Event::new(AuditAction::Delete, "mail", format!("Dropped mail {id}")).id(id).before(&before);
        audit::record(tx, now, permit.caller(), &event)
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}

fn gone(mail: &Mail) -> Error {
    let why = match mail.state {
        MailState::Sent => "was sent",
        MailState::Queued | MailState::Failed => "is too old",
    };
    let message = format!("Mail {} {why}, and its text is not kept. Do again what it was about.", mail.id);
    Error::conflict("mail_gone", message)
}

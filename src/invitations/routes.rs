//! Invitations over HTTP.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::store::New;
use super::{Invitation, InvitationStatus, Invitations, accept, check, store};
use crate::access::actions::UserInvite;
use crate::access::{OrgId, Origin, Permit, Place, TeamId};
use crate::accounts::{grants, passwords};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::{DAY, Time};
use crate::base::email;
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery, check_part};
use crate::db::Tx;
use crate::mail::{self, MailKind, Mailer, NewMail, Queued};
use crate::orgs::{self, Organization};
use crate::teams;
use crate::web::{Created, Json, Oneself, Path, Problem, Public, Query};

impl Invitations {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list, create))
            .routes(routes!(revoke))
            .routes(routes!(resend))
            .routes(routes!(look))
            .routes(routes!(accept_new))
            .routes(routes!(join))
            .with_state(self)
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewInvitation {
    email: String,
    /// The code of a role that holds no more than you do there.
    role: String,
    /// Absent or null: into the organisation as a whole.
    team_id: Option<i64>,
    /// Days until it ends, 1 to 90, or as few as the organisation allows; 7 when absent.
    days: Option<i64>,
}

/// An invitation with what whoever is invited needs. The code is not kept and cannot be shown again.
#[derive(Debug, Serialize, ToSchema)]
struct SentInvitation {
    invitation: Invitation,
    code: String,
    /// The page of this site that takes the code, a whole address where the site was told its own (`server.public_url`);
    /// a browser does not send what is behind the `#`.
    link: String,
    /// To be handed over as a file where there is no mail.
    file: InvitationFile,
    /// Whether it is on its way to the address.
    mailed: bool,
}

/// What is written into the file of an invitation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
struct InvitationFile {
    /// `resoftai-invitation-1`.
    format: String,
    organization: String,
    role: String,
    email: String,
    expires_at: Time,
    code: String,
    link: String,
}

/// Mails an invitation where the site sends mails, and makes the answer.
fn sent(tx: &mut Tx<'_>, mailer: &Mailer, now: Time, invitation: Invitation, code: &str) -> Result<SentInvitation> {
    let org = orgs::store::by_id(tx, OrgId(invitation.organization_id))?;
    let link = mailer.link(&format!("/invitation#{code}"));
    let mailed = mail(tx, mailer, now, &org, &invitation, code)? == Queued::Yes;
    let file = InvitationFile {
        format: "resoftai-invitation-1".to_owned(),
        organization: org.name,
        role: invitation.role.clone(),
        email: invitation.email.clone(),
        expires_at: invitation.expires_at,
        code: code.to_owned(),
        link: link.clone(),
    };
    Ok(SentInvitation { invitation, code: code.to_owned(), link, file, mailed })
}

fn mail(
    tx: &mut Tx<'_>,
    mailer: &Mailer,
    now: Time,
    org: &Organization,
    invitation: &Invitation,
    code: &str,
) -> Result<Queued> {
    let way = match mailer.whole_link(&format!("/invitation#{code}")) {
        Some(link) => format!("Accept it here:\n\n{link}\n\nor give this code where the site asks for one:"),
        None => "Open the site at /invitation and give this code:".to_owned(),
    };
    let Invitation { role, expires_at, .. } = invitation;
    let body = format!(
        "You are invited to work in {} as {role}.\n\n{way}\n\n{code}\n\nIt counts until {expires_at}, for one person and \
         once. If you do not know {}, leave it.",
        org.name, org.name
    );
    let subject = format!("Invitation to {}", org.name);
    let (recipient, about) = (&invitation.email, Some(invitation.id));
    let mail = NewMail { kind: MailKind::Invitation, user: None, about, recipient, subject: &subject, body: &body };
    mailer.queue(tx, now, &mail)
}

/// An organisation in which the permit counts somewhere is there for its holder.
fn require_some(permit: &Permit<UserInvite>, org: OrgId) -> Result<()> {
    let in_a_team = permit
        .caller()
        .grants
        .teams
        .iter()
        .any(|(team, of, _)| *of == org && permit.covers_place(Place::Team(org, *team)));
    if in_a_team { Ok(()) } else { permit.require(org, "such organization") }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct InvitationFilter {
    status: Option<InvitationStatus>,
    /// A part of the address, whatever its case; at most 100 characters.
    q: Option<String>,
}

/// The invitations of an organisation, newest first; those who invite into teams only see those of their teams.
#[utoipa::path(get, path = "/api/organizations/{id}/invitations", tag = "invitations",
    params(("id" = i64, Path), PageQuery, InvitationFilter),
    responses((status = 200, body = List<Invitation>), (status = "default", response = Problem)))]
async fn list(
    State(room): State<Invitations>,
    permit: Permit<UserInvite>,
    Path(id): Path<i64>,
    Query(query): Query<PageQuery>,
    Query(filter): Query<InvitationFilter>,
) -> Result<Json<List<Invitation>>> {
    let (page, org, now) = (query.check()?, OrgId(id), room.accounts.clock.now());
    require_some(&permit, org)?;
    check_part(filter.q.as_ref())?;
    let found = room.accounts.db.read(move |tx| {
        orgs::store::by_id(tx, org)?;
        store::list(tx, &permit, org, (filter.status, filter.q.as_deref()), page, now)
    });
    Ok(Json(page.list(found.await?, |invitation| invitation.id)))
}

/// Invite somebody. They accept with the code, the link or the file of the answer.
#[utoipa::path(post, path = "/api/organizations/{id}/invitations", tag = "invitations", params(("id" = i64, Path)),
    request_body = NewInvitation,
    responses((status = 201, body = SentInvitation), (status = "default", response = Problem)))]
async fn create(
    State(room): State<Invitations>,
    permit: Permit<UserInvite>,
    Path(id): Path<i64>,
    Json(body): Json<NewInvitation>,
) -> Result<Created<SentInvitation>> {
    email::check(&body.email, "email")?;
    let (org, now) = (OrgId(id), room.accounts.clock.now());
    require_some(&permit, org)?;
    let ((code, code_hash), mailer) = (passwords::code()?, room.accounts.mailer.clone());
    let licence = room.accounts.licence().clone();
    let write = room.accounts.db.write(move |tx| {
        orgs::store::by_id(tx, org)?;
        let team = body.team_id.map(TeamId);
        if let Some(team) = team {
            if teams::store::organization(tx, team)? != Some(org) {
                return Err(Error::not_found("such team").field("team_id"));
            }
            teams::store::find(tx, team)?.choosable()?;
        }
        let place = Place::of(Some(org.0), body.team_id);
        let role = grants::store::find(tx, &body.role, place)?;
        grants::check_grant(&permit, &role.code, role.permissions, place)?;
        let days = check(&body.email, body.days, &orgs::settings::of(tx, org)?)?;
        let new = New {
            place,
            org,
            email: &body.email,
            role: &role.code,
            code_hash: &code_hash,
            expires_at: now.plus(days * DAY),
        };
        licence.require_seat(tx)?;
        let invitation = store::insert(tx, &permit, now, &new)?;
        tell(tx, now, &permit, AuditAction::Create, "Invited somebody with", &invitation)?;
        sent(tx, &mailer, now, invitation, &code)
    });
    write.await.map(Created)
}

/// Without the address: see the room's invariants.
fn tell(
    tx: &mut Tx<'_>,
    now: Time,
    permit: &Permit<UserInvite>,
    action: AuditAction,
    what: &str,
    invitation: &Invitation,
) -> Result<()> {
    let state = serde_json::json!({"role": invitation.role, "team_id": invitation.team_id,
        "status": invitation.status, "expires_at": invitation.expires_at});
    let event = Event::new(action, "invitation", format!("{what} invitation {} as {}", invitation.id, invitation.role));
    let event = event.id(invitation.id).org(OrgId(invitation.organization_id));
    let event = if action == AuditAction::Delete { event.before(&state) } else { event.after(&state) };
    audit::record(tx, now, permit.caller(), &event)
}

/// The invitation, when the permit counts where it leads to.
fn covered(tx: &mut Tx<'_>, permit: &Permit<UserInvite>, org: OrgId, id: i64, now: Time) -> Result<Invitation> {
    let found = store::find(tx, org, id, now)?.ok_or_else(|| Error::not_found("such invitation"))?;
    permit.require_place(found.place(), "such invitation")?;
    Ok(found)
}

fn closed(invitation: &Invitation) -> Error {
    let message = format!("Invitation {} was accepted or revoked. Invite the person anew.", invitation.id);
    Error::conflict("invitation_closed", message)
}

/// Revoke an invitation; its code counts no longer.
#[utoipa::path(delete, path = "/api/organizations/{id}/invitations/{invitation_id}", tag = "invitations",
    params(("id" = i64, Path), ("invitation_id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
async fn revoke(
    State(room): State<Invitations>,
    permit: Permit<UserInvite>,
    Path((id, invitation_id)): Path<(i64, i64)>,
) -> Result<StatusCode> {
    let now = room.accounts.clock.now();
    let write = room.accounts.db.write(move |tx| {
        let invitation = covered(tx, &permit, OrgId(id), invitation_id, now)?;
        if !store::revoke(tx, &permit, invitation_id, now)? {
            return Err(closed(&invitation));
        }
        mail::withdraw(tx, MailKind::Invitation, invitation_id)?;
        tell(tx, now, &permit, AuditAction::Delete, "Revoked", &invitation)
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Resend {
    /// Days until it ends, from now; 7 when absent.
    days: Option<i64>,
}

/// Send an invitation again, also one that has expired: with another code, the one before counts no longer.
#[utoipa::path(post, path = "/api/organizations/{id}/invitations/{invitation_id}/resend", tag = "invitations",
    params(("id" = i64, Path), ("invitation_id" = i64, Path)), request_body = Resend,
    responses((status = 200, body = SentInvitation), (status = "default", response = Problem)))]
async fn resend(
    State(room): State<Invitations>,
    permit: Permit<UserInvite>,
    Path((id, invitation_id)): Path<(i64, i64)>,
    Json(body): Json<Resend>,
) -> Result<Json<SentInvitation>> {
    let (org, now) = (OrgId(id), room.accounts.clock.now());
    let ((code, code_hash), mailer) = (passwords::code()?, room.accounts.mailer.clone());
    let write = room.accounts.db.write(move |tx| {
        let before = covered(tx, &permit, org, invitation_id, now)?;
        let role = grants::store::find(tx, &before.role, before.place())?;
        grants::check_grant(&permit, &role.code, role.permissions, before.place())?;
        let days = check(&before.email, body.days, &orgs::settings::of(tx, org)?)?;
        if !store::renew(tx, &permit, invitation_id, &code_hash, now.plus(days * DAY))? {
            return Err(closed(&before));
        }
        mail::withdraw(tx, MailKind::Invitation, invitation_id)?;
        let after = covered(tx, &permit, org, invitation_id, now)?;
        tell(tx, now, &permit, AuditAction::Update, "Sent again", &after)?;
        sent(tx, &mailer, now, after, &code)
    });
    write.await.map(Json)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Code {
    code: String,
}

/// What an invitation is for.
#[derive(Debug, Serialize, ToSchema)]
struct Offer {
    /// The organisation's name.
    organization: String,
    role: String,
    email: String,
    expires_at: Time,
}

/// What a code is for, to whoever has it. It goes in the body, so that no log has it.
#[utoipa::path(post, path = "/api/invitations/look", tag = "invitations", request_body = Code,
    responses((status = 200, body = Offer), (status = "default", response = Problem)))]
async fn look(_: Public, State(room): State<Invitations>, Json(body): Json<Code>) -> Result<Json<Offer>> {
    let (invitation, org) = accept::look(&room, &body.code).await?;
    let Invitation { role, email, expires_at, .. } = invitation;
    Ok(Json(Offer { organization: org.name, role, email, expires_at }))
}

/// The role that came with an invitation.
#[derive(Debug, Serialize, ToSchema)]
struct Accepted {
    user_id: i64,
    organization_id: i64,
    team_id: Option<i64>,
    role: String,
}

impl Accepted {
    fn of((invitation, user): (Invitation, crate::access::UserId)) -> Self {
        let Invitation { organization_id, team_id, role, .. } = invitation;
        Self { user_id: user.0, organization_id, team_id, role }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Acceptance {
    code: String,
    /// The name to sign in with.
    username: String,
    /// At least 16 characters, not easily guessed.
    password: String,
}

/// Accept an invitation as somebody new: makes the account, with the invitation's address. Then sign in.
#[utoipa::path(post, path = "/api/invitations/accept", tag = "invitations", request_body = Acceptance,
    responses((status = 201, body = Accepted), (status = "default", response = Problem)))]
async fn accept_new(
    _: Public,
    State(room): State<Invitations>,
    Extension(origin): Extension<Arc<Origin>>,
    Json(body): Json<Acceptance>,
) -> Result<Created<Accepted>> {
    let accepted = accept::as_new(&room, origin, &body.code, body.username, body.password).await?;
    Ok(Created(Accepted::of(accepted)))
}

/// Accept an invitation with the account one is signed in with; it must have the invitation's address.
#[utoipa::path(post, path = "/api/invitations/join", tag = "invitations", request_body = Code,
    responses((status = 200, body = Accepted), (status = "default", response = Problem)))]
async fn join(
    State(room): State<Invitations>,
    Oneself(caller): Oneself,
    Json(body): Json<Code>,
) -> Result<Json<Accepted>> {
    Ok(Json(Accepted::of(accept::as_known(&room, caller, &body.code).await?)))
}

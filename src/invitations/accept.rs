//! Accepting an invitation: by new people, who get an account with it, and by those who have one.
//!
//! Invariant: account, role, the invitation's end, and the audit entry are one transaction, in which everything the
//! invitation rests on is asked again: that it counts, that the organisation is at work, that who invited still may.

use std::sync::Arc;

use super::{Invitation, Invitations, refused, store};
use crate::access::actions::{UserInvite, UserManage};
use crate::access::{Actor, Caller, OrgId, Origin, UserId, Via};
use crate::accounts::grants::{self, FoundRole};
use crate::accounts::store::NewUser;
use crate::accounts::{self, User, check_username};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::crypto;
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::hooks::Hook;
use crate::mail::{self, MailKind};
use crate::notices::{self, NewNotice};
use crate::orgs::{self, Organization};

/// What a code is for, to whoever has it.
pub(super) async fn look(room: &Invitations, code: &str) -> Result<(Invitation, Organization)> {
    let (now, hash) = (room.accounts.clock.now(), digest(code));
    let found = room.accounts.db.read(move |tx| {
        let invitation = store::by_code(tx, &hash, now)?;
        let org = at_work(tx, &invitation)?;
        Ok((invitation, org))
    });
    found.await
}

/// Makes an account for whoever has the code, with the role it is for.
///
/// # Errors
/// `invitation_refused`; `invalid_username`, `username_taken`, `email_taken`; those of passwords; `organization_suspended`.
pub(super) async fn as_new(
    room: &Invitations,
    origin: Arc<Origin>,
    code: &str,
    username: String,
    password: String,
) -> Result<(Invitation, UserId)> {
    check_username(&username)?;
    // Nobody has passwords hashed here without a code that counts.
    let (invitation, org) = look(room, code).await?;
    let known = vec![username.clone(), invitation.email.clone(), org.name];
    let password_hash = room.accounts.hash(password, known).await?;
    let new = NewUser { username, email: invitation.email, password_hash, is_active: true };
    let (hash, accounts, now) = (digest(code), room.accounts.clone(), room.accounts.clock.now());
    let write = room.accounts.db.write(move |tx| {
        let invitation = store::by_code(tx, &hash, now)?;
        let site = Arc::new(Caller::system()).permit::<UserManage>()?;
        let id = accounts::store::insert(tx, &accounts, &site, now, &new).map_err(|error| taken(error, &new.email))?;
        let user = accounts::store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
        settle(tx, &accounts, now, &invitation, &user, &user.actor(), &origin)?;
        accounts.tell(tx, Hook::UserRegister, id)?;
        Ok((invitation, id))
    });
    write.await
}

fn taken(error: Error, email: &str) -> Error {
    if error.code() != "email_taken" {
        return error;
    }
    let message = format!("There is an account with the address {email}. Sign in with it, then join with this code.");
    Error::conflict("email_taken", message)
}

/// Gives the caller the role that the code is for.
///
/// # Errors
/// `invitation_refused`; `invitation_for_another`; `role_held`; `organization_suspended`.
pub(super) async fn as_known(room: &Invitations, caller: Arc<Caller>, code: &str) -> Result<(Invitation, UserId)> {
    let id = accounts::confirm::person(&caller)?;
    let (hash, accounts, now) = (digest(code), room.accounts.clone(), room.accounts.clock.now());
    let write = room.accounts.db.write(move |tx| {
        let invitation = store::by_code(tx, &hash, now)?;
        let user = accounts::store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
        if accounts::store::key(&user.email) != accounts::store::key(&invitation.email) {
            let message =
                "This invitation is for another address than that of your account. Sign in with the account it is for.";
            return Err(Error::forbidden("invitation_for_another", message));
        }
        settle(tx, &accounts, now, &invitation, &user, &caller.actor, &caller.origin)?;
        Ok((invitation, id))
    });
    write.await
}

fn digest(code: &str) -> String {
    crypto::sha256_hex(code.trim().as_bytes())
}

fn settle(
    tx: &mut Tx<'_>,
    accounts: &accounts::Accounts,
    now: Time,
    invitation: &Invitation,
    user: &User,
    actor: &Actor,
    origin: &Origin,
) -> Result<()> {
    let (id, org) = (UserId(user.id), at_work(tx, invitation)?);
    let (role, inviter) = still_given(tx, invitation)?;
    grants::store::give(tx, accounts, now, id, &role, invitation.place(), inviter)?;
    store::use_up(tx, invitation.id, id, now)?;
    mail::withdraw(tx, MailKind::Invitation, invitation.id)?;
    let text = format!("{} accepted invitation {} as {}", user.username, invitation.id, role.code);
    let event = Event::new(AuditAction::PermissionChange, "invitation", text).id(invitation.id).person(id);
    audit::record_as(tx, now, actor, origin, &event.org(OrgId(org.id)).after(invitation))?;
    if let Some(inviter) = inviter {
        let text = format!("{} accepted your invitation and is {} of {} now.", user.username, role.code, org.name);
        let notice = NewNotice::new("invitation_accepted", text).org(OrgId(org.id));
        notices::raise(tx, now, &[inviter], &notice)?;
    }
    Ok(())
}

fn at_work(tx: &mut Tx<'_>, invitation: &Invitation) -> Result<Organization> {
    let org = orgs::store::by_id(tx, OrgId(invitation.organization_id))?;
    match orgs::closed(&org) {
        Some(why) => Err(Error::forbidden("organization_suspended", why)),
        None => Ok(org),
    }
}

/// The role as it is now, and who gives it: they must still be allowed to.
fn still_given(tx: &mut Tx<'_>, invitation: &Invitation) -> Result<(FoundRole, Option<UserId>)> {
    let place = invitation.place();
    // A role that is gone is not given any more.
    let role = grants::store::find(tx, &invitation.role, place).map_err(|_| refused())?;
    let Some(inviter) = invitation.invited_by.map(UserId) else { return Ok((role, None)) };
    let user = accounts::store::user(tx, inviter)?.filter(|user| user.is_active).ok_or_else(refused)?;
    let caller = Caller {
        actor: user.actor(),
        user: Some(inviter),
        via: Via::Nothing,
        strong: true,
        held_back: false,
        sso: false,
        grants: Arc::new(user.grants()),
        origin: Origin::default(),
    };
    let permit = Arc::new(caller).permit::<UserInvite>().map_err(|_| refused())?;
    grants::check_grant(&permit, &role.code, role.permissions, place).map_err(|_| refused())?;
    Ok((role, Some(inviter)))
}

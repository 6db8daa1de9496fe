//! Joining and leaving a team.
//!
//! Invariant: only people of the organisation are in its teams. Nobody gives or takes more than they hold in the team, and
//! who owns a team is decided by its owners and by those who manage teams over the whole organisation.

use super::{Team, TeamMember, Teams};
use crate::access::actions::{TeamManage, UserManage};
use crate::access::policy::TEAM_OWNER;
use crate::access::{Caller, OrgId, Permit, TeamId, TeamRole, UserId};
use crate::accounts::grants::{self, check_grant};
use crate::accounts::{User, store as accounts};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::Tx;

/// Whether `user` may be drawn into a team of `org`: somebody of the organisation; for who manages people over the site,
/// anybody.
pub(super) fn may_join(tx: &mut Tx<'_>, permit: &Permit<TeamManage>, user: &User, org: OrgId) -> Result<bool> {
    let site = permit.caller_arc().permit::<UserManage>().is_ok_and(|permit| permit.require_site().is_ok());
    Ok(site || grants::store::belongs(tx, UserId(user.id), org)?)
}

/// # Errors
/// `owners_only`.
pub(super) fn check_owner(tx: &mut Tx<'_>, permit: &Permit<TeamManage>, team: &Team) -> Result<()> {
    if permit.covers(OrgId(team.organization_id)) {
        return Ok(());
    }
    let caller = match permit.caller().user {
        Some(id) => accounts::user(tx, id)?,
        None => None,
    };
    if caller.is_some_and(|user| TeamMember::new(&user, team).owns()) {
        return Ok(());
    }
    let message = "Only an owner of the team, or who manages teams over the whole organisation, decides who owns it and \
                   whether it goes on.";
    Err(Error::forbidden("owners_only", message))
}

impl Teams {
    /// Gives a person a role in a team, in the place of those they hold there.
    ///
    /// # Errors
    /// `not_found` when they are not of the organisation; `default_team`, `role_above_yours`, `owners_only`, `last_owner`.
    pub(super) fn set_member(
        &self,
        tx: &mut Tx<'_>,
        permit: &Permit<TeamManage>,
        now: Time,
        team: &Team,
        user: &User,
        role: TeamRole,
    ) -> Result<TeamMember> {
        team.choosable()?;
        let (place, before) = (team.place(), TeamMember::new(user, team));
        let role = grants::store::find(tx, role.role(), place)?;
        check_grant(permit, &role.code, role.permissions, place)?;
        self.check_taken(permit, team, user)?;
        if (role.code == TEAM_OWNER) != before.owns() {
            check_owner(tx, permit, team)?;
        }
        let id = UserId(user.id);
        grants::store::replace(tx, &self.accounts, now, id, &role, place, permit.caller().user)?;
        let user = accounts::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
        let member = TeamMember::new(&user, team);
        let text = format!("Made {} {} of team {}", user.username, role.code, team.name);
        let event = changed(team, &before, text).after(&member);
        audit::record(tx, now, permit.caller(), &event)?;
        Ok(member)
    }

    fn check_taken(&self, permit: &Permit<TeamManage>, team: &Team, user: &User) -> Result<()> {
        let place = team.place();
        let mut held = user.roles.iter().filter(|grant| grant.place() == place);
        held.try_for_each(|grant| check_grant(permit, &grant.role, grant.permissions, place))
    }

    /// Takes a person out of a team; `user` may be the caller, who needs no permission to leave.
    ///
    /// # Errors
    /// `not_found`; `default_team`, `role_above_yours`, `owners_only`, `last_owner`.
    pub(super) fn remove_member(
        &self,
        tx: &mut Tx<'_>,
        caller: &std::sync::Arc<Caller>,
        now: Time,
        id: TeamId,
        user: UserId,
    ) -> Result<()> {
        let absent = || Error::not_found(format!("member {} of team {}", user.0, id.0));
        let own = caller.user == Some(user);
        let permit = if own { None } else { Some(caller.permit::<TeamManage>()?) };
        let team = super::store::find(tx, id).map_err(|_| absent())?;
        if let Some(permit) = &permit {
            permit.require_place(team.place(), "").map_err(|_| absent())?;
        }
        let person = accounts::user(tx, user)?;
        let person = person.filter(|person| !TeamMember::new(person, &team).roles.is_empty()).ok_or_else(absent)?;
        team.choosable()?;
        let before = TeamMember::new(&person, &team);
        if let Some(permit) = &permit {
            self.check_taken(permit, &team, &person)?;
            if before.owns() {
                check_owner(tx, permit, &team)?;
            }
        }
        grants::store::leave_team(tx, &self.accounts, user, OrgId(team.organization_id), id)?;
        let text = format!("Took {} out of team {}", person.username, team.name);
        let text = if own { format!("{} left team {}", person.username, team.name) } else { text };
        audit::record(tx, now, caller, &changed(&team, &before, text))
    }
}

fn changed(team: &Team, before: &TeamMember, text: String) -> Event {
    let event = Event::new(AuditAction::PermissionChange, "user", text).id(before.user_id);
    let event = event.person(UserId(before.user_id)).org(OrgId(team.organization_id));
    if before.roles.is_empty() { event } else { event.before(before) }
}

//! Who can do something here, and why.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Assignment, Giver};
use crate::access::actions::{OrganizationRead, UserRead};
use crate::access::policy::{self, LIFTED, TEAM_OWNER};
use crate::access::{OrgId, PermissionSet, Permit, Place, Role, TeamId};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::PageQuery;
use crate::db::Tx;
use crate::roles::Roles;
use crate::roles::store::{self, Search};
use crate::web::{Json, Path, Problem, Query};
use crate::{orgs, teams};

/// A role that lets somebody do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// The assignment's id.
    pub assignment_id: i64,
    pub role: String,
    /// `site`, `organization` or `team`: where the role is held.
    pub scope: String,
    pub team_id: Option<i64>,
    /// Since when.
    pub granted_at: Time,
    /// By whom; null: the local operator, or somebody who is gone.
    pub granted_by: Option<Giver>,
}

impl Reason {
    pub fn of(held: Assignment) -> Self {
        let scope = match Place::of(held.organization_id, held.team_id) {
            Place::Site => "site",
            Place::Org(_) => "organization",
            Place::Team(..) => "team",
        };
        Self {
            assignment_id: held.id,
            role: held.role,
            scope: scope.to_owned(),
            team_id: held.team_id,
            granted_at: held.granted_at,
            granted_by: held.granted_by,
        }
    }
}

/// Somebody who can do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Able {
    pub user_id: i64,
    pub username: String,
    pub because: Vec<Reason>,
}

/// The answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    pub permission: String,
    pub organization_id: i64,
    pub team_id: Option<i64>,
    /// The codes of the roles that allow it here.
    pub roles: Vec<String>,
    /// Who can, newest account first. Administrators of the site can as well; who may see them finds them here, too.
    pub items: Vec<Able>,
    pub next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// The code of a permission, such as `project.delete`.
    permission: String,
    /// This person only.
    user_id: Option<i64>,
    /// In this team, instead of in the organisation as a whole.
    team_id: Option<i64>,
    /// How many people, 1 to 100; 20 when absent.
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Who can do something in an organisation, or in one of its teams, and by which role since when.
#[utoipa::path(get, path = "/api/organizations/{id}/permissions/explain", tag = "roles",
    params(("id" = i64, Path), ExplainQuery),
    responses((status = 200, body = Explanation), (status = "default", response = Problem)))]
pub async fn explain(
    State(roles): State<Roles>,
    permit: Permit<UserRead>,
    Path(id): Path<i64>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<Explanation>> {
    let org = OrgId(id);
    permit.require(org, "such organization")?;
    let wanted = PermissionSet::parse([query.permission.as_str()]).map_err(|_| {
        let message = "That is no permission. GET /api/permissions lists those there are.";
        Error::invalid("unknown_permission", message).field("permission")
    })?;
    let page = PageQuery { limit: query.limit, cursor: query.cursor }.check()?;
    let (user, team) = (query.user_id, query.team_id);
    let found = roles.db.read(move |tx| {
        orgs::store::get(tx, &permit.caller_arc().permit::<OrganizationRead>()?, org)?;
        if let Some(team) = team
            && teams::store::organization(tx, TeamId(team))? != Some(org)
        {
            return Err(Error::not_found("such team").field("team_id"));
        }
        let search = Search {
            org,
            roles: allowing(tx, org, wanted)?,
            team,
            any_team: LIFTED.contains(wanted),
            site: permit.require_site().is_ok(),
            user,
        };
        let mut able = Vec::new();
        for (user, username) in store::people_with(tx, &search, page)? {
            let because = store::reasons(tx, &search, user)?;
            able.push(Able { user_id: user.0, username, because });
        }
        Ok((search.roles, able))
    });
    let (roles, able) = found.await?;
    let list = page.list(able, |able| able.user_id);
    Ok(Json(Explanation {
        permission: query.permission,
        organization_id: id,
        team_id: team,
        roles,
        items: list.items,
        next_cursor: list.next_cursor,
    }))
}

/// The codes of the roles that allow all of `wanted`.
fn allowing(tx: &mut Tx<'_>, org: OrgId, wanted: PermissionSet) -> Result<Vec<String>> {
    let built_in = Role::ALL.into_iter().map(Role::code).chain([TEAM_OWNER]);
    let built_in = built_in.filter(|code| policy::built_in(code).is_some_and(|set| set.contains(wanted)));
    let mut codes: Vec<String> = built_in.map(str::to_owned).collect();
    codes.extend(store::own(tx, org)?.into_iter().filter(|role| role.set().contains(wanted)).map(|role| role.code));
    Ok(codes)
}

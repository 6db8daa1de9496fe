//! Roles over HTTP: the catalogue, organisations' own roles, who holds which, and why somebody may do something.

mod assignments;
mod explain;
mod own;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use assignments::{Assignment, Giver};
pub use explain::Reason;

use super::{PermissionInfo, RoleInfo, Roles, catalogue};
use crate::access::Role;
use crate::base::page::List;
use crate::web::{Json, Problem, SignedIn};

impl Roles {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(permissions))
            .routes(routes!(built_in))
            .routes(routes!(own::list, own::create))
            .routes(routes!(own::get, own::update, own::delete))
            .routes(routes!(assignments::list, assignments::create))
            .routes(routes!(assignments::delete))
            .routes(routes!(assignments::list_site, assignments::create_site))
            .routes(routes!(assignments::delete_site))
            .routes(routes!(explain::explain))
            .with_state(self)
    }
}

/// Everything that can be allowed.
#[utoipa::path(get, path = "/api/permissions", tag = "roles",
    responses((status = 200, body = List<PermissionInfo>), (status = "default", response = Problem)))]
async fn permissions(_: SignedIn) -> Json<List<PermissionInfo>> {
    Json(List { items: catalogue(), next_cursor: None })
}

/// The built-in roles.
#[utoipa::path(get, path = "/api/roles", tag = "roles",
    responses((status = 200, body = List<RoleInfo>), (status = "default", response = Problem)))]
async fn built_in(_: SignedIn) -> Json<List<RoleInfo>> {
    Json(List { items: Role::ALL.into_iter().map(RoleInfo::built_in).collect(), next_cursor: None })
}

//! Accounts over HTTP: sign-in and who am I, people, members, personal tokens.

mod factors;
mod forgot;
mod members;
mod organizations;
pub(crate) mod passkeys;
mod passwords;
mod register;
mod services;
mod sessions;
mod setup;
pub(crate) mod sign_in;
mod standing;
mod tokens;
mod users;

pub use members::Member;
pub use users::{Only, PeopleFilter};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Accounts;
use crate::orgs::Orgs;

/// The cookie that carries a browser's session.
pub const COOKIE: &str = "resoftai_session";

impl Accounts {
    pub fn routes(self, orgs: Orgs) -> OpenApiRouter {
        let making = OpenApiRouter::new().routes(routes!(organizations::create)).with_state((self.clone(), orgs));
        OpenApiRouter::new()
            .routes(routes!(sign_in::login))
            .routes(routes!(register::register))
            .routes(routes!(setup::link, setup::first))
            .routes(routes!(sign_in::logout))
            .routes(routes!(sign_in::me))
            .routes(routes!(users::list, users::create))
            .routes(routes!(standing::get, standing::update))
            .routes(routes!(standing::deactivate))
            .routes(routes!(standing::reactivate))
            .routes(routes!(standing::unlock))
            .routes(routes!(passwords::change))
            .routes(routes!(passwords::set))
            .routes(routes!(passwords::make_code))
            .routes(routes!(passwords::use_code))
            .routes(routes!(passkeys::start_sign_in))
            .routes(routes!(passkeys::finish_sign_in))
            .routes(routes!(passkeys::list))
            .routes(routes!(passkeys::start))
            .routes(routes!(passkeys::finish))
            .routes(routes!(passkeys::rename, passkeys::delete))
            .routes(routes!(factors::get, factors::disable))
            .routes(routes!(factors::start))
            .routes(routes!(factors::finish))
            .routes(routes!(factors::renew))
            .routes(routes!(factors::reset))
            .routes(routes!(forgot::ask))
            .routes(routes!(sessions::list, sessions::end_others))
            .routes(routes!(sessions::end))
            .routes(routes!(sessions::list_of, sessions::end_all_of))
            .routes(routes!(members::list, members::add))
            .routes(routes!(members::remove))
            .routes(routes!(tokens::list, tokens::create))
            .routes(routes!(tokens::delete))
            .routes(routes!(tokens::list_of))
            .routes(routes!(tokens::delete_of))
            .routes(routes!(services::list, services::create))
            .routes(routes!(services::get, services::delete))
            .routes(routes!(services::create_token))
            .with_state(self)
            .merge(making)
    }
}

//! Who forgot their password asks for a code by mail.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Origin;
use crate::accounts::forgot::{self, Forgot};
use crate::accounts::throttle::{self, Key};
use crate::accounts::{Accounts, store};
use crate::base::email;
use crate::base::error::{Error, Result};
use crate::web::{Json, Problem, Public};

/// As long as a browser's is kept elsewhere.
const USER_AGENT_MAX: usize = 300;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForgotRequest {
    /// The address of the account.
    email: String,
}

/// The same whether or not somebody has the address.
#[derive(Debug, Serialize, ToSchema)]
pub struct ForgotReply {
    message: &'static str,
}

/// Ask for a code by mail that sets a new password within 30 minutes, with `POST /api/auth/reset`. Nobody learns from the
/// answer whether an account has the address. 503 where the site sends no mail.
#[utoipa::path(post, path = "/api/auth/forgot", tag = "auth", request_body = ForgotRequest,
    responses((status = 200, body = ForgotReply), (status = "default", response = Problem)))]
pub async fn ask(
    _: Public,
    State(accounts): State<Accounts>,
    Extension(origin): Extension<Arc<Origin>>,
    Json(body): Json<ForgotRequest>,
) -> Result<Json<ForgotReply>> {
    email::check(&body.email, "email")?;
    if !accounts.mailer.is_on() {
        let message = "This site sends no mail. Ask an administrator for a code to set a new password.";
        return Err(Error::unavailable("mail_off", message));
    }
    let now = accounts.clock.now();
    let keys = Key::codes(&store::key(&body.email), origin.ip_address.as_deref());
    let asked = Forgot {
        email: body.email,
        ip_address: origin.ip_address.clone(),
        user_agent: origin.user_agent.as_ref().map(|agent| agent.chars().take(USER_AGENT_MAX).collect()),
        request_id: origin.request_id.clone(),
    };
    let key = accounts.key.clone();
    let write = accounts.db.write(move |tx| {
        throttle::store::take(tx, &keys, now)?;
        forgot::ask(tx, now, &key, &asked)
    });
    write.await?;
    Ok(Json(ForgotReply { message: "If an account has this address, a code is on its way to it." }))
}

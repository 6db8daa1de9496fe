//! Single sign-on: people come in with the account they have at an identity provider (SAML 2.0 or OpenID Connect).
//!
//! Invariant: who somebody is, is what the provider calls them for good (a persistent NameID, a `sub`), never an e-mail
//! address. An organisation's provider speaks for that organisation alone: what it opens counts nowhere else. A sign-in is
//! finished once, within [`MINUTES`], by the browser that began it. What groups give is never more than the author of the
//! mapping held when it was written.
//!
//! A sign-in that was begun is not kept: its state goes to the browser sealed, in a cookie, as challenges to passkeys do. So
//! who begins many costs nothing, and every replica takes the answer. Only finished ones are remembered.

mod admit;
mod begun;
mod expiry;
mod http;
mod oidc;
mod provider;
pub mod routes;
mod saml;
mod store;

pub use provider::{Attributes, Connection, Endpoints, Provider, ProviderChange, Signed};

use crate::accounts::Accounts;
use crate::base::error::{Error, Kind};
use crate::net;

/// A sign-in is finished within as many.
const MINUTES: i64 = 10;
/// How far the clocks of two servers may differ, in seconds.
const LEEWAY: i64 = 120;

/// The room of single sign-on.
#[derive(Clone)]
pub struct Sso {
    accounts: Accounts,
    /// Dials providers: with the site's trust and name servers.
    client: net::Client,
    memory: http::Memory,
}

impl Sso {
    pub fn new(accounts: Accounts, client: net::Client) -> Self {
        Self { accounts, client, memory: http::Memory::default() }
    }
}

/// Somebody, as a provider says and proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Person {
    subject: String,
    username: Option<String>,
    email: Option<String>,
    groups: Vec<String>,
    /// Whether the provider says that two factors were proven.
    strong: bool,
    /// Digests of what must never be taken again.
    once: Vec<String>,
}

/// A sign-in that does not count; the sentence is for the trail, where administrators read it.
fn refused(why: impl Into<String>) -> Error {
    Error::new(Kind::Unauthenticated, "sso_refused", why)
}

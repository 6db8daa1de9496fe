//! What a request came with: a sign-in, a personal token, the local socket.
//!
//! Invariant: a token that is limited leaves the account it belongs to alone, so that nobody makes more of it than it is, or learns
//! from it what else its owner has.

use std::sync::Arc;

use super::policy::PermissionSet;
use super::{ActorKind, Caller, OrgId};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};

/// What a caller showed to be known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Via {
    /// A sign-in; the id of its session.
    Session(i64),
    /// A personal token.
    Token(Arc<TokenUsed>),
    /// The credentials of the local socket.
    Socket,
    /// Nothing: it is work of the product, its own or on somebody's behalf.
    #[default]
    Nothing,
}

impl Via {
    /// The session it is.
    pub fn session(&self) -> Option<i64> {
        match self {
            Self::Session(id) => Some(*id),
            _ => None,
        }
    }
}

/// A personal token as it was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUsed {
    pub id: i64,
    pub name: String,
    /// What it is held to; None: whatever its owner may.
    pub scopes: Option<PermissionSet>,
    /// The only organisation it counts in; None: wherever its owner's roles do.
    pub org: Option<OrgId>,
    pub expires_at: Option<Time>,
}

impl TokenUsed {
    /// Whether it allows less than its owner may.
    pub fn is_limited(&self) -> bool {
        self.scopes.is_some() || self.org.is_some()
    }
}

impl Caller {
    /// The session this request belongs to, when it came with one.
    pub fn session(&self) -> Option<i64> {
        self.via.session()
    }

    /// The personal token this request came with.
    pub fn token(&self) -> Option<&TokenUsed> {
        match &self.via {
            Via::Token(token) => Some(token),
            _ => None,
        }
    }

    /// Whether the caller may look after their own account: password, tokens, sessions, what they belong to.
    ///
    /// # Errors
    /// `token_limited` and `session_limited` for what allows less than its owner may; `service_account` for an account of a program.
    pub fn require_oneself(&self) -> Result<()> {
        if self.actor.kind == ActorKind::Service {
            let message = format!(
                "{} is a service account. Whoever manages the people of its organisation changes it and makes its tokens.",
                self.actor.name
            );
            return Err(Error::forbidden("service_account", message));
        }
        if self.held_back {
            let message = "This is about the account itself, and you came through the identity provider of one of your \
                           organisations, which speaks for that organisation only. Sign in with your password or a passkey.";
            return Err(Error::forbidden("session_limited", message));
        }
        match self.token().filter(|token| token.is_limited()) {
            None => Ok(()),
            Some(token) => {
                let message = format!(
                    "This is about the account itself, which the limited token `{}` leaves alone. Sign in, or use a token without limits.",
                    token.name
                );
                Err(Error::forbidden("token_limited", message))
            }
        }
    }
}

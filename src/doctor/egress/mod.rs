//! The proof that nothing but the configured hosts can be dialled: the list of them, tries through the product's own gate, and
//! what systemd keeps the service to.
//!
//! Invariants: the gate that is tried is the one that every room dials through (`net::Client`); a try counts as refused only with
//! the gate's own code, so a host that is merely away proves nothing. No try leaves the machine when the gate holds.

mod gate;
mod hosts;
mod unit;

use serde::Serialize;

use super::{Check, Level, Site};
use crate::base::error::Result;

/// A host that configuration or data lets the site dial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Host {
    /// A name, an address, or a pattern such as `*.example.org`; a path for a Unix socket.
    pub host: String,
    /// None for a Unix socket.
    pub port: Option<u16>,
    /// Who dials it.
    pub by: &'static str,
    /// The setting, or the name of what is kept in the database, that says so.
    pub because: String,
}

/// What was proven.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// Whether every try was refused and systemd keeps the service to what it should.
    pub proven: bool,
    pub hosts: Vec<Host>,
    /// Each with what was tried and what the gate said.
    pub checks: Vec<Check>,
}

/// Lists and tries.
///
/// # Errors
/// When the database cannot be read, whose hosts belong to the list.
pub async fn prove(site: &Site) -> Result<Proof> {
    let hosts = hosts::list(site).await?;
    let mut checks = gate::tries(site, &hosts).await?;
    checks.push(unit::check().await);
    Ok(Proof { proven: checks.iter().all(|check| check.level == Level::Pass), hosts, checks })
}

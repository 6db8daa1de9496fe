//! The map: floors from the ground up. A folder imports only from floors below it; `tests/house.rs` holds us to that.
//!
//! Flow of a request: `server` middleware finds the `Caller` -> a handler holding a `Permit` -> a rule -> one
//! `db.write(|tx| { store; audit; enqueue })` -> reply.

// Ground: knows nothing of the product.
pub mod backup;
pub mod base;
pub mod blobs;
pub mod config;
pub mod db;
pub mod kv;
pub mod net;

// Kit: what every room may hold.
pub mod access;
pub mod audit;
pub mod hooks;
pub mod jobs;
pub mod mail;
pub mod notices;
pub mod web;

// Rooms: a folder a noun.
pub mod accounts;
pub mod doctor;
pub mod invitations;
pub mod licence;
pub mod llm;
pub mod market;
pub mod mirror;
pub mod orgs;
pub mod plugins;
pub mod privacy;
pub mod projects;
pub mod quotas;
pub mod release;
pub mod roles;
pub mod runs;
pub mod scan;
pub mod sso;
pub mod support;
pub mod teams;
pub mod upgrade;

// Doors.
pub mod cli;
pub mod server;

//! Teams of an organisation: who is in them, and what is theirs.
//!
//! Invariant: a team belongs to one organisation for good. Who belongs to it is whoever holds a role in it.

pub mod store;

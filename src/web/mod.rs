//! What handlers hold: extractors that refuse in our words, replies, and the one place where an `Error` becomes HTTP.
//!
//! Invariant: whatever a client sends wrong is answered by problem+json (RFC 9457), or by an OpenAI-style error object
//! below `/v1`, naming the field where there is one. Binding ports and the list of rooms belong to `server`.

pub mod archive;
pub mod extract;
mod kept;
mod nul;
pub mod problem;

pub use extract::{BodyLimit, Created, Json, Oneself, Path, Public, Query, Secure, SignedIn};
pub use kept::Kept;
pub use problem::Problem;

//! Runs foreign plugin code with no authority of its own.
//!
//! A plugin is one live instance of a WebAssembly component, compiled before by the program in `bin`, which alone carries a
//! compiler. Python plugins share one component, CPython with our loader. Invariant: an instance reaches nothing but its [`Host`], and costs no more memory,
//! computing time and waiting than its [`Limits`]. What a plugin is granted, and what its hooks mean, does not belong here.

mod engine;
mod failure;
mod host;
mod plugin;
mod seat;
mod ticker;

#[cfg(feature = "compile")]
pub use engine::compile;
pub use engine::{Error, Program, Sandbox};
pub use failure::Failure;
pub use host::{Host, HttpRequest, HttpResponse, Level};
pub use plugin::{Hook, Kind, Limits, Loaded, MAX_JSON_BYTES, Plugin};

//! The plugin sandbox.

//! What other tools built before this package and this binary carries (see `build.rs`); empty where they did not.

/// CPython with the plugin SDK, compiled for the sandbox, zstd-compressed.
pub const PYTHON_RUNTIME: &[u8] = include_bytes!(env!("RESOFTAI_PART_PYTHON_RUNTIME"));

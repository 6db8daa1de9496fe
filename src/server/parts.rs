//! What other tools built before this package and this binary carries (see `build.rs`); empty where they did not.

/// CPython with the plugin SDK, compiled for the sandbox, zstd-compressed.
pub const PYTHON_RUNTIME: &[u8] = include_bytes!(env!("RESOFTAI_PART_PYTHON_RUNTIME"));

/// The compiler of plugins in other languages, zstd-compressed.
pub const PLUGIN_COMPILER: &[u8] = include_bytes!(env!("RESOFTAI_PART_PLUGIN_COMPILER"));

/// The model engine for any x86-64, zstd-compressed.
pub const ENGINE: &[u8] = include_bytes!(env!("RESOFTAI_PART_ENGINE"));

/// The same for processors with AVX2, FMA, BMI2 and F16C.
pub const ENGINE_V3: &[u8] = include_bytes!(env!("RESOFTAI_PART_ENGINE_V3"));

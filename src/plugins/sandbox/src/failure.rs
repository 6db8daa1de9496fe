//! How a plugin's call can fail, in sentences for administrators and plugin authors.

use std::time::Duration;

use wasmtime::Trap;

/// Why a call gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The plugin's own code failed. The instance lives on.
    #[error("The plugin raised {message}")]
    Raised {
        /// Type and text, for instance `ValueError: no such rule`.
        message: String,
        /// With the plugin's own files and line numbers; may be empty.
        traceback: String,
    },
    /// The plugin computed longer than it may in one call.
    #[error("The plugin was stopped after {} s of computing. Look for an endless loop, or raise its limit.", .limit.as_secs_f32())]
    CpuExhausted {
        /// Computing time of one call.
        limit: Duration,
    },
    /// The call took too long, waiting included.
    #[error("The plugin was stopped because its call was not done within {} s. Look for what it waits for.", .limit.as_secs_f32())]
    TimedOut {
        /// Time of one call, waiting included.
        limit: Duration,
    },
    /// The plugin wanted more memory than it may have.
    #[error("The plugin was stopped because it needed more than {} MiB of memory. Give it less data, or raise its limit.", .limit >> 20)]
    OutOfMemory {
        /// Bytes of one instance.
        limit: u64,
    },
    /// The plugin broke its own machinery, or did what no plugin may.
    #[error("The plugin was stopped: {reason}. Its state is lost; it starts afresh with the next call.")]
    Trapped {
        /// What happened, in a few words.
        reason: String,
    },
    /// The plugin answered with something that is no answer. The instance lives on.
    #[error("The plugin gave an answer that cannot be used: {reason}.")]
    BadReply {
        /// What is wrong with it.
        reason: String,
    },
    /// The call was not made. The instance lives on.
    #[error("The plugin was not called: {reason}.")]
    NotCalled {
        /// Why not.
        reason: String,
    },
    /// An earlier call ended the instance.
    #[error("The plugin was not called: an earlier call ended this instance. Load the plugin anew.")]
    Dead,
}

impl Failure {
    /// True when the instance cannot be used any more: drop it and load the plugin anew.
    #[must_use]
    pub fn instance_is_dead(&self) -> bool {
        !matches!(self, Self::Raised { .. } | Self::BadReply { .. } | Self::NotCalled { .. })
    }

    /// The traceback, where the plugin's own code failed and its language has one.
    #[must_use]
    pub fn traceback(&self) -> Option<&str> {
        match self {
            Self::Raised { traceback, .. } if !traceback.is_empty() => Some(traceback),
            _ => None,
        }
    }
}

/// Says in plain words why the engine ended an instance.
pub(crate) fn reason(error: &wasmtime::Error) -> String {
    if error.downcast_ref::<wasmtime_wasi::I32Exit>().is_some() {
        return "it tried to end its process".into();
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => "it called itself too deeply".into(),
        Some(trap) => format!("it crashed ({trap})"),
        None => format!("it broke a rule of the sandbox ({})", error.root_cause()),
    }
}

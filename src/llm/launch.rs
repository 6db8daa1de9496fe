//! The engine as a process: its start, its log, its last words.
//!
//! Invariant: the process gets one listening socket, no environment and
//! no other descriptor. It ends by itself when this process does (the engine watches its parent). When to start it again
//! is `builtin`'s business.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr};

use super::EngineParts;
use crate::base::error::{Error, Result};
use crate::base::executable::Executable;
use crate::config::secrets;

/// The longest line of the engine's log that is kept together, in bytes.
const MAX_LINE: usize = 16 * 1024;
/// A connection breaks a moment before its process counts as ended; how often and how long that is waited for.
const LOOKS: u32 = 20;
const LOOK: Duration = Duration::from_millis(5);

impl EngineParts {
    /// The fastest executable that this processor can run; None when this build carries none.
    pub(super) fn choose(self) -> Option<&'static [u8]> {
        let part = if runs_v3() && !self.v3.is_empty() { self.v3 } else { self.baseline };
        (!part.is_empty()).then_some(part)
    }
}

/// Whether the processor has what the level x86-64-v3 of the psABI names.
#[cfg(target_arch = "x86_64")]
fn runs_v3() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("f16c")
        && std::arch::is_x86_feature_detected!("lzcnt")
        && std::arch::is_x86_feature_detected!("movbe")
}

#[cfg(not(target_arch = "x86_64"))]
fn runs_v3() -> bool {
    false
}

/// What the engine is started with.
pub(super) struct Launch<'a> {
    pub executable: &'a Executable,
    pub socket: &'a Path,
    pub model: &'a Path,
    /// The model's id in answers.
    pub name: &'a str,
    pub context: u32,
    pub threads: usize,
}

/// A running engine.
pub(super) struct Engine {
    pub child: Child,
    pub log: Log,
    /// To look at the process without waiting for it; None on kernels before 5.4.
    pub handle: Option<Handle>,
}

impl Launch<'_> {
    /// Starts the process; it loads the model from then on.
    ///
    /// # Errors
    /// `engine_not_started`, with the reason.
    pub fn start(&self) -> Result<Engine> {
        let failed = |cause: io::Error| {
            let sentence = format!("The model engine cannot be started: {cause}. It needs /proc and memory files.");
            Error::unavailable("engine_not_started", sentence).caused_by(cause)
        };
        let listener = listen(self.socket)?;
        let mut command = self.executable.command();
        command.arg("--model").arg(self.model).arg("--name").arg(self.name);
        command.arg("--context").arg(self.context.to_string()).arg("--threads").arg(self.threads.to_string());
        // A group of its own: Ctrl-C is for the server, which lets calls finish first.
        command.process_group(0);
        command.env_clear().stdin(Stdio::from(OwnedFd::from(listener))).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().map_err(failed)?;
        let log = Log::new(child.stderr.take());
        let handle = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Handle::of);
        Ok(Engine { child, log, handle })
    }
}

/// A fresh socket: what waited at the one of a dead engine was told so.
fn listen(socket: &Path) -> Result<UnixListener> {
    if let Some(folder) = socket.parent() {
        secrets::private_folder(folder)?;
    }
    if let Err(cause) = std::fs::remove_file(socket)
        && cause.kind() != io::ErrorKind::NotFound
    {
        return Err(cause.into());
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Looks at the process without reaping it.
pub(super) struct Handle(OwnedFd);

impl Handle {
    fn of(id: i32) -> Option<Self> {
        pidfd_open(Pid::from_raw(id)?, PidfdFlags::empty()).ok().map(Self)
    }

    /// How the process ended; None while it runs.
    pub fn end(&self) -> Option<String> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::PidFd(self.0.as_fd()), options) {
            Ok(Some(status)) => Some(words(status.exit_status(), status.terminating_signal())),
            // Somebody was told of its end already.
            Err(rustix::io::Errno::CHILD) => Some(words(None, None)),
            Ok(None) | Err(_) => None,
        }
    }

    /// [`Handle::end`] for who saw a connection break. Blocks for at most [`LOOKS`] times [`LOOK`].
    pub fn end_soon(&self) -> Option<String> {
        (0..LOOKS).find_map(|look| {
            if look > 0 {
                std::thread::sleep(LOOK);
            }
            self.end()
        })
    }
}

/// How a process ended, in the middle of a sentence.
pub(super) fn ended(status: ExitStatus) -> String {
    words(status.code(), std::os::unix::process::ExitStatusExt::signal(&status))
}

fn words(code: Option<i32>, signal: Option<i32>) -> String {
    match (code, signal) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(9)) => "was killed (signal 9; the system does that when memory runs out)".to_owned(),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The engine's log: JSON lines, handed on to ours.
pub(super) struct Log {
    stderr: Option<ChildStderr>,
    line: Vec<u8>,
    /// The last sentence of level `error`.
    pub complaint: Option<String>,
}

#[derive(serde::Deserialize)]
struct Line {
    level: String,
    message: String,
}

impl Log {
    fn new(stderr: Option<ChildStderr>) -> Self {
        Self { stderr, line: Vec::new(), complaint: None }
    }

    /// Hands lines on until the process closes its end. May be dropped and called again.
    pub async fn follow(&mut self) {
        let mut piece = [0; 4096];
        while let Some(stderr) = &mut self.stderr {
            match stderr.read(&mut piece).await {
                Ok(0) | Err(_) => self.stderr = None,
                Ok(length) => piece[..length].iter().for_each(|byte| self.take(*byte)),
            }
        }
    }

    fn take(&mut self, byte: u8) {
        if byte != b'\n' {
            self.line.push(byte);
            if self.line.len() < MAX_LINE {
                return;
            }
        }
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        match serde_json::from_slice::<Line>(&line) {
            Ok(Line { level, message }) if level == "error" => {
                tracing::error!(engine = %text, "{message}");
                self.complaint = Some(message);
            }
            Ok(Line { message, .. }) => tracing::debug!(engine = %text, "{message}"),
            Err(_) => tracing::warn!(engine = %text, "the model engine said something that is no log line"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_complaint_is_remembered_and_no_line_grows_for_ever() {
        let mut log = Log::new(None);
        let lines = "{\"level\":\"error\",\"message\":\"The model file x cannot be used.\",\"more\":1}\n{\"level\":\"info\",\"message\":\"Bye.\"}\nno json\n";
        lines.bytes().for_each(|byte| log.take(byte));
        assert_eq!(log.complaint.as_deref(), Some("The model file x cannot be used."));
        (0..3 * MAX_LINE).for_each(|_| log.take(b'x'));
        assert!(log.line.len() < MAX_LINE);
    }

    #[test]
    fn a_build_without_an_engine_has_none_to_choose() {
        assert!(EngineParts { baseline: b"", v3: b"" }.choose().is_none());
        assert!(EngineParts { baseline: b"old", v3: b"" }.choose().is_some());
    }

    #[tokio::test]
    async fn an_unpacked_program_runs_and_its_end_is_seen() {
        let program = std::fs::read("/bin/sh").unwrap();
        let packed = zstd::encode_all(&program[..], 1).unwrap();
        let executable = Executable::unpack("sh", &packed).unwrap();
        let mut child = executable.command().args(["-c", "kill -9 $$"]).spawn().unwrap();
        let handle = Handle::of(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        // Blocks other tasks of this test only, of which there are none.
        let seen = std::iter::repeat_with(|| handle.end_soon()).take(100).flatten().next();
        assert!(seen.unwrap().contains("signal 9"));
        assert!(ended(child.wait().await.unwrap()).contains("signal 9"));
    }
}

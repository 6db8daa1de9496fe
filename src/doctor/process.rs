//! Programs of the system that are asked for what only they know.
//!
//! Invariant: without a shell, without our environment but for where programs are, for a bounded time and amount.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// What a program may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What a program said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub succeeded: bool,
    pub text: String,
}

/// Runs a program to its end and gives the first `most` bytes of what it wrote; None where it cannot be run or takes too long.
pub async fn run(program: &str, arguments: &[&str], most: u64) -> Option<Said> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let work = async {
        let mut child = command.spawn().ok()?;
        let mut bytes = Vec::new();
        child.stdout.take()?.take(most).read_to_end(&mut bytes).await.ok()?;
        let ended = child.wait().await.ok()?;
        Some(Said { succeeded: ended.success(), text: String::from_utf8_lossy(&bytes).into_owned() })
    };
    tokio::time::timeout(LIMIT, work).await.ok().flatten()
}

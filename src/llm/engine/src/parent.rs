//! The engine lives no longer than the process that started it.
//!
//! Invariant: when the parent ends, however it ends, this process ends at once. A pidfd sees the end of the process; the
//! signal of prctl would come when the parent's *thread* that started us ends, so it only serves kernels without pidfds.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{PidfdFlags, Signal, getppid, pidfd_open, set_parent_process_death_signal};
use serde_json::json;

use crate::log;

/// Starts watching. The error is one sentence; the parent may be gone already.
pub fn watch() -> Result<(), String> {
    const GONE: &str = "The parent process is gone; the engine does not run without it.";
    let parent = getppid().ok_or(GONE)?;
    match pidfd_open(parent, PidfdFlags::empty()) {
        Ok(parent_fd) => {
            let watcher = std::thread::Builder::new().name("parent".to_owned());
            let watcher = watcher.spawn(move || {
                while poll(&mut [PollFd::new(&parent_fd, PollFlags::IN)], None).is_err() {}
                log::info("The parent process ended; so does the engine.", json!({}));
                std::process::exit(0);
            });
            watcher.map_err(|error| format!("The thread that watches the parent could not be started: {error}."))?;
        }
        Err(rustix::io::Errno::SRCH) => return Err(GONE.to_owned()),
        Err(_) => set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|error| format!("The end of the parent process cannot be watched: {error}."))?,
    }
    // Between the question and the watch another process may have become the parent.
    if getppid() == Some(parent) { Ok(()) } else { Err(GONE.to_owned()) }
}

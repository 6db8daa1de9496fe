//! Executables that this program carries, run out of memory.
//!
//! Invariant: nothing of them is written to a disk, and nobody, this process included, can change one that runs.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use tokio::process::Command;

/// The executable in memory, sealed.
pub struct Executable(OwnedFd);

impl Executable {
    /// Unpacks `part`, compressed with zstd; takes some tens of milliseconds of a processor. `name` is what the kernel
    /// shows for it.
    ///
    /// # Errors
    /// When the kernel gives no executable memory file.
    pub fn unpack(name: &str, part: &[u8]) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Kernels before 6.3 do not know EXEC; later ones may insist on it.
        let memory = memfd_create(name, flags | MemfdFlags::EXEC).or_else(|_| memfd_create(name, flags))?;
        let mut file = File::from(memory);
        zstd::stream::copy_decode(part, &mut file)?;
        let memory = OwnedFd::from(file);
        fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(Self(memory))
    }

    /// Starts it as a process, when spawned while this value lives. Needs `/proc`.
    pub fn command(&self) -> Command {
        Command::new(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_unpacked_runs_and_cannot_be_changed() {
        let packed = zstd::encode_all(&std::fs::read("/bin/sh").unwrap()[..], 1).unwrap();
        let executable = Executable::unpack("sh", &packed).unwrap();
        let ended = executable.command().args(["-c", "exit 7"]).status().await.unwrap();
        assert_eq!(ended.code(), Some(7));
        let changed = std::io::Write::write_all(&mut File::from(executable.0), b"x");
        assert!(changed.is_err(), "what runs cannot be changed");
    }
}

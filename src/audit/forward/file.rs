//! JSON lines at the end of a file that its owner alone may read.
//!
//! Invariants: a batch counts as arrived once it is on the disk. A file that was moved away or replaced is let go before the
//! next batch, so that whoever rotates it need not stop the server; a hang-up signal does the same. A line that a power cut
//! tore is ended before the next one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Forwarded, Sink, failed, line};
use crate::base::error::{Error, Result};

pub(super) struct JsonLines {
    path: PathBuf,
    file: Option<File>,
    /// None where the signal cannot be listened to.
    hang_up: Option<Signal>,
    taken: usize,
}

impl JsonLines {
    pub fn new(path: PathBuf) -> Self {
        let hang_up = signal(SignalKind::hangup());
        if let Err(cause) = &hang_up {
            tracing::warn!("hang-up signals are not listened to: {cause}");
        }
        Self { path, file: None, hang_up: hang_up.ok(), taken: 0 }
    }

    fn refused(&self, cause: &io::Error) -> Error {
        failed(format!(
            "The file {} (audit.file) cannot be written: {cause}. Let the account that runs the server write it, and look \
             whether the disk is full.",
            self.path.display()
        ))
    }

    fn is_hung_up(&mut self) -> bool {
        self.hang_up.as_mut().is_some_and(|signal| signal.recv().now_or_never().flatten().is_some())
    }
}

/// The file at `path`, which stays open when it is still the one there.
fn reopen(path: &Path, open: Option<File>) -> io::Result<File> {
    let there = match fs::metadata(path) {
        Ok(there) if !there.is_file() => return Err(io::Error::other("it is no file")),
        Ok(there) => Some((there.dev(), there.ino())),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
        Err(cause) => return Err(cause),
    };
    if let Some(file) = open {
        let ours = file.metadata()?;
        if there == Some((ours.dev(), ours.ino())) {
            return Ok(file);
        }
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

impl Sink for JsonLines {
    async fn open(&mut self) -> Result<()> {
        if self.is_hung_up() {
            self.file = None;
        }
        let (path, open) = (self.path.clone(), self.file.take());
        let opened = tokio::task::spawn_blocking(move || reopen(&path, open)).await.map_err(Error::internal)?;
        self.file = Some(opened.map_err(|cause| self.refused(&cause))?);
        Ok(())
    }

    async fn take(&mut self, entries: &[Forwarded]) -> Result<()> {
        let mut bytes = Vec::with_capacity(entries.len() * 512);
        entries.iter().try_for_each(|entry| line::json(entry, &mut bytes))?;
        let Some(mut file) = self.file.take() else {
            return Err(failed("The file of audit.file is closed.".to_owned()));
        };
        let written = tokio::task::spawn_blocking(move || {
            file.write_all(&bytes)?;
            file.sync_data()?;
            Ok(file)
        });
        self.file = Some(written.await.map_err(Error::internal)?.map_err(|cause: io::Error| self.refused(&cause))?);
        self.taken += 1;
        Ok(())
    }

    async fn settled(&mut self) -> Result<usize> {
        Ok(std::mem::take(&mut self.taken))
    }

    fn close(&mut self) {
        (self.file, self.taken) = (None, 0);
    }
}

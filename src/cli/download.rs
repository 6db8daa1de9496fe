//! Replies that become files.

use std::io::Write;
use std::path::Path;

use indicatif::ProgressBar;

use crate::cli::client::Reply;
use crate::cli::failure::Result;
use crate::cli::write;

/// Writes the reply under a temporary name beside `output`, then renames: a broken download leaves nothing.
/// Of `mode` the umask takes away what it must.
pub async fn save(reply: &mut Reply, output: &Path, mode: u32) -> Result<u64> {
    save_showing(reply, output, mode, &ProgressBar::hidden()).await
}

/// [`save`] with a bar that moves as it goes.
pub async fn save_showing(reply: &mut Reply, output: &Path, mode: u32, bar: &ProgressBar) -> Result<u64> {
    let mut draft = write::begin(output, mode)?;
    let written = copy(reply, &mut bar.wrap_write(&mut draft)).await?;
    write::keep(draft, output)?;
    Ok(written)
}

/// Writes the reply to `to` as it comes; how many bytes it had.
pub async fn copy(reply: &mut Reply, to: &mut impl Write) -> Result<u64> {
    let mut written = 0;
    while let Some(piece) = reply.piece().await? {
        to.write_all(&piece)?;
        written += piece.len() as u64;
    }
    to.flush()?;
    Ok(written)
}

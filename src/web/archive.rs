//! Archives that are sent while they are packed.
//!
//! Invariant: only what was packed and not yet sent is in memory, however large the archive becomes.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::Stream;
use zip::ZipWriter;
use zip::write::{SimpleFileOptions, StreamWriter};

/// Of files in an archive made on Unix.
pub const MODE: u32 = 0o644;

/// What was packed and not yet sent.
#[derive(Clone, Default)]
pub struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    pub fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A zip archive (PKWARE APPNOTE, deflated) in the making.
pub struct Zip {
    sink: Sink,
    zip: Box<ZipWriter<StreamWriter<Sink>>>,
}

impl Default for Zip {
    fn default() -> Self {
        let sink = Sink::default();
        Self { zip: Box::new(ZipWriter::new_stream(sink.clone())), sink }
    }
}

impl Zip {
    /// Begins a file; what is written from here on is its content.
    ///
    /// # Errors
    /// When the name cannot be a file's.
    pub fn start(&mut self, path: &str) -> io::Result<()> {
        Ok(self.zip.start_file(path, SimpleFileOptions::default().unix_permissions(MODE))?)
    }

    /// The bytes that can go out.
    pub fn take(&self) -> Bytes {
        self.sink.take()
    }

    /// The end of the archive.
    ///
    /// # Errors
    /// When it cannot be packed.
    pub fn finish(self) -> io::Result<Bytes> {
        drop(self.zip.finish()?);
        Ok(self.sink.take())
    }
}

impl Write for Zip {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.zip.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.zip.flush()
    }
}

/// A file to be saved, sent as it is made; `name` is plain ASCII.
pub fn attachment(
    media: &'static str,
    name: &str,
    body: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Response {
    let body: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>> = Box::pin(body);
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [
        (header::CONTENT_TYPE, media.to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, Body::from_stream(body)).into_response()
}

//! A zip that remembers what it holds.
//!
//! Invariant: `SHA256SUMS` is the last file and has a line for each one before it, so whoever has its hash has them all.

use std::io::{self, Write};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::base::clock::Time;
use crate::base::crypto::hex;
use crate::web::archive::Zip;

#[derive(Default)]
pub struct Pack {
    zip: Zip,
    open: Option<Open>,
    files: Vec<Whole>,
}

/// The file that is being written.
struct Open {
    name: String,
    bytes: u64,
    digest: Context,
}

struct Whole {
    name: String,
    bytes: u64,
    sha256: String,
}

impl Pack {
    /// Begins a file; the one before is whole.
    pub fn start(&mut self, name: &str) -> io::Result<()> {
        self.close();
        self.open = Some(Open { name: name.to_owned(), bytes: 0, digest: Context::new(&SHA256) });
        self.zip.start(name)
    }

    pub fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.start(name)?;
        self.write_all(content)
    }

    fn close(&mut self) {
        if let Some(Open { name, bytes, digest }) = self.open.take() {
            self.files.push(Whole { name, bytes, sha256: hex(digest.finish().as_ref()) });
        }
    }

    /// The bytes that can go out.
    pub fn take(&self) -> Bytes {
        self.zip.take()
    }

    /// The manifest, the sums, and the end of the archive.
    pub fn finish(mut self, org: Option<(i64, &str)>, now: Time) -> io::Result<Bytes> {
        self.close();
        let file = |file: &Whole| json!({"name": file.name, "bytes": file.bytes, "sha256": file.sha256});
        let manifest = json!({
            "made_at": now,
            "version": env!("CARGO_PKG_VERSION"),
            "organization": org.map(|(id, slug)| json!({"id": id, "slug": slug})),
            "files": self.files.iter().map(file).collect::<Vec<Value>>(),
        });
        self.file("manifest.json", format!("{manifest:#}\n").as_bytes())?;
        self.close();
        let sums: String = self.files.iter().map(|file| format!("{}  {}\n", file.sha256, file.name)).collect();
        self.file("SHA256SUMS", sums.as_bytes())?;
        self.zip.finish()
    }
}

impl Write for Pack {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.zip.write(bytes)?;
        if let Some(open) = &mut self.open {
            open.bytes += written as u64;
            open.digest.update(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.zip.flush()
    }
}

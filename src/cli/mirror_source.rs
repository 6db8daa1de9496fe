//! Where an import reads from: a bundle's file or its parts, a repository's folder, or another box.
//!
//! Invariant: only what the server asks for is read of the contents, and nothing of it is kept on this machine.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::Stream;
use serde_json::Value;

use crate::base::error::{Error, Result as Base};
use crate::cli::client::{Client, Reply};
use crate::cli::failure::{Exit, Failure, Result};
use crate::mirror::gather::{MAX_FILE, gather};
use crate::mirror::parts::Reader;
use crate::mirror::verify::Metadata;
use crate::mirror::{bundle, names};

const PIECE: usize = 1 << 20;

/// A content that the server asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub name: String,
    pub sha256: String,
    pub length: u64,
}

impl Wanted {
    /// Of the server's report.
    pub fn of(report: &Value) -> Vec<Self> {
        let needed = report["needed"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
        let one = |item: &Value| Self {
            name: text(item, "name"),
            sha256: text(item, "sha256"),
            length: item["length"].as_u64().unwrap_or_default(),
        };
        needed.iter().map(one).collect()
    }
}

/// Something that can be imported.
pub struct Source {
    pub metadata: Metadata,
    contents: Contents,
}

enum Contents {
    /// Where each content begins in the bundle, by hash, and its length.
    Bundle(Arc<Mutex<Reader>>, HashMap<String, (u64, u64)>),
    /// The folder of the targets.
    Folder(PathBuf),
    /// Below this address.
    Box(Client, String),
}

impl Source {
    /// Reads the metadata of what lies at `paths`; of a folder, roots from `root` on.
    ///
    /// # Errors
    /// When it is no bundle and no repository.
    pub async fn open(paths: &[PathBuf], root: u64) -> Result<Self> {
        let [folder] = paths else { return Self::bundle(paths) };
        if !folder.is_dir() {
            return Self::bundle(paths);
        }
        let metadata = folder.join("metadata");
        if !metadata.join("timestamp.json").exists() {
            let bundles = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
            let mut bundles: Vec<PathBuf> = bundles.filter(|path| looks_like_bundle(path)).collect();
            bundles.sort();
            return match bundles.first() {
                Some(first) => Self::bundle(std::slice::from_ref(first)),
                None => Err(Failure::usage(format!(
                    "{} holds neither a bundle (.tar) nor a repository (metadata/timestamp.json).",
                    folder.display()
                ))),
            };
        }
        let fetch = async |name: &str| -> Base<Option<Bytes>> { local(&metadata.join(name)) };
        Ok(Self { metadata: gather(root, fetch).await?, contents: Contents::Folder(folder.join("targets")) })
    }

    /// Another box's mirror at `base` there, such as `/mirror/vendor`.
    ///
    /// # Errors
    /// When it serves none.
    pub async fn remote(client: Client, base: String, root: u64) -> Result<Self> {
        let fetch = async |name: &str| -> Base<Option<Bytes>> {
            let path = format!("{base}/metadata/{name}");
            match whole(&client, &path).await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(failure) if failure.exit() == Exit::NotFound => Ok(None),
                Err(failure) => Err(Error::upstream("mirror_unreachable", failure.detail().to_owned())),
            }
        };
        let metadata = gather(root, fetch).await.map_err(|error| match error.code() {
            "mirror_missing" => Failure::from(error).and("Does it serve its mirror, with the setting mirror.serve?"),
            _ => error.into(),
        })?;
        Ok(Self { metadata, contents: Contents::Box(client, base) })
    }

    fn bundle(paths: &[PathBuf]) -> Result<Self> {
        let mut archive = tar::Archive::new(Reader::open(paths)?);
        let mut places = HashMap::new();
        let mut entries = archive.entries_with_seek()?;
        let metadata = bundle::first(&mut entries)?;
        for entry in entries {
            // What follows may be cut off; the server says what is then missing.
            let Ok(entry) = entry else { break };
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            if let Some(hash) = bundle::hash(&path) {
                places.insert(hash.to_owned(), (entry.raw_file_position(), entry.size()));
            }
        }
        let reader = archive.into_inner();
        Ok(Self { metadata, contents: Contents::Bundle(Arc::new(Mutex::new(reader)), places) })
    }

    /// Which part of a bundle is damaged, in a sentence, if a list of sums tells.
    pub fn damaged(paths: &[PathBuf]) -> Option<String> {
        let path = Reader::open(paths).ok()?.damaged().ok()??;
        Some(format!("{} is not what its SHA256SUMS says: copy it again.", path.display()))
    }

    /// A bundle of the metadata and those of the wanted contents that are here, made while it is read; `sent` counts the
    /// bytes of contents.
    ///
    /// # Errors
    /// When the metadata cannot be packed.
    pub fn stream(
        self,
        wanted: Vec<Wanted>,
        sent: Arc<AtomicU64>,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
        let packed = bundle::pack(&self.metadata)?;
        let mut head = bundle::head(bundle::METADATA, packed.len() as u64)?;
        head.extend_from_slice(&packed);
        head.resize(head.len() + bundle::padding(packed.len() as u64), 0);
        let contents = self.contents;
        Ok(async_stream::try_stream! {
            yield Bytes::from(head);
            for wanted in wanted {
                let Some(mut from) = contents.open(&wanted).await? else { continue };
                let path = format!("targets/{}", names::place(&wanted.name, &wanted.sha256));
                yield Bytes::from(bundle::head(&path, wanted.length).map_err(io::Error::other)?);
                let mut left = wanted.length;
                while left > 0 {
                    let piece = from.piece(left).await?;
                    left -= piece.len() as u64;
                    sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    yield piece;
                }
                yield Bytes::from(vec![0; bundle::padding(wanted.length)]);
            }
            yield Bytes::from_static(&[0; bundle::END]);
        })
    }
}

/// A content that is being read.
enum Reading {
    Bundle(Arc<Mutex<Reader>>, u64),
    File(File),
    Box(Box<Reply>),
}

impl Contents {
    /// None where it is not here, or not as long as it should be: the server then says that it is missing.
    async fn open(&self, wanted: &Wanted) -> io::Result<Option<Reading>> {
        let place = names::place(&wanted.name, &wanted.sha256);
        match self {
            Self::Bundle(reader, places) => {
                let end = lock(reader).length();
                let found = places.get(&wanted.sha256);
                let found = found.filter(|(at, length)| *length == wanted.length && at + length <= end);
                Ok(found.map(|(at, _)| Reading::Bundle(reader.clone(), *at)))
            }
            Self::Folder(folder) => {
                // Other programs name files by their hash only where the root says so.
                let file = File::open(folder.join(place)).or_else(|_| File::open(folder.join(&wanted.name)));
                let Ok(file) = file else { return Ok(None) };
                Ok((file.metadata()?.len() == wanted.length).then_some(Reading::File(file)))
            }
            Self::Box(client, base) => {
                let path = format!("{base}/targets/{place}");
                let reply = client.open(&path, "*/*", None).await.map_err(lost)?;
                Ok(Some(Reading::Box(Box::new(reply))))
            }
        }
    }
}

impl Reading {
    /// The next bytes, at most `left`.
    async fn piece(&mut self, left: u64) -> io::Result<Bytes> {
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let piece = match self {
            Self::Bundle(reader, at) => {
                let mut bytes = vec![0; most];
                let mut reader = lock(reader);
                reader.seek(SeekFrom::Start(*at))?;
                let count = reader.read(&mut bytes)?;
                *at += count as u64;
                bytes.truncate(count);
                Bytes::from(bytes)
            }
            Self::File(file) => {
                let mut bytes = vec![0; most];
                let count = file.read(&mut bytes)?;
                bytes.truncate(count);
                Bytes::from(bytes)
            }
            Self::Box(reply) => reply.piece().await.map_err(lost)?.unwrap_or_default(),
        };
        if piece.is_empty() || piece.len() as u64 > left {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        Ok(piece)
    }
}

fn lock(reader: &Mutex<Reader>) -> MutexGuard<'_, Reader> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

#[allow(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn lost(failure: Failure) -> io::Error {
    io::Error::other(failure.detail().to_owned())
}

fn looks_like_bundle(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "tar" || ending == "001")
}

fn local(path: &Path) -> Base<Option<Bytes>> {
    match std::fs::metadata(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(file) if file.len() > MAX_FILE => {
            let sentence = format!("{} has more than {MAX_FILE} bytes.", path.display());
            Err(Error::invalid("mirror_unreadable", sentence))
        }
        _ => Ok(Some(std::fs::read(path)?.into())),
    }
}

async fn whole(client: &Client, path: &str) -> Result<Bytes> {
    let mut reply = client.open(path, "*/*", None).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = reply.piece().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > MAX_FILE {
            let detail = format!("{path} has more than {MAX_FILE} bytes.");
            return Err(Failure::new(Exit::Limit, "reply_too_large", detail));
        }
    }
    Ok(bytes.into())
}

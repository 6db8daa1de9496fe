//! The keys that a repository is signed with: Ed25519, as PKCS#8 (RFC 8410) in files of their own.
//!
//! Invariant: a private key is written once, readable by its owner only, and is neither shown nor moved into the
//! repository. The keys of the root have a folder of their own, which can be kept offline.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use tough::key_source::KeySource;
use tough::schema::RoleType;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::key::Key;
use tough::sign::{Sign, parse_keypair};

use crate::base::crypto::hex;
use crate::base::error::{Error, Result};

const ENDING: &str = "p8";
/// A key's file, at most, in bytes.
const LONGEST: u64 = 4096;

/// Where the keys of a repository are.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Of the root.
    pub root: PathBuf,
    /// Of targets, snapshot and timestamp.
    pub online: PathBuf,
}

/// A key that was made.
pub struct Made {
    pub id: Decoded<Hex>,
    pub public: Key,
    pub file: PathBuf,
}

/// What a signature is made with.
#[derive(Debug)]
struct Private(Vec<u8>);

#[async_trait]
impl KeySource for Private {
    async fn as_sign(&self) -> Result<Box<dyn Sign>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Box::new(parse_keypair(&self.0)?))
    }

    async fn write(&self, _: &str, _: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Err("keys are not changed".into())
    }
}

impl Keys {
    /// The folders in `folder`.
    pub fn within(folder: &Path) -> Self {
        Self { root: folder.join("root"), online: folder.join("online") }
    }

    fn folder(&self, role: RoleType) -> &Path {
        if role == RoleType::Root { &self.root } else { &self.online }
    }

    /// Makes a key for `role`.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn make(&self, role: RoleType) -> Result<Made> {
        let folder = self.folder(role);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|cause| at(folder, cause))?;
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(Error::internal)?;
        let public = parse_keypair(document.as_ref()).map_err(Error::internal)?.tuf_key();
        let id = public.key_id().map_err(Error::internal)?;
        let file = folder.join(format!("{role}-{}.{ENDING}", &hex(&id)[..16]));
        write_private(&file, document.as_ref())?;
        Ok(Made { id, public, file })
    }

    /// Every key of `role` that is there, and possibly others.
    ///
    /// # Errors
    /// `mirror_keys` when the folder cannot be read.
    pub fn of(&self, role: RoleType) -> Result<Vec<Box<dyn KeySource>>> {
        let folder = self.folder(role);
        let mut keys: Vec<Box<dyn KeySource>> = Vec::new();
        for entry in fs::read_dir(folder).map_err(|cause| at(folder, cause))? {
            let path = entry.map_err(|cause| at(folder, cause))?.path();
            let is_key = path.extension().is_some_and(|ending| ending == ENDING);
            if is_key && fs::metadata(&path).is_ok_and(|file| file.len() <= LONGEST) {
                keys.push(Box::new(Private(fs::read(&path).map_err(|cause| at(&path, cause))?)));
            }
        }
        Ok(keys)
    }

    /// Deletes the key with this id, which counts no more.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&self, role: RoleType, id: &Decoded<Hex>) -> Result<()> {
        let file = self.folder(role).join(format!("{role}-{}.{ENDING}", &hex(id)[..16]));
        match fs::remove_file(&file) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(at(&file, cause)),
            _ => Ok(()),
        }
    }
}

fn write_private(file: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut written =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(|cause| at(file, cause))?;
    written.write_all(bytes).and_then(|()| written.sync_all()).map_err(|cause| at(file, cause))
}

fn at(path: &Path, cause: std::io::Error) -> Error {
    let sentence = format!("The keys at {} cannot be used: {cause}. Name their folder with --keys.", path.display());
    Error::invalid("mirror_keys", sentence).caused_by(cause)
}

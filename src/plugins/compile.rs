//! From a plugin's own component to a program that can run: compiled once, in a process of its own, and kept.
//!
//! Invariant: what becomes machine code of this process was made by the compiler that this program carries, for exactly
//! these bytes: a kept program is sealed with the site's key, and one that does not open is made anew. The compiler reads
//! foreign bytes, so it gets no file, no environment, and only so much memory and time.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use resoftai_sandbox::{Program, Sandbox};
use rustix::process::{Pid, Resource, Rlimit, prlimit, setpriority_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::finding::clean;
use crate::base::crypto::{Key, sha256_hex};
use crate::base::error::{Error, Result};
use crate::base::executable::Executable;
use crate::base::tasks::blocking;
use crate::config::secrets;

/// The folder of compiled programs, beside the plugins.
const FOLDER: &str = ".compiled";
/// Of the compiler's data, in bytes. 12 MB of JavaScript engine take 400 MB.
const MEMORY: u64 = 1 << 30;
/// Of computing time.
const CPU_SECONDS: u64 = 120;
const WALL: Duration = Duration::from_secs(300);
/// The compiler gives way to everything else on the machine.
const NICE: i32 = 10;
/// Fast to pack and unpack; what is carried in the program is packed harder.
const LEVEL: &str = "3";
/// A packed program, in bytes.
const MAX_PACKED: u64 = 256 << 20;
/// The compiler's last words, in bytes.
const MAX_WORDS: usize = 2_000;

/// Compiles components and keeps what came out.
pub struct Compiler {
    /// The executable, compressed; empty when this build carries none.
    part: &'static [u8],
    folder: PathBuf,
    key: Key,
    /// By digest: what is mapped now.
    mapped: std::sync::Mutex<HashMap<String, Weak<Program>>>,
    /// One component at a time, so that several cost no more than one.
    turn: Mutex<()>,
}

impl Compiler {
    pub fn new(part: &'static [u8], plugins: &Path, site: &Key) -> Self {
        let key = Key::derive(site.bytes(), "compiled plugins");
        Self { part, folder: plugins.join(FOLDER), key, mapped: Default::default(), turn: Mutex::default() }
    }

    /// The program of a component: mapped already, kept from before, or compiled now, which takes seconds.
    ///
    /// # Errors
    /// `no_plugin_compiler`; `plugin_not_compiled` with the reason; `plugin_compiler_failed`.
    pub async fn program(&self, sandbox: &Sandbox, component: Bytes) -> Result<Arc<Program>> {
        let digest = sha256_hex(&component);
        if let Some(program) = self.mapped(&digest) {
            return Ok(program);
        }
        let _alone = self.turn.lock().await;
        if let Some(program) = self.mapped(&digest) {
            return Ok(program);
        }
        let program = match self.kept(sandbox, &digest).await? {
            Some(program) => program,
            None => self.made(sandbox, &digest, component).await?,
        };
        let program = Arc::new(program);
        let mut mapped = self.mapped.lock().unwrap_or_else(PoisonError::into_inner);
        mapped.retain(|_, program| program.strong_count() > 0);
        mapped.insert(digest, Arc::downgrade(&program));
        Ok(program)
    }

    /// Deletes kept programs of other components than these. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn keep_only(&self, digests: &[String]) -> Result<()> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
            Err(cause) => return Err(cause.into()),
        };
        for entry in entries {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(|name| digests.iter().any(|digest| digest == name)) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn mapped(&self, digest: &str) -> Option<Arc<Program>> {
        self.mapped.lock().unwrap_or_else(PoisonError::into_inner).get(digest)?.upgrade()
    }

    async fn kept(&self, sandbox: &Sandbox, digest: &str) -> Result<Option<Program>> {
        let (path, key, place, sandbox) = (self.folder.join(digest), self.key.clone(), place(digest), sandbox.clone());
        let found = blocking(move || {
            let Some(sealed) = read(&path)? else { return Ok(None) };
            let opened = key.open(&place, &sealed).map_err(|error| error.to_string());
            // What an older version compiled is sound and does not fit: no fault, only work.
            let program = opened.and_then(|code| sandbox.map(&code).map_err(|error| error.to_string()));
            Ok(program.inspect_err(|why| tracing::warn!("{} is compiled anew: {why}", path.display())).ok())
        });
        found.await
    }

    async fn made(&self, sandbox: &Sandbox, digest: &str, component: Bytes) -> Result<Program> {
        let code = machine_code(self.part, &component).await?;
        let (path, key, place, sandbox) = (self.folder.join(digest), self.key.clone(), place(digest), sandbox.clone());
        blocking(move || {
            let program = sandbox.map(&code).map_err(|cause| refused(&cause.to_string()))?;
            if let Some(folder) = path.parent() {
                secrets::private_folder(folder)?;
            }
            secrets::write_private(&path, &key.seal(&place, &code)?)?;
            Ok(program)
        })
        .await
    }
}

/// The machine code of a component, packed, from the compiler in `part` (compressed; empty when a build carries none).
///
/// # Errors
/// `no_plugin_compiler`; `plugin_not_compiled` with the reason; `plugin_compiler_failed`.
pub async fn machine_code(part: &'static [u8], component: &[u8]) -> Result<Vec<u8>> {
    if part.is_empty() {
        let sentence = "This build of resoftai carries no plugin compiler, so only Python plugins run. Use a release \
                        build, or build with `make plugin-runtime` first.";
        return Err(Error::unavailable("no_plugin_compiler", sentence));
    }
    let executable = blocking(move || Executable::unpack("plugin-compiler", part).map_err(|cause| failed(&cause)));
    let executable = executable.await?;
    let mut command = executable.command();
    command.arg(LEVEL).env_clear().env("RAYON_NUM_THREADS", "2").current_dir("/");
    // A group of its own: Ctrl-C is for the server.
    command.process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|cause| failed(&cause))?;
    // It waits for its input until then.
    limit(&child).map_err(|cause| failed(&cause))?;
    match timeout(WALL, talk(&mut child, component)).await {
        Ok(outcome) => outcome.map_err(|cause| failed(&cause))?.code(),
        Err(_) => Err(refused(&format!("The compiler was not done within {} s.", WALL.as_secs()))),
    }
}

/// How a process ended and what it said.
struct Ended {
    status: ExitStatus,
    out: Vec<u8>,
    words: String,
}

impl Ended {
    fn code(self) -> Result<Vec<u8>> {
        if self.status.success() && self.out.len() as u64 <= MAX_PACKED {
            return Ok(self.out);
        }
        // SIGXCPU, and SIGKILL a second later.
        let too_long = matches!(self.status.signal(), Some(24 | 9));
        Err(refused(&match self.status.signal() {
            _ if self.out.len() as u64 > MAX_PACKED => "Its machine code is too large.".to_owned(),
            Some(_) if too_long => format!("Compiling it takes more than {CPU_SECONDS} s of computing."),
            Some(_) if self.words.contains("memory allocation") => {
                format!("Compiling it takes more than {} MiB of memory.", MEMORY >> 20)
            }
            Some(signal) => format!("The compiler ended by signal {signal}. {}", self.words),
            None => self.words,
        }))
    }
}

/// Hands the component over and takes what comes back.
async fn talk(child: &mut Child, component: &[u8]) -> io::Result<Ended> {
    let missing = || io::Error::other("a pipe is missing");
    let mut input = child.stdin.take().ok_or_else(missing)?;
    let (output, errors) = (child.stdout.take().ok_or_else(missing)?, child.stderr.take().ok_or_else(missing)?);
    let (mut out, mut words) = (Vec::new(), Vec::new());
    let mut output = output.take(MAX_PACKED + 1);
    let mut errors = errors.take(MAX_WORDS as u64);
    let write = async move {
        // One that ended early says why by itself.
        drop(input.write_all(component).await);
    };
    let (_, read, heard) = tokio::join!(write, output.read_to_end(&mut out), errors.read_to_end(&mut words));
    read.and(heard)?;
    drop((output, errors));
    let status = child.wait().await?;
    Ok(Ended { status, out, words: clean(String::from_utf8_lossy(&words).trim(), MAX_WORDS) })
}

/// No files, no more memory and computing time than it may have, behind everybody else.
fn limit(child: &Child) -> io::Result<()> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let pid = Some(pid.ok_or_else(|| io::Error::other("it ended at once"))?);
    for (resource, soft, hard) in [
        (Resource::Data, MEMORY, MEMORY),
        (Resource::Cpu, CPU_SECONDS, CPU_SECONDS + 1),
        (Resource::Fsize, 0, 0),
        (Resource::Core, 0, 0),
        (Resource::Nofile, 16, 16),
    ] {
        prlimit(pid, resource, Rlimit { current: Some(soft), maximum: Some(hard) })?;
    }
    setpriority_process(pid, NICE)?;
    Ok(())
}

/// Where a kept program belongs: what was sealed for one component does not open for another.
fn place(digest: &str) -> String {
    format!("compiled plugin {digest}")
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(cause),
    };
    let mut bytes = Vec::new();
    file.take(MAX_PACKED).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn refused(why: &str) -> Error {
    Error::invalid("plugin_not_compiled", format!("The plugin's component cannot be used. {why}"))
}

fn failed(cause: &io::Error) -> Error {
    let sentence = format!(
        "The plugin compiler cannot run: {cause}. It needs /proc, processes, and executable memory files (vm.memfd_noexec below 2)."
    );
    Error::unavailable("plugin_compiler_failed", sentence)
}

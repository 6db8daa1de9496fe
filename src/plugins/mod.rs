//! Plugins: code of others that looks at what the site's people and agents build.
//!
//! Invariant: a plugin runs in the sandbox only, reaches what it was granted and nothing else, and its failure costs its
//! own answer, never the server or the work it was asked about. A plugin is installed for the whole site and works in
//! organisations, in each by itself: what it keeps, how it is set up and how it fails there is no other one's business.
//!
//! `package`, `archive`, `manifest` and `settings` check what comes from outside, `pack` and `sign` make it, `trial` runs its
//! tests; `shelf` is what is installed, `crew` who works where, `live` one of them; `install` changes what there is,
//! `succession` proves one version in the place of another, `place` has their folders, `scanning` keeps out what should not
//! be there, `activations` says where one works, `beside` follows what other servers change; `dispatch` calls them where hooks are fired, `analyze` has them look at files, `rewrite` has them
//! propose others, `colleagues` has them take part in runs, `models` has them answer as models, `template` asks them for files
//! to start from, `integration` has them tell other systems.

mod activations;
mod analyze;
mod archive;
mod beside;
mod capabilities;
pub mod colleagues;
mod compile;
mod counts;
mod crew;
mod depends;
mod dispatch;
mod figures;
pub mod finding;
mod folder;
mod host;
mod install;
mod integration;
mod lifecycle;
mod live;
mod logs;
mod manifest;
mod models;
pub mod pack;
pub mod package;
mod paths;
mod place;
mod rewrite;
pub mod routes;
mod runtime;
mod sbom;
pub mod scanning;
mod settings;
mod shelf;
pub mod sign;
pub mod store;
mod succession;
mod sums;
mod template;
pub mod trial;
mod wheel;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};
use utoipa::ToSchema;

pub use archive::unpack;
pub use depends::Dependency;
pub use finding::{NewFinding, Severity};
pub use host::{ProjectFiles, Reach};
pub use install::Wish;
pub use manifest::{is_category, is_slug};
pub use package::Package;
pub use resoftai_sandbox::Limits;
pub use rewrite::{Proposal, Rewrite};
pub use sign::SignedBy;
pub use template::Template;

use crate::base::clock::{Clock, Time};
use crate::base::crypto::Key;
use crate::base::error::Result;
use crate::base::tasks::Tasks;
use crate::db::Db;
use crate::hooks::Hooks;
use crate::kv::Kv;
use crate::llm::{ANSWER_LIMIT, Llm};
use crate::net::Client;
use crate::scan::Policy;
use capabilities::{Capabilities, CapabilityView};
use compile::Compiler;
use counts::Cost;
use crew::Crew;
use host::Doors;
use integration::Again;
use live::HookView;
use runtime::Runtime;
use scanning::Scanner;
use settings::Vault;
use shelf::Shelf;
use sign::Trust;

/// The most plugins of a site.
pub const MAX_PLUGINS: usize = 200;

/// A text file to be looked at.
#[derive(Debug, Clone)]
pub struct CodeFile {
    pub project_id: i64,
    /// Relative, with `/`.
    pub path: String,
    /// Such as `python`; None when nobody knows.
    pub language: Option<String>,
    pub code: String,
}

/// What one plugin made of a file.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// The plugin's slug.
    pub plugin: String,
    /// The findings, or a sentence that says why there are none to be had.
    pub outcome: Result<Vec<NewFinding>, String>,
    /// From 0 to 100, when the plugin gave one; the lowest, when it gave several.
    pub score: Option<f64>,
}

impl Analysis {
    /// The plugin's own score, else what its findings come to; None when it did not look.
    pub fn score(&self) -> Option<f64> {
        let found = self.outcome.as_ref().ok()?;
        Some(self.score.unwrap_or_else(|| finding::score(found)))
    }
}

/// Whether a plugin is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PluginStatus {
    Active,
    /// By an administrator.
    Disabled,
    /// Its folder is damaged, or it failed too often in a row; `error` says which.
    Failed,
}

impl PluginStatus {
    pub fn code(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Failed => "failed",
        }
    }

    fn from_code(code: &str) -> Option<Self> {
        [Self::Active, Self::Disabled, Self::Failed].into_iter().find(|status| status.code() == code)
    }
}

/// A plugin as it is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Plugin {
    pub id: i64,
    pub slug: String,
    pub name: String,
    pub version: String,
    pub description: String,
    pub category: String,
    pub author: String,
    pub status: PluginStatus,
    /// Why it failed; the last failure while it is active; null when there was none.
    pub error: Option<String>,
    /// What the administrator set for the whole site, secrets as `(set)`; empty for who may not manage plugins.
    #[schema(value_type = Object)]
    pub config: settings::Settings,
    /// JSON Schema of `config`.
    pub config_schema: Option<Value>,
    pub hooks: Vec<HookView>,
    /// Whether it works in organisations that said nothing about it.
    pub everywhere: bool,
    /// What it asks for; what was granted is each organisation's, so `granted` says what every plugin has.
    pub capabilities: Vec<CapabilityView>,
    /// Plugins that must be active for it, with the versions that do, as in `base-tools >=1.2`.
    pub dependencies: Vec<String>,
    /// What its author should know: callbacks that are never called.
    pub warnings: Vec<String>,
    pub calls: i64,
    pub failures: i64,
    pub cost: Cost,
    pub installed_at: Time,
    /// Who signed its files.
    pub signed_by: Vec<SignedBy>,
}

/// Where plugins lie and what they may use.
pub struct Options {
    /// One folder a plugin.
    pub dir: PathBuf,
    /// The compiled Python runtime, compressed; empty when this build carries none.
    pub runtime: &'static [u8],
    /// The compiler of plugins in other languages, compressed; empty when this build carries none.
    pub compiler: &'static [u8],
    /// Of one instance and one call, of plugins that were granted no others.
    pub limits: Limits,
    /// Whose signatures count.
    pub trust: Trust,
    /// What scans keep out.
    pub scan: Policy,
    /// The most that can be granted of both.
    pub most: Limits,
    /// Seals configurations.
    pub key: Key,
    /// How plugins reach the network; its own list of hosts stays empty.
    pub client: Client,
}

/// What a plugin's instance is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Whatever it is asked.
    Short,
    /// Answers of its models, word by word.
    Long,
}

/// The room of plugins.
#[derive(Clone)]
pub struct Plugins {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    limits: Limits,
    trust: Trust,
    scanner: Scanner,
    most: Limits,
    vault: Vault,
    runtime: Runtime,
    db: Db,
    doors: Doors,
    clock: Clock,
    tasks: Tasks,
    hooks: Hooks,
    shelf: Shelf,
    crew: Crew,
    again: Again,
    /// Held by whoever changes which plugins there are.
    changes: Arc<Mutex<()>>,
}

impl Plugins {
    /// Looks what lies in the folder, takes in what is new there, and begins to load what is active. Damaged folders are
    /// listed as failed and stop nothing.
    ///
    /// # Errors
    /// When the folder cannot be made or the database fails.
    pub async fn start(options: Options, db: Db, kv: Kv, clock: Clock, tasks: Tasks, hooks: Hooks) -> Result<Self> {
        let Options { dir, runtime, compiler, limits, most, key, client, trust, scan } = options;
        let compiler = Compiler::new(compiler, &dir, &key);
        let inner = Inner {
            dir,
            limits,
            most,
            trust,
            scanner: Scanner::new(scan),
            vault: Vault::new(key),
            runtime: Runtime::new(runtime, compiler),
            db,
            doors: Doors {
                kv,
                client,
                clock: clock.clone(),
                diary: Arc::default(),
                llm: Arc::default(),
                files: Arc::default(),
            },
            clock,
            tasks,
            hooks,
            shelf: Shelf::default(),
            crew: Crew::default(),
            again: Again::default(),
            changes: Arc::default(),
        };
        let plugins = Self { inner: Arc::new(inner) };
        plugins.take_in().await?;
        let ear = dispatch::Ear(Arc::downgrade(&plugins.inner));
        plugins.inner.hooks.open(Box::new(ear), &plugins.inner.tasks);
        Ok(plugins)
    }

    /// Lets plugins that were granted it ask models, and models be asked that plugins bring.
    pub fn ask_models_of(&self, llm: Llm) {
        self.bring_models_to(&llm);
        drop(self.inner.doors.llm.set(llm));
    }

    /// Lets plugins that were granted it reach files of projects.
    pub fn reach_files_of(&self, files: Arc<dyn ProjectFiles>) {
        drop(self.inner.doors.files.set(files));
    }

    /// Keeps everybody from installing, changing or removing plugins until it is dropped.
    pub async fn hold_still(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.inner.changes).lock_owned().await
    }

    /// Who signed a package.
    ///
    /// # Errors
    /// `invalid_plugin` when a signature does not hold.
    pub fn signers(&self, package: &Package) -> Result<Vec<SignedBy>> {
        self.inner.trust.signers(package)
    }

    /// Whether plugins can run as far as is known, and a few words about it; for readiness.
    pub fn state(&self) -> (bool, String) {
        self.inner.runtime.state()
    }
}

impl Inner {
    /// What a plugin that was granted this may use.
    fn limits_of(&self, granted: &Capabilities, work: Work) -> Limits {
        let Limits { memory_bytes, cpu, wall } = self.limits;
        let memory = granted.memory_mib.map_or(memory_bytes, |mib| (mib << 20).max(memory_bytes));
        let computing = granted.time_ms.map_or(cpu, |ms| Duration::from_millis(ms).max(cpu));
        // What it waits for beside computing stays the same.
        let waiting = (wall + computing.saturating_sub(cpu)).min(self.most.wall.max(wall));
        let memory_bytes = memory.min(self.most.memory_bytes.max(memory_bytes));
        match work {
            Work::Short => Limits {
                memory_bytes,
                cpu: computing.min(self.most.cpu.max(cpu)),
                // Models take their time, and whoever calls says how long that may be.
                wall: if granted.llm.is_some() { waiting.max(colleagues::TURN_LIMIT) } else { waiting },
            },
            // A long text is a little computing for each word.
            Work::Long => Limits { memory_bytes, cpu: self.most.cpu.max(cpu), wall: ANSWER_LIMIT },
        }
    }
}

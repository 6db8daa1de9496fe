//! The door for machines and browsers: opens the ground, builds the rooms, binds ports, drains at the end.
//!
//! Invariant: [`App`] is put together here and nowhere else; rooms get only what they need. Plain HTTP is bound on
//! loopback only (checked by `config`).

mod gauges;
pub mod health;
pub mod listen;
mod metering;
pub mod middleware;
mod pages;
mod parts;
mod patience;
pub mod reload;
pub mod router;
mod system;
pub mod tls;

pub use parts::{PLUGIN_COMPILER, PYTHON_RUNTIME};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::gauges::Gauges;
use self::reload::{Reload, Reloaded};
use crate::accounts::{self, Accounts};
use crate::audit;
use crate::audit::forward::{self, Forward};
use crate::audit::tree::Logs;
use crate::backup::{self, Backups};
use crate::base::clock::Clock;
use crate::base::crypto::{self, Key};
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::base::telemetry;
use crate::blobs::Blobs;
use crate::config::{Config, secrets};
use crate::db::{Db, Options, Reach, migrate};
use crate::hooks::Hooks;
use crate::jobs::Jobs;
use crate::kv::Kv;
use crate::licence::{self, Licence};
use crate::llm::{self, EngineParts, Llm, SiteProvider};
use crate::mail::Mailer;
use crate::market::Market;
use crate::mirror::{self, Mirror};
use crate::net;
use crate::notices::{self, NewNotice};
use crate::orgs::{self, Orgs};
use crate::plugins::{self, Limits, Plugins};
use crate::privacy::Privacy;
use crate::projects::Projects;
use crate::projects::together::Together;
use crate::quotas::Quotas;
use crate::runs::{self, Runs};
use crate::scan;
use crate::scan::licences::Licences;
use crate::sso::Sso;
use crate::upgrade;

/// How long requests may take to finish once the server is told to stop.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(20);

/// How long a thread of the database waits for the address of its server.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// A server that answers.
pub struct Running {
    pub address: SocketAddr,
    /// `SHA256:` and the certificate's digest; None over plain HTTP.
    pub fingerprint: Option<String>,
    pub socket: PathBuf,
    /// The address of the page that makes the first administrator; None once the site has an account.
    pub setup: Option<String>,
    db: Db,
    tasks: Tasks,
    reload: Reload,
}

impl Running {
    /// Takes in what was changed in the configuration.
    ///
    /// # Errors
    /// Those of [`Reload::again`].
    pub async fn reload(&self) -> Result<Reloaded> {
        let reload = self.reload.clone();
        tokio::task::spawn_blocking(move || reload.again()).await.unwrap_or_else(|cause| Err(Error::internal(cause)))
    }

    /// Tells systemd that the server lives, as long as it does: while tasks run and the database answers.
    pub fn watch(&self) {
        let Some(limit) = sd_notify::watchdog_enabled() else { return };
        let db = self.db.clone();
        self.tasks.spawn_until_stop(async move {
            loop {
                match db.ping().await {
                    Ok(()) => tell_systemd(&[sd_notify::NotifyState::Watchdog]),
                    Err(error) => {
                        tracing::error!(?error, "the database does not answer; systemd is not told that all is well");
                    }
                }
                tokio::time::sleep(limit / 3).await;
            }
        });
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        let scheme = if self.fingerprint.is_some() { "https" } else { "http" };
        if self.address.ip().is_unspecified() {
            let machine = rustix::system::uname();
            return format!("{scheme}://{}:{}", machine.nodename().to_string_lossy(), self.address.port());
        }
        format!("{scheme}://{}", self.address)
    }

    /// Stops accepting, lets requests finish for at most [`DRAIN_LIMIT`], closes the database.
    pub async fn stop(self) {
        if !self.tasks.shut_down(DRAIN_LIMIT).await {
            tracing::warn!("Some requests did not finish within {DRAIN_LIMIT:?} and were cut off.");
        }
        self.db.close().await;
        if let Err(cause) = std::fs::remove_file(&self.socket) {
            tracing::warn!("{} was not removed: {cause}", self.socket.display());
        }
    }
}

/// Without systemd there is nobody to tell, which is no fault.
pub fn tell_systemd(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(cause) = sd_notify::notify(state) {
        tracing::warn!("systemd was not told: {cause}");
    }
}

/// Whether a start can use the files and addresses that the settings name. Leaves no trace, so that `resoftai config check`
/// asks this too: what it lets pass, no start refuses for its form.
///
/// # Errors
/// `database_url`, `invalid_url`, `certificate` and `ca_file`, naming the setting or the file.
pub fn check(config: &Config) -> Result<()> {
    if let Some(url) = &config.database_url {
        Db::check_postgres_url(&url.0)?;
    }
    if let Some(url) = &config.llm.base_url {
        net::Target::parse(url).map_err(|error| error.field("llm.base_url"))?;
    }
    forward_options(config)?;
    if !config.http {
        tls::named(config)?;
    }
    net::client_config(&ca_files(config)).map(drop)
}

/// Opens the data directory and the database and answers requests.
///
/// # Errors
/// What keeps the server from starting, in a sentence with the mend.
pub async fn start(config: &Config, clock: Clock) -> Result<Running> {
    config.remarks().iter().for_each(|remark| tracing::warn!("{remark}"));
    upgrade::may_start(&config.data_dir)?;
    secrets::private_folder(&config.data_dir)?;
    let dns = net::Dns::from_system()?;
    let db = open_database(config, &dns).await?;
    let jwt_key = match &config.jwt_secret_key {
        Some(secret) => Key::derive(secret.0.as_bytes(), "resoftai session tokens"),
        None => secrets::load_or_create(&config.data_dir.join("secrets/jwt.key"))?,
    };
    let tasks = Tasks::default();
    telemetry::keep_metrics_small(&tasks)?;
    let audit_key = secrets::load_or_create(&config.data_dir.join("secrets/audit.key"))?;
    let audit_logs = Logs::new(db.clone(), clock.clone(), &audit_key)?;
    audit_logs.start(&tasks).await?;
    audit::retention::start(db.clone(), clock.clone(), &tasks);
    let site_key = secrets::load_or_create(&config.data_dir.join("secrets/master.key"))?;
    let licence = start_licence(config, &db, &clock, &tasks, &site_key).await?;
    let mailer = start_mailer(config, dns.clone(), &db, &clock, &tasks, site_key.clone())?;
    let keys = accounts::Keys { tokens: jwt_key, site: site_key.clone() };
    let (hooks, options, mails) = (Hooks::default(), account_options(config, licence.clone()), mailer.clone());
    let accounts = Accounts::new(db.clone(), clock.clone(), tasks.clone(), keys, mails, hooks.clone(), options);
    // Its lock keeps a second server out before that one could take the first for dead.
    let kv = Kv::open(&config.data_dir.join("kv.redb"), clock.clone()).await?;
    let (backed_up_kv, backup_key) = (kv.clone(), site_key.clone());
    let options = plugin_options(config, site_key.clone(), dialler(config, dns.clone())?);
    let plugins = Plugins::start(options, db.clone(), kv, clock.clone(), tasks.clone(), hooks.clone()).await?;
    let process = format!("{}-{}", std::process::id(), crypto::hex(&crypto::random_bytes::<8>()?));
    let forward = start_forward(config, dns.clone(), &db, &clock, &tasks, &process)?;
    let quotas =
        Quotas::start(db.clone(), clock.clone(), tasks.clone(), process.clone(), config.time_zone.clone()).await?;
    let sso = Sso::new(accounts.clone(), dialler(config, dns.clone())?);
    sso.watch_certificates(&tasks);
    let orgs = start_orgs(config, &db, &clock, &quotas, &accounts).await?;
    let ground = (db.clone(), clock.clone(), tasks.clone());
    let llm = start_llm(config, dns, site_key, ground, &quotas, hooks.clone()).await?;
    plugins.ask_models_of(llm.clone());
    let blobs = Blobs::open(&config.data_dir.join("blobs")).await?;
    let mirror = start_mirror(config, (&db, &clock), blobs.clone())?;
    mirror.watch(&tasks).await?;
    plugins.scan_with(mirror.knowledge());
    plugins.scan_what_was_not().await?;
    let zone = config.time_zone.clone();
    let market = Market::new(db.clone(), blobs.clone(), plugins.clone(), clock.clone(), tasks.clone(), zone);
    let site = backup::Site {
        db: db.clone(),
        kv: backed_up_kv,
        blobs: blobs.clone(),
        plugins: plugins.clone(),
        clock: clock.clone(),
        data_dir: config.data_dir.clone(),
        config_file: config.sources.file.clone(),
    };
    let backups = Backups::new(site, backup_key, config.time_zone.clone(), tasks.clone());
    let projects = Projects::new(db.clone(), blobs, plugins.clone(), hooks.clone(), clock.clone());
    plugins.reach_files_of(projects.door());
    projects.sweep(&tasks);
    let together = Together::new(projects.clone(), accounts.clone(), tasks.clone());
    together.sweep();
    let runs = Runs::new(runs::Rooms {
        db: db.clone(),
        accounts: accounts.clone(),
        llm: llm.clone(),
        projects: projects.clone(),
        plugins: plugins.clone(),
        quotas: quotas.clone(),
        hooks: hooks.clone(),
        clock: clock.clone(),
        tasks: tasks.clone(),
    });
    let privacy = Privacy::new(db.clone(), clock.clone(), accounts.clone(), runs.clone(), config);
    privacy.repeat().await?;
    let mut jobs = Jobs::new(db.clone(), clock.clone(), tasks.clone(), process);
    backups.register(&mut jobs);
    market.register(&mut jobs);
    plugins.register(&mut jobs);
    projects.register(&mut jobs);
    together.register(&mut jobs);
    runs.register(&mut jobs);
    orgs.register(&mut jobs);
    accounts.register(&mut jobs);
    mailer.register(&mut jobs, Arc::new(notices::mails::given_up));
    jobs.start().await?;
    market.catch_up();
    upgrade::record(&db, &clock, &config.data_dir).await?;
    let (reload, setup) = (Reload::new(config)?, accounts.setup_link().await?);
    let gauges = Gauges {
        backups: backups.clone(),
        licence: licence.clone(),
        mirror: mirror.clone(),
        reload: reload.clone(),
        data_dir: config.data_dir.clone(),
    };
    gauges.start(&tasks).await;
    let router = router::build(&router::App {
        db: db.clone(),
        clock,
        accounts,
        mailer,
        licence,
        audit_logs,
        forward,
        plugins,
        quotas,
        orgs,
        llm,
        projects,
        together,
        runs,
        privacy,
        sso,
        mirror,
        market,
        backups,
        reload: reload.clone(),
        data_dir: config.data_dir.clone(),
    })?;
    let bound = listen::bind(config, reload.tls(), &router, &tasks).await?;
    let (address, fingerprint, socket) = (bound.address, bound.fingerprint, bound.socket);
    let mut running = Running { address, fingerprint, socket, setup: None, db, tasks, reload };
    let site = config.public_url.clone().unwrap_or_else(|| running.url());
    running.setup = setup.map(|path| format!("{site}{path}"));
    Ok(running)
}

fn account_options(config: &Config, licence: Licence) -> accounts::Options {
    accounts::Options {
        token_max_days: config.accounts.token_max_days,
        session_hours: config.accounts.session_hours,
        require_second_factor: config.accounts.require_second_factor,
        public_url: config.public_url.clone(),
        registration: config.accounts.registration,
        registration_domains: config.accounts.registration_domains.clone(),
        licence,
    }
}

fn plugin_options(config: &Config, key: Key, client: net::Client) -> plugins::Options {
    let (limits, cpu) = (Limits::default(), Duration::from_millis(config.plugins.max_time_ms.into()));
    let most = Limits {
        memory_bytes: u64::from(config.plugins.max_memory_mib) << 20,
        cpu,
        wall: limits.wall.saturating_add(cpu),
    };
    let trust =
        plugins::sign::Trust { keys: config.plugins.trusted_keys.clone(), required: config.plugins.require_signature };
    let scan = scan::Policy {
        block: config.plugins.scan_block,
        warn: config.plugins.scan_warn,
        licences: Licences {
            allowed: config.plugins.licences_allowed.clone(),
            denied: config.plugins.licences_denied.clone(),
        },
    };
    plugins::Options {
        dir: config.data_dir.join("plugins"),
        runtime: parts::PYTHON_RUNTIME,
        compiler: parts::PLUGIN_COMPILER,
        limits,
        most,
        key,
        client,
        trust,
        scan,
    }
}

fn forward_options(config: &Config) -> Result<forward::Options> {
    let syslog = config.audit_syslog.as_deref().map(forward::SyslogServer::parse).transpose()?;
    let marks = forward::Marks::new(config.audit_facility, config.audit_enterprise_id)?;
    Ok(forward::Options { syslog, marks, file: config.audit_file.clone() })
}

fn start_forward(
    config: &Config,
    dns: net::Dns,
    db: &Db,
    clock: &Clock,
    tasks: &Tasks,
    process: &str,
) -> Result<Forward> {
    let client = dialler(config, dns)?;
    let forward = Forward::new(db.clone(), clock.clone(), forward_options(config)?, &client);
    let tell: forward::Tell = Arc::new(|tx, now, failing| {
        let forward::Failing { target, since, error } = failing;
        let text = format!(
            "Since {since} the audit trail is not sent to {target}. {error} Nothing is lost: what waits is sent once it works."
        );
        notices::to_site(tx, now, &NewNotice::new("audit_forward_failed", text).link("/audit"))
    });
    forward.start(tasks, client, process, &tell);
    Ok(forward)
}

fn start_mailer(config: &Config, dns: net::Dns, db: &Db, clock: &Clock, tasks: &Tasks, key: Key) -> Result<Mailer> {
    let client = dialler(config, dns)?;
    let (db, clock, public_url) = (db.clone(), clock.clone(), config.public_url.clone());
    let mailer = Mailer::new(db.clone(), clock.clone(), key, client, &config.smtp, public_url);
    mailer.start(tasks);
    notices::mails::start(db, clock, mailer.clone(), tasks);
    Ok(mailer)
}

async fn start_licence(config: &Config, db: &Db, clock: &Clock, tasks: &Tasks, key: &Key) -> Result<Licence> {
    let options = licence::Options {
        trusted_keys: config.licence.trusted_keys.clone(),
        key: config.license_key.as_ref().map(|key| key.0.clone()),
        file: config.licence.file.clone(),
    };
    let licence = Licence::new(db.clone(), clock.clone(), key, options)?;
    licence.start(tasks).await?;
    Ok(licence)
}

async fn start_orgs(config: &Config, db: &Db, clock: &Clock, quotas: &Quotas, accounts: &Accounts) -> Result<Orgs> {
    let licence = accounts.licence().clone();
    let options = orgs::Options { many: config.enterprise_mode, deletion_days: config.deletion_days, licence };
    let accounts = accounts.clone();
    let forget: orgs::Forget = Arc::new(move |tx| accounts.forget_callers(tx));
    Orgs::start(db.clone(), clock.clone(), quotas.clone(), options, forget).await
}

fn start_mirror(config: &Config, (db, clock): (&Db, &Clock), blobs: Blobs) -> Result<Mirror> {
    let scratch = config.data_dir.join("mirror");
    secrets::private_folder(&scratch)?;
    let options = mirror::Options { expired: config.mirror.expired, serve: config.mirror.serve, scratch };
    Ok(Mirror::new(db.clone(), blobs, clock.clone(), options))
}

/// Each room dials with its own, so that none reaches a host that only another one's settings name.
fn dialler(config: &Config, dns: net::Dns) -> Result<net::Client> {
    net::Client::new(dns, &net::Options { ca_files: ca_files(config), ..net::Options::default() })
}

fn ca_files(config: &Config) -> Vec<PathBuf> {
    config.ca_file.iter().cloned().collect()
}

async fn open_database(config: &Config, dns: &net::Dns) -> Result<Db> {
    let Some(url) = &config.database_url else {
        return Db::open_sqlite(&config.data_dir.join("resoftai.db"), Options::default()).await;
    };
    let tls = net::client_config(&ca_files(config))?;
    let reach = Reach { resolve: Arc::new(dns.blocking(RESOLVE_LIMIT)), tls: Some(Arc::new(tls)) };
    Db::open_postgres_with(&url.0, Options::default(), reach, migrate::BUILTIN).await
}

async fn start_llm(
    config: &Config,
    dns: net::Dns,
    key: Key,
    (db, clock, tasks): (Db, Clock, Tasks),
    quotas: &Quotas,
    hooks: Hooks,
) -> Result<Llm> {
    let settings = &config.llm;
    let api_key = settings.api_key.as_ref().map(|key| key.0.clone());
    let options = llm::Options {
        data_dir: config.data_dir.clone(),
        model_path: settings.model_path.clone(),
        engine: EngineParts { baseline: parts::ENGINE, v3: parts::ENGINE_V3 },
        threads: settings.threads.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, |processors| (processors.get() - 1).max(1))
        }),
        context: settings.context.unwrap_or(8192),
        site_provider: settings.base_url.clone().map(|base_url| SiteProvider {
            base_url,
            api_key,
            models: settings.models.clone(),
            context_length: settings.context_length,
        }),
        patience: Duration::from_secs(settings.timeout.unwrap_or(120)),
        hooks,
    };
    let client = dialler(config, dns)?;
    Llm::start(options, db, quotas.clone(), clock, tasks, key, client).await
}

//! The PostgreSQL engine: one thread a connection, SERIALIZABLE transactions that are run again after a lost race.
//!
//! Invariants: nobody is told of success before COMMIT returned; a transaction is run again only when it is certain that
//! it was not committed. The client is only ever used and dropped on its own thread: on a runtime's worker it panics.
//! Addresses come from the caller's resolver, never from the C library's.

use std::collections::HashMap;
use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use postgres::config::{Host, SslMode};
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Config, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{DbError, busy, words};
use super::job::{Job, Message, Outcome, run_hooks};
use super::migrate::{self, Migration};
use super::tx::{Conn, Row, RowOf, Tx};
use super::val::{Val, ValRef};
use super::{Engine, JOB_LIMIT};
use crate::base::error::{Error, Result};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A transaction that lost this many races, or all races for [`RETRY_LIMIT`], is given up.
const ATTEMPTS: u32 = 40;
const RETRY_LIMIT: Duration = Duration::from_secs(10);
/// Prepared statements kept by a connection; all are dropped beyond.
const STATEMENTS: usize = 512;
/// Any constant: the lock that lets one process at a time change the schema.
const MIGRATION_LOCK: i64 = 0x7265_736f_6674;

const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const WRITE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE";

/// Finds the addresses of a host name; called on a database thread, so it may block, but not for long.
pub type Resolve = Arc<dyn Fn(&str) -> Result<Vec<IpAddr>> + Send + Sync>;

/// How servers are reached.
#[derive(Clone)]
pub struct Reach {
    /// For hosts in the URL that are not addresses.
    pub resolve: Resolve,
    /// For `sslmode=require` (and `verify-ca`, `verify-full`, which mean the same: the certificate is always verified
    /// against this configuration). Without sslmode, or with `prefer`, the connection is not encrypted.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Default for Reach {
    /// Addresses and `localhost` only, no TLS.
    fn default() -> Self {
        let resolve = |host: &str| match host {
            "localhost" => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
            _ => Err(Error::invalid(
                "database_url",
                format!("The database host {host} is a name, and no resolver is set up. Write its IP address."),
            )),
        };
        Self { resolve: Arc::new(resolve), tls: None }
    }
}

/// Where to connect, parsed once.
pub(super) struct Server {
    config: Config,
    reach: Reach,
}

impl Server {
    /// Errors without showing the URL, which holds a password.
    pub(super) fn parse(url: &str, reach: Reach) -> Result<Self> {
        let mut config = parse_url(url)?;
        if config.get_ssl_mode() == SslMode::Require && reach.tls.is_none() {
            let sentence = "The database URL asks for TLS, but no certificate authorities are set up for it.";
            return Err(Error::invalid("database_url", sentence).field("database.url"));
        }
        if config.get_ssl_mode() != SslMode::Require {
            config.ssl_mode(SslMode::Disable);
        }
        config.connect_timeout(CONNECT_LIMIT).tcp_user_timeout(JOB_LIMIT).keepalives_idle(Duration::from_secs(60));
        if config.get_application_name().is_none() {
            config.application_name("resoftai");
        }
        Ok(Self { config, reach })
    }

    /// The configuration with an address for each host: the `turn`-th one of each. Also the number of turns there are.
    fn addressed(&self, turn: usize) -> Result<(Config, usize)> {
        let mut config = self.config.clone();
        let mut turns = 1;
        if !config.get_hostaddrs().is_empty() {
            return Ok((config, turns));
        }
        for host in self.config.get_hosts() {
            let Host::Tcp(name) = host else { continue };
            let addresses = match name.parse::<IpAddr>() {
                Ok(address) => vec![address],
                Err(_) => (self.reach.resolve)(name).map_err(|cause| {
                    let why = format!(
                        "its host name {name} does not resolve, by /etc/hosts or the servers of /etc/resolv.conf"
                    );
                    unreachable(&why).caused_by(cause)
                })?,
            };
            let Some(address) = addresses.get(turn % addresses.len().max(1)) else {
                return Err(unreachable(&format!("the host {name} has no address")));
            };
            config.hostaddr(*address);
            turns = turns.max(addresses.len());
        }
        Ok((config, turns))
    }

    /// Tries one address after the other. What each of them said is told: the last one's words alone would hide that
    /// the right one refused the password.
    fn connect(&self) -> Result<Client> {
        let mut refusals: Vec<String> = Vec::new();
        let (mut turn, mut turns) = (0, 1);
        while turn < turns {
            let config;
            (config, turns) = self.addressed(turn)?;
            let refusal = match self.dial(&config) {
                Ok(client) => return prepare_session(client),
                Err(cause) => refusal(&cause),
            };
            if !refusals.contains(&refusal) {
                refusals.push(refusal);
            }
            turn += 1;
        }
        Err(unreachable(&refusals.join("; ")))
    }

    fn dial(&self, config: &Config) -> Result<Client, postgres::Error> {
        match &self.reach.tls {
            Some(tls) if config.get_ssl_mode() == SslMode::Require => {
                config.connect(MakeRustlsConnect::new((**tls).clone()))
            }
            _ => config.connect(NoTls),
        }
    }
}

/// What can be known of a URL without a connection.
///
/// # Errors
/// `database_url`, without showing the URL, which holds a password.
pub(super) fn parse_url(url: &str) -> Result<Config> {
    let refused = |why: &str| {
        let sentence = format!(
            "The database URL cannot be used: {why}. Write one like postgres://user:password@host:5432/database."
        );
        Error::invalid("database_url", sentence).field("database.url")
    };
    let config: Config = as_libpq(url).parse().map_err(|cause| refused(&words(&cause)))?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(refused("it names no host"));
    }
    Ok(config)
}

/// Host and port of each server that a URL names.
pub(super) fn servers(url: &str) -> Result<Vec<(String, u16)>> {
    const PORT: u16 = 5432;
    let config = parse_url(url)?;
    let hosts: Vec<String> = match config.get_hostaddrs() {
        [] => config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect(),
        addresses => addresses.iter().map(ToString::to_string).collect(),
    };
    // One port is for all of them.
    let ports = config.get_ports();
    let port = |at: usize| ports.get(at).or_else(|| ports.first()).copied().unwrap_or(PORT);
    Ok(hosts.into_iter().enumerate().map(|(at, host)| (host, port(at))).collect())
}

/// The URL as libpq writes it. SQLAlchemy puts its driver into the scheme.
fn as_libpq(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let scheme = scheme.split_once('+').map_or(scheme, |(dialect, _driver)| dialect);
    // A password may hold a question mark.
    let host = rest.find('@').map_or(0, |at| at + 1);
    let Some(end) = rest[host..].find('?').map(|at| host + at) else { return format!("{scheme}://{rest}") };
    let (place, query) = (&rest[..end], &rest[end + 1..]);
    let parameters: Vec<&str> = query.split('&').filter_map(parameter).collect();
    format!("{scheme}://{place}?{}", parameters.join("&"))
}

/// None for what is about SQLAlchemy's pool of connections and not about the server; asyncpg says `ssl` for `sslmode`.
fn parameter(pair: &str) -> Option<&str> {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    match (name, value) {
        ("pool_size" | "max_overflow" | "pool_timeout" | "pool_recycle" | "pool_pre_ping", _) => None,
        ("sslmode" | "ssl", "require" | "verify-ca" | "verify-full") | ("ssl", "true") => Some("sslmode=require"),
        ("ssl", "prefer" | "allow" | "disable" | "false") => Some("sslmode=disable"),
        _ => Some(pair),
    }
}

/// Why a connection failed, and what to do where it is the certificate.
fn refusal(cause: &postgres::Error) -> String {
    let words = words(cause);
    if !is_certificate(cause) {
        return words;
    }
    format!(
        "{words}; its certificate must name the host that the database URL names and be signed by an authority of the \
         system or of the file in network.ca_file"
    )
}

fn is_certificate(cause: &postgres::Error) -> bool {
    std::iter::successors(cause.source(), |&cause| cause.source())
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>())
        .any(|cause| matches!(cause, rustls::Error::InvalidCertificate(_)))
}

fn unreachable(why: &str) -> Error {
    let sentence = format!(
        "The PostgreSQL server of this site cannot be used: {why}. Check that it runs and that the database URL is right."
    );
    Error::unavailable("database_unreachable", sentence).retry_after(5)
}

/// Bounds every wait inside the server, and does not accept a server that confirms before its disk does.
fn prepare_session(mut client: Client) -> Result<Client> {
    let limit = JOB_LIMIT.as_millis();
    let setup = format!(
        "SET statement_timeout = {limit}; SET lock_timeout = 10000; SET idle_in_transaction_session_timeout = 60000; \
         SET timezone = 'UTC'; SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') IN ('off', 'local')"
    );
    client.batch_execute(&setup).map_err(|cause| unreachable(&words(&cause)))?;
    Ok(client)
}

/// A connection that comes back after it was lost.
pub(super) struct Session {
    server: Arc<Server>,
    client: Option<Client>,
    statements: HashMap<Box<str>, Statement>,
    /// Tells apart threads (and processes) that retry, so that they do not collide for ever.
    number: u32,
}

impl Session {
    /// Not connected yet.
    pub(super) fn new(server: Arc<Server>, number: u32) -> Self {
        Self { server, client: None, statements: HashMap::new(), number: number ^ std::process::id() }
    }

    fn client(&mut self) -> Result<&mut Client, DbError> {
        self.client.as_mut().ok_or(DbError::Retry)
    }

    fn forget(&mut self) {
        self.client = None;
        self.statements.clear();
    }

    pub(super) fn batch(&mut self, sql: &str) -> Result<(), DbError> {
        Ok(self.client()?.batch_execute(sql)?)
    }

    fn prepared(&mut self, sql: &str) -> Result<Statement, DbError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client()?.prepare(sql)?;
        if self.statements.len() >= STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(sql.into(), statement.clone());
        Ok(statement)
    }

    pub(super) fn execute(&mut self, sql: &str, params: &[Val]) -> Result<u64, DbError> {
        let statement = self.prepared(sql)?;
        check_count(&statement, params)?;
        Ok(self.client()?.execute(&statement, &borrow(params))?)
    }

    /// Calls `visit` with every row until it says false.
    pub(super) fn each_row(
        &mut self,
        sql: &str,
        params: &[Val],
        visit: &mut dyn FnMut(&Row<'_>) -> bool,
    ) -> Result<(), DbError> {
        let statement = self.prepared(sql)?;
        check_count(&statement, params)?;
        let rows = self.client()?.query(&statement, &borrow(params))?;
        for row in &rows {
            if !visit(&Row(RowOf::Postgres(row))) {
                break;
            }
        }
        Ok(())
    }

    /// Starts a transaction on a living connection, connecting again when the old one is gone.
    fn begin(&mut self, begin: &str) -> Result<()> {
        if self.client.as_mut().is_some_and(|client| client.is_closed() || client.batch_execute(begin).is_err()) {
            self.forget();
        } else if self.client.is_some() {
            return Ok(());
        }
        self.client = Some(self.server.connect()?);
        Ok(self.batch(begin)?)
    }

    /// Ends a transaction that must not count; a connection that cannot even do that is given up.
    fn undo(&mut self) {
        if self.batch("ROLLBACK").is_err() {
            self.forget();
        }
    }

    /// Applies the next outstanding step of the schema; false when there is none.
    pub(super) fn migrate_one(&mut self, migrations: &[Migration]) -> Result<bool> {
        self.begin("BEGIN ISOLATION LEVEL READ COMMITTED")?;
        let mut tx = Tx::new(Conn::Postgres(self));
        let done = prepare_schema(&mut tx).and_then(|()| migrate::step(&mut tx, Engine::Postgres, migrations));
        let done = done.and_then(|applied| Ok(self.batch("COMMIT").map(|()| applied)?));
        if done.is_err() {
            self.undo();
        }
        done
    }
}

/// Takes the lock of those who change the schema; makes the schema that the URL's search_path names when it is missing.
fn prepare_schema(tx: &mut Tx<'_>) -> Result<()> {
    tx.batch("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")?;
    tx.query_row(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"), &[], |_| Ok(()))?;
    let missing = "SELECT quote_ident(trim(both ' \"' from split_part(current_setting('search_path'), ',', 1))) \
                   WHERE current_schema() IS NULL";
    if let Some(schema) = tx.query_row(missing, &[], |row| row.get::<String>(0))? {
        tx.batch(&format!("CREATE SCHEMA IF NOT EXISTS {schema}"))?;
    }
    Ok(())
}

/// A connection thread's life.
pub(super) fn serve(mut session: Session, queue: &Receiver<Message>, write: bool) {
    while let Ok(message) = queue.recv_blocking() {
        match message {
            Message::Close => break,
            Message::Run(job) if job.expired() => job.answer(Err(busy())),
            Message::Run(job) => run(&mut session, job, if write { WRITE } else { READ }),
        }
    }
}

fn run(session: &mut Session, mut job: Box<dyn Job>, begin: &str) {
    let started = Instant::now();
    for attempt in 0..ATTEMPTS {
        match attempt_once(session, job.as_mut(), begin) {
            Some(verdict) => return job.answer(verdict),
            None if job.repeatable() && started.elapsed() < RETRY_LIMIT => back_off(attempt, session.number),
            None => break,
        }
    }
    job.answer(Err(busy()));
}

/// None: not committed for certain, and worth another attempt.
fn attempt_once(session: &mut Session, job: &mut dyn Job, begin: &str) -> Option<Result<()>> {
    if let Err(error) = session.begin(begin) {
        return Some(Err(error));
    }
    let hooks = match job.run(Conn::Postgres(session)) {
        Outcome::Keep(hooks) => hooks,
        Outcome::Undo => {
            session.undo();
            return Some(Ok(()));
        }
        Outcome::Again => {
            // Statements the server forgot, or plans that DDL made stale, are part of what Retry covers.
            session.undo();
            session.statements.clear();
            return None;
        }
    };
    let committed = match session.client.as_mut() {
        Some(client) => client.batch_execute("COMMIT"),
        None => return None,
    };
    match committed {
        Ok(()) => {
            run_hooks(hooks);
            Some(Ok(()))
        }
        Err(cause) if cause.as_db_error().is_none() => {
            session.forget();
            Some(Err(commit_unknown(&cause)))
        }
        Err(cause) => {
            session.undo();
            match DbError::from(cause) {
                DbError::Retry => None,
                error => Some(Err(error.into())),
            }
        }
    }
}

fn commit_unknown(cause: &postgres::Error) -> Error {
    let sentence = "The connection to PostgreSQL broke during the commit, so it is not known whether the change was made. \
                    Look before you repeat it.";
    Error::unavailable("commit_unknown", sentence).caused_by(words(cause))
}

/// Waits 1 to 64 ms, longer each time and differently in each thread.
fn back_off(attempt: u32, number: u32) {
    let ceiling = 1_000_u64 << attempt.min(6);
    let mixed = u64::from(number.wrapping_add(attempt).wrapping_mul(0x9E37_79B9) >> 8);
    std::thread::sleep(Duration::from_micros(ceiling / 4 + mixed % ceiling));
}

fn check_count(statement: &Statement, params: &[Val]) -> Result<(), DbError> {
    let count = statement.params().len();
    if count == params.len() {
        return Ok(());
    }
    Err(DbError::Other(format!("the statement uses {count} parameters and was given {}", params.len())))
}

fn borrow(params: &[Val]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

type Anything = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Val {
    fn to_sql(&self, kind: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Anything> {
        match (self, kind) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Bool(truth), &Type::BOOL) => truth.to_sql(kind, out),
            (Self::I64(number), &Type::INT8) => number.to_sql(kind, out),
            (Self::I64(number), &Type::INT4) => i32::try_from(*number)?.to_sql(kind, out),
            (Self::I64(number), &Type::INT2) => i16::try_from(*number)?.to_sql(kind, out),
            (Self::F64(number), &Type::FLOAT8) => number.to_sql(kind, out),
            (Self::Text(text), &Type::TEXT | &Type::VARCHAR | &Type::BPCHAR | &Type::NAME | &Type::UNKNOWN) => {
                text.as_str().to_sql(&Type::TEXT, out)
            }
            (Self::Bytes(bytes), &Type::BYTEA) => bytes.as_slice().to_sql(kind, out),
            (value, kind) => Err(format!("{value:.20?} was bound where PostgreSQL expects {kind}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for ValRef<'a> {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Anything> {
        Ok(match *kind {
            Type::BOOL => Self::Bool(bool::from_sql(kind, raw)?),
            Type::INT8 => Self::I64(i64::from_sql(kind, raw)?),
            Type::INT4 => Self::I64(i32::from_sql(kind, raw)?.into()),
            Type::INT2 => Self::I64(i16::from_sql(kind, raw)?.into()),
            Type::FLOAT8 => Self::F64(f64::from_sql(kind, raw)?),
            Type::FLOAT4 => Self::F64(f32::from_sql(kind, raw)?.into()),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
                Self::Text(<&str>::from_sql(&Type::TEXT, raw)?)
            }
            Type::BYTEA => Self::Bytes(raw),
            _ => return Err(format!("a column of type {kind} must be cast in SQL first").into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Anything> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

pub(super) fn column(row: &postgres::Row, column: usize) -> Result<ValRef<'_>, DbError> {
    row.try_get(column).map_err(|cause| DbError::Other(words(&cause)))
}

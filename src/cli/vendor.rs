//! `resoftai vendor`: the other side of a licence, for who sells it, and of a release, for who makes it. All without a server.
//!
//! Invariant: what is signed passes the bounds that a site holds it to.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::base::clock::{Clock, DAY};
use crate::base::crypto::{hex, random_bytes};
use crate::base::note::Signer;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::Output;
use crate::cli::plugin_author::put;
use crate::cli::plugin_sign::{self, private_key, public_key, read_text};
use crate::cli::vendor_release::{self, VendorReleaseCommand};
use crate::licence::verify::{Form, Keyring, LIST_BYTES, sign};
use crate::licence::{Claims, Feature, Revocations, Tier, UsageReport};

/// The most bytes of a usage report.
const REPORT_BYTES: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub enum VendorCommand {
    /// Licences: keys to sign them with, new ones, those taken back, and what sites report.
    #[command(subcommand)]
    Licence(VendorLicenceCommand),
    /// Releases: keys to sign them with, and signatures, as minisign makes them.
    #[command(subcommand)]
    Release(VendorReleaseCommand),
}

#[derive(Debug, Subcommand)]
pub enum VendorLicenceCommand {
    /// Make a key pair to sign licences with.
    Keygen(plugin_sign::KeygenArgs),
    /// Sign a licence.
    Issue(IssueArgs),
    /// Sign a list of the licences that were taken back.
    Revoke(RevokeArgs),
    /// Check and show the usage report of a site.
    Report {
        /// The report's file.
        file: PathBuf,
        /// The installation's report key, or its file, as `resoftai licence show` shows it there.
        #[arg(long, value_name = "KEY")]
        key: String,
    },
}

#[derive(Debug, Args)]
pub struct IssueArgs {
    /// File of the private key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Whom it is for.
    #[arg(long, value_name = "NAME")]
    customer: String,
    /// What is sold.
    #[arg(long, value_enum)]
    tier: SoldTier,
    /// How many people may have an account that is switched on.
    #[arg(long, value_name = "N")]
    seats: i64,
    /// What it opens: organizations, sso or roles. May be repeated [default: what the tier has].
    #[arg(long = "feature", value_name = "FEATURE", value_parser = feature)]
    features: Vec<Feature>,
    /// The day from which it counts, as YYYY-MM-DD, UTC [default: now].
    #[arg(long, value_name = "DAY", value_parser = day)]
    from: Option<i64>,
    /// The day on which it ends, as YYYY-MM-DD, UTC [default: 365 days after it begins].
    #[arg(long, value_name = "DAY", value_parser = day)]
    until: Option<i64>,
    /// Days after its end during which all stays open.
    #[arg(long, value_name = "N", default_value_t = 30)]
    grace_days: i64,
    /// The id of an installation that it is for. May be repeated [default: any installation].
    #[arg(long = "installation", value_name = "ID")]
    installations: Vec<String>,
    /// The id of one more installation, which stands in when the others are lost.
    #[arg(long, value_name = "ID")]
    disaster_recovery: Option<String>,
    /// Its serial [default: a random one].
    #[arg(long, value_name = "SERIAL")]
    serial: Option<String>,
    /// Who sells it [default: the key's name].
    #[arg(long, value_name = "NAME")]
    vendor: Option<String>,
    /// Where to write it [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Serials of licences.
    #[arg(required = true)]
    serials: Vec<String>,
    /// File of the private key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The list so far: its serials stay, and the new list's number is one more [default: this is the first].
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Who issues it [default: the key's name].
    #[arg(long, value_name = "NAME")]
    vendor: Option<String>,
    /// Where to write it [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What is sold; the free tier is not.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum SoldTier {
    /// More than one organisation.
    Starter,
    /// Everything.
    Professional,
    /// Everything.
    Enterprise,
}

impl SoldTier {
    fn tier(self) -> Tier {
        match self {
            Self::Starter => Tier::Starter,
            Self::Professional => Tier::Professional,
            Self::Enterprise => Tier::Enterprise,
        }
    }
}

fn feature(code: &str) -> Result<Feature, String> {
    Feature::ALL.into_iter().find(|feature| feature.code() == code).ok_or_else(|| {
        let known = Feature::ALL.map(Feature::code).join(", ");
        format!("there is no feature `{code}`; there are {known}")
    })
}

/// The second in which a day begins.
fn day(text: &str) -> Result<i64, String> {
    let date: jiff::civil::Date = text.parse().map_err(|_| format!("`{text}` is no day such as 2027-01-31"))?;
    let begin = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|cause| cause.to_string())?;
    Ok(begin.timestamp().as_second())
}

pub fn run(command: &VendorCommand, out: Output) -> Result<()> {
    let command = match command {
        VendorCommand::Licence(command) => command,
        VendorCommand::Release(command) => return vendor_release::run(command, out),
    };
    match command {
        VendorLicenceCommand::Keygen(args) => plugin_sign::keygen(args, "licence.trusted_keys", out),
        VendorLicenceCommand::Issue(args) => issue(args, out),
        VendorLicenceCommand::Revoke(args) => revoke(args, out),
        VendorLicenceCommand::Report { file, key } => report(file, key, out),
    }
}

fn issue(args: &IssueArgs, out: Output) -> Result<()> {
    let (name, signer) = private_key(&args.key, KEYGEN)?;
    let now = Clock::system().now().unix_seconds();
    let nbf = args.from.unwrap_or(now);
    let features = if args.features.is_empty() { args.tier.tier().features() } else { &args.features };
    let claims = Claims {
        iss: args.vendor.clone().unwrap_or_else(|| name.clone()),
        jti: args.serial.clone().map_or_else(serial, Ok)?,
        organization: args.customer.clone(),
        tier: args.tier.tier(),
        seats: args.seats,
        features: features.iter().map(|feature| feature.code().to_owned()).collect(),
        iat: now,
        nbf,
        exp: args.until.unwrap_or(nbf.saturating_add(365 * DAY / crate::base::clock::SECOND)),
        grace_days: args.grace_days,
        installations: args.installations.clone(),
        disaster_recovery: args.disaster_recovery.clone(),
    };
    claims.check()?;
    let licence = sign(&signer, &name, Form::Licence, &claims)?;
    let shown = json!({"serial": claims.jti, "licence": licence, "file": args.output});
    let done = format!("Signed licence {} for {} as {name}", claims.jti, claims.organization);
    give(&licence, args.output.as_deref(), &shown, &done, out)
}

fn serial() -> Result<String> {
    Ok(format!("L-{}", hex(&random_bytes::<8>()?)))
}

fn revoke(args: &RevokeArgs, out: Output) -> Result<()> {
    let (name, signer) = private_key(&args.key, KEYGEN)?;
    let before = args.list.as_deref().map(|list| so_far(list, &name, &signer)).transpose()?;
    let (number, mut serials) = before.map_or((1, Vec::new()), |list| (list.number + 1, list.serials));
    serials.extend(args.serials.iter().cloned());
    serials.sort_unstable();
    serials.dedup();
    let iss = args.vendor.clone().unwrap_or_else(|| name.clone());
    let list = Revocations { iss, iat: Clock::system().now().unix_seconds(), number, serials };
    list.check()?;
    let signed = sign(&signer, &name, Form::Revocations, &list)?;
    let shown = json!({"number": number, "serials": list.serials, "list": signed, "file": args.output});
    let done = format!("Signed list {number} with {} serials as {name}", list.serials.len());
    give(&signed, args.output.as_deref(), &shown, &done, out)
}

/// The last list, which the same key has to have signed.
fn so_far(list: &Path, name: &str, signer: &Signer) -> Result<Revocations> {
    let ring = Keyring::new(&[signer.verifier(name)])?;
    Ok(ring.revocations(&read_text(list, LIST_BYTES as u64)?)?.0)
}

fn report(file: &Path, key: &str, out: Output) -> Result<()> {
    let report = UsageReport::open(&read_text(file, REPORT_BYTES)?, &public_key(key)?)?;
    let failed = |cause: serde_json::Error| Failure::new(Exit::Failed, "internal", cause.to_string());
    let shown: Value = serde_json::to_value(&report).map_err(failed)?;
    let fields = [
        ("installation", "installation_id"),
        ("customer", "customer"),
        ("serial", "serial"),
        ("state", "state"),
        ("made at", "made_at"),
        ("latest moment", "latest_at"),
        ("seats used", "seats.used"),
        ("seats licensed", "seats.licensed"),
        ("organisations", "organizations"),
        ("service accounts", "service_accounts"),
        ("licence's key", "licence_key"),
        ("version", "version"),
    ];
    out.item(&shown, &fields)?;
    if out.is_json() {
        return Ok(());
    }
    out.line("")?;
    let peaks = shown["peaks"].as_array().cloned().unwrap_or_default();
    out.table(&peaks, &[("month", "month"), ("most seats", "seats")])
}

/// The command that makes the key.
const KEYGEN: &str = "resoftai vendor licence keygen";

/// Writes what was signed into its file, or shows it.
fn give(signed: &str, output: Option<&Path>, shown: &Value, done: &str, out: Output) -> Result<()> {
    match output {
        Some(file) => {
            put(file, format!("{signed}\n").as_bytes())?;
            out.done(shown, &format!("{done}: {}.", file.display()))
        }
        None => out.done(shown, signed),
    }
}

//! `resoftai plugin`: plugins, sent packed or as a folder, or taken from what lies in the server's plugins folder.

use std::path::Path;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::cli::client::{Page, escape};
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Column, cell, clean};
use crate::cli::plugin_folder::How;
use crate::cli::{
    Context, deleted, input, market, plugin_author, plugin_dev, plugin_figures, plugin_folder, plugin_logs, plugin_org,
    plugin_scan, plugin_updates, submission, suggest,
};

const PATH: &str = "/api/plugins";

#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    #[command(flatten)]
    Author(plugin_author::AuthorCommand),
    /// List the plugins.
    List,
    /// Show a plugin, its hooks, what it asks for, its configuration and how it did in the last day.
    Info {
        /// Its name in commands.
        slug: String,
        /// As this organisation has it.
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
    },
    /// Install a plugin, from a file or folder on this machine, or from the server's plugins folder or marketplace.
    ///
    /// From the marketplace it comes with everything it needs: all of it or nothing.
    Install {
        /// A packed plugin, a folder with a plugin.json, or the slug of one in the server's plugins folder or marketplace.
        #[arg(value_name = "SLUG|FILE|FOLDER")]
        plugin: String,
        /// A setting; the value is JSON where it parses as JSON, else a string. May be repeated.
        #[arg(long = "config", value_name = "KEY=VALUE", value_parser = input::pair)]
        config: Vec<(String, Value)>,
        /// This version of the marketplace [default: the newest].
        #[arg(long)]
        version: Option<String>,
        /// Say what an installation from the marketplace comes to, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Put a file or folder in the place of a plugin that is there.
        #[arg(long)]
        replace: bool,
        /// Let it work in every organisation that says nothing about it, as a new one does that asks for nothing.
        #[arg(long, conflicts_with = "only_where_enabled")]
        everywhere: bool,
        /// Let it work only in organisations that enable it, as a new one does that asks for something.
        #[arg(long)]
        only_where_enabled: bool,
        /// Take it although a scan found something that keeps it out.
        #[arg(long, requires = "reason")]
        allow_findings: bool,
        /// Why, for the audit trail.
        #[arg(long, value_name = "TEXT", requires = "allow_findings")]
        reason: Option<String>,
    },
    /// Hand a plugin in for the site's marketplace.
    Submit(submission::SubmitArgs),
    /// Scan a plugin on this machine, without a server, or show what the server's last scan of one found.
    ///
    /// Ends with 9 when something was found that keeps the plugin out.
    Scan(plugin_scan::ScanArgs),
    /// Bring plugins up to date: what is newer, what comes in by itself and when, and what came of it.
    Updates {
        #[command(subcommand)]
        command: Option<plugin_updates::UpdatesCommand>,
    },
    /// Bring the plugin in a folder to a server, once or at every change, in the place of the version before.
    Dev(plugin_dev::DevArgs),
    /// Let a plugin work: on the site, or in an organisation with what it is granted there.
    Enable {
        /// Its name in commands.
        slug: String,
        #[command(flatten)]
        place: plugin_org::Place,
    },
    /// Keep a plugin from working.
    Disable {
        /// Its name in commands.
        slug: String,
        /// In this organisation only.
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
    },
    /// Take away what a plugin was granted in an organisation; it counts at once.
    Revoke {
        /// Its name in commands.
        slug: String,
        /// The organisation.
        #[arg(long, value_name = "SLUG")]
        org: String,
        /// What is taken away: http, kv, files, llm, memory_mib or time_ms; none: everything.
        #[arg(value_name = "CAPABILITY")]
        capabilities: Vec<String>,
    },
    /// Take a plugin out.
    Uninstall {
        /// Its name in commands.
        slug: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Show what a plugin wrote into its log, what was denied it and how it failed.
    Logs {
        /// Its name in commands.
        slug: String,
        #[command(flatten)]
        which: plugin_logs::Which,
    },
    /// Show a plugin's configuration, or change some of it.
    Config {
        /// Its name in commands.
        slug: String,
        /// What to change; the rest stays as it is.
        #[arg(value_name = "KEY=VALUE", value_parser = input::pair)]
        set: Vec<(String, Value)>,
        /// In this organisation, whose settings count before the site's.
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
    },
}

pub async fn run(command: &PluginCommand, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, &context.out);
    match command {
        // Was done before a server was looked for.
        PluginCommand::Author(_) => Ok(()),
        PluginCommand::List => list(context).await,
        PluginCommand::Info { slug, org } => info(slug, org.as_deref(), context).await,
        PluginCommand::Install {
            plugin,
            config,
            version,
            dry_run,
            replace,
            everywhere,
            only_where_enabled,
            reason,
            allow_findings: _,
        } => {
            let everywhere = (*everywhere || *only_where_enabled).then_some(*everywhere);
            let how = How { config: input::object(config)?, replace: *replace, everywhere, despite: reason.clone() };
            if version.is_some() || *dry_run {
                return market::install(plugin, &how, version.as_deref(), *dry_run, context).await;
            }
            install(plugin, &how, context).await
        }
        PluginCommand::Submit(args) => submission::submit(args, context).await,
        PluginCommand::Scan(args) => plugin_scan::kept(args, context).await,
        PluginCommand::Updates { command } => plugin_updates::run(command.as_ref(), context).await,
        PluginCommand::Dev(args) => plugin_dev::run(args, context).await,
        PluginCommand::Enable { slug, place } => match &place.org {
            None => switch(slug, "enable", context).await,
            Some(org) => plugin_org::enable(slug, org, place, context).await,
        },
        PluginCommand::Disable { slug, org } => match org {
            None => switch(slug, "disable", context).await,
            Some(org) => plugin_org::disable(slug, org, context).await,
        },
        PluginCommand::Revoke { slug, org, capabilities } => plugin_org::revoke(slug, org, capabilities, context).await,
        PluginCommand::Uninstall { slug, yes } => {
            input::confirm(&format!("Uninstall {slug} with its configuration and its data?"), *yes)?;
            named(slug, client.delete(&one(slug)).await, context).await?;
            out.done(&deleted(slug), &format!("Uninstalled {slug}."))
        }
        PluginCommand::Logs { slug, which } => plugin_logs::show(slug, which, context).await,
        PluginCommand::Config { slug, set, org } => configure(slug, org.as_deref(), set, context).await,
    }
}

fn one(slug: &str) -> String {
    format!("{PATH}/{}", escape(slug))
}

/// A plugin that is not there: with the nearest that is.
pub(super) async fn named(slug: &str, reply: Result<Value>, context: &Context) -> Result<Value> {
    match reply {
        Err(failure) if failure.exit() == Exit::NotFound => {
            let all = context.client.get(PATH).await.unwrap_or_default();
            let all = all["items"].as_array().cloned().unwrap_or_default();
            match suggest::nearest(slug, all.iter().filter_map(|plugin| plugin["slug"].as_str())) {
                Some(near) if near != slug => Err(failure.and(&format!("Did you mean \"{near}\"?"))),
                _ => Err(failure),
            }
        }
        reply => reply,
    }
}

async fn list(context: &Context) -> Result<()> {
    let mut plugins = context.client.get(PATH).await?;
    if context.out.is_json() {
        return context.out.value(&plugins);
    }
    let items = plugins["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let columns = [
        ("slug", "slug"),
        ("version", "version"),
        ("status", "status"),
        ("category", "category"),
        ("calls", "calls"),
        ("failures", "failures"),
        ("description", "description"),
    ];
    let nothing = "No plugin is installed. Install one: resoftai plugin install SLUG";
    context.out.list(&Page { items, next_cursor: None }, &columns, nothing)
}

async fn info(slug: &str, org: Option<&str>, context: &Context) -> Result<()> {
    const FIELDS: [Column; 13] = [
        ("slug", "slug"),
        ("name", "name"),
        ("version", "version"),
        ("status", "status"),
        ("error", "error"),
        ("category", "category"),
        ("author", "author"),
        ("description", "description"),
        ("everywhere", "everywhere"),
        ("installed", "installed_at"),
        ("signed by", "signers"),
        ("config", "config"),
        ("the site's", "inherited"),
    ];
    let path = match org {
        None => one(slug),
        Some(org) => plugin_org::one(slug, org, context).await?,
    };
    let mut plugin = named(slug, context.client.get(&path).await, context).await?;
    let figures = plugin_figures::of(&path, context).await?;
    if context.out.is_json() {
        plugin["metrics"] = figures.clone();
        plugin["scan"] = plugin_scan::of(slug, context).await?;
    } else {
        plugin["signers"] = signers(&plugin).into();
    }
    context.out.item(&plugin, &FIELDS)?;
    warn(&plugin, context)?;
    if context.out.is_json() {
        return Ok(());
    }
    plugin_scan::outcome(slug, context).await?;
    plugin_org::capabilities(&plugin, org.is_some(), context)?;
    let hooks = plugin["hooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !hooks.is_empty() {
        context.out.line("")?;
        context.out.table(hooks, &[("hook", "name"), ("kind", "kind"), ("priority", "priority")])?;
    }
    plugin_figures::show(&figures, context)
}

/// Who signed it, and whether the site trusts them, for people.
fn signers(plugin: &Value) -> Vec<String> {
    let signed = plugin["signed_by"].as_array().map(Vec::as_slice).unwrap_or_default();
    let words = |signer: &Value| {
        let trust = if signer["trusted"] == true { "" } else { ", not trusted here" };
        format!("{} ({}{trust})", cell(signer, "name"), cell(signer, "key_id"))
    };
    signed.iter().map(words).collect()
}

async fn install(plugin: &str, how: &How, context: &Context) -> Result<()> {
    let reply = match here(plugin) {
        Some(path) => plugin_folder::upload(&context.client, path, how).await.map_err(own_words),
        None => {
            let mut body = how.body();
            body["slug"] = plugin.into();
            match context.client.post(&format!("{PATH}/install"), &body).await {
                Err(failure) if failure.code() == "plugin_folder_missing" => {
                    let done = market::install(plugin, how, None, false, context).await;
                    return done.map_err(|other| match other.code() {
                        "market_no_plugin" => meant_here(plugin, failure),
                        _ => other,
                    });
                }
                reply => reply.map_err(|failure| own_words(meant_here(plugin, failure))),
            }
        }
    };
    installed(&named(plugin, reply, context).await?, context)
}

/// Says that a plugin was installed, and what is to be known about it.
pub fn installed(installed: &Value, context: &Context) -> Result<()> {
    let (slug, version, status) = (cell(installed, "slug"), cell(installed, "version"), cell(installed, "status"));
    let signed = match signers(installed).as_slice() {
        [] => String::new(),
        all => format!(" and signed by {}", all.join(", ")),
    };
    context.out.done(installed, &format!("Installed {slug} {version}; it is {status}{signed}."))?;
    if installed["everywhere"] == false && !context.out.is_json() {
        plugin_org::capabilities(installed, false, context)?;
        context.out.note(&format!("It works where it is enabled: resoftai plugin enable {slug} --org ORGANISATION"))?;
    }
    warn(installed, context)
}

/// What its author should know.
fn warn(plugin: &Value, context: &Context) -> Result<()> {
    let warnings = plugin["warnings"].as_array().map(Vec::as_slice).unwrap_or_default();
    warnings
        .iter()
        .try_for_each(|warning| context.out.note(&format!("Warning: {}", warning.as_str().unwrap_or_default())))
}

/// The file or folder that is meant, when one is.
fn here(plugin: &str) -> Option<&Path> {
    plugin_folder::is_here(plugin).then_some(Path::new(plugin))
}

/// The server speaks of its own parameters.
pub(super) fn own_words(failure: Failure) -> Failure {
    match failure.code() {
        "plugin_exists" => failure.and("That is --replace here."),
        "plugin_scan_blocked" => failure.and("That is --allow-findings --reason TEXT here."),
        _ => failure,
    }
}

/// A slug that the server does not have while a folder of that name lies here: then that was meant.
fn meant_here(plugin: &str, failure: Failure) -> Failure {
    if failure.exit() == Exit::NotFound && Path::new(plugin).join("plugin.json").is_file() {
        return failure.and(&format!("To send the folder that lies here: resoftai plugin install ./{plugin}"));
    }
    failure
}

async fn switch(slug: &str, verb: &str, context: &Context) -> Result<()> {
    let plugin = named(slug, context.client.act(&format!("{}/{verb}", one(slug))).await, context).await?;
    context.out.done(&plugin, &format!("{slug} is {}.", cell(&plugin, "status")))
}

async fn configure(slug: &str, org: Option<&str>, set: &[(String, Value)], context: &Context) -> Result<()> {
    let path = match org {
        None => one(slug),
        Some(org) => plugin_org::one(slug, org, context).await?,
    };
    let mut plugin = named(slug, context.client.get(&path).await, context).await?;
    if !set.is_empty() {
        let mut config: Map<String, Value> = plugin["config"].as_object().cloned().unwrap_or_default();
        config.extend(input::object(set)?);
        plugin = match org {
            None => context.client.put(&format!("{path}/config"), &Value::Object(config)).await?,
            Some(_) => context.client.put(&path, &json!({"config": config})).await?,
        };
    }
    let config = &plugin["config"];
    if context.out.is_json() {
        return context.out.value(config);
    }
    for (key, value) in config.as_object().into_iter().flatten() {
        context.out.line(&clean(&format!("{key}={value}")))?;
    }
    Ok(())
}

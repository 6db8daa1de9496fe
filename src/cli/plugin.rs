//! `resoftai plugin`: plugins, from a folder or from what lies in the server's plugins folder.

use std::path::Path;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::cli::client::{Page, escape};
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::output::{Column, cell};
use crate::cli::{Context, Global, deleted, input, plugin_folder, suggest};

const PATH: &str = "/api/plugins";

#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// List the plugins.
    List,
    /// Show a plugin, its hooks and its configuration.
    Info { slug: String },
    /// Install a plugin, from the server's plugins folder or from a folder on this machine.
    Install {
        /// Its slug, or a folder with a plugin.json.
        #[arg(value_name = "SLUG|FOLDER")]
        plugin: String,
        /// A setting; the value is JSON where it parses as JSON, else a string. May be repeated.
        #[arg(long = "config", value_name = "KEY=VALUE", value_parser = input::pair)]
        config: Vec<(String, Value)>,
        /// Put the folder in the place of one that is there.
        #[arg(long)]
        replace: bool,
    },
    /// Let a plugin work.
    Enable { slug: String },
    /// Keep a plugin from working.
    Disable { slug: String },
    /// Take a plugin out.
    Uninstall {
        slug: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Show a plugin's configuration, or change some of it.
    Config {
        slug: String,
        /// What to change; the rest stays as it is.
        #[arg(value_name = "KEY=VALUE", value_parser = input::pair)]
        set: Vec<(String, Value)>,
    },
}

pub async fn run(command: &PluginCommand, global: &Global, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, &context.out);
    match command {
        PluginCommand::List => list(context).await,
        PluginCommand::Info { slug } => info(slug, context).await,
        PluginCommand::Install { plugin, config, replace } => install(plugin, config, *replace, global, context).await,
        PluginCommand::Enable { slug } => switch(slug, "enable", context).await,
        PluginCommand::Disable { slug } => switch(slug, "disable", context).await,
        PluginCommand::Uninstall { slug, yes } => {
            input::confirm(&format!("Uninstall {slug} with its configuration and its data?"), *yes)?;
            named(slug, client.delete(&one(slug)).await, context).await?;
            out.done(&deleted(slug), &format!("Uninstalled {slug}."))
        }
        PluginCommand::Config { slug, set } => configure(slug, set, context).await,
    }
}

fn one(slug: &str) -> String {
    format!("{PATH}/{}", escape(slug))
}

/// A plugin that is not there: with the nearest that is.
async fn named(slug: &str, reply: Result<Value>, context: &Context) -> Result<Value> {
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

async fn info(slug: &str, context: &Context) -> Result<()> {
    const FIELDS: [Column; 10] = [
        ("slug", "slug"),
        ("name", "name"),
        ("version", "version"),
        ("status", "status"),
        ("error", "error"),
        ("category", "category"),
        ("author", "author"),
        ("description", "description"),
        ("installed", "installed_at"),
        ("config", "config"),
    ];
    let plugin = named(slug, context.client.get(&one(slug)).await, context).await?;
    context.out.item(&plugin, &FIELDS)?;
    let hooks = plugin["hooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    if context.out.is_json() || hooks.is_empty() {
        return Ok(());
    }
    context.out.line("")?;
    context.out.table(hooks, &[("hook", "name"), ("kind", "kind"), ("priority", "priority")])
}

async fn install(
    plugin: &str,
    config: &[(String, Value)],
    replace: bool,
    global: &Global,
    context: &Context,
) -> Result<()> {
    let config = input::object(config)?;
    let mut body = match folder(plugin) {
        Some(folder) => {
            if !context.client.door().is_local() {
                let detail = format!(
                    "A folder can be brought in on the server's own machine only. Copy {} into its plugins folder, then \
                     `resoftai plugin install SLUG`.",
                    folder.display()
                );
                return Err(Failure::usage(detail));
            }
            let slug = plugin_folder::bring_in(folder, &plugins_dir(global, context).await?, replace)?;
            json!({"slug": slug})
        }
        None => match plugin.parse::<i64>() {
            Ok(id) => json!({"plugin_id": id}),
            Err(_) => json!({"slug": plugin}),
        },
    };
    if !config.is_empty() {
        body["config"] = Value::Object(config);
    }
    let installed = named(plugin, context.client.post(&format!("{PATH}/install"), &body).await, context).await?;
    let sentence =
        format!("Installed {} {}; it is {}.", cell(&installed, "slug"), cell(&installed, "version"), cell(&installed, "status"));
    context.out.done(&installed, &sentence)
}

/// The folder that is meant, when one is: something with a slash, or a folder with a manifest.
fn folder(plugin: &str) -> Option<&Path> {
    let path = Path::new(plugin);
    (plugin.contains('/') || plugin == "." || path.join("plugin.json").is_file()).then_some(path)
}

/// Where the server looks for plugins: as it says, else in its data folder.
async fn plugins_dir(global: &Global, context: &Context) -> Result<std::path::PathBuf> {
    let system = context.client.get("/api/system").await?;
    Ok(system["plugins_dir"].as_str().map_or_else(|| global.data_dir().join("plugins"), Into::into))
}

async fn switch(slug: &str, verb: &str, context: &Context) -> Result<()> {
    let plugin = named(slug, context.client.act(&format!("{}/{verb}", one(slug))).await, context).await?;
    context.out.done(&plugin, &format!("{slug} is {}.", cell(&plugin, "status")))
}

async fn configure(slug: &str, set: &[(String, Value)], context: &Context) -> Result<()> {
    let mut plugin = named(slug, context.client.get(&one(slug)).await, context).await?;
    if !set.is_empty() {
        let mut config: Map<String, Value> = plugin["config"].as_object().cloned().unwrap_or_default();
        config.extend(input::object(set)?);
        plugin = context.client.put(&format!("{}/config", one(slug)), &Value::Object(config)).await?;
    }
    let config = &plugin["config"];
    if context.out.is_json() {
        return context.out.value(config);
    }
    for (key, value) in config.as_object().into_iter().flatten() {
        context.out.line(&crate::cli::output::clean(&format!("{key}={value}")))?;
    }
    Ok(())
}

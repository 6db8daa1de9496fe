//! `resoftai template`: files to start a project from, brought by plugins.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::cli::client::{Page, escape};
use crate::cli::failure::{Failure, Result};
use crate::cli::lookup::ProjectRef;
use crate::cli::output::{Column, cell, clean};
use crate::cli::{Context, lookup};
use crate::projects::path::ProjectPath;

#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// List the templates of an organisation.
    List {
        /// The organisation [default: the only one there is].
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
    },
    /// Show one with its variables.
    Show {
        /// The plugin that brings it.
        plugin: String,
        /// The organisation [default: the only one there is].
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
    },
    /// Show the files it would make, or write them into a folder here; nothing is kept on the server.
    Preview {
        /// The plugin that brings it.
        plugin: String,
        /// The organisation [default: the only one there is].
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        #[command(flatten)]
        values: ValueArgs,
        /// A new folder for the files [default: they are printed].
        #[arg(long, short, value_name = "DIR")]
        output: Option<PathBuf>,
    },
    /// Write its files into a project: all of them or none.
    Apply {
        /// The plugin that brings it.
        plugin: String,
        /// The id or the name of the project.
        #[arg(long)]
        project: ProjectRef,
        #[command(flatten)]
        values: ValueArgs,
        /// Replace files that are there and say something else; their versions stay.
        #[arg(long)]
        overwrite: bool,
    },
}

#[derive(Debug, Args)]
pub struct ValueArgs {
    /// A value for one of its variables; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = value)]
    values: Vec<(String, String)>,
}

/// One `--set`.
pub fn value(given: &str) -> Result<(String, String), String> {
    let (name, value) = given.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub async fn run(command: &TemplateCommand, context: &Context) -> Result<()> {
    const COLUMNS: [Column; 4] =
        [("plugin", "plugin"), ("name", "name"), ("version", "version"), ("description", "description")];
    let (client, out) = (&context.client, &context.out);
    match command {
        TemplateCommand::List { org } => {
            let org = lookup::organization_or_only(context, org.as_deref()).await?;
            let mut found = client.get(&with_org("/api/templates", org)).await?;
            let found: Vec<Value> = found["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let page = Page { items: found, next_cursor: None };
            out.list(&page, &COLUMNS, "There are no templates. Plugins bring them: resoftai plugin list")
        }
        TemplateCommand::Show { plugin, org } => {
            let org = lookup::organization_or_only(context, org.as_deref()).await?;
            let template = client.get(&with_org(&format!("/api/templates/{}", escape(plugin)), org)).await?;
            out.item(&template, &COLUMNS)?;
            variables(&template, context)
        }
        TemplateCommand::Preview { plugin, org, values, output } => {
            let org = lookup::organization_or_only(context, org.as_deref()).await?;
            let made = preview(plugin, org, &values.values, context).await?;
            match output {
                Some(folder) => save(&made, folder, context),
                None if out.is_json() => out.value(&made),
                None => print(&made, context),
            }
        }
        TemplateCommand::Apply { plugin, project, values, overwrite } => {
            let id = lookup::project_id(context, project).await?;
            let applied = apply(id, plugin, &values.values, *overwrite, context).await?;
            let count =
                |outcome: &str| items(&applied, "files").iter().filter(|file| file["outcome"] == outcome).count();
            let sentence = format!(
                "Applied {plugin} to project {id}: {} files created, {} replaced, {} unchanged.",
                count("created"),
                count("replaced"),
                count("unchanged")
            );
            out.done(&applied, &sentence)
        }
    }
}

/// The files that a template makes of these values.
pub async fn preview(plugin: &str, org: Option<i64>, values: &[(String, String)], context: &Context) -> Result<Value> {
    let body = json!({"organization_id": org, "variables": object(values)});
    context.client.post(&format!("/api/templates/{}/preview", escape(plugin)), &body).await
}

/// Writes a template's files into a project.
pub async fn apply(
    project: i64,
    plugin: &str,
    values: &[(String, String)],
    overwrite: bool,
    context: &Context,
) -> Result<Value> {
    let body = json!({"plugin": plugin, "variables": object(values), "overwrite": overwrite});
    context.client.post(&format!("/api/projects/{project}/apply-template"), &body).await
}

fn object(values: &[(String, String)]) -> Map<String, Value> {
    values.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
}

fn with_org(path: &str, org: Option<i64>) -> String {
    org.map_or_else(|| path.to_owned(), |org| format!("{path}?organization_id={org}"))
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn variables(template: &Value, context: &Context) -> Result<()> {
    let variables = items(template, "variables");
    if context.out.is_json() || variables.is_empty() {
        return Ok(());
    }
    context.out.line("")?;
    const COLUMNS: [Column; 6] = [
        ("variable", "name"),
        ("type", "type"),
        ("required", "required"),
        ("default", "default"),
        ("choices", "choices"),
        ("description", "description"),
    ];
    context.out.table(variables, &COLUMNS)
}

fn print(made: &Value, context: &Context) -> Result<()> {
    for file in items(made, "items") {
        context.out.line(&format!("--- {}", cell(file, "path")))?;
        // A plugin's text must not steer the terminal.
        for line in file["content"].as_str().unwrap_or_default().lines() {
            context.out.line(&clean(line))?;
        }
    }
    Ok(())
}

/// Into a folder that must not be there yet, and nowhere else, whatever the server says.
fn save(made: &Value, folder: &Path, context: &Context) -> Result<()> {
    let failed = |path: &Path, cause: std::io::Error| {
        Failure::usage(format!(
            "{} could not be written: {cause}. Name a new folder where you may write.",
            path.display()
        ))
    };
    fs::create_dir(folder).map_err(|cause| failed(folder, cause))?;
    let files = items(made, "items");
    for file in files {
        let path = ProjectPath::parse(file["path"].as_str().unwrap_or_default())?;
        let path = folder.join(path.as_str());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|cause| failed(parent, cause))?;
        }
        fs::write(&path, file["content"].as_str().unwrap_or_default()).map_err(|cause| failed(&path, cause))?;
    }
    let sentence = format!("Wrote {} files into {}.", files.len(), folder.display());
    context.out.done(&json!({"folder": folder, "files": files.len()}), &sentence)
}

//! `resoftai project`: projects, named by id or by name.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::cli::failure::Result;
use crate::cli::lookup::ProjectRef;
use crate::cli::output::{Column, cell, size};
use crate::cli::{Context, ListArgs, deleted, download, input, lookup, quality, template};

const COLUMNS: [Column; 6] = [
    ("id", "id"),
    ("name", "name"),
    ("status", "status"),
    ("files", "file_count"),
    ("organisation", "organization_id"),
    ("updated", "updated_at"),
];

#[derive(Debug, Subcommand)]
pub enum ProjectCommand {
    /// List the projects you can see.
    List {
        /// Of this organisation.
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// Of this team of it.
        #[arg(long, value_name = "SLUG", requires = "org")]
        team: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one.
    Show {
        /// Its id or its name.
        project: ProjectRef,
    },
    /// Create one.
    Create {
        /// Its name.
        #[arg(long)]
        name: String,
        /// What it shall do; `@FILE` reads a file, `-` reads stdin.
        #[arg(long, value_name = "TEXT", default_value = "")]
        requirements: String,
        /// The organisation it belongs to [default: the only one, or the only team, in which you may make projects].
        #[arg(long, value_name = "SLUG")]
        org: Option<String>,
        /// The team it belongs to [default: none].
        #[arg(long, value_name = "SLUG", requires = "org")]
        team: Option<String>,
        /// The template it begins with, see `resoftai template list` [default: none].
        #[arg(long, value_name = "PLUGIN")]
        template: Option<String>,
        /// A value for one of the template's variables; may be repeated.
        #[arg(long = "set", value_name = "NAME=VALUE", requires = "template", value_parser = template::value)]
        values: Vec<(String, String)>,
    },
    /// Change a project's name, what it shall do, or whose it is.
    Update {
        /// Its id or its name.
        project: ProjectRef,
        /// Its new name.
        #[arg(long, required_unless_present_any = ["requirements", "team"])]
        name: Option<String>,
        /// What it shall do from now on; `@FILE` reads a file, `-` reads stdin.
        #[arg(long, value_name = "TEXT")]
        requirements: Option<String>,
        /// The team it goes to; an empty word: to no team.
        #[arg(long, value_name = "SLUG")]
        team: Option<String>,
    },
    /// Have plugins look at a project's files again, and show what they make of it.
    Analyze {
        /// Its id or its name.
        project: ProjectRef,
        /// A file of it, or a folder with a slash at its end; may be repeated [default: all files].
        #[arg(long = "path", value_name = "PATH")]
        paths: Vec<String>,
        /// Do not wait for the end.
        #[arg(long)]
        no_wait: bool,
    },
    /// Show what plugins make of a project: its score, its findings by severity, its worst files.
    Quality {
        /// Its id or its name.
        project: ProjectRef,
    },
    /// Delete one and all that belongs to it.
    Delete {
        /// Its id or its name.
        project: ProjectRef,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Fetch all files of one.
    Download {
        /// Its id or its name.
        project: ProjectRef,
        /// Where to write them; `-` is stdout.
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        /// How they are packed [default: as FILE is called, else zip].
        #[arg(long, value_parser = ["zip", "tar"])]
        format: Option<String>,
    },
}

pub async fn run(command: &ProjectCommand, context: &Context) -> Result<()> {
    let (client, out) = (&context.client, &context.out);
    match command {
        ProjectCommand::List { org, team, list } => {
            let org = match org {
                Some(slug) => Some(lookup::organization_id(context, slug).await?),
                None => None,
            };
            let team = team_id(context, org, team.as_deref()).await?;
            let query =
                [("organization_id", org), ("team_id", team)].map(|(name, id)| (name, id.map(|id| id.to_string())));
            let page = client.list("/api/projects", &query, list.most()).await?;
            out.list(&page, &COLUMNS, "There are no projects. Make one: resoftai run \"a shop for ..\" --follow")
        }
        ProjectCommand::Show { project } => {
            let id = lookup::project_id(context, project).await?;
            let project = client.get(&format!("/api/projects/{id}")).await?;
            let more = [("created by", "created_by"), ("created", "created_at"), ("latest run", "latest_run_id")];
            out.item(&project, &[&COLUMNS[..], &more, &[("requirements", "requirements")]].concat())
        }
        ProjectCommand::Create { name, requirements, org, team, template, values } => {
            let (organization, team) = lookup::home(context, "project.create", org.as_deref(), team.as_deref()).await?;
            if let Some(plugin) = template {
                // What is wrong with it is said before there is a project.
                template::preview(plugin, organization, values, context).await?;
            }
            let project = create(name, &input::text(requirements)?, organization, team, context).await?;
            if let Some(plugin) = template {
                template::apply(lookup::id(&project)?, plugin, values, false, context).await?;
            }
            let sentence = format!("Created project {} ({}).", project["id"], cell(&project, "name"));
            out.done(&project, &sentence)
        }
        ProjectCommand::Analyze { project, paths, no_wait } => {
            quality::analyze(project, paths, *no_wait, context).await
        }
        ProjectCommand::Quality { project } => quality::show(project, context).await,
        ProjectCommand::Update { project, name, requirements, team } => {
            let id = lookup::project_id(context, project).await?;
            let mut body = Map::new();
            if let Some(name) = name {
                body.insert("name".to_owned(), json!(name));
            }
            if let Some(requirements) = requirements {
                body.insert("requirements".to_owned(), json!(input::text(requirements)?));
            }
            if let Some(slug) = team {
                let org = client.get(&format!("/api/projects/{id}")).await?["organization_id"].as_i64();
                let slug = Some(slug.as_str()).filter(|slug| !slug.is_empty());
                body.insert("team_id".to_owned(), json!(team_id(context, org, slug).await?));
            }
            let changed = client.put(&format!("/api/projects/{id}"), &Value::Object(body)).await?;
            out.done(&changed, &format!("Changed project {id} ({}).", cell(&changed, "name")))
        }
        ProjectCommand::Delete { project, yes } => {
            let id = lookup::project_id(context, project).await?;
            let project = client.get(&format!("/api/projects/{id}")).await?;
            let (name, files) = (cell(&project, "name"), cell(&project, "file_count"));
            input::confirm(&format!("Delete project {id} ({name}) with its {files} files?"), *yes)?;
            client.delete(&format!("/api/projects/{id}")).await?;
            out.done(&deleted(id), &format!("Deleted project {id} ({name})."))
        }
        ProjectCommand::Download { project, output, format } => {
            let id = lookup::project_id(context, project).await?;
            fetch(id, output, format.as_deref(), context).await
        }
    }
}

/// Creates a project; without an organisation the server takes the caller's only one.
pub async fn create(
    name: &str,
    requirements: &str,
    organization: Option<i64>,
    team: Option<i64>,
    context: &Context,
) -> Result<Value> {
    let mut body = json!({"name": name, "requirements": requirements, "team_id": team});
    if let Some(id) = organization {
        body["organization_id"] = json!(id);
    }
    context.client.post("/api/projects", &body).await
}

/// The id of the team with this slug, if one is named.
async fn team_id(context: &Context, org: Option<i64>, slug: Option<&str>) -> Result<Option<i64>> {
    match (org, slug) {
        (Some(org), Some(slug)) => lookup::id(&lookup::team(context, org, slug).await?).map(Some),
        _ => Ok(None),
    }
}

async fn fetch(id: i64, output: &Path, format: Option<&str>, context: &Context) -> Result<()> {
    let by_name = if output.extension().is_some_and(|extension| extension == "tar") { "tar" } else { "zip" };
    let format = format.unwrap_or(by_name);
    let path = format!("/api/projects/{id}/download?format={format}");
    let mut reply = context.client.open(&path, "*/*", None).await?;
    if output == Path::new("-") {
        return download::copy(&mut reply, &mut std::io::stdout()).await.map(drop);
    }
    let written = download::save(&mut reply, output, 0o666).await?;
    let value = json!({"file": output, "size": written, "format": format});
    context.out.done(&value, &format!("Wrote {} ({}).", output.display(), size(written)))
}

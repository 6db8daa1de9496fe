//! `resoftai run` and `resoftai runs`: from a requirement to files, and what the agents are doing.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::client::escape;
use crate::cli::failure::{Failure, Result};
use crate::cli::lookup::ProjectRef;
use crate::cli::output::{Column, cell};
use crate::cli::{Context, ListArgs, follow, input, lookup, project};

#[derive(Debug, Args)]
pub struct RunArgs {
    /// What to build; `@file` reads a file, `-` reads stdin. Optional with --project.
    #[arg(required_unless_present = "project")]
    requirement: Option<String>,
    /// Work on this project instead of making one.
    #[arg(long, value_name = "ID or NAME", conflicts_with_all = ["name", "org", "team"])]
    project: Option<ProjectRef>,
    /// The new project's name [default: the start of the requirement].
    #[arg(long)]
    name: Option<String>,
    /// The organisation the new project belongs to [default: your only one].
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// The team of it that the new project belongs to.
    #[arg(long, value_name = "SLUG", requires = "org")]
    team: Option<String>,
    /// The model to use [default: the site's].
    #[arg(long)]
    model: Option<String>,
    /// Leave the design of the user interface out.
    #[arg(long)]
    skip_ui_design: bool,
    /// The workflow of a plugin to keep to, by its slug or its name [default: the platform's own].
    #[arg(long, value_name = "WORKFLOW")]
    workflow: Option<String>,
    /// How often development and testing may go round.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10))]
    max_iterations: Option<u32>,
    /// Use at most this many tokens; at least 2000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2000..))]
    token_budget: Option<u64>,
    /// Watch until it ends.
    #[arg(long, short)]
    follow: bool,
}

#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List the runs of a project.
    List {
        /// Its id or its name.
        project: ProjectRef,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a run and its stages.
    Show {
        /// The run's id.
        id: i64,
    },
    /// Watch a run until it ends.
    Follow {
        /// The run's id.
        id: i64,
    },
    /// Stop after what is being done now.
    Pause {
        /// The run's id.
        id: i64,
    },
    /// Go on with a paused run.
    Resume {
        /// The run's id.
        id: i64,
        /// Also when the quality gate holds it; for who manages the team or the organisation.
        #[arg(long = "override")]
        anyway: bool,
    },
    /// End a run.
    Cancel {
        /// The run's id.
        id: i64,
    },
    /// Do a stage again.
    Retry {
        /// The run's id.
        id: i64,
        /// Which [default: the one that failed].
        stage: Option<String>,
    },
}

/// Makes the project, unless one is named, and starts a run.
pub async fn start(args: &RunArgs, context: &Context) -> Result<()> {
    let requirement = args.requirement.as_deref().map(input::text).transpose()?;
    let (project, made) = match (&args.project, &requirement) {
        (Some(project), _) => (lookup::project_id(context, project).await?, false),
        (None, Some(requirement)) => {
            let (organization, team) =
                lookup::home(context, "project.create", args.org.as_deref(), args.team.as_deref()).await?;
            let name = args.name.clone().unwrap_or_else(|| title(requirement));
            let project = project::create(&name, requirement, organization, team, context).await?;
            context.out.note(&format!("Created project {} ({}).", project["id"], cell(&project, "name")))?;
            (lookup::id(&project)?, true)
        }
        (None, None) => return Err(Failure::usage("Say what to build, or name a project with --project.")),
    };
    let body = body(args, requirement.filter(|_| !made));
    let run = context.client.post(&format!("/api/projects/{project}/runs"), &body).await.map_err(|failure| {
        if made {
            failure
                .and(&format!("Project {project} was created; start it later with `resoftai run --project {project}`."))
        } else {
            failure
        }
    })?;
    let id = lookup::id(&run)?;
    if args.follow {
        return follow::follow(id, context).await;
    }
    let sentence = format!(
        "Started run {id} of project {project} on {}. Watch it: resoftai runs follow {id}",
        cell(&run, "model")
    );
    context.out.done(&run, &sentence)
}

/// Only what was said, so that the server's defaults hold for the rest.
fn body(args: &RunArgs, requirement: Option<String>) -> Value {
    let mut body = json!({"skip_ui_design": args.skip_ui_design});
    let given = [
        ("requirement", requirement.map(Value::from)),
        ("model", args.model.clone().map(Value::from)),
        ("workflow", args.workflow.clone().map(Value::from)),
        ("max_iterations", args.max_iterations.map(Value::from)),
        ("token_budget", args.token_budget.map(Value::from)),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    body
}

/// The first words of the requirement, at most 60 characters.
fn title(requirement: &str) -> String {
    let mut title = String::new();
    for word in requirement.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().split_whitespace() {
        if !title.is_empty() && title.chars().count() + 1 + word.chars().count() > 60 {
            break;
        }
        if !title.is_empty() {
            title.push(' ');
        }
        title.push_str(word);
    }
    title.chars().take(60).collect::<String>().trim_end_matches(['.', ',', ';', ':']).to_owned()
}

pub async fn run(command: &RunsCommand, context: &Context) -> Result<()> {
    match command {
        RunsCommand::List { project, list } => {
            let columns = [
                ("id", "id"),
                ("status", "status"),
                ("stage", "stage"),
                ("iteration", "iteration"),
                ("tokens", "tokens_used"),
                ("model", "model"),
                ("by", "created_by"),
                ("created", "created_at"),
            ];
            let project = lookup::project_id(context, project).await?;
            let page = context.client.list(&format!("/api/projects/{project}/runs"), &[], list.most()).await?;
            context.out.list(&page, &columns, &format!("No run yet. Start one: resoftai run --project {project}"))
        }
        RunsCommand::Show { id } => show(&context.client.get(&format!("/api/runs/{id}")).await?, context),
        RunsCommand::Follow { id } => follow::follow(*id, context).await,
        RunsCommand::Pause { id } => act(*id, "pause", context).await,
        RunsCommand::Resume { id, anyway } => {
            act(*id, if *anyway { "resume?override=true" } else { "resume" }, context).await
        }
        RunsCommand::Cancel { id } => act(*id, "cancel", context).await,
        RunsCommand::Retry { id, stage } => {
            let stage = match stage {
                Some(stage) => stage.clone(),
                None => failed_stage(*id, context).await?,
            };
            act(*id, &format!("stages/{}/retry", escape(&stage)), context).await
        }
    }
}

async fn act(id: i64, verb: &str, context: &Context) -> Result<()> {
    let run = context.client.act(&format!("/api/runs/{id}/{verb}")).await?;
    context.out.done(&run, &format!("Run {id} is {} at {}.", cell(&run, "status"), cell(&run, "stage")))
}

async fn failed_stage(id: i64, context: &Context) -> Result<String> {
    let run = context.client.get(&format!("/api/runs/{id}")).await?;
    let stages = run["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let failed =
        stages.iter().rev().find(|stage| stage["status"] == "failed").and_then(|stage| stage["stage"].as_str());
    failed.map(str::to_owned).ok_or_else(|| {
        let names: Vec<&str> = stages.iter().filter_map(|stage| stage["stage"].as_str()).collect();
        Failure::usage(format!("No stage of run {id} failed. Name the one to do again: {}.", names.join(", ")))
    })
}

fn show(run: &Value, context: &Context) -> Result<()> {
    const FIELDS: [Column; 11] = [
        ("run", "id"),
        ("project", "project_id"),
        ("status", "status"),
        ("stage", "stage"),
        ("workflow", "workflow"),
        ("iteration", "iteration"),
        ("model", "model"),
        ("tokens", "tokens_used"),
        ("budget", "token_budget"),
        ("held", "held"),
        ("error", "error.detail"),
    ];
    context.out.item(run, &FIELDS)?;
    if context.out.is_json() {
        return Ok(());
    }
    context.out.line("")?;
    let stages = run["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let columns = [
        ("stage", "stage"),
        ("role", "role"),
        ("status", "status"),
        ("attempts", "attempts"),
        ("tokens", "tokens"),
        ("summary", "summary"),
    ];
    context.out.table(stages, &columns)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_start_of_the_requirement() {
        assert_eq!(title("\n  A shop   for bikes.\nWith a cart."), "A shop for bikes");
        assert_eq!(title(&"word ".repeat(40)).chars().count(), 59);
        assert_eq!(title(&"ü".repeat(200)).chars().count(), 60);
    }
}

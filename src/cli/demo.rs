//! `resoftai demo`: a server with something to look at.
//!
//! Invariant: the site is set up through the server's own API, as an administrator would; nothing here knows a short cut.
//! A data directory that was a demo before keeps what it has and gets a fresh password.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::client::{Client, Door};
use super::failure::{Exit, Failure, Result};
use super::output::Output;
use super::plugin_folder;
use super::serve::Serve;
use crate::base::crypto;
use crate::config::Sources;
use crate::server::Running;

const ORG: &str = "demo";
const USER: &str = "demo";
const PLUGIN: &str = "security-scanner";
const PROJECT: &str = "URL shortener";
const REQUIREMENT: &str = "Build a URL shortener with an HTTP API: POST /links takes a URL and answers with a short code, \
    GET /CODE redirects to it, GET /links/CODE tells how often it was used. Links survive a restart.";
/// Enough for every role's turn on a small model, and an end within minutes.
const BUDGET: i64 = 6_000;

#[derive(Debug, Args)]
pub struct Demo {
    #[command(flatten)]
    serve: Serve,
    /// The GGUF file of the model to work with [default: the one in the data directory's models folder].
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The folder of the plugin that looks at what the agents write.
    #[arg(long, value_name = "FOLDER")]
    plugin: Option<PathBuf>,
}

impl Demo {
    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// Those of `serve`, and what keeps the site from being set up.
    pub fn run(self, mut sources: Sources, out: Output) -> Result<()> {
        if let Some(model) = &self.model {
            sources.flags.push(("llm.model_path", model.display().to_string()));
        }
        let plugin = self.plugin;
        self.serve.run_with(sources, out, async move |running: &Running| {
            let shown = set_up(running, plugin.as_deref()).await?;
            show(&shown, running, out)
        })
    }
}

/// What the person needs to look around.
struct Shown {
    password: String,
    project: i64,
    /// As it stands; None when there is no model to work with.
    run: Option<Value>,
}

async fn set_up(running: &Running, plugin: Option<&Path>) -> Result<Shown> {
    let operator = Client::new(Door::Unix(running.socket.clone()), None);
    organization(&operator).await?;
    let password =
        crypto::random_token().map_err(|error| Failure::new(Exit::Failed, error.code(), error.to_string()))?;
    person(&operator, &password).await?;
    if let Some(folder) = plugin {
        install(&operator, folder).await?;
    }
    let login = operator.post("/api/auth/login", &json!({"username": USER, "password": password})).await?;
    let token = login["access_token"].as_str().map(str::to_owned);
    let user = Client::new(Door::Unix(running.socket.clone()), token);
    let project = project(&user).await?;
    let run = run(&user, &project).await?;
    Ok(Shown { password, project: project["id"].as_i64().unwrap_or_default(), run })
}

async fn organization(operator: &Client) -> Result<()> {
    let there = operator.all("/api/organizations").await?;
    if !there.iter().any(|org| org["slug"] == ORG) {
        let body = json!({"name": "Demo", "slug": ORG, "tier": "professional"});
        operator.post("/api/organizations", &body).await?;
    }
    Ok(())
}

async fn person(operator: &Client, password: &str) -> Result<()> {
    let there = operator.all("/api/users").await?;
    match there.iter().find(|user| user["username"] == USER) {
        Some(user) => {
            operator.put(&format!("/api/users/{}/password", user["id"]), &json!({"password": password})).await?;
        }
        None => {
            let body = json!({"username": USER, "email": "demo@example.org", "password": password, "role": "org_admin",
                "organization": ORG});
            operator.post("/api/users", &body).await?;
        }
    }
    Ok(())
}

async fn install(operator: &Client, folder: &Path) -> Result<()> {
    let there = operator.get("/api/plugins").await?;
    let installed = there["items"].as_array().is_some_and(|all| all.iter().any(|plugin| plugin["slug"] == PLUGIN));
    if !installed {
        let config = Map::from_iter([("severity_threshold".to_owned(), json!("high"))]);
        let how = plugin_folder::How { config, ..plugin_folder::How::default() };
        plugin_folder::upload(operator, folder, &how).await?;
    }
    Ok(())
}

/// The demo's own project, the oldest of its name: no agent is set to work on what people made since.
async fn project(user: &Client) -> Result<Value> {
    let there = user.all("/api/projects").await?;
    match there.into_iter().rfind(|project| project["name"] == PROJECT) {
        Some(project) => Ok(project),
        None => user.post("/api/projects", &json!({"name": PROJECT, "requirements": REQUIREMENT})).await,
    }
}

/// The run to watch: the one that goes on, else a new one.
async fn run(user: &Client, project: &Value) -> Result<Option<Value>> {
    if let Some(last) = project["latest_run_id"].as_i64() {
        let last = user.get(&format!("/api/runs/{last}")).await?;
        if !matches!(last["status"].as_str(), Some("completed" | "failed" | "canceled")) {
            return Ok(Some(last));
        }
    }
    start(user, &project["id"]).await
}

/// None when the site has no model: everything else can be looked at all the same.
async fn start(user: &Client, project: &Value) -> Result<Option<Value>> {
    let body = json!({"token_budget": BUDGET, "max_iterations": 1});
    match user.post(&format!("/api/projects/{project}/runs"), &body).await {
        Ok(run) => Ok(Some(run)),
        Err(failure) if matches!(failure.code(), "no_model" | "model_not_found") => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn show(shown: &Shown, running: &Running, out: Output) -> Result<()> {
    let Shown { password, project, run } = shown;
    if out.is_json() {
        let run = run.as_ref().map(|run| &run["id"]);
        return out.value(&json!({"username": USER, "password": password, "project_id": project, "run_id": run}));
    }
    let page = match run {
        Some(run) => format!("/projects/{project}/runs/{}", run["id"]),
        None => format!("/projects/{project}"),
    };
    out.line(&format!("\nOpen      {}{page}", running.url()))?;
    out.line(&format!("User      {USER}"))?;
    out.line(&format!("Password  {password}   (until the next start)"))?;
    match run {
        Some(run) if run["status"] == "paused" => out.line("\nThe run is paused: go on with it on that page.")?,
        Some(_) => out.line("\nThe agents are at work: watch the stages, the files and the tokens on that page.")?,
        None => out.line("\nThere is no model, so no agent works: give one with --model FILE.gguf.")?,
    }
    out.line("Ctrl-C stops the server; what is there stays.")
}

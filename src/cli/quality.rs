//! `resoftai project analyze` and `project quality`: what plugins make of a project.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::failure::{Failure, Result};
use crate::cli::lookup::ProjectRef;
use crate::cli::output::Column;
use crate::cli::{Context, lookup};

/// Between two looks at how far an analysis is.
const LOOK: Duration = Duration::from_millis(300);

/// Begins an analysis, and unless told otherwise waits for its end.
pub async fn analyze(project: &ProjectRef, paths: &[String], no_wait: bool, context: &Context) -> Result<()> {
    let id = lookup::project_id(context, project).await?;
    let body = if paths.is_empty() { json!({}) } else { json!({"paths": paths}) };
    let begun = context.client.post(&format!("/api/projects/{id}/analyze"), &body).await?;
    if no_wait {
        return context.out.done(&begun, &format!("Plugins look at {} files.", begun["files"]));
    }
    let quality = loop {
        let quality = get(id, context).await?;
        if quality["analysis"]["number"] != begun["number"] || quality["analysis"]["status"] != "running" {
            break quality;
        }
        tokio::time::sleep(LOOK).await;
    };
    if let Some(error) = quality["analysis"]["error"].as_str() {
        return Err(Failure::usage(format!("The analysis ended early. {error}")));
    }
    print(&quality, context)
}

pub async fn show(project: &ProjectRef, context: &Context) -> Result<()> {
    let id = lookup::project_id(context, project).await?;
    print(&get(id, context).await?, context)
}

async fn get(id: i64, context: &Context) -> Result<Value> {
    context.client.get(&format!("/api/projects/{id}/quality")).await
}

fn print(quality: &Value, context: &Context) -> Result<()> {
    const FIELDS: [Column; 8] = [
        ("score", "score"),
        ("files looked at", "files"),
        ("critical", "findings.critical"),
        ("high", "findings.high"),
        ("medium", "findings.medium"),
        ("low", "findings.low"),
        ("gate passed", "gate.passed"),
        ("reasons", "gate.reasons"),
    ];
    context.out.item(quality, &FIELDS)?;
    let worst = quality["worst"].as_array().map(Vec::as_slice).unwrap_or_default();
    if context.out.is_json() || worst.is_empty() {
        return Ok(());
    }
    context.out.line("")?;
    context.out.table(worst, &[("file", "file_id"), ("path", "path"), ("score", "score")])
}

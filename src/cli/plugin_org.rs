//! `resoftai plugin .. --org`: what an organisation makes of a plugin of the site.
//!
//! Invariant: nothing is granted that was not shown in words first: without `--grant` a person is asked, a program refused.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::client::escape;
use crate::cli::failure::{Failure, Result};
use crate::cli::output::{cell, clean};
use crate::cli::plugin::named;
use crate::cli::{Context, input, lookup};

/// Where a plugin is enabled, and with what.
#[derive(Debug, Args)]
pub struct Place {
    /// In this organisation, rather than on the whole site.
    #[arg(long, value_name = "SLUG")]
    pub org: Option<String>,
    /// What of what it asks for it is granted: `all`, `none`, a capability such as `llm`, or part of one such as
    /// `http=hooks.slack.com,*.example.org` or `memory_mib=256`. May be repeated; without it you are shown and asked.
    #[arg(long, value_name = "CAPABILITY[=VALUE]", requires = "org", value_parser = grant)]
    grant: Vec<(String, Value)>,
    /// Grant everything it asks for without asking.
    #[arg(long, short, requires = "org")]
    yes: bool,
}

/// One `--grant`.
fn grant(given: &str) -> Result<(String, Value), String> {
    let Some((code, value)) = given.split_once('=') else { return Ok((given.to_owned(), Value::Bool(true))) };
    let value = match (code, serde_json::from_str(value)) {
        (_, Ok(value)) => value,
        ("http" | "llm" | "files", Err(_)) => value.split(',').map(str::trim).collect(),
        (_, Err(_)) => return Err(format!("the value of {code} is a number")),
    };
    Ok((code.to_owned(), value))
}

/// The address of a plugin as the organisation has it.
pub async fn one(slug: &str, org: &str, context: &Context) -> Result<String> {
    let id = lookup::organization_id(context, org).await?;
    Ok(format!("/api/organizations/{id}/plugins/{}", escape(slug)))
}

/// What a plugin asks for, a line each, with what was granted of it where that is known.
pub fn capabilities(plugin: &Value, with_grants: bool, context: &Context) -> Result<()> {
    let all = plugin["capabilities"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut rows = Vec::new();
    for capability in all {
        let granted = match &capability["granted"] {
            Value::Null => "no".to_owned(),
            granted if *granted == capability["asked"] => "yes".to_owned(),
            granted => granted.to_string(),
        };
        for words in capability["words"].as_array().into_iter().flatten() {
            rows.push(json!({"capability": capability["code"], "words": words, "granted": granted}));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    context.out.line("")?;
    let columns = [("capability", "capability"), ("it may", "words"), ("granted", "granted")];
    context.out.table(&rows, &columns[..if with_grants { 3 } else { 2 }])?;
    for asked in plugin["asks"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        context.out.note(&format!("Nobody decided yet: {}", clean(asked)))?;
    }
    Ok(())
}

/// Enables a plugin in an organisation with what it is granted.
pub async fn enable(slug: &str, org: &str, place: &Place, context: &Context) -> Result<()> {
    let path = one(slug, org, context).await?;
    let plugin = named(slug, context.client.get(&path).await, context).await?;
    let mut body = json!({"enabled": true});
    if !place.grant.is_empty() {
        body["granted"] = wanted(&place.grant)?;
    } else if plugin["asks"].as_array().is_some_and(|asks| !asks.is_empty()) {
        if !place.yes {
            capabilities(&plugin, true, context)?;
        }
        input::confirm(&format!("Grant {slug} all of this in {org}?"), place.yes)?;
        body["granted"] = json!("all");
    }
    let plugin = context.client.put(&path, &body).await?;
    context.out.done(&plugin, &format!("{slug} is {} in {org}.", cell(&plugin, "status")))
}

/// What is sent for the grants named.
fn wanted(grants: &[(String, Value)]) -> Result<Value> {
    match grants {
        [(all, Value::Bool(true))] if all == "all" => Ok(json!("all")),
        [(none, Value::Bool(true))] if none == "none" => Ok(json!({})),
        several if several.iter().any(|(code, _)| code == "all" || code == "none") => {
            Err(Failure::usage("--grant all and --grant none stand alone.".to_owned()))
        }
        several => {
            let mut wanted = Map::new();
            for (code, value) in several {
                match (wanted.get_mut(code), value) {
                    (Some(Value::Array(known)), Value::Array(more)) => known.extend(more.iter().cloned()),
                    _ => drop(wanted.insert(code.clone(), value.clone())),
                }
            }
            Ok(Value::Object(wanted))
        }
    }
}

/// Keeps a plugin from working in an organisation.
pub async fn disable(slug: &str, org: &str, context: &Context) -> Result<()> {
    let path = one(slug, org, context).await?;
    let plugin = named(slug, context.client.put(&path, &json!({"enabled": false})).await, context).await?;
    context.out.done(&plugin, &format!("{slug} is {} in {org}.", cell(&plugin, "status")))
}

/// Takes grants away.
pub async fn revoke(slug: &str, org: &str, codes: &[String], context: &Context) -> Result<()> {
    let path = format!("{}/revoke", one(slug, org, context).await?);
    let body = if codes.is_empty() { json!({}) } else { json!({"capabilities": codes}) };
    let plugin = named(slug, context.client.post(&path, &body).await, context).await?;
    let what = if codes.is_empty() { "everything".to_owned() } else { codes.join(", ") };
    context.out.done(&plugin, &format!("Took {what} away from {slug} in {org}."))
}

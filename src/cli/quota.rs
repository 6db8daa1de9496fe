//! `resoftai quota`: what an organisation may use, and has used.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::client::Page;
use crate::cli::failure::Result;
use crate::cli::output::cell;
use crate::cli::{Context, lookup};

#[derive(Debug, Subcommand)]
pub enum QuotaCommand {
    /// Show the limits of an organisation and what is used of them.
    Show {
        /// The organisation.
        #[arg(long, value_name = "SLUG")]
        org: String,
    },
    /// Change a limit.
    Set {
        /// The organisation.
        #[arg(long, value_name = "SLUG")]
        org: String,
        /// What is limited.
        #[arg(value_parser = ["projects", "llm_tokens"])]
        resource: String,
        /// A number (1_000_000 is one too), or `unlimited`.
        #[arg(value_parser = limit)]
        limit: Limit,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(Option<u64>);

fn limit(given: &str) -> Result<Limit, String> {
    if given.eq_ignore_ascii_case("unlimited") {
        return Ok(Limit(None));
    }
    match given.replace('_', "").parse::<u64>() {
        Ok(number) if i64::try_from(number).is_ok() => Ok(Limit(Some(number))),
        _ => Err("it must be a whole number of 0 or more, or `unlimited`".to_owned()),
    }
}

pub async fn run(command: &QuotaCommand, context: &Context) -> Result<()> {
    match command {
        QuotaCommand::Show { org } => {
            let id = lookup::organization_id(context, org).await?;
            let mut quotas = context.client.get(&format!("/api/organizations/{id}/quotas")).await?;
            if context.out.is_json() {
                return context.out.value(&quotas);
            }
            let mut items = quotas["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
            items.iter_mut().for_each(name_unlimited);
            let columns =
                [("resource", "resource"), ("limit", "limit_value"), ("used", "used"), ("reserved", "reserved")];
            context.out.list(&Page { items, next_cursor: None }, &columns, "There are no quotas.")
        }
        QuotaCommand::Set { org, resource, limit } => {
            let id = lookup::organization_id(context, org).await?;
            let path = format!("/api/organizations/{id}/quotas/{resource}");
            let mut quota = context.client.put(&path, &json!({"limit_value": limit.0})).await?;
            if context.out.is_json() {
                return context.out.value(&quota);
            }
            name_unlimited(&mut quota);
            let (limit, used) = (cell(&quota, "limit_value"), cell(&quota, "used"));
            context.out.line(&format!("{org}: {resource} is now limited to {limit}; {used} used."))
        }
    }
}

fn name_unlimited(quota: &mut Value) {
    if quota["limit_value"].is_null() {
        quota["limit_value"] = json!("unlimited");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_or_none() {
        assert_eq!(limit("unlimited"), Ok(Limit(None)));
        assert_eq!(limit("1_000_000"), Ok(Limit(Some(1_000_000))));
        assert_eq!(limit("0"), Ok(Limit(Some(0))));
        for wrong in ["", "-1", "1.5", "many", "9223372036854775808"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}

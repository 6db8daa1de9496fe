//! `resoftai quota`: what an organisation, its teams and its people may use, and have used.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::client::{Page, escape};
use crate::cli::failure::Result;
use crate::cli::output::cell;
use crate::cli::{Context, deleted, download, lookup};

const RESOURCES: [&str; 5] = ["projects", "llm_tokens", "api_calls", "storage", "team_members"];

#[derive(Debug, Subcommand)]
pub enum QuotaCommand {
    /// Show the limits of an organisation and what is used of them.
    #[command(visible_alias = "list")]
    Show {
        /// The organisation.
        #[arg(long, value_name = "SLUG")]
        org: String,
        /// Only those of this team.
        #[arg(long, value_name = "SLUG")]
        team: Option<String>,
    },
    /// Change the organisation's own quota of a resource.
    #[command(visible_alias = "update")]
    Set {
        /// The organisation.
        #[arg(long, value_name = "SLUG")]
        org: String,
        /// What is limited.
        #[arg(value_parser = RESOURCES)]
        resource: String,
        /// A number (1_000_000 is one too), or `unlimited`.
        #[arg(value_parser = limit)]
        limit: Limit,
        #[command(flatten)]
        more: Settings,
    },
    /// Create a quota for a team or a person, or the organisation's own in the place of its tier's.
    Create {
        /// The organisation.
        #[arg(long, value_name = "SLUG")]
        org: String,
        /// What is limited.
        #[arg(value_parser = RESOURCES)]
        resource: String,
        /// A number, or `unlimited`.
        #[arg(value_parser = limit)]
        limit: Limit,
        /// Limit this person's use only.
        #[arg(long, value_name = "NAME", conflicts_with = "team_id")]
        user: Option<String>,
        /// Limit this team's use only.
        #[arg(long, value_name = "ID")]
        team_id: Option<i64>,
        #[command(flatten)]
        more: Settings,
    },
    /// Delete a quota; the organisation's own begins anew as its tier has it.
    Delete {
        /// The organisation.
        #[arg(long, value_name = "SLUG")]
        org: String,
        /// The quota's id, or a resource for the organisation's own.
        quota: String,
    },
    /// Give a quota another limit until a time, or end that.
    Override {
        /// The organisation.
        #[arg(long, value_name = "SLUG")]
        org: String,
        /// The quota's id, or a resource for the organisation's own.
        quota: String,
        /// A number, or `unlimited`.
        #[arg(value_parser = limit, required_unless_present = "end")]
        limit: Option<Limit>,
        /// When it ends, such as 2026-12-31T23:00:00Z.
        #[arg(long, value_name = "TIME", required_unless_present = "end")]
        until: Option<String>,
        /// Why, for those who ask later.
        #[arg(long, value_name = "TEXT", required_unless_present = "end")]
        reason: Option<String>,
        /// End the present override.
        #[arg(long, conflicts_with_all = ["limit", "until", "reason"])]
        end: bool,
    },
    /// Ask whether something could be used now; nothing is set aside.
    Check {
        /// The organisation.
        #[arg(long, value_name = "SLUG")]
        org: String,
        /// What is limited.
        #[arg(value_parser = RESOURCES)]
        resource: String,
        /// How much is wanted.
        #[arg(value_parser = clap::value_parser!(i64).range(1..))]
        amount: i64,
    },
    /// Show what was used, by day, model, project or person.
    Usage {
        /// The organisation.
        #[arg(long, value_name = "SLUG")]
        org: String,
        /// What to sum up by.
        #[arg(long, value_name = "GROUP", default_value = "day", value_parser = ["day", "model", "project", "person"])]
        by: String,
        /// What was used.
        #[arg(long, value_name = "RESOURCE", default_value = "llm_tokens", value_parser = RESOURCES)]
        resource: String,
        /// Only what this person used.
        #[arg(long, value_name = "USERNAME")]
        user: Option<String>,
        /// Only what runs in this team's projects used.
        #[arg(long, value_name = "SLUG")]
        team: Option<String>,
        /// How many days, up to the last one; 30 when absent.
        #[arg(long, value_name = "NUMBER", conflicts_with = "from", value_parser = clap::value_parser!(u16).range(1..=366))]
        days: Option<u16>,
        /// The first day, such as 2026-11-01.
        #[arg(long, value_name = "DAY", value_parser = day)]
        from: Option<String>,
        /// The last day; today when absent.
        #[arg(long, value_name = "DAY", value_parser = day)]
        to: Option<String>,
        /// Write CSV to the standard output.
        #[arg(long)]
        csv: bool,
    },
}

/// What else may be set.
#[derive(Debug, Default, Args)]
pub struct Settings {
    /// How often counting begins anew.
    #[arg(long, value_name = "PERIOD", value_parser = ["none", "daily", "weekly", "monthly", "yearly"])]
    period: Option<String>,
    /// What happens at the limit: refuse, only warn, or only count what would have been refused.
    #[arg(long, value_name = "MODE", value_parser = ["hard", "soft", "shadow"])]
    mode: Option<String>,
    /// Percentages of the limit to warn at, with commas between.
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=100))]
    warn: Vec<u8>,
    /// Requests (of api_calls) or tokens (of llm_tokens) a minute, or `unlimited`.
    #[arg(long, value_name = "NUMBER", value_parser = limit)]
    per_minute: Option<Limit>,
}

impl Settings {
    fn put_into(&self, body: &mut Value, resource: &str) {
        for (name, value) in [("period", &self.period), ("mode", &self.mode)] {
            if let Some(value) = value {
                body[name] = json!(value);
            }
        }
        if !self.warn.is_empty() {
            body["warning_thresholds"] = json!(self.warn);
        }
        if let Some(rate) = self.per_minute {
            let name = if resource == "api_calls" { "requests_per_minute" } else { "tokens_per_minute" };
            body[name] = json!(rate.0);
        }
    }
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

fn day(given: &str) -> Result<String, String> {
    let day: Result<jiff::civil::Date, _> = given.parse();
    day.map(|day| day.to_string()).map_err(|_| "it must be a day such as 2026-11-26".to_owned())
}

pub async fn run(command: &QuotaCommand, context: &Context) -> Result<()> {
    match command {
        QuotaCommand::Show { org, team } => {
            let path = match team {
                Some(slug) => format!("/api/teams/{}/quotas", team_id(context, org, slug).await?),
                None => path(context, org, "").await?,
            };
            show(context.client.get(&path).await?, context)
        }
        QuotaCommand::Set { org, resource, limit, more } => {
            let mut body = json!({"limit_value": limit.0});
            more.put_into(&mut body, resource);
            let quota = context.client.put(&path(context, org, &format!("/{resource}")).await?, &body).await?;
            told(org, quota, context)
        }
        QuotaCommand::Create { org, resource, limit, user, team_id, more } => {
            let mut body = json!({"resource_type": resource, "limit_value": limit.0});
            more.put_into(&mut body, resource);
            if let Some(name) = user {
                body["scope"] = json!("person");
                body["user_id"] = json!(lookup::id(&lookup::user(context, name).await?)?);
            }
            if let Some(team) = team_id {
                body["scope"] = json!("team");
                body["team_id"] = json!(team);
            }
            let quota = context.client.post(&path(context, org, "").await?, &body).await?;
            told(org, quota, context)
        }
        QuotaCommand::Delete { org, quota } => {
            context.client.delete(&path(context, org, &format!("/{}", escape(quota))).await?).await?;
            context.out.done(&deleted(quota), &format!("{org}: deleted the quota {quota}."))
        }
        QuotaCommand::Override { org, quota, limit, until, reason, .. } => {
            let over = limit.map(|limit| json!({"limit_value": limit.0, "until": until, "reason": reason}));
            let path = path(context, org, &format!("/{}", escape(quota))).await?;
            told(org, context.client.put(&path, &json!({ "override": over })).await?, context)
        }
        QuotaCommand::Check { org, resource, amount } => {
            let body = json!({"resource_type": resource, "amount": amount});
            let verdict = context.client.post(&path(context, org, "/check").await?, &body).await?;
            let sentence = verdict["error"].as_str().map_or_else(|| "Yes.".to_owned(), |error| format!("No. {error}"));
            context.out.done(&verdict, &sentence)
        }
        QuotaCommand::Usage { org, by, resource, user, team, days, from, to, csv } => {
            let mut query = format!("?group_by={by}&resource={resource}");
            if let Some(name) = user {
                query.push_str(&format!("&user_id={}", lookup::user(context, name).await?["id"]));
            }
            if let Some(slug) = team {
                query.push_str(&format!("&team_id={}", team_id(context, org, slug).await?));
            }
            if let Some(days) = days {
                query.push_str(&format!("&days={days}"));
            }
            for (name, day) in [("from", from), ("to", to)] {
                if let Some(day) = day {
                    query.push_str(&format!("&{name}={day}"));
                }
            }
            usage(org, &query, *csv, context).await
        }
    }
}

async fn path(context: &Context, org: &str, rest: &str) -> Result<String> {
    let id = lookup::organization_id(context, org).await?;
    Ok(format!("/api/organizations/{id}/quotas{rest}"))
}

async fn team_id(context: &Context, org: &str, slug: &str) -> Result<i64> {
    let org = lookup::organization_id(context, org).await?;
    lookup::id(&lookup::team(context, org, slug).await?)
}

fn show(mut quotas: Value, context: &Context) -> Result<()> {
    if context.out.is_json() {
        return context.out.value(&quotas);
    }
    let mut items = quotas["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    items.iter_mut().for_each(name_unlimited);
    let columns = [
        ("id", "id"),
        ("resource", "resource"),
        ("scope", "scope"),
        ("of", "owner"),
        ("limit", "effective_limit"),
        ("used", "used"),
        ("reserved", "reserved"),
        ("period", "period"),
        ("mode", "mode"),
    ];
    context.out.list(&Page { items, next_cursor: None }, &columns, "There are no quotas.")
}

fn told(org: &str, mut quota: Value, context: &Context) -> Result<()> {
    if context.out.is_json() {
        return context.out.value(&quota);
    }
    name_unlimited(&mut quota);
    let [resource, limit, used] = ["resource", "effective_limit", "used"].map(|field| cell(&quota, field));
    context.out.line(&format!("{org}: {resource} is now limited to {limit}; {used} used."))
}

async fn usage(org: &str, query: &str, csv: bool, context: &Context) -> Result<()> {
    let id = lookup::organization_id(context, org).await?;
    if csv {
        let mut reply = context.client.open(&format!("/api/organizations/{id}/usage.csv{query}"), "*/*", None).await?;
        return download::copy(&mut reply, &mut std::io::stdout()).await.map(drop);
    }
    let mut report = context.client.get(&format!("/api/organizations/{id}/usage{query}")).await?;
    if context.out.is_json() {
        return context.out.value(&report);
    }
    let items = report["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let columns = [("key", "key"), ("name", "name"), ("amount", "amount"), ("records", "records")];
    context.out.list(&Page { items, next_cursor: None }, &columns, "Nothing was used in these days.")
}

fn name_unlimited(quota: &mut Value) {
    if quota["effective_limit"].is_null() {
        quota["effective_limit"] = json!("unlimited");
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

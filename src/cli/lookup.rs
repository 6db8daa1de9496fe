//! Names that people use to the ids that the API uses.
//!
//! Invariant: a name that is not there fails with "not found" and the nearest name that is.

use serde_json::Value;

use crate::cli::Context;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::suggest;

/// The longest name that is asked for, in characters.
const LONGEST: usize = 100;
/// How many with such a name are looked at.
const MOST: usize = 100;

/// The one that is `same`, asked for by its name, so that a long list need not be read.
async fn named(context: &Context, path: &str, name: &str, same: impl Fn(&Value) -> bool) -> Result<Option<Value>> {
    if name.chars().count() > LONGEST {
        return Ok(None);
    }
    let found = context.client.list(path, &[("q", Some(name.to_owned()))], MOST).await?;
    Ok(found.items.into_iter().find(same))
}

/// The organisation with this slug.
pub async fn organization(context: &Context, slug: &str) -> Result<Value> {
    if let Some(found) = named(context, "/api/organizations", slug, |one| one["slug"] == slug).await? {
        return Ok(found);
    }
    let all = context.client.all("/api/organizations").await?;
    match all.iter().find(|one| one["slug"] == slug) {
        Some(found) => Ok(found.clone()),
        None => Err(suggest::not_found("organisation", slug, &all, "slug")),
    }
}

/// The id of the organisation with this slug.
pub async fn organization_id(context: &Context, slug: &str) -> Result<i64> {
    id(&organization(context, slug).await?)
}

/// The organisation named, else the only one there is; with several the server decides.
pub async fn organization_or_only(context: &Context, slug: Option<&str>) -> Result<Option<i64>> {
    if let Some(slug) = slug {
        return organization_id(context, slug).await.map(Some);
    }
    let page = context.client.list("/api/organizations", &[], 2).await?;
    match page.items.as_slice() {
        [only] => id(only).map(Some),
        _ => Ok(None),
    }
}

/// Where something new is made: in the organisation and team named, else in the only place where the caller holds
/// `permission`. Neither: the server decides.
pub async fn home(
    context: &Context,
    permission: &str,
    org: Option<&str>,
    team: Option<&str>,
) -> Result<(Option<i64>, Option<i64>)> {
    if let Some(slug) = org {
        let org = organization_id(context, slug).await?;
        let team = match team {
            Some(slug) => Some(id(&self::team(context, org, slug).await?)?),
            None => None,
        };
        return Ok((Some(org), team));
    }
    let homes = homes(&context.client.get("/api/auth/me").await?, permission);
    match homes.as_slice() {
        [] => Ok((None, None)),
        [(_, org, team)] => Ok((Some(*org), *team)),
        several => {
            let flags: Vec<&str> = several.iter().take(10).map(|(flags, ..)| flags.as_str()).collect();
            Err(Failure::usage(format!(
                "You may do this in {} places. Say where: {}.",
                several.len(),
                flags.join(", or ")
            )))
        }
    }
}

/// Every organisation in which `permission` is held, and teams of others, with the flags that name them.
fn homes(me: &Value, permission: &str) -> Vec<(String, i64, Option<i64>)> {
    let may =
        |place: &&Value| place["permissions"].as_array().is_some_and(|held| held.iter().any(|code| code == permission));
    let all = |kind: &str| me[kind].as_array().cloned().unwrap_or_default();
    let (orgs, teams) = (all("organizations"), all("teams"));
    let text = |place: &Value| place["slug"].as_str().unwrap_or_default().to_owned();
    let whole =
        orgs.iter().filter(may).filter_map(|org| Some((format!("--org {}", text(org)), org["id"].as_i64()?, None)));
    let mut homes: Vec<_> = whole.collect();
    for team in teams.iter().filter(may) {
        let (Some(org), Some(id)) = (team["organization_id"].as_i64(), team["id"].as_i64()) else { continue };
        if homes.iter().all(|(_, known, of)| *known != org || of.is_some()) {
            let slug = orgs.iter().find(|known| known["id"] == org).map(text).unwrap_or_default();
            homes.push((format!("--org {slug} --team {}", text(team)), org, Some(id)));
        }
    }
    homes
}

/// The team of the organisation with this slug.
pub async fn team(context: &Context, org: i64, slug: &str) -> Result<Value> {
    let all = context.client.all(&format!("/api/organizations/{org}/teams")).await?;
    match all.iter().find(|one| one["slug"] == slug) {
        Some(found) => Ok(found.clone()),
        None => Err(suggest::not_found("team", slug, &all, "slug")),
    }
}

/// The account with this name, whatever its case.
pub async fn user(context: &Context, username: &str) -> Result<Value> {
    let same = |one: &Value| one["username"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(username));
    if let Some(found) = named(context, "/api/users", username, same).await? {
        return Ok(found);
    }
    let all = context.client.all("/api/users").await?;
    match all.iter().find(|one| same(one)) {
        Some(found) => Ok(found.clone()),
        None => Err(suggest::not_found("account", username, &all, "username")),
    }
}

/// A project as it is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectRef {
    Id(i64),
    Name(String),
}

impl std::str::FromStr for ProjectRef {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        match (given.parse(), given.trim()) {
            (Ok(id), _) => Ok(Self::Id(id)),
            (_, "") => Err("it must be a project's id or name".to_owned()),
            (_, name) => Ok(Self::Name(name.to_owned())),
        }
    }
}

/// The id of a project; a name must fit exactly one that can be seen.
pub async fn project_id(context: &Context, project: &ProjectRef) -> Result<i64> {
    let name = match project {
        ProjectRef::Id(id) => return Ok(*id),
        ProjectRef::Name(name) => name,
    };
    let all = context.client.all("/api/projects").await?;
    let named: Vec<&Value> = all.iter().filter(|one| one["name"] == name.as_str()).collect();
    match named.as_slice() {
        [one] => id(one),
        [] => Err(suggest::not_found("project", name, &all, "name")),
        several => {
            let ids: Vec<String> = several.iter().take(10).map(|one| one["id"].to_string()).collect();
            let detail = format!(
                "{} projects are called \"{name}\". Name the one you mean by its id: {}.",
                several.len(),
                ids.join(", ")
            );
            Err(Failure::new(Exit::Usage, "several_projects", detail))
        }
    }
}

/// The `id` field of something the server sent.
pub fn id(item: &Value) -> Result<i64> {
    item["id"].as_i64().ok_or_else(|| {
        Failure::new(Exit::Failed, "no_id", "The server's answer has no id. Is it of the same version as this program?")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_team_is_a_home_where_its_organisation_is_none() {
        let me = json!({
            "organizations": [{"id": 1, "slug": "acme", "permissions": ["project.create"]},
                {"id": 2, "slug": "globex", "permissions": ["model.use"]}],
            "teams": [{"id": 10, "organization_id": 1, "slug": "core", "permissions": ["project.create"]},
                {"id": 20, "organization_id": 2, "slug": "web", "permissions": ["project.create"]},
                {"id": 21, "organization_id": 2, "slug": "look", "permissions": ["project.read"]}],
        });
        let found = homes(&me, "project.create");
        let wanted = [("--org acme", 1, None), ("--org globex --team web", 2, Some(20))];
        assert_eq!(found, wanted.map(|(flags, org, team)| (flags.to_owned(), org, team)));
        assert!(homes(&json!({}), "project.create").is_empty());
    }
}

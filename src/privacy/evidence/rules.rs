//! What the evidence tells that is not in a table of the database: the built-in roles and what the rules are set to.

use serde_json::Value;

use super::{Table, store};
use crate::access::policy::{TEAM_OWNER, built_in};
use crate::access::{OrgId, Role};
use crate::accounts::{passwords, throttle};
use crate::base::clock::SECOND;
use crate::base::error::Result;
use crate::config::KEYS;
use crate::db::migrate;
use crate::privacy::Privacy;

/// Settings of the site that every organisation's people live by begin so.
const OF_ACCOUNTS: &str = "accounts.";

/// Tables that are made here, whole.
pub(super) struct Rules {
    pub tables: Vec<(Table, Vec<Vec<Value>>)>,
}

impl Privacy {
    /// An organisation is not told how the site is configured, but for what concerns its people's accounts.
    pub(super) async fn rules(&self, org: Option<OrgId>) -> Result<Rules> {
        let over_site = self.db.read(store::over_site).await?;
        let mut policy = built_into_this_version();
        policy.push((
            "people_over_the_site".to_owned(),
            over_site.to_string(),
            "People who hold a role over the whole site, and with it in every organisation",
        ));
        let told = KEYS.iter().filter(|key| org.is_none() || key.name.starts_with(OF_ACCOUNTS));
        policy.extend(told.map(|key| (key.name.to_owned(), (key.show)(&self.config), key.help)));
        let row = |(name, value, about): (String, String, &str)| vec![name.into(), value.into(), about.into()];
        let policy_table = Table { name: "policy", columns: vec!["name", "value", "meaning"] };
        let roles_table = Table { name: "built_in_roles", columns: vec!["code", "name", "permissions"] };
        let tables =
            vec![(roles_table, built_in_roles()), (policy_table, policy.into_iter().map(row).collect::<Vec<_>>())];
        Ok(Rules { tables })
    }
}

fn built_in_roles() -> Vec<Vec<Value>> {
    let owner = built_in(TEAM_OWNER).map(|set| (TEAM_OWNER, "Team owner", set));
    let roles = Role::ALL.into_iter().map(|role| (role.code(), role.name(), role.permissions()));
    roles.chain(owner).map(|(code, name, set)| vec![code.into(), name.into(), set.codes().into()]).collect()
}

fn built_into_this_version() -> Vec<(String, String, &'static str)> {
    let schema = migrate::BUILTIN.last().map_or(0, |step| step.version);
    [
        ("version", env!("CARGO_PKG_VERSION").to_owned(), "The program's version"),
        ("schema", schema.to_string(), "The last step of the database's schema"),
        ("password_min_characters", passwords::MIN.to_string(), "A password has so many characters or more"),
        ("password_strength", "3 of 4".to_owned(), "A password has this score or more (zxcvbn)"),
        ("password_remembered", passwords::REMEMBERED.to_string(), "So many former passwords are refused"),
        ("failures_by_name", throttle::FREE_NAME.to_string(), "Failed sign-ins of a name before it has to wait"),
        ("failures_by_address", throttle::FREE_ADDRESS.to_string(), "The same of a network address"),
        ("longest_wait_seconds", (throttle::LONGEST / SECOND).to_string(), "The wait doubles up to this"),
    ]
    .map(|(name, value, about)| (name.to_owned(), value, about))
    .into()
}

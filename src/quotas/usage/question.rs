//! What is asked about use, and how its answer looks as JSON and as CSV (RFC 4180).
//!
//! Invariant: a question is about at most [`MOST_DAYS`] days, and its answer has at most [`MOST_ROWS`] rows; no cell of
//! the CSV begins a formula.

use std::borrow::Cow;

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::store;
use crate::access::actions::ProjectRead;
use crate::access::{OrgId, Permit};
use crate::base::csv;
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::quotas::Resource;

/// The most days that are asked for at once.
const MOST_DAYS: i32 = 366;
/// The most rows of an answer.
const MOST_ROWS: usize = 1000;

/// What use is summed up by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    #[default]
    Day,
    Model,
    Project,
    Person,
}

impl GroupBy {
    pub fn code(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Model => "model",
            Self::Project => "project",
            Self::Person => "person",
        }
    }
}

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// The first day, such as 2026-11-01, in the site's time zone; when absent, as `days` says.
    from: Option<String>,
    /// How many days up to the last one, where `from` is absent; 30 when absent.
    days: Option<i32>,
    /// The last day; today when absent. At most 366 days are asked for at once.
    to: Option<String>,
    /// day (when absent), model, project or person.
    #[serde(default)]
    group_by: GroupBy,
    /// llm_tokens (when absent), api_calls, projects, storage or team_members; of what exists, what was added is summed up.
    resource: Option<String>,
    /// What this person used. One's own takes no permission to see quotas.
    pub user_id: Option<i64>,
    /// What the runs in the projects of this team used, of those projects that exist. Takes the permission to see quotas in the team.
    pub team_id: Option<i64>,
}

/// A checked question.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    pub org: OrgId,
    pub resource: Resource,
    pub group_by: GroupBy,
    pub user: Option<i64>,
    pub team: Option<i64>,
    pub from: Date,
    pub to: Date,
}

impl UsageQuery {
    /// # Errors
    /// `unknown_resource`, `invalid_day`, `invalid_range`, naming the parameter.
    pub fn check(&self, org: OrgId, today: Date) -> Result<Question> {
        let resource = self.resource.as_deref().map_or(Ok(Resource::LlmTokens), Resource::parse)?;
        let to = self.to.as_deref().map_or(Ok(today), |text| day(text, "to"))?;
        let from = match &self.from {
            Some(text) => day(text, "from")?,
            None => to.saturating_sub((self.days.unwrap_or(30).clamp(0, MOST_DAYS + 1) - 1).days()),
        };
        let days = from.until(to).map_or(0, |span| span.get_days()) + 1;
        if !(1..=MOST_DAYS).contains(&days) {
            let sentence = format!("from {from} to {to} are {days} days; ask for 1 to {MOST_DAYS} at once.");
            return Err(Error::invalid("invalid_range", sentence).field("from"));
        }
        Ok(Question { org, resource, group_by: self.group_by, user: self.user_id, team: self.team_id, from, to })
    }
}

fn day(text: &str, field: &'static str) -> Result<Date> {
    let plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    text.parse()
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| Error::invalid("invalid_day", format!("{field} is no day such as 2026-11-26.")).field(field))
}

/// Use of one day, model, project or person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageRow {
    /// The day, the model's name, or the id of the project or person; empty or 0 for what is nobody's in particular.
    pub key: String,
    /// The name of the project or person, while there is one.
    pub name: Option<String>,
    pub amount: i64,
    /// How many calls, or other single uses.
    pub records: i64,
}

/// The answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UsageReport {
    pub resource: Resource,
    pub group_by: GroupBy,
    #[schema(value_type = String, format = Date)]
    pub from: String,
    #[schema(value_type = String, format = Date)]
    pub to: String,
    /// Of the items.
    pub total: i64,
    /// There are more than these: ask for fewer days.
    pub truncated: bool,
    pub items: Vec<UsageRow>,
}

impl Question {
    /// The answer; `projects`: whose names may be told.
    ///
    /// # Errors
    /// When the database fails.
    pub fn answer(&self, tx: &mut Tx<'_>, projects: Option<&Permit<ProjectRead>>) -> Result<UsageReport> {
        let most = i64::try_from(MOST_ROWS + 1).unwrap_or(i64::MAX);
        let mut items = store::sums(tx, self, projects, most)?;
        let truncated = items.len() > MOST_ROWS;
        items.truncate(MOST_ROWS);
        Ok(UsageReport {
            resource: self.resource,
            group_by: self.group_by,
            from: self.from.to_string(),
            to: self.to.to_string(),
            total: items.iter().map(|item| item.amount).sum(),
            truncated,
            items,
        })
    }
}

impl UsageReport {
    /// The items as CSV with a line of titles.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn csv(&self) -> Result<Vec<u8>> {
        let titles = [self.group_by.code(), "name", self.resource.code(), "records"].map(Cow::from);
        let rows = self.items.iter().map(|item| {
            let name = item.name.as_deref().map(csv::text).unwrap_or_default();
            [csv::text(&item.key), name, item.amount.to_string().into(), item.records.to_string().into()]
        });
        csv::lines(std::iter::once(titles).chain(rows)).map_err(Error::internal)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn query(from: &str, to: &str) -> UsageQuery {
        let (from, to) = (Some(from.to_owned()), Some(to.to_owned()));
        UsageQuery { from, to, days: None, group_by: GroupBy::Day, resource: None, user_id: None, team_id: None }
    }

    #[test]
    fn questions_are_bounded() {
        let code = |from, to| query(from, to).check(OrgId(1), date(2026, 11, 26)).map_err(|error| error.code()).err();
        assert_eq!(code("2025-11-26", "2026-11-26"), None);
        assert_eq!(code("2025-11-25", "2026-11-26"), Some("invalid_range"));
        assert_eq!(code("2026-11-27", "2026-11-26"), Some("invalid_range"));
        assert_eq!(code("-009999-01-01", "2026-11-26"), Some("invalid_day"));
        assert_eq!(code("2026-13-01", "2026-11-26"), Some("invalid_day"));
        let days = |days| UsageQuery { from: None, to: None, days: Some(days), ..query("", "") };
        let first = |count| days(count).check(OrgId(1), date(2026, 11, 26)).map(|question| question.from).ok();
        assert_eq!((first(1), first(7)), (Some(date(2026, 11, 26)), Some(date(2026, 11, 20))));
        assert_eq!(first(366), Some(date(2025, 11, 26)));
        assert_eq!([0, 367, i32::MIN, i32::MAX].map(first), [None; 4]);
    }

    #[test]
    fn no_cell_begins_a_formula() {
        let item =
            |key: &str| UsageRow { key: key.to_owned(), name: Some("@SUM(1)".to_owned()), amount: -1, records: 2 };
        let report = UsageReport {
            resource: Resource::LlmTokens,
            group_by: GroupBy::Model,
            from: String::new(),
            to: String::new(),
            total: 0,
            truncated: false,
            items: vec![item("=HYPERLINK(\"x\")"), item("a,b")],
        };
        let text = String::from_utf8(report.csv().unwrap()).unwrap();
        let wanted =
            "model,name,llm_tokens,records\r\n\"'=HYPERLINK(\"\"x\"\")\",'@SUM(1),-1,2\r\n\"a,b\",'@SUM(1),-1,2\r\n";
        assert_eq!(text, wanted);
    }
}

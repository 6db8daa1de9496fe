//! What auditors ask for, as one zip: who holds which role since when, what the rules are set to, the checkpoints of the audit
//! logs, what retention and erasure took away. Each table is there for programs (JSON) and for spreadsheets (CSV).
//!
//! Invariants: no secret is in it, and of an organisation's evidence nothing belongs to another. The manifest has the SHA-256
//! of every file before it. One page of rows is in memory at a time, however much there is.

mod pack;
mod readme;
pub mod routes;
mod rules;
mod store;

use std::borrow::Cow;
use std::io::{self, Read, Seek, Write};

use axum::response::Response;
use serde_json::{Map, Value};
use tempfile::spooled_tempfile_in;
use tokio::sync::OwnedSemaphorePermit;

use super::Privacy;
use crate::access::OrgId;
use crate::base::clock::Time;
use crate::base::csv;
use crate::base::error::Result;
use crate::db::Val;
use crate::orgs::Organization;
use crate::web::archive::attachment;
use pack::Pack;

/// Rows read at a time.
const PAGE: i64 = 500;
/// Bytes of a table that are kept in memory while its other form goes out.
const SPOOLED: usize = 1 << 20;

/// A table of the evidence.
pub(super) struct Sheet {
    /// Its files are called so.
    pub name: &'static str,
    /// What it holds, in a sentence.
    pub about: &'static str,
    /// Each row has another number here, by which they are in order.
    pub key: &'static str,
    pub from: &'static str,
    /// Name and expression. What is called `at`, `.._at` or `.._until` is a time, `is_..` true or false, `.._json` JSON.
    pub columns: &'static [(&'static str, &'static str)],
    /// What holds for the rows of organisation `$3`. None: the table is of the whole site only.
    pub org: Option<&'static str>,
}

/// A table as it goes out.
struct Table {
    name: &'static str,
    columns: Vec<&'static str>,
}

/// The evidence of an organisation, or of the whole site, made while it is sent. `turn` is given back at its end.
pub(super) fn archive(privacy: Privacy, whose: Option<Organization>, turn: OwnedSemaphorePermit) -> Response {
    let name = whose.as_ref().map_or_else(|| "site".to_owned(), |org| org.slug.clone());
    let file = format!("evidence-{name}.zip");
    let body = async_stream::try_stream! {
        let _turn = turn;
        let (org, now) = (whose.as_ref().map(|org| OrgId(org.id)), privacy.clock.now());
        let mut pack = Pack::default();
        let backups = privacy.db.read(store::backups).await.map_err(io::Error::other)?;
        let readme = readme::text(whose.as_ref(), backups, now);
        pack.file("README.txt", readme.as_bytes())?;
        for sheet in store::SHEETS.iter().filter(|sheet| org.is_none() || sheet.org.is_some()) {
            let table = Table { name: sheet.name, columns: sheet.columns.iter().map(|(name, _)| *name).collect() };
            let mut sheets = spooled_tempfile_in(SPOOLED, &privacy.config.data_dir);
            table.begin(&mut pack, &mut sheets)?;
            let (mut after, mut lead) = (Some(i64::MIN), "");
            while let Some(from) = after {
                let page = privacy.page(sheet, org, from).await.map_err(io::Error::other)?;
                lead = table.rows(&mut pack, &mut sheets, page.rows, lead)?;
                after = page.next;
                yield pack.take();
            }
            table.end(&mut pack, &mut sheets)?;
            yield pack.take();
        }
        let made = privacy.rules(org).await.map_err(io::Error::other)?;
        for (table, rows) in made.tables {
            let mut sheets = spooled_tempfile_in(SPOOLED, &privacy.config.data_dir);
            table.begin(&mut pack, &mut sheets)?;
            table.rows(&mut pack, &mut sheets, rows, "")?;
            table.end(&mut pack, &mut sheets)?;
            yield pack.take();
        }
        let mut after = Some(i64::MIN);
        while let Some(from) = after {
            let found = privacy.checkpoints(org, from).await.map_err(io::Error::other)?;
            after = found.last().map(|(log, _)| *log);
            for (log, note) in found {
                let log = if log == 0 { "site".to_owned() } else { format!("organization-{log}") };
                pack.file(&format!("audit/{log}.checkpoint"), note.as_bytes())?;
            }
            yield pack.take();
        }
        yield pack.finish(whose.as_ref().map(|org| (org.id, org.slug.as_str())), now)?;
    };
    attachment("application/zip", &file, body)
}

/// Some rows, and the key to go on behind; none behind the last ones.
struct Page {
    rows: Vec<Vec<Value>>,
    next: Option<i64>,
}

impl Privacy {
    async fn page(&self, sheet: &'static Sheet, org: Option<OrgId>, after: i64) -> Result<Page> {
        let rows = self.db.read(move |tx| Ok(store::page(tx, sheet, org, after, PAGE)?)).await?;
        let full = rows.len() as i64 == PAGE;
        let next = rows.last().map(|(key, _)| *key).filter(|_| full);
        let shown =
            |row: Vec<Val>| sheet.columns.iter().zip(row).map(|((name, _), value)| shown(name, value)).collect();
        Ok(Page { rows: rows.into_iter().map(|(_, row)| shown(row)).collect(), next })
    }

    async fn checkpoints(&self, org: Option<OrgId>, after: i64) -> Result<Vec<(i64, String)>> {
        self.db.read(move |tx| Ok(store::checkpoints(tx, org, after, PAGE)?)).await
    }
}

fn shown(column: &str, value: Val) -> Value {
    match value {
        Val::Null => Value::Null,
        Val::Bool(truth) => Value::Bool(truth),
        Val::I64(number) if column.starts_with("is_") => Value::Bool(number != 0),
        Val::I64(number) if column == "at" || column.ends_with("_at") || column.ends_with("_until") => {
            Time(number).to_string().into()
        }
        Val::I64(number) => number.into(),
        Val::F64(number) => number.into(),
        Val::Text(text) if column.ends_with("_json") => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Val::Text(text) => text.into(),
        // No table has such a column.
        Val::Bytes(_) => Value::Null,
    }
}

impl Table {
    fn begin(&self, pack: &mut Pack, sheets: &mut impl Write) -> io::Result<()> {
        pack.start(&format!("{}.json", self.name))?;
        pack.write_all(b"[")?;
        sheets.write_all(&csv::lines([&self.columns])?)
    }

    /// Both forms of rows, after `lead`; what leads the next ones.
    fn rows(
        &self,
        pack: &mut Pack,
        sheets: &mut impl Write,
        rows: Vec<Vec<Value>>,
        mut lead: &'static str,
    ) -> io::Result<&'static str> {
        sheets.write_all(&csv::lines(rows.iter().map(|row| row.iter().map(cell)))?)?;
        for row in rows {
            let object: Map<String, Value> = self.columns.iter().map(|name| (*name).to_owned()).zip(row).collect();
            pack.write_all(format!("{lead}\n{}", Value::Object(object)).as_bytes())?;
            lead = ",";
        }
        Ok(lead)
    }

    /// The other file, once the first is whole.
    fn end(&self, pack: &mut Pack, sheets: &mut (impl Read + Seek)) -> io::Result<()> {
        pack.write_all(b"\n]\n")?;
        pack.start(&format!("{}.csv", self.name))?;
        sheets.rewind()?;
        io::copy(sheets, pack).map(drop)
    }
}

fn cell(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::default(),
        Value::String(text) => csv::text(text),
        Value::Bool(_) | Value::Number(_) => value.to_string().into(),
        Value::Array(_) | Value::Object(_) => csv::text(value.to_string()),
    }
}

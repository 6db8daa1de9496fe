//! All SQL of privacy. The statements are made from the inventory, so that they reach whatever it classifies.

use super::Person;
use super::erase::{erased_name, replace_name};
use super::inventory::{Class, Rows, Table};
use super::list::Erasure;
use crate::base::error::Result;
use crate::db::{Tx, Val, params};

/// A condition that holds for the rows of a person; pushes what it compares with onto `params`. None: no row is anybody's.
fn theirs(table: &Table, person: &Person, params: &mut Vec<Val>) -> Option<String> {
    let mut place = |value: Val| {
        params.push(value);
        format!("${}", params.len())
    };
    match table.rows {
        Rows::Nobody | Rows::Trail => None,
        Rows::Number(column) => Some(format!("{column} = {}", place(Val::I64(person.id.0)))),
        Rows::Of { column, table, person: owner } => {
            Some(format!("{column} IN (SELECT id FROM {table} WHERE {owner} = {})", place(Val::I64(person.id.0))))
        }
        Rows::Name(column) => {
            let names: Vec<String> = person.names.iter().map(|name| place(Val::from(name))).collect();
            Some(format!("{column} IN ({})", names.join(", ")))
        }
    }
}

/// The columns of a table that are given out: the key first, then all that are no secret.
pub fn given(table: &Table) -> Vec<&'static str> {
    let others = table.columns().filter(|(_, group)| group.class != Class::Secret).map(|(column, _)| column);
    table.key.iter().copied().chain(others.filter(|column| !table.key.contains(column))).collect()
}

/// The person's rows of a table in the order of its key, behind the row whose key is `after`: at most `limit`.
///
/// # Errors
/// When the database fails.
pub fn page(tx: &mut Tx<'_>, table: &Table, person: &Person, after: &[Val], limit: i64) -> Result<Vec<Vec<Val>>> {
    let mut params = vec![Val::I64(limit)];
    let Some(mut condition) = theirs(table, person, &mut params) else { return Ok(Vec::new()) };
    let key = table.key.join(", ");
    if !after.is_empty() {
        let first = params.len() + 1;
        let places: Vec<String> = (first..first + after.len()).map(|at| format!("${at}")).collect();
        condition.push_str(&format!(" AND ({key}) > ({})", places.join(", ")));
        params.extend_from_slice(after);
    }
    let columns = given(table);
    let sql = format!("SELECT {} FROM {} WHERE {condition} ORDER BY {key} LIMIT $1", columns.join(", "), table.name);
    let width = columns.len();
    Ok(tx.query_map(&sql, &params, |row| (0..width).map(|at| row.get(at)).collect())?)
}

/// Erases a person from a table as the inventory says; how many rows that touched.
///
/// # Errors
/// When the database fails.
pub fn erase_rows(tx: &mut Tx<'_>, table: &Table, person: &Person) -> Result<u64> {
    if table.rows == Rows::Trail {
        return Ok(0);
    }
    let mut rows = 0;
    for column in table.of_class(Class::Name) {
        rows += replace_names(tx, table, column, person)?;
    }
    for column in table.of_class(Class::Mention) {
        rows += replace_mentions(tx, table, column, person, None)?;
    }
    for column in table.of_class(Class::Told) {
        let mut params = Vec::new();
        let within = theirs(table, person, &mut params).map(|condition| (condition, params));
        rows += replace_mentions(tx, table, column, person, within)?;
    }
    for column in table.of_class(Class::Address) {
        let sql = format!("UPDATE {} SET {column} = NULL WHERE lower({column}) = $1", table.name);
        rows += tx.execute(&sql, &params![person.email.to_lowercase()])?;
    }
    let mut params = Vec::new();
    let Some(theirs) = theirs(table, person, &mut params) else { return Ok(rows) };
    if table.deleted {
        return Ok(rows + tx.execute(&format!("DELETE FROM {} WHERE {theirs}", table.name), &params)?);
    }
    let emptied = table.of_class(Class::Personal).chain(table.of_class(Class::Secret));
    let emptied: Vec<String> = emptied.map(|column| format!("{column} = NULL")).collect();
    if !emptied.is_empty() {
        let sql = format!("UPDATE {} SET {} WHERE {theirs}", table.name, emptied.join(", "));
        rows += tx.execute(&sql, &params)?;
    }
    Ok(rows)
}

/// The person's name, and the names of agents that worked for them.
fn replace_names(tx: &mut Tx<'_>, table: &Table, column: &str, person: &Person) -> Result<u64> {
    let erased = erased_name(person.id);
    let mut params = Vec::new();
    let (mut cases, mut places) = (String::new(), Vec::new());
    for name in &person.names {
        params.push(Val::from(name));
        params.push(Val::Text(replace_name(name, &person.name, &erased)));
        let (old, new) = (params.len() - 1, params.len());
        cases.push_str(&format!(" WHEN ${old} THEN ${new}"));
        places.push(format!("${old}"));
    }
    let sql = format!(
        "UPDATE {} SET {column} = CASE {column}{cases} END WHERE {column} IN ({})",
        table.name,
        places.join(", ")
    );
    Ok(tx.execute(&sql, &params)?)
}

/// Texts that name the person: of everybody, or `within` the rows that the condition holds for.
fn replace_mentions(
    tx: &mut Tx<'_>,
    table: &Table,
    column: &str,
    person: &Person,
    within: Option<(String, Vec<Val>)>,
) -> Result<u64> {
    let key = table.key.join(", ");
    let (condition, mut params) = within.unwrap_or_else(|| ("TRUE".to_owned(), Vec::new()));
    let first = params.len() + 1;
    params.extend(params![format!("%{}%", person.name), format!("%{}%", person.email)]);
    let sql = format!(
        "SELECT {key}, {column} FROM {} WHERE {condition} AND ({column} LIKE ${first} OR {column} LIKE ${})",
        table.name,
        first + 1
    );
    let width = table.key.len();
    let found: Vec<(Vec<Val>, String)> = tx.query_map(&sql, &params, |row| {
        Ok(((0..width).map(|at| row.get(at)).collect::<Result<_, _>>()?, row.get(width)?))
    })?;
    let erased = erased_name(person.id);
    let places: Vec<String> = (2..2 + width).map(|at| format!("${at}")).collect();
    let sql = format!("UPDATE {} SET {column} = $1 WHERE ({key}) = ({})", table.name, places.join(", "));
    let mut rows = 0;
    for (key, text) in found {
        let clean = replace_name(&replace_name(&text, &person.email, &erased), &person.name, &erased);
        if clean != text {
            rows += tx.execute(&sql, &[&params![clean], key.as_slice()].concat())?;
        }
    }
    Ok(rows)
}

/// # Errors
/// When the database fails.
pub fn remember(tx: &mut Tx<'_>, erasure: &Erasure) -> Result<()> {
    tx.execute(
        "INSERT INTO erasures (person_id, account_created_at, erased_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        &params![erasure.person, erasure.account_created_at, erasure.erased_at],
    )?;
    Ok(())
}

/// Everybody who was erased.
///
/// # Errors
/// When the database fails.
pub fn erasures(tx: &mut Tx<'_>) -> Result<Vec<Erasure>> {
    Ok(tx.query_map("SELECT person_id, account_created_at, erased_at FROM erasures", &[], |row| {
        Ok(Erasure { person: row.get(0)?, account_created_at: row.get(1)?, erased_at: row.get(2)? })
    })?)
}

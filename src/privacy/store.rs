//! All SQL of privacy. The statements are made from the inventory, so that they reach whatever it classifies.

use super::Person;
use super::inventory::{Class, Rows, Table};
use crate::base::error::Result;
use crate::db::{Tx, Val};

/// A condition that holds for the rows of a person; pushes what it compares with onto `params`. None: no row is anybody's.
fn theirs(table: &Table, person: &Person, params: &mut Vec<Val>) -> Option<String> {
    let mut place = |value: Val| {
        params.push(value);
        format!("${}", params.len())
    };
    match table.rows {
        Rows::Nobody | Rows::Trail => None,
        Rows::Number(column) => Some(format!("{column} = {}", place(Val::I64(person.id.0)))),
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

//! The annotations against the real schema.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use super::inventory::{Class, Rows};
use super::tables::TABLES;
use crate::db::{Db, Options};

/// The columns of every table that the migrations make, and whether each may be null.
async fn schema() -> BTreeMap<String, BTreeMap<String, bool>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("schema.db");
    Db::open_sqlite(&path, Options::default()).await.unwrap().close().await;
    let database = rusqlite::Connection::open(&path).unwrap();
    let sql = "SELECT t.name, c.name, c.\"notnull\" FROM sqlite_master t, pragma_table_info(t.name) c \
               WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'";
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, !row.get::<_, bool>(2)?))).unwrap();
    let mut tables: BTreeMap<String, BTreeMap<String, bool>> = BTreeMap::new();
    for (table, column, nullable) in rows.map(Result::unwrap) {
        tables.entry(table).or_default().insert(column, nullable);
    }
    tables
}

#[tokio::test]
async fn every_column_of_the_database_is_in_the_inventory_once() {
    let schema = schema().await;
    let there: BTreeSet<(String, String)> = schema
        .iter()
        .flat_map(|(table, columns)| columns.keys().map(move |column| (table.clone(), column.clone())))
        .collect();
    let told: Vec<(String, String)> = TABLES
        .iter()
        .flat_map(|table| table.columns().map(move |(column, _)| (table.name.to_owned(), column.to_owned())))
        .collect();
    let known: BTreeSet<_> = told.iter().cloned().collect();
    assert_eq!(told.len(), known.len(), "a column is annotated twice");
    let missing: Vec<_> = there.difference(&known).collect();
    let gone: Vec<_> = known.difference(&there).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "say in src/privacy/tables.rs what these hold: {missing:?}; gone: {gone:?}"
    );
}

#[tokio::test]
async fn what_the_inventory_promises_can_be_done() {
    let schema = schema().await;
    for table in TABLES {
        let columns = &schema[table.name];
        let finds = match table.rows {
            Rows::Number(column) => Some((column, Class::Number)),
            Rows::Name(column) => Some((column, Class::Name)),
            Rows::Of { column, table, person } => {
                assert!(schema[table].contains_key(person) && schema[table].contains_key("id"), "{table}.{person}");
                Some((column, Class::None))
            }
            Rows::Nobody | Rows::Trail => None,
        };
        if let Some((column, class)) = finds {
            assert!(table.of_class(class).any(|name| name == column), "{}.{column} finds rows", table.name);
            assert!(table.key.iter().all(|key| columns.contains_key(*key)), "the key of {}", table.name);
            assert!(!table.key.is_empty(), "the key of {}", table.name);
        }
        if finds.is_some() && !table.deleted {
            // Those of rows that stay are emptied.
            for column in table.of_class(Class::Personal).chain(table.of_class(Class::Secret)) {
                assert!(columns[column], "{}.{column} cannot be emptied", table.name);
            }
        }
        for (column, group) in table.columns() {
            let about_people = !matches!(group.class, Class::None | Class::Work);
            assert_eq!(group.purpose.is_some(), about_people, "the purpose of {}.{column}", table.name);
        }
    }
    assert_eq!(TABLES.last().unwrap().name, "users", "what refers to an account is erased before it");
}

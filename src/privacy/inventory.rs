//! The data inventory: what the schema holds about people, why, for how long, and what erasing a person does to it.
//!
//! Invariant: every column of the database stands in [`TABLES`] exactly once (a test compares it with the real schema), and
//! export and erasure go by it: a column that is classified is a column that is given out and erased.

use serde::Serialize;
use utoipa::ToSchema;

use super::tables::{ELSEWHERE, TABLES};

/// A table and whom its rows are about.
pub struct Table {
    pub name: &'static str,
    /// What a row is.
    pub holds: &'static str,
    pub rows: Rows,
    /// Whether a person's rows are deleted with them. Else they stay, with names replaced and personal columns emptied.
    pub deleted: bool,
    /// The primary key, which pages go by.
    pub key: &'static [&'static str],
    pub groups: &'static [Group],
}

/// How the rows of a person are found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// The table tells of nobody, or only names people beside something else.
    Nobody,
    /// The column holds the person's number.
    Number(&'static str),
    /// The column holds the name of the person or of an agent at work for them.
    Name(&'static str),
    /// The column refers to a row of another table, by its id, that is the person's.
    Of { column: &'static str, table: &'static str, person: &'static str },
    /// The audit trail: read through its own door, unreadable once the person's key is destroyed.
    Trail,
}

/// Columns of one class and purpose.
pub struct Group {
    /// Names with blanks between them; one that ends in `?` is a BOOLEAN.
    pub columns: &'static str,
    pub class: Class,
    pub purpose: Option<&'static Purpose>,
}

/// Why something about people is held.
pub struct Purpose {
    pub what: &'static str,
    pub why: &'static str,
    pub kept: &'static str,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Nothing about people.
    None,
    /// A person's number. It stays where a row stays: without the account it names nobody.
    Number,
    /// A person's name.
    Name,
    /// An address to write to that may be a person's; emptied where it is.
    Address,
    /// Something else about a person.
    Personal,
    /// A text that may name people: their names in it are replaced wherever it stands.
    Mention,
    /// What was told of a person's work for an organisation: it belongs to it, the person's name in it is replaced.
    Told,
    /// Something about a person that is given to nobody, such as the digest of a password.
    Secret,
    /// What people wrote for their organisation, to which it belongs.
    Work,
}

/// What erasing a person does to a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The rows go.
    Deleted,
    /// The name becomes `erased person` and the number.
    Replaced,
    /// The field is emptied.
    Emptied,
    /// The key it is sealed with is destroyed.
    Unreadable,
    /// It stays.
    Kept,
}

impl Table {
    /// The columns with their groups; without the mark of a BOOLEAN.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, &'static Group)> {
        self.marked().map(|(name, group)| (name.trim_end_matches('?'), group))
    }

    fn marked(&self) -> impl Iterator<Item = (&'static str, &'static Group)> {
        self.groups.iter().flat_map(|group| group.columns.split_whitespace().map(move |name| (name, group)))
    }

    pub fn is_boolean(&self, column: &str) -> bool {
        self.marked().any(|(name, _)| name.strip_suffix('?') == Some(column))
    }

    pub fn of_class(&self, class: Class) -> impl Iterator<Item = &'static str> {
        self.columns().filter(move |(_, group)| group.class == class).map(|(name, _)| name)
    }

    fn fate(&self, class: Class) -> Fate {
        match class {
            Class::None | Class::Work => Fate::Kept,
            _ if self.rows == Rows::Trail && class != Class::Number => Fate::Unreadable,
            _ if self.deleted => Fate::Deleted,
            Class::Number => Fate::Kept,
            Class::Name | Class::Mention | Class::Told => Fate::Replaced,
            Class::Address | Class::Personal | Class::Secret => Fate::Emptied,
        }
    }
}

/// Something held outside of the database.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Elsewhere {
    pub place: &'static str,
    pub what: &'static str,
    pub why: &'static str,
    pub kept: &'static str,
    /// What erasing a person does to it.
    pub at_erasure: &'static str,
}

/// The inventory as it is shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct Inventory {
    pub tables: Vec<InventoryTable>,
    pub elsewhere: Vec<Elsewhere>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct InventoryTable {
    pub table: &'static str,
    /// What a row is.
    pub holds: &'static str,
    pub columns: Vec<InventoryColumn>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct InventoryColumn {
    pub column: &'static str,
    pub class: Class,
    /// Null, like the two that follow, where the column is about nobody.
    pub what: Option<&'static str>,
    pub why: Option<&'static str>,
    /// How long.
    pub kept: Option<&'static str>,
    pub at_erasure: Fate,
}

/// The whole inventory.
pub fn inventory() -> Inventory {
    let tables = TABLES.iter().map(|table| InventoryTable {
        table: table.name,
        holds: table.holds,
        columns: table.columns().map(|(column, group)| shown(table, column, group)).collect(),
    });
    Inventory { tables: tables.collect(), elsewhere: ELSEWHERE.to_vec() }
}

fn shown(table: &Table, column: &'static str, group: &'static Group) -> InventoryColumn {
    InventoryColumn {
        column,
        class: group.class,
        what: group.purpose.map(|purpose| purpose.what),
        why: group.purpose.map(|purpose| purpose.why),
        kept: group.purpose.map(|purpose| purpose.kept),
        at_erasure: table.fate(group.class),
    }
}

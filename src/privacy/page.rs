//! The readable half of an export: one page of HTML that needs no script, no style and no other file.
//!
//! Invariant: whatever people wrote is escaped; the page is bounded, what is left out is in the JSON beside it.

use serde_json::Value;

use super::Person;
use super::inventory::Table;
use crate::base::clock::Time;

/// Rows of a table that the page shows.
const ROWS: usize = 100;
/// Characters of a field that it shows.
const FIELD: usize = 300;

pub struct Index {
    html: String,
    /// The table under way, and how many rows it had so far.
    open: Option<(&'static Table, usize)>,
}

impl Index {
    pub fn new(person: &Person, now: Time) -> Self {
        let name = escape(&person.name);
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Data about {name}</title>\n\
             <h1>Data about {name}</h1>\n<p>Everything that ResoftAI held about {name} (account {}) at {now}. This page is \
             for reading and shows the first {ROWS} rows of each kind; the files in the folder <code>data</code> hold all \
             of them as JSON. Times are UTC. Passwords, tokens and keys are kept as digests or sealed and are not given out. \
             What somebody wrote for an organisation belongs to it and is here only while they may read it there.</p>\n",
            person.id.0
        );
        Self { html, open: None }
    }

    /// Begins the next table.
    pub fn table(&mut self, table: &'static Table) {
        self.close();
        self.html.push_str(&format!("<h2>{}</h2>\n", escape(table.holds)));
        let mut purposes: Vec<_> = table.groups.iter().filter_map(|group| group.purpose).collect();
        purposes.dedup_by(|a, b| std::ptr::eq(*a, *b));
        for purpose in purposes {
            let text = format!("{}. Why: {}. Kept: {}.", purpose.what, purpose.why, purpose.kept);
            self.html.push_str(&format!("<p>{}</p>\n", escape(&text)));
        }
        self.open = Some((table, 0));
    }

    pub fn row(&mut self, row: &Value) {
        let Some((_, rows)) = &mut self.open else { return };
        *rows += 1;
        if *rows > ROWS {
            return;
        }
        let fields: Vec<(&String, &Value)> = row.as_object().into_iter().flatten().collect();
        if *rows == 1 {
            let titles: Vec<String> = fields.iter().map(|(name, _)| format!("<th>{}", escape(name))).collect();
            self.html.push_str(&format!("<table border=\"1\">\n<tr>{}\n", titles.concat()));
        }
        let cells: Vec<String> = fields.iter().map(|(_, value)| format!("<td>{}", cell(value))).collect();
        self.html.push_str(&format!("<tr>{}\n", cells.concat()));
    }

    pub fn finish(mut self) -> String {
        self.close();
        self.html.push_str("</html>\n");
        self.html
    }

    fn close(&mut self) {
        let Some((table, rows)) = self.open.take() else { return };
        self.html.push_str(match rows {
            0 => "<p>Nothing.</p>\n",
            _ => "</table>\n",
        });
        if rows > ROWS {
            self.html.push_str(&format!("<p>All {rows} rows: <code>data/{}.json</code></p>\n", table.name));
        }
    }
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(FIELD) {
        Some((end, _)) => format!("{}…", escape(&text[..end])),
        None => escape(&text),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

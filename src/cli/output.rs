//! What commands print: JSON for programs, tables for people, aligned plain text for pipes.
//!
//! Invariant: text that came from elsewhere passes [`clean`] before it reaches a terminal, so no name or message can move
//! the cursor or recolour the screen. A reader that went away ends the command quietly (see [`Failure`]).

use std::io::{self, IsTerminal, Write};

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use crate::cli::client::Page;
use crate::cli::failure::{Failure, Result};

/// A column or a line: its title, and where its value is (`a.b` goes into objects).
pub type Column = (&'static str, &'static str);

/// Where the results of commands go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    terminal: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json, terminal: io::stdout().is_terminal() }
    }

    /// Whether `--json` was asked for.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person reads stdout.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// One line of text.
    pub fn line(&self, text: &str) -> Result<()> {
        Ok(writeln!(io::stdout(), "{text}")?)
    }

    /// One JSON document on a line of its own.
    pub fn value(&self, value: &Value) -> Result<()> {
        self.line(&escaped(&value.to_string()))
    }

    /// Bytes as they are.
    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut out = io::stdout();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// A page of a list; says on stderr when there is more than was asked for.
    pub fn list(&self, page: &Page, columns: &[Column], nothing: &str) -> Result<()> {
        if self.json {
            return self.value(&json!({"items": page.items, "next_cursor": page.next_cursor}));
        }
        if page.items.is_empty() {
            return self.note(nothing);
        }
        self.table(&page.items, columns)?;
        if page.next_cursor.is_some() {
            self.note(&format!("These are the first {}; there are more (--limit N).", page.items.len()))?;
        }
        Ok(())
    }

    /// Rows as a table.
    pub fn table(&self, items: &[Value], columns: &[Column]) -> Result<()> {
        let mut table = Table::new();
        let titles: Vec<String> = columns.iter().map(|column| column.0.to_uppercase()).collect();
        if self.terminal {
            table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
            table.set_header(titles.into_iter().map(|title| Cell::new(title).add_attribute(Attribute::Bold)));
        } else {
            table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
            table.set_header(titles);
        }
        for item in items {
            table.add_row(columns.iter().map(|column| cell(item, column.1)));
        }
        let text = table.to_string();
        let lines: Vec<&str> = text
            .lines()
            .map(|line| if self.terminal { line } else { line.trim_end().trim_start_matches(' ') })
            .collect();
        self.line(&lines.join("\n"))
    }

    /// One thing, a line a field.
    pub fn item(&self, value: &Value, fields: &[Column]) -> Result<()> {
        if self.json {
            return self.value(value);
        }
        let width = fields.iter().map(|field| field.0.len()).max().unwrap_or(0);
        for (title, path) in fields {
            // A text of several lines stays in its column.
            let text = show(at(value, path)).replace('\n', &format!("\n{:width$}  ", ""));
            self.line(format!("{title:width$}  {text}").trim_end())?;
        }
        Ok(())
    }

    /// Something was done: the value for programs, a sentence for people.
    pub fn done(&self, value: &Value, sentence: &str) -> Result<()> {
        if self.json { self.value(value) } else { self.line(&clean(sentence)) }
    }

    /// A remark beside the result, on stderr; programs do without it.
    pub fn note(&self, text: &str) -> Result<()> {
        if !self.json {
            writeln!(io::stderr(), "{}", clean(text)).map_err(Failure::from)?;
        }
        Ok(())
    }
}

/// The value at `path` as a person reads it, on one line.
pub fn cell(item: &Value, path: &str) -> String {
    show(at(item, path)).replace('\n', " ")
}

fn at<'a>(item: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(item, |value, name| &value[name])
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => clean(text),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(show).collect::<Vec<_>>().join(", "),
        Value::Object(_) => clean(&value.to_string()),
    }
}

/// The text without what a terminal would obey: control characters, and the marks that turn reading direction.
pub fn clean(text: &str) -> String {
    text.chars().map(|char| if harmful(char) { char::REPLACEMENT_CHARACTER } else { char }).collect()
}

/// JSON without what a terminal would obey: the same values, with those characters spelled as escapes. JSON itself escapes
/// the ASCII ones only, and has none of the others outside its strings.
pub fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            harmful_one if harmful(harmful_one) => text.push_str(&format!("\\u{:04x}", u32::from(harmful_one))),
            plain => text.push(plain),
        }
    }
    text
}

fn harmful(char: char) -> bool {
    (char.is_control() && char != '\n' && char != '\t')
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A size in bytes as people say it (decimal units).
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_people_read_them() {
        let item = json!({"a": {"b": [1, "two"]}, "none": null, "on": true, "empty": []});
        assert_eq!(cell(&item, "a.b"), "1, two");
        assert_eq!(cell(&item, "none"), "-");
        assert_eq!(cell(&item, "absent.too"), "-");
        assert_eq!(cell(&item, "on"), "yes");
        assert_eq!(cell(&item, "empty"), "-");
        assert_eq!(cell(&json!({"name": "two\nlines"}), "name"), "two lines");
    }

    #[test]
    fn escapes_do_not_reach_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mred\r\n\tb\u{202e}"), "a\u{fffd}[31mred\u{fffd}\n\tb\u{fffd}");
    }

    #[test]
    fn json_means_the_same_without_what_a_terminal_obeys() {
        let value = json!({"name": "a\u{1b}[31m\u{9b}2J\u{7f}\u{202e}ü\n"});
        let text = escaped(&value.to_string());
        assert!(!text.chars().any(harmful), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value));
    }

    #[test]
    fn sizes_stay_short() {
        let read: Vec<String> = [0, 999, 1000, 999_949, 999_950, 1_500_000].into_iter().map(size).collect();
        assert_eq!(read, ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "1.5 MB"]);
    }
}

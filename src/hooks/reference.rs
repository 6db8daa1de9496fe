//! The page `docs/plugins/hooks.md`, written from the catalogue.
//!
//! Invariant: the page is what [`write`] gives; the test fails when it is not, and with `UPDATE_DOCS=1` in the environment
//! puts it there.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Field, Hook, Kind, Pace, Spec};

const OPENING: &str = include_str!("reference.md");

fn write() -> String {
    let mut page = OPENING.to_owned();
    page.push_str("\n| hook | kind | called | a filter may change |\n|---|---|---|---|\n");
    for spec in Hook::all() {
        let row =
            format!("| [`{}`](#{}) | {} | {} | {} |\n", spec.name, anchor(spec), kind(spec), pace(spec), changes(spec));
        page.push_str(&row);
    }
    Hook::all().for_each(|spec| section(&mut page, spec));
    page
}

fn section(page: &mut String, spec: &Spec) {
    let fields = spec.fields().map(row).collect::<String>();
    let example = pretty(&spec.fields().map(|field| (field.name.to_owned(), parse(field))).collect());
    let _ = write!(
        page,
        "\n## {}\n\n{} {}\n\n| field | type | |\n|---|---|---|\n{fields}\n```json\n{example}\n```\n",
        spec.name,
        spec.when,
        words(spec),
    );
}

fn anchor(spec: &Spec) -> String {
    spec.name.replace('.', "")
}

fn kind(spec: &Spec) -> &'static str {
    match spec.kind {
        Kind::Action => "action",
        Kind::Filter => "filter",
        Kind::Both => "filter, action",
    }
}

fn pace(spec: &Spec) -> String {
    match spec.pace {
        Pace::Later => "afterwards".to_owned(),
        Pace::Before(each) => format!("before, waits {} at most", seconds(each)),
        Pace::Asked { each, all } => format!("waits {} a call, {} in all", seconds(each), seconds(all)),
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

fn changes(spec: &Spec) -> String {
    match (spec.changes, spec.open, spec.kind) {
        (_, _, Kind::Action) => "-".to_owned(),
        ([], ..) => "adds keys of its own".to_owned(),
        (names, ..) => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}

fn words(spec: &Spec) -> String {
    match (spec.kind, spec.changes) {
        (Kind::Action, _) => "An action: what is returned is not looked at.".to_owned(),
        (_, []) => "A filter returns the value with its findings; nothing in it may be changed.".to_owned(),
        (_, [only]) if *only != "messages" => {
            format!("A filter returns the value with another `{only}`, or that text alone.")
        }
        (_, names) => format!("A filter returns the value with another `{}`.", names.join("`, `")),
    }
}

fn row(field: &Field) -> String {
    let schema = field.form.schema();
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        kind => kind.as_str().unwrap_or_default().to_owned(),
    };
    let kind = match schema["items"]["type"].as_str() {
        Some(items) => format!("{kind} of {items}"),
        None => kind,
    };
    format!("| `{}` | {kind} | {} |\n", field.name, field.about)
}

fn parse(field: &Field) -> Value {
    serde_json::from_str(field.example).unwrap_or(json!("(no JSON)"))
}

fn pretty(example: &Map<String, Value>) -> String {
    let lines: Vec<String> = example.iter().map(|(name, value)| format!("  {}: {value}", json!(name))).collect();
    format!("{{\n{}\n}}", lines.join(",\n"))
}

#[test]
#[allow(clippy::unwrap_used)]
fn the_reference_of_hooks_is_the_catalogue() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/plugins/hooks.md");
    let fresh = write();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, fresh).unwrap();
        return;
    }
    let there = std::fs::read_to_string(path).unwrap();
    assert!(there == fresh, "docs/plugins/hooks.md is behind: UPDATE_DOCS=1 cargo test --lib reference");
}

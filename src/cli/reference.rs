//! The reference in docs/cli.md, written from the tree of commands, so that the page and the program say the same.
//!
//! Invariant: everything behind [`MARK`] on that page is what [`write`] gives; the test below fails when it is not, and with
//! `UPDATE_DOCS=1` in the environment puts it there. What is before the mark is written by hand.

use clap::{Arg, Command, CommandFactory};

use super::Cli;

const MARK: &str =
    "<!-- From here on the page is written by the program: UPDATE_DOCS=1 cargo test --lib reference -->\n";

/// Every command that does something, in the order of the help.
fn write() -> String {
    let mut tree = Cli::command();
    tree.build();
    let mut text = "\n## Every command\n\nAll take these:\n".to_owned();
    arguments(&mut text, tree.get_arguments().filter(|argument| named(argument)));
    for command in tree.get_subcommands() {
        section(&mut text, command, "resoftai");
    }
    text
}

fn section(text: &mut String, command: &Command, before: &str) {
    if command.get_name() == "help" || command.is_hide_set() {
        return;
    }
    let path = format!("{before} {}", command.get_name());
    if command.has_subcommands() {
        command.get_subcommands().for_each(|below| section(text, below, &path));
        return;
    }
    text.push_str(&format!("\n### {path}\n\n{}\n", command.get_about().map(sentence).unwrap_or_default()));
    let own = || command.get_arguments().filter(|argument| named(argument) && !of_all(argument));
    let words: Vec<String> = own().map(usage).collect();
    text.push_str(&format!("\n```text\n{}\n```\n", [&[path], words.as_slice()].concat().join(" ")));
    arguments(text, own());
}

/// Help and version go without saying.
fn named(argument: &Arg) -> bool {
    !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version")
}

/// What every command takes is told once.
fn of_all(argument: &Arg) -> bool {
    argument.get_help_heading() == Some("Server") || argument.get_id() == "json"
}

fn usage(argument: &Arg) -> String {
    let several = if argument.get_action().takes_values() && argument.get_num_args().is_some_and(|n| n.max_values() > 1)
    {
        ".."
    } else {
        ""
    };
    let word = format!("{}{several}", spelled(argument));
    if argument.is_required_set() { word } else { format!("[{word}]") }
}

fn spelled(argument: &Arg) -> String {
    let value = match argument.get_value_names() {
        Some(names) if argument.get_action().takes_values() => names.join(" "),
        _ => String::new(),
    };
    match argument.get_long() {
        Some(long) => format!("--{long} {value}").trim_end().to_owned(),
        None => value,
    }
}

/// clap takes the full stop off.
fn sentence(text: &clap::builder::StyledStr) -> String {
    let text = text.to_string();
    if text.ends_with(['.', '?']) { text } else { format!("{text}.") }
}

fn arguments<'a>(text: &mut String, all: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<String> = all.map(row).collect();
    if !rows.is_empty() {
        text.push_str(&format!("\n| argument | means |\n|---|---|\n{}\n", rows.join("\n")));
    }
}

fn row(argument: &Arg) -> String {
    let short = argument.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let mut means = argument.get_help().map(sentence).unwrap_or_default();
    let takes_value = argument.get_action().takes_values();
    let values = argument.get_possible_values();
    if takes_value && !values.is_empty() {
        let values: Vec<String> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
        means.push_str(&format!(" One of {}.", values.join(", ")));
    }
    for value in argument.get_default_values().iter().filter(|value| takes_value && !value.is_empty()) {
        means.push_str(&format!(" Default: `{}`.", value.to_string_lossy()));
    }
    if let Some(variable) = argument.get_env() {
        means.push_str(&format!(" Or `{}` in the environment.", variable.to_string_lossy()));
    }
    format!("| {short}`{}` | {} |", spelled(argument), means.trim().replace('|', "\\|").replace('\n', " "))
}

#[test]
#[allow(clippy::unwrap_used)]
fn the_reference_is_what_the_program_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (by_hand, there) = page.split_once(MARK).unwrap();
    let fresh = write();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{by_hand}{MARK}{fresh}")).unwrap();
        return;
    }
    assert!(there == fresh, "docs/cli.md is behind the program: UPDATE_DOCS=1 cargo test --lib reference");
    for line in fresh.lines() {
        assert!(!line.ends_with("|  |"), "an argument without a word about it: {line}");
    }
}

#[test]
#[allow(clippy::unwrap_used)]
fn every_command_in_the_hand_written_part_exists() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md")).unwrap();
    let (by_hand, _) = page.split_once(MARK).unwrap();
    let reference = write();
    let known: Vec<&str> = reference.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let prose: String = by_hand.split("```").step_by(2).collect();
    let spans = prose.split('`').skip(1).step_by(2).filter(|span| span.starts_with("resoftai "));
    let mut seen = 0;
    for span in spans {
        // `COMMAND` stands for any, and flags may come first in a sentence about them.
        let fits = known.iter().any(|path| span == *path || span.starts_with(&format!("{path} ")));
        assert!(
            fits || span.starts_with("resoftai COMMAND") || span.starts_with("resoftai --"),
            "no such command: {span}"
        );
        seen += 1;
    }
    assert!(seen > 3, "only {seen} commands are named");
}

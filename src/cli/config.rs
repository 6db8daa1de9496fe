//! `resoftai config`: the same code as start-up, without starting.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::failure::Result;
use super::output::Output;
use crate::config::{Config, KEYS, Sources};
use crate::server;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read all sources and say what would count, or what is wrong.
    Check,
    /// Every setting: its name, its variables, what it means.
    Reference,
}

impl Command {
    pub fn run(self, sources: &Sources, output: Output) -> Result<()> {
        match self {
            Self::Check => check(&Config::load(sources)?, output),
            Self::Reference => reference(output),
        }
    }
}

fn check(config: &Config, output: Output) -> Result<()> {
    server::check(config)?;
    let values: Map<String, Value> =
        KEYS.iter().map(|setting| (setting.name.to_owned(), Value::String((setting.show)(config)))).collect();
    if output.is_json() {
        return output.value(&Value::Object(values));
    }
    for setting in KEYS {
        output.line(format!("{:24} {}", setting.name, (setting.show)(config)).trim_end())?;
    }
    for remark in config.remarks() {
        output.note(&format!("Remark: {remark}"))?;
    }
    output.line("The configuration is good.")
}

fn reference(output: Output) -> Result<()> {
    let rows: Vec<Value> = KEYS
        .iter()
        .map(|setting| json!({"name": setting.name, "variables": setting.variables(), "help": setting.help}))
        .collect();
    if output.is_json() {
        return output.value(&Value::Array(rows));
    }
    output.table(&rows, &[("setting", "name"), ("environment", "variables"), ("meaning", "help")])
}

#[test]
fn the_variables_of_the_commands_are_known_to_the_configuration() {
    use clap::CommandFactory;

    use crate::config::environment::OF_COMMANDS;

    let mut left = vec![super::Cli::command()];
    let mut seen = 0;
    while let Some(command) = left.pop() {
        for variable in command.get_arguments().filter_map(clap::Arg::get_env) {
            let name = variable.to_string_lossy();
            assert!(OF_COMMANDS.contains(&name.as_ref()), "add {name} to config::environment");
            seen += 1;
        }
        left.extend(command.get_subcommands().cloned());
    }
    // The token has no flag.
    assert_eq!(seen + 1, OF_COMMANDS.len());
}

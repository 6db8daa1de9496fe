//! `resoftai config`: the same code as start-up, without starting.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::failure::Result;
use super::output::Output;
use crate::config::{Config, KEYS, Sources};

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
    let values: Map<String, Value> =
        KEYS.iter().map(|setting| (setting.name.to_owned(), Value::String((setting.show)(config)))).collect();
    if output.is_json() {
        return output.value(&Value::Object(values));
    }
    for setting in KEYS {
        output.line(format!("{:24} {}", setting.name, (setting.show)(config)).trim_end())?;
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

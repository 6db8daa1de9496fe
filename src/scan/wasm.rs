//! What a component imports.
//!
//! Invariant: the binary is read, never run; one that cannot be read to its end is named as not looked at.

use serde_json::Value;
use wasmparser::{ComponentType, Encoding, InstanceTypeDeclaration, Parser, Payload};

use super::Findings;
use super::rules::{Look, Rule};

/// Imports, and functions of them, that are looked at.
const MOST: usize = 10_000;

#[derive(Default)]
struct Imports {
    /// Names, such as `wasi:cli/environment@0.2.3`.
    names: Vec<String>,
    /// Functions of the interfaces that are imported.
    functions: Vec<String>,
    component: bool,
}

pub fn look(path: &str, content: &[u8], asks: &Value, rules: &[Rule], found: &mut Findings) {
    let imports = match read(content) {
        Ok(imports) => imports,
        Err(why) => return found.gap(path, format!("it is no WebAssembly that can be read: {why}")),
    };
    if !imports.component {
        return found.gap(path, "it is a core module, not a component; what it imports is not looked at");
    }
    let begins = |with: &[String], name: &str| with.iter().any(|start| name.starts_with(start.as_str()));
    for rule in rules {
        match &rule.look {
            Look::WasmImport { names, except } => {
                let meant = |name: &&String| (names.is_empty() || begins(names, name)) && !begins(except, name);
                imports.names.iter().filter(meant).for_each(|name| found.add(rule, Some((path, None)), name));
            }
            Look::WasmUndeclared { functions, capability } if asks.get(capability).is_none_or(Value::is_null) => {
                let used = imports.functions.iter().find(|name| functions.contains(name));
                used.into_iter().for_each(|name| found.add(rule, Some((path, None)), name));
            }
            _ => {}
        }
    }
}

fn read(content: &[u8]) -> Result<Imports, String> {
    let mut imports = Imports::default();
    let mut depth = 0_usize;
    let told = |cause: wasmparser::BinaryReaderError| cause.to_string();
    for payload in Parser::new(0).parse_all(content) {
        match payload.map_err(told)? {
            Payload::Version { encoding, .. } => {
                imports.component |= depth == 0 && encoding == Encoding::Component;
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.names.push(import.map_err(told)?.name.name.to_owned());
                }
            }
            Payload::ComponentTypeSection(section) if depth == 1 => {
                for kind in section {
                    let ComponentType::Instance(declared) = kind.map_err(told)? else { continue };
                    imports.functions.extend(declared.iter().filter_map(|one| match one {
                        InstanceTypeDeclaration::Export { name, .. } => Some(name.name.to_owned()),
                        _ => None,
                    }));
                }
            }
            _ => {}
        }
        if imports.names.len() + imports.functions.len() > MOST {
            return Err(format!("it imports more than {MOST} things"));
        }
    }
    Ok(imports)
}

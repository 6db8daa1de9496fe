//! Capabilities as authors write them, and as administrators grant them.
//!
//! Invariant: what is read is bounded and has one form, whichever of the accepted ones it was written in; what nobody
//! knows is refused with the nearest name there is.

use serde_json::{Map, Value};

use super::{Capabilities, FileAccess, Http, ModelUse};
use crate::base::error::{Error, Result};

/// Every capability that is granted, in the order they are shown.
pub const CODES: [&str; 6] = ["http", "kv", "files", "llm", "memory_mib", "time_ms"];
/// Every plugin has these; a manifest may name them.
const ALWAYS: [&str; 2] = ["clock", "random"];
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
const MAX_LIST: usize = 50;
const MAX_TEXT: usize = 253;
/// Of a body, unless said otherwise, and at most.
const BODY: u64 = 1 << 20;
const MAX_BODY: u64 = 16 << 20;
const MAX_KV: u64 = 16 << 20;
const TOKENS: u64 = 100_000;
const MAX_TOKENS: u64 = 1_000_000_000;
const MAX_MEMORY_MIB: u64 = 4096;
const MAX_TIME_MS: u64 = 600_000;

type Fields = Map<String, Value>;

/// What a manifest asks for: `capabilities`, and what plugins of the earlier product say with `permissions`, `http_hosts`
/// and `kv`.
///
/// # Errors
/// `invalid_plugin`, naming the field.
pub fn read(manifest: &Fields) -> Result<Capabilities> {
    let mut all = match manifest.get("capabilities") {
        None | Some(Value::Null) => Capabilities::default(),
        Some(Value::Object(fields)) => fields_of(fields, "capabilities")?,
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str).map(|name| (name.to_owned(), Value::Bool(true)));
            fields_of(&names.collect(), "capabilities")?
        }
        Some(_) => {
            return Err(wrong(
                "capabilities",
                "write an object, such as {\"http\": {\"hosts\": [\"hooks.slack.com\"]}}",
            ));
        }
    };
    if all.http.is_none()
        && let Some(hosts) = manifest.get("http_hosts").filter(|hosts| **hosts != Value::Array(Vec::new()))
    {
        all.http = Some(http(hosts, "http_hosts")?);
    }
    if all.kv.is_none()
        && let Some(kv) = manifest.get("kv")
    {
        all.kv = Some(number(kv, "kv", MAX_KV)?);
    }
    let by_name = all.files.is_some();
    let permissions = manifest.get("permissions").and_then(Value::as_array).into_iter().flatten();
    for permission in permissions.filter_map(Value::as_str) {
        older(&mut all, permission);
    }
    all.files_by_the_way = !by_name && all.files.is_some();
    Ok(all)
}

/// What an administrator grants, in the form of a manifest; `true`, and what is left out of a capability, is as `asked`.
///
/// # Errors
/// `invalid_plugin`, naming the field.
pub fn read_granted(granted: &Fields, asked: &Capabilities) -> Result<Capabilities> {
    let asked = serde_json::to_value(asked).map_err(Error::internal)?;
    let whole = granted.iter().map(|(code, value)| {
        let value = match (value, asked.get(code)) {
            (Value::Bool(true), Some(asked)) => asked.clone(),
            (Value::Object(given), Some(Value::Object(asked))) if code != "files" => {
                let rest = asked.iter().filter(|(key, _)| !given.contains_key(*key));
                given.iter().chain(rest).map(|(key, value)| (key.clone(), value.clone())).collect()
            }
            (Value::String(_) | Value::Array(_), Some(Value::Object(asked))) if code != "files" => {
                let list = if code == "http" { "hosts" } else { "models" };
                let mut whole = asked.clone();
                whole.insert(list.to_owned(), value.clone());
                Value::Object(whole)
            }
            _ => value.clone(),
        };
        (code.clone(), value)
    });
    fields_of(&whole.collect(), "granted")
}

/// Words of the earlier product; those that mean nothing here are kept for the plugin.
fn older(all: &mut Capabilities, permission: &str) {
    let every = || vec!["**".to_owned()];
    match permission {
        "files.read" | "file.read" => {
            let files = all.files.get_or_insert_default();
            if files.read.is_empty() {
                files.read = every();
            }
        }
        "files.write" | "file.write" => {
            let files = all.files.get_or_insert_default();
            if files.write.is_empty() {
                files.write = every();
            }
        }
        "llm" | "llm.use" | "llm.complete" | "llm.request" => {
            all.llm.get_or_insert_with(|| ModelUse { models: vec!["*".to_owned()], tokens_per_day: TOKENS });
        }
        _ => {}
    }
}

fn fields_of(fields: &Fields, at: &str) -> Result<Capabilities> {
    let mut all = Capabilities::default();
    for (name, value) in fields {
        let field = format!("{at}.{name}");
        if value.is_null() || *value == Value::Bool(false) {
            continue;
        }
        match name.as_str() {
            "http" | "network" => all.http = Some(http(value, &field)?),
            "kv" | "storage" => all.kv = Some(kv(value, &field)?),
            "files" => all.files = Some(files(value, &field)?),
            "llm" | "model" | "models" => all.llm = Some(llm(value, &field)?),
            "memory_mib" | "memory" => all.memory_mib = Some(number(value, &field, MAX_MEMORY_MIB)?),
            "time_ms" | "time" => all.time_ms = Some(number(value, &field, MAX_TIME_MS)?),
            name if ALWAYS.contains(&name) => {}
            other => return Err(unknown(other, at).field(field)),
        }
    }
    Ok(all)
}

/// A capability that nobody knows.
pub fn unknown(name: &str, at: &str) -> Error {
    let near = CODES
        .iter()
        .chain(&ALWAYS)
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = near.map_or_else(String::new, |(_, known)| format!(" Did you mean {known:?}?"));
    let sentence =
        format!("{at}: {name:?} is no capability.{hint} There are {} and {}.", CODES.join(", "), ALWAYS.join(", "));
    Error::invalid("invalid_plugin", sentence)
}

fn wrong(field: &str, rule: &str) -> Error {
    Error::invalid("invalid_plugin", format!("{field}: {rule}.")).field(field)
}

fn http(value: &Value, field: &str) -> Result<Http> {
    let (hosts, methods, max_bytes) = match value {
        Value::Object(fields) => {
            known(fields, &["hosts", "allow", "allowed_hosts", "methods", "max_bytes"], field)?;
            let hosts = fields.get("hosts").or(fields.get("allow")).or(fields.get("allowed_hosts"));
            (hosts.unwrap_or(&Value::Null), fields.get("methods"), fields.get("max_bytes"))
        }
        other => (other, None, None),
    };
    let hosts = list(hosts, field)?.iter().map(|text| host(text, field)).collect::<Result<Vec<_>>>()?;
    if hosts.is_empty() {
        return Err(wrong(field, "name the hosts, such as [\"hooks.slack.com\", \"*.example.org\"]"));
    }
    let methods = match methods {
        None => METHODS.map(str::to_owned).to_vec(),
        Some(methods) => list(methods, field)?.into_iter().map(|method| method.to_ascii_uppercase()).collect(),
    };
    if let Some(other) = methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
        return Err(wrong(field, &format!("{other:?} is no method; there are {}", METHODS.join(", "))));
    }
    let max_bytes = max_bytes.map_or(Ok(BODY), |value| number(value, field, MAX_BODY))?;
    Ok(Http { hosts, methods, max_bytes })
}

/// A host's name or address, with a port or without; of a URL, its host.
fn host(text: &str, field: &str) -> Result<String> {
    let lower = text.trim().to_ascii_lowercase();
    let bare = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")).unwrap_or(&lower);
    let bare = bare.split('/').next().unwrap_or_default();
    let (name, port) = match bare.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (bare, None),
    };
    let plain = name.strip_prefix("*.").unwrap_or(name);
    let labels = plain.split('.').all(|label| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    });
    let address = plain.trim_start_matches('[').trim_end_matches(']').parse::<std::net::Ipv6Addr>().is_ok();
    let wide = name.starts_with("*.") && (!plain.contains('.') || plain.parse::<std::net::IpAddr>().is_ok());
    if !(labels || address)
        || wide
        || port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port != 0).eq(&false))
    {
        return Err(wrong(
            field,
            &format!("{text:?} is no host; write one like hooks.slack.com, *.example.org or build.site:8080"),
        ));
    }
    Ok(bare.to_owned())
}

fn kv(value: &Value, field: &str) -> Result<u64> {
    match value {
        Value::Bool(true) => Ok(super::KV_SHARE),
        Value::Object(fields) => {
            known(fields, &["bytes", "max_bytes"], field)?;
            let bytes = fields.get("bytes").or(fields.get("max_bytes")).unwrap_or(&Value::Null);
            number(bytes, field, MAX_KV)
        }
        other => number(other, field, MAX_KV),
    }
}

fn files(value: &Value, field: &str) -> Result<FileAccess> {
    let every = || vec!["**".to_owned()];
    let globs = |value: Option<&Value>| match value {
        None | Some(Value::Null | Value::Bool(false)) => Ok(Vec::new()),
        Some(Value::Bool(true)) => Ok(every()),
        Some(value) => list(value, field),
    };
    match value {
        Value::Bool(true) => Ok(FileAccess { read: every(), write: Vec::new() }),
        Value::Object(fields) => {
            known(fields, &["read", "write"], field)?;
            Ok(FileAccess { read: globs(fields.get("read"))?, write: globs(fields.get("write"))? })
        }
        other => {
            let words = list(other, field)?;
            if words.iter().all(|word| matches!(word.as_str(), "read" | "write")) {
                let asked = |word: &str| if words.iter().any(|one| one == word) { every() } else { Vec::new() };
                return Ok(FileAccess { read: asked("read"), write: asked("write") });
            }
            Ok(FileAccess { read: words, write: Vec::new() })
        }
    }
}

fn llm(value: &Value, field: &str) -> Result<ModelUse> {
    let (models, tokens) = match value {
        Value::Bool(true) => (vec!["*".to_owned()], None),
        Value::Object(fields) => {
            known(fields, &["models", "tokens_per_day"], field)?;
            let models = fields.get("models").map_or_else(|| Ok(vec!["*".to_owned()]), |models| list(models, field))?;
            (models, fields.get("tokens_per_day"))
        }
        other => (list(other, field)?, None),
    };
    let tokens_per_day = tokens.map_or(Ok(TOKENS), |value| number(value, field, MAX_TOKENS))?;
    Ok(ModelUse { models, tokens_per_day })
}

/// A text, or a list of texts.
fn list(value: &Value, field: &str) -> Result<Vec<String>> {
    let texts = match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => return Err(wrong(field, "write a list of texts")),
    };
    let whole = value.as_array().is_none_or(|all| all.len() == texts.len());
    let plain = |text: &String| {
        let length = text.len();
        (1..=MAX_TEXT).contains(&length) && !text.chars().any(char::is_control)
    };
    if whole && texts.len() <= MAX_LIST && texts.iter().all(plain) {
        return Ok(texts);
    }
    Err(wrong(field, &format!("at most {MAX_LIST} texts of 1 to {MAX_TEXT} bytes are allowed")))
}

fn number(value: &Value, field: &str, most: u64) -> Result<u64> {
    let number = value.as_u64().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| wrong(field, &format!("write a whole number of 1 to {most}")))
}

fn known(fields: &Fields, names: &[&str], field: &str) -> Result<()> {
    match fields.keys().find(|key| !names.contains(&key.as_str())) {
        Some(key) => Err(wrong(field, &format!("{key:?} means nothing here; there are {}", names.join(", ")))),
        None => Ok(()),
    }
}

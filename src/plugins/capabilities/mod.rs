//! What a plugin asks for beyond computing, in words, and how much of it was granted.
//!
//! Invariant: what is in force is never more than what was asked for and what was granted, both ([`Capabilities::within`]).
//! Keys and values of its own ([`Capabilities::kv`]) every plugin has without being granted them; the rest none.

mod read;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::base::error::{Error, Result};

pub use read::{CODES, read, read_granted};

/// Bytes a plugin may keep unless it asks for something else.
pub const KV_SHARE: u64 = 1 << 20;
const MIB: u64 = 1 << 20;

/// Which hosts a plugin sends requests to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Http {
    /// Names such as `hooks.slack.com`, `*.example.org` for all below one, with `:port` where it is neither 80 nor 443.
    pub hosts: Vec<String>,
    /// Upper case.
    pub methods: Vec<String>,
    /// Of a request's body and of a reply's, each.
    pub max_bytes: u64,
}

/// Which files of a project a plugin reaches; patterns such as `**/*.py`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileAccess {
    #[serde(default)]
    pub read: Vec<String>,
    #[serde(default)]
    pub write: Vec<String>,
}

/// Which models a plugin asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelUse {
    /// Names of models; `*` is any.
    pub models: Vec<String>,
    /// Tokens of prompts and answers together.
    pub tokens_per_day: u64,
}

/// What a plugin asks for, or what of it was granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Capabilities {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
    /// Bytes of keys and values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FileAccess>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llm: Option<ModelUse>,
    /// Of an instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Of computing in one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<u64>,
    /// Whether files were asked for in the words of the earlier product only, which granted them unasked: such a plugin works
    /// where nobody granted them, as far as it gets.
    #[serde(skip)]
    pub files_by_the_way: bool,
}

/// What an organisation decided about a plugin's capabilities, and about which ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    #[serde(default)]
    pub granted: Capabilities,
    /// What the plugin asked for when that was decided.
    #[serde(default)]
    pub asked: Capabilities,
    /// Whether an administrator of the site decided, who may let plugins reach the site's own network.
    #[serde(default)]
    pub by_site: bool,
}

/// What a plugin may do in one organisation now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Powers {
    pub capabilities: Capabilities,
    /// Whether hosts named exactly may lie in the site's own network.
    pub by_site: bool,
}

/// One capability as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CapabilityView {
    /// http, kv, files, llm, memory_mib or time_ms.
    pub code: &'static str,
    /// What it lets the plugin do, for people.
    pub words: Vec<String>,
    /// What the plugin asks for, in the form of its manifest.
    pub asked: Value,
    /// What of that is in force; null: nothing.
    pub granted: Value,
}

impl Capabilities {
    /// Whether an administrator has to say yes to something of it.
    pub fn ask_for_a_grant(&self) -> bool {
        let Self { http, kv: _, files, llm, memory_mib, time_ms, files_by_the_way } = self;
        let files = files.is_some() && !files_by_the_way;
        http.is_some() || files || llm.is_some() || memory_mib.is_some() || time_ms.is_some()
    }

    /// What is in both. Data of its own a plugin has also where `granted` says nothing of it.
    #[must_use]
    pub fn within(&self, granted: &Self) -> Self {
        let share = self.kv.unwrap_or(KV_SHARE);
        Self {
            http: both(self.http.as_ref(), granted.http.as_ref(), |asked, granted| {
                let hosts = common(&asked.hosts, &granted.hosts, covers_host);
                let methods = common(&asked.methods, &granted.methods, |a, b| a == b);
                let max_bytes = asked.max_bytes.min(granted.max_bytes);
                (!hosts.is_empty() && !methods.is_empty()).then_some(Http { hosts, methods, max_bytes })
            }),
            kv: Some(granted.kv.map_or(share, |granted| granted.min(share))),
            files: both(self.files.as_ref(), granted.files.as_ref(), |asked, granted| {
                let read = common(&asked.read, &granted.read, covers_path);
                let write = common(&asked.write, &granted.write, covers_path);
                (!read.is_empty() || !write.is_empty()).then_some(FileAccess { read, write })
            }),
            llm: both(self.llm.as_ref(), granted.llm.as_ref(), |asked, granted| {
                let models = common(&asked.models, &granted.models, |wide, narrow| wide == "*" || wide == narrow);
                let tokens_per_day = asked.tokens_per_day.min(granted.tokens_per_day);
                (!models.is_empty() && tokens_per_day > 0).then_some(ModelUse { models, tokens_per_day })
            }),
            memory_mib: both(self.memory_mib.as_ref(), granted.memory_mib.as_ref(), |a, b| Some(*a.min(b))),
            time_ms: both(self.time_ms.as_ref(), granted.time_ms.as_ref(), |a, b| Some(*a.min(b))),
            files_by_the_way: false,
        }
    }

    /// What is in force by a decision.
    pub fn under(&self, decision: &Decision) -> Powers {
        Powers { capabilities: self.within(&decision.granted), by_site: decision.by_site }
    }

    /// Refuses to grant what was not asked for.
    ///
    /// # Errors
    /// `not_asked_for`, naming the capability.
    pub fn check_grant(&self, granted: &Self) -> Result<()> {
        let kept = self.within(granted);
        let (wanted, kept) = (fields(granted), fields(&kept));
        let too_much = CODES
            .iter()
            .zip(wanted.iter().zip(&kept))
            .find(|(_, (wanted, kept))| !wanted.is_null() && !same(wanted, kept));
        let Some((code, _)) = too_much else { return Ok(()) };
        let sentence = format!(
            "The plugin does not ask for as much of the capability {code} as you grant. Grant what it asks for, or less; the plugin's page and `resoftai plugin info` show it."
        );
        Err(Error::invalid("not_asked_for", sentence).field(format!("granted.{code}")))
    }

    /// Each capability in words, by [`CODES`]: what somebody who grants it should know.
    pub fn words(&self) -> Vec<(&'static str, Vec<String>)> {
        let mut words = Vec::new();
        if let Some(http) = &self.http {
            let (hosts, methods) = (http.hosts.join(", "), http.methods.join(", "));
            words.push((
                "http",
                vec![format!("Send requests to {hosts} ({methods}, up to {} each way)", bytes(http.max_bytes))],
            ));
        }
        words.push(("kv", vec![format!("Keep up to {} of data of its own", bytes(self.kv.unwrap_or(KV_SHARE)))]));
        if let Some(FileAccess { read, write }) = &self.files {
            let line = |verb: &str, globs: &[String]| {
                (!globs.is_empty())
                    .then(|| format!("{verb} files of the project it is called about: {}", globs.join(", ")))
            };
            words.push(("files", line("Read", read).into_iter().chain(line("Change", write)).collect()));
        }
        if let Some(ModelUse { models, tokens_per_day }) = &self.llm {
            let which =
                if models.iter().any(|model| model == "*") { "any model".to_owned() } else { models.join(", ") };
            let sentence =
                format!("Ask {which}, up to {tokens_per_day} tokens a day, which count in the organisation's quota");
            words.push(("llm", vec![sentence]));
        }
        if let Some(mib) = self.memory_mib {
            words.push(("memory_mib", vec![format!("Use up to {mib} MiB of memory")]));
        }
        if let Some(ms) = self.time_ms {
            words.push(("time_ms", vec![format!("Compute for up to {ms} ms in one call")]));
        }
        words
    }

    /// As shown, with what of it is in force.
    pub fn view(&self, in_force: &Self) -> Vec<CapabilityView> {
        let (asked, granted) = (fields(self), fields(in_force));
        let at = |code: &str| CODES.iter().position(|known| *known == code).unwrap_or_default();
        let line = |(code, words): (&'static str, Vec<String>)| {
            let asked = if code == "kv" { Value::from(self.kv.unwrap_or(KV_SHARE)) } else { asked[at(code)].clone() };
            CapabilityView { code, words, asked, granted: granted[at(code)].clone() }
        };
        self.words().into_iter().map(line).collect()
    }

    /// Without the capabilities named.
    ///
    /// # Errors
    /// `unknown_capability`.
    pub fn without(mut self, codes: &[String]) -> Result<Self> {
        for code in codes {
            match code.as_str() {
                "http" => self.http = None,
                "kv" => self.kv = Some(0),
                "files" => self.files = None,
                "llm" => self.llm = None,
                "memory_mib" => self.memory_mib = None,
                "time_ms" => self.time_ms = None,
                other => return Err(read::unknown(other, "capabilities").field("capabilities")),
            }
        }
        Ok(self)
    }
}

impl Decision {
    /// What is asked for now and was not when the decision was made: capabilities, in words.
    pub fn asks(&self, asked: &Capabilities) -> Vec<String> {
        let seen = fields(&asked.within(&self.asked));
        let now = fields(asked);
        let more = CODES
            .iter()
            .enumerate()
            .filter(|(at, code)| **code != "kv" && !now[*at].is_null() && !same(&now[*at], &seen[*at]));
        let more: Vec<&str> = more.map(|(_, code)| *code).collect();
        asked.words().into_iter().filter(|(code, _)| more.contains(code)).flat_map(|(_, words)| words).collect()
    }
}

/// By [`CODES`].
fn fields(capabilities: &Capabilities) -> [Value; 6] {
    let mut all = serde_json::to_value(capabilities).unwrap_or_default();
    CODES.map(|code| all.get_mut(code).map(Value::take).unwrap_or_default())
}

/// Whether two are the same, whatever the order of their lists.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().all(|one| b.contains(one)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => a == b,
    }
}

fn both<T, R>(asked: Option<&T>, granted: Option<&T>, common: impl FnOnce(&T, &T) -> Option<R>) -> Option<R> {
    common(asked?, granted?)
}

/// What both lists allow, `covers(wide, narrow)` saying what one pattern allows of another.
fn common(a: &[String], b: &[String], covers: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let inside = |narrow: &&String, wide: &[String]| wide.iter().any(|wide| covers(wide, narrow));
    let found = b.iter().filter(|one| inside(one, a)).chain(a.iter().filter(|one| inside(one, b)));
    for one in found {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
    all
}

/// Whether what a host pattern lets through includes everything that another one does.
pub fn covers_host(wide: &str, narrow: &str) -> bool {
    let split = |pattern: &str| {
        let (host, port) = pattern
            .rsplit_once(':')
            .filter(|(host, _)| !host.contains(':') || host.ends_with(']'))
            .map_or((pattern, None), |(host, port)| (host, Some(port)));
        (host.to_owned(), port.map(str::to_owned))
    };
    let ((wide, wide_port), (narrow, narrow_port)) = (split(wide), split(narrow));
    let port = match (&wide_port, &narrow_port) {
        (None, Some(port)) => ["80", "443"].contains(&port.as_str()),
        (wide, narrow) => wide == narrow,
    };
    let host = match wide.strip_prefix("*.") {
        Some(domain) => narrow.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
        None => wide == narrow,
    };
    port && host
}

/// The same for patterns of paths, as far as it is sure.
fn covers_path(wide: &str, narrow: &str) -> bool {
    wide == "**"
        || wide == narrow
        || wide.strip_suffix("**").is_some_and(|folder| is_folder(folder) && narrow.starts_with(folder))
}

/// Whether a pattern's beginning is the path of one folder.
fn is_folder(start: &str) -> bool {
    start.ends_with('/') && !start.contains(['*', '?'])
}

fn bytes(count: u64) -> String {
    if count >= MIB && count.is_multiple_of(MIB) {
        return format!("{} MiB", count / MIB);
    }
    if count >= 1024 && count.is_multiple_of(1024) {
        return format!("{} KiB", count / 1024);
    }
    format!("{count} bytes")
}

#[cfg(test)]
mod tests;

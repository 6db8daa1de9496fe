//! `plugin.json`: what a plugin says it is.
//!
//! Invariant: a manifest in hand has a slug that is safe as a folder's name, a version, a known category, an entry point
//! this version can run, and texts of bearable length. Whether its files are there is `package`'s business.

use semver::Version;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::capabilities::{self, Capabilities};
use super::depends::Dependency;
use crate::base::error::{Error, Result};

pub const FILE: &str = "plugin.json";
const MAX_BYTES: usize = 256 << 10;
const MAX_SHORT: usize = 200;
const MAX_LONG: usize = 4_000;
const MAX_DEPENDENCIES: usize = 50;
const MAX_SLUG: usize = 64;
/// Words that follow `/api/plugins/` or `/marketplace/` and would hide a plugin of that name.
const RESERVED: [&str; 4] = ["install", "upload", "collections", "submissions"];
const CATEGORIES: [&str; 9] =
    ["agent", "llm_provider", "code_quality", "integration", "template", "generator", "workflow", "ui", "utility"];
/// A field of the contract: its name, whether it must be there, what it holds. docs/plugins/manifest.md is made of these.
pub type Field = (&'static str, bool, &'static str);
/// Anything else is kept, for the plugin, and warned about.
pub const FIELDS: [Field; 23] = [
    ("name", true, "The name people see; at most 200 bytes."),
    (
        "slug",
        true,
        "The name in commands and of the folder: 1 to 64 of a-z, 0-9 and -, beginning with a letter or digit.",
    ),
    ("version", true, "Semantic: `1.4.0`."),
    (
        "entry_point",
        true,
        "`main.py:ClassName`: the file and the class in it that is the plugin. Or the file of a component: `plugin.wasm`.",
    ),
    ("description", false, "One sentence or a few; at most 4,000 bytes."),
    ("author", false, "Who writes it; at most 200 bytes."),
    (
        "category",
        false,
        "`agent`, `llm_provider`, `code_quality`, `integration`, `template`, `generator`, `workflow`, `ui` or `utility`, which it is unless set.",
    ),
    ("tags", false, "Words to find it by: `[\"security\", \"scanning\"]`."),
    ("license", false, "An SPDX expression, such as `Apache-2.0`; the list of libraries tells it."),
    ("homepage", false, "An address."),
    ("repository", false, "An address."),
    ("documentation", false, "An address, or a file of the package."),
    ("icon", false, "A file of the package."),
    ("screenshots", false, "Files of the package."),
    ("min_platform_version", false, "Refused on an older server; null for any."),
    ("max_platform_version", false, "Refused on a newer server; null for any."),
    (
        "dependencies",
        false,
        "Slugs of plugins that must be active, with or without a range: `[\"base-tools\", \"other>=1.2, <3\", \"third@^1\"]`.",
    ),
    (
        "config_schema",
        false,
        "JSON Schema of the configuration; `get_config_schema()` does as well. Mark secrets `\"writeOnly\": true`, `\"secret\": true` or `\"format\": \"password\"`.",
    ),
    ("capabilities", false, "What it asks for beyond computing: see [capabilities](capabilities.md)."),
    (
        "permissions",
        false,
        "The earlier product's way to ask: `files.read`, `files.write`. Such a plugin works where nobody granted it files, too.",
    ),
    ("http_hosts", false, "The earlier product's way to ask for `capabilities.http`: a list of hosts."),
    ("kv", false, "The earlier product's way to ask for `capabilities.kv`: bytes."),
    ("$schema", false, "For editors."),
];

/// The fields the platform acts on. The plugin itself is handed the whole text.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    pub name: String,
    pub slug: String,
    pub version: Version,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub author: String,
    #[serde(default = "utility")]
    pub category: String,
    /// `file.py:ClassName`, or the component, as in `plugin.wasm`.
    pub entry_point: String,
    pub min_platform_version: Option<Version>,
    pub max_platform_version: Option<Version>,
    /// Slugs, optionally with a range: `other-plugin>=1.2`.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// JSON Schema of the configuration.
    pub config_schema: Option<Value>,
    /// What it asks for beyond computing.
    #[serde(skip)]
    pub capabilities: Capabilities,
}

/// Whether plugins may say that they are of it.
pub fn is_category(category: &str) -> bool {
    CATEGORIES.contains(&category)
}

fn utility() -> String {
    "utility".to_owned()
}

impl Manifest {
    /// # Errors
    /// `invalid_plugin`, naming the field.
    pub fn parse(text: &[u8]) -> Result<Self> {
        if text.len() > MAX_BYTES {
            return Err(wrong(format!("{FILE} has {} bytes; {MAX_BYTES} are allowed. Shorten it.", text.len())));
        }
        let fields: Map<String, Value> = serde_json::from_slice(text)
            .map_err(|cause| wrong(format!("{FILE} is not a JSON object: {cause}. Correct it there.")))?;
        let known = |key: &String| FIELDS.iter().any(|(name, ..)| name == key);
        let unknown: Vec<&String> = fields.keys().filter(|key| !known(key)).collect();
        if !unknown.is_empty() {
            tracing::warn!(?unknown, slug = ?fields.get("slug"), "a plugin.json has fields that mean nothing here");
        }
        let capabilities = capabilities::read(&fields)?;
        let mut manifest: Self = serde_path_to_error::deserialize(Value::Object(fields)).map_err(|cause| {
            let (path, why) = (cause.path().to_string(), cause.inner());
            let at = if path == "." { String::new() } else { format!(", field {path}") };
            wrong(format!("{FILE}{at}: {why}. Correct it; docs/plugins/manifest.md names every field.")).field(path)
        })?;
        manifest.capabilities = capabilities;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        let fault = |field: &str, rule: String| Err(wrong(format!("{FILE}, field {field}: {rule}")).field(field));
        if !is_slug(&self.slug) {
            let others = RESERVED.join(", ");
            let rule = format!("1 to 64 of a-z, 0-9 and -, beginning with a letter or digit, and none of {others}");
            return fault("slug", format!("{:?} is no slug: {rule}. It is also the folder's name.", self.slug));
        }
        for (field, text, most) in [
            ("name", &self.name, MAX_SHORT),
            ("description", &self.description, MAX_LONG),
            ("author", &self.author, MAX_SHORT),
            ("entry_point", &self.entry_point, MAX_SHORT),
        ] {
            if text.len() > most || text.chars().any(|c| c.is_control() && c != '\n') {
                return fault(field, format!("at most {most} bytes without control characters are allowed."));
            }
        }
        if self.name.trim().is_empty() {
            return fault("name", "it is empty. Give the plugin a name.".to_owned());
        }
        if !is_category(&self.category) {
            return fault("category", format!("{:?} is none of {}.", self.category, CATEGORIES.join(", ")));
        }
        if self.entry_file().is_none() {
            let rule =
                "write file.py:ClassName, as in main.py:SecurityScanner, or name a component, as in plugin.wasm.";
            return fault("entry_point", format!("{:?} cannot be run: {rule}", self.entry_point));
        }
        if self.dependencies.len() > MAX_DEPENDENCIES {
            return fault("dependencies", format!("at most {MAX_DEPENDENCIES} are allowed."));
        }
        self.needs()?;
        self.fits(env!("CARGO_PKG_VERSION"))
    }

    /// The file the entry point names.
    pub fn entry_file(&self) -> Option<&str> {
        if self.is_component() {
            return Some(&self.entry_point);
        }
        let (file, class) = self.entry_point.split_once(':')?;
        let named = !class.is_empty() && class.chars().all(|c| c.is_alphanumeric() || c == '_');
        (named && file.strip_suffix(".py").is_some_and(|stem| !stem.is_empty())).then_some(file)
    }

    /// Whether it is a component, in whatever language, rather than Python source.
    pub fn is_component(&self) -> bool {
        self.entry_point.strip_suffix(".wasm").is_some_and(|stem| !stem.is_empty())
    }

    fn fits(&self, platform: &str) -> Result<()> {
        let Ok(here) = Version::parse(platform) else { return Ok(()) };
        let (low, high) = (self.min_platform_version.as_ref(), self.max_platform_version.as_ref());
        if low.is_some_and(|low| here < *low) || high.is_some_and(|high| here > *high) {
            let bound = |end: Option<&Version>| end.map_or_else(|| "any".to_owned(), ToString::to_string);
            return Err(wrong(format!(
                "{} {} is for platform versions {} to {}; this is {here}. Install a version of the plugin that fits.",
                self.slug,
                self.version,
                bound(low),
                bound(high)
            ))
            .field("min_platform_version"));
        }
        Ok(())
    }

    /// What it needs of other plugins.
    ///
    /// # Errors
    /// `invalid_plugin`, naming the one that cannot be read.
    pub fn needs(&self) -> Result<Vec<Dependency>> {
        self.dependencies.iter().map(|text| Dependency::parse(text)).collect()
    }
}

/// Whether this may name a plugin and its folder.
pub fn is_slug(text: &str) -> bool {
    (1..=MAX_SLUG).contains(&text.len())
        && !text.starts_with('-')
        && !RESERVED.contains(&text)
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// A fault of the plugin's files.
pub fn wrong(sentence: impl Into<String>) -> Error {
    Error::invalid("invalid_plugin", sentence)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn manifest(change: &[(&str, Value)]) -> Result<Manifest> {
        let mut fields = serde_json::json!({"name": "A", "slug": "a", "version": "1.0.0", "category": "utility",
            "entry_point": "main.py:A"});
        for (key, value) in change {
            fields[key] = value.clone();
        }
        Manifest::parse(fields.to_string().as_bytes())
    }

    #[test]
    fn faults_name_the_field() {
        manifest(&[("something_new", Value::Bool(true))]).unwrap();
        for (field, value) in [
            ("slug", Value::from("../a")),
            ("slug", Value::from("A b")),
            ("slug", Value::from("install")),
            ("name", Value::from(" ")),
            ("version", Value::from("one")),
            ("version", Value::Null),
            ("category", Value::from("fun")),
            ("dependencies", serde_json::json!(["base>=x"])),
            ("entry_point", Value::from(".wasm")),
            ("entry_point", Value::from("main.py")),
            ("min_platform_version", Value::from("99.0.0")),
            ("description", Value::from("x".repeat(MAX_LONG + 1))),
        ] {
            let error = manifest(&[(field, value.clone())]).expect_err(field);
            assert_eq!((error.code(), error.field_name()), ("invalid_plugin", Some(field)), "{value}: {error}");
        }
        assert!(Manifest::parse(b"{\"name\": ").unwrap_err().message().contains("line 1"));
    }

    const MARK: &str =
        "<!-- From here on the page is written by the program: UPDATE_DOCS=1 cargo test --lib manifest -->\n";

    /// The page of every field holds what this version knows; `UPDATE_DOCS=1` puts it there.
    #[test]
    fn the_reference_of_fields_is_up_to_date() {
        let rows = FIELDS
            .iter()
            .map(|(name, needed, text)| format!("| `{name}` | {} | {text} |\n", if *needed { "needed" } else { "" }));
        let table = format!("\n| field | | |\n|---|---|---|\n{}", rows.collect::<String>());
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/plugins/manifest.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (head, written) = page.split_once(MARK).expect("the page has the mark");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, format!("{head}{MARK}{table}")).unwrap();
        } else {
            assert_eq!(written, table, "run UPDATE_DOCS=1 cargo test --lib manifest");
        }
    }
}

//! `plugin.json`: what a plugin says it is.
//!
//! Invariant: a manifest in hand has a slug that is safe as a folder's name, a version, a known category, an entry point
//! this version can run, and texts of bearable length. Whether its files are there is `package`'s business.

use semver::Version;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::base::error::{Error, Result};

pub const FILE: &str = "plugin.json";
const MAX_BYTES: usize = 256 << 10;
const MAX_SHORT: usize = 200;
const MAX_LONG: usize = 4_000;
const MAX_DEPENDENCIES: usize = 50;
const MAX_SLUG: usize = 64;
/// Words that follow `/api/plugins/` and would hide a plugin of that name.
const RESERVED: [&str; 2] = ["install", "upload"];
const CATEGORIES: [&str; 9] =
    ["agent", "llm_provider", "code_quality", "integration", "template", "generator", "workflow", "ui", "utility"];
/// What the contract names; anything else is kept, for the plugin, and warned about.
const KNOWN: [&str; 21] = [
    "name",
    "slug",
    "version",
    "description",
    "author",
    "category",
    "tags",
    "min_platform_version",
    "max_platform_version",
    "dependencies",
    "entry_point",
    "license",
    "homepage",
    "repository",
    "documentation",
    "config_schema",
    "permissions",
    "capabilities",
    "icon",
    "screenshots",
    "$schema",
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
    pub category: String,
    /// `file.py:ClassName`.
    pub entry_point: String,
    pub min_platform_version: Option<Version>,
    pub max_platform_version: Option<Version>,
    /// Slugs, optionally with a range: `other-plugin>=1.2`.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// JSON Schema of the configuration.
    pub config_schema: Option<Value>,
    #[serde(default)]
    pub capabilities: Capabilities,
}

/// What the plugin asks for beyond computing.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Capabilities {
    /// Bytes of keys and values it wants to keep.
    pub kv: Option<u64>,
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
        let unknown: Vec<&String> = fields.keys().filter(|key| !KNOWN.contains(&key.as_str())).collect();
        if !unknown.is_empty() {
            tracing::warn!(?unknown, slug = ?fields.get("slug"), "a plugin.json has fields that mean nothing here");
        }
        let manifest: Self = serde_path_to_error::deserialize(Value::Object(fields)).map_err(|cause| {
            let (path, why) = (cause.path().to_string(), cause.inner());
            let at = if path == "." { String::new() } else { format!(", field {path}") };
            wrong(format!("{FILE}{at}: {why}. Correct it; docs/plugins.md names every field.")).field(path)
        })?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        let fault = |field: &str, rule: String| Err(wrong(format!("{FILE}, field {field}: {rule}")).field(field));
        if !is_slug(&self.slug) {
            let rule = "1 to 64 of a-z, 0-9 and -, beginning with a letter or digit, but not install or upload";
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
        if !CATEGORIES.contains(&self.category.as_str()) {
            return fault("category", format!("{:?} is none of {}.", self.category, CATEGORIES.join(", ")));
        }
        if self.entry_file().is_none() {
            let rule = "write file.py:ClassName, as in main.py:SecurityScanner. This version runs Python plugins.";
            return fault("entry_point", format!("{:?} cannot be run: {rule}", self.entry_point));
        }
        if self.dependencies.len() > MAX_DEPENDENCIES {
            return fault("dependencies", format!("at most {MAX_DEPENDENCIES} are allowed."));
        }
        self.fits(env!("CARGO_PKG_VERSION"))
    }

    /// The file the entry point names.
    pub fn entry_file(&self) -> Option<&str> {
        let (file, class) = self.entry_point.split_once(':')?;
        let named = !class.is_empty() && class.chars().all(|c| c.is_alphanumeric() || c == '_');
        (named && file.strip_suffix(".py").is_some_and(|stem| !stem.is_empty())).then_some(file)
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

    /// The first dependency that `version_of` does not know in a fitting version, as a sentence.
    pub fn missing(&self, version_of: impl Fn(&str) -> Option<Version>) -> Option<String> {
        self.dependencies.iter().find_map(|wanted| {
            let end = wanted.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(wanted.len());
            let (slug, range) = wanted.split_at(end);
            let range = range.trim_start_matches('@').trim();
            let fits = |version: Version| {
                range.is_empty() || semver::VersionReq::parse(range).is_ok_and(|range| range.matches(&version))
            };
            (!version_of(slug).is_some_and(fits)).then(|| {
                format!("{} needs the plugin {wanted}, which is not active here. Install it first.", self.slug)
            })
        })
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
            ("entry_point", Value::from("plugin.wasm")),
            ("entry_point", Value::from("main.py")),
            ("min_platform_version", Value::from("99.0.0")),
            ("description", Value::from("x".repeat(MAX_LONG + 1))),
        ] {
            let error = manifest(&[(field, value.clone())]).expect_err(field);
            assert_eq!((error.code(), error.field_name()), ("invalid_plugin", Some(field)), "{value}: {error}");
        }
        assert!(Manifest::parse(b"{\"name\": ").unwrap_err().message().contains("line 1"));
    }

    #[test]
    fn a_dependency_is_a_slug_with_or_without_a_range() {
        let here = |slug: &str| (slug == "base-tools").then(|| Version::new(1, 4, 0));
        for (wanted, met) in [
            ("base-tools", true),
            ("base-tools>=1.2", true),
            ("base-tools@^1", true),
            ("base-tools>=2", false),
            ("other", false),
        ] {
            let missing = manifest(&[("dependencies", serde_json::json!([wanted]))]).unwrap().missing(here);
            assert_eq!(missing.is_none(), met, "{wanted}: {missing:?}");
        }
    }
}

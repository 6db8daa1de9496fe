//! The rules: data, with a version, in the program or brought in.
//!
//! Invariant: rules in hand are bounded in number and their patterns compiled; a file with one that cannot be used is
//! refused as a whole, naming it.

use std::sync::{Arc, LazyLock};

use regex::bytes::{Regex, RegexBuilder};
use semver::Version;
use serde::Deserialize;

use crate::base::error::{Error, Result};
use crate::base::severity::Severity;

/// The most that a file of rules may hold, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
const MAX_RULES: usize = 1_000;
/// Of one compiled pattern, in bytes.
const MAX_PATTERN: usize = 1 << 20;

/// Compiled from text: over bytes, without tables of Unicode.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(Regex);

impl Pattern {
    pub fn matches(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }

    /// Where it matches in `text`.
    pub fn all(&self, text: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.0.find_iter(text).map(|found| found.range())
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let built = RegexBuilder::new(&text).unicode(false).size_limit(MAX_PATTERN).build();
        built.map(Self).map_err(|cause| format!("the pattern {text:?} cannot be used: {cause}"))
    }
}

/// An argument by its name, with what it is when the call is a finding.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyword {
    pub name: String,
    pub value: bool,
}

/// A call in Python, by what is called in full, whatever it was imported as.
#[derive(Debug, Clone, Deserialize)]
pub struct PythonCall {
    pub callees: Vec<String>,
    /// Only where the first argument is not a text or number written there.
    #[serde(default)]
    pub not_literal: bool,
    /// Only where one of these is called within the arguments, or made a variable in them.
    #[serde(default)]
    pub with_call: Vec<String>,
    #[serde(default)]
    pub keyword: Option<Keyword>,
    /// Not where one of these is an argument.
    #[serde(default)]
    pub unless: Vec<String>,
}

/// A pattern in any file, searched for around where one of the keywords is.
#[derive(Debug, Clone, Deserialize)]
pub struct Secret {
    pub keywords: Vec<String>,
    pub pattern: Pattern,
    #[serde(default)]
    pub except: Option<Pattern>,
    /// Bits a byte that what was found has at least: placeholders have few.
    #[serde(default = "usual_entropy")]
    pub entropy: f64,
}

fn usual_entropy() -> f64 {
    3.0
}

/// What a rule looks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Look {
    PythonCall(PythonCall),
    PythonImport {
        modules: Vec<String>,
    },
    /// A text given to a variable, key or argument of such a name.
    PythonSecret {
        names: Pattern,
        except: Pattern,
    },
    /// A source encoding (PEP 263) that is none of these.
    PythonEncoding {
        usual: Vec<String>,
    },
    Secret(Secret),
    FileName {
        pattern: Pattern,
    },
    /// An import of a component that begins with one of `names`, where there are any, and with none of `except`.
    WasmImport {
        #[serde(default)]
        names: Vec<String>,
        #[serde(default)]
        except: Vec<String>,
    },
    /// A function of the platform that a component imports without asking for its capability.
    WasmUndeclared {
        functions: Vec<String>,
        capability: String,
    },
    /// A text in a capability, such as `http.hosts`.
    Capability {
        at: String,
        pattern: Pattern,
    },
    LicenceDenied,
    LicenceUnknown,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Rule {
    pub id: String,
    pub severity: Severity,
    /// For people; `{}` is what was found.
    pub text: String,
    #[serde(flatten)]
    pub look: Look,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: Version,
    #[serde(rename = "rule")]
    rules: Vec<Rule>,
}

/// A set of rules.
#[derive(Debug)]
pub struct Rules {
    pub version: Version,
    pub all: Vec<Rule>,
}

impl Rules {
    /// Those in the program.
    pub fn built_in() -> Arc<Self> {
        static RULES: LazyLock<Arc<Rules>> = LazyLock::new(|| {
            let nothing = |error: Error| {
                tracing::error!("the rules in the program cannot be read: {error}");
                Rules { version: Version::new(0, 0, 0), all: Vec::new() }
            };
            Arc::new(Rules::parse(include_bytes!("rules.toml")).unwrap_or_else(nothing))
        });
        RULES.clone()
    }

    /// # Errors
    /// `scan_rules`, with what is wrong.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let refused = |why: String| {
            let sentence =
                format!("The rules for scanning plugins cannot be used: {why}. The ones before stay in force.");
            Error::invalid("scan_rules", sentence)
        };
        if text.len() > MAX_BYTES {
            return Err(refused(format!("they have {} bytes, and {MAX_BYTES} are allowed", text.len())));
        }
        let text = std::str::from_utf8(text).map_err(|cause| refused(cause.to_string()))?;
        let written: Written = toml::from_str(text).map_err(|cause| refused(cause.to_string().trim().to_owned()))?;
        if written.rules.len() > MAX_RULES {
            return Err(refused(format!("there are more than {MAX_RULES}")));
        }
        let empty = |rule: &Rule| match &rule.look {
            Look::Secret(secret) => secret.keywords.is_empty() || secret.keywords.iter().any(|word| word.len() < 3),
            _ => rule.id.is_empty(),
        };
        if let Some(rule) = written.rules.iter().find(|rule| empty(rule)) {
            let why = format!("{:?} lacks a name, or a keyword of at least 3 bytes to search for", rule.id);
            return Err(refused(why));
        }
        Ok(Self { version: written.version, all: written.rules })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_can_be_read_and_each_has_a_name_of_its_own() {
        let rules = Rules::parse(include_bytes!("rules.toml")).unwrap();
        let mut ids: Vec<&str> = rules.all.iter().map(|rule| rule.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), rules.all.len());
        assert!(Rules::built_in().all.len() > 30);
    }

    #[test]
    fn a_file_with_a_bad_rule_is_refused_as_a_whole() {
        let with = |rule: &str| Rules::parse(format!("version = \"1.0.0\"\n[[rule]]\n{rule}").as_bytes());
        let good = "id = 'a'\nseverity = 'low'\ntext = 'x'\nkind = 'file_name'\npattern = 'x'";
        assert_eq!(with(good).unwrap().all.len(), 1);
        for bad in [
            good.replace("'x'\nkind", "'x'\nsort"),
            good.replace("file_name", "file_names"),
            good.replace("pattern = 'x'", "pattern = '('"),
            good.replace("pattern = 'x'", "pattern = '(a{1000}){1000}'"),
            good.replace("low", "lowest"),
            good.replace("kind = 'file_name'", "kind = 'secret'\nkeywords = ['a']"),
        ] {
            assert_eq!(with(&bad).unwrap_err().code(), "scan_rules", "{bad}");
        }
        assert!(Rules::parse(&vec![b' '; MAX_BYTES + 1]).is_err() && Rules::parse(b"\xff").is_err());
    }
}

//! Which licences a site takes, of plugins and what they carry, by SPDX expressions.
//!
//! Invariant: `A OR B` is taken when either is, `A AND B` when both are. Without a setting nobody asks.

use spdx::{Expression, ParseMode};

use super::Findings;
use super::libraries::Library;
use super::rules::{Look, Rule};

/// Identifiers, such as `MIT`; one that ends with `*` means all that begin so.
#[derive(Debug, Clone, Default)]
pub struct Licences {
    /// Empty: all but those denied.
    pub allowed: Vec<String>,
    pub denied: Vec<String>,
}

enum Stand {
    Taken,
    Denied,
    Unknown,
}

impl Licences {
    pub(super) fn look(&self, libraries: &[Library], rules: &[Rule], found: &mut Findings) {
        if self.allowed.is_empty() && self.denied.is_empty() {
            return;
        }
        for library in libraries {
            let stand = library.licence.as_deref().map_or(Stand::Unknown, |licence| self.stand(licence));
            let who = format!("{} {}", library.name, library.version);
            let licence = library.licence.as_deref().unwrap_or_default();
            for rule in rules {
                match (&rule.look, &stand) {
                    (Look::LicenceDenied, Stand::Denied) => {
                        found.add(rule, None, &format!("{who} is under {licence}"));
                    }
                    (Look::LicenceUnknown, Stand::Unknown) if licence.is_empty() => {
                        found.add(rule, None, &format!("{who} does not say its licence"));
                    }
                    (Look::LicenceUnknown, Stand::Unknown) => {
                        found.add(rule, None, &format!("{who} says its licence in words only ({licence})"));
                    }
                    _ => {}
                }
            }
        }
    }

    fn stand(&self, licence: &str) -> Stand {
        let Ok(expression) = Expression::parse_mode(licence, ParseMode::LAX) else { return Stand::Unknown };
        let named = |list: &[String], licence: &str| {
            list.iter().any(|entry| match entry.strip_suffix('*') {
                Some(start) => licence.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start)),
                None => licence.eq_ignore_ascii_case(entry),
            })
        };
        let taken = expression.evaluate(|needed| {
            let name = needed.license.to_string();
            !named(&self.denied, &name) && (self.allowed.is_empty() || named(&self.allowed, &name))
        });
        if taken { Stand::Taken } else { Stand::Denied }
    }
}

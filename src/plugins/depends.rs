//! What plugins need of each other: slugs with ranges of versions (Semantic Versioning 2.0.0).
//!
//! Invariant: pure; what is installed comes by parameter. A plugin is loaded after what it needs, and a circle is named.

use std::collections::{BTreeMap, BTreeSet};

use semver::{Version, VersionReq};

use super::manifest::{is_slug, wrong};
use crate::base::error::{Error, Result};

/// One thing a plugin needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    pub slug: String,
    pub range: VersionReq,
}

impl Dependency {
    /// Reads `base`, `base>=1.2`, `base@^1`, `base ~= 1.2`, `base >=1, <3`.
    ///
    /// # Errors
    /// `invalid_plugin`, naming what is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let fault =
            |why: String| wrong(format!("plugin.json, field dependencies: {text:?} {why}")).field("dependencies");
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(text.len());
        let (slug, range) = text.split_at(end);
        if !is_slug(slug) {
            return Err(fault("does not begin with a plugin's slug. Write it as in \"base-tools>=1.2\".".to_owned()));
        }
        let range = range.trim().trim_start_matches('@').trim();
        let parts: Option<Vec<String>> = range.split(',').map(|part| comparator(part.trim())).collect();
        let range = parts.and_then(|parts| VersionReq::parse(&parts.join(",")).ok()).ok_or_else(|| {
            fault("has no range of versions behind the slug. Write >=1.2, ^1, ~1.2, =1.2.3, or >=1.2, <2.".to_owned())
        })?;
        Ok(Self { slug: slug.to_owned(), range })
    }
}

impl std::fmt::Display for Dependency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.range == VersionReq::STAR {
            write!(f, "{}", self.slug)
        } else {
            write!(f, "{} {}", self.slug, self.range)
        }
    }
}

/// One bound as Cargo writes it; Python's `==` and `~=` (PEP 440) are understood.
fn comparator(part: &str) -> Option<String> {
    if let Some(version) = part.strip_prefix("==") {
        return Some(format!("={}", version.trim()));
    }
    let Some(version) = part.strip_prefix("~=") else {
        return Some(if part.is_empty() { "*".to_owned() } else { part.to_owned() });
    };
    let version = version.trim();
    let numbers: Vec<u64> = version.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    match numbers.as_slice() {
        [major, _] => Some(format!(">={version}, <{}", major + 1)),
        [major, minor, _] => Some(format!(">={version}, <{major}.{}", minor + 1)),
        _ => None,
    }
}

/// An installed plugin as far as others depend on it.
#[derive(Debug, Clone)]
pub struct Node {
    pub version: Version,
    pub needs: Vec<Dependency>,
}

/// What is installed and active, by slug.
pub type Graph = BTreeMap<String, Node>;

/// The first thing that `slug` needs and does not find, as a sentence.
pub fn unmet(slug: &str, needs: &[Dependency], active: &Graph) -> Option<String> {
    needs.iter().find_map(|need| match active.get(&need.slug) {
        None => Some(format!("{slug} needs the plugin {need}, which is not active here. Install it first.")),
        Some(node) if need.range.matches(&node.version) => None,
        Some(node) => {
            Some(format!("{slug} needs the plugin {need}; {} is here. Install a version that fits.", node.version))
        }
    })
}

/// Slugs of those that need `slug`, directly.
pub fn dependents(slug: &str, active: &Graph) -> Vec<String> {
    let needs_it = |node: &Node| node.needs.iter().any(|need| need.slug == slug);
    active.iter().filter(|(name, node)| *name != slug && needs_it(node)).map(|(name, _)| name.clone()).collect()
}

/// The circle that `slug` is in, as in `a -> b -> a`.
pub fn circle(slug: &str, active: &Graph) -> Option<String> {
    // A path leads back to `slug` exactly when it is in a circle; each other plugin is walked once.
    let mut seen = BTreeSet::new();
    let mut paths = vec![vec![slug.to_owned()]];
    while let Some(path) = paths.pop() {
        let needs = path.last().and_then(|last| active.get(last)).map(|node| node.needs.as_slice()).unwrap_or_default();
        for need in needs {
            if need.slug == slug {
                return Some([path.join(" -> "), slug.to_owned()].join(" -> "));
            }
            if seen.insert(need.slug.clone()) {
                paths.push([path.as_slice(), std::slice::from_ref(&need.slug)].concat());
            }
        }
    }
    None
}

/// A circle as a refusal.
pub fn in_a_circle(slug: &str, circle: &str) -> Error {
    let sentence = format!("{slug} depends on itself: {circle}. Take one of these dependencies out.");
    Error::conflict("plugin_dependency", sentence).field("dependencies")
}

/// Every slug after those it needs; what is in a circle comes last.
pub fn order(active: &Graph) -> Vec<String> {
    let mut left: BTreeMap<&String, &Node> = active.iter().collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let ready = |node: &Node| node.needs.iter().all(|need| !left.contains_key(&need.slug));
        let next: Vec<&String> = left.iter().filter(|(_, node)| ready(node)).map(|(slug, _)| *slug).collect();
        if next.is_empty() {
            break;
        }
        left.retain(|slug, _| !next.contains(slug));
        order.extend(next.into_iter().cloned());
    }
    order.extend(left.into_keys().cloned());
    order
}

/// Those of `all` that cannot work as things are, with the reason: in a circle, or in need of one that cannot.
pub fn refused(all: &Graph) -> BTreeMap<String, String> {
    let (mut refused, mut active) = (BTreeMap::new(), Graph::new());
    for slug in order(all) {
        let Some(node) = all.get(&slug) else { continue };
        let circle = circle(&slug, all).map(|circle| in_a_circle(&slug, &circle).to_string());
        match circle.or_else(|| unmet(&slug, &node.needs, &active)) {
            Some(sentence) => drop(refused.insert(slug, sentence)),
            None => drop(active.insert(slug, node.clone())),
        }
    }
    refused
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn graph(nodes: &[(&str, &str, &[&str])]) -> Graph {
        let node = |(slug, version, needs): &(&str, &str, &[&str])| {
            let needs = needs.iter().map(|need| Dependency::parse(need).unwrap()).collect();
            ((*slug).to_owned(), Node { version: Version::parse(version).unwrap(), needs })
        };
        nodes.iter().map(node).collect()
    }

    #[test]
    fn ranges_are_written_in_many_ways() {
        for (text, fits, not) in [
            ("base", "0.0.1", None),
            ("base>=1.2", "1.2.0", Some("1.1.9")),
            ("base@^1", "1.9.0", Some("2.0.0")),
            ("base @ ^1.4", "1.4.0", Some("1.3.0")),
            ("base ~= 1.4", "1.9.0", Some("2.0.0")),
            ("base~=1.4.2", "1.4.9", Some("1.5.0")),
            ("base ==1.2.3", "1.2.3", Some("1.2.4")),
            ("base >=1, <3", "2.5.0", Some("3.0.0")),
        ] {
            let need = Dependency::parse(text).unwrap();
            assert_eq!(need.slug, "base", "{text}");
            assert!(need.range.matches(&Version::parse(fits).unwrap()), "{text}");
            assert!(not.is_none_or(|not| !need.range.matches(&Version::parse(not).unwrap())), "{text}");
        }
        for text in ["", ">=1", "Base", "base>=x", "base 1 2", "base~=1", "base!"] {
            assert_eq!(Dependency::parse(text).unwrap_err().field_name(), Some("dependencies"), "{text}");
        }
    }

    #[test]
    fn what_is_needed_is_loaded_first() {
        let active = graph(&[
            ("a", "1.0.0", &["c", "b>=1"]),
            ("b", "1.0.0", &["c"]),
            ("c", "1.0.0", &[]),
            ("x", "1.0.0", &["y"]),
            ("y", "1.0.0", &["x"]),
        ]);
        assert_eq!(order(&active), ["c", "b", "a", "x", "y"]);
        assert_eq!(dependents("c", &active), ["a", "b"]);
        assert_eq!(circle("a", &active), None);
        assert_eq!(circle("x", &active).unwrap(), "x -> y -> x");
        assert_eq!(circle("s", &graph(&[("s", "1.0.0", &["s"])])).unwrap(), "s -> s");
    }

    #[test]
    fn who_needs_what_cannot_work_cannot_either() {
        let all = graph(&[
            ("a", "1.0.0", &["b"]),
            ("b", "1.0.0", &["gone"]),
            ("c", "1.0.0", &["d"]),
            ("d", "1.0.0", &["c"]),
            ("e", "1.0.0", &[]),
        ]);
        let refused = refused(&all);
        assert_eq!(refused.keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert!(refused["c"].contains("c -> d -> c"), "{refused:?}");
    }

    #[test]
    fn what_is_missing_or_too_old_is_named() {
        let active = graph(&[("base", "1.0.0", &[])]);
        let need = |text: &str| unmet("me", &[Dependency::parse(text).unwrap()], &active);
        assert_eq!(need("base"), None);
        assert!(need("other>=2").unwrap().contains("needs the plugin other >=2, which is not active"));
        assert!(need("base>=2").unwrap().contains("needs the plugin base >=2; 1.0.0 is here"));
    }

    proptest::proptest! {
        /// However plugins depend on each other, each appears once, and after what it needs unless there is a circle.
        #[test]
        fn an_order_holds_everything_once(edges in proptest::collection::vec((0_u8..12, 0_u8..12), 0..40)) {
            let mut active = Graph::new();
            for number in 0..12_u8 {
                let needs = edges.iter().filter(|(from, _)| *from == number).map(|(_, to)| Dependency::parse(&format!("p{to}")).unwrap());
                active.insert(format!("p{number}"), Node { version: Version::new(1, 0, 0), needs: needs.collect() });
            }
            let order = order(&active);
            proptest::prop_assert_eq!(order.len(), 12);
            if active.keys().all(|slug| circle(slug, &active).is_none()) {
                for (at, slug) in order.iter().enumerate() {
                    proptest::prop_assert!(active[slug].needs.iter().all(|need| order[..at].contains(&need.slug)));
                }
            }
        }
    }
}

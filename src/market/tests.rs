//! The rules of the marketplace, by themselves.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use semver::{Version, VersionReq};

use super::resolve::{Offer, Step, Wanted, World, closure, ranges};
use super::{Facts, markdown, words};
use crate::plugins::Dependency;

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

/// `("name 1.0.0", "needs, with ranges; ..")`.
fn world(offers: &[(&str, &str)], installed: &[&str]) -> World {
    let mut world = World::default();
    for (name, needs) in offers {
        let (slug, of) = name.split_once(' ').unwrap();
        let needs = needs.split(';').map(str::trim).filter(|need| !need.is_empty());
        let needs = needs.map(|need| Dependency::parse(need).unwrap()).collect();
        world.offers.entry(slug.to_owned()).or_default().push(Offer { version: version(of), needs });
    }
    world.installed = installed
        .iter()
        .map(|name| name.split_once(' ').map(|(slug, of)| (slug.to_owned(), version(of))).unwrap())
        .collect::<BTreeMap<_, _>>();
    world
}

fn chosen(world: &World, wanted: &[&str]) -> Result<Vec<String>, String> {
    let wanted: Vec<Wanted> = wanted
        .iter()
        .map(|name| match name.split_once(' ') {
            Some((slug, of)) => Wanted { slug: slug.to_owned(), version: Some(version(of)) },
            None => Wanted { slug: (*name).to_owned(), version: None },
        })
        .collect();
    let shown = |Step { slug, version, before }: Step| match before {
        Some(before) => format!("{slug} {before} -> {version}"),
        None => format!("{slug} {version}"),
    };
    closure(world, &wanted).map(|steps| steps.into_iter().map(shown).collect()).map_err(|error| error.to_string())
}

#[test]
fn what_is_needed_comes_first_and_the_newest_of_it() {
    let world = world(
        &[
            ("report 2.0.0", "charts >=1, <3; base"),
            ("charts 1.0.0", "base >=1"),
            ("charts 2.5.0", "base ^1.2"),
            ("charts 3.0.0", ""),
            ("base 1.0.0", ""),
            ("base 1.4.0", ""),
            ("base 2.0.0", ""),
            ("base 2.1.0-rc.1", ""),
        ],
        &[],
    );
    assert_eq!(chosen(&world, &["report"]).unwrap(), ["base 1.4.0", "charts 2.5.0", "report 2.0.0"]);
}

#[test]
fn what_is_installed_stays_unless_it_has_to_change() {
    let offers = [
        ("report 1.0.0", "base >=1.1"),
        ("other 1.0.0", "base <2"),
        ("base 1.0.0", ""),
        ("base 1.1.0", ""),
        ("base 2.0.0", ""),
    ];
    assert_eq!(chosen(&world(&offers, &["base 1.1.0"]), &["report"]).unwrap(), ["base 1.1.0 -> 1.1.0", "report 1.0.0"]);
    assert_eq!(chosen(&world(&offers, &["base 1.0.0"]), &["report"]).unwrap(), ["base 1.0.0 -> 2.0.0", "report 1.0.0"]);
    // The other one that is at work keeps what it needs.
    let both = world(&offers, &["base 1.0.0", "other 1.0.0"]);
    assert_eq!(chosen(&both, &["report"]).unwrap(), ["base 1.0.0 -> 1.1.0", "report 1.0.0"]);
    // Older versions that would fit are no way out.
    let offers = [("app 1.0.0", "lib"), ("app 2.0.0", "lib <2"), ("lib 1.0.0", ""), ("lib 2.0.0", "")];
    assert!(chosen(&world(&offers, &["app 2.0.0", "lib 1.0.0"]), &["lib 2.0.0"]).is_err());
    let refused = chosen(&both, &["base 2.0.0"]).unwrap_err();
    assert!(refused.contains("other") && refused.contains("base <2.0.0"), "{refused}");
}

#[test]
fn a_choice_that_does_not_work_out_is_taken_back() {
    let world = world(
        &[
            ("app 1.0.0", "left; right"),
            ("left 1.0.0", "base <2"),
            ("left 2.0.0", "base >=2"),
            ("right 1.0.0", "base <2"),
            ("base 1.0.0", ""),
            ("base 2.0.0", ""),
        ],
        &[],
    );
    let steps = chosen(&world, &["app"]).unwrap();
    assert_eq!(steps, ["base 1.0.0", "left 1.0.0", "right 1.0.0", "app 1.0.0"]);
}

#[test]
fn what_cannot_be_is_told_with_its_reason() {
    let world = world(&[("app 1.0.0", "missing >=3"), ("pre 1.0.0-beta.1", ""), ("wants 1.0.0", "pre")], &[]);
    let refused = chosen(&world, &["app"]).unwrap_err();
    assert!(
        refused.contains("app") && refused.contains("missing") && refused.contains("nothing was changed"),
        "{refused}"
    );
    assert!(chosen(&world, &["nowhere"]).unwrap_err().contains("no plugin nowhere"));
    assert!(chosen(&world, &["app 9.0.0"]).unwrap_err().contains("no plugin app 9.0.0"));
    // A pre-release comes only to who asks for it.
    assert_eq!(chosen(&world, &["pre"]).unwrap(), ["pre 1.0.0-beta.1"]);
    assert!(chosen(&world, &["wants"]).is_err());
}

proptest! {
    #[test]
    fn ranges_hold_the_versions_that_a_requirement_matches(
        operators in prop::collection::vec((0..8usize, 0..4u64, prop::option::of(0..4u64), prop::option::of(0..4u64)), 1..4),
        (major, minor, patch) in (0..5u64, 0..5u64, 0..5u64),
    ) {
        let parts: Vec<String> = operators.iter().map(|(operator, major, minor, patch)| {
            let numbers = match (minor, patch) {
                (None, _) => major.to_string(),
                (Some(minor), None) => format!("{major}.{minor}"),
                (Some(minor), Some(patch)) => format!("{major}.{minor}.{patch}"),
            };
            format!("{}{numbers}", ["=", ">", ">=", "<", "<=", "~", "^", ""][*operator])
        }).collect();
        let requirement = VersionReq::parse(&parts.join(", ")).unwrap();
        let version = Version::new(major, minor, patch);
        prop_assert_eq!(ranges(&requirement).contains(&version), requirement.matches(&version), "{} {}", requirement, version);
    }

    #[test]
    fn no_text_makes_html_that_runs(text in "(<|>|\"|'|script|img|src=|onerror=|javascript:|\\[|\\]|\\(|\\)|!|a|\n| ){0,60}") {
        let html = markdown::to_html(&text);
        for bad in ["<script", "<img", "<iframe", "<style"] {
            prop_assert!(!html.contains(bad), "{} made {}", text, html);
        }
        prop_assert!(!html.contains("href=\"javascript"), "{} made {}", text, html);
    }
}

#[test]
fn markdown_is_shown_and_what_could_harm_is_not() {
    let html = markdown::to_html(
        "# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n[web](https://example.org) [bad](javascript:alert(1)) ![x](https://spy.example/x.png)\n\n<script>alert(1)</script><p onclick=\"x()\">text</p>",
    );
    assert!(html.contains("<h1>Title</h1>") && html.contains("<table>") && html.contains("<td>2</td>"), "{html}");
    assert!(html.contains("href=\"https://example.org\"") && html.contains("nofollow"), "{html}");
    for bad in ["javascript", "spy.example", "<script", "onclick"] {
        assert!(!html.contains(bad), "{bad}: {html}");
    }
}

#[test]
fn words_are_found_whatever_their_form() {
    let facts = Facts {
        name: "Ｗｏｒｄ Counter".to_owned(),
        description: "Counts words in FILES, naïvely.".to_owned(),
        tags: vec!["text".to_owned()],
        ..Facts::default()
    };
    let weights = words::weigh("word-counter", &facts, "Text of the readme, with files.");
    assert_eq!((weights["word"], weights["text"], weights["files"], weights["readme"]), (100, 60, 20, 2));
    assert!(weights.contains_key("naïvely"));
    assert_eq!(words::asked("  Word-COUNTER, word! "), ["word", "counter"]);
    assert!(words::asked("!?. -").is_empty());
}

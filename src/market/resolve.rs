//! Which versions belong together.
//!
//! Invariant: pure. What comes out has everything that each of its parts needs, keeps what is installed at work, and
//! changes nothing that need not change; where there is no such choice, the reason is told. The search is PubGrub
//! (N. Weizenbaum, 2018).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::Bound;

use pubgrub::{
    DefaultStringReporter, Dependencies, DependencyConstraints, DependencyProvider, PackageResolutionStatistics,
    PubGrubError, Ranges, Reporter,
};
use semver::{BuildMetadata, Comparator, Op, Prerelease, Version, VersionReq};

use crate::base::error::{Error, Result};
use crate::plugins::Dependency;

/// Who asks for what is wanted; no plugin has a name with a space.
const SITE: &str = "this site";
const SITE_VERSION: Version = Version::new(0, 0, 0);

/// A version that can be had, or is here.
#[derive(Debug, Clone)]
pub struct Offer {
    pub version: Version,
    pub needs: Vec<Dependency>,
}

/// What there is to choose from.
#[derive(Debug, Default)]
pub struct World {
    /// By slug; what is installed is in it too.
    pub offers: BTreeMap<String, Vec<Offer>>,
    /// The versions at work.
    pub installed: BTreeMap<String, Version>,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub slug: String,
    /// None: the newest that is no pre-release, else the newest.
    pub version: Option<Version>,
}

/// One plugin of the outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub slug: String,
    pub version: Version,
    /// The version at work before; the same where nothing changes.
    pub before: Option<Version>,
}

/// What is wanted with everything it needs, each after what it needs.
///
/// # Errors
/// `market_no_plugin`; `market_unresolved` with the reason.
pub fn closure(world: &World, wanted: &[Wanted]) -> Result<Vec<Step>> {
    let search = Search::new(world, wanted)?;
    let solution = pubgrub::resolve(&search, SITE.to_owned(), SITE_VERSION).map_err(refused)?;
    let chosen: BTreeMap<String, Version> = solution.into_iter().filter(|(slug, _)| slug != SITE).collect();
    let mut steps = Vec::new();
    let mut seen = BTreeSet::new();
    for of in wanted {
        search.visit(&of.slug, &chosen, &mut seen, &mut steps);
    }
    // What is installed and has to change with it.
    for slug in chosen.keys().filter(|slug| world.installed.get(*slug) != chosen.get(*slug)) {
        search.visit(slug, &chosen, &mut seen, &mut steps);
    }
    Ok(steps)
}

fn refused(error: PubGrubError<Search<'_>>) -> Error {
    match error {
        PubGrubError::NoSolution(mut tree) => {
            tree.collapse_no_versions();
            let why = DefaultStringReporter::report(&tree);
            let sentence = format!("These versions do not go together, and nothing was changed. {why}");
            Error::conflict("market_unresolved", sentence)
        }
        other => Error::internal(other.to_string()),
    }
}

struct Search<'a> {
    world: &'a World,
    /// What the site asks for: what is wanted, and what is installed.
    asked: DependencyConstraints<String, Ranges<Version>>,
    wanted: BTreeSet<&'a str>,
}

impl<'a> Search<'a> {
    fn new(world: &'a World, wanted: &'a [Wanted]) -> Result<Self> {
        let mut asked = DependencyConstraints::default();
        for (slug, version) in &world.installed {
            // Nothing is taken back to an older version by the way.
            asked.insert(slug.clone(), Ranges::higher_than(version.clone()));
        }
        for of in wanted {
            let offers = world.offers.get(&of.slug).map(Vec::as_slice).unwrap_or_default();
            let range = match &of.version {
                Some(version) => {
                    offers.iter().any(|offer| offer.version == *version).then(|| Ranges::singleton(version.clone()))
                }
                None => newest(offers, &Ranges::full()).map(Ranges::singleton),
            };
            let range = range.ok_or_else(|| no_plugin(&of.slug, of.version.as_ref()))?;
            asked.insert(of.slug.clone(), range);
        }
        Ok(Self { world, asked, wanted: wanted.iter().map(|of| of.slug.as_str()).collect() })
    }

    fn offer(&self, slug: &str, version: &Version) -> Option<&Offer> {
        self.world.offers.get(slug)?.iter().find(|offer| offer.version == *version)
    }

    /// Puts what a plugin needs before it. A circle was no solution that installs, and ends here all the same.
    fn visit(
        &self,
        slug: &str,
        chosen: &BTreeMap<String, Version>,
        seen: &mut BTreeSet<String>,
        steps: &mut Vec<Step>,
    ) {
        let Some(version) = chosen.get(slug).filter(|_| seen.insert(slug.to_owned())) else { return };
        for need in self.offer(slug, version).map(|offer| offer.needs.as_slice()).unwrap_or_default() {
            self.visit(&need.slug, chosen, seen, steps);
        }
        let before = self.world.installed.get(slug).cloned();
        steps.push(Step { slug: slug.to_owned(), version: version.clone(), before });
    }
}

/// # Errors
/// Always `market_no_plugin`.
pub fn no_plugin(slug: &str, version: Option<&Version>) -> Error {
    let of = version.map_or_else(String::new, |version| format!(" {version}"));
    let sentence = format!(
        "The marketplace has no plugin {slug}{of}. What it has: resoftai market search, or the page Marketplace."
    );
    Error::new(crate::base::error::Kind::NotFound, "market_no_plugin", sentence)
}

/// The newest in the range that is no pre-release, else the newest.
fn newest(offers: &[Offer], range: &Ranges<Version>) -> Option<Version> {
    let fitting = offers.iter().map(|offer| &offer.version).filter(|version| range.contains(version));
    fitting.max_by_key(|version| (version.pre.is_empty(), *version)).cloned()
}

impl DependencyProvider for Search<'_> {
    type P = String;
    type V = Version;
    type VS = Ranges<Version>;
    type M = Cow<'static, str>;
    type Err = Infallible;
    type Priority = (u32, Reverse<usize>);

    fn prioritize(&self, slug: &String, range: &Self::VS, statistics: &PackageResolutionStatistics) -> Self::Priority {
        let offers = self
            .world
            .offers
            .get(slug)
            .map_or(0, |offers| offers.iter().filter(|offer| range.contains(&offer.version)).count());
        (statistics.conflict_count(), Reverse(offers))
    }

    fn choose_version(&self, slug: &String, range: &Self::VS) -> Result<Option<Version>, Infallible> {
        if slug == SITE {
            return Ok(Some(SITE_VERSION));
        }
        let best = self.world.offers.get(slug).and_then(|offers| newest(offers, range));
        if self.wanted.contains(slug.as_str()) {
            return Ok(best);
        }
        let here = self.world.installed.get(slug).filter(|version| range.contains(version));
        // Nobody gets a pre-release that they did not ask for.
        Ok(here.cloned().or_else(|| best.filter(|version| version.pre.is_empty())))
    }

    fn get_dependencies(
        &self,
        slug: &String,
        version: &Version,
    ) -> Result<Dependencies<String, Self::VS, Self::M>, Infallible> {
        if slug == SITE {
            return Ok(Dependencies::Available(self.asked.clone()));
        }
        let needs = self.offer(slug, version).map(|offer| offer.needs.as_slice()).unwrap_or_default();
        let mut constraints: DependencyConstraints<String, Self::VS> = DependencyConstraints::default();
        for need in needs {
            let range = ranges(&need.range);
            let both = constraints.get(&need.slug).map_or_else(|| range.clone(), |before| before.intersection(&range));
            constraints.insert(need.slug.clone(), both);
        }
        Ok(Dependencies::Available(constraints))
    }
}

/// A requirement as Cargo writes it, as the range of versions that are no pre-releases.
pub fn ranges(range: &VersionReq) -> Ranges<Version> {
    range.comparators.iter().map(bounds).fold(Ranges::full(), |all, one| all.intersection(&one))
}

fn bounds(of: &Comparator) -> Ranges<Version> {
    let (major, minor, patch) = (of.major, of.minor, of.patch);
    let low = Version {
        major,
        minor: minor.unwrap_or(0),
        patch: patch.unwrap_or(0),
        pre: of.pre.clone(),
        build: BuildMetadata::EMPTY,
    };
    let next_major = Version::new(major.saturating_add(1), 0, 0);
    let next_minor = Version::new(major, low.minor.saturating_add(1), 0);
    let next_patch = Version { pre: Prerelease::EMPTY, ..Version::new(major, low.minor, low.patch.saturating_add(1)) };
    // Behind everything that the parts given stand for.
    let behind = match (minor, patch) {
        (None, _) => &next_major,
        (Some(_), None) => &next_minor,
        (Some(_), Some(_)) => &next_patch,
    };
    let between =
        |end: &Version| Ranges::from_range_bounds((Bound::Included(low.clone()), Bound::Excluded(end.clone())));
    match of.op {
        Op::Greater if patch.is_some() => Ranges::strictly_higher_than(low),
        Op::Greater => Ranges::higher_than(behind.clone()),
        Op::GreaterEq => Ranges::higher_than(low),
        Op::Less => Ranges::strictly_lower_than(low),
        Op::LessEq if patch.is_some() => Ranges::lower_than(low),
        Op::LessEq => Ranges::strictly_lower_than(behind.clone()),
        Op::Tilde if minor.is_some() => between(&next_minor),
        Op::Caret if major == 0 && minor.is_some() => match (low.minor, patch) {
            (0, Some(_)) => between(&next_patch),
            _ => between(&next_minor),
        },
        Op::Tilde | Op::Caret => between(&next_major),
        // `=1.2.3`, `=1.2`, `1.2.*`; and what later versions of semver may bring.
        _ => between(behind),
    }
}

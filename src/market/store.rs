//! All SQL of the marketplace's catalogue.
//!
//! Invariant: a plugin is browsed as its newest version that can be installed here says; the words it is found by are those
//! of that version.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use semver::Version;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::catalogue::Read;
use super::{Facts, Listed, Source, words};
use crate::base::clock::{DAY, Time};
use crate::base::error::{Error, Result};
use crate::db::{DbError, Row, Tx, Val, params};

/// Installations within this time make a plugin trend.
pub const TRENDING: i64 = 30 * DAY;
/// Plugins that a search finds, at most.
pub const MOST_FOUND: i64 = 200;
/// Versions of a plugin that are looked at, at most.
const MOST_VERSIONS: i64 = 500;

/// The mark of every package that was read, by slug and version.
pub type Known = HashMap<(String, String), String>;

/// # Errors
/// When the database fails.
pub fn known(tx: &mut Tx<'_>) -> Result<Known> {
    let sql = "SELECT slug, version, mark FROM market_packages";
    Ok(tx.query_map(sql, &params![], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?.into_iter().collect())
}

/// Writes down what was read.
///
/// # Errors
/// When the database fails.
pub fn put(tx: &mut Tx<'_>, now: Time, packages: &[Read]) -> Result<()> {
    let sql = "INSERT INTO market_packages (slug, version, source, sha256, length, fault, facts, mark, listed_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (slug, version) DO UPDATE SET \
               source = $3, sha256 = $4, length = $5, fault = $6, facts = $7, mark = $8";
    for Read { listed, fault, facts, .. } in packages {
        let facts = serde_json::to_string(facts).map_err(Error::internal)?;
        let Listed { slug, version, source, sha256, length, .. } = listed;
        let (source, mark) = (source.code(), listed.mark()?);
        tx.execute(sql, &params![slug, version, source, sha256, *length, fault.clone(), facts, mark, now])?;
    }
    let slugs: BTreeSet<&str> = packages.iter().map(|package| package.listed.slug.as_str()).collect();
    let readme = |slug: &str, version: &str| {
        let of = |package: &&Read| package.listed.slug == slug && package.listed.version == version;
        packages.iter().find(of).map(|package| package.readme.as_str())
    };
    slugs.into_iter().try_for_each(|slug| show_newest(tx, now, slug, readme))
}

/// Takes packages out of the catalogue, by slug and version.
///
/// # Errors
/// When the database fails.
pub fn forget(tx: &mut Tx<'_>, gone: &[(String, String)]) -> Result<()> {
    for (slug, version) in gone {
        let sql = "DELETE FROM market_packages WHERE slug = $1 AND version = $2";
        tx.execute(sql, &params![slug, version])?;
    }
    let slugs: BTreeSet<&String> = gone.iter().map(|(slug, _)| slug).collect();
    for slug in slugs {
        let newest =
            tx.query_row("SELECT MAX(listed_at) FROM market_packages WHERE slug = $1", &params![slug], |row| {
                row.get::<Option<Time>>(0)
            })?;
        show_newest(tx, newest.flatten().unwrap_or(Time(0)), slug, |_, _| None)?;
    }
    Ok(())
}

/// Makes a plugin's row say what its newest version says. Words of a README that is not at hand stay as they were.
fn show_newest<'a>(
    tx: &mut Tx<'_>,
    now: Time,
    slug: &str,
    readme: impl Fn(&str, &str) -> Option<&'a str>,
) -> Result<()> {
    let mut versions = packages(tx, slug)?;
    versions.sort_by_key(|package| {
        let version = Version::parse(&package.version).unwrap_or(Version::new(0, 0, 0));
        Reverse((package.fault.is_none(), version.pre.is_empty(), version))
    });
    let Some(newest) = versions.into_iter().next() else {
        tx.execute("DELETE FROM market_plugins WHERE slug = $1", &params![slug])?;
        return Ok(());
    };
    let tags = serde_json::to_string(&newest.facts.tags).map_err(Error::internal)?;
    let sql = "INSERT INTO market_plugins (slug, source, version, name, description, author, category, tags, icon, \
               listed_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) \
               ON CONFLICT (slug) DO UPDATE SET source = $2, version = $3, name = $4, description = $5, author = $6, \
               category = $7, tags = $8, icon = $9, \
               updated_at = CASE WHEN market_plugins.version = $3 THEN market_plugins.updated_at ELSE $10 END";
    let Package { version, source, facts, .. } = &newest;
    let Facts { name, description, author, category, icon, .. } = facts;
    let source = source.code();
    tx.execute(sql, &params![slug, source, version, name, description, author, category, tags, icon.clone(), now])?;
    let readme = readme(slug, version);
    // A README's words weigh 2, and nothing else does.
    let sql = if readme.is_some() {
        "DELETE FROM market_words WHERE slug = $1"
    } else {
        "DELETE FROM market_words WHERE slug = $1 AND weight > 2"
    };
    tx.execute(sql, &params![slug])?;
    let sql = "INSERT INTO market_words (word, slug, weight) VALUES ($1, $2, $3) \
               ON CONFLICT (word, slug) DO UPDATE SET weight = $3";
    for (word, weight) in words::weigh(slug, facts, readme.unwrap_or_default()) {
        tx.execute(sql, &params![word, slug, weight])?;
    }
    Ok(())
}

/// A package as the catalogue knows it.
#[derive(Debug, Clone)]
pub struct Package {
    pub version: String,
    pub source: Source,
    pub sha256: String,
    /// In bytes.
    pub length: i64,
    pub fault: Option<String>,
    pub facts: Facts,
    pub listed_at: Time,
}

/// Every version of a plugin.
///
/// # Errors
/// When the database fails.
pub fn packages(tx: &mut Tx<'_>, slug: &str) -> Result<Vec<Package>> {
    let sql = "SELECT version, source, sha256, length, fault, facts, listed_at FROM market_packages \
               WHERE slug = $1 ORDER BY listed_at DESC, version DESC LIMIT $2";
    Ok(tx.query_map(sql, &params![slug, MOST_VERSIONS], |row| {
        let (source, facts): (String, String) = (row.get(1)?, row.get(5)?);
        Ok(Package {
            version: row.get(0)?,
            source: Source::parse(&source)?,
            sha256: row.get(2)?,
            length: row.get(3)?,
            fault: row.get(4)?,
            facts: serde_json::from_str(&facts).map_err(|cause| DbError::Other(format!("market facts: {cause}")))?,
            listed_at: row.get(6)?,
        })
    })?)
}

/// In which order plugins are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MarketSort)]
pub enum Sort {
    /// What was installed most often here.
    #[default]
    Popular,
    /// What was installed most often in the last 30 days.
    Trending,
    /// What its users rate best; few ratings count as if five more had said 3.
    Rating,
    /// The newest version first.
    Newest,
    Name,
}

/// A plugin as it is browsed.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MarketPlugin)]
pub struct Listing {
    pub slug: String,
    pub name: String,
    pub description: String,
    pub author: String,
    pub category: String,
    pub tags: Vec<String>,
    /// The newest that can be installed here.
    pub version: String,
    pub source: Source,
    /// A picture of that version.
    pub icon: Option<String>,
    pub listed_at: Time,
    pub updated_at: Time,
    /// How often it was put into this site or switched on by an organisation.
    pub installs: i64,
    /// The same in the last 30 days.
    pub recent_installs: i64,
    /// The mean of all ratings, 1 to 5; null when there are none.
    pub rating: Option<f64>,
    pub ratings: i64,
    /// The version that is installed; null when none is.
    pub installed: Option<String>,
}

/// Which plugins are meant.
#[derive(Debug, Clone)]
pub struct Filter {
    pub category: Option<String>,
    pub source: Option<Source>,
    /// None: whatever their slugs are.
    pub slugs: Option<Vec<String>>,
    pub sort: Sort,
    /// The key and the slug of the last that was shown.
    pub after: Option<(i64, String)>,
    pub limit: i64,
}

const COUNTS: &str = "LEFT JOIN (SELECT slug, COUNT(*) AS n FROM plugin_installs GROUP BY slug) i ON i.slug = p.slug \
     LEFT JOIN (SELECT slug, COUNT(*) AS n FROM plugin_installs WHERE installed_at >= $1 GROUP BY slug) r ON r.slug = p.slug \
     LEFT JOIN (SELECT slug, COUNT(*) AS n, CAST(SUM(rating) AS BIGINT) AS total FROM market_reviews GROUP BY slug) m \
     ON m.slug = p.slug";
const LISTED: &str = "p.slug, p.name, p.description, p.author, p.category, p.tags, p.version, p.source, p.icon, \
     p.listed_at, p.updated_at, COALESCE(i.n, 0), COALESCE(r.n, 0), COALESCE(m.n, 0), COALESCE(m.total, 0)";

fn read(row: &Row<'_>) -> Result<Listing, DbError> {
    let (tags, source): (String, String) = (row.get(5)?, row.get(7)?);
    let (ratings, total): (i64, i64) = (row.get(13)?, row.get(14)?);
    Ok(Listing {
        slug: row.get(0)?,
        name: row.get(1)?,
        description: row.get(2)?,
        author: row.get(3)?,
        category: row.get(4)?,
        tags: serde_json::from_str(&tags).unwrap_or_default(),
        version: row.get(6)?,
        source: Source::parse(&source)?,
        icon: row.get(8)?,
        listed_at: row.get(9)?,
        updated_at: row.get(10)?,
        installs: row.get(11)?,
        recent_installs: row.get(12)?,
        rating: (ratings > 0).then(|| total as f64 / ratings as f64),
        ratings,
        installed: None,
    })
}

/// What the filter means, with the key of its order; at most one more than the limit.
///
/// # Errors
/// When the database fails.
pub fn page(tx: &mut Tx<'_>, now: Time, filter: &Filter) -> Result<Vec<(i64, Listing)>> {
    let key = match filter.sort {
        Sort::Popular => "COALESCE(i.n, 0)",
        Sort::Trending => "COALESCE(r.n, 0)",
        Sort::Rating => "(COALESCE(m.total, 0) + 15) * 1000 / (COALESCE(m.n, 0) + 5)",
        Sort::Newest => "p.updated_at",
        // A bare number would name a column.
        Sort::Name => "CAST(0 AS BIGINT)",
    };
    let mut values: Vec<Val> = params![now.plus(-TRENDING), filter.limit + 1].to_vec();
    let mut rules = rules(filter, &mut values);
    if let Some((last, slug)) = &filter.after {
        values.extend([Val::from(*last), slug.as_str().into()]);
        let (at, of) = (values.len() - 1, values.len());
        rules.push(format!("({key} < ${at} OR ({key} = ${at} AND p.slug > ${of}))"));
    }
    let sql = format!(
        "SELECT {LISTED}, CAST({key} AS BIGINT) FROM market_plugins p {COUNTS} WHERE {} \
         ORDER BY {key} DESC, p.slug LIMIT $2",
        rules.join(" AND ")
    );
    Ok(tx.query_map(&sql, &values, |row| Ok((row.get(15)?, read(row)?)))?)
}

fn rules(filter: &Filter, values: &mut Vec<Val>) -> Vec<String> {
    let mut rules = vec!["TRUE".to_owned()];
    if let Some(category) = &filter.category {
        values.push(category.as_str().into());
        rules.push(format!("p.category = ${}", values.len()));
    }
    if let Some(source) = filter.source {
        values.push(source.code().into());
        rules.push(format!("p.source = ${}", values.len()));
    }
    if let Some(slugs) = &filter.slugs {
        let places = (values.len() + 1..).map(|place| format!("${place}"));
        let places: Vec<String> = places.take(slugs.len()).collect();
        values.extend(slugs.iter().map(|slug| Val::from(slug.as_str())));
        rules.push(format!("p.slug IN ({})", places.join(", ")));
    }
    rules
}

/// What has words that begin with every one of those asked, the best first: a whole word counts twice, and words of the
/// name before those of the README. The key is the place, from 0.
///
/// # Errors
/// When the database fails.
pub fn search(tx: &mut Tx<'_>, now: Time, asked: &[String], filter: &Filter) -> Result<Vec<(i64, Listing)>> {
    let begin = filter.after.as_ref().map_or(0, |(place, _)| place + 1);
    let fetch = (filter.limit + 1).min(MOST_FOUND - begin);
    if asked.is_empty() || fetch <= 0 {
        return Ok(Vec::new());
    }
    let mut values: Vec<Val> = params![now.plus(-TRENDING), fetch, begin].to_vec();
    let mut hits = Vec::new();
    for (term, word) in asked.iter().enumerate() {
        values.extend([Val::from(word.as_str()), format!("{word}{}", char::MAX).into()]);
        let (from, to) = (values.len() - 1, values.len());
        hits.push(format!(
            "SELECT slug, {term} AS term, MAX(CASE WHEN word = ${from} THEN 2 * weight ELSE weight END) AS weight \
             FROM market_words WHERE word >= ${from} AND word < ${to} GROUP BY slug"
        ));
    }
    let rules = rules(filter, &mut values);
    let sql = format!(
        "SELECT {LISTED} FROM (SELECT slug, SUM(weight) AS weight FROM ({}) w GROUP BY slug HAVING COUNT(*) = {}) f \
         JOIN market_plugins p ON p.slug = f.slug {COUNTS} WHERE {} \
         ORDER BY f.weight DESC, COALESCE(i.n, 0) DESC, p.slug LIMIT $2 OFFSET $3",
        hits.join(" UNION ALL "),
        asked.len(),
        rules.join(" AND ")
    );
    let found = tx.query_map(&sql, &values, read)?;
    Ok(found.into_iter().enumerate().map(|(at, listing)| (begin + i64::try_from(at).unwrap_or(0), listing)).collect())
}

/// One plugin.
///
/// # Errors
/// When the database fails.
pub fn find(tx: &mut Tx<'_>, now: Time, slug: &str) -> Result<Option<Listing>> {
    let sql = format!("SELECT {LISTED} FROM market_plugins p {COUNTS} WHERE p.slug = $2");
    Ok(tx.query_row(&sql, &params![now.plus(-TRENDING), slug], read)?)
}

/// Every category with how many plugins are in it.
///
/// # Errors
/// When the database fails.
pub fn categories(tx: &mut Tx<'_>) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT category, COUNT(*) FROM market_plugins GROUP BY category ORDER BY category";
    Ok(tx.query_map(sql, &params![], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

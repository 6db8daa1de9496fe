//! What a package is, for people: its words, pictures, libraries, and whose it is.
//!
//! Invariant: everything comes out of the package itself, bounded; what it links to is text.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::resolve::no_plugin;
use super::submissions::{self, Status, Submission};
use super::{Facts, Source};
use crate::base::error::Result;
use crate::db::Tx;
use crate::mirror::{self, Owner};
use crate::plugins::{Package, SignedBy};

pub const README: &str = "README.md";
pub const CHANGELOG: &str = "CHANGELOG.md";
const SBOM: &str = "sbom.cdx.json";
const MOST_TAGS: usize = 20;
const LONGEST_TAG: usize = 50;
const MOST_SCREENSHOTS: usize = 10;
const MOST_LIBRARIES: usize = 500;
const LONGEST: usize = 2_000;

/// A library that a package carries, as its list of libraries (CycloneDX) says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MarketLibrary)]
pub struct Library {
    pub name: String,
    pub version: Option<String>,
    pub license: Option<String>,
}

/// What its plugin.json says of it and its files confirm.
pub fn facts(package: &Package) -> Facts {
    let text = package.manifest_text();
    let fields: Value = serde_json::from_str(&text).unwrap_or_default();
    let manifest = &package.manifest;
    let is_picture = |path: &String| package.content(path).is_some_and(|bytes| picture(bytes).is_some());
    Facts {
        name: manifest.name.clone(),
        description: manifest.description.clone(),
        author: manifest.author.clone(),
        category: manifest.category.clone(),
        tags: texts(&fields["tags"], MOST_TAGS).into_iter().filter(|tag| tag.len() <= LONGEST_TAG).collect(),
        dependencies: manifest.needs().unwrap_or_default().iter().map(ToString::to_string).collect(),
        icon: line(&fields["icon"]).filter(is_picture),
        screenshots: texts(&fields["screenshots"], MOST_SCREENSHOTS).into_iter().filter(is_picture).collect(),
    }
}

/// A text of the manifest that is shown as it is.
pub fn told(package: &Package, field: &str) -> Option<String> {
    let fields: Value = serde_json::from_str(&package.manifest_text()).unwrap_or_default();
    line(&fields[field])
}

fn line(value: &Value) -> Option<String> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty() && text.len() <= LONGEST).map(str::to_owned)
}

fn texts(value: &Value, most: usize) -> Vec<String> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(line).take(most).collect()
}

/// A file of the package, empty where there is none.
pub fn text(package: &Package, path: &str) -> String {
    package.content(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

/// What kind of picture the bytes are, as a media type: by themselves, whatever their name says.
pub fn picture(bytes: &[u8]) -> Option<&'static str> {
    match imagesize::image_type(bytes).ok()? {
        imagesize::ImageType::Png => Some("image/png"),
        imagesize::ImageType::Jpeg => Some("image/jpeg"),
        imagesize::ImageType::Webp => Some("image/webp"),
        _ => None,
    }
}

/// The libraries in it; none when it has no list of them.
pub fn libraries(package: &Package) -> Option<Vec<Library>> {
    let list: Value = serde_json::from_slice(package.content(SBOM)?).ok()?;
    let components = list["components"].as_array()?;
    let library = |component: &Value| {
        let license = &component["licenses"][0];
        Some(Library {
            name: line(&component["name"])?,
            version: line(&component["version"]),
            license: line(&license["expression"])
                .or_else(|| line(&license["license"]["id"]))
                .or_else(|| line(&license["license"]["name"])),
        })
    };
    Some(components.iter().filter_map(library).take(MOST_LIBRARIES).collect())
}

/// Where a package came from.
pub enum Origin {
    /// A repository of the mirror.
    Mirror(mirror::store::Kept),
    /// Somebody of this site.
    Site(Box<Submission>),
}

/// # Errors
/// `mirror_not_trusted`, `not_found` when it is gone by now.
pub fn origin(tx: &mut Tx<'_>, source: Source, slug: &str, version: &str) -> Result<Origin> {
    let owner = match source {
        Source::Vendor => Owner::Vendor,
        Source::Own => Owner::Own,
        Source::Site => {
            let submission = submissions::store::published(tx, slug, version)?;
            let absent = || no_plugin(slug, semver::Version::parse(version).ok().as_ref());
            return submission.map(|submission| Origin::Site(Box::new(submission))).ok_or_else(absent);
        }
    };
    mirror::store::find(tx, owner).map(Origin::Mirror)
}

impl Origin {
    /// Why nobody should begin with it any more.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Site(submission) if submission.status == Status::Deprecated => submission.reason.clone(),
            _ => None,
        }
    }

    /// How its bytes came to be believed, one sentence a link.
    pub fn chain(&self, sha256: &str, signers: &[SignedBy]) -> Vec<String> {
        let mut links = match self {
            Self::Mirror(repository) => mirrored(repository, sha256),
            Self::Site(submission) => handed_in(submission, sha256),
        };
        for signer in signers {
            links.push(if signer.trusted {
                format!(
                    "Its files are signed by {} with the key {}, which this site trusts.",
                    signer.name, signer.key_id
                )
            } else {
                format!(
                    "Its files carry a signature that says it is by {} (key {}). This site does not know that key.",
                    signer.name, signer.key_id
                )
            });
        }
        if signers.is_empty() {
            links.push("Nobody signed its files by themselves.".to_owned());
        }
        links
    }
}

fn mirrored(repository: &mirror::store::Kept, sha256: &str) -> Vec<String> {
    let mut links = vec![format!(
        "Somebody pinned the root of the repository {} here on {}; its SHA-256 is {}.",
        repository.owner.code(),
        repository.pinned_at,
        repository.pinned_sha256
    )];
    if let Some(state) = repository.state {
        links.push(format!(
            "From it, root {} names the keys that signed list {} of the repository, which is trusted until {}.",
            state.root_version,
            state.targets_version,
            state.expires.first().1
        ));
    }
    links.push(format!("That list names this package with the SHA-256 {sha256}, which its bytes have."));
    links
}

/// Without names: who that was is told to who may see submissions.
fn handed_in(submission: &Submission, sha256: &str) -> Vec<String> {
    let mut links = vec![format!(
        "Somebody of this site handed it in on {}, with the SHA-256 {sha256}, which its bytes have.",
        submission.submitted_at
    )];
    if let Some(at) = submission.decided_at {
        links.push(format!("Somebody else, who manages the site's plugins, last decided about it on {at}."));
    }
    links
}

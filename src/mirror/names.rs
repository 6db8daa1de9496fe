//! What a content may be called, and what its name says.
//!
//! Invariant: a name is a relative path of plain ASCII parts, so it can be a file's anywhere and leads out of no folder.
//! Which plugin a package is, its name says and not what is written beside it.

use semver::Version;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::error::{Error, Result};
use crate::plugins::is_slug;
use crate::plugins::pack::ENDING;

const LONGEST: usize = 300;

/// What a content is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MirrorKind)]
pub enum Kind {
    /// A packed plugin.
    Plugin,
    /// A model in GGUF.
    Model,
    /// Known faults of libraries, in the OSV schema.
    Advisory,
    /// The platform itself.
    Release,
    /// Something this version knows nothing about.
    Other,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Plugin, Self::Model, Self::Advisory, Self::Release, Self::Other];

    pub fn code(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Model => "model",
            Self::Advisory => "advisory",
            Self::Release => "release",
            Self::Other => "other",
        }
    }

    /// The folder that contents of this kind are in.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Plugin => "plugins",
            Self::Model => "models",
            Self::Advisory => "advisories",
            Self::Release => "releases",
            Self::Other => "other",
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// A name taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Parsed {
    pub kind: Kind,
    pub slug: Option<String>,
    pub version: Option<String>,
}

/// # Errors
/// `mirror_name`, with what is wrong.
pub fn parse(name: &str) -> Result<Parsed> {
    let refused = |why: &str| {
        let shown: String = name.chars().take(LONGEST).flat_map(char::escape_default).collect();
        Error::invalid("mirror_name", format!("The repository lists `{shown}`: {why}. Nothing of it is taken."))
    };
    if name.len() > LONGEST {
        return Err(refused("the name is too long"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    if name.split('/').any(|part| part.is_empty() || part.starts_with('.') || !part.bytes().all(plain)) {
        return Err(refused(
            "a part of the name is empty, begins with a dot or has other characters than a-z, A-Z, 0-9, . _ + -",
        ));
    }
    let (folder, rest) = name.split_once('/').ok_or_else(|| refused("it lies in no folder"))?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.folder() == folder).unwrap_or(Kind::Other);
    if kind != Kind::Plugin {
        return Ok(Parsed { kind, slug: None, version: None });
    }
    let parts = rest.split_once('/').and_then(|(slug, file)| Some((slug, file.strip_suffix(ENDING)?)));
    match parts {
        Some((slug, version)) if is_slug(slug) && Version::parse(version).is_ok() => {
            Ok(Parsed { kind, slug: Some(slug.to_owned()), version: Some(version.to_owned()) })
        }
        _ => Err(refused("a plugin's is plugins/SLUG/VERSION.rplugin")),
    }
}

/// Where a repository keeps a content, below its targets folder: TUF names files by their hash (specification 6.2).
pub fn place(name: &str, sha256: &str) -> String {
    match name.rsplit_once('/') {
        Some((folder, file)) => format!("{folder}/{sha256}.{file}"),
        None => format!("{sha256}.{name}"),
    }
}

/// The hash in a place, and the name; the opposite of [`place`].
pub fn placed(place: &str) -> Option<(&str, String)> {
    let (folder, file) = place.rsplit_once('/')?;
    let (hash, file) = file.split_once('.').filter(|(hash, _)| hash.len() == 64)?;
    Some((hash, format!("{folder}/{file}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_content_is() {
        let plugin = parse("plugins/word-counter/1.2.0-rc.1+x.rplugin").unwrap();
        assert_eq!(
            plugin,
            Parsed { kind: Kind::Plugin, slug: Some("word-counter".into()), version: Some("1.2.0-rc.1+x".into()) }
        );
        for (name, kind) in [
            ("models/qwen2.5-coder.gguf", Kind::Model),
            ("advisories/PYSEC-2024-1.json", Kind::Advisory),
            ("releases/1.0/resoftai", Kind::Release),
            ("later/what", Kind::Other),
        ] {
            assert_eq!(parse(name).unwrap().kind, kind, "{name}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            "",
            "a",
            "/a/b",
            "models/../x",
            "models//x",
            "models/.x",
            "models/a b",
            "models/a\\b",
            "models/ä",
            "plugins/a/1.0.0.zip",
            "plugins/A b/1.0.0.rplugin",
            "plugins/a/1.rplugin",
            "plugins/a/b/1.0.0.rplugin",
            "plugins/1.0.0.rplugin",
            &format!("models/{}", "x".repeat(300)),
        ] {
            assert_eq!(parse(name).unwrap_err().code(), "mirror_name", "{name}");
        }
    }

    #[test]
    fn a_place_leads_back_to_its_name() {
        let hash = "0f".repeat(32);
        let there = place("plugins/a/1.0.0.rplugin", &hash);
        assert_eq!(there, format!("plugins/a/{hash}.1.0.0.rplugin"));
        assert_eq!(placed(&there).unwrap(), (hash.as_str(), "plugins/a/1.0.0.rplugin".to_owned()));
        assert!(placed("plugins/a/x.rplugin").is_none() && placed("x").is_none());
    }
}

//! In the place of the crate `typed-path`, what `tough` asks of it: names of targets in their shortest form.
//!
//! The crate itself implements `AsRef` for `Cow<str>`, and with a second such implementation anywhere in the tree the code
//! that `utoipa`'s macros write is ambiguous (`String::from(name().as_ref())`). This has no such implementation, and no
//! other purpose: it goes when either of them changes.
//!
//! Invariant: a path is text with `/` between its parts, and normalising never leads above its root.

use std::fmt;

/// What separates the parts of a path.
pub mod constants {
    /// Of Unix.
    pub mod unix {
        pub const SEPARATOR_STR: &str = "/";
    }
}

/// A part of a path.
pub trait Component {
    fn as_bytes(&self) -> &[u8];
}

impl Component for &str {
    fn as_bytes(&self) -> &[u8] {
        str::as_bytes(self)
    }
}

/// A path to begin from.
pub struct UnixPath(String);

impl UnixPath {
    #[allow(clippy::new_ret_no_self, reason = "as the crate that this stands for")]
    pub fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// `path` from here, unless it begins at the root itself.
    pub fn join(&self, path: impl Into<UnixPathBuf>) -> UnixPathBuf {
        let path = path.into();
        if path.is_absolute() { path } else { UnixPathBuf(format!("{}/{}", self.0.trim_end_matches('/'), path.0)) }
    }
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixPathBuf(String);

impl From<&str> for UnixPathBuf {
    fn from(path: &str) -> Self {
        Self(path.to_owned())
    }
}

impl From<&Self> for UnixPathBuf {
    fn from(path: &Self) -> Self {
        path.clone()
    }
}

impl UnixPathBuf {
    pub fn is_absolute(&self) -> bool {
        self.0.starts_with('/')
    }

    /// Without `.`, `..` and empty parts.
    #[must_use]
    pub fn normalize(&self) -> Self {
        let mut parts: Vec<&str> = Vec::new();
        for part in self.0.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        Self(format!("{}{}", if self.is_absolute() { "/" } else { "" }, parts.join("/")))
    }

    #[must_use]
    pub fn to_path_buf(&self) -> Self {
        self.clone()
    }

    pub fn components(&self) -> Components<'_> {
        Components { rest: &self.0, began: false }
    }

    /// Always: a path is text here.
    pub fn to_str(&self) -> Option<&str> {
        Some(&self.0)
    }

    pub fn display(&self) -> impl fmt::Display + '_ {
        &self.0
    }
}

/// The parts of a path, the root first.
pub struct Components<'a> {
    rest: &'a str,
    began: bool,
}

impl<'a> Components<'a> {
    /// What has not been gone through yet.
    pub fn as_path(&self) -> UnixPathBuf {
        UnixPathBuf(self.rest.to_owned())
    }

    fn root(&mut self) -> Option<&'a str> {
        let rest = self.rest.strip_prefix('/')?;
        self.rest = rest;
        Some(constants::unix::SEPARATOR_STR)
    }
}

impl<'a> Iterator for Components<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        if !std::mem::replace(&mut self.began, true)
            && let Some(root) = self.root()
        {
            return Some(root);
        }
        let (part, rest) = self.rest.split_once('/').unwrap_or((self.rest, ""));
        self.rest = rest;
        (!part.is_empty()).then_some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_as_the_crate_does() {
        let shortest = |path: &str| UnixPath::new("/").join(path).normalize();
        for (path, shown) in [("a/b", "/a/b"), ("a/../b", "/b"), ("/a//./b/", "/a/b"), ("../../a", "/a"), (".", "/")] {
            assert_eq!(shortest(path).to_str(), Some(shown), "{path}");
        }
        let path = shortest("a/b");
        let mut components = path.components();
        assert_eq!(components.next(), Some("/"));
        assert_eq!(components.as_path(), UnixPathBuf::from("a/b"));
        assert_eq!(components.collect::<Vec<_>>(), ["a", "b"]);
    }
}

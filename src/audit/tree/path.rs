//! The names of a log's tiles, as C2SP tlog-tiles has them: `tile/0/x001/234.p/17`, `tile/entries/003`.
//!
//! Invariant: a name that is read is written the same again, so that a tile has one name.

use super::hash::WIDTH;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Hashes of this level.
    Hashes(u8),
    /// Entries.
    Entries,
}

/// A tile, full or partial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    pub kind: Kind,
    pub number: u64,
    /// How many hashes or entries, 1 to 256.
    pub width: usize,
}

impl Name {
    /// Of a tile in a tree of `size` leaves; none where it would be empty.
    pub fn in_tree(kind: Kind, number: u64, size: u64) -> Option<Self> {
        let level = if let Kind::Hashes(level) = kind { level } else { 0 };
        let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let width = hashes.saturating_sub(number.checked_mul(WIDTH as u64)?).min(WIDTH as u64) as usize;
        (width > 0).then_some(Self { kind, number, width })
    }

    /// Reads what follows `tile/`.
    pub fn parse(path: &str) -> Option<Self> {
        let (kind, rest) = path.split_once('/')?;
        let kind = if kind == "entries" { Kind::Entries } else { Kind::Hashes(kind.parse().ok()?) };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().ok()?),
            None => (rest, WIDTH),
        };
        let digits: String = number.split('/').map(|part| part.strip_prefix('x').unwrap_or(part)).collect();
        let name = Self { kind, number: digits.parse().ok()?, width };
        let sound = (1..=WIDTH).contains(&width) && !matches!(kind, Kind::Hashes(64..));
        (sound && name.to_string() == path).then_some(name)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::Hashes(level) => write!(f, "{level}")?,
            Kind::Entries => f.write_str("entries")?,
        }
        let mut parts = vec![self.number % 1000];
        let mut rest = self.number / 1000;
        while rest > 0 {
            parts.push(rest % 1000);
            rest /= 1000;
        }
        for (place, part) in parts.iter().enumerate().rev() {
            write!(f, "/{}{part:03}", if place == 0 { "" } else { "x" })?;
        }
        if self.width == WIDTH { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let name = |kind, number, width| Name { kind, number, width };
        for (text, wanted) in [
            ("0/x001/x234/067", name(Kind::Hashes(0), 1_234_067, 256)),
            ("2/000.p/17", name(Kind::Hashes(2), 0, 17)),
            ("entries/999", name(Kind::Entries, 999, 256)),
            ("entries/x001/000.p/1", name(Kind::Entries, 1000, 1)),
        ] {
            assert_eq!(Name::parse(text), Some(wanted), "{text}");
            assert_eq!(wanted.to_string(), text);
        }
        for wrong in ["", "0", "0/", "0/1", "0/0001", "00/001", "0/x000/001", "64/000", "0/001.p/0", "0/001.p/256"] {
            assert_eq!(Name::parse(wrong), None, "{wrong}");
        }
        for wrong in ["0/001.p/01", "0/001.p/300", "0/+01", "entries/../001", "0/x001", "0/99999999999999999999999"] {
            assert_eq!(Name::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_tree_has_the_tiles_of_the_standards_example() {
        let width = |level, number| Name::in_tree(Kind::Hashes(level), number, 70_000).map(|name| name.width);
        assert_eq!([width(0, 272), width(0, 273), width(0, 274)], [Some(256), Some(112), None]);
        assert_eq!([width(1, 0), width(1, 1), width(2, 0), width(3, 0)], [Some(256), Some(17), Some(1), None]);
        assert_eq!(Name::in_tree(Kind::Entries, 273, 70_000).unwrap().width, 112);
    }
}

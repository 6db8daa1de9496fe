//! The shortest-looking way from anywhere in a JSON answer to its end.
//!
//! Invariant: a plan is tokens the grammar accepts one after the other, ending where the answer is complete. It is found
//! greedily, so it is short but not always the shortest, and there may be none within `MAX_PLAN`.

use llguidance::Matcher;

use crate::vocabulary::Vocabulary;

/// Longest plan followed, tokens. Schemas whose emptiest answer is longer are not closed by force.
const MAX_PLAN: usize = 512;
/// Inside a string: end it, with as much of what follows as one token holds.
const IN_STRING: [&str; 9] = ["\"}]}", "\"}]", "\"]}", "\"}}", "\"}", "\"]", "\",", "\":", "\""];
/// After a backslash: any escape of one letter, or a hexadecimal digit of `\u`.
const IN_ESCAPE: [&str; 3] = ["n", "\"", "0"];
/// Between values: close, or write the shortest value there is.
const IN_STRUCTURE: [&str; 16] =
    ["}]}", "}}", "]}", "}]", "}", "]", "\"\"", "null", "0", "{}", "[]", "true", "{", "[", "\"", ","];

/// Finds plans for one vocabulary.
pub struct Closing {
    in_string: Vec<u32>,
    in_escape: Vec<u32>,
    in_structure: Vec<u32>,
    vocabulary: Vocabulary,
}

/// Where in JSON text the answer stands.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Place {
    #[default]
    Structure,
    String,
    Escape,
}

impl Place {
    /// The place after some more bytes.
    pub fn after(self, bytes: &[u8]) -> Self {
        bytes.iter().fold(self, |place, byte| match (place, byte) {
            (Self::Structure, b'"') => Self::String,
            (Self::String, b'"') => Self::Structure,
            (Self::String, b'\\') => Self::Escape,
            (Self::Escape, _) => Self::String,
            (same, _) => same,
        })
    }
}

impl Closing {
    /// Looks the closing tokens up; a vocabulary without some of them has longer plans.
    pub fn new(vocabulary: &Vocabulary) -> Self {
        let tokens = |spelled: &[&str]| spelled.iter().filter_map(|text| vocabulary.token(text.as_bytes())).collect();
        Self {
            in_string: tokens(&IN_STRING),
            in_escape: tokens(&IN_ESCAPE),
            in_structure: tokens(&IN_STRUCTURE),
            vocabulary: vocabulary.clone(),
        }
    }

    /// The tokens from `place` to the end of the answer; none when no end was found.
    pub fn plan(&self, matcher: &Matcher, mut place: Place) -> Option<Vec<u32>> {
        // A plain clone shares the parser and would move the answer itself.
        let mut ahead = matcher.deep_clone();
        let mut plan = Vec::new();
        while !ahead.is_stopped() && !ahead.is_accepting().ok()? {
            let mut step = ahead.compute_ff_tokens();
            if step.is_empty() {
                step.push(self.step(&mut ahead, place)?);
            }
            ahead.consume_tokens(&step).ok()?;
            place = step.iter().fold(place, |place, &token| place.after(self.vocabulary.bytes(token)));
            plan.append(&mut step);
            if plan.len() > MAX_PLAN {
                return None;
            }
        }
        (!ahead.is_error()).then_some(plan)
    }

    fn step(&self, ahead: &mut Matcher, place: Place) -> Option<u32> {
        let wished = match place {
            Place::String => &self.in_string,
            Place::Escape => &self.in_escape,
            Place::Structure => &self.in_structure,
        };
        let allowed = |&&token: &&u32| ahead.validate_tokens(&[token]).is_ok_and(|count| count == 1);
        match wished.iter().find(allowed) {
            Some(&token) => Some(token),
            // A pattern or an enumeration: any allowed token leads somewhere.
            None => ahead.compute_mask().ok()?.iter().find(|&token| !self.vocabulary.is_end(token)),
        }
    }
}

//! The words a plugin is found by, and how much each of them says.
//!
//! Invariant: pure, and the same for what is kept and what is asked: compatibility forms are folded (Unicode NFKC), letters
//! are in lower case, and everything else stands between words.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;

use super::Facts;

/// Longer ones are cut, in characters.
const LONGEST: usize = 40;
/// Words of a README that are kept, at most.
const MOST_OF_README: usize = 300;
/// Words of a question that count, at most.
const MOST_ASKED: usize = 8;

/// The words of a text, in its order.
pub fn of(text: &str) -> impl Iterator<Item = String> {
    let folded: String = text.nfkc().flat_map(char::to_lowercase).collect();
    let words: Vec<String> = folded
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(LONGEST).collect())
        .collect();
    words.into_iter()
}

/// The words of a question, each once.
pub fn asked(question: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in of(question) {
        if words.len() < MOST_ASKED && !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// Every word of a plugin with its weight: that of the most telling place it stands in.
pub fn weigh(slug: &str, facts: &Facts, readme: &str) -> BTreeMap<String, i64> {
    let mut words = BTreeMap::new();
    let tags = facts.tags.join(" ");
    let places = [
        (slug, 100),
        (facts.name.as_str(), 100),
        (tags.as_str(), 60),
        (facts.category.as_str(), 30),
        (facts.description.as_str(), 20),
        (facts.author.as_str(), 10),
    ];
    for (text, weight) in places {
        for word in of(text) {
            words.entry(word).or_insert(weight);
        }
    }
    let most = words.len() + MOST_OF_README;
    for word in of(readme) {
        if words.len() >= most {
            break;
        }
        words.entry(word).or_insert(2);
    }
    words
}

//! Keys and passwords that were left in files.
//!
//! Invariant: every file is searched to its end for the rules' keywords at once, and a pattern is only tried around a hit,
//! so a large file costs little. What is shown of a secret does not give it away.

use aho_corasick::AhoCorasick;

use super::rules::{Look, Rule, Secret};
use super::{Findings, Lines};

/// Bytes before and after a keyword in which the pattern has to match.
const BEFORE: usize = 160;
const AFTER: usize = 640;
/// Hits of one keyword in one file that are looked at.
const MOST_HITS: usize = 2_000;
/// Characters of a secret that are shown.
const SHOWN: usize = 6;

/// A rule, and what it looks for.
type Wanted<'a> = (&'a Rule, &'a Secret);
/// The place of its rule, and the word.
type Keyword<'a> = (usize, &'a str);

pub fn look(files: &[(&str, &[u8])], rules: &[Rule], found: &mut Findings) {
    let secrets: Vec<Wanted<'_>> = rules
        .iter()
        .filter_map(|rule| match &rule.look {
            Look::Secret(secret) => Some((rule, secret)),
            _ => None,
        })
        .collect();
    let keywords: Vec<Keyword<'_>> = secrets
        .iter()
        .enumerate()
        .flat_map(|(at, (_, secret))| secret.keywords.iter().map(move |word| (at, word.as_str())))
        .collect();
    let Ok(finder) = AhoCorasick::new(keywords.iter().map(|(_, word)| word)) else {
        found.gap("all files", "the keywords of the rules for secrets are too many to search for");
        return;
    };
    for (path, content) in files {
        search(path, content, &finder, (&keywords, &secrets), found);
    }
}

fn search(
    path: &str,
    content: &[u8],
    finder: &AhoCorasick,
    (keywords, secrets): (&[Keyword<'_>], &[Wanted<'_>]),
    found: &mut Findings,
) {
    let lines = Lines::new(content);
    let mut hits = vec![0_usize; keywords.len()];
    // Where the last match of each rule ended: several keywords may lead to the same.
    let mut ends = vec![0_usize; secrets.len()];
    for hit in finder.find_overlapping_iter(content) {
        let word = hit.pattern().as_usize();
        let at = keywords[word].0;
        hits[word] += 1;
        if hits[word] > MOST_HITS {
            continue;
        }
        let (rule, secret) = secrets[at];
        let start = hit.start().saturating_sub(BEFORE).max(ends[at]).min(hit.start());
        let window = &content[start..content.len().min(hit.end() + AFTER)];
        let Some(range) = secret.pattern.all(window).find(|range| start + range.end > hit.start()) else { continue };
        let text = &window[range.clone()];
        if start + range.start < ends[at] || !is_secret(secret, text) {
            continue;
        }
        ends[at] = start + range.end;
        found.add(rule, Some((path, Some(lines.at(start + range.start)))), &shown(text));
    }
    let over = hits.iter().zip(keywords).find(|(hits, _)| **hits > MOST_HITS);
    if let Some((hits, (_, word))) = over {
        found.gap(path, format!("`{word}` is in it {hits} times; the first {MOST_HITS} were looked at"));
    }
}

fn is_secret(secret: &Secret, text: &[u8]) -> bool {
    !secret.except.as_ref().is_some_and(|except| except.matches(text)) && entropy(text) >= secret.entropy
}

/// Of Shannon, in bits a byte.
fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    text.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let all = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    let share = |count: &u32| f64::from(*count) / all;
    counts.iter().filter(|count| **count > 0).map(share).map(|share| -share * share.log2()).sum()
}

fn shown(text: &[u8]) -> String {
    let start: String = String::from_utf8_lossy(&text[..text.len().min(SHOWN)]).into_owned();
    format!("{start}…, {} characters", text.len())
}

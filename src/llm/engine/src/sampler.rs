//! From logits to one token: repetition penalty, mask, temperature, nucleus.
//!
//! Invariant: the same seed and the same logits give the same tokens. Nothing is known here about grammars or text.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};

use toktrie::SimpleVob;

use crate::vocabulary::Vocabulary;

/// Tokens a repetition penalty looks back.
const PENALTY_WINDOW: usize = 128;
/// A token this many natural logarithms less likely than the best is never drawn (one in nine million).
const NEGLIGIBLE: f32 = 16.0;

/// How to choose, as the request says.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// 0 takes the most likely token; up to 2.
    pub temperature: f32,
    /// Share of probability kept, above 0 up to 1.
    pub top_p: f32,
    /// 1 is none; logits of recent tokens are divided by it.
    pub repetition_penalty: f32,
    /// None draws one.
    pub seed: Option<u64>,
}

/// The state of one answer's choices.
pub struct Sampler {
    settings: Settings,
    state: u64,
    recent: VecDeque<u32>,
}

impl Sampler {
    /// A sampler at the start of an answer.
    pub fn new(settings: Settings) -> Self {
        // A fresh RandomState is keyed by the operating system: enough to make two answers differ.
        let state = settings.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        Self { settings, state, recent: VecDeque::with_capacity(PENALTY_WINDOW) }
    }

    /// Chooses among the tokens of `allowed` (all when none). `logits` is scratch space afterwards.
    pub fn choose(&mut self, logits: &mut [f32], allowed: Option<&SimpleVob>, vocabulary: &Vocabulary) -> u32 {
        self.penalise(logits, vocabulary);
        match allowed {
            Some(allowed) => logits.iter_mut().enumerate().for_each(|(id, logit)| {
                if !allowed.is_allowed(id as u32) {
                    *logit = f32::NEG_INFINITY;
                }
            }),
            None => vocabulary.banned().iter().for_each(|&id| logits[id as usize] = f32::NEG_INFINITY),
        }
        let best = arg_max(logits);
        if self.settings.temperature <= 0.0 { best } else { self.draw(logits, logits[best as usize]) }
    }

    /// Remembers a token that became part of the answer, chosen or forced.
    pub fn accept(&mut self, token: u32) {
        if self.recent.len() == PENALTY_WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(token);
    }

    /// Punctuation is spared: code and JSON repeat it rightly, and a penalised quotation mark never closes a string.
    fn penalise(&self, logits: &mut [f32], vocabulary: &Vocabulary) {
        let mut recent: Vec<u32> = self.recent.iter().copied().filter(|&id| !vocabulary.is_punctuation(id)).collect();
        recent.sort_unstable();
        recent.dedup();
        for id in recent {
            let logit = &mut logits[id as usize];
            *logit = if *logit > 0.0 {
                *logit / self.settings.repetition_penalty
            } else {
                *logit * self.settings.repetition_penalty
            };
        }
    }

    fn draw(&mut self, logits: &[f32], best: f32) -> u32 {
        let temperature = self.settings.temperature;
        let floor = best - NEGLIGIBLE * temperature;
        let weigh =
            |(id, &logit): (usize, &f32)| (logit >= floor).then(|| (id as u32, ((logit - best) / temperature).exp()));
        let mut likely: Vec<(u32, f32)> = logits.iter().enumerate().filter_map(weigh).collect();
        likely.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let total: f32 = likely.iter().map(|(_, weight)| weight).sum();
        let mut kept = 0.0;
        let nucleus = likely.iter().position(|(_, weight)| {
            kept += weight;
            kept >= total * self.settings.top_p
        });
        likely.truncate(nucleus.map_or(likely.len(), |last| last + 1));
        let mut point = self.unit() * likely.iter().map(|(_, weight)| weight).sum::<f32>();
        for (id, weight) in &likely {
            point -= weight;
            if point <= 0.0 {
                return *id;
            }
        }
        likely.last().map_or(0, |(id, _)| *id)
    }

    /// SplitMix64 (Steele, Lea, Flood 2014), as a number from 0 to below 1.
    fn unit(&mut self) -> f32 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    }
}

fn arg_max(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] || logits[best].is_nan() {
            best = id;
        }
    }
    best as u32
}

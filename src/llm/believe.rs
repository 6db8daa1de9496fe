//! How many tokens a call used: what the server reports, when it can be true, else our own count.
//!
//! Invariant: the result never passes what was reserved, so a server that lies can neither overdraw a quota nor work
//! for nothing.

use super::watch::Reported;

/// A prompt's template, tools and system lines add this much at most, besides its bytes.
const TEMPLATE_TOKENS: u64 = 512;
/// Tokenizers hardly put more text than this into one token on average, even over blank lines.
const MOST_BYTES_PER_TOKEN: u64 = 32;
/// What we count when we must: text has three to four bytes in a token.
const USUAL_BYTES_PER_TOKEN: u64 = 3;

/// The most tokens `bytes` of request can become: every token takes at least one byte of it.
pub(super) fn prompt_bound(bytes: u64) -> u64 {
    bytes + TEMPLATE_TOKENS
}

/// The worst case a call was reserved for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub prompt: u64,
    pub completion: u64,
    /// Bytes of the request.
    pub bytes: u64,
    /// The prompt's tokens as the server's own tokenizer counted them before.
    pub counted: Option<u64>,
    /// The request holds pictures or sound, whose bytes are no measure.
    pub media: bool,
}

/// What was used, and what is odd about the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub prompt: u64,
    pub completion: u64,
    pub flaw: Option<Flaw>,
}

/// Why a report was not taken as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// There was none.
    Missing,
    /// More than the request could become or asked for.
    TooMuch,
    /// Fewer tokens than the text that was seen needs.
    TooLittle,
    /// The server used less of the prompt than it was sent.
    Truncated,
}

impl Bound {
    pub fn total(&self) -> u64 {
        self.prompt + self.completion
    }

    /// Judges a report over an answer of `bytes` of text in `frames` pieces.
    pub fn judge(&self, reported: Option<Reported>, bytes: u64, frames: u64) -> Verdict {
        let least = bytes / MOST_BYTES_PER_TOKEN;
        let (own_prompt, own_completion) = self.own(bytes, frames);
        let Some(Reported { prompt_tokens, completion_tokens }) = reported else {
            return Verdict { prompt: own_prompt, completion: own_completion, flaw: Some(Flaw::Missing) };
        };
        let mut verdict = Verdict { prompt: prompt_tokens, completion: completion_tokens, flaw: None };
        if completion_tokens > self.completion || completion_tokens < least {
            verdict.completion = own_completion;
            verdict.flaw = Some(if completion_tokens < least { Flaw::TooLittle } else { Flaw::TooMuch });
        }
        if prompt_tokens > self.prompt {
            verdict.prompt = own_prompt;
            verdict.flaw = Some(Flaw::TooMuch);
        }
        if self.is_truncated(prompt_tokens) {
            verdict.flaw = Some(Flaw::Truncated);
        }
        verdict
    }

    /// Our own count, for when the server gives none.
    pub fn own(&self, bytes: u64, frames: u64) -> (u64, u64) {
        let prompt = self.counted.unwrap_or(self.bytes.div_ceil(USUAL_BYTES_PER_TOKEN));
        let completion = bytes.div_ceil(USUAL_BYTES_PER_TOKEN).max(frames);
        (prompt.min(self.prompt), completion.min(self.completion))
    }

    fn is_truncated(&self, prompt_tokens: u64) -> bool {
        match self.counted {
            Some(counted) => prompt_tokens.saturating_add(16) < counted - counted / 10,
            None => !self.media && self.bytes > 4096 && prompt_tokens < self.bytes / MOST_BYTES_PER_TOKEN,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUND: Bound = Bound { prompt: 812, completion: 64, bytes: 300, counted: None, media: false };

    fn said(prompt_tokens: u64, completion_tokens: u64) -> Option<Reported> {
        Some(Reported { prompt_tokens, completion_tokens })
    }

    #[test]
    fn a_report_that_can_be_true_is_taken() {
        assert_eq!(BOUND.judge(said(24, 32), 150, 1), Verdict { prompt: 24, completion: 32, flaw: None });
    }

    #[test]
    fn a_report_that_cannot_be_true_is_not() {
        assert_eq!(BOUND.judge(None, 90, 20), Verdict { prompt: 100, completion: 30, flaw: Some(Flaw::Missing) });
        assert_eq!(BOUND.judge(said(24, 0), 90, 20).completion, 30);
        assert_eq!(BOUND.judge(said(24, 0), 90, 20).flaw, Some(Flaw::TooLittle));
        assert_eq!(BOUND.judge(said(24, 65), 90, 20).flaw, Some(Flaw::TooMuch));
        assert_eq!(BOUND.judge(said(u64::MAX, 1), 9, 1).prompt, 100);
        let counted = Bound { counted: Some(500), ..BOUND };
        assert_eq!(counted.judge(said(499, 1), 9, 1).flaw, None);
        assert_eq!(counted.judge(said(256, 1), 9, 1).flaw, Some(Flaw::Truncated));
        let long = Bound { bytes: 400_000, prompt: 400_512, ..BOUND };
        assert_eq!(long.judge(said(2048, 1), 9, 1).flaw, Some(Flaw::Truncated));
        assert_eq!(Bound { media: true, ..long }.judge(said(2048, 1), 9, 1).flaw, None);
    }

    proptest! {
        #[test]
        fn no_report_passes_the_reservation(prompt: u64, completion: u64, bytes in 0..1_000_000u64, frames in 0..100_000u64) {
            for reported in [None, said(prompt, completion)] {
                let verdict = BOUND.judge(reported, bytes, frames);
                prop_assert!(verdict.prompt <= BOUND.prompt && verdict.completion <= BOUND.completion);
            }
        }
    }
}

//! The shared document of a file: a Yjs text (CRDT), so that changes made at once come out the same everywhere.
//!
//! Invariant: a change is taken whole or the document is spoiled and read anew from what is kept; what a stranger sends can
//! neither end the server nor make the text larger than a file may be. Positions, conflicts and merging are the library's.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, TextDiff};
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, OffsetKind, Options, ReadTxn, StateVector, Text, TextRef, Transact, Update};

use crate::base::error::{Error, Kind, Result};
use crate::projects::files::MAX_SIZE;

/// What the text is called in the document; the pages ask for it by the same name.
const ROOT: &str = "content";
/// The most a document may weigh with all that was ever deleted from it, in bytes.
const MAX_WEIGHT: usize = 4 * MAX_SIZE;
/// An update of nothing: no structs, no deletions.
const NOTHING: &[u8] = &[0, 0];
/// The most bytes that are walked through for the changes of a text.
const MAX_WALK: usize = 256 << 20;
/// How long a comparison may look for the smallest change of lines, and then of words.
const COMPARE: Duration = Duration::from_millis(300);

/// A document in memory.
pub struct Draft {
    doc: Doc,
    root: TextRef,
    /// Bytes that may surely still be added before the text has to be measured.
    spare: usize,
    /// Bytes of everything taken so far: no less than the document weighs.
    weight: usize,
    /// A change failed half-way.
    spoiled: bool,
}

impl Draft {
    /// A document that holds `text`.
    pub fn seed(text: &str) -> Self {
        let draft = Self::empty();
        draft.root.push(&mut draft.doc.transact_mut(), text);
        Self { weight: text.len(), ..draft }
    }

    fn empty() -> Self {
        // As Yjs counts in the pages; the library's other way of counting goes wrong where letters have several bytes.
        let doc = Doc::with_options(Options { offset_kind: OffsetKind::Utf16, ..Options::default() });
        let root = doc.get_or_insert_text(ROOT);
        Self { doc, root, spare: 0, weight: 0, spoiled: false }
    }

    /// The document that `state` and then `updates` make.
    ///
    /// # Errors
    /// `internal` when what was kept cannot be read.
    pub fn load<'a>(state: &[u8], updates: impl IntoIterator<Item = &'a [u8]>) -> Result<Self> {
        let mut draft = Self::empty();
        draft.take(state)?;
        for update in updates {
            draft.take(update)?;
        }
        Ok(draft)
    }

    /// Whether it may hold half of a change, so that it has to be read anew.
    pub fn is_spoiled(&self) -> bool {
        self.spoiled
    }

    pub fn text(&self) -> String {
        self.root.get_string(&self.doc.transact())
    }

    /// All of it, as an update (Yjs, version 1).
    pub fn state(&self) -> Vec<u8> {
        self.missing(&StateVector::default())
    }

    /// What it has seen of whom.
    pub fn seen(&self) -> StateVector {
        self.doc.transact().state_vector()
    }

    /// What somebody who has seen `seen` does not have.
    pub fn missing(&self, seen: &StateVector) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(seen)
    }

    /// Takes a change that was let in before.
    ///
    /// # Errors
    /// `internal` when it cannot be read.
    pub fn take(&mut self, update: &[u8]) -> Result<()> {
        self.spare = self.spare.saturating_sub(update.len());
        self.weight = self.weight.saturating_add(update.len());
        self.apply(update).map_err(|error| Error::internal(error.message().to_owned()))
    }

    /// Takes a change from outside; false: it changes nothing. One that was asked for (`again`) names all that was ever
    /// deleted, so it takes a comparison to see whether anything is new.
    ///
    /// # Errors
    /// `invalid_change`; `file_too_large`, `history_too_large`, before anything is changed.
    pub fn offer(&mut self, update: &[u8], again: bool) -> Result<bool> {
        if update == NOTHING {
            return Ok(false);
        }
        if self.spare < update.len() {
            self.spare = MAX_SIZE.saturating_sub(self.text().len());
        }
        if self.spare < update.len() {
            let sentence = format!("With this change the file would have more than the {MAX_SIZE} bytes it may have.");
            return Err(Error::new(Kind::TooLarge, "file_too_large", sentence));
        }
        if self.weight.saturating_add(update.len()) > MAX_WEIGHT {
            self.weight = self.state().len();
        }
        if self.weight.saturating_add(update.len()) > MAX_WEIGHT {
            let sentence = "So much was changed in this file that its shared history is full. Save it; a day after the \
                            last change it can be edited together again, and through the API at any time.";
            return Err(Error::new(Kind::TooLarge, "history_too_large", sentence));
        }
        let before = again.then(|| self.doc.transact().snapshot());
        self.apply(update)?;
        // Whoever speaks the protocol sends what is missing first; what waits for it could not be kept.
        if self.doc.transact().has_missing_updates() {
            self.spoiled = true;
            return Err(unreadable("it stands on changes that did not come"));
        }
        self.spare -= update.len();
        self.weight += update.len();
        Ok(before.is_none_or(|before| before != self.doc.transact().snapshot()))
    }

    fn apply(&mut self, update: &[u8]) -> Result<()> {
        let decoded = catch_unwind(|| Update::decode_v1(update).map_err(|cause| unreadable(&cause.to_string())));
        let update = decoded.unwrap_or_else(|_| Err(unreadable("it is damaged")))?;
        let applied = catch_unwind(AssertUnwindSafe(|| {
            self.doc.transact_mut().apply_update(update).map_err(|cause| unreadable(&cause.to_string()))
        }));
        let applied = applied.unwrap_or_else(|_| Err(unreadable("it does not fit the document")));
        self.spoiled |= applied.is_err();
        applied
    }
}

fn unreadable(why: &str) -> Error {
    Error::invalid("invalid_change", format!("A change of the shared document cannot be read: {why}. Open it again."))
}

/// Makes `text`, which somebody wrote upon the document `base`, a change of it: the update, and the state with it. That may
/// take a second, so it is not done where others wait.
///
/// # Errors
/// `internal` when `base` cannot be read, or holds what is no text and no page of ours puts there.
pub fn rewrite(base: &[u8], text: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let draft = Draft::load(base, [])?;
    let seen = draft.seen();
    // Places are counted in text; the library panics where there is something else.
    let written = catch_unwind(AssertUnwindSafe(|| {
        let old = draft.text();
        let mut tx = draft.doc.transact_mut();
        // From the end, so that the places before stay where they are.
        let (mut at, mut counted) = (units(&old), old.len());
        for (gone, added) in changes(&old, text).into_iter().rev() {
            at -= units(&old[gone.start..counted]);
            counted = gone.start;
            draft.root.remove_range(&mut tx, at, units(&old[gone]));
            draft.root.insert(&mut tx, at, added);
        }
    }));
    if written.is_err() || draft.text() != text {
        return Err(Error::internal("a document that is edited together holds something else than text"));
    }
    Ok((draft.missing(&seen), draft.state()))
}

/// The changes that make `new` of `old`, in the order of their places: which bytes of `old` go, and what comes there.
fn changes<'a>(old: &str, new: &'a str) -> Vec<(Range<usize>, &'a str)> {
    let began = Instant::now();
    let lines = TextDiff::configure().algorithm(Algorithm::Myers).deadline(began + COMPARE).diff_lines(old, new);
    let (old_at, new_at) = (starts(lines.old_slices()), starts(lines.new_slices()));
    let mut found = Vec::new();
    for (from, to) in differing(lines.ops()) {
        let (from, to) = (old_at[from.start]..old_at[from.end], new_at[to.start]..new_at[to.end]);
        // Within lines that differ, whoever else types in them wants the rest left alone.
        let words = TextDiff::configure()
            .deadline(began + 2 * COMPARE)
            .diff_unicode_words(&old[from.clone()], &new[to.clone()]);
        let (old_word, new_word) = (starts(words.old_slices()), starts(words.new_slices()));
        for (gone, come) in differing(words.ops()) {
            let (at, end) = (from.start + old_word[gone.start], from.start + old_word[gone.end]);
            let added = &new[to.start + new_word[come.start]..to.start + new_word[come.end]];
            found.push((at..end, added));
        }
    }
    match found.as_slice() {
        // One change of all that lies between, where so many would take long: each walks through the text.
        [(first, _), .., (last, _)] if found.len() > MAX_WALK / old.len().max(1) => {
            let end = new.len() - (old.len() - last.end);
            vec![(first.start..last.end, &new[first.start..end])]
        }
        _ => found,
    }
}

/// Where the two sides differ. Places are counted along, for those in the operations are not always right after the
/// library has tidied them.
fn differing(ops: &[DiffOp]) -> Vec<(Range<usize>, Range<usize>)> {
    let (mut old, mut new) = (0, 0);
    let mut found = Vec::new();
    for op in ops {
        let (from, to) = (old..old + op.old_range().len(), new..new + op.new_range().len());
        (old, new) = (from.end, to.end);
        if !matches!(op, DiffOp::Equal { .. }) {
            found.push((from, to));
        }
    }
    found
}

/// Where each slice begins, and where the last one ends.
fn starts(slices: &[&str]) -> Vec<usize> {
    let mut at = 0;
    let ends = slices.iter().map(|slice| {
        at += slice.len();
        at
    });
    std::iter::once(0).chain(ends).collect()
}

/// How long a text is in UTF-16, as places in the document are counted.
fn units(text: &str) -> u32 {
    // A file is smaller than 4 GiB.
    u32::try_from(text.encode_utf16().count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edited(state: &[u8], edits: &[(usize, usize, String)]) -> Vec<Vec<u8>> {
        let draft = Draft::load(state, []).unwrap();
        edits
            .iter()
            .map(|(at, gone, come)| {
                let (text, seen) = (draft.text(), draft.seen());
                let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
                let first = at % places.len();
                let (from, to) = (places[first], places[(first + gone).min(places.len() - 1)]);
                {
                    let mut tx = draft.doc.transact_mut();
                    draft.root.remove_range(&mut tx, units(&text[..from]), units(&text[from..to]));
                    draft.root.insert(&mut tx, units(&text[..from]), come);
                }
                draft.missing(&seen)
            })
            .collect()
    }

    fn edits() -> impl Strategy<Value = Vec<(usize, usize, String)>> {
        prop::collection::vec((0..200_usize, 0..4_usize, "[a-zäß€😀\\n]{0,5}"), 0..12)
    }

    proptest! {
        #[test]
        fn two_who_edit_at_once_end_with_one_text_and_it_is_what_is_kept(
            start in "[a-zäß€😀\\n ]{0,60}", one in edits(), two in edits()
        ) {
            let state = Draft::seed(&start).state();
            let (one, two) = (edited(&state, &one), edited(&state, &two));
            let ahead = one.iter().chain(&two).map(Vec::as_slice);
            let behind = two.iter().chain(&one).map(Vec::as_slice);
            let (here, there) = (Draft::load(&state, ahead).unwrap(), Draft::load(&state, behind).unwrap());
            prop_assert_eq!(here.text(), there.text());
            let kept = Draft::load(&here.state(), []).unwrap();
            prop_assert_eq!(kept.text(), here.text());
        }

        #[test]
        fn a_text_written_upon_a_document_becomes_that_text(
            old in "([a-cäß€😀 ]{0,6}\\r?\\n){0,6}", new in "([a-cäß€😀 ]{0,6}\\r?\\n){0,6}"
        ) {
            let state = Draft::seed(&old).state();
            let (update, whole) = rewrite(&state, &new).unwrap();
            prop_assert_eq!(Draft::load(&state, [update.as_slice()]).unwrap().text(), new.clone());
            prop_assert_eq!(Draft::load(&whole, []).unwrap().text(), new);
        }

        #[test]
        fn bytes_of_a_stranger_change_nothing_or_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut draft = Draft::seed("text");
            if draft.offer(&bytes, false).is_err() {
                prop_assert_eq!(draft.text(), "text");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_damaged_change_is_refused_or_taken_and_the_document_can_still_be_read_or_says_that_it_is_spoiled(
            edits in edits(), flips in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4)
        ) {
            let state = Draft::seed("some text to begin with").state();
            for mut update in edited(&state, &edits) {
                for (at, with) in &flips {
                    let at = at % update.len();
                    update[at] ^= with;
                }
                let mut draft = Draft::load(&state, []).unwrap();
                let taken = draft.offer(&update, false);
                if taken.is_err() && !draft.is_spoiled() {
                    prop_assert_eq!(draft.text(), "some text to begin with");
                }
                if taken.is_ok() {
                    prop_assert!(Draft::load(&draft.state(), []).is_ok());
                    rewrite(&draft.state(), "another text").ok();
                }
            }
        }
    }

    #[test]
    fn an_agent_and_a_person_who_change_one_file_both_keep_what_they_wrote() {
        let base = Draft::seed("one\ntwo words here\nthree\n").state();
        let typed = edited(&base, &[(4, 0, "and ".to_owned())]);
        let (written, _) = rewrite(&base, "ONE\ntwo words there\nthree\nfour\n").unwrap();
        let both = Draft::load(&base, [typed[0].as_slice(), written.as_slice()]).unwrap();
        assert_eq!(both.text(), "ONE\nand two words there\nthree\nfour\n");
    }

    #[test]
    fn a_large_text_of_which_every_line_changed_becomes_that_text() {
        let text = |word: &str| (0..60_000).map(|line| format!("{word} number {line}\n")).collect::<String>();
        let state = Draft::seed(&text("line")).state();
        let (update, _) = rewrite(&state, &text("row €")).unwrap();
        assert_eq!(Draft::load(&state, [update.as_slice()]).unwrap().text(), text("row €"));
    }

    #[test]
    fn a_text_does_not_outgrow_a_file() {
        let mut draft = Draft::seed(&"x".repeat(MAX_SIZE - 10));
        let large = Draft::seed("more than ten bytes").state();
        assert_eq!(draft.offer(&large, true).unwrap_err().code(), "file_too_large");
        assert_eq!(draft.text().len(), MAX_SIZE - 10);
    }
}

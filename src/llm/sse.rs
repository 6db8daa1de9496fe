//! Server-sent events as bytes: where a frame ends, and what its data is (WHATWG HTML, 9.2.6).
//!
//! Invariant: what is kept leaves byte for byte as it came; a frame is held back until it is complete, and is at most
//! [`MAX_FRAME`] bytes. What a frame means belongs to `watch`.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

/// The largest frame passed on, in bytes.
pub(super) const MAX_FRAME: usize = 1024 * 1024;

/// A frame grew beyond [`MAX_FRAME`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Cuts a stream of chunks into frames.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    rest: BytesMut,
    /// The part of `rest` known to hold no end, and where its last line begins.
    scanned: Scan,
}

#[derive(Debug, Default, Clone, Copy)]
struct Scan {
    at: usize,
    line: usize,
}

impl Splitter {
    /// Takes a chunk in; gives out, joined, those frames that are complete and that `keep` wants.
    pub fn feed(&mut self, chunk: Bytes, mut keep: impl FnMut(&[u8]) -> bool) -> Result<Option<Bytes>, TooLong> {
        let mut buffer = chunk;
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(&buffer);
            buffer = self.rest.split().freeze();
        }
        let (mut start, mut spans, mut scan) = (0, Spans::default(), std::mem::take(&mut self.scanned));
        while let Some(end) = frame_end(&buffer[start..], &mut scan) {
            if keep(&buffer[start..start + end]) {
                spans.add(start, start + end);
            }
            start += end;
            scan = Scan::default();
        }
        let out = spans.cut(&buffer);
        if buffer.len() - start > MAX_FRAME {
            return Err(TooLong);
        }
        self.rest.extend_from_slice(&buffer[start..]);
        self.scanned = scan;
        Ok(out)
    }

    /// What came after the last complete frame.
    pub fn rest(&mut self) -> Bytes {
        self.scanned = Scan::default();
        self.rest.split().freeze()
    }
}

/// Ranges to keep; neighbours are joined, so that the common case copies nothing.
#[derive(Default)]
struct Spans(Vec<(usize, usize)>);

impl Spans {
    fn add(&mut self, start: usize, end: usize) {
        match self.0.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => self.0.push((start, end)),
        }
    }

    fn cut(&self, buffer: &Bytes) -> Option<Bytes> {
        match self.0.as_slice() {
            [] => None,
            [(start, end)] => Some(buffer.slice(*start..*end)),
            many => Some(many.iter().flat_map(|(start, end)| buffer[*start..*end].iter().copied()).collect()),
        }
    }
}

/// The length of the first frame with its empty line, or None and how far was looked. A carriage return at the very end
/// may be half of a line end, so it waits.
fn frame_end(buffer: &[u8], scan: &mut Scan) -> Option<usize> {
    while let Some(found) = buffer[scan.at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let end = scan.at + found;
        let next = match (buffer[end], buffer.get(end + 1)) {
            (b'\r', None) => {
                scan.at = end;
                return None;
            }
            (b'\r', Some(b'\n')) => end + 2,
            _ => end + 1,
        };
        if end == scan.line {
            return Some(next);
        }
        (scan.at, scan.line) = (next, next);
    }
    scan.at = buffer.len();
    None
}

/// The data of a frame: the `data:` lines without their field name, joined by line feeds. None without such a line.
pub(super) fn data(frame: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut lines = frame.split(|byte| matches!(byte, b'\n' | b'\r')).filter_map(|line| {
        let value = line.strip_prefix(b"data:")?;
        Some(value.strip_prefix(b" ").unwrap_or(value))
    });
    let first = lines.next()?;
    let Some(second) = lines.next() else { return Some(Cow::Borrowed(first)) };
    let mut joined = [first, b"\n", second].concat();
    for line in lines {
        joined.push(b'\n');
        joined.extend_from_slice(line);
    }
    Some(Cow::Owned(joined))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stream: &[u8], cuts: &[usize], keep: impl Fn(&[u8]) -> bool) -> (Vec<Vec<u8>>, Vec<u8>, Vec<u8>) {
        let (mut splitter, mut frames, mut out) = (Splitter::default(), Vec::new(), Vec::new());
        let mut start = 0;
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        ends.push(stream.len());
        ends.sort_unstable();
        for end in ends {
            let chunk = Bytes::copy_from_slice(&stream[start..end]);
            let kept = splitter.feed(chunk, |frame| {
                frames.push(frame.to_vec());
                keep(frame)
            });
            out.extend_from_slice(&kept.unwrap().unwrap_or_default());
            start = end;
        }
        (frames, out, splitter.rest().to_vec())
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks_leave_as_they_came(
            stream in "[a-c:\r\n ]{0,60}|(data: [a-z]{0,9}(\n\n|\r\n\r\n|\r\r)){0,6}",
            cuts in proptest::collection::vec(any::<usize>(), 0..12),
        ) {
            let stream = stream.as_bytes();
            let (frames, out, rest) = run(stream, &cuts, |_| true);
            prop_assert_eq!([out.as_slice(), &rest].concat(), stream);
            prop_assert_eq!(frames.concat(), out);
            let whole = run(stream, &[], |_| true);
            prop_assert_eq!((frames, rest), (whole.0, whole.2), "chunks do not matter");
        }

        #[test]
        fn a_frame_that_is_not_wanted_takes_no_neighbour_along(cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
            let stream = b"data: a\n\n: ping\n\ndata: drop\r\n\r\ndata: b\n\ndata: drop\n\ndata: [DONE]\n\n";
            let (_, out, rest) = run(stream, &cuts, |frame| data(frame).as_deref() != Some(b"drop".as_slice()));
            prop_assert_eq!(out, b"data: a\n\n: ping\n\ndata: b\n\ndata: [DONE]\n\n".to_vec());
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn data_lines_are_joined_and_others_are_not_data() {
        assert_eq!(data(b"event: x\ndata: a\nid: 1\ndata:b\n\n").unwrap().as_ref(), b"a\nb");
        assert_eq!(data(b"data: {\"a\":1}\r\n\r\n").unwrap().as_ref(), b"{\"a\":1}");
        assert_eq!(data(b": ping\n\n"), None);
    }

    #[test]
    fn a_frame_without_end_is_refused() {
        let mut splitter = Splitter::default();
        assert!(splitter.feed(vec![b'x'; MAX_FRAME].into(), |_| true).is_ok());
        assert_eq!(splitter.feed(b"y".as_slice().into(), |_| true), Err(TooLong));
    }
}

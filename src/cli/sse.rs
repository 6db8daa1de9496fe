//! Server-sent events as they come off the wire (WHATWG HTML, "Event stream interpretation").
//!
//! Invariant: memory is bounded by [`EVENT_LIMIT`] whatever the server sends; bytes may arrive cut anywhere.

use crate::cli::failure::{Exit, Failure, Result};

/// The most one event may hold; the largest is a run with its stages, some kilobytes.
pub const EVENT_LIMIT: usize = 8 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `message` when the server named none.
    pub name: String,
    pub data: String,
    /// The id of this very event; none on live text, which is not kept.
    pub id: Option<String>,
}

/// Takes bytes, gives events.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_return: bool,
    name: String,
    data: String,
    has_data: bool,
    id: Option<String>,
}

impl Parser {
    /// The events that are complete once `bytes` have arrived.
    ///
    /// # Errors
    /// `event_too_large` when one event passes [`EVENT_LIMIT`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        for &byte in bytes {
            // CR, LF and CR LF all end a line.
            let second_of_pair = std::mem::replace(&mut self.after_return, byte == b'\r') && byte == b'\n';
            match byte {
                b'\n' if second_of_pair => {}
                b'\r' | b'\n' => events.extend(self.end_line()),
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > EVENT_LIMIT {
                let detail = format!("The server sent an event of more than {EVENT_LIMIT} bytes.");
                return Err(Failure::new(Exit::Failed, "event_too_large", detail));
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // Comments (an empty field) keep the connection alive; `retry` is ours to decide.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let done = std::mem::take(self);
        // A line end may still be half read.
        self.after_return = done.after_return;
        if !done.has_data {
            return None;
        }
        let name = if done.name.is_empty() { "message".to_owned() } else { done.name };
        Some(Event { name, data: done.data, id: done.id })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = ": hello\n\nevent: stage\nid: 7\ndata: {\"a\":1}\n\nevent: delta\r\ndata: one\r\ndata:two\r\n\r\n\
        data\n\nid: 9\n\nevent: status\rid:10\rdata:  two spaces\r\revent: cut\ndata: off";

    fn event(name: &str, data: &str, id: Option<&str>) -> Event {
        Event { name: name.to_owned(), data: data.to_owned(), id: id.map(str::to_owned) }
    }

    fn expected() -> Vec<Event> {
        vec![
            event("stage", "{\"a\":1}", Some("7")),
            event("delta", "one\ntwo", None),
            event("message", "", None),
            event("status", " two spaces", Some("10")),
        ]
    }

    #[test]
    fn a_stream_becomes_its_events() {
        assert_eq!(Parser::default().push(STREAM.as_bytes()).unwrap(), expected());
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = Parser::default();
        assert!(parser.push(b"data: ").unwrap().is_empty());
        let piece = vec![b'x'; EVENT_LIMIT / 2];
        assert!(parser.push(&piece).is_ok());
        assert_eq!(parser.push(&piece).unwrap_err().code(), "event_too_large");
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_makes_no_difference(cuts in proptest::collection::vec(1usize..9, 1..80)) {
            let (mut parser, mut events, mut rest) = (Parser::default(), Vec::new(), STREAM.as_bytes());
            for cut in cuts.into_iter().cycle() {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                events.extend(parser.push(piece).unwrap());
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(events, expected());
        }

        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Parser::default().push(&bytes).is_ok());
        }
    }
}

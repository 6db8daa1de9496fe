//! From the bytes of tokens to text that may be shown.
//!
//! Invariant: only whole characters leave, and nothing that could still become a stop text; invalid UTF-8 becomes U+FFFD.

/// Collects an answer's bytes and releases text as soon as it is final.
pub struct Text {
    stops: Vec<String>,
    bytes: Vec<u8>,
    held: String,
}

impl Text {
    /// `stops` end the answer and are not part of it; none of them is empty.
    pub fn new(stops: Vec<String>) -> Self {
        Self { stops, bytes: Vec::new(), held: String::new() }
    }

    /// Adds bytes. Returns the text to show now and whether a stop text was met.
    pub fn push(&mut self, bytes: &[u8]) -> (String, bool) {
        self.bytes.extend_from_slice(bytes);
        self.take_characters(false);
        let stop = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        match stop {
            Some(at) => {
                self.held.truncate(at);
                (std::mem::take(&mut self.held), true)
            }
            None => (self.release(), false),
        }
    }

    /// The rest, once no more bytes come.
    pub fn finish(mut self) -> String {
        self.take_characters(true);
        self.held
    }

    fn take_characters(&mut self, all: bool) {
        loop {
            match std::str::from_utf8(&self.bytes) {
                Ok(text) => {
                    self.held.push_str(text);
                    self.bytes.clear();
                    return;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    self.held.push_str(&String::from_utf8_lossy(&self.bytes[..valid]));
                    let broken = match error.error_len() {
                        None if !all => 0,
                        None => self.bytes.len() - valid,
                        Some(length) => length,
                    };
                    self.bytes.drain(..valid + broken);
                    if broken == 0 {
                        return;
                    }
                    self.held.push(char::REPLACEMENT_CHARACTER);
                }
            }
        }
    }

    /// Everything but the longest end that begins a stop text.
    fn release(&mut self) -> String {
        let begins = |at: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..]));
        let keep = self.held.char_indices().map(|(at, _)| at).find(begins).unwrap_or(self.held.len());
        let rest = self.held.split_off(keep);
        std::mem::replace(&mut self.held, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn a_character_spread_over_tokens_waits_for_its_last_byte() {
        let mut text = Text::new(Vec::new());
        assert_eq!(text.push(&[b'a', 0xE2, 0x82]), ("a".to_owned(), false));
        assert_eq!(text.push(&[0xAC]), ("€".to_owned(), false));
        assert_eq!(text.push(&[0xFF, b'b']), ("\u{FFFD}b".to_owned(), false));
        assert_eq!(text.push(&[0xE2]), (String::new(), false));
        assert_eq!(text.finish(), "\u{FFFD}");
    }

    #[test]
    fn a_stop_text_spread_over_tokens_is_never_shown() {
        let mut text = Text::new(vec!["END".to_owned(), "\n\n".to_owned()]);
        assert_eq!(text.push(b"one E"), ("one ".to_owned(), false));
        assert_eq!(text.push(b"Nough\n"), ("ENough".to_owned(), false));
        assert_eq!(text.push(b"two EN"), ("\ntwo ".to_owned(), false));
        assert_eq!(text.push(b"D three"), (String::new(), true));
    }

    #[test]
    fn what_only_looked_like_a_stop_text_is_shown_at_the_end() {
        let mut text = Text::new(vec!["END".to_owned()]);
        assert_eq!(text.push(b"the EN"), ("the ".to_owned(), false));
        assert_eq!(text.finish(), "EN");
    }
}

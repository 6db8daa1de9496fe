//! A mail as it goes over the wire (RFC 5322, RFC 2045): plain text in UTF-8, nothing else.
//!
//! Invariant: what people wrote never becomes a header, an address or an end of the message: subjects are one line, bodies
//! have CRLF line ends only, addresses are checked before they are written.

use std::fmt::{self, Display, Formatter};

use mail_builder::MessageBuilder;
use mail_builder::headers::raw::Raw;

use super::Server;
use crate::base::clock::Time;
use crate::base::error::{Error, Result};

/// Who a mail is for and what it says.
pub(super) struct Letter<'a> {
    /// The mail's number, for its Message-ID: the same at every try.
    pub id: i64,
    pub recipient: &'a str,
    pub subject: &'a str,
    pub body: &'a str,
    pub created_at: Time,
}

/// A text as one line: control characters and line separators become blanks.
pub(super) fn line(text: &str) -> String {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.replace(breaks, " ").trim().to_owned()
}

/// An address that can stand in a command and in a header. With characters beyond ASCII it needs a server that takes them
/// (RFC 6531).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address(String);

impl Address {
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// # Errors
/// `invalid_email` when it has blanks, control characters, brackets, or what separates addresses.
pub(super) fn address(address: &str) -> Result<Address> {
    // Quoted local parts may hold what separates addresses in a header.
    let stands_out = |c: char| {
        c.is_control()
            || c.is_whitespace()
            || matches!(c, '"' | ',' | ';' | ':' | '(' | ')' | '\\' | '[' | ']' | '<' | '>' | '\u{2028}' | '\u{2029}')
    };
    if address.is_empty() || address.contains(stands_out) {
        let message = format!(
            "Mails cannot be sent to {}: the address has blanks, brackets, quotes or what separates addresses.",
            line(address)
        );
        return Err(Error::invalid("invalid_email", message).field("address"));
    }
    Ok(Address(address.to_owned()))
}

/// The whole message, with CRLF line ends.
pub(super) fn compose(server: &Server, letter: &Letter<'_>) -> Result<Vec<u8>> {
    let domain = server.from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    let body = letter.body.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
    let message = MessageBuilder::new()
        .from((server.from_name.as_str(), server.from.as_str()))
        .to(address(letter.recipient)?.to_string())
        .subject(line(letter.subject))
        .date(letter.created_at.unix_seconds())
        .message_id(format!("{}.{}.resoftai@{domain}", letter.id, letter.created_at.0))
        // No answering machine answers (RFC 3834).
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .text_body(body)
        .write_to_vec()?;
    if has_stray_break(&message) {
        return Err(Error::internal(format!("mail {} has a line end that is not CRLF", letter.id)));
    }
    Ok(message)
}

/// Servers differ in what they take for the end of a message when a CR or LF stands alone ("SMTP smuggling", 2023).
fn has_stray_break(message: &[u8]) -> bool {
    let before = std::iter::once(&0).chain(message);
    let after = message.iter().skip(1).chain(std::iter::once(&0));
    let mut around = before.zip(message).zip(after);
    around.any(|((before, byte), after)| (*byte == b'\n' && *before != b'\r') || (*byte == b'\r' && *after != b'\n'))
}

/// The message as DATA takes it: a dot at the beginning of a line is doubled, a line with a dot alone ends it (RFC 5321,
/// section 4.5.2).
pub(super) fn as_data(message: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            data.push(b'.');
        }
        data.extend_from_slice(line);
    }
    if !data.ends_with(b"\r\n") {
        data.extend_from_slice(b"\r\n");
    }
    data.extend_from_slice(b".\r\n");
    data
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Security;

    fn server(from_name: &str) -> Server {
        Server {
            host: "mail".to_owned(),
            port: 25,
            security: Security::None,
            credentials: None,
            from: "site@example.org".to_owned(),
            from_name: from_name.to_owned(),
            hello: "localhost".to_owned(),
        }
    }

    fn composed(name: &str, subject: &str, body: &str) -> String {
        let letter = Letter { id: 7, recipient: "ada@example.org", subject, body, created_at: Time(0) };
        String::from_utf8(compose(&server(name), &letter).unwrap()).unwrap()
    }

    /// Names of the header's fields, without the lines that go on.
    fn fields(message: &str) -> Vec<&str> {
        let (header, _) = message.split_once("\r\n\r\n").unwrap();
        let lines = header.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        lines.map(|line| line.split_once(':').unwrap().0).collect()
    }

    #[test]
    fn a_mail_is_plain_text_that_no_machine_answers() {
        let message = composed("ResoftAI", "Hello", "One\nTwo\n.\nThree");
        assert!(message.contains("Subject: Hello\r\n"), "{message}");
        assert!(message.contains("Message-ID: <7.0.resoftai@example.org>\r\n"), "{message}");
        assert!(message.contains("Auto-Submitted: auto-generated\r\n"), "{message}");
        let data = String::from_utf8(as_data(message.as_bytes())).unwrap();
        assert!(data.ends_with("One\r\nTwo\r\n..\r\nThree\r\n.\r\n"), "{data}");
    }

    #[test]
    fn addresses_that_would_be_something_else_in_a_header_are_refused() {
        assert!(address("ada@example.org").is_ok_and(|plain| plain.is_ascii()));
        assert!(address("jürgen@bücher.example").is_ok_and(|wide| !wide.is_ascii()));
        for bad in
            ["", "\"a b\"@c", "a,b@c", "a@b>", "a\u{a0}@b", "a@b\u{2028}c", "a@b\r\nRCPT TO:<x@y>", "a;b@c", "(x)a@b"]
        {
            assert_eq!(address(bad).unwrap_err().code(), "invalid_email", "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_people_write_stays_where_it_belongs(
            name in "\\PC{0,60}",
            subject in "(?s).{0,200}",
            body in "(?s)(.|\r|\n|\r\n[.]|\n[.]\r\n){0,200}",
        ) {
            let message = composed(&name, &subject, &body);
            proptest::prop_assert!(!has_stray_break(message.as_bytes()));
            let mut known = fields(&message);
            known.sort_unstable();
            let wanted =
                ["Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "MIME-Version", "Message-ID",
                    "Subject", "To"];
            proptest::prop_assert_eq!(known, wanted, "{}", message);
            let data = as_data(message.as_bytes());
            let end = data.windows(5).position(|window| window == b"\r\n.\r\n").unwrap();
            proptest::prop_assert_eq!(end + 5, data.len());
        }
    }
}

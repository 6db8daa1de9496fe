//! An entry as a line: JSON for files, RFC 5424 for syslog.
//!
//! Invariant: an entry is one line whatever is in it: control characters never reach a line as they are. A syslog message has
//! at most [`SYSLOG_MAX`] bytes; what was cut off says so.

use serde::Serialize;
use syslog_fmt::v5424::{Config, Formatter};
use syslog_fmt::{Facility, Severity};

use super::Forwarded;
use crate::audit::AuditEntry;
use crate::base::error::{Error, Result};

/// What a receiver should be able to take (RFC 5425, section 4.3.1).
const SYSLOG_MAX: usize = 8192;
/// The most bytes of the words of an entry.
const WORDS_MAX: usize = 1500;
/// The most bytes of what the resource was before, and after.
const IMAGE_MAX: usize = 1400;
/// The most bytes of any other field.
const FIELD_MAX: usize = 160;
/// The most bytes of the header, of numbers, of names and of what is around them.
const AROUND_MAX: usize = 1800;
const _: () = assert!(WORDS_MAX + 2 * IMAGE_MAX + 7 * FIELD_MAX + AROUND_MAX <= SYSLOG_MAX);

#[derive(Serialize)]
struct Line<'a> {
    /// The log's name.
    log: &'a str,
    position: u64,
    #[serde(flatten)]
    entry: &'a AuditEntry,
}

/// One JSON object with a line end. JSON escapes control characters, so there is no other.
pub(super) fn json(forwarded: &Forwarded, into: &mut Vec<u8>) -> Result<()> {
    let line = Line { log: &forwarded.origin, position: forwarded.position, entry: &forwarded.entry };
    serde_json::to_writer(&mut *into, &line).map_err(Error::internal)?;
    into.push(b'\n');
    Ok(())
}

/// How messages are marked.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    facility: Facility,
    /// The private enterprise number in the structured data's name.
    enterprise_id: u32,
}

impl Marks {
    /// `facility` is a code of RFC 5424, section 6.2.1.
    ///
    /// # Errors
    /// `internal` when it is none.
    pub fn new(facility: u8, enterprise_id: u32) -> Result<Self> {
        let known = Facility::try_from(facility);
        let facility = known.map_err(|_| Error::internal(format!("{facility} is no facility of syslog")))?;
        Ok(Self { facility, enterprise_id })
    }
}

/// Makes syslog messages in the name of this machine.
pub(super) struct Writer {
    formatter: Formatter,
    /// The structured data's name.
    sd_id: String,
}

impl Writer {
    pub fn new(host: &str, marks: Marks) -> Self {
        Self { formatter: formatter(host, marks.facility), sd_id: format!("audit@{}", marks.enterprise_id) }
    }
}

fn formatter(host: &str, facility: Facility) -> Formatter {
    let host: String = host.chars().filter(char::is_ascii_graphic).take(255).collect();
    let process = std::process::id().to_string();
    Config {
        facility,
        hostname: Some(host.as_str()).filter(|host| !host.is_empty()),
        app_name: Some("resoftai"),
        proc_id: Some(&process),
    }
    .into_formatter()
}

/// One message in its frame: the octets counted (RFC 5425, section 4.3).
pub(super) fn syslog(writer: &Writer, forwarded: &Forwarded, into: &mut Vec<u8>) -> Result<()> {
    let mut message = Vec::with_capacity(1024);
    write_syslog(writer, forwarded, &mut message)?;
    into.extend_from_slice(format!("{} ", message.len()).as_bytes());
    into.append(&mut message);
    Ok(())
}

fn write_syslog(writer: &Writer, forwarded: &Forwarded, into: &mut Vec<u8>) -> Result<()> {
    let Forwarded { origin, position, entry, .. } = forwarded;
    let severity = if entry.success { Severity::Info } else { Severity::Warning };
    let mut fields = Fields::default();
    fields.put("log", Some(origin), FIELD_MAX);
    fields.put("position", Some(position), FIELD_MAX);
    fields.put("entry", Some(entry.id), FIELD_MAX);
    fields.put("organization", entry.organization_id, FIELD_MAX);
    fields.put("outcome", Some(if entry.success { "success" } else { "failure" }), FIELD_MAX);
    fields.put("actor", Some(&entry.actor.name), FIELD_MAX);
    fields.put("actor_kind", Some(entry.actor.kind.code()), FIELD_MAX);
    fields.put("actor_id", entry.actor.id, FIELD_MAX);
    fields.put("person", entry.person_id, FIELD_MAX);
    fields.put("resource", Some(&entry.resource_type), FIELD_MAX);
    fields.put("resource_id", entry.resource_id.as_ref(), FIELD_MAX);
    fields.put("address", entry.ip_address.as_ref(), FIELD_MAX);
    fields.put("agent", entry.user_agent.as_ref(), FIELD_MAX);
    fields.put("request", entry.request_id.as_ref(), FIELD_MAX);
    fields.put("token", entry.token.as_ref().map(|token| token.id), FIELD_MAX);
    fields.put("before", entry.before.as_ref(), IMAGE_MAX);
    fields.put("after", entry.after.as_ref(), IMAGE_MAX);
    let (words, cut) = plain(&entry.description, WORDS_MAX);
    let cut = cut || fields.cut;
    fields.put("truncated", cut.then_some("true"), FIELD_MAX);
    let data = fields.all.iter().map(|(name, value)| (*name, value.as_str()));
    let message = writer.formatter.write_with_data(
        into,
        severity,
        entry.at.to_string(),
        words,
        Some(entry.action.code()),
        [(writer.sd_id.as_str(), data)],
    );
    Ok(message?)
}

/// The parameters of the structured data.
#[derive(Default)]
struct Fields {
    all: Vec<(&'static str, String)>,
    cut: bool,
}

impl Fields {
    fn put(&mut self, name: &'static str, value: Option<impl ToString>, most: usize) {
        let Some(value) = value else { return };
        let (value, cut) = plain(&value.to_string(), most);
        self.cut |= cut;
        self.all.push((name, value));
    }
}

/// A text without control characters, of at most about `most` bytes on the wire, and whether it was cut. Control characters
/// are shown as JSON writes them.
fn plain(text: &str, most: usize) -> (String, bool) {
    let mut plain = String::with_capacity(text.len().min(most));
    let mut size = 0;
    for c in text.chars() {
        let control = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
        // What is escaped in structured data is two bytes there.
        size += if control { 7 } else { c.len_utf8() + usize::from(matches!(c, '"' | '\\' | ']')) };
        if size > most {
            return (plain, true);
        }
        if control {
            plain.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            plain.push(c);
        }
    }
    (plain, false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;
    use crate::access::{Actor, ActorKind};
    use crate::audit::AuditAction;
    use crate::audit::tree::LogId;
    use crate::base::clock::Time;

    fn forwarded(text: &str, success: bool) -> Forwarded {
        let some = || Some(text.to_owned());
        let entry = AuditEntry {
            id: 7,
            at: Time(1_000_001),
            organization_id: Some(3),
            actor: Actor { kind: ActorKind::User, id: Some(1), name: text.to_owned() },
            person_id: Some(2),
            action: AuditAction::PermissionChange,
            resource_type: text.to_owned(),
            resource_id: some(),
            description: text.to_owned(),
            success,
            before: Some(to_raw_value(&json!({ "text": text })).unwrap()),
            after: Some(to_raw_value(&json!({ "text": text })).unwrap()),
            ip_address: some(),
            user_agent: some(),
            request_id: some(),
            token: None,
            erased: false,
        };
        Forwarded { log: LogId(3), origin: "site/audit/3".to_owned(), position: 41, entry }
    }

    fn message(forwarded: &Forwarded) -> String {
        let mut bytes = Vec::new();
        let marks = Marks::new(10, 32473).unwrap();
        syslog(&Writer::new("host.example", marks), forwarded, &mut bytes).unwrap();
        let (length, message) = std::str::from_utf8(&bytes).unwrap().split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len());
        message.to_owned()
    }

    #[test]
    fn a_message_is_as_the_standard_has_it() {
        let mut entry = forwarded("a \"b\" ]\\", false);
        entry.entry.before = None;
        let pid = std::process::id();
        assert_eq!(
            message(&entry),
            format!(
                "<84>1 1970-01-01T00:00:01.000001Z host.example resoftai {pid} permission_change [audit@32473 \
                 log=\"site/audit/3\" position=\"41\" entry=\"7\" organization=\"3\" outcome=\"failure\" \
                 actor=\"a \\\"b\\\" \\]\\\\\" actor_kind=\"user\" actor_id=\"1\" person=\"2\" resource=\"a \\\"b\\\" \\]\\\\\" \
                 resource_id=\"a \\\"b\\\" \\]\\\\\" address=\"a \\\"b\\\" \\]\\\\\" agent=\"a \\\"b\\\" \\]\\\\\" \
                 request=\"a \\\"b\\\" \\]\\\\\" after=\"{{\\\"text\\\":\\\"a \\\\\\\"b\\\\\\\" \\]\\\\\\\\\\\"}}\"] \u{feff}a \"b\" ]\\"
            )
        );
        assert!(message(&forwarded("x", true)).starts_with("<86>1 "));
        let mut bytes = Vec::new();
        let writer = Writer::new("host.example", Marks::new(23, 4711).unwrap());
        syslog(&writer, &forwarded("x", true), &mut bytes).unwrap();
        let bytes = String::from_utf8(bytes).unwrap();
        assert!(bytes.contains(" <190>1 ") && bytes.contains(" [audit@4711 log="), "{bytes}");
    }

    /// Reads the structured data as a receiver does: quotes, back-strokes, brackets.
    fn ends_where_it_should(message: &str) -> bool {
        let (_, data) = message.split_once(" [audit@32473 ").unwrap();
        let (mut quoted, mut escaped) = (false, false);
        for (at, c) in data.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ']' if !quoted => return data[at + 1..].is_empty() || data[at + 1..].starts_with(" \u{feff}"),
                _ => {}
            }
        }
        false
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_in_an_entry_is_one_line_of_bounded_length(text in "(?s)(.|\r|\n|\"|\\]|\\\\){0,3000}", success: bool) {
            let entry = forwarded(&text, success);
            let message = message(&entry);
            proptest::prop_assert!(message.len() <= SYSLOG_MAX, "{}", message.len());
            proptest::prop_assert!(!message.chars().any(char::is_control));
            proptest::prop_assert!(ends_where_it_should(&message), "{}", message);
            let mut line = Vec::new();
            json(&entry, &mut line).unwrap();
            let (end, line) = line.split_last().unwrap();
            proptest::prop_assert!(*end == b'\n' && !line.iter().any(|byte| *byte < 0x20));
            let read: serde_json::Value = serde_json::from_slice(line).unwrap();
            proptest::prop_assert_eq!(read["description"].as_str(), Some(text.as_str()));
            proptest::prop_assert_eq!(&read["position"], &json!(41));
        }
    }
}

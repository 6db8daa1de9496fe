//! Taking out of texts what must not leave the site.
//!
//! Invariant: what is known to be secret is found by its value, in the spellings that JSON and addresses give it; what is only
//! known by its looks (tokens, headers, mail addresses, keys) by patterns, which rather take too much.

use aho_corasick::{AhoCorasick, MatchKind};
use regex::bytes::{Captures, Regex};

/// What is taken out, for the list of contents.
pub const KINDS: &str = "values of secret settings and keys of model servers, tokens, Authorization and Cookie headers, \
                         passwords in addresses and fields, private keys, mail addresses";

/// Shorter values are too common to be searched for.
const SHORTEST: usize = 4;

/// What each pattern finds; the group `keep` stays.
const PATTERNS: [(&str, &str); 11] = [
    (
        "private key",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*-----END [A-Z ]*PRIVATE KEY-----|AGE-SECRET-KEY-1[0-9A-Z]+",
    ),
    ("header", r#"(?P<keep>(?:authorization|cookie|set-cookie|x-api-key)\\?"?[ \t]*[:=][ \t]*\\?"?)[^"\\\r\n]+"#),
    ("token", r"(?P<keep>\b(?:bearer|basic)[ \t]+)[a-z0-9._~+/=-]{8,}"),
    ("token", r"\beyJ[a-z0-9_-]+\.[a-z0-9_-]+(?:\.[a-z0-9_-]*)?"),
    ("token", r"\b(?:rat|sk|pk|ghp|glpat|xox[a-z])[_-][a-z0-9_-]{8,}"),
    // In JSON, in JSON within JSON, and elsewhere.
    ("secret", r#"(?P<keep>NAMES"[ \t]*:[ \t]*")(?:[^"\\\r\n]|\\.)+"#),
    ("secret", r#"(?P<keep>NAMES\\"[ \t]*:[ \t]*\\")[^"\\\r\n]+"#),
    ("secret", r#"(?P<keep>NAMES[ \t]*[:=][ \t]*"?)[^"\\\s,;&}\[][^"\\\s,;&}]{3,}"#),
    ("password", r"(?P<keep>[a-z][a-z0-9+.-]*://[^/@:\s]*:)[^/@\s]+@"),
    ("token", r"(?P<keep>^|[^a-z0-9_:/+-])[a-z0-9_-]{43}\b"),
    ("mail address", r"[a-z0-9._%+'-]+@[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9-]+)*"),
];
/// Fields that hold secrets, in patterns.
const NAMES: &str =
    "(?:password|passphrase|passwd|pwd|secret|api_?key|access_?token|refresh_?token|licen[cs]e_?key|session)";

/// What takes things out.
pub struct Redactor {
    known: Option<AhoCorasick>,
    patterns: Vec<(&'static str, Regex)>,
}

impl Redactor {
    /// `secrets` are values that must not be anywhere.
    pub fn new(secrets: &[String]) -> Self {
        let mut spellings: Vec<String> = secrets.iter().flat_map(|secret| spellings(secret)).collect();
        spellings.retain(|text| text.len() >= SHORTEST);
        spellings.sort_unstable();
        spellings.dedup();
        // The longest first: a password within an address must not hide the rest of the address.
        let known = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&spellings).ok();
        let patterns = PATTERNS.iter().filter_map(|(kind, text)| {
            Some((*kind, Regex::new(&format!("(?im-u){}", text.replace("NAMES", NAMES))).ok()?))
        });
        Self { known: known.filter(|_| !spellings.is_empty()), patterns: patterns.collect() }
    }

    /// The text without them, and how many places were taken out.
    pub fn redact(&self, text: &[u8]) -> (Vec<u8>, u64) {
        let mut taken = 0;
        let mut clean = match &self.known {
            None => text.to_vec(),
            Some(known) => {
                let mut clean = Vec::with_capacity(text.len());
                known.replace_all_with_bytes(text, &mut clean, |_, _, into| {
                    taken += 1;
                    into.extend_from_slice(b"[secret]");
                    true
                });
                clean
            }
        };
        for (kind, pattern) in &self.patterns {
            let replaced = pattern.replace_all(&clean, |found: &Captures<'_>| {
                taken += 1;
                let keep = found.name("keep").map_or(&b""[..], |keep| keep.as_bytes());
                [keep, b"[", kind.as_bytes(), b"]"].concat()
            });
            if let std::borrow::Cow::Owned(replaced) = replaced {
                clean = replaced;
            }
        }
        (clean, taken)
    }
}

/// As it is, as JSON writes it, and as an address does.
fn spellings(secret: &str) -> [String; 3] {
    let json = serde_json::Value::from(secret).to_string();
    let escaped = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    [secret.to_owned(), json[1..json.len() - 1].to_owned(), escaped]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(secrets: &[&str], text: &str) -> String {
        let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        String::from_utf8_lossy(&Redactor::new(&secrets).redact(text.as_bytes()).0).into_owned()
    }

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(Redactor::new(&[]).patterns.len(), PATTERNS.len());
    }

    #[test]
    fn known_secrets_go_in_every_spelling() {
        let secret = "p\"ss w\\rd/1";
        let json = serde_json::Value::from(secret).to_string();
        assert_eq!(
            clean(&[secret], &format!("a {secret} b {json} c p%22ss+w%5Crd%2F1 d")),
            "a [secret] b \"[secret]\" c [secret] d"
        );
        assert_eq!(clean(&["abc"], "abc"), "abc", "too short to be searched for");
        assert_eq!(clean(&["hunter2", "postgres://u:hunter2@h/d"], "x postgres://u:hunter2@h/d y"), "x [secret] y");
    }

    #[test]
    fn what_looks_secret_goes() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
        for (text, expected) in [
            (format!("Authorization: Bearer {jwt}"), "Authorization: [header]".to_owned()),
            (
                format!(r#"{{"authorization":"Bearer {jwt}","n":1}}"#),
                r#"{"authorization":"[header]","n":1}"#.to_owned(),
            ),
            (format!("with bearer {jwt} sent"), "with bearer [token] sent".to_owned()),
            (format!("token {jwt}."), "token [token].".to_owned()),
            ("Cookie: resoftai_session=abc; other=1\nnext".to_owned(), "Cookie: [header]\nnext".to_owned()),
            ("key sk-proj-0123456789abcdef used".to_owned(), "key [token] used".to_owned()),
            ("password=hunter2 user=ada".to_owned(), "password=[secret] user=ada".to_owned()),
            (r#"{"api_key":"hunter2","a":1}"#.to_owned(), r#"{"api_key":"[secret]","a":1}"#.to_owned()),
            (r#"{"password":"a \"b c","a":1}"#.to_owned(), r#"{"password":"[secret]","a":1}"#.to_owned()),
            (r#"{"m":"{\"password\":\"a b\"}"}"#.to_owned(), r#"{"m":"{\"password\":\"[secret]\"}"}"#.to_owned()),
            ("redis://ada:hunter2@cache:6379/0".to_owned(), "redis://ada:[password]cache:6379/0".to_owned()),
            ("from ada.lovelace+x@mail.example.org to".to_owned(), "from [mail address] to".to_owned()),
            ("ada@localhost did".to_owned(), "[mail address] did".to_owned()),
            (format!("code {} end", "a".repeat(43)), "code [token] end".to_owned()),
            ("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----".to_owned(), "[private key]".to_owned()),
        ] {
            assert_eq!(clean(&[], &text), expected);
        }
    }

    #[test]
    fn what_helps_stays() {
        for text in [
            "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            r#"{"timestamp":"2026-11-27T08:41:27.000000Z","level":"WARN","message":"the clock is behind","target":"resoftai::licence"}"#,
            "GET /api/projects/12 404 from 192.0.2.7 in 0.012 s",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            assert_eq!(clean(&[], text), text);
        }
    }
}

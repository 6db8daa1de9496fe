//! The NUL character, which no database takes in a text.
//!
//! Invariant: it is refused where it comes in, and what holds it is named. Looking for it costs one pass over the bytes;
//! only a body that has one is looked at again for its name, and nothing of it is kept meanwhile.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::base::error::{Error, Result};

/// # Errors
/// `nul_character`, with the path to the text.
pub fn refuse_in_json(json: &[u8]) -> Result<()> {
    if !escapes_nul(json) {
        return Ok(());
    }
    let mut json = serde_json::Deserializer::from_slice(json);
    let path = match serde_path_to_error::deserialize::<_, Clean>(&mut json) {
        Err(cause) if cause.inner().is_data() => Some(cause.path().to_string()),
        // It is no JSON before it comes to the NUL.
        _ => None,
    };
    Err(refusal("The body", path.filter(|path| path != ".")))
}

/// # Errors
/// `nul_character`, with the parameter's name.
pub fn refuse_in_query(query: &str) -> Result<()> {
    match query.split('&').find(|pair| pair.contains("%00")) {
        None => Ok(()),
        Some(pair) => {
            let name = pair.split('=').next().filter(|name| !name.contains("%00"));
            Err(refusal("The query", name.map(str::to_owned)))
        }
    }
}

fn refusal(place: &str, field: Option<String>) -> Error {
    let sentence = format!("{place} holds a text with a NUL character, which cannot be stored. Leave it out.");
    let error = Error::invalid("nul_character", sentence);
    match field {
        Some(field) => error.field(field),
        None => error,
    }
}

/// Whether some JSON text escapes a NUL; a backslash that is itself escaped escapes nothing.
fn escapes_nul(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        if rest[at..].starts_with(br"\u0000") {
            return true;
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    false
}

/// Any value without a NUL in it; the error of one that has a NUL knows its path.
struct Clean;

impl<'de> Deserialize<'de> for Clean {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Clean {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without a NUL character")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self, E> {
        if text.contains('\0') { Err(E::custom("a NUL character")) } else { Ok(self) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn in_json(json: &str) -> Option<(&'static str, Option<String>)> {
        let error = refuse_in_json(json.as_bytes()).err()?;
        Some((error.code(), error.field_name().map(str::to_owned)))
    }

    #[test]
    fn a_nul_in_a_body_is_named_by_its_path() {
        assert_eq!(in_json(r#"{"name": "the text \\u0000", "list": [1, -1, 1.5, true, null]}"#), None);
        let named = |path: &str| Some(("nul_character", Some(path.to_owned())));
        assert_eq!(in_json(r#"{"a": [1, -1, 1.5, true, null], "name": "x\u0000"}"#), named("name"));
        assert_eq!(in_json(r#"{"messages": [{"content": "x"}, {"content": "\u0000"}]}"#), named("messages[1].content"));
        assert_eq!(in_json(r#""\u0000""#), Some(("nul_character", None)));
        assert_eq!(in_json(r#"{"name: "\u0000"#), Some(("nul_character", None)));
    }

    #[test]
    fn a_nul_in_a_query_is_named_by_its_parameter() {
        let field = |query| refuse_in_query(query).unwrap_err().field_name().map(str::to_owned);
        assert!(refuse_in_query("limit=5&cursor=%2500").is_ok());
        assert_eq!(field("limit=5&actor=a%00b"), Some("actor".to_owned()));
        assert_eq!(field("a%00b=5"), None);
    }
}

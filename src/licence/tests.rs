//! The rules over time, and what strangers send.

#![allow(clippy::unwrap_used)]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::situation::choose;
use super::verify::{Form, Keyring, LICENCE_BYTES, sign};
use super::{Claims, Feature, Revocations, State, Tier, seconds};
use crate::base::clock::{DAY, SECOND, Time};
use crate::base::crypto::Key;
use crate::base::note::{Signer, Verifier};

const VENDOR: &str = "vendor.example/licences";
const HERE: &str = "11111111-2222-4333-8444-555555555555";

fn signer() -> Signer {
    Signer::new(&Key::from_bytes([1; 32])).unwrap()
}

fn ring() -> Keyring {
    Keyring::new(&[signer().verifier(VENDOR)]).unwrap()
}

fn kid() -> String {
    super::verify::key_id(&signer().verifier(VENDOR))
}

fn claims() -> Claims {
    Claims {
        iss: "Vendor".to_owned(),
        jti: "L-1".to_owned(),
        organization: "Acme".to_owned(),
        tier: Tier::Professional,
        seats: 50,
        features: vec!["sso".to_owned(), "of-a-later-version".to_owned()],
        iat: 1_000_000,
        nbf: 2_000_000,
        exp: 2_000_000 + 365 * 86_400,
        grace_days: 30,
        installations: Vec::new(),
        disaster_recovery: None,
    }
}

fn licence(claims: &Claims) -> String {
    sign(&signer(), VENDOR, Form::Licence, claims).unwrap()
}

/// What a file is refused with.
fn refused(file: &str) -> &'static str {
    ring().licence(file).unwrap_err().code()
}

/// A token of these parts with a signature of the vendor's, whatever the header says.
fn forged(header: &serde_json::Value, payload: &str) -> String {
    let signed = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(signer().sign_bytes(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[test]
fn a_licence_says_what_its_vendor_signed_and_opens_with_any_jwt_library() {
    let ring = ring();
    let file = licence(&claims());
    let (read, key) = ring.licence(&format!(" {file}\n")).unwrap();
    assert_eq!((read.clone(), key.built_in), (claims(), false));
    assert!(read.opens(Feature::Sso) && !read.opens(Feature::Roles));
    let header = jsonwebtoken::decode_header(&file).unwrap();
    assert_eq!(header.typ.as_deref(), Some("resoftai-license+jwt"));
    assert_eq!(header.alg, jsonwebtoken::Algorithm::EdDSA);
}

#[test]
fn a_changed_licence_opens_nothing() {
    let file = licence(&claims());
    for at in 0..file.len() {
        let mut bent = file.clone().into_bytes();
        bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
        let bent = String::from_utf8(bent).unwrap();
        // The last character of a signature holds four bits that mean nothing; such a text is no Base64 of ours.
        assert!(ring().licence(&bent).is_err(), "byte {at} may differ: {bent}");
    }
    for end in 0..file.len() {
        assert!(ring().licence(&file[..end]).is_err(), "{end} bytes are enough");
    }
}

#[test]
fn only_eddsa_counts_whatever_the_header_asks_for() {
    let file = licence(&claims());
    let (kid, payload) = (kid(), file.split('.').nth(1).unwrap());
    let header = |alg: &str, typ: &str| serde_json::json!({"alg": alg, "typ": typ, "kid": kid});
    let typ = "resoftai-license+jwt";
    assert!(ring().licence(&forged(&header("EdDSA", typ), payload)).is_ok());
    let none = URL_SAFE_NO_PAD.encode(header("none", typ).to_string());
    assert_eq!(refused(&format!("{none}.{payload}.")), "licence_algorithm");
    for alg in ["none", "HS256", "RS256", "ES256", "eddsa", "Ed25519"] {
        assert_eq!(refused(&forged(&header(alg, typ), payload)), "licence_algorithm", "{alg}");
    }
    // The public key as the secret of an HMAC, which a library that trusts the header would take.
    let verifier = signer().verifier(VENDOR);
    for secret in [verifier.public().to_vec(), verifier.to_string().into_bytes()] {
        let mut hmac = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        (hmac.typ, hmac.kid) = (Some(typ.to_owned()), Some(kid.clone()));
        let secret = jsonwebtoken::EncodingKey::from_secret(&secret);
        assert_eq!(refused(&jsonwebtoken::encode(&hmac, &claims(), &secret).unwrap()), "licence_algorithm");
    }
    assert_eq!(refused(&forged(&header("EdDSA", "JWT"), payload)), "licence_type");
    let critical = serde_json::json!({"alg": "EdDSA", "typ": typ, "kid": kid, "crit": ["b64"], "b64": false});
    assert_eq!(refused(&forged(&critical, payload)), "licence_type");
}

#[test]
fn a_licence_of_another_key_or_for_another_purpose_is_refused() {
    let other = Signer::new(&Key::from_bytes([2; 32])).unwrap();
    assert_eq!(refused(&sign(&other, "else.example/key", Form::Licence, &claims()).unwrap()), "licence_unknown_key");
    // The name of ours does not help: the id is of name and key.
    assert_eq!(refused(&sign(&other, VENDOR, Form::Licence, &claims()).unwrap()), "licence_unknown_key");
    let list = Revocations { iss: "Vendor".to_owned(), iat: 1, number: 1, serials: vec!["L-1".to_owned()] };
    let list = sign(&signer(), VENDOR, Form::Revocations, &list).unwrap();
    assert_eq!(refused(&list), "licence_type");
    assert_eq!(ring().revocations(&licence(&claims())).unwrap_err().code(), "licence_type");
    assert_eq!(ring().revocations(&list).unwrap().0.number, 1);
}

#[test]
fn what_is_too_large_or_no_licence_at_all_is_refused_at_once() {
    assert_eq!(refused(&"A".repeat(LICENCE_BYTES + 1)), "licence_too_large");
    assert_eq!(refused(&"A".repeat(10 << 20)), "licence_too_large");
    for file in ["", ".", "..", "a.b.c", "....", "{}", "-----BEGIN LICENCE-----", "\u{0}.\u{0}.\u{0}", "é.é.é"] {
        assert_eq!(refused(file), "licence_malformed", "{file:?}");
    }
    let header = serde_json::json!({"alg": "EdDSA", "typ": "resoftai-license+jwt", "kid": kid()});
    for payload in ["", "null", "[]", "{}", "{\"seats\":1}", "\u{feff}{}", "not json"] {
        let code = refused(&forged(&header, &URL_SAFE_NO_PAD.encode(payload)));
        assert_eq!(code, "licence_claims", "{payload}");
    }
    // Nesting that would overflow a parser without a bound.
    let deep = format!("{}{}", "[".repeat(40_000), "]".repeat(40_000));
    assert!(ring().licence(&forged(&header, &URL_SAFE_NO_PAD.encode(deep))).is_err());
}

#[test]
fn claims_out_of_bounds_are_refused_and_named() {
    type Change = fn(&mut Claims);
    let wrong: [(&str, Change); 13] = [
        ("iss", |claims| claims.iss.clear()),
        ("iss", |claims| claims.iss = "a\u{1b}[2J".to_owned()),
        ("jti", |claims| claims.jti = "a b".to_owned()),
        ("organization", |claims| claims.organization = "x".repeat(201)),
        ("seats", |claims| claims.seats = 0),
        ("seats", |claims| claims.seats = -5),
        ("seats", |claims| claims.seats = i64::MAX),
        ("features", |claims| claims.features = vec!["a".to_owned(); 51]),
        ("exp", |claims| claims.exp = i64::MAX),
        ("exp", |claims| claims.exp = claims.nbf),
        ("exp", |claims| claims.iat = -1),
        ("grace_days", |claims| claims.grace_days = -1),
        ("installations", |claims| claims.installations = vec![String::new()]),
    ];
    for (claim, change) in wrong {
        let mut claims = claims();
        change(&mut claims);
        let error = ring().licence(&licence(&claims)).unwrap_err();
        assert_eq!((error.code(), error.field_name()), ("licence_claims", Some(claim)), "{error}");
    }
}

#[test]
fn a_licence_goes_through_its_states_in_order() {
    let claims = claims();
    let (begin, end) = (seconds(claims.nbf), claims.expires_at());
    let state = |at: Time| claims.state(at, HERE, false);
    assert_eq!(state(begin.plus(-1)), State::NotYetValid);
    assert_eq!(state(begin), State::Valid);
    assert_eq!(state(end.plus(-60 * DAY - 1)), State::Valid);
    assert_eq!(state(end.plus(-60 * DAY)), State::Expiring);
    assert_eq!(state(end.plus(-1)), State::Expiring);
    assert_eq!(state(end), State::Grace);
    assert_eq!(state(end.plus(30 * DAY - 1)), State::Grace);
    assert_eq!(state(end.plus(30 * DAY)), State::Expired);
    let marks = [61, 60, 31, 30, 8, 7, 2, 1].map(|days| claims.mark(end.plus(-days * DAY)));
    assert_eq!(marks, [None, Some(60), Some(60), Some(30), Some(30), Some(7), Some(7), Some(1)]);
    assert_eq!(Claims { grace_days: 0, ..claims.clone() }.state(end, HERE, false), State::Expired);
    assert_eq!(claims.state(begin, HERE, true), State::Revoked);
}

#[test]
fn a_licence_for_installations_counts_on_those_and_on_the_one_for_disasters() {
    let at = seconds(3_000_000);
    let bound = Claims { installations: vec![HERE.to_owned()], ..claims() };
    let spare = Claims { disaster_recovery: Some("spare".to_owned()), ..bound.clone() };
    let only_spare = Claims { disaster_recovery: Some("spare".to_owned()), ..claims() };
    assert_eq!(bound.state(at, HERE, false), State::Valid);
    assert_eq!(bound.state(at, "spare", false), State::OtherInstallation);
    assert_eq!(spare.state(at, "spare", false), State::Valid);
    assert_eq!(only_spare.state(at, HERE, false), State::OtherInstallation);
}

#[test]
fn the_keys_in_the_program_can_be_read() {
    assert!(Keyring::new(&[]).is_ok_and(|ring| !ring.ids().is_empty()));
}

/// How far a licence has come; it never goes back while time goes on.
fn age(state: State) -> u8 {
    match state {
        State::NotYetValid => 0,
        State::Valid => 1,
        State::Expiring => 2,
        State::Grace => 3,
        State::Expired => 4,
        other => panic!("{other:?} is no matter of time"),
    }
}

prop_compose! {
    fn any_claims()(nbf in 0..4_000_000_000_i64, length in 1..400_000_000_i64, grace_days in 0..3650_i64,
        iat in 0..4_000_000_000_i64, seats in 1..1_000_000_i64) -> Claims {
        Claims { nbf, exp: nbf + length, grace_days, iat, seats, ..claims() }
    }
}

proptest! {
    #[test]
    fn what_is_signed_is_what_is_read(claims in any_claims()) {
        prop_assert_eq!(ring().licence(&licence(&claims)).unwrap().0, claims);
    }

    #[test]
    fn no_text_makes_the_parser_fail_otherwise_than_by_refusing(file in ".{0,300}", parts in prop::collection::vec("[A-Za-z0-9_-]{0,80}", 0..5)) {
        prop_assert!(ring().licence(&file).is_err());
        prop_assert!(ring().licence(&parts.join(".")).is_err());
        prop_assert!(ring().revocations(&file).is_err());
    }

    #[test]
    fn no_signed_payload_makes_the_parser_fail_otherwise_than_by_refusing(payload in prop::collection::vec(any::<u8>(), 0..400)) {
        let header = serde_json::json!({"alg": "EdDSA", "typ": "resoftai-license+jwt", "kid": kid()});
        prop_assert!(ring().licence(&forged(&header, &URL_SAFE_NO_PAD.encode(payload))).is_err());
    }

    #[test]
    fn time_only_takes_a_licence_forward(claims in any_claims(), mut moments in prop::collection::vec(0..5_000_000_000_i64, 2..40)) {
        moments.sort_unstable();
        let states: Vec<State> = moments.iter().map(|second| claims.state(seconds(*second), HERE, false)).collect();
        prop_assert!(states.windows(2).all(|pair| age(pair[0]) <= age(pair[1])), "{states:?}");
        for (second, state) in moments.iter().zip(&states) {
            let until = claims.exp + claims.grace_days * 86_400;
            prop_assert_eq!(state.is_open(), (claims.nbf..until).contains(second));
            prop_assert_eq!(claims.state(Time(second * SECOND), HERE, true), State::Revoked);
        }
    }

    /// While any licence is open one that is open counts, so no renewal, early or late, closes anything.
    #[test]
    fn what_is_open_counts_before_what_is_not(all in prop::collection::vec(any_claims(), 1..8), second in 0..5_000_000_000_i64) {
        let states: Vec<State> = all.iter().map(|claims| claims.state(seconds(second), HERE, false)).collect();
        let chosen = choose(states.iter().copied().zip(&all)).unwrap();
        prop_assert_eq!(states[chosen].is_open(), states.iter().any(|state| state.is_open()));
        let newest = all.iter().zip(&states).filter(|(_, state)| state.is_open() == states[chosen].is_open());
        prop_assert_eq!(newest.map(|(claims, _)| claims.iat).max().unwrap(), all[chosen].iat);
    }
}

#[test]
fn a_verifier_of_the_ring_is_named_as_files_name_it() {
    let text = signer().verifier(VENDOR).to_string();
    let key = Verifier::parse(&text).unwrap();
    assert!(text.starts_with(&super::verify::key_id(&key)), "{text}");
}

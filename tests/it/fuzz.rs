//! What comes from outside, damaged in every way a program can think of in a bounded time: nothing panics, hangs or grows, and
//! nothing that was signed counts once it was changed. Inputs are mutated without coverage; `RESOFTAI_TEST_FUZZ_SECONDS` says
//! how long each parser is tried.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use resoftai::base::clock::Clock;
use resoftai::base::crypto::random_bytes;
use resoftai::base::minisign::{self, PublicKey};
use resoftai::base::note;
use resoftai::licence::verify::Keyring;
use resoftai::mirror::bundle as mirror_bundle;
use resoftai::plugins::package::Files;
use resoftai::plugins::{Package, pack, unpack};
use resoftai::release::bundle;
use resoftai::scan::advisories::Advisories;
use resoftai::scan::licences::Licences;
use resoftai::scan::rules::Rules;
use resoftai::scan::{self, Known, Subject};

use crate::upgrading::Vendor;
use crate::vendor;

/// How long one input may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that mean something to parsers of texts, archives and numbers.
const TELLING: [&[u8]; 14] = [
    b"\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xed\xa0\x80",
    b"../",
    b"\"",
    b"{",
    b"[[[[[[[[",
    b"\n\n",
    b"=",
    b".",
    b"-1",
    b"1e999",
    b"%00",
];

/// A generator of its own, so that a seed brings an input back.
struct Dice(u64);

impl Dice {
    /// xorshift64*, Vigna 2014: fast, and good enough to choose with.
    fn throw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.throw() >> 11).unwrap() % most.max(1)
    }

    fn mutate(&mut self, sample: &[u8]) -> Vec<u8> {
        let mut bytes = sample.to_vec();
        for _ in 0..=self.below(4) {
            let (at, to) = (self.below(bytes.len() + 1), self.below(bytes.len() + 1));
            let (from, end) = (at.min(to), at.max(to).min(at.min(to) + 64));
            match self.below(7) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = self.throw().to_le_bytes()[0],
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(from..end)),
                4 => {
                    let piece = bytes[from..end].to_vec();
                    bytes.splice(to..to, piece);
                }
                5 => {
                    let piece = TELLING[self.below(TELLING.len())].repeat(1 + self.below(200));
                    bytes.splice(at..at, piece);
                }
                _ => {
                    let piece = TELLING[self.below(TELLING.len())];
                    let end = (at + piece.len()).min(bytes.len());
                    bytes[at..end].copy_from_slice(&piece[..end - at]);
                }
            }
        }
        bytes
    }
}

/// Tries a parser on what comes of `samples`. A failure leaves the input where it can be looked at.
fn fuzz(name: &str, samples: &[Vec<u8>], parse: impl Fn(&[u8])) {
    let said = std::env::var_os("RESOFTAI_TEST_FUZZ_SECONDS").and_then(|text| text.into_string().ok()?.parse().ok());
    let (began, long) = (Instant::now(), Duration::from_secs(said.unwrap_or(1)));
    let seed = u64::from_be_bytes(random_bytes::<8>().unwrap()) | 1;
    let (mut dice, mut tried) = (Dice(seed), 0_u64);
    samples.iter().for_each(|sample| parse(sample));
    while began.elapsed() < long {
        let sample = &samples[dice.below(samples.len())];
        let input = dice.mutate(sample);
        let at = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(|| parse(&input)));
        if done.is_err() || at.elapsed() > PATIENCE {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
            std::fs::write(&path, &input).unwrap();
            panic!("{name}: the input in {} (seed {seed}, number {tried}) took {:?}", path.display(), at.elapsed());
        }
        tried += 1;
    }
    assert!(tried > 0, "{name} was not tried");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_damaged_release_bundle_never_counts() {
    let maker = Vendor::new();
    let whole = std::fs::read(maker.bundle("9.9.9", b"#!/bin/sh\n")).unwrap();
    let key = PublicKey::parse(&std::fs::read_to_string(maker.public_key()).unwrap()).unwrap();
    let keys = [key];
    let right = bundle::verify(&whole[..], &keys).unwrap();
    let mut plain = Vec::new();
    GzDecoder::new(&whole[..]).read_to_end(&mut plain).unwrap();
    let check = |packed: &[u8]| {
        if let Ok(found) = bundle::verify(packed, &keys) {
            assert_eq!(found, right, "another bundle counts");
        }
    };
    fuzz("bundle", &[whole], check);
    fuzz("bundle-tar", &[plain], |tar| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(tar).unwrap();
        check(&gzip.finish().unwrap());
    });
    let (text, data) = (sign_something(&maker), b"something");
    fuzz("minisign", &[text.clone().into_bytes()], |signature| {
        let signature = String::from_utf8_lossy(signature);
        if let Ok(signed) = minisign::verify(&keys, &signature, &data[..]) {
            assert_eq!(signed, minisign::verify(&keys, &text, &data[..]).unwrap(), "another comment counts");
        }
        drop(PublicKey::parse(&signature));
    });
}

fn sign_something(maker: &Vendor) -> String {
    let (file, signature) = (maker.place("something"), maker.place("something.minisig"));
    std::fs::write(&file, "something").unwrap();
    let mut sign = std::process::Command::new(crate::app::BINARY);
    sign.args(["vendor", "release", "sign"])
        .arg(&file)
        .arg("--key")
        .arg(maker.place("key"))
        .arg("--output")
        .arg(&signature);
    assert!(sign.output().unwrap().status.success());
    std::fs::read_to_string(signature).unwrap()
}

#[test]
fn a_changed_licence_never_says_anything_else() {
    let keys = Keyring::new(&[vendor::key()]).unwrap();
    let (licence, list) = (vendor::sign(&vendor::claims("one")), vendor::sign_list(1, &["two"]));
    let right = serde_json::to_value(&keys.licence(&licence).unwrap().0).unwrap();
    fuzz("licence", &[licence.into_bytes(), list.into_bytes()], |text| {
        let text = String::from_utf8_lossy(text);
        if let Ok((claims, _)) = keys.licence(&text) {
            assert_eq!(serde_json::to_value(&claims).unwrap(), right, "another licence counts");
        }
        drop(keys.revocations(&text));
        drop(note::split(&text));
        drop(note::Verifier::parse(&text));
    });
}

#[test]
fn damaged_content_of_a_mirror_is_refused_in_words() {
    let metadata = [("root.json", "{}"), ("timestamp.json", "{\"signed\": {}}")];
    let metadata = metadata.map(|(name, text)| (name.to_owned(), text.into())).into();
    let packed = mirror_bundle::pack(&metadata).unwrap();
    let mut tar = mirror_bundle::head(mirror_bundle::METADATA, packed.len() as u64).unwrap();
    tar.extend_from_slice(&packed);
    tar.extend(std::iter::repeat_n(0, mirror_bundle::padding(packed.len() as u64) + 1024));
    fuzz("mirror-bundle", &[tar], |bytes| {
        drop(mirror_bundle::first(&mut tar::Archive::new(bytes).entries().unwrap()));
    });
    let rules = std::fs::read(root().join("src/scan/rules.toml")).unwrap();
    fuzz("rules", &[rules], |bytes| drop(Rules::parse(bytes)));
    let advisory = br#"{"id": "PYSEC-1", "modified": "2026-01-01T00:00:00Z", "summary": "Bad", "severity": [{"type": "CVSS_V3",
        "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}], "affected": [{"package": {"ecosystem": "PyPI", "name": "jinja2"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.5"}]}], "versions": ["3.1.4"]}]}"#;
    fuzz("advisory", &[advisory.to_vec()], |bytes| Advisories::default().add(bytes));
}

#[test]
fn damaged_packages_are_refused_or_looked_through() {
    let folder = root().join("plugin-sdk/examples/security-scanner");
    let archive = pack::archive(&Files::read(&folder).unwrap()).unwrap();
    fuzz("package", &[archive], |bytes| {
        if let Ok(files) = unpack(bytes) {
            drop(Package::new(files));
        }
    });
    let source =
        b"import os, pickle\n\n\ndef run(text):\n    password = 'hunter2hunter2'\n    eval(f'{text!r:>{10}}')\n    \
        return [pickle.loads(x) for x in os.popen(text) if (lambda y: y ** 2)(x)]\n";
    let known = Known::default();
    fuzz("python", &[source.to_vec()], |bytes| {
        let subject = Subject {
            files: vec![("plugin.py", bytes), ("part.wasm", bytes), ("notes.md", bytes)],
            asks: serde_json::from_slice(bytes).unwrap_or_default(),
            boms: vec![bytes.to_vec()],
        };
        scan::look(&subject, &known, &Licences::default(), Clock::system().now());
    });
}

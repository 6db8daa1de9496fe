//! Python wheels (PyPA binary distribution format 1.0, PEP 427) unpacked for a plugin to carry.
//!
//! Invariant: only pure Python comes in, for the sandbox runs nothing else; every file is what the wheel's own RECORD says.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::manifest::wrong;
use super::package::{MAX_TOTAL, too_large};
use super::paths::check_path;
use crate::base::crypto::sha256_hex;
use crate::base::error::{Error, Result};

/// Endings of compiled code.
const NATIVE: [&str; 5] = [".so", ".pyd", ".dylib", ".dll", ".a"];
/// Entries of one wheel, at most.
const MAX_ENTRIES: usize = 5_000;

/// A wheel taken apart.
#[derive(Debug)]
pub struct Wheel {
    /// As its metadata writes it.
    pub name: String,
    pub version: String,
    /// Of the wheel file, in hexadecimal.
    pub sha256: String,
    /// Names of other distributions that it needs under any circumstances.
    pub requires: Vec<String>,
    /// What belongs on the import path, its `.dist-info` included.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Takes a wheel apart; `file` is its file name.
///
/// # Errors
/// `invalid_plugin` with the reason: not pure Python, damaged, or not what its RECORD says.
pub fn open(file: &str, bytes: &[u8]) -> Result<Wheel> {
    let stem = file.strip_suffix(".whl").unwrap_or_default();
    let parts: Vec<&str> = stem.split('-').collect();
    let [name, version, .., python, abi, platform] = parts.as_slice() else {
        return Err(refused(
            file,
            "its name is not NAME-VERSION-PYTHON-ABI-PLATFORM.whl. Give the wheel as it was built",
        ));
    };
    if (*abi, *platform) != ("none", "any") {
        let why = format!(
            "it is built for {python}-{abi}-{platform}. Only pure Python runs in the sandbox: take a wheel that ends in \
             none-any.whl, or do without this package"
        );
        return Err(refused(file, &why));
    }
    if !python.split('.').any(|tag| tag.starts_with("py3") || tag.starts_with("cp3")) {
        return Err(refused(file, "it is not for Python 3"));
    }
    let entries = read(file, bytes)?;
    let info = format!("{name}-{version}.dist-info");
    check_record(file, &info, &entries)?;
    let metadata = entries.get(&format!("{info}/METADATA")).map(|text| Metadata::parse(text)).unwrap_or_default();
    let files = placed(file, &format!("{name}-{version}.data"), entries)?;
    Ok(Wheel {
        name: metadata.first("Name").unwrap_or(name).to_owned(),
        version: metadata.first("Version").unwrap_or(version).to_owned(),
        sha256: sha256_hex(bytes),
        requires: metadata.requires(),
        files,
    })
}

fn refused(file: &str, why: &str) -> Error {
    wrong(format!("The wheel {file} cannot be used: {why}."))
}

fn read(file: &str, bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    let damaged = |cause: &dyn std::fmt::Display| refused(file, &format!("it is no readable zip archive ({cause})"));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|cause| damaged(&cause))?;
    if archive.len() > MAX_ENTRIES {
        return Err(too_large());
    }
    let (mut entries, mut room) = (BTreeMap::new(), MAX_TOTAL);
    for number in 0..archive.len() {
        let entry = archive.by_index(number).map_err(|cause| damaged(&cause))?;
        if entry.is_dir() {
            continue;
        }
        let path = entry.name().to_owned();
        check_path(&path)?;
        let mut content = Vec::new();
        entry.take(room as u64 + 1).read_to_end(&mut content).map_err(|cause| damaged(&cause))?;
        room = room.checked_sub(content.len()).ok_or_else(too_large)?;
        entries.insert(path, content);
    }
    Ok(entries)
}

/// RECORD: `path,sha256=BASE64,size` a line, as CSV.
fn check_record(file: &str, info: &str, entries: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    let path = format!("{info}/RECORD");
    let record = entries.get(&path).ok_or_else(|| refused(file, &format!("it has no {path}")))?;
    let mut sums = BTreeMap::new();
    for row in csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(record.as_slice()).records() {
        let row = row.map_err(|cause| refused(file, &format!("its RECORD cannot be read ({cause})")))?;
        if let (Some(path), Some(sum)) = (row.get(0), row.get(1)) {
            sums.insert(path.to_owned(), sum.to_owned());
        }
    }
    for (path, content) in entries.iter().filter(|(path, _)| !is_record(path, info)) {
        let sum = format!("sha256={}", URL_SAFE_NO_PAD.encode(digest(&SHA256, content)));
        if sums.get(path) != Some(&sum) {
            return Err(refused(file, &format!("{path} in it is not what its RECORD says. Get the wheel again")));
        }
    }
    Ok(())
}

/// The record itself and its signatures have no sums.
fn is_record(path: &str, info: &str) -> bool {
    path.strip_prefix(info).is_some_and(|name| ["/RECORD", "/RECORD.jws", "/RECORD.p7s"].contains(&name))
}

/// Where each file goes: what a wheel keeps apart for `purelib` joins the rest; scripts, headers and data have no use here.
fn placed(file: &str, data: &str, entries: BTreeMap<String, Vec<u8>>) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for (path, content) in entries {
        if NATIVE.iter().any(|ending| path.ends_with(ending)) {
            return Err(refused(file, &format!("it holds compiled code ({path}), which the sandbox cannot run")));
        }
        let inside = path.strip_prefix(data).and_then(|rest| rest.strip_prefix('/'));
        let target = match inside.and_then(|inside| inside.split_once('/')) {
            Some(("purelib" | "platlib", target)) => target.to_owned(),
            Some(_) => continue,
            None => path,
        };
        files.push((target, content));
    }
    Ok(files)
}

/// The fields of a METADATA file (core metadata, the header part of an e-mail message).
#[derive(Debug, Default)]
pub struct Metadata(Vec<(String, String)>);

impl Metadata {
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let header = text.lines().take_while(|line| !line.is_empty());
        // Lines that go on are of long texts, which are not needed.
        let fields = header.filter(|line| !line.starts_with([' ', '\t'])).filter_map(|line| line.split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let wanted = name.to_owned();
        self.0.iter().filter(move |(field, _)| *field == wanted).map(|(_, value)| value.as_str())
    }

    /// The licence: the SPDX expression, else the short text, else the classifier.
    pub fn license(&self) -> Option<&str> {
        let short = self.first("License").filter(|text| !text.is_empty() && text.len() <= 60);
        let classified = || {
            let licence = self.all("Classifier").find_map(|line| line.strip_prefix("License :: "));
            licence.and_then(|path| path.rsplit(" :: ").next())
        };
        self.first("License-Expression").or(short).or_else(classified)
    }

    /// Names of distributions that are needed whatever the environment: those without a marker.
    fn requires(&self) -> Vec<String> {
        let plain = self.all("Requires-Dist").filter(|line| !line.contains(';'));
        plain
            .map(|line| line.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.')).collect())
            .collect()
    }
}

/// A distribution's name as indexes compare it (PEP 503).
pub fn normalized(name: &str) -> String {
    let parts: Vec<&str> = name.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
    parts.join("-").to_lowercase()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod tests {
    use std::io::Write;

    use super::*;

    /// A wheel of these files, with a RECORD that is right.
    pub fn wheel(name: &str, version: &str, files: &[(&str, &str)]) -> Vec<u8> {
        let info = format!("{name}-{version}.dist-info");
        let metadata = format!("Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n");
        let own = [(format!("{info}/METADATA"), metadata)];
        let given = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        let mut all: Vec<(String, String)> = given.chain(own).collect();
        let sums: String = all
            .iter()
            .map(|(path, text)| {
                let sum = URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()));
                format!("{path},sha256={sum},{}\n", text.len())
            })
            .collect();
        all.push((format!("{info}/RECORD"), format!("{sums}{info}/RECORD,,\n")));
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (path, text) in all {
            writer.start_file(path, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn a_pure_wheel_comes_apart() {
        let bytes = wheel("my_lib", "1.2", &[("my_lib/__init__.py", "x = 1"), ("my_lib-1.2.data/purelib/p.py", "")]);
        let open = open("my_lib-1.2-py3-none-any.whl", &bytes).unwrap();
        let paths: Vec<&str> = open.files.iter().map(|(path, _)| path.as_str()).collect();
        let info = ["my_lib-1.2.dist-info/METADATA", "my_lib-1.2.dist-info/RECORD"];
        assert_eq!(paths, ["p.py", info[0], info[1], "my_lib/__init__.py"]);
        assert_eq!((open.name.as_str(), open.version.as_str()), ("my_lib", "1.2"));
        assert_eq!(normalized("My__Lib.x"), "my-lib-x");
    }

    #[test]
    fn what_is_not_pure_or_not_whole_is_refused_with_the_reason() {
        let good = wheel("a", "1", &[("a.py", "")]);
        let native = wheel("a", "1", &[("a.so", "")]);
        let out = wheel("a", "1", &[("../a.py", "")]);
        let mut added = zip::ZipWriter::new_append(Cursor::new(good.clone())).unwrap();
        added.start_file("b.py", zip::write::SimpleFileOptions::default()).unwrap();
        let added = added.finish().unwrap().into_inner();
        for (file, bytes, words) in [
            ("a.whl", &good, "NAME-VERSION"),
            ("a-1-cp312-cp312-manylinux_2_17_x86_64.whl", &good, "Only pure Python"),
            ("a-1-py2-none-any.whl", &good, "not for Python 3"),
            ("a-1-py3-none-any.whl", &native, "compiled code (a.so)"),
            ("a-1-py3-none-any.whl", &out, "not allowed"),
            ("a-2-py3-none-any.whl", &good, "no a-2.dist-info/RECORD"),
            ("a-1-py3-none-any.whl", &b"no zip".to_vec(), "no readable zip"),
            ("a-1-py3-none-any.whl", &added, "b.py in it is not what its RECORD says"),
        ] {
            let error = open(file, bytes).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn licences_and_needs_are_read_from_the_metadata() {
        let text =
            b"Name: a\nLicense: Apache\nClassifier: License :: OSI Approved :: MIT License\nRequires-Dist: b (>=1)\n\
            Requires-Dist: c; extra == 'x'\n\nName: not a field";
        let metadata = Metadata::parse(text);
        assert_eq!((metadata.license(), metadata.requires()), (Some("Apache"), vec!["b".to_owned()]));
        let classified = Metadata::parse(b"Classifier: License :: OSI Approved :: MIT License\n");
        assert_eq!(classified.license(), Some("MIT License"));
    }
}

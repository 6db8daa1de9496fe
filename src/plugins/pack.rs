//! A plugin's folder as one file to pass on: NAME-VERSION.rplugin, a zip archive.
//!
//! Invariant: the same files give the same bytes: sorted, without times, owners or modes. The archive holds the plugin's
//! files, its wheels unpacked into `vendor/`, the sums of all of them, and an SBOM. What packs here installs on a server.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::manifest::Manifest;
use super::package::{Files, Package};
use super::wheel::{self, Wheel, normalized};
use super::{sbom, sums};
use crate::base::error::{Error, Result};

/// What a packed plugin's file name ends in.
pub const ENDING: &str = ".rplugin";
/// Distributions that the SDK answers for with a part of its own.
const PROVIDED: [&str; 4] = ["aiohttp", "httpx", "requests", "tzdata"];

/// A packed plugin.
#[derive(Debug)]
pub struct Packed {
    pub manifest: Manifest,
    pub bytes: Vec<u8>,
    /// How many files it holds, those made while packing included.
    pub files: usize,
    /// Libraries unpacked from wheels, as `name version`.
    pub vendored: Vec<String>,
    /// What its author may want to know; nothing of it keeps the plugin from being packed.
    pub remarks: Vec<String>,
}

/// Packs these files. Wheels that lie in `wheels/`, and `more` by file name, are unpacked into `vendor/`.
///
/// # Errors
/// `invalid_plugin`, naming the file; `plugin_too_large`.
pub fn pack(files: Files, more: Vec<(String, Vec<u8>)>) -> Result<Packed> {
    let (package, wheels) = assemble(files, more)?;
    let (manifest, mut files) = package.into_parts();
    let by_name: BTreeMap<_, _> = wheels.iter().map(|wheel| (normalized(&wheel.name), wheel.sha256.clone())).collect();
    let bill = sbom::write(&manifest, &files, &by_name)?;
    files.add(sbom::FILE, bill)?;
    let list = sums::list(&files);
    files.add(sums::FILE, list.into_bytes())?;
    Ok(Packed {
        bytes: archive(&files)?,
        files: files.count(),
        vendored: wheels.iter().map(|wheel| format!("{} {}", wheel.name, wheel.version)).collect(),
        remarks: missing(&wheels, &files),
        manifest,
    })
}

/// The package that these files and wheels make, as it is before the list of libraries and the sums are added.
///
/// # Errors
/// `invalid_plugin`, naming the file; `plugin_too_large`.
pub fn assemble(mut files: Files, more: Vec<(String, Vec<u8>)>) -> Result<(Package, Vec<Wheel>)> {
    // Made anew while packing; a signature is over what was.
    files.extract(|path| [sbom::FILE, sums::FILE, sums::SIGNATURES].contains(&path));
    let lying = files.extract(|path| path.starts_with("wheels/") && path.ends_with(".whl"));
    let lying = lying.into_iter().map(|(path, bytes)| (path.trim_start_matches("wheels/").to_owned(), bytes));
    let mut wheels = Vec::new();
    for (name, bytes) in lying.chain(more) {
        let mut opened = wheel::open(&name, &bytes)?;
        for (path, content) in std::mem::take(&mut opened.files) {
            files.add(&format!("vendor/{path}"), content)?;
        }
        wheels.push(opened);
    }
    Ok((Package::new(files)?, wheels))
}

/// Files as an archive that depends on nothing but them.
///
/// # Errors
/// When the library refuses to write it, which would be a fault of ours.
pub fn archive(files: &Files) -> Result<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files.iter() {
        writer.start_file(path, options).map_err(Error::internal)?;
        writer.write_all(content)?;
    }
    Ok(writer.finish().map_err(Error::internal)?.into_inner())
}

/// What the wheels need and is not there, in sentences.
fn missing(wheels: &[Wheel], files: &Files) -> Vec<String> {
    let here: BTreeSet<String> = wheels.iter().map(|wheel| normalized(&wheel.name)).collect();
    let lies = |name: &str| {
        let folder = format!("vendor/{}", name.replace('-', "_"));
        files.iter().any(|(path, _)| path.starts_with(&format!("{folder}/")) || path == format!("{folder}.py"))
    };
    let mut remarks = Vec::new();
    for wheel in wheels {
        let needs = wheel.requires.iter().map(|name| normalized(name));
        for name in needs.filter(|name| !here.contains(name) && !PROVIDED.contains(&name.as_str()) && !lies(name)) {
            remarks.push(format!("{} needs {name}, which is not among the wheels.", wheel.name));
        }
    }
    remarks
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::archive::unpack;
    use crate::plugins::wheel::tests::wheel;

    fn plugin() -> Files {
        let manifest = json!({"name": "A", "slug": "a", "version": "1.2.0", "category": "utility", "license": "MIT",
            "entry_point": "main.py:A"});
        let mut files = Files::default();
        for (path, text) in
            [("plugin.json", manifest.to_string()), ("main.py", "x".to_owned()), ("lib/b.py", String::new())]
        {
            files.add(path, text.into_bytes()).unwrap();
        }
        files
    }

    #[test]
    fn the_same_files_give_the_same_bytes_and_open_again() {
        let packed = pack(plugin(), vec![]).unwrap();
        assert_eq!(pack(plugin(), vec![]).unwrap().bytes, packed.bytes);
        let opened = unpack(&packed.bytes).unwrap();
        assert_eq!(
            Package::new(opened).unwrap().paths(),
            ["SHA256SUMS", "lib/b.py", "main.py", "plugin.json", "sbom.cdx.json"]
        );
        let again = pack(unpack(&packed.bytes).unwrap(), vec![]).unwrap();
        assert_eq!(again.bytes, packed.bytes, "what was unpacked packs to the same");
    }

    #[test]
    fn a_changed_file_no_longer_opens() {
        let mut files = unpack(&pack(plugin(), vec![]).unwrap().bytes).unwrap();
        files.extract(|path| path == "main.py");
        files.add("main.py", b"y".to_vec()).unwrap();
        let error = Package::new(files).unwrap_err();
        assert!(error.message().contains("main.py is not the file that SHA256SUMS lists"), "{error}");
    }

    #[test]
    fn wheels_are_carried_and_listed() {
        let mut files = plugin();
        files
            .add("wheels/my_lib-2.0-py3-none-any.whl", wheel("my_lib", "2.0", &[("my_lib/__init__.py", "x = 1")]))
            .unwrap();
        let more = wheel("other", "1.0+local", &[("other.py", "")]);
        files.add("vendor/loose/__init__.py", Vec::new()).unwrap();
        let packed = pack(files, vec![("other-1.0+local-py3-none-any.whl".to_owned(), more)]).unwrap();
        assert_eq!(packed.vendored, ["my_lib 2.0", "other 1.0+local"]);
        let package = Package::new(unpack(&packed.bytes).unwrap()).unwrap();
        assert!(package.content("vendor/my_lib/__init__.py").is_some() && package.content("vendor/other.py").is_some());
        assert!(package.paths().iter().all(|path| !path.starts_with("wheels/")));
        let bom: Value = serde_json::from_slice(package.content(sbom::FILE).unwrap()).unwrap();
        let listed: Vec<_> = bom["components"].as_array().unwrap().iter().map(|part| part["purl"].as_str()).collect();
        assert_eq!(listed, [None, Some("pkg:pypi/my-lib@2.0"), Some("pkg:pypi/other@1.0%2Blocal")]);
        let library = &bom["components"][1];
        assert_eq!((&library["version"], &library["licenses"]), (&json!("2.0"), &json!([{"expression": "MIT"}])));
        assert_eq!(library["hashes"][0]["content"].as_str().unwrap().len(), 64);
        assert_eq!((&bom["specVersion"], &bom["metadata"]["component"]["name"]), (&json!("1.6"), &json!("a")));
    }
}

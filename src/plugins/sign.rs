//! Who stands for a packed plugin: `SIGNATURES`, a signed note (C2SP signed-note, Ed25519) over the list of sums.
//!
//! Invariant: a signature counts only for the slug, the version and the very files it was made for, and only when it is by
//! a key this site trusts; a claim by a trusted key that does not hold refuses the package.

use serde::Serialize;
use utoipa::ToSchema;

use super::archive::unpack;
use super::manifest::{Manifest, wrong};
use super::pack::archive;
use super::package::{Files, Package};
use super::sums;
use crate::base::crypto::{hex, sha256_hex};
use crate::base::error::{Error, Result};
use crate::base::note::{self, NOTE_LIMIT, Signer, Verifier};

/// Signatures on one package, at most.
const MAX_SIGNATURES: usize = 20;

/// Which keys a site trusts, and whether it takes plugins without any of them.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    pub keys: Vec<Verifier>,
    pub required: bool,
}

/// One signature on a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SignedBy {
    /// The key's name; of a key that is not trusted only a claim.
    pub name: String,
    /// Eight hexadecimal digits of the key.
    pub key_id: String,
    /// Whether it was made by a key that this site trusts.
    pub trusted: bool,
}

/// What is signed: what for, and the digest of the list of sums.
fn text(manifest: &Manifest, files: &Files) -> Option<String> {
    let list = files.get(sums::FILE)?;
    Some(format!("resoftai-plugin\n{}\n{}\n{}\n", manifest.slug, manifest.version, sha256_hex(list)))
}

/// The packed plugin with one more signature.
///
/// # Errors
/// `invalid_plugin` when it is none, or was not packed; `too_many_signatures`.
pub fn sign(packed: &[u8], name: &str, signer: &Signer) -> Result<Vec<u8>> {
    let (manifest, mut files) = Package::new(unpack(packed)?)?.into_parts();
    let text = text(&manifest, &files).ok_or_else(|| {
        wrong(format!("The plugin has no {}. Pack it with `resoftai plugin pack` first.", sums::FILE))
    })?;
    let before = files.extract(|path| path == sums::SIGNATURES).pop();
    let before = before.and_then(|(_, note)| String::from_utf8(note).ok());
    // Made for other files, it is of no use any more.
    let kept = before.filter(|note| note::split(note).is_ok_and(|(of, _)| of == text));
    let verifier = signer.verifier(name);
    let signed = match kept {
        Some(note) if verifier.open(&note).is_ok() => note,
        Some(note) if note::split(&note).is_ok_and(|(_, all)| all.len() >= MAX_SIGNATURES) => {
            let sentence = format!("The plugin has {MAX_SIGNATURES} signatures already.");
            return Err(Error::conflict("too_many_signatures", sentence));
        }
        Some(note) => format!("{note}{}", signer.line(name, &text)),
        None => signer.sign(name, &text),
    };
    files.add(sums::SIGNATURES, signed.into_bytes())?;
    archive(&files)
}

impl Trust {
    /// Who signed a package. Its sums were checked when it was made.
    ///
    /// # Errors
    /// `invalid_plugin` when the signatures are of another package, or one that claims to be of a trusted key is not.
    pub fn signers(&self, package: &Package) -> Result<Vec<SignedBy>> {
        let Some(note) = package.content(sums::SIGNATURES) else { return Ok(Vec::new()) };
        let unreadable =
            |why: &str| wrong(format!("{} cannot be read: {why}. Get the package again.", sums::SIGNATURES));
        let note =
            std::str::from_utf8(&note[..note.len().min(NOTE_LIMIT + 1)]).map_err(|_| unreadable("it is not UTF-8"))?;
        let (signed, signatures) = note::split(note).map_err(|why| unreadable(&why))?;
        if Some(&signed) != text(&package.manifest, package.files()).as_ref() {
            let sentence =
                "The signatures are of another package: the plugin was changed after it was signed. Get it again.";
            return Err(wrong(sentence));
        }
        let mut signers = Vec::new();
        for signature in signatures.iter().take(MAX_SIGNATURES) {
            let trusted = self.keys.iter().find(|key| signature.is_of(key));
            if let Some(key) = trusted.filter(|key| !signature.holds(key, &signed)) {
                return Err(wrong(format!("The signature by {} does not hold. Get the package again.", key.name())));
            }
            let (name, key_id) = (signature.name.clone(), hex(&signature.id));
            signers.push(SignedBy { name, key_id, trusted: trusted.is_some() });
        }
        Ok(signers)
    }

    /// The package with who signed it, when this site takes it.
    ///
    /// # Errors
    /// `plugin_not_signed`; those of [`Trust::signers`].
    pub fn admit(&self, mut package: Package) -> Result<Package> {
        let signers = self.signers(&package)?;
        if !self.required || signers.iter().any(|signer| signer.trusted) {
            package.signed_by = signers;
            return Ok(package);
        }
        let by = match signers.as_slice() {
            [] => "nobody".to_owned(),
            all => {
                all.iter().map(|signer| format!("{} ({})", signer.name, signer.key_id)).collect::<Vec<_>>().join(", ")
            }
        };
        let sentence = format!(
            "{} {} is signed by {by}. This site takes plugins only with the signature of a key in plugins.trusted_keys. Have \
             it signed with one, or add the signer's key there.",
            package.manifest.slug, package.manifest.version
        );
        Err(Error::forbidden("plugin_not_signed", sentence))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::base::crypto::Key;
    use crate::plugins::pack::pack;

    const NAME: &str = "example.org/ada";

    fn signer(seed: u8) -> Signer {
        Signer::new(&Key::from_bytes([seed; 32])).unwrap()
    }

    fn packed(main: &str) -> Vec<u8> {
        let manifest = r#"{"name":"A","slug":"a","version":"1.0.0","category":"utility","entry_point":"main.py:A"}"#;
        let mut files = Files::default();
        files.add("plugin.json", manifest.into()).unwrap();
        files.add("main.py", main.into()).unwrap();
        pack(files, vec![]).unwrap().bytes
    }

    fn package(bytes: &[u8]) -> Package {
        Package::new(unpack(bytes).unwrap()).unwrap()
    }

    #[test]
    fn a_signature_counts_when_its_key_is_trusted() {
        let signed = sign(&packed("x"), NAME, &signer(1)).unwrap();
        assert_eq!(sign(&packed("x"), NAME, &signer(1)).unwrap(), signed, "the same key signs the same");
        assert_eq!(sign(&signed, NAME, &signer(1)).unwrap(), signed, "and once");
        let trust = |seed: u8| Trust { keys: vec![signer(seed).verifier(NAME)], required: true };
        assert!(trust(1).admit(package(&signed)).is_ok());
        let error = trust(2).admit(package(&signed)).unwrap_err();
        assert_eq!(error.code(), "plugin_not_signed");
        assert!(error.message().contains(NAME), "{error}");
        assert!(trust(1).admit(package(&packed("x"))).unwrap_err().message().contains("signed by nobody"));
        let both = package(&sign(&signed, "example.org/site", &signer(2)).unwrap());
        let signers = trust(1).signers(&both).unwrap();
        assert_eq!(
            signers.iter().map(|by| (by.name.as_str(), by.trusted)).collect::<Vec<_>>(),
            [(NAME, true), ("example.org/site", false)]
        );
    }

    #[test]
    fn a_signature_of_other_files_is_refused() {
        let note =
            unpack(&sign(&packed("x"), NAME, &signer(1)).unwrap()).unwrap().get(sums::SIGNATURES).unwrap().to_vec();
        let mut files = unpack(&packed("y")).unwrap();
        files.add(sums::SIGNATURES, note.clone()).unwrap();
        let error = Trust::default().admit(Package::new(files).unwrap()).unwrap_err();
        assert!(error.message().contains("another package"), "{error}");
        // The name and id of a trusted key, the bytes of another's signature.
        let trust = Trust { keys: vec![signer(1).verifier(NAME)], required: false };
        let forged = String::from_utf8(note).unwrap();
        let (head, tail) = forged.trim_end().split_at(forged.trim_end().len() - 12);
        let mut files = unpack(&packed("x")).unwrap();
        files
            .add(sums::SIGNATURES, format!("{head}{}\n", tail.replace(char::is_alphabetic, "A")).into_bytes())
            .unwrap();
        let error = trust.admit(Package::new(files).unwrap()).unwrap_err();
        assert!(error.message().contains("does not hold"), "{error}");
    }
}

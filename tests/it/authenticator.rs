//! A device with passkeys, in software: makes keys and signs as WebAuthn says, and, where a test wants it, wrongly.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Who uses it was there (1) and was verified (4).
pub const VERIFIED: u8 = 5;

/// One passkey and the device it is on.
pub struct Device {
    key: EcdsaKeyPair,
    id: [u8; 16],
    /// The account it is kept for.
    pub handle: String,
    /// Signatures made so far.
    pub counter: u32,
    /// Where the browser is that it is asked from.
    pub origin: String,
    pub flags: u8,
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Device {
    pub fn new(origin: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).unwrap();
        Self { key, id, handle: String::new(), counter: 0, origin: origin.to_owned(), flags: VERIFIED }
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let challenge = options["publicKey"]["challenge"].as_str().unwrap();
        json!({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false})
            .to_string()
            .into_bytes()
    }

    /// Hash of the host name, flags, counter (level 3, section 6.1).
    fn authenticator_data(&self, site: &str, flags: u8) -> Vec<u8> {
        let mut data = sha256(site.as_bytes());
        data.push(flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// Makes the key: what a browser gives for `navigator.credentials.create`.
    pub fn create(&mut self, options: &Value) -> Value {
        let public = &options["publicKey"];
        public["user"]["id"].as_str().unwrap().clone_into(&mut self.handle);
        let client_data = self.client_data("webauthn.create", options);
        let mut data = self.authenticator_data(public["rp"]["id"].as_str().unwrap(), self.flags | 0x40);
        data.extend([0; 16]);
        data.extend((self.id.len() as u16).to_be_bytes());
        data.extend(self.id);
        // COSE: EC2, ES256, P-256, x, y. The point is 4, x, y.
        let point = self.key.public_key().as_ref();
        data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 32]);
        data.extend(&point[1..33]);
        data.extend([0x22, 0x58, 32]);
        data.extend(&point[33..65]);
        // CBOR: {"fmt": "none", "attStmt": {}, "authData": data}
        let mut attestation = vec![0xa3, 0x63];
        attestation.extend(b"fmt\x64none\x67attStmt\xa0\x68authData\x58");
        attestation.push(u8::try_from(data.len()).unwrap());
        attestation.extend(data);
        json!({"id": encoded(&self.id), "rawId": encoded(&self.id), "type": "public-key",
            "response": {"attestationObject": encoded(&attestation), "clientDataJSON": encoded(&client_data)}})
    }

    /// Signs in: what a browser gives for `navigator.credentials.get`.
    pub fn get(&mut self, options: &Value) -> Value {
        self.counter += 1;
        let client_data = self.client_data("webauthn.get", options);
        let data = self.authenticator_data(options["publicKey"]["rpId"].as_str().unwrap(), self.flags);
        let signed = [data.clone(), sha256(&client_data)].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({"id": encoded(&self.id), "rawId": encoded(&self.id), "type": "public-key",
            "response": {"authenticatorData": encoded(&data), "clientDataJSON": encoded(&client_data),
                "signature": encoded(signature.as_ref()), "userHandle": self.handle}})
    }
}

//! The cryptography of channels, all of it `ring`'s: RSA signatures, AES-GCM, keys from files.
//!
//! Invariants
//! 1. What is not verified is not parsed: callers get plain text back from a verification alone   (`wechat`, `alipay`).
//! 2. Every published vector gives its published result, and no tampered one does   (`tests`, `wechat::tests`, `alipay::tests`).
//! 3. No key is printed   (`Debug` of each).

use crate::error::{Error, Kind};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{aead, hmac, rand::SystemRandom, rsa, signature};
use std::fmt;
use x509_cert::{
    Certificate,
    der::{Decode, Encode, pem},
    spki::SubjectPublicKeyInfoRef,
};

/// A channel's public key.
#[derive(Clone)]
pub struct PublicKey(Vec<u8>);

/// Our own private key.
pub struct PrivateKey(rsa::KeyPair);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey")
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

fn unusable(doing: &str) -> Error {
    Error::new(Kind::Settings, doing)
}

/// The bytes of a PEM text, or of bare base64 as some channels' consoles hand keys out, with the PEM label if there is one.
fn unwrap(text: &str) -> Result<(Option<String>, Vec<u8>), Error> {
    let text = text.trim();
    if text.starts_with("-----BEGIN") {
        let (label, bytes) = pem::decode_vec(text.as_bytes()).map_err(|_| unusable("a key is no PEM"))?;
        return Ok((Some(label.to_owned()), bytes));
    }
    let bare: String = text.split_whitespace().collect();
    Ok((None, BASE64.decode(bare).map_err(|_| unusable("a key is neither PEM nor base64"))?))
}

impl PublicKey {
    /// From PEM (`PUBLIC KEY` or `CERTIFICATE`) or bare base64 of a public key.
    pub fn read(text: &str) -> Result<Self, Error> {
        let (label, der) = unwrap(text)?;
        if label.as_deref() == Some("CERTIFICATE") {
            return Ok(Self::of_certificate(text)?.1);
        }
        let info = SubjectPublicKeyInfoRef::from_der(&der).map_err(|_| unusable("a public key is no SubjectPublicKeyInfo"))?;
        Ok(Self(info.subject_public_key.raw_bytes().to_vec()))
    }

    /// The serial number of a certificate, in upper case hexadecimal, and its key.
    pub fn of_certificate(text: &str) -> Result<(String, Self), Error> {
        let (_, der) = unwrap(text)?;
        let certificate = Certificate::from_der(&der).map_err(|_| unusable("a certificate cannot be read"))?;
        let serial = hex(certificate.tbs_certificate.serial_number.as_bytes()).to_uppercase();
        let key = certificate.tbs_certificate.subject_public_key_info.to_der().map_err(|_| unusable("a certificate has no key"))?;
        let info = SubjectPublicKeyInfoRef::from_der(&key).map_err(|_| unusable("a certificate has no key"))?;
        // A serial whose first bit is set has a zero before it in DER, which nobody writes.
        let serial = serial.strip_prefix("00").map_or(serial.clone(), str::to_owned);
        Ok((serial, Self(info.subject_public_key.raw_bytes().to_vec())))
    }

    /// Whether a signature in base64 (SHA-256, RSA PKCS#1 v1.5) is of this text.
    pub fn verifies(&self, text: &[u8], signature: &str) -> bool {
        let Ok(signature) = BASE64.decode(signature) else { return false };
        signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, &self.0).verify(text, &signature).is_ok()
    }
}

impl PrivateKey {
    /// From PEM (`PRIVATE KEY` or `RSA PRIVATE KEY`) or bare base64 of either.
    pub fn read(text: &str) -> Result<Self, Error> {
        let (label, der) = unwrap(text)?;
        let pair = match label.as_deref() {
            Some("RSA PRIVATE KEY") => rsa::KeyPair::from_der(&der),
            Some(_) => rsa::KeyPair::from_pkcs8(&der),
            None => rsa::KeyPair::from_pkcs8(&der).or_else(|_| rsa::KeyPair::from_der(&der)),
        };
        Ok(Self(pair.map_err(|error| Error::because(Kind::Settings, "a private key cannot be used", error))?))
    }

    /// The signature of a text in base64 (SHA-256, RSA PKCS#1 v1.5).
    pub fn sign(&self, text: &[u8]) -> Result<String, Error> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        let signed = self.0.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature);
        signed.map_err(|_| unusable("a text cannot be signed"))?;
        Ok(BASE64.encode(signature))
    }
}

/// A secret that both sides have.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The line of a file; at least 16 bytes.
    pub fn read(text: &str) -> Result<Self, Error> {
        let secret = text.trim().as_bytes().to_vec();
        if secret.len() < 16 {
            return Err(unusable("a secret of less than 16 bytes keeps nobody out"));
        }
        Ok(Self(secret))
    }

    /// Opens what AES-GCM has sealed: 128 bits where the secret has 16 bytes, 256 where it has 32.
    pub fn open(&self, sealed_base64: &str, nonce: &str, associated: &str) -> Result<Vec<u8>, Error> {
        let algorithm = match self.0.len() {
            16 => &aead::AES_128_GCM,
            32 => &aead::AES_256_GCM,
            _ => return Err(unusable("a key of AES-GCM has 32 bytes")),
        };
        let not_ours = || Error::new(Kind::NotGenuine, "what was sealed cannot be opened");
        let key = aead::UnboundKey::new(algorithm, &self.0).map_err(|_| not_ours())?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce.as_bytes()).map_err(|_| not_ours())?;
        let mut sealed = BASE64.decode(sealed_base64).map_err(|_| not_ours())?;
        let opened = aead::LessSafeKey::new(key).open_in_place(nonce, aead::Aad::from(associated.as_bytes()), &mut sealed);
        Ok(opened.map_err(|_| not_ours())?.to_vec())
    }

    /// Seals with AES-GCM; in base64. For whoever plays a channel.
    pub fn seal(&self, text: &[u8], nonce: &str, associated: &str) -> Result<String, Error> {
        let algorithm = if self.0.len() == 16 { &aead::AES_128_GCM } else { &aead::AES_256_GCM };
        let key = aead::UnboundKey::new(algorithm, &self.0).map_err(|_| unusable("a key of AES-GCM has 32 bytes"))?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce.as_bytes()).map_err(|_| unusable("a nonce has 12 bytes"))?;
        let mut sealed = text.to_vec();
        let done = aead::LessSafeKey::new(key).seal_in_place_append_tag(nonce, aead::Aad::from(associated.as_bytes()), &mut sealed);
        done.map_err(|_| unusable("a text cannot be sealed"))?;
        Ok(BASE64.encode(sealed))
    }

    /// HMAC-SHA-256 of a text, in base64.
    pub fn stamp(&self, text: &[u8]) -> String {
        BASE64.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), text))
    }

    /// Whether a stamp is of this text; takes as long whether it is or not.
    pub fn stamped(&self, text: &[u8], stamp: &str) -> bool {
        let Ok(stamp) = BASE64.decode(stamp) else { return false };
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), text, &stamp).is_ok()
    }
}

/// SHA-256 in lower case hexadecimal.
pub fn sha256_hex(text: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, text).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::Value;

    /// A key made for these tests alone.
    pub const KEY: &str = include_str!("../vectors/test_key.pem");
    /// Its public half.
    pub const PUBLIC: &str = include_str!("../vectors/test_public.pem");
    /// What WeChat Pay's own libraries are tested with.
    pub const WECHAT: &str = include_str!("../vectors/wechat_v3.json");

    #[test]
    fn the_published_sealed_texts_are_opened_and_no_changed_one() {
        let vectors: Value = serde_json::from_str(WECHAT).expect("JSON");
        let vectors = vectors["aes_gcm"].as_array().expect("a list");
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().expect("a text");
            let (secret, sealed, nonce, associated) = (text("key"), text("ciphertext_b64"), text("nonce"), text("aad"));
            let open = |secret: &str, sealed: &str, nonce: &str, associated: &str| {
                Secret::read(secret).and_then(|secret| secret.open(sealed, nonce, associated)).map(|text| String::from_utf8_lossy(&text).into_owned())
            };
            assert_eq!(open(secret, sealed, nonce, associated).ok().as_deref(), Some(text("plaintext")));
            let changed =
                |text: &str| text.char_indices().map(|(at, c)| if at == 3 { if c == 'A' { 'B' } else { 'A' } } else { c }).collect::<String>();
            assert!(open(&changed(secret), sealed, nonce, associated).is_err());
            assert!(open(secret, &changed(sealed), nonce, associated).is_err());
            assert!(open(secret, sealed, &changed(nonce), associated).is_err());
            assert!(open(secret, sealed, nonce, &changed(associated)).is_err());
            assert!(open(secret, sealed, "short", associated).is_err());
        }
    }

    #[test]
    fn what_is_signed_is_verified_and_nothing_else() {
        let (key, public) = (PrivateKey::read(KEY).expect("a key"), PublicKey::read(PUBLIC).expect("a key"));
        let signature = key.sign(b"text").expect("it signs");
        assert!(public.verifies(b"text", &signature));
        assert!(!public.verifies(b"texts", &signature) && !public.verifies(b"text", "") && !public.verifies(b"text", "no base64!"));
    }

    #[test]
    fn a_key_is_read_however_a_console_hands_it_out() {
        let bare = |text: &str| text.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
        assert!(PrivateKey::read(&bare(KEY)).is_ok() && PublicKey::read(&bare(PUBLIC)).is_ok());
        for wrong in ["", "-----BEGIN PRIVATE KEY-----\n", PUBLIC, "a key"] {
            let error = PrivateKey::read(wrong).expect_err("it is none");
            assert!(wrong.len() < 10 || !error.to_string().contains(&wrong[..10]), "an error prints no key");
        }
    }

    #[test]
    fn a_certificates_serial_is_as_the_channel_writes_it() {
        let vectors: Value = serde_json::from_str(WECHAT).expect("JSON");
        for vector in vectors["notify"].as_array().expect("a list") {
            let (serial, _) = PublicKey::of_certificate(vector["certificate_pem"].as_str().expect("a text")).expect("a certificate");
            assert_eq!(Some(serial.as_str()), vector["serial"].as_str());
        }
    }
}

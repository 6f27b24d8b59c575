//! The keys of channels that are simulated, all of them made for tests and known to everybody.
//!
//! It is written from the channels' documentation and shares nothing with `channels`, so that what agrees does so because both read the same rules.
//!
//! Invariants
//! 1. What one key signs, no other key verifies   (`tests::a_signature_is_of_one_key_and_one_text`).

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{aead, digest, hmac, rand::SystemRandom, rsa, signature};

/// Our own key at every channel.
pub const MERCHANT: &str = include_str!("../../keys/test_merchant.pem");
/// WeChat Pay's key.
pub const WECHAT: &str = include_str!("../../keys/test_wechat.pem");
/// The certificate of WeChat Pay's key.
pub const WECHAT_CERTIFICATE: &str = include_str!("../../keys/test_wechat_certificate.pem");
/// Alipay's key.
pub const ALIPAY: &str = include_str!("../../keys/test_alipay.pem");
/// The public half of Alipay's key.
pub const ALIPAY_PUBLIC: &str = include_str!("../../keys/test_alipay_public.pem");

/// A pair of keys for SHA-256 with RSA (PKCS#1 v1.5).
pub struct Pair(rsa::KeyPair);

impl Pair {
    /// A pair of this tree, in PEM.
    pub fn read(pem: &str) -> Self {
        let bare: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = BASE64.decode(bare).expect("a key of this tree is PEM");
        Self(rsa::KeyPair::from_pkcs8(&der).expect("a key of this tree is PKCS#8"))
    }

    /// The signature of a text, in base64.
    pub fn sign(&self, text: &[u8]) -> String {
        let mut signature = vec![0; self.0.public().modulus_len()];
        let signed = self.0.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature);
        signed.expect("the room is as long as the key");
        BASE64.encode(signature)
    }

    /// Whether a signature in base64 is of this pair and of this text.
    pub fn signed(&self, text: &[u8], signature: &str) -> bool {
        let Ok(signature) = BASE64.decode(signature) else { return false };
        let public = signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, self.0.public());
        public.verify(text, &signature).is_ok()
    }
}

/// Seals with AES-256-GCM, in base64.
pub fn seal(key: &str, nonce: &str, associated: &str, text: &[u8]) -> String {
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, key.as_bytes()).expect("the key has 32 bytes");
    let nonce = aead::Nonce::try_assume_unique_for_key(nonce.as_bytes()).expect("the nonce has 12 bytes");
    let mut sealed = text.to_vec();
    let done = aead::LessSafeKey::new(key).seal_in_place_append_tag(nonce, aead::Aad::from(associated.as_bytes()), &mut sealed);
    done.expect("a notification is short");
    BASE64.encode(sealed)
}

/// HMAC-SHA-256 of a text, in base64.
pub fn stamp(secret: &str, text: &[u8]) -> String {
    BASE64.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), text))
}

/// SHA-1 in lower case hexadecimal, which WeChat Pay tells of its bills.
pub fn sha1(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    hash.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// A number that a text determines.
pub fn number(parts: &[&str]) -> u64 {
    let hash = digest::digest(&digest::SHA256, parts.join("\n").as_bytes());
    hash.as_ref().iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_key_and_one_text() {
        let [one, other] = [WECHAT, ALIPAY].map(Pair::read);
        let signature = one.sign(b"text");
        assert!(one.signed(b"text", &signature));
        assert!(!one.signed(b"texts", &signature) && !other.signed(b"text", &signature) && !one.signed(b"text", "no base64!"));
    }

    #[test]
    fn digests_are_the_published_ones() {
        assert_eq!(sha1(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        // RFC 4231, test case 2.
        assert_eq!(stamp("Jefe", b"what do ya want for nothing?"), "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
    }
}

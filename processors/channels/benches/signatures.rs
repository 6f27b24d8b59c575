//! What a notification costs: verifying its signature, opening what is sealed, both as the channels' published vectors have them.
use channels::seal::{PublicKey, Secret};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::Value;
use std::hint::black_box;

fn signatures(criterion: &mut Criterion) {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/wechat_v3.json")).expect("JSON");
    let text = |group: &str, at: usize, name: &str| vectors[group][at][name].as_str().expect("a text").to_owned();
    let [certificate, timestamp, nonce, signature, body] =
        ["certificate_pem", "timestamp", "nonce", "signature_b64", "body"].map(|name| text("notify", 0, name));
    let (_, key) = PublicKey::of_certificate(&certificate).expect("a certificate");
    let signed = format!("{timestamp}\n{nonce}\n{body}\n");
    assert!(key.verifies(signed.as_bytes(), &signature));
    criterion.bench_function("verify a notification (RSA 2048, SHA-256)", |bench| {
        bench.iter(|| key.verifies(black_box(signed.as_bytes()), black_box(&signature)));
    });
    let secret = Secret::read(&text("aes_gcm", 2, "key")).expect("a secret");
    let [sealed, nonce, associated] = ["ciphertext_b64", "nonce", "aad"].map(|name| text("aes_gcm", 2, name));
    criterion.bench_function("open what is sealed (AES-256-GCM, 1.5 KB)", |bench| {
        bench.iter(|| secret.open(black_box(&sealed), &nonce, &associated).expect("it opens"));
    });
}

criterion_group!(benches, signatures);
criterion_main!(benches);

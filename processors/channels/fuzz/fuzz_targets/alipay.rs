#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| read::statement("alipay", "2026-06-05", file));

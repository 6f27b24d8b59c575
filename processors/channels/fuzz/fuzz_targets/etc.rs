#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| read::statement("etc", "2026-11-23", file));

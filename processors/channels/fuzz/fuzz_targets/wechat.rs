#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| read::statement("wechat", "2021-01-28", file));

#![no_main]

use channels::statement::archive;
use std::io::{self, Cursor, Read};

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    for channel in ["wechat", "alipay"] {
        let (_, form) = channels::form(channel).expect("it has statements");
        let Ok(unpacked) = archive::open(&form, Cursor::new(file.to_vec())) else { continue };
        let most = 100 * file.len() as u64 + 1024 * 1024;
        // Whatever it claims, no more than this comes out.
        if let Ok(read) = io::copy(&mut unpacked.content.take(most + 1), &mut io::sink()) {
            assert!(read <= most);
        }
    }
});

#![no_main]

use channels::statement::{self, Piece, payments::Payments};

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let piece = Piece { bytes: file.to_vec(), offset: 0, first_line: 1, is_last: true };
    let Ok((payments, bytes, lines)) = Payments::begin(&piece) else { return };
    let mut rows = Vec::new();
    let read = payments.read(statement::body(&piece, (bytes, lines)), &mut |payment| {
        assert!(payment.amount >= 0 && !payment.number().is_empty());
        rows.push((payment.offset, payment.line, payment.in_full()));
    });
    // Each row alone is what it is among the others.
    for (offset, line, owned) in rows {
        let from = usize::try_from(offset).expect("it lies in the file");
        let length = file[from..].iter().position(|byte| *byte == b'\n').map_or(file.len() - from, |end| end + 1);
        let chunk = statement::Chunk { bytes: &file[from..from + length], offset, first_line: line };
        let mut again = None;
        payments.read(chunk, &mut |payment| again = Some(payment.in_full())).expect("it was read before");
        assert_eq!(again, Some(owned));
    }
    if let Err(refusal) = read {
        assert!(refusal.line > 0 && !refusal.to_string().is_empty());
    }
});

//! What a driver scans or follows: a channel's code as a picture of our own, and as a link where a phone knows what to do with it.
//!
//! Invariants
//! 1. A code becomes a link only under a scheme that opens a page or a payment app   (`tests::a_link_opens_a_page_or_a_payment_app`).
//! 2. A code that is too long for a picture is a link alone   (`tests::a_code_is_drawn_dark_on_light`).

use super::page::text;
use qrcode::{Color, QrCode};
use std::fmt::Write;

/// The schemes of addresses that are followed.
const SCHEMES: [&str; 5] = ["https://", "weixin://", "alipays://", "alipayqr://", "uppaywallet://"];
/// The light modules around a code (ISO/IEC 18004).
const QUIET: usize = 4;

/// Whether a code can be followed as a link.
pub fn is_link(code: &str) -> bool {
    SCHEMES.iter().any(|scheme| code.starts_with(scheme))
}

/// A code as a picture; none where it is too long for one.
pub fn picture(code: &str) -> Option<String> {
    let qr = QrCode::new(code).ok()?;
    let side = qr.width();
    let mut dark = String::new();
    for (at, color) in qr.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            write!(dark, "M{} {}h1v1h-1z", at % side + QUIET, at / side + QUIET).expect("a text takes all");
        }
    }
    let whole = side + 2 * QUIET;
    Some(format!(
        "<svg class=\"code\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {whole} {whole}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{whole}\" height=\"{whole}\" fill=\"#fff\"/><path d=\"{dark}\" fill=\"#000\"/></svg>",
        text(code)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_a_page_or_a_payment_app() {
        for (code, follows) in [
            ("https://qr.alipay.com/bax00", true),
            ("weixin://wxpay/bizpayurl?pr=x", true),
            ("http://plain.example/", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("00020101021226", false),
        ] {
            assert_eq!(is_link(code), follows, "{code}");
        }
    }

    #[test]
    fn a_code_is_drawn_dark_on_light() {
        let picture = picture("weixin://wxpay/bizpayurl?pr=<x>").expect("it is short");
        // Version 3 has 29 modules a side; its first one is dark.
        assert!(picture.contains("viewBox=\"0 0 37 37\"") && picture.contains("d=\"M4 4h1v1h-1z"), "{picture}");
        assert!(picture.contains("pr=&lt;x&gt;"), "{picture}");
        assert!(super::picture(&"x".repeat(5_000)).is_none());
    }
}

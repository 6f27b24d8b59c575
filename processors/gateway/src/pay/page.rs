//! The page itself: what stands around every text, and the form by which a car is looked up.
//!
//! Everything is in three files, without anything from elsewhere: the page, `page.css` and `page.js`. It can be read and used without the script.
//!
//! Invariants
//! 1. What came from outside is never markup   (`tests::what_came_from_outside_is_never_markup`).
//! 2. Nothing is loaded from anywhere else, and no script stands in the page   (`tests::nothing_is_loaded_from_elsewhere`).

use super::words::{Language, Words, fill};
use schema::{LotId, gate::Colour, id::Province, plate};
use std::fmt::Write;

/// The page's style.
pub const STYLE: &str = include_str!("page.css");
/// What follows an order live.
pub const SCRIPT: &str = include_str!("page.js");
/// What a browser may do with the page: load our own files, and send forms to us.
pub const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The colours of plates, in the order of how many cars have them.
const COLOURS: [(Colour, &str); 5] =
    [(Colour::Blue, "blue"), (Colour::Green, "green"), (Colour::Yellow, "yellow"), (Colour::White, "white"), (Colour::Black, "black")];

/// A text as a part of a page.
pub fn text(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len());
    for character in raw.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            character => safe.push(character),
        }
    }
    safe
}

/// A whole page around its main part. `follows` is whether it is to look for news without the script, too.
pub fn whole(language: Language, path: &str, main: &str, follows: bool) -> String {
    let words = language.words();
    let (other, path) = (language.other(), text(path));
    let refresh = if follows { "<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>" } else { "" };
    format!(
        "<!DOCTYPE html>\n<html lang=\"{code}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"format-detection\" content=\"telephone=no\">\n\
         <title>{title}</title>\n<link rel=\"icon\" href=\"/pay/icon.svg\">\n<link rel=\"stylesheet\" href=\"/pay/page.css\">\n\
         <script src=\"/pay/page.js\" defer></script>\n{refresh}</head>\n<body>\n\
         <header><span class=\"sign\" aria-hidden=\"true\">P</span><h1>{title}</h1>\
         <a href=\"{path}?lang={other_code}\" lang=\"{other_lang}\" hreflang=\"{other_lang}\">{other_name}</a></header>\n\
         <main>{main}</main>\n</body>\n</html>\n",
        code = words.code,
        title = words.title,
        other_code = other.code(),
        other_lang = other.words().code,
        other_name = words.other,
    )
}

/// A sign for the browser's tab.
pub const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\"><rect width=\"16\" height=\"16\" rx=\"3\" fill=\"#0b57d0\"/>\
<path d=\"M5 13V3h4a3.2 3.2 0 0 1 0 6.4H7.2V13z\" fill=\"#fff\"/></svg>";

/// What somebody typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// The province's character, chosen beside the plate.
    pub province: String,
    /// The plate, with or without its province.
    pub plate: String,
    /// The colour's word.
    pub colour: String,
    /// The ticket.
    pub ticket: String,
}

/// The form by which a car is looked up, with what was typed before, and with a notice above it.
pub fn form(language: Language, lot: LotId, province: Province, typed: &Typed, notice: Option<(&str, &str)>) -> String {
    let words = language.words();
    let mut main = head(words, lot);
    if let Some((kind, notice)) = notice {
        write!(main, "<p class=\"notice {kind}\" role=\"status\">{}</p>", text(notice)).expect("a text takes all");
    }
    let mut options = String::new();
    let chosen = typed.province.chars().next();
    for (character, code) in plate::provinces() {
        let is_it = chosen.map_or(code == province, |chosen| chosen == character);
        write!(options, "<option{}>{character}</option>", if is_it { " selected" } else { "" }).expect("a text takes all");
    }
    let other = if chosen == Some('-') { " selected" } else { "" };
    write!(options, "<option value=\"-\"{other}>{}</option>", words.no_province).expect("a text takes all");
    let mut colours = String::new();
    for (colour, word) in COLOURS {
        let is_it = typed.colour == word || typed.colour.is_empty() && colour == Colour::Blue;
        write!(
            colours,
            "<label class=\"{word}\"><input type=\"radio\" name=\"colour\" value=\"{word}\"{}><span>{}</span></label>",
            if is_it { " checked" } else { "" },
            words.colour_of(colour)
        )
        .expect("a text takes all");
    }
    write!(
        main,
        "<form method=\"post\" action=\"/pay/{lot}?lang={code}\">\
         <label class=\"name\" for=\"plate\">{plate}</label>\
         <div class=\"plate\"><select name=\"province\" aria-label=\"{province}\">{options}</select>\
         <input id=\"plate\" name=\"plate\" value=\"{typed_plate}\" placeholder=\"{hint}\" maxlength=\"16\" autocomplete=\"off\" \
         autocapitalize=\"characters\" autocorrect=\"off\" spellcheck=\"false\" enterkeyhint=\"go\"></div>\
         <fieldset class=\"colours\"><legend class=\"name\">{colour}</legend>{colours}</fieldset>\
         <details{open}><summary>{no_plate}</summary><label class=\"name\" for=\"ticket\">{ticket}</label>\
         <input id=\"ticket\" name=\"ticket\" value=\"{typed_ticket}\" maxlength=\"32\" autocomplete=\"off\" autocapitalize=\"off\" spellcheck=\"false\"></details>\
         <button class=\"main\">{ask}</button></form>",
        code = language.code(),
        plate = words.plate,
        province = words.province,
        typed_plate = text(&typed.plate),
        hint = words.plate_hint,
        colour = words.colour,
        open = if typed.ticket.is_empty() { "" } else { " open" },
        no_plate = words.no_plate,
        ticket = words.ticket,
        typed_ticket = text(&typed.ticket),
        ask = words.ask,
    )
    .expect("a text takes all");
    main
}

/// Where one is.
pub fn head(words: &Words, lot: LotId) -> String {
    format!("<p class=\"lot\">{}</p>", text(&fill(words.lot, &[("lot", lot.as_str())])))
}

/// A page that says one thing, and where to go on.
pub fn notice(words: &Words, said: &str, go_on: Option<(&str, &str)>) -> String {
    let go_on = go_on.map_or_else(String::new, |(address, name)| format!("<a class=\"main\" href=\"{}\">{}</a>", text(address), text(name)));
    format!("<p class=\"notice bad\" role=\"status\" data-title=\"{}\">{}</p>{go_on}", words.title, text(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_from_outside_is_never_markup() {
        let evil = "\"><script>alert('x')</script>&";
        let typed = Typed { plate: evil.into(), ticket: evil.into(), province: "<".into(), colour: evil.into() };
        let lot = "small".parse().expect("a name");
        let main = form(Language::English, lot, Province(44), &typed, Some(("bad", evil)));
        let page = whole(Language::Chinese, evil, &main, true);
        assert!(!page.contains("<script>") && !page.contains("alert('"), "{page}");
        assert_eq!(text(evil), "&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;");
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let page = whole(
            Language::Chinese,
            "/pay/small",
            &form(Language::Chinese, "small".parse().expect("a name"), Province(44), &Typed::default(), None),
            true,
        );
        for text in [&*page, STYLE, SCRIPT] {
            assert!(!text.contains("//cdn") && !text.contains("https://") && !text.contains("@import"), "{text}");
        }
        // What the policy forbids: it would be there and do nothing.
        assert!(!page.contains(" style=") && !page.contains("<style") && !page.contains(" onclick") && page.matches("<script").count() == 1);
        assert!(page.contains("<option selected>粤</option>"));
    }
}

//! The bill of an order as a driver sees it: what it is for, line by line, how it stands, and what can be done.
//!
//! Invariants
//! 1. A plate is never shown whole   (`tests::a_plate_is_masked`).
//! 2. Every standing has its page in both languages   (an exhaustive match; `tests::every_standing_says_what_to_do`).
//!
//! Not here: how it stands (`standing`), what becomes of a choice (`pay`).

use super::{
    code,
    page::{head, text},
    standing::{self, Paid, Standing},
    words::{Language, Words, fill, money},
};
use schema::{
    Currency, Moment, Money,
    entity::{Order, Payment},
    fact::Arrear,
    time::{MINUTE, SECOND, Zone},
};
use std::fmt::Write;

/// What is known of an order when it is shown.
#[derive(Debug)]
pub struct Look {
    /// The bill.
    pub order: Order,
    /// Its money.
    pub payment: Option<Payment>,
    /// Whether its car has gone: it is owed, or was.
    pub gone: bool,
    /// The lot's clock.
    pub zone: Zone,
    /// The lot's minutes to leave after a payment.
    pub grace_min: i64,
    /// What else the car owes.
    pub owes: Vec<Arrear>,
    /// Now.
    pub now: Moment,
}

impl Look {
    /// How it stands.
    pub fn standing(&self) -> Standing {
        Standing::of(&self.order, self.payment.as_ref(), self.now)
    }

    /// What tells this look from another.
    pub fn token(&self) -> String {
        standing::token(&self.standing(), self.payment.as_ref())
    }

    /// What is due.
    pub fn due(&self) -> Money {
        let total = self.order.quote.as_ref().map_or(Money::new(0, Currency::Cny), |quote| quote.total);
        self.payment.as_ref().and_then(|payment| payment.due).unwrap_or(total)
    }

    fn clock(&self, moment: Moment) -> String {
        // To the minute, as drivers read clocks.
        self.zone.text(moment).chars().take(16).collect()
    }
}

/// What is shown beside the bill.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// The channels by which a driver can pay, points among them.
    pub channels: &'a [&'a str],
    /// What was wrong with what was asked for.
    pub notice: Option<&'a str>,
    /// Whether another way to pay is wanted than the one that is open.
    pub chooses: bool,
}

/// The main part of an order's page.
pub fn main(language: Language, look: &Look, Beside { channels, notice, chooses }: Beside) -> String {
    let words = language.words();
    let standing = look.standing();
    let mut main = String::new();
    let follows = u8::from(!standing.is_over());
    write!(main, "<div id=\"order\" data-state=\"{}\" data-follows=\"{follows}\">{}", look.token(), head(words, look.order.stay.lot))
        .expect("a text takes all");
    if let Some(notice) = notice {
        write!(main, "<p class=\"notice bad\" role=\"status\">{}</p>", text(notice)).expect("a text takes all");
    }
    main += &now(language, look, &standing);
    main += &facts(words, look);
    main += &lines(words, look);
    let is_open = matches!(standing, Standing::Opening { .. } | Standing::Open { .. } | Standing::Cash { .. });
    if matches!(standing, Standing::Due { .. }) || is_open && chooses {
        main += &choice(language, look, channels);
    }
    main += &returns(words, look);
    main += &owes(language, look);
    write!(main, "<p class=\"small\">{} <span class=\"id\">{}</span></p></div>", words.number, look.order.order).expect("a text takes all");
    main
}

/// How it stands, and what is to be done about that.
fn now(language: Language, look: &Look, standing: &Standing) -> String {
    let words = language.words();
    let big = |name: &str, amount: Money| format!("<p class=\"sum\"><span>{name}</span><strong>{}</strong></p>", money(amount));
    let held = look
        .payment
        .as_ref()
        .and_then(standing::held)
        .map_or_else(String::new, |amount| format!("<p class=\"notice good\">{}</p>", fill(words.points_held, &[("amount", &money(amount))])));
    let waits =
        |said: &str| format!("<p class=\"notice waits\" role=\"status\"><span class=\"turns\" aria-hidden=\"true\"></span>{}</p>", text(said));
    let again = format!("<a class=\"main\" href=\"/pay/{}?lang={}\">{}</a>", look.order.stay.lot, language.code(), words.look_again);
    match standing {
        Standing::Pricing => waits(words.one_moment),
        Standing::NoPrice => format!("<p class=\"notice bad\" role=\"status\">{}</p>", words.ask_person),
        Standing::Free => format!("<p class=\"notice good\" role=\"status\">{}</p>", words.free),
        Standing::Due { failed } => {
            let failed = failed.as_ref().map_or_else(String::new, |channel| {
                let said = fill(words.failed, &[("channel", words.channel(channel))]);
                format!("<p class=\"notice bad\" role=\"status\">{}</p>", text(&said))
            });
            let (name, hint) = match (look.gone, look.order.inside) {
                (true, _) => (words.owed, String::new()),
                (false, Some(_)) => (words.due, fill(words.leave_within, &[("minutes", &look.grace_min.to_string())])),
                (false, None) => (words.due, words.at_exit.to_owned()),
            };
            let hint = if hint.is_empty() { hint } else { format!("<p class=\"small\">{hint}</p>") };
            failed + &big(name, look.due()) + &hint
        }
        Standing::Opening { channel, by_plate } => {
            let opening = if *by_plate { words.deducting } else { words.opening };
            held + &big(words.due, look.due()) + &waits(&fill(opening, &[("channel", words.channel(channel))])) + &others(language, look)
        }
        Standing::Open { channel, amount, until, code } => {
            held + &big(words.due, *amount) + &open(words, channel, code.as_deref(), &look.clock(*until)) + &others(language, look)
        }
        Standing::Cash { amount } => {
            let said = fill(words.pay_at_booth, &[("amount", &money(*amount))]);
            held + &big(words.due, *amount) + &waits(&said) + &others(language, look)
        }
        Standing::Paid(paid) => done(words, look, paid),
        Standing::Replaced { by } => {
            let go_on = by.map_or(again, |by| format!("<a class=\"main\" href=\"/pay/order/{by}?lang={}\">{}</a>", language.code(), words.to_new));
            format!("<p class=\"notice bad\" role=\"status\">{}</p>{go_on}", words.replaced)
        }
        Standing::Over => format!("<p class=\"notice bad\" role=\"status\">{}</p>{again}", words.over),
    }
}

/// What is to be scanned or followed.
fn open(words: &Words, channel: &str, code: Option<&str>, until: &str) -> String {
    let name = text(words.channel(channel));
    let Some(code) = code else {
        let said = if channel == "points" { words.confirm_points.to_owned() } else { fill(words.open_app, &[("channel", &name)]) };
        return format!("<p class=\"notice waits\"><span class=\"turns\" aria-hidden=\"true\"></span>{said}</p>");
    };
    let picture = code::picture(code).unwrap_or_default();
    let link = if code::is_link(code) {
        format!("<a class=\"main\" rel=\"noreferrer\" href=\"{}\">{}</a>", text(code), fill(words.open_app, &[("channel", &name)]))
    } else {
        String::new()
    };
    let (scan, until) = (fill(words.scan, &[("channel", &name)]), fill(words.pay_until, &[("time", until)]));
    format!("<div class=\"scan\">{picture}<p>{scan}</p></div>{link}<p class=\"small\">{until} · {}</p>", words.live)
}

/// A way back to the choice: what is open is shown still, and closed once another is chosen.
fn others(language: Language, look: &Look) -> String {
    let (order, code, other) = (look.order.order, language.code(), language.words().choose_other);
    format!("<p class=\"small\"><a href=\"/pay/order/{order}?lang={code}&amp;choose=1#choose\">{other}</a></p>")
}

fn done(words: &Words, look: &Look, paid: &Paid) -> String {
    let channels: Vec<&str> = paid.channels.iter().map(|channel| words.channel(channel)).collect();
    let next = match (look.gone, look.order.inside, paid.at) {
        (true, ..) => words.settled.to_owned(),
        (false, Some(_), Some(at)) => {
            let by = at.plus(look.grace_min.saturating_mul(MINUTE));
            let left = by.since(look.now).max(0);
            let minutes = left.saturating_add(MINUTE - SECOND).div_euclid(MINUTE);
            let counts = fill(words.minutes_left, &[("minutes", &minutes.to_string())]);
            let form = words.minutes_left;
            format!(
                "{}<br><span class=\"left\" data-seconds=\"{}\" data-form=\"{form}\">{counts}</span>",
                fill(words.leave_by, &[("time", &look.clock(by))]),
                left.div_euclid(SECOND)
            )
        }
        (false, Some(_), None) => fill(words.leave_within, &[("minutes", &look.grace_min.to_string())]),
        (false, None, _) => words.barrier_opens.to_owned(),
    };
    format!(
        "<div class=\"done\" role=\"status\"><p class=\"tick\" aria-hidden=\"true\">✓</p><p class=\"big\">{} {}</p><p>{}</p><p>{next}</p><p>{}</p></div>",
        words.paid,
        money(paid.amount),
        text(&channels.join(" + ")),
        words.thanks
    )
}

fn facts(words: &Words, look: &Look) -> String {
    let stay = &look.order.stay;
    let minutes = look.order.departure.left_at.since(stay.entered_at).div_euclid(MINUTE).max(0);
    let (hours, rest) = (minutes.div_euclid(60).to_string(), minutes.rem_euclid(60).to_string());
    let row = |name: &str, value: &str| format!("<dt>{name}</dt><dd>{}</dd>", text(value));
    let rows = [
        row(words.car, &stay.credential.masked()),
        row(words.came, &look.clock(stay.entered_at)),
        row(words.until, &look.clock(look.order.departure.left_at)),
        row(words.stayed, &fill(words.duration, &[("hours", &hours), ("minutes", &rest)])),
    ];
    format!("<dl>{}</dl>", rows.concat())
}

fn lines(words: &Words, look: &Look) -> String {
    let Some(quote) = &look.order.quote else { return String::new() };
    let mut table = format!("<table><caption>{}</caption><tbody>", words.bill);
    for line in &quote.lines {
        let amount = money(Money::new(line.amount, quote.total.currency));
        write!(table, "<tr><th scope=\"row\">{}</th><td>{amount}</td></tr>", text(&words.line(line, quote.total.currency)))
            .expect("a text takes all");
    }
    write!(table, "</tbody><tfoot><tr><th scope=\"row\">{}</th><td>{}</td></tr></tfoot></table>", words.total, money(quote.total))
        .expect("a text takes all");
    table
}

/// How one would like to pay.
fn choice(language: Language, look: &Look, channels: &[&str]) -> String {
    let words = language.words();
    let (others, points): (Vec<&str>, Vec<&str>) = channels.iter().copied().partition(|channel| *channel != "points");
    if channels.is_empty() {
        return format!("<p class=\"notice bad\">{}</p>", words.no_channel);
    }
    let mut form = format!(
        "<form id=\"choose\" class=\"choose\" method=\"post\" action=\"/pay/order/{}?lang={}\"><p class=\"name\">{}</p>",
        look.order.order,
        language.code(),
        words.choose
    );
    let due = money(look.due());
    for channel in &others {
        let name = text(words.channel(channel));
        write!(form, "<button class=\"channel {channel}\" name=\"channel\" value=\"{channel}\">{name}</button>").expect("a text takes all");
    }
    if !points.is_empty() {
        let with_rest = if others.is_empty() {
            String::new()
        } else {
            format!(
                "<label class=\"name\" for=\"points\">{}</label><input id=\"points\" name=\"points\" inputmode=\"decimal\" maxlength=\"12\" \
                 autocomplete=\"off\" placeholder=\"0.00\"><p class=\"small\">{}</p>",
                words.points_worth, words.points_rest
            )
        };
        write!(
            form,
            "<details><summary>{}</summary>{with_rest}<button class=\"channel points\" name=\"channel\" value=\"points\">{} {due}</button></details>",
            words.use_points, words.all_by_points
        )
        .expect("a text takes all");
    }
    form + "</form>"
}

/// What came twice, or for nothing, and goes back.
fn returns(words: &Words, look: &Look) -> String {
    let returning = look.payment.as_ref().map(standing::returning).unwrap_or_default();
    let row = |going: &standing::Returning| {
        let said = fill(words.refund, &[("amount", &money(going.amount)), ("channel", words.channel(&going.channel))]);
        format!("<li>{}: {}</li>", text(&said), words.refund_state(going.state))
    };
    if returning.is_empty() { String::new() } else { format!("<ul class=\"notice\">{}</ul>", returning.iter().map(row).collect::<String>()) }
}

fn owes(language: Language, look: &Look) -> String {
    let others: Vec<&Arrear> = look.owes.iter().filter(|arrear| arrear.order != look.order.order).collect();
    arrears(language, &others)
}

/// Earlier stays that are not paid, each with a way to do so.
pub fn arrears(language: Language, owed: &[&Arrear]) -> String {
    let words = language.words();
    if owed.is_empty() {
        return String::new();
    }
    let row = |arrear: &&Arrear| {
        let lot = fill(words.lot, &[("lot", arrear.lot.as_str())]);
        format!("<li><a href=\"/pay/order/{}?lang={}\">{} · {}</a></li>", arrear.order, language.code(), text(&lot), money(arrear.amount))
    };
    format!("<section class=\"owes\"><h2>{}</h2><ul>{}</ul></section>", words.also_owed, owed.iter().map(row).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::{super::standing::tests::order, *};

    fn look(order: Order, gone: bool) -> Look {
        let zone = Zone::named("Asia/Shanghai").expect("it is there");
        Look { now: order.departure.left_at, order, payment: None, gone, zone, grace_min: 15, owes: Vec::new() }
    }

    #[test]
    fn a_plate_is_masked() {
        let page = main(Language::Chinese, &look(order(), false), Beside::default());
        assert!(page.contains("粤B****5") && !page.contains("12345"), "{page}");
        assert!(page.contains("2026-11-23 08:00") && page.contains("2 小时 0 分钟"), "{page}");
    }

    #[test]
    fn every_standing_says_what_to_do() {
        let by = "O4426112307new0000000000000".parse().expect("a name");
        let paid = |at| Standing::Paid(Paid { amount: Money::new(1_000, Currency::Cny), channels: vec!["points".into(), "wechat".into()], at });
        let looks = [look(order(), false), look(Order { inside: None, ..order() }, false), look(order(), true)];
        let [inside, exit, gone] = &looks;
        for (look, standing, english) in [
            (inside, Standing::Due { failed: Some("wechat".into()) }, "WeChat Pay cannot be used now"),
            (inside, Standing::Due { failed: None }, "you have 15 minutes"),
            (exit, Standing::Due { failed: None }, "The barrier at the exit opens once"),
            (gone, Standing::Due { failed: None }, "Owed"),
            (inside, Standing::Opening { channel: "alipay".into(), by_plate: false }, "Opening Alipay"),
            (exit, Standing::Opening { channel: "wechat".into(), by_plate: true }, "WeChat Pay deducts the fee by your plate"),
            (inside, Standing::Cash { amount: Money::new(500, Currency::Cny) }, "¥5.00 in cash"),
            (inside, paid(Some(inside.now)), "15 minutes left"),
            (exit, paid(Some(exit.now)), "The barrier is opening"),
            (gone, paid(None), "What was owed is settled"),
            (inside, Standing::Replaced { by: Some(by) }, "/pay/order/O4426112307new0000000000000?lang=en"),
            (inside, Standing::Replaced { by: None }, "/pay/small?lang=en"),
            (inside, Standing::Over, "Ask for the price again"),
            (inside, Standing::Pricing, "One moment"),
            (inside, Standing::NoPrice, "ask the staff"),
            (inside, Standing::Free, "nothing to pay"),
        ] {
            let page = now(Language::English, look, &standing);
            assert!(page.contains(english), "{standing:?}: {page}");
            assert!(now(Language::Chinese, look, &standing).chars().any(|c| c > '\u{4e00}'), "{standing:?}");
        }
        let open = |code: &str| open(Language::English.words(), "wechat", Some(code), "10:15");
        assert!(open("weixin://wxpay/bizpayurl?pr=x").contains("href=\"weixin://"));
        assert!(open("00020101").contains("<svg") && !open("00020101").contains("href"));
    }
}

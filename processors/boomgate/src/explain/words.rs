//! Events in plain words.

use rules::quote::why;
use schema::{
    Credential, Effect, Event, LotId, Moment, Money, Verdict,
    channel::Act,
    desk::Said,
    exception::{self, Closing, ReconEvent},
    journal::{
        AppliedReason, CouponLimit, Ground, Known, Made, Marks, OrderEvent, PaymentEvent, Quote, QuoteLine, RefundReason, SessionEvent, Source, Terms,
    },
    ledger::{Entry, Figures, LedgerEvent, NO_CHANNEL},
    payout::PaidOut,
    time::MINUTE,
};

/// How a moment is written.
type Clock<'a> = &'a dyn Fn(Moment) -> String;

/// The lot that an event is about, where it says so itself.
pub fn lot(event: &Event) -> Option<LotId> {
    match event {
        Event::Session(event) => match event {
            SessionEvent::Refused { lot, .. }
            | SessionEvent::Waiting { lot, .. }
            | SessionEvent::ReadAgain { lot, .. }
            | SessionEvent::LetThrough { lot, .. }
            | SessionEvent::Noted { lot, .. } => Some(*lot),
            SessionEvent::Stated { stated, .. } => Some(stated.lot),
            event => event.stay().map(|stay| stay.lot),
        },
        Event::Order(event) => match event {
            OrderEvent::Priced { stay, .. } | OrderEvent::Unpriced { stay, .. } => Some(stay.lot),
            OrderEvent::Withdrawn { question, .. } | OrderEvent::Overtaken { question, .. } => Some(question.stay.lot),
            OrderEvent::Paid { lot, .. } | OrderEvent::Owed { lot, .. } | OrderEvent::Cleared { lot, .. } => Some(*lot),
            OrderEvent::Cancelled { .. }
            | OrderEvent::Gone { .. }
            | OrderEvent::Reopened { .. }
            | OrderEvent::Overpaid { .. }
            | OrderEvent::Noted { .. } => None,
        },
        Event::Payment(event) => event.bill().and_then(|bill| bill.lot),
        Event::Ledger(LedgerEvent::Posted { lot, .. }) => *lot,
        Event::Ledger(LedgerEvent::WindowClosed { statement }) => statement.lot,
        Event::Ledger(LedgerEvent::WindowStopped { window, .. }) => window.lot,
        Event::Ledger(LedgerEvent::FeesTold { .. } | LedgerEvent::Noted { .. }) | Event::Recon(_) => None,
    }
}

/// What happened, and under it what there is to say about that.
pub fn of(event: &Event, clock: Clock) -> Vec<String> {
    match event {
        Event::Session(event) => session(event, clock),
        Event::Order(event) => order(event, clock),
        Event::Payment(event) => vec![payment(event, clock)],
        Event::Ledger(event) => ledger(event, clock),
        Event::Recon(event) => vec![recon(event)],
    }
}

fn ledger(event: &LedgerEvent, clock: Clock) -> Vec<String> {
    match event {
        LedgerEvent::Posted { order, channel, currency, entries, movement, at, .. } => {
            let side = |entry: &Entry| {
                let (side, minor) = if entry.debit > 0 { ("debit", entry.debit) } else { ("credit", entry.credit) };
                let of = entry.of.as_deref().map(|of| format!(" of {of}")).unwrap_or_default();
                format!("{side} {}{of} {}", entry.account.as_str(), Money::new(minor, *currency))
            };
            let sides: Vec<String> = entries.iter().map(side).collect();
            let order = order.map(|order| format!(" of order {order}")).unwrap_or_default();
            let channel = if **channel == *NO_CHANNEL { String::new() } else { format!(" by {channel}") };
            let why = movement.map(|movement| format!(" ({})", movement.as_str())).unwrap_or_default();
            let when = at.map(|at| format!("{}  ", clock(at))).unwrap_or_default();
            vec![format!("{when}The ledger booked{order}{channel}{why}: {}", sides.join(", "))]
        }
        LedgerEvent::WindowClosed { statement } => {
            let money = |minor| Money::new(minor, statement.currency);
            let Figures { gross, discounts, points, refunded, fees, short, found, net } = &statement.figures;
            let off = discounts.values().fold(0_i64, |sum, minor| sum.saturating_add(*minor));
            let what = statement.adjusts.map_or_else(|| "Statement".to_owned(), |adjusts| format!("Adjustment {} of {adjusts},", statement.number));
            let of = format!("{} by {}", statement.lot.map_or_else(|| "an unknown lot".to_owned(), |lot| format!("lot {lot}")), statement.channel);
            vec![
                format!(
                    "{what} {}: {of}, {} to {}, {} postings",
                    statement.statement,
                    clock(statement.from),
                    clock(statement.until),
                    statement.tally.rows
                ),
                format!(
                    "{} came in all; {} were taken off, {} paid by points, {} went back, the channel keeps {}, drawers lack {}, statements have {} more",
                    money(*gross),
                    money(off),
                    money(*points),
                    money(*refunded),
                    money(*fees),
                    money(*short),
                    money(*found)
                ),
                format!("which leaves {}", money(*net)),
            ]
        }
        LedgerEvent::WindowStopped { window, differs, due_at } => {
            let lot = window.lot.map_or_else(|| "an unknown lot".to_owned(), |lot| format!("lot {lot}"));
            let head = format!("The window of {lot} by {} from {} does not close: {differs}", window.channel, clock(window.from));
            vec![head, format!("a person must look at it; it is tried again at {}", clock(*due_at))]
        }
        LedgerEvent::FeesTold { fees, merchant, minor } => {
            let kept = Money::new(*minor, fees.currency);
            vec![format!("{}'s statement of {} for {merchant} says that it keeps {kept} of this part", fees.channel, fees.day)]
        }
        LedgerEvent::Noted { order, .. } => vec![format!("Of order {order} there was nothing to book")],
    }
}

fn recon(event: &ReconEvent) -> String {
    match event {
        ReconEvent::Matched { piece, term, sums, stays, .. } => {
            let count = sums.iter().fold(0_u64, |count, sum| count.saturating_add(sum.count));
            let stays = stays.as_ref().map_or_else(String::new, |stays| {
                let [inside, left] = stays.lists().map(|(_, listed)| listed.count);
                format!("; {inside} cars that had paid were inside still, and {left} had left that owe")
            });
            format!("{}'s statement of {} was compared, {}: {count} lines and payments of this part{stays}", piece.channel, piece.day, term.name())
        }
        ReconEvent::ExceptionOpened { exception, piece, difference, line, payment, age, again } => {
            let theirs = line.as_ref().map_or_else(|| "nothing".to_owned(), |line| format!("{} ({})", line.amount, line.standing.as_str()));
            let ours = payment.as_ref().map_or_else(|| "nothing".to_owned(), |payment| format!("{} ({})", payment.amount, payment.standing.as_str()));
            let what = difference.english();
            format!(
                "{}'s statement of {} says {theirs}, and we booked {ours}: {what}, exception {exception}, {}{}",
                piece.channel,
                piece.day,
                age.as_str(),
                if *again { ", found again" } else { "" }
            )
        }
        ReconEvent::ExceptionAssigned { exception, owner, by: said } => format!("{owner} looks after exception {exception}; {}", by(said)),
        ReconEvent::ExceptionActed { exception, act, by: said, .. } => {
            let what = match act {
                exception::Act::Requeried => "the channel is asked how its payment stands",
                exception::Act::Repaired => "what we lacked is sent as if the channel had said it",
                exception::Act::RefundAsked => "the surplus is booked, to go back",
                exception::Act::WriteOffWanted => "it is to be written off, and another person must agree",
            };
            format!("Of exception {exception} {what}; {}", by(said))
        }
        ReconEvent::ExceptionAged { exception, age } => format!("Exception {exception} is {} old now", age.as_str()),
        ReconEvent::ExceptionClosed { exception, why, term, by: said, approved, gap: _ } => {
            let why = match (why, term) {
                (Closing::Explained, Some(term)) => format!("the comparison at {} finds it no more", term.name()),
                (Closing::Explained, None) => "a comparison finds it no more".to_owned(),
                (Closing::Repaired, _) => "what we lacked is on its way".to_owned(),
                (Closing::Refunded, _) => "the surplus goes back".to_owned(),
                (Closing::WrittenOff, _) => "it is written off".to_owned(),
            };
            let persons = said.iter().chain(approved).map(by).collect::<Vec<_>>().join("; ");
            format!("Exception {exception} is closed: {why}{}{persons}", if persons.is_empty() { "" } else { "; " })
        }
        ReconEvent::WriteOffUndone { exception, term, gap } => {
            let more = gap.money;
            format!("The comparison at {} finds exception {exception} no more: its write-off of {more} is taken back", term.name())
        }
        ReconEvent::PaidOut { piece, paid } => {
            let days = paid.days.iter().map(|part| part.day.to_string()).collect::<Vec<_>>().join(", ");
            let (channel, merchant, PaidOut { reference, amount, author, .. }) = (&piece.channel, &piece.merchant, &**paid);
            format!("{channel} has paid {amount} of {merchant}'s {days} out to the bank, reference {reference}; {author} said so")
        }
        ReconEvent::PayoutDiffers { piece, paid, booked } => {
            let (channel, PaidOut { reference, amount, author, .. }) = (&piece.channel, &**paid);
            format!(
                "{channel} is said to have paid {amount} out under reference {reference}, under which {booked} is booked: refused; {author} said so"
            )
        }
        ReconEvent::Noted { note, exception, .. } => {
            let of = exception.map(|exception| format!(" of exception {exception}")).unwrap_or_default();
            format!("Nothing was to be done{of}: {note:?}")
        }
    }
}

/// A car, as people name it.
pub fn car(credential: &Credential) -> String {
    let kind = format!("{:?}", credential.kind).to_lowercase();
    let colour = credential.colour.map(|colour| format!("{colour:?} ").to_lowercase()).unwrap_or_default();
    format!("{colour}{kind} {}", credential.text)
}

fn by(said: &Said) -> String {
    format!("{} said so: {}", said.author, said.reason)
}

fn session(event: &SessionEvent, clock: Clock) -> Vec<String> {
    match event {
        SessionEvent::Opened { stay, marks, made_of, releases, .. } => {
            let (when, who, lane) = (clock(stay.entered_at), car(&stay.credential), stay.lane);
            let head = match &marks.lost {
                Some(_) => format!("{when}  {who} stands at lane {lane} of {}, and nobody knows when it came; session {}", stay.lot, stay.session),
                None => format!("{when}  {who} came into {} by lane {lane}; session {}", stay.lot, stay.session),
            };
            let waited = releases.map(|exit| format!("its exit had come before, and waited as {exit}"));
            let said = marks.lost.iter().map(by);
            std::iter::once(head).chain(said).chain(waited).chain(marked(marks)).chain(made_of.iter().flat_map(|made| decided(made, clock))).collect()
        }
        SessionEvent::Refused { lot, lane, credential, reason, seen_at, made_of, ask, .. } => {
            let (when, who, why) = (clock(*seen_at), car(credential), reason.as_str());
            let what = if *ask { "a person was asked" } else { "it was refused" };
            let head = format!("{when}  {who} stood at lane {lane} of {lot}, and {what}: {why}");
            let owes = made_of.as_ref().and_then(|made| made.owes).map(|(order, amount)| format!("it owes {amount} for order {order}"));
            std::iter::once(head).chain(owes).chain(made_of.iter().flat_map(|made| decided(made, clock))).collect()
        }
        SessionEvent::Superseded { stay, by, flagged } => {
            let flag = if *flagged { ", and a person is to look at it" } else { "" };
            vec![format!("Session {} ended because its car came in again, as {by}{flag}", stay.session)]
        }
        SessionEvent::Passed { stay, at } => vec![format!("{}  {} crossed lane {}", clock(*at), car(&stay.credential), stay.lane)],
        SessionEvent::Vacated { stay } => {
            vec![format!("{} never crossed lane {}: it is not inside, and session {} is over", car(&stay.credential), stay.lane, stay.session)]
        }
        SessionEvent::Waiting { lot, credential, departure, waiting, .. } => {
            let (when, who, lane) = (clock(departure.left_at), car(credential), departure.lane);
            vec![format!("{when}  {who} stood at exit {lane} of {lot}, and no entry of it was known; it waits as {waiting}")]
        }
        SessionEvent::ReadAgain { lot, credential, departure, .. } => {
            let (when, who, lane) = (clock(departure.left_at), car(credential), departure.lane);
            vec![format!("{when}  {who} was read once more at exit {lane} of {lot}, which it had just left: nothing is new")]
        }
        SessionEvent::Asked { stay, departure, terms, .. } => {
            let (when, who, lane) = (clock(departure.left_at), car(&stay.credential), departure.lane);
            let head = format!("{when}  At {lane} somebody asked what the stay of {who} costs until then");
            std::iter::once(head).chain(terms.iter().flat_map(|terms| depends(terms, clock))).collect()
        }
        SessionEvent::Prepaid { paid, leave_by, .. } => {
            let (when, until, by) = (clock(paid.at), clock(paid.until), clock(*leave_by));
            vec![format!("{when}  {} are paid of the stay until {until}; it may leave until {by} at no further price", paid.amount)]
        }
        SessionEvent::Leaving { stay, departure, terms, right, .. } => {
            let (when, who, lane) = (clock(departure.left_at), car(&stay.credential), departure.lane);
            let alone = if departure.local { ", which opened without asking" } else { "" };
            let head = format!("{when}  {who} stood at exit {lane}{alone}");
            let right =
                right.iter().map(|right| format!("its right {} is in force from {} until {}", right.id, clock(right.from), clock(right.until)));
            std::iter::once(head).chain(right).chain(terms.iter().flat_map(|terms| depends(terms, clock))).collect()
        }
        SessionEvent::Closed { stay, departure, paid, order, .. } => {
            let (when, who, lane) = (clock(departure.left_at), car(&stay.credential), departure.lane);
            vec![format!("{when}  The stay of {who} is settled, at exit {lane}: {paid} in all; its last order is {order}")]
        }
        SessionEvent::Gone { stay, departure, .. } => {
            vec![format!("{}  {} has gone, and its stay was not settled", clock(departure.left_at), car(&stay.credential))]
        }
        SessionEvent::Owed { amount, order, operator, .. } => vec![format!("It owes {amount} to {operator}, of order {order}")],
        SessionEvent::Stated { stated, .. } => {
            let (author, kind, part, reason) = (stated.author, stated.what.kind().as_str(), stated.part, &stated.reason);
            vec![format!("{}  {author} stated {kind} {part}: {reason}", clock(stated.said_at))]
        }
        SessionEvent::Validated { validation, by: said, limit, .. } => {
            let head = format!("{}  {} takes something off: {:?}; coupon {}", clock(said.at), validation.bearer, validation.kind, validation.id);
            let limit = limit.as_ref().map(|limit| limited(limit, validation.over));
            std::iter::once(head).chain(limit).chain([by(said)]).collect()
        }
        SessionEvent::Noticed { channel, parking: Some(parking), .. } => {
            vec![format!("{channel} deducts its fee by the plate, as its stay {parking}")]
        }
        SessionEvent::Noticed { channel, .. } => vec![format!("{channel} does not deduct the fee of this car: its driver pays")],
        SessionEvent::LetThrough { lane, lot, way, who, by: said, .. } => {
            let who = who.as_ref().map_or_else(|| "a car".to_owned(), car);
            vec![format!("{}  {who} was let through by hand at lane {lane} of {lot} ({})", clock(said.at), way.as_str()), by(said)]
        }
        SessionEvent::Corrected { stay, was, came_at, by: said, entitled, .. } => {
            let plate = (*was != stay.credential).then(|| format!("it is {}, not {}", car(&stay.credential), car(was)));
            let time = (*came_at != stay.entered_at).then(|| format!("it came at {}, not at {}", clock(stay.entered_at), clock(*came_at)));
            let right = entitled.as_ref().map(|entitled| match (&entitled.right, entitled.overrun) {
                (Some(right), _) => format!("it uses right {}", right.id),
                (None, Some(id)) => format!("as many cars as may be were inside under right {id}: an ordinary stay"),
                (None, None) => "it uses no right".to_owned(),
            });
            let what: Vec<String> = plate.into_iter().chain(time).chain(right).collect();
            vec![format!("{}  The stay was put right: {}", clock(said.at), what.join("; ")), by(said)]
        }
        SessionEvent::Noted { note, .. } => vec![format!("Nothing was to be done: {note:?}")],
    }
}

/// How a coupon stands to what its vehicle may use on one day.
fn limited(limit: &CouponLimit, is_over: bool) -> String {
    let CouponLimit { most, day, here, elsewhere, .. } = limit;
    let known = match elsewhere {
        Some(elsewhere) => format!("{here} of this stay and {elsewhere} of others count"),
        None => format!("{here} of this stay count, and what others have used was not known in time"),
    };
    let verdict = if is_over { "this one is over that, and takes nothing off" } else { "this one is within that" };
    format!("a vehicle may use {most} coupons on day {day}: {known}; {verdict}")
}

fn marked(marks: &Marks) -> impl Iterator<Item = String> {
    let right = marks.right.as_ref().map(|right| format!("it uses right {}", right.id));
    let overrun = marks.overrun.map(|id| format!("as many cars as may be are inside under right {id}: an ordinary stay"));
    let reservation = marks.reservation.map(|id| format!("it uses reservation {id}"));
    let elsewhere = marks.elsewhere.map(|lot| format!("it was in {lot} at the same time"));
    let local = marks.local.then(|| "no check was asked: the lane had opened without us".to_owned());
    [right, overrun, reservation, elsewhere, local].into_iter().flatten()
}

/// What a decision was made of.
fn decided(made: &Made, clock: Clock) -> Vec<String> {
    let (found, passed): (Vec<&str>, Vec<&str>) = made.checks.split(' ').partition(|check| check.contains('='));
    let fact = |known: &Known| match (known.parts, known.age_ms) {
        (None, _) => format!("{} not in time, or not waited for", known.kind.as_str()),
        (Some(0), _) => format!("no {}", known.kind.as_str()),
        (Some(parts), Some(age)) => format!("{parts} {}, recorded {} before", known.kind.as_str(), span(age.saturating_mul(1_000))),
        (Some(parts), None) => format!("{parts} {}", known.kind.as_str()),
    };
    let list = |head: &str, words: Vec<String>| (!words.is_empty()).then(|| format!("{head}: {}", words.join(", ")));
    let found = list("checks that found something", found.iter().map(|check| check.replace('=', " → ")).collect());
    let passed = list("checks that found nothing", passed.iter().map(|check| (*check).to_owned()).collect());
    let facts = list("what was known of the car elsewhere", made.facts.iter().map(fact).collect());
    let grounds = list("it rests on this", made.grounds.iter().map(|ground| named(ground, clock)).collect());
    [grounds, found, passed, facts].into_iter().flatten().collect()
}

/// One thing that a decision rests on, by its name.
fn named(ground: &Ground, clock: Clock) -> String {
    match ground {
        Ground::Ban { part, from, until, reason } => {
            let end = until.map(|until| format!(" until {}", clock(until))).unwrap_or_default();
            format!("banned by {part} since {}{end} ({reason})", clock(*from))
        }
        Ground::Arrear { order, amount, at } => format!("owes {amount} for order {order}, as is known since {}", clock(*at)),
        Ground::Right { part } => format!("uses right {part}"),
        Ground::Overrun { part } => format!("as many cars as may be were inside under right {part}"),
        Ground::Reservation { part } => format!("uses reservation {part}"),
    }
}

fn depends(terms: &Terms, clock: Clock) -> Vec<String> {
    let paid = terms.paid.iter().map(|paid| format!("paid before: {} at {}", paid.amount, clock(paid.at)));
    let validated = terms.validations.iter().map(|validation| {
        let over = if validation.over { ", which is over its limit" } else { "" };
        format!("coupon {} of {}{over}", validation.id, validation.bearer)
    });
    let lost = terms.lost.then(|| "its ticket is lost".to_owned());
    paid.chain(validated).chain(lost).collect()
}

fn order(event: &OrderEvent, clock: Clock) -> Vec<String> {
    match event {
        OrderEvent::Priced { order, quote, stay, departure, .. } => {
            let (from, to) = (clock(stay.entered_at), clock(departure.left_at));
            let head = format!("The price of {from} to {to}, {} minutes: {}; order {order}", quote.minutes, quote.total);
            std::iter::once(head).chain(lines(quote, stay.entered_at, clock)).collect()
        }
        OrderEvent::Unpriced { order, reason, .. } => vec![format!("There is no price: {reason}; order {order}")],
        OrderEvent::Withdrawn { order, by, .. } => vec![format!("Order {order} is to be paid no more: {by} takes its place")],
        OrderEvent::Overtaken { order, by, .. } => {
            vec![format!("Order {order} gets no price: {by} was paid meanwhile, and the price is asked for again with that")]
        }
        OrderEvent::Cancelled { order, .. } => vec![format!("Order {order} is over, unpaid")],
        OrderEvent::Gone { order, .. } => vec![format!("The car has gone: what order {order} will cost it owes")],
        OrderEvent::Paid { order, amount, by, .. } => vec![format!("Order {order} is paid: {amount} by {}", source(by))],
        OrderEvent::Reopened { order, amount, .. } => {
            vec![format!("Order {order} is due again, {amount}: what had paid it has failed")]
        }
        OrderEvent::Overpaid { order, amount, by: said, .. } => {
            vec![format!("{amount} of what paid order {order} are too much since the stay was put right, and go back"), by(said)]
        }
        OrderEvent::Owed { order, amount, .. } => vec![format!("{amount} of order {order} are owed")],
        OrderEvent::Cleared { order, amount, .. } => vec![format!("{amount} of order {order} are owed no more")],
        OrderEvent::Noted { note, order, .. } => vec![format!("Nothing was to be done for order {order}: {note:?}")],
    }
}

fn lines(quote: &Quote, entered_at: Moment, clock: Clock) -> impl Iterator<Item = String> {
    let minute = |minutes: i64| clock(entered_at.plus(minutes.saturating_mul(MINUTE)));
    let line = |line: &QuoteLine| {
        let amount = Money::new(line.amount, quote.total.currency).number();
        format!("{} to {}  {amount:>10}  {}", minute(line.from_min), minute(line.to_min), why(line, quote.total.currency))
    };
    let table = format!("by rate table {} version {}", quote.rate_table, quote.version);
    std::iter::once(table).chain(quote.lines.iter().map(line).collect::<Vec<_>>())
}

/// By what money came.
pub fn source(source: &Source) -> String {
    format!("{} {}", source.channel, source.transaction)
}

const fn because(reason: RefundReason) -> &'static str {
    match reason {
        RefundReason::Duplicate => "the order was paid already",
        RefundReason::AmountDiffers => "the amount is not what was due",
        RefundReason::Withdrawn => "the order had been withdrawn",
        RefundReason::Ordered => "a person decided so",
        RefundReason::Incomplete => "the rest of its payment did not come",
    }
}

const fn chosen(reason: AppliedReason) -> &'static str {
    match reason {
        AppliedReason::Only => "as nothing else had come that could",
        AppliedReason::First => "as the first of several that could",
        AppliedReason::Settled => "as they are settled, and what else came may still fail",
        AppliedReason::Complete => "as all means of its payment have come",
    }
}

const fn came(provisional: bool) -> &'static str {
    if provisional { "were accepted, and may still fail," } else { "came" }
}

fn payment(event: &PaymentEvent, clock: Clock) -> String {
    match event {
        PaymentEvent::Expected { bill, due, discounts } => {
            let off = |(bearer, minor): (&std::sync::Arc<str>, &i64)| format!(", {bearer} bears {}", Money::new(*minor, due.currency));
            let off: String = discounts.iter().flat_map(|taken| &taken.borne).map(off).collect();
            format!("{due} are waited for, of order {}{off}", bill.order)
        }
        PaymentEvent::Held { bill, source: by, amount, provisional, choice: Some(_), .. } => {
            format!("{amount} {} by {}, a part of what pays order {}: the rest is waited for", came(*provisional), source(by), bill.order)
        }
        PaymentEvent::Held { bill, source: by, amount, provisional, .. } => {
            format!("{amount} {} by {}, before order {} was known", came(*provisional), source(by), bill.order)
        }
        PaymentEvent::Applied { bill, source: by, amount, paid_at, provisional, reason, .. } => {
            let when = paid_at.map(|at| format!("{}  ", clock(at))).unwrap_or_default();
            let why = reason.map(|reason| format!(", {}", chosen(reason))).unwrap_or_default();
            format!("{when}{amount} {} by {}, and pay order {}{why}", came(*provisional), source(by), bill.order)
        }
        PaymentEvent::Settled { source: by, amount, .. } => format!("{amount} that {} had accepted are captured", source(by)),
        PaymentEvent::PassedOver { bill, source: by, amount, reason, .. } => {
            format!("{amount} that {} has accepted do not pay order {}, because {}", source(by), bill.order, because(*reason))
        }
        PaymentEvent::Reversed { bill, source: by, amount, applied } => {
            let again = if *applied { format!(": order {} is due again", bill.order) } else { String::new() };
            format!("{amount} that {} had accepted have failed{again}", source(by))
        }
        PaymentEvent::RefundWanted { bill, source: by, amount, by: said, .. } => {
            format!(
                "{} wants {amount} of {} to go back to who paid order {} ({}); another person must agree",
                said.author,
                source(by),
                bill.order,
                said.reason
            )
        }
        PaymentEvent::RefundDeclined { bill, said, by } => {
            format!("{} does not agree that money of order {} goes back, as was wanted by {said} ({})", by.author, bill.order, by.reason)
        }
        PaymentEvent::RefundStood { refund, state, .. } => format!("Refund {refund} stands like this at its channel: {state:?}"),
        PaymentEvent::Imported { bill, source: by, amount, number, paid_at } => {
            format!("{}  An older system was paid {amount} by {}, as {number}; here it is order {}", clock(*paid_at), source(by), bill.order)
        }
        PaymentEvent::Withdrawn { bill } => format!("Order {} takes no money any more", bill.order),
        PaymentEvent::RefundRequested { refund, tries, asks: true, .. } => {
            format!("Nobody knows whether refund {refund} was made: it is asked about, try {tries}")
        }
        PaymentEvent::RefundRequested { bill, source: by, amount, reason, refund, tries, by: person, .. } => {
            let why = person.as_ref().map_or_else(|| because(*reason).to_owned(), |said| format!("{} said so ({})", said.author, said.reason));
            format!("{amount} of {} are to go back, because {why}: refund {refund} of order {}, try {tries}", source(by), bill.order)
        }
        PaymentEvent::Refunded { source: by, amount, refund, .. } => format!("{amount} of {} went back: refund {refund}", source(by)),
        PaymentEvent::Chosen { bill, tenders, until, by, .. } => {
            let means: Vec<String> = tenders.iter().map(|tender| format!("{} by {}", tender.amount, tender.channel)).collect();
            format!("{} chose to pay order {} until {}: {}", by.author, bill.order, clock(*until), means.join(", "))
        }
        PaymentEvent::Attempted { attempt, channel, amount, act, tries, .. } => {
            let what = match act {
                Act::Open => format!("open a payment of {amount}"),
                Act::Settle => format!("take the {amount} that it holds"),
                Act::Close => "close the payment".to_owned(),
                Act::Query => "say how the payment stands".to_owned(),
            };
            format!("{channel} is asked to {what}: attempt {attempt}, try {tries}")
        }
        PaymentEvent::AttemptStood { attempt, state, .. } => format!("Attempt {attempt} stands like this at its channel: {state:?}"),
        PaymentEvent::ShiftOpened { shift, float, by } => format!("{} began shift {} with {float} in the drawer", by.author, shift.name),
        PaymentEvent::ShiftTook { shift, order, amount, .. } => format!("Shift {} took {amount} for order {order}", shift.name),
        PaymentEvent::ShiftCounted { shift, counted, by } => format!("{} counted {counted} in the drawer of shift {}", by.author, shift.name),
        PaymentEvent::ShiftClosed { shift, expected, counted, by } => {
            let difference = Money::new(counted.minor.saturating_sub(expected.minor), counted.currency);
            format!("{} ended shift {}: {counted} counted, {expected} expected, a difference of {difference}", by.author, shift.name)
        }
        PaymentEvent::ShiftNoted { shift, note, .. } => format!("Nothing was to be done for shift {}: {note:?}", shift.name),
        PaymentEvent::Noted { note, order } => format!("Nothing was to be done for order {order}: {note:?}"),
    }
}

/// What was told to somebody outside.
pub fn effect(effect: &Effect, clock: Clock) -> String {
    match effect {
        Effect::Lane(command) => {
            let verdict = match command.verdict {
                Verdict::Open => "open",
                Verdict::Refuse => "stay closed",
                Verdict::Ask => "stay closed and say what is missing",
            };
            let due = command.due.map(|due| format!(" {due}")).unwrap_or_default();
            format!("lane {} was told: {verdict} ({}{due}), until {}", command.lane, command.reason, clock(command.expires_at))
        }
        Effect::Call(call) => format!("{} was told: {} attempt {}", call.channel, call.act.as_str(), call.attempt),
        Effect::Notice(notice) => format!("{} was told that the car has come, of stay {}", notice.channel, notice.session),
        Effect::Channel(event) => format!("the inbox of channels was told what {} would have: {}", event.channel, event.kind()),
        Effect::Refund(call) if call.asks => format!("{} was asked how refund {} stands", call.channel, call.refund),
        Effect::Refund(call) => format!("{} was told: give back {}, as refund {}", call.channel, call.amount, call.refund),
    }
}

/// So long, as people write it.
pub fn span(micros: i64) -> String {
    let millis = micros.div_euclid(1_000);
    match millis {
        ..10_000 => format!("{millis} ms"),
        10_000..120_000 => format!("{} s", millis / 1_000),
        120_000..7_200_000 => format!("{} min", millis / 60_000),
        _ => format!("{} h", millis / 3_600_000),
    }
}

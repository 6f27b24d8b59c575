//! What the ledger says of money: each movement becomes one balanced posting, and each settlement window one statement.
//!
//! Invariants
//! 1. Debits equal credits in every posting and so in every window   (`tests::laws::every_posting_balances`).
//! 2. What channels owe us is what was captured and not yet given back, less their fees   (`tests::a_refund_ends_where_it_began`).
//! 3. A window closes once; what comes into it later is in adjustments, and all of them add up to all of its rows
//!    (`tests::laws::statement_and_adjustments_are_all_rows`).
//! 4. A window whose rows are not what was posted into it does not close   (`tests::a_window_whose_rows_differ_stops`).
//! 5. Of what was given up and came after all nothing is left in the books   (`tests::a_write_off_that_is_undone_leaves_nothing`).
//! 6. A payout changes where money is, and nothing else   (`tests::a_payout_moves_money_from_the_channel_to_the_bank`).
//!
//! Not here: which money moves (`payment`), which accounts a movement touches (`movement`), what a channel charges (`fee`), what of a discount is in the books
//! already (`discount`), what of a day's fees a statement has told (`kept`), what rows add up to (`tally`).

mod discount;
mod fee;
mod kept;
mod movement;
mod tally;

use crate::{Body, Facts, Input, Rules, Touch, View, nothing};
use movement::Movement;
use schema::{
    Effect, Entity, Event, Journal, Key, Moment, Recorded, Table, Zone,
    entity::{Posting, Settling, Window},
    id,
    ledger::{DayFees, Discounts, LedgerEvent, Span, Statement, Tally, WindowAt},
    time::DAY,
};
use std::{collections::BTreeMap, sync::Arc};

pub use tally::figures;

/// The processor `settlement`.
pub const RULES: Rules =
    Rules { name: "settlement", journal: Journal::Ledger, concerns, needs, wants: nothing, audits, decide, touches, evolve, effects };

/// What channels charge by contract, in millionths of what they capture, by channel; who is not there charges nothing.
pub type Fees = BTreeMap<Arc<str>, u32>;

/// How long a settlement window is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Length {
    /// A local day of its lot.
    #[default]
    Day,
    /// A local hour of its lot.
    Hour,
}

/// The ledger rows of a settlement window, as the store has them.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The rows, each with the moment at which it was recorded; rows of other windows may be among them.
    pub rows: &'a [(Moment, Posting)],
    /// All that was recorded until then is among them.
    pub as_of: Moment,
}

/// What is posted, and where.
struct Posted<'a> {
    movement: Movement<'a>,
    window: WindowAt,
    span: Span,
}

fn concerns(body: &Body) -> bool {
    match body {
        Body::Journal(recorded) => movement::what(&recorded.event).is_some(),
        Body::Tick(_) => true,
        Body::Gate(_) | Body::Channel(_) | Body::Desk(_) | Body::Statement(_) => false,
    }
}

fn posted<'a>(facts: &Facts, input: &'a Input) -> Option<Posted<'a>> {
    let Body::Journal(recorded) = &input.body else { return None };
    let movement = movement::of(recorded, &facts.limits.fees)?;
    let lot = movement.lot.as_ref().and_then(|lot| facts.reference.lot(lot));
    let utc = || Zone::named("UTC").expect("UTC is a time zone");
    let zone = lot.map_or_else(utc, |lot| lot.zone.clone());
    let (from, until) = match facts.limits.window {
        Length::Day => zone.day_span(movement.at),
        Length::Hour => zone.hour_span(movement.at),
    };
    let Movement { province, partition, lot, currency, at, .. } = movement;
    let window = WindowAt { province, partition, day: zone.day(at), lot, channel: movement.channel.into(), currency, from };
    let closes_at = until.max(input.received_at).plus(facts.limits.lateness);
    Some(Posted { movement, window, span: Span { from, until, closes_at } })
}

fn discounts_key(discounts: &Discounts) -> Option<Key> {
    Key::of(Table::Discounts, discounts.session)
}

fn needs(_: &dyn View, facts: &Facts, input: &Input) -> Vec<Key> {
    if let Body::Tick(key) = &input.body {
        return vec![*key];
    }
    let Some(Posted { movement, window, .. }) = posted(facts, input) else { return Vec::new() };
    let discounts = movement.discounts.as_deref().and_then(discounts_key);
    let fees = kept::at(&movement, told(input).as_ref()).map(|fees| fees.key());
    std::iter::once(window.key()).chain(discounts).chain(fees).collect()
}

/// What a channel's statement tells of its fees.
fn told(input: &Input) -> Option<LedgerEvent> {
    let Body::Journal(recorded) = &input.body else { return None };
    if let Event::Recon(event) = &recorded.event { kept::told(event) } else { None }
}

/// A window closes on its rows as the store has them.
fn audits(input: &Input) -> Option<Key> {
    if let Body::Tick(key) = &input.body { Some(*key).filter(|key| key.table == Table::Windows) } else { None }
}

fn decide(view: &dyn View, facts: &Facts, input: &Input) -> Vec<Event> {
    let told = told(input);
    let event = match &input.body {
        Body::Tick(key) => close(view, input, key),
        _ => posted(facts, input).and_then(|posted| post(view, facts, input, posted, told.as_ref())),
    };
    told.into_iter().chain(event).map(Event::Ledger).collect()
}

fn post(view: &dyn View, facts: &Facts, input: &Input, posted: Posted<'_>, told: Option<&LedgerEvent>) -> Option<LedgerEvent> {
    let Posted { movement, window, span } = posted;
    let fees = kept::at(&movement, told);
    let Movement { what, order, lot, operator: told_of, currency, at, mut entries, discounts, province, .. } = movement;
    let operator = lot.as_ref().and_then(|lot| facts.reference.lot(lot)).map(|lot| lot.declared.operator).or(told_of);
    let booked = discounts.as_deref().and_then(discounts_key).and_then(|key| view.get(&key));
    let booked = if let Some(Entity::Discounted(booked)) = booked { Some(&**booked) } else { None };
    let discounts = discounts.filter(|taken| booked.is_none_or(|booked| booked.asked_at <= taken.asked_at));
    entries.extend(discounts.iter().flat_map(|taken| discount::entries(taken, booked, operator.as_ref())));
    if let Some(fees) = fees {
        let known = if let Some(Entity::Fees(known)) = view.get(&fees.key()) { Some(&**known) } else { None };
        entries.extend(kept::adjustment(known, &fees, &entries, told));
    }
    if entries.is_empty() {
        return order.map(|order| LedgerEvent::Noted { order, province });
    }
    let about = order.map_or_else(|| lot.map(|lot| lot.to_string()).unwrap_or_default(), |order| order.to_string());
    let posting = window.posting(&[input.inbox.stream(), &about, &input.key]);
    let (day, channel) = (window.day, window.channel);
    let discounts = discounts.map(std::borrow::Cow::into_owned).map(Box::new);
    let (at, movement, span) = (Some(at), Some(what), Some(span));
    Some(LedgerEvent::Posted { posting, order, lot, day, province, channel, currency, entries, operator, at, movement, span, discounts })
}

/// A window that is due closes on its rows, or stops where they differ from what was posted; it waits where they cannot be read.
fn close(view: &dyn View, input: &Input, key: &Key) -> Option<LedgerEvent> {
    let Some(Entity::Settling(window)) = view.get(key) else { return None };
    window.closes_at.filter(|due| *due <= input.received_at)?;
    let rows = view.rows(key).filter(|rows| window.newest <= rows.as_of)?;
    let at = tally::window_at(window, key);
    if let Some(differs) = tally::differs(window, &at, rows.rows) {
        return Some(LedgerEvent::WindowStopped { window: at, differs: differs.into(), due_at: input.received_at.plus(DAY) });
    }
    let Settling { operator, lot, province, currency, day, from, until, last, statements: number, .. } = **window;
    let statement = Statement {
        statement: at.statement(number),
        operator,
        lot,
        province,
        channel: window.channel.clone(),
        currency,
        day,
        from,
        until,
        number,
        adjusts: last,
        tally: window.tally.clone(),
        figures: figures(&window.tally),
        hash: window.hash.clone(),
    };
    Some(LedgerEvent::WindowClosed { statement: Box::new(statement) })
}

/// The key under which the first releases summed up a lot's day; `unknown` while the order was not known.
fn day_key(event: &LedgerEvent) -> Option<Key> {
    let LedgerEvent::Posted { posting, lot, day, span: None, .. } = event else { return None };
    let place = id::place(posting.as_str())?;
    let lot = lot.unwrap_or_else(|| "unknown".parse().expect("a word is a token"));
    Some(Key { bucket: place.partition, ..Key::window(place.province, lot, *day) })
}

fn touches(event: &Event) -> Vec<Touch> {
    let Event::Ledger(event) = event else { return Vec::new() };
    let old = |key| Touch { key, born: false };
    let new = |key| Touch { key, born: true };
    let window = event.window().map(|window| window.key()).or_else(|| day_key(event)).map(old);
    let (row, beside) = match event {
        LedgerEvent::Posted { posting, discounts, .. } => {
            (Key::of(Table::Ledger, *posting).map(new), discounts.as_deref().and_then(discounts_key).map(old))
        }
        LedgerEvent::WindowClosed { statement } => (Key::of(Table::Statements, statement.statement).map(new), None),
        LedgerEvent::WindowStopped { .. } | LedgerEvent::FeesTold { .. } | LedgerEvent::Noted { .. } => (None, None),
    };
    let fees = event.fees().map(|fees| old(fees.key()));
    row.into_iter().chain(window).chain(beside).chain(fees).collect()
}

fn row(event: &LedgerEvent) -> Option<Posting> {
    let LedgerEvent::Posted { posting, order, lot, day, channel, currency, entries, operator, at, movement, span, .. } = event else { return None };
    Some(Posting {
        posting: *posting,
        order: *order,
        lot: *lot,
        day: *day,
        channel: channel.clone(),
        currency: *currency,
        entries: entries.clone(),
        operator: *operator,
        at: *at,
        movement: *movement,
        span: *span,
    })
}

fn evolve(key: &Key, entity: Option<Entity>, recorded: &Recorded) -> Entity {
    let Event::Ledger(event) = &recorded.event else { unreachable!("LEDGER holds its own events alone") };
    match (key.table, event) {
        (Table::Ledger, event) => Entity::Posting(Box::new(row(event).expect("a posting alone has a row"))),
        (Table::Statements, LedgerEvent::WindowClosed { statement }) => Entity::Statement(statement.clone()),
        (Table::Discounts, LedgerEvent::Posted { discounts: Some(discounts), .. }) => Entity::Discounted(discounts.clone()),
        (Table::Fees, event) => {
            let begun = || Box::new(DayFees::new(event.fees().expect("it is about fees")));
            let mut day = if let Some(Entity::Fees(day)) = entity { day } else { begun() };
            kept::fold(&mut day, event);
            Entity::Fees(day)
        }
        (_, LedgerEvent::Posted { span: None, currency, entries, .. }) => {
            let mut window = if let Some(Entity::Window(window)) = entity { window } else { Window::default() };
            window.postings = window.postings.saturating_add(1);
            for entry in entries {
                let account: String = format!("{currency:?}/{}", in_camels(entry.account.as_str()));
                let sums = window.sums.entry(account).or_default();
                *sums = (sums.0.saturating_add(entry.debit), sums.1.saturating_add(entry.credit));
            }
            Entity::Window(window)
        }
        (_, event) => {
            let known = if let Some(Entity::Settling(window)) = entity { Some(window) } else { None };
            Entity::Settling(settling(known, recorded.at, event))
        }
    }
}

/// An account as the first releases wrote it: `ParkingRevenue`.
fn in_camels(account: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    account.split('_').map(word).collect()
}

/// The fold of a settlement window.
fn settling(known: Option<Box<Settling>>, recorded_at: Moment, event: &LedgerEvent) -> Box<Settling> {
    match (event, known) {
        (LedgerEvent::Posted { lot, day, province, channel, currency, operator, span: Some(span), .. }, known) => {
            let mut window = known.unwrap_or_else(|| {
                Box::new(Settling {
                    // What has no lot may be of several operators: its rows tell.
                    operator: lot.and(*operator),
                    lot: *lot,
                    province: *province,
                    channel: channel.clone(),
                    currency: *currency,
                    day: *day,
                    from: span.from,
                    until: span.until,
                    tally: Tally::default(),
                    hash: "".into(),
                    newest: recorded_at,
                    statements: 0,
                    last: None,
                    closed_at: None,
                    closes_at: None,
                    stopped: None,
                })
            });
            let row = row(event).expect("it is a posting");
            tally::add(&mut window.tally, &row);
            window.hash = row.hash_after(&window.hash).into();
            window.newest = recorded_at;
            window.closes_at = Some(window.closes_at.map_or(span.closes_at, |before| before.max(span.closes_at)));
            window
        }
        (LedgerEvent::WindowClosed { statement }, Some(mut window)) => {
            window.tally = Tally::default();
            window.statements = statement.number.saturating_add(1);
            (window.last, window.closed_at) = (Some(statement.statement), Some(recorded_at));
            (window.closes_at, window.stopped) = (None, None);
            window
        }
        (LedgerEvent::WindowStopped { differs, due_at, .. }, Some(mut window)) => {
            (window.closes_at, window.stopped) = (Some(*due_at), Some(differs.clone()));
            window
        }
        _ => unreachable!("{} {recorded_at} does not concern a settlement window that has not begun", Journal::Ledger),
    }
}

fn effects(_: &Recorded) -> Vec<Effect> {
    Vec::new()
}

#[cfg(test)]
mod tests;

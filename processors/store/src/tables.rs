//! What people can ask of the rows: the columns of every table, declared once for SQLite and CQL.
//!
//! Every table has a key (`province`, `day`, `bucket`, `id`), a version (`at`, microseconds), `open` and `body`, the whole entity as JSON.
//! What follows these are copies of what lies in the body, so that a query need not open it. Money is in minor units.
//!
//! Invariants
//! 1. Each entity gives one value per column of its table   (`tests::every_entity_gives_a_value_for_every_column`).
//! 2. The CQL files declare these columns and no others   (`tests::the_cql_files_declare_these_columns`).
//! 3. There is no null: what is not known is an empty text or 0   (`Value` has none; in CQL a null would be a tombstone).
//!
//! Not here: the SQL and CQL around them (`sqlite`, `cql`).

use crate::Row;
use schema::{
    Entity, Id, Table,
    entity::{Receipt, Stage},
    exception::Closing,
    ledger::{Figures, Statement},
    payout::Payout,
    statement::Difference,
};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text; empty where nothing is known.
    Text,
    /// 64 bits: minor units, microseconds since 1970 in UTC, counts; 0 where nothing is known.
    Number,
}

/// A column's name and what it holds.
pub(crate) type Column = (&'static str, Kind);

/// The value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Of [`Kind::Text`].
    Text(String),
    /// Of [`Kind::Number`].
    Number(i64),
}

/// The columns of a table behind the common ones.
pub(crate) const fn columns(table: Table) -> &'static [Column] {
    use Kind::{Number, Text};
    match table {
        Table::Lots => &[("lot", Text), ("occupied", Number)],
        Table::Sessions => &[
            ("lot", Text),
            ("plate", Text),
            ("stage", Text),
            ("entered_at", Number),
            ("left_at", Number),
            ("paid_minor", Number),
            ("currency", Text),
            ("order_id", Text),
        ],
        Table::Waiting => &[("lot", Text), ("plate", Text), ("left_at", Number), ("session_id", Text)],
        Table::Facts => &[("lot", Text), ("part", Text), ("kind", Text), ("plates", Text), ("author", Text), ("said_at", Number)],
        Table::Orders => &[
            ("lot", Text),
            ("session_id", Text),
            ("total_minor", Number),
            ("paid_minor", Number),
            ("currency", Text),
            ("rate_table", Text),
            ("channel", Text),
        ],
        Table::Payments => &[
            ("lot", Text),
            ("settled_day", Number),
            ("due_minor", Number),
            ("received_minor", Number),
            ("applied_minor", Number),
            ("refunded_minor", Number),
            ("open_minor", Number),
            ("currency", Text),
        ],
        Table::Shifts => {
            &[("lot", Text), ("name", Text), ("cashier", Text), ("expected_minor", Number), ("counted_minor", Number), ("currency", Text)]
        }
        Table::Ledger => {
            &[("lot", Text), ("channel", Text), ("order_id", Text), ("currency", Text), ("debit_minor", Number), ("credit_minor", Number)]
        }
        Table::Windows => &[("postings", Number)],
        Table::Statements => &[
            ("lot", Text),
            ("operator", Text),
            ("channel", Text),
            ("currency", Text),
            ("number", Number),
            ("adjusts", Text),
            ("from_at", Number),
            ("until_at", Number),
            ("postings", Number),
            ("payments", Number),
            ("refunds", Number),
            ("gross_minor", Number),
            ("discounts_minor", Number),
            ("points_minor", Number),
            ("refunded_minor", Number),
            ("fees_minor", Number),
            ("net_minor", Number),
            ("hash", Text),
        ],
        Table::Discounts => &[("asked_at", Number), ("discounts_minor", Number)],
        Table::Fees => &[("channel", Text), ("currency", Text), ("booked_minor", Number), ("told_minor", Number)],
        Table::Pieces => &[("channel", Text), ("merchant", Text), ("term", Text), ("matched", Number), ("differ", Number), ("hash", Text)],
        Table::Exceptions => &[
            ("channel", Text),
            ("merchant", Text),
            ("difference", Text),
            ("number", Text),
            ("channel_transaction", Text),
            ("gap_minor", Number),
            ("currency", Text),
            ("age", Text),
            ("owner", Text),
            ("closed", Text),
        ],
        Table::Payouts => &[
            ("channel", Text),
            ("merchant", Text),
            ("reference", Text),
            ("operator", Text),
            ("amount_minor", Number),
            ("currency", Text),
            ("booked_at", Number),
            ("days", Number),
            ("refused", Number),
        ],
        Table::SessionAnswers | Table::OrderAnswers | Table::PaymentAnswers | Table::LedgerAnswers | Table::ReconAnswers => {
            &[("input_at", Number), ("events", Number)]
        }
    }
}

/// Behind every character of an id.
pub(crate) const BEHIND_ALL: char = '~';

/// The names of all columns of a table, in the order in which [`Cells`] come.
pub(crate) fn names(table: Table) -> Vec<&'static str> {
    let common = ["province", "day", "bucket", "id", "at", "open", "body"];
    common.into_iter().chain(columns(table).iter().map(|(name, _)| *name)).collect()
}

/// Whether a table has rows that can be open. The others need no index of open rows.
pub(crate) const fn opens(table: Table) -> bool {
    match table {
        Table::Lots | Table::Sessions | Table::Waiting | Table::Orders | Table::Payments | Table::Shifts | Table::Windows | Table::Exceptions => true,
        Table::Facts
        | Table::Ledger
        | Table::Statements
        | Table::Discounts
        | Table::Fees
        | Table::Pieces
        | Table::Payouts
        | Table::SessionAnswers
        | Table::OrderAnswers
        | Table::PaymentAnswers
        | Table::LedgerAnswers
        | Table::ReconAnswers => false,
    }
}

/// Whether a table's rows are forgotten once they are [`schema::entity::Answer::KEPT`] old: in CQL by the table's own time to live.
pub(crate) const fn forgets(table: Table) -> bool {
    match table {
        Table::SessionAnswers | Table::OrderAnswers | Table::PaymentAnswers | Table::LedgerAnswers | Table::ReconAnswers => true,
        Table::Lots
        | Table::Sessions
        | Table::Waiting
        | Table::Facts
        | Table::Orders
        | Table::Payments
        | Table::Shifts
        | Table::Ledger
        | Table::Windows
        | Table::Pieces
        | Table::Exceptions
        | Table::Payouts
        | Table::Statements
        | Table::Discounts
        | Table::Fees => false,
    }
}

/// The tables of a journal.
pub(crate) fn of(journal: schema::Journal) -> impl Iterator<Item = Table> {
    Table::ALL.into_iter().filter(move |table| table.journal() == journal)
}

/// A row as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Cells {
    /// Its key.
    pub key: schema::Key,
    /// Its version.
    pub at: i64,
    /// Whether its entity is open.
    pub open: bool,
    /// The entity as JSON.
    pub body: String,
    /// The values of [`columns`].
    pub values: Vec<Value>,
}

impl Cells {
    /// The cells of a row. Its entity must belong to its table.
    pub(crate) fn of(row: &Row) -> Self {
        let open = row.entity.is_open();
        assert!(!open || opens(row.key.table), "an open row in {}, which has none: say so in tables::opens", row.key.table.name());
        let body = serde_json::to_string(&row.entity).expect("an entity has text keys and finite numbers, so it is JSON");
        Self { key: row.key, at: row.at.0, open, body, values: values(row.key.table, &row.entity) }
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn id(value: impl Into<Option<Id>>) -> Value {
    Value::Text(value.into().map(|id| id.to_string()).unwrap_or_default())
}

fn count(number: u64) -> Value {
    Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

fn currency(money: Option<schema::Money>) -> Value {
    Value::Text(money.map(|m| currency_code(m.currency).to_owned()).unwrap_or_default())
}

const fn currency_code(currency: schema::Currency) -> &'static str {
    match currency {
        schema::Currency::Cny => "CNY",
        schema::Currency::Jpy => "JPY",
        schema::Currency::Aud => "AUD",
        schema::Currency::Usd => "USD",
        schema::Currency::Eur => "EUR",
    }
}

fn of_payout(payout: &Payout) -> Vec<Value> {
    let Payout { at, paid, refused } = payout;
    let length = |many: usize| count(u64::try_from(many).unwrap_or(u64::MAX));
    vec![
        text(&at.channel),
        text(&at.merchant),
        text(&paid.reference),
        id(paid.operator),
        Value::Number(paid.amount.minor),
        text(currency_code(paid.amount.currency)),
        Value::Number(paid.booked_at.0),
        length(paid.days.len()),
        length(refused.len()),
    ]
}

fn of_statement(statement: &Statement) -> Vec<Value> {
    use Value::Number;
    let Figures { gross, discounts, points, refunded, fees, short: _, found: _, net } = &statement.figures;
    vec![
        id(statement.lot),
        id(statement.operator),
        text(&statement.channel),
        text(currency_code(statement.currency)),
        Number(statement.number.into()),
        id(statement.adjusts),
        Number(statement.from.0),
        Number(statement.until.0),
        count(statement.tally.rows),
        count(statement.tally.payments),
        count(statement.tally.refunds),
        Number(*gross),
        Number(discounts.values().copied().fold(0, i64::saturating_add)),
        Number(*points),
        Number(*refunded),
        Number(*fees),
        Number(*net),
        text(&statement.hash),
    ]
}

/// The values of a table's columns. What is summed here saturates: the body has the parts.
#[expect(clippy::too_many_lines, reason = "one arm for each table")]
fn values(table: Table, entity: &Entity) -> Vec<Value> {
    use Value::Number;
    let sum = |amounts: &mut dyn Iterator<Item = i64>| Number(amounts.fold(0, i64::saturating_add));
    match (table, entity) {
        (Table::Lots, Entity::Lot(lot)) => vec![id(lot.lot), Number(lot.occupied)],
        (Table::Sessions, Entity::Session(session)) => vec![
            id(session.stay.lot),
            text(&session.stay.credential.text),
            text(match session.stage {
                Stage::Open => "open",
                Stage::Leaving => "leaving",
                Stage::Closed => "closed",
            }),
            Number(session.stay.entered_at.0),
            Number(session.departure.as_ref().map_or(0, |d| d.left_at.0)),
            Number(session.paid.map_or(0, |m| m.minor)),
            currency(session.paid),
            id(session.order),
        ],
        (Table::Waiting, Entity::Waiting(waiting)) => {
            vec![id(waiting.lot), text(&waiting.credential.text), Number(waiting.departure.left_at.0), id(waiting.released_by)]
        }
        (Table::Facts, Entity::Stated(stated)) => vec![
            id(stated.lot),
            text(stated.part.as_str()),
            text(stated.what.kind().as_str()),
            text(&stated.of.iter().map(|credential| &*credential.text).collect::<Vec<_>>().join(" ")),
            text(stated.author.as_str()),
            Number(stated.said_at.0),
        ],
        (Table::Orders, Entity::Order(order)) => {
            let total = order.quote.as_ref().map(|q| q.total);
            let paid = order.paid.as_ref().map(|(money, _)| *money);
            vec![
                id(order.stay.lot),
                id(order.stay.session),
                Number(total.map_or(0, |m| m.minor)),
                Number(paid.map_or(0, |m| m.minor)),
                currency(paid.or(total)),
                text(order.quote.as_ref().map_or("", |q| &*q.rate_table)),
                text(order.paid.as_ref().map_or("", |(_, source)| &*source.channel)),
            ]
        }
        (Table::Payments, Entity::Payment(payment)) => {
            let of = |part: fn(&Receipt) -> i64| sum(&mut payment.receipts.values().map(part));
            vec![
                id(payment.lot),
                Number(payment.day.0.into()),
                Number(payment.due.map_or(0, |m| m.minor)),
                of(Receipt::captured),
                of(Receipt::applied),
                of(Receipt::refunded),
                of(Receipt::owed),
                currency(payment.due.or_else(|| payment.receipts.values().next().map(|r| r.amount))),
            ]
        }
        (Table::Shifts, Entity::Shift(shift)) => vec![
            id(shift.lot),
            text(shift.name.as_str()),
            text(shift.opened.author.as_str()),
            Number(shift.expected().minor),
            Number(shift.counted.map_or(0, |m| m.minor)),
            currency(Some(shift.float)),
        ],
        (Table::Ledger, Entity::Posting(posting)) => vec![
            id(posting.lot),
            text(&posting.channel),
            id(posting.order),
            text(currency_code(posting.currency)),
            sum(&mut posting.entries.iter().map(|e| e.debit)),
            sum(&mut posting.entries.iter().map(|e| e.credit)),
        ],
        (Table::Windows, Entity::Window(window)) => vec![count(window.postings)],
        (Table::Windows, Entity::Settling(window)) => vec![count(window.tally.rows)],
        (Table::Statements, Entity::Statement(statement)) => of_statement(statement),
        (Table::Discounts, Entity::Discounted(discounts)) => {
            vec![Number(discounts.asked_at.0), sum(&mut discounts.borne.values().copied())]
        }
        (Table::Fees, Entity::Fees(day)) => {
            let told = sum(&mut day.told.values().copied());
            vec![text(&day.fees.channel), text(currency_code(day.fees.currency)), Number(day.booked), told]
        }
        (Table::Pieces, Entity::Piece(piece)) => {
            let (matched, all) = (piece.count(Difference::Matched), Difference::ALL.map(|difference| piece.count(difference)));
            let differ = all.into_iter().fold(0_u64, u64::saturating_add).saturating_sub(matched);
            let at = &piece.piece;
            vec![text(&at.channel), text(&at.merchant), text(piece.term.as_str()), count(matched), count(differ), text(&piece.hash)]
        }
        (Table::Exceptions, Entity::Exception(exception)) => vec![
            text(&exception.piece.channel),
            text(&exception.piece.merchant),
            text(exception.difference.as_str()),
            text(exception.number()),
            text(exception.transaction()),
            Number(exception.gap()),
            currency(Some(exception.money())),
            text(exception.age.as_str()),
            text(exception.owner.as_ref().map_or("", |owner| owner.as_str())),
            text(exception.closed.map_or("", Closing::as_str)),
        ],
        (Table::Payouts, Entity::Payout(payout)) => of_payout(payout),
        (
            Table::SessionAnswers | Table::OrderAnswers | Table::PaymentAnswers | Table::LedgerAnswers | Table::ReconAnswers,
            Entity::Answer(answer),
        ) => {
            vec![Number(answer.time.0), Number(answer.events.into())]
        }
        (table, entity) => panic!("a row of {} cannot hold {entity:?}", table.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::samples;

    #[test]
    fn every_entity_gives_a_value_for_every_column() {
        let rows = samples();
        for table in Table::ALL {
            assert!(rows.iter().any(|row| row.key.table == table), "no sample of {}", table.name());
        }
        for row in rows {
            let cells = Cells::of(&row);
            let kinds: Vec<Kind> = cells.values.iter().map(|v| if matches!(v, Value::Text(_)) { Kind::Text } else { Kind::Number }).collect();
            let declared: Vec<Kind> = columns(row.key.table).iter().map(|(_, kind)| *kind).collect();
            assert_eq!(kinds, declared, "{}", row.key.table.name());
        }
    }

    #[test]
    fn the_cql_files_declare_these_columns() {
        let cql: String = crate::cql::FILES.concat();
        for table in Table::ALL {
            let body = cql.split(&format!("TABLE IF NOT EXISTS {} (", table.name())).nth(1).and_then(|rest| rest.split("PRIMARY KEY").next());
            let declared: Vec<(&str, &str)> = body
                .unwrap_or_else(|| panic!("no table {} in schema/cql", table.name()))
                .split(',')
                .filter_map(|line| line.trim().split_once(' '))
                .collect();
            let common = [
                ("province", "smallint"),
                ("day", "int"),
                ("bucket", "smallint"),
                ("id", "text"),
                ("at", "bigint"),
                ("open", "boolean"),
                ("body", "text"),
            ];
            let own = columns(table).iter().map(|(name, kind)| (*name, if *kind == Kind::Text { "text" } else { "bigint" }));
            assert_eq!(declared, common.into_iter().chain(own).collect::<Vec<_>>(), "{}", table.name());
        }
    }
}

//! What rate tables say before they go live: the price of one stay, of many, and what a change of tariff would bring.
//!
//! These commands need files alone, no running system.
//!
//! Invariants
//! 1. A file is one table, or tables and calendars as reference data has them   (`tests::a_file_is_one_table_or_reference_data`).
//! 2. Every recorded stay is counted: dearer, cheaper, the same, or without a price under one of the two   (`tests::every_stay_is_counted`).
//!
//! Not here: what a table means (`rules::quote`), the price of a stay at a running system.

mod compare;
mod plot;

pub use compare::{Compared, compare};

use crate::document::{self, Format};
use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::{Timestamp, civil, tz::TimeZone};
use rules::quote::{self, Stay, why};
use schema::{
    Energy, LotId, Moment, Money, VehicleClass, Zone,
    journal::Quote,
    rate::{DAY_MIN, DayKind, LocalTime, Prepaid, RateLineType, RateTable, Resolved, Segment, Tariff, Validation, ValidationKind},
    reference::Declared,
    time::MINUTE,
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// A stay as somebody types it.
#[derive(clap::Args, Clone, Debug)]
pub struct Asked {
    /// When it begins: 2026-11-23T08:00 by the lot's clock, or with an offset.
    #[arg(long)]
    pub entry: String,
    /// When it ends.
    #[arg(long)]
    pub exit: String,
    /// The lot's time zone.
    #[arg(long, default_value = "Asia/Shanghai")]
    pub zone: String,
    /// The table, where the file has several.
    #[arg(long)]
    pub table: Option<String>,
    /// motorcycle, small or large.
    #[arg(long, default_value = "small")]
    pub class: String,
    /// fuel or new.
    #[arg(long, default_value = "fuel")]
    pub energy: String,
    /// A coupon: free, time:MINUTES, percent:N or amount:MINOR, and @BEARER; may be repeated.
    #[arg(long = "validation")]
    pub validations: Vec<String>,
    /// What a right covers: FROM/UNTIL; may be repeated.
    #[arg(long = "right")]
    pub rights: Vec<String>,
    /// What was paid before: MINOR@TIME; may be repeated.
    #[arg(long)]
    pub paid: Vec<String>,
    /// Minutes to leave after a payment.
    #[arg(long, default_value_t = 15)]
    pub grace: i64,
    /// The ticket is lost: the table's price for that, at the time of the exit.
    #[arg(long)]
    pub lost_ticket: bool,
}

/// The tariffs of a file, by id: one table, or tables and calendars as reference data has them.
pub fn read(path: &Path) -> Result<BTreeMap<Arc<str>, Tariff>> {
    let (text, format) = document::read(path)?;
    parse(&text, format, |tables| tables).with_context(|| format!("{} is refused", path.display()))
}

/// The tariffs of a text, each of the versions that `keep` leaves of those with the same id.
fn parse(text: &str, format: Format, keep: impl Fn(Vec<RateTable>) -> Vec<RateTable>) -> Result<BTreeMap<Arc<str>, Tariff>> {
    let is_whole = format.parse::<serde_json::Value>(text)?.get("rate_tables").is_some();
    let declared = if is_whole { format.parse(text)? } else { Declared { rate_tables: vec![format.parse(text)?], ..Declared::default() } };
    let mut versions: BTreeMap<Arc<str>, Vec<RateTable>> = BTreeMap::new();
    for table in declared.rate_tables {
        versions.entry(table.id.clone()).or_default().push(table);
    }
    ensure!(!versions.is_empty(), "it has no rate table");
    let resolve = |(id, tables): (Arc<str>, Vec<RateTable>)| {
        let tables: Vec<_> = keep(tables).into_iter().map(Arc::new).collect();
        Ok((id, Tariff::resolve(&tables, &declared.calendars)?))
    };
    versions.into_iter().map(resolve).collect()
}

/// The tariff of that id; the only one where none is named.
pub fn choose<'a>(tariffs: &'a BTreeMap<Arc<str>, Tariff>, id: Option<&str>) -> Result<&'a Tariff> {
    let names = || tariffs.keys().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    match id {
        Some(id) => tariffs.get(id).ok_or_else(|| anyhow!("there is no rate table {id}: name one of {}", names())),
        None if tariffs.len() == 1 => tariffs.values().next().ok_or_else(|| anyhow!("there is no rate table")),
        None => bail!("there are several rate tables: name one of {} with --table", names()),
    }
}

/// A zone, as rules and as jiff know it.
struct Clock {
    zone: Zone,
    civil: TimeZone,
}

impl Clock {
    fn named(name: &str) -> Result<Self> {
        let zone = Zone::named(name).ok_or_else(|| anyhow!("no time zone {name}: name one as Asia/Shanghai or +08:00"))?;
        let fixed = |_| jiff::fmt::temporal::DateTimeParser::new().parse_time_zone(name);
        Ok(Self { zone, civil: TimeZone::get(name).or_else(fixed)? })
    }

    /// A moment with its offset, or by this clock.
    fn moment(&self, text: &str) -> Result<Moment> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Moment(time.as_microsecond()));
        }
        let time: civil::DateTime = text.parse().with_context(|| format!("{text:?} is no time: write it as 2026-11-23T08:00"))?;
        Ok(Moment(self.civil.to_zoned(time)?.timestamp().as_microsecond()))
    }

    /// What it shows, as people write it.
    fn show(&self, moment: Moment) -> String {
        LocalTime::at(moment, &self.zone).to_string().replace('T', " ")
    }
}

/// A word of the schema, as its files write it.
fn word<T: DeserializeOwned>(text: &str) -> Result<T> {
    Ok(serde_json::from_value(text.into())?)
}

fn validation((at, text): (usize, &String)) -> Result<Validation> {
    let (kind, bearer) = text.split_once('@').unwrap_or((text, "unnamed"));
    let (kind, number) = kind.split_once(':').unwrap_or((kind, ""));
    let number = || number.parse::<i64>().with_context(|| format!("{text:?} needs a number, as time:60"));
    let kind = match kind {
        "free" => ValidationKind::Free,
        "time" => ValidationKind::FreeTime { minutes: number()? },
        "percent" => ValidationKind::Percent { percent: u8::try_from(number()?).context("a percent is 0 to 100")? },
        "amount" => ValidationKind::AmountOff { amount: number()? },
        _ => bail!("{text:?} is no validation: write free, time:MINUTES, percent:N or amount:MINOR"),
    };
    Ok(Validation { id: format!("#{}", at + 1).into(), bearer: bearer.into(), kind, over: false })
}

/// The price of what is asked.
pub fn price(tariff: &Tariff, asked: &Asked) -> Result<Quote> {
    let clock = Clock::named(&asked.zone)?;
    let (entered_at, left_at) = (clock.moment(&asked.entry)?, clock.moment(&asked.exit)?);
    if asked.lost_ticket {
        return Ok(quote::lost_ticket(tariff, left_at, &clock.zone)?);
    }
    let currency = tariff.newest().context("there is no rate table")?.currency;
    let right = |text: &String| {
        let (from, until) = text.split_once('/').with_context(|| format!("{text:?}: write a right as FROM/UNTIL"))?;
        Ok(Segment { from: clock.moment(from)?, until: clock.moment(until)?, right: text.as_str().into() })
    };
    let paid = |text: &String| {
        let (minor, at) = text.split_once('@').with_context(|| format!("{text:?}: write a payment as MINOR@TIME"))?;
        let amount = Money::new(minor.parse().with_context(|| format!("{minor:?} is no amount in minor units"))?, currency);
        let at = clock.moment(at)?;
        Ok(Prepaid { id: text.as_str().into(), at, amount, until: at })
    };
    let segments = asked.rights.iter().map(right).collect::<Result<Vec<_>>>()?;
    let mut paid = asked.paid.iter().map(paid).collect::<Result<Vec<_>>>()?;
    paid.sort_by_key(|paid| paid.at);
    let validations = asked.validations.iter().enumerate().map(validation).collect::<Result<Vec<_>>>()?;
    let stay = Stay {
        class: word(&asked.class)?,
        energy: word(&asked.energy)?,
        segments: &segments,
        validations: &validations,
        paid: &paid,
        grace_min: asked.grace,
        ..Stay::new(entered_at, left_at, &clock.zone)
    };
    Ok(quote::quote(tariff, &stay)?)
}

/// The price of what is asked at a lot: by its own tariff, clock and minutes to leave.
pub fn price_at(declared: Declared, lot: &LotId, asked: &mut Asked) -> Result<Quote> {
    let reference = schema::Reference::resolve(declared)?;
    let known = reference.lot(lot).ok_or_else(|| anyhow!("there is no lot {lot} in the reference data"))?;
    let tariff = known.tariff.as_ref().ok_or_else(|| anyhow!("lot {lot} has no rate table: give it one in the reference data"))?;
    asked.zone = known.declared.zone.to_string();
    asked.grace = i64::from(known.declared.exit_grace_min);
    price(tariff, asked)
}

/// Prints a quote line by line, by the clock of the lot.
pub fn show(quote: &Quote, asked: &Asked) -> Result<()> {
    let clock = Clock::named(&asked.zone)?;
    let entered_at = clock.moment(&asked.entry)?;
    let number = |minor| Money::new(minor, quote.total.currency).number();
    println!("{} version {}, {} minutes", quote.rate_table, quote.version, quote.minutes);
    let width = quote.lines.iter().map(|line| why(line, quote.total.currency).chars().count()).max().unwrap_or(0);
    for line in &quote.lines {
        let [from, to] = [line.from_min, line.to_min].map(|minute| clock.show(entered_at.plus(minute.saturating_mul(MINUTE))));
        let what = why(line, quote.total.currency);
        println!("  {from} - {to}  {what:width$}  {:>10}", number(line.amount));
    }
    println!("  {:35}  {:width$}  {:>10}", "", "to pay", number(quote.total.minor));
    Ok(())
}

/// The stays whose prices `check` shows of every table: minutes, and what people call them.
const LENGTHS: [(i64, &str); 15] = [
    (15, "15 min"),
    (30, "30 min"),
    (45, "45 min"),
    (60, "1 h"),
    (90, "1.5 h"),
    (120, "2 h"),
    (180, "3 h"),
    (240, "4 h"),
    (360, "6 h"),
    (480, "8 h"),
    (720, "12 h"),
    (DAY_MIN, "1 day"),
    (36 * 60, "1.5 days"),
    (2 * DAY_MIN, "2 days"),
    (3 * DAY_MIN, "3 days"),
];

/// A way into a lot: what it is called, and when.
type Way = (String, Moment);

/// One version of a table, and one kind of vehicle that has terms of its own there.
struct Sheet {
    name: String,
    table: Arc<RateTable>,
    version: usize,
    class: VehicleClass,
    energy: Energy,
}

/// Monday at eight in the morning and in the evening, Saturday, and the first holiday if the calendar has one.
fn ways(tariff: &Tariff, version: usize, clock: &Clock) -> Vec<Way> {
    // 2026-01-05 was a Monday; a table is shown from the first Monday on on which it is in force.
    let monday = LocalTime(DAY_MIN * 20_458);
    let week = 7 * DAY_MIN;
    let valid_from = tariff.versions().get(version).and_then(|version| version.table.valid_from);
    let weeks = valid_from.map_or(0, |from| (from.0 - monday.0).max(0).saturating_add(week - 1) / week);
    let monday = monday.0 + weeks * week;
    let holiday = (monday / DAY_MIN..monday / DAY_MIN + 400)
        .find(|day| tariff.versions().get(version).is_some_and(|version| version.kind(schema::rate::Date(*day)) == DayKind::Holiday));
    let days = [(Some(monday), "Monday", 8), (Some(monday), "Monday", 20), (Some(monday + 5 * DAY_MIN), "Saturday", 8)];
    days.into_iter()
        .chain([(holiday.map(|day| day * DAY_MIN), "holiday", 8)])
        .filter_map(|(day, name, hour)| {
            let local = LocalTime(day? + hour * 60).to_string();
            Some((format!("{name} {hour:02}:00"), clock.moment(&local).ok()?))
        })
        .collect()
}

/// Every version of a tariff, and every kind of vehicle that has terms of its own.
fn sheets(tariff: &Tariff) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    for (at, version) in tariff.versions().iter().enumerate() {
        let mut known: Vec<*const Resolved> = Vec::new();
        for class in [VehicleClass::Small, VehicleClass::Large, VehicleClass::Motorcycle] {
            for energy in [Energy::Fuel, Energy::New] {
                let Some(terms) = version.terms(class, energy) else { continue };
                if known.iter().any(|known| std::ptr::eq(*known, terms)) {
                    continue;
                }
                known.push(terms);
                let named = if terms.terms.name.is_empty() { String::new() } else { format!(", {}", terms.terms.name) };
                let name = format!("{} version {}{named} ({})", version.table.id, version.table.version, currency(version.table.currency));
                sheets.push(Sheet { name, table: version.table.clone(), version: at, class, energy });
            }
        }
    }
    sheets
}

/// A currency as its code.
fn currency(currency: schema::Currency) -> String {
    format!("{currency:?}").to_uppercase()
}

/// The price of a stay of so many minutes; none where it has none.
fn cell(tariff: &Tariff, sheet: &Sheet, zone: &Zone, entered_at: Moment, minutes: i64) -> Option<i64> {
    let left_at = entered_at.plus(minutes.saturating_mul(MINUTE));
    let stay = Stay { class: sheet.class, energy: sheet.energy, ..Stay::new(entered_at, left_at, zone) };
    quote::quote(tariff, &stay).ok().map(|quote| quote.total.minor)
}

/// The terms of a sheet.
fn terms<'a>(tariff: &'a Tariff, sheet: &Sheet) -> Option<&'a Resolved> {
    tariff.versions().get(sheet.version)?.terms(sheet.class, sheet.energy)
}

/// Whether the one rule is there by which a longer stay may cost less.
fn has_price_of_full_days(tariff: &Tariff, sheet: &Sheet) -> bool {
    terms(tariff, sheet).is_some_and(|terms| terms.terms.full_24h.is_some())
}

/// The stays of a sheet, by their minutes: those of every sheet, and the longest ones of its tiers.
fn lengths(tariff: &Tariff, sheet: &Sheet) -> BTreeMap<i64, String> {
    let mut lengths: BTreeMap<i64, String> = LENGTHS.into_iter().map(|(minutes, name)| (minutes, name.to_owned())).collect();
    let lines = terms(tariff, sheet).into_iter().flat_map(|terms| terms.lines.iter().flatten());
    for tier in lines.filter(|line| line.kind == RateLineType::FlatRateTier && line.to < 3 * DAY_MIN) {
        lengths.entry(tier.to).or_insert_with(|| format!("{} min", tier.to));
    }
    lengths
}

/// Prints what stays of 15 minutes to 3 days cost under each table of a file, and draws it.
pub fn check(path: &Path, svg: Option<&Path>, zone: &str) -> Result<()> {
    let tariffs = read(path)?;
    let clock = Clock::named(zone)?;
    let mut plots = Vec::new();
    for tariff in tariffs.values() {
        for sheet in sheets(tariff) {
            let ways = ways(tariff, sheet.version, &clock);
            println!("{}", sheet.name);
            print!("{:>10}", "");
            for (name, _) in &ways {
                print!("  {name:>14}");
            }
            println!();
            for (minutes, length) in lengths(tariff, &sheet) {
                print!("{length:>10}");
                for (_, entered_at) in &ways {
                    let price = cell(tariff, &sheet, &clock.zone, *entered_at, minutes);
                    let text = price.map_or("-".into(), |minor| Money::new(minor, sheet.table.currency).number());
                    print!("  {text:>14}");
                }
                println!();
            }
            if has_price_of_full_days(tariff, &sheet) {
                println!("{:>10}  full_24h may make a longer stay cheaper", "note");
            }
            println!();
            if svg.is_some() {
                let line = |(name, entered_at): &Way| plot::Line {
                    name: name.clone(),
                    prices: (0..=3 * DAY_MIN).map(|minutes| cell(tariff, &sheet, &clock.zone, *entered_at, minutes)).collect(),
                };
                plots.push(plot::Plot { name: sheet.name.clone(), currency: sheet.table.currency, lines: ways.iter().map(line).collect() });
            }
        }
    }
    let names: Vec<&str> = tariffs.keys().map(AsRef::as_ref).collect();
    println!("{} is sound: {}", path.display(), names.join(", "));
    if let Some(svg) = svg {
        std::fs::write(svg, plot::draw(&plots)?).with_context(|| format!("cannot write {}", svg.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! The payment channels as servers: WeChat Pay, Alipay, ETC and points, each on a port of its own, with test keys.
//!
//! They are written from what the channels publish, and share no line with `channels`, so that two readings of the same rules meet. A driver pays by
//! [`Simulators::pay`], a lane debits by [`Simulators::debit`]; the channel tells it by its own notifications, which it repeats until they are taken. Refunds and
//! the rest come by HTTP, as merchants call.
//!
//! Invariants
//! 1. A notification is repeated on the channel's schedule until it is taken   (`tests::a_notification_is_repeated_until_it_is_taken`).
//! 2. What goes wrong has its share, and follows from the seed   (`faults::tests`, `tests::what_goes_wrong_is_counted`).
//! 3. No more goes back than came   (`book::tests::no_more_goes_back_than_came`).
//! 4. Both readings of each channel's rules agree   (`conformance` in `boomgate`).
//!
//! Not here: who pays what (`world`), what the merchant should make of it (`oracle`).

mod alipay;
mod archive;
mod book;
mod clock;
mod compare;
mod faults;
mod keys;
mod office;
mod signed;
mod statements;
mod wechat;

pub use book::{Refusal, Standing};
pub use clock::now;
pub use compare::compare;
pub use faults::Faults;
pub use office::Counts;

use book::{Return, Trade};
use hdrhistogram::Histogram;
use office::{Office, Site};
use schema::Moment;
use std::{
    collections::BTreeMap,
    fmt::Write,
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, task::JoinSet};

/// How the channels behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What determines who has which fault.
    pub seed: u64,
    /// Where the merchant is told, without the channel's name and a slash before it: `http://127.0.0.1:8090/notify`.
    pub notify_url: String,
    /// What goes wrong.
    pub faults: Faults,
    /// How many times faster than published notifications are repeated, and refunds of a payment may follow each other.
    pub hurry: u32,
    /// How long a channel waits for a notification to be answered.
    pub answer_wait: Duration,
    /// By how much what is late is late; shorter than `hang`.
    pub late_by: Duration,
    /// How long a refund is on its way.
    pub refund_takes: Duration,
    /// How long after it was accepted a debit is settled.
    pub settle_after: Duration,
    /// How long who does not answer keeps the connection.
    pub hang: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            notify_url: "http://127.0.0.1:8090/notify".into(),
            faults: Faults::default(),
            hurry: 60,
            answer_wait: Duration::from_secs(5),
            late_by: Duration::from_secs(2),
            refund_takes: Duration::from_millis(200),
            settle_after: Duration::from_millis(500),
            hang: Duration::from_secs(20),
        }
    }
}

/// What a merchant needs to know of a channel: one `[channels.NAME]` of its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The merchant's number.
    pub merchant: String,
    /// The application's number.
    pub app: String,
    /// Where the channel listens.
    pub base_url: String,
    /// Where the merchant is told, without the channel's name.
    pub notify_url: String,
    /// The number of the merchant's key.
    pub serial: String,
    /// The texts of keys, by their names. They are test keys, and no secrets.
    pub keys: BTreeMap<&'static str, &'static str>,
}

impl Access {
    fn new(office: &Office, merchant: &str, app: &str, serial: &str, keys: &[(&'static str, &'static str)]) -> Self {
        let (base_url, notify_url) = (office.base_url.clone(), office.settings.notify_url.clone());
        Self { merchant: merchant.into(), app: app.into(), base_url, notify_url, serial: serial.into(), keys: keys.iter().copied().collect() }
    }
}

/// What a channel truly has of a payment: the world's truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The channel.
    pub channel: &'static str,
    /// The merchant's number.
    pub attempt: String,
    /// The number by which it tells of the money.
    pub transaction: String,
    /// How it stands.
    pub standing: Standing,
    /// What was captured, in fen.
    pub captured: i64,
    /// What went back, in fen.
    pub refunded: i64,
    /// By which numbers, and how much each.
    pub refunds: Vec<(String, i64)>,
}

/// The running channels. They end when they are dropped.
pub struct Simulators {
    sites: BTreeMap<&'static str, Arc<dyn Site>>,
    running: JoinSet<()>,
}

/// How a channel is made at its office.
type Make = fn(Office) -> Arc<dyn Site>;

/// Every channel.
const ALL: [(&str, Make); 4] = [
    ("wechat", |office| Arc::new(wechat::WeChat::new(office))),
    ("alipay", |office| Arc::new(alipay::Alipay::new(office))),
    ("etc", |office| Arc::new(signed::Signed::new(office, false))),
    ("points", |office| Arc::new(signed::Signed::new(office, true))),
];

impl Simulators {
    /// Starts every channel, each on a free port.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let settings = Arc::new(settings);
        let (mut sites, mut running) = (BTreeMap::new(), JoinSet::new());
        for (name, make) in ALL {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let base_url = format!("http://{}", listener.local_addr()?);
            let (office, jobs) = Office::new(name, base_url, settings.clone());
            let site = make(office);
            sites.insert(name, site.clone());
            running.spawn(office::carry_out(site.clone(), jobs));
            running.spawn(office::listen(listener, site));
        }
        Ok(Self { sites, running })
    }

    /// The names of the channels.
    pub fn channels(&self) -> impl Iterator<Item = &'static str> {
        self.sites.keys().copied()
    }

    fn site(&self, channel: &str) -> &dyn Site {
        self.sites.get(channel).map(|site| &**site).expect("it is one of `channels`")
    }

    /// What a merchant needs to know of a channel.
    pub fn access(&self, channel: &str) -> Access {
        self.site(channel).access()
    }

    /// What happened at a channel.
    pub fn counts(&self, channel: &str) -> Arc<Counts> {
        self.site(channel).office().counts.clone()
    }

    /// Writes every channel's keys into a folder; gives the `[channels.NAME]` of a configuration that names them.
    pub fn configure(&self, folder: &Path) -> io::Result<String> {
        let mut text = String::new();
        for name in self.channels() {
            let Access { merchant, app, base_url, notify_url, serial, keys } = self.access(name);
            let mut files = Vec::new();
            for (key, content) in keys {
                let file = folder.join(format!("{name}_{key}"));
                std::fs::write(&file, content)?;
                files.push(format!("{key} = {:?}", file.display().to_string()));
            }
            writeln!(text, "[channels.{name}]\nmerchant = {merchant:?}\napp = {app:?}\nbase_url = {base_url:?}\nnotify_url = {notify_url:?}")
                .and_then(|()| writeln!(text, "serial = {serial:?}\nkeys = {{ {} }}\n", files.join(", ")))
                .expect("a string takes all that is written");
        }
        Ok(text)
    }

    /// A driver scans the code of an opened payment, and does not pay yet.
    pub fn scan(&self, channel: &str, attempt: &str) -> Result<i64, Refusal> {
        self.site(channel).office().book().scan(attempt).map(|trade| trade.amount)
    }

    /// A driver pays an amount in fen under a number, whether the merchant has opened it or not; gives the channel's number.
    ///
    /// The same number is paid once: it is `Taken` then. An opened one is paid with its own amount or not at all.
    pub fn pay(&self, channel: &str, attempt: &str, fen: i64, at: Moment) -> Result<String, Refusal> {
        self.take(channel, attempt, fen, at, Standing::Paid)
    }

    /// Signs now what the channel will tell of a payment that is made later, in its name and at its moment: so that a signature, which takes longer than
    /// all else that a channel does, takes nothing from whoever is measured then.
    pub fn sign_beforehand(&self, channel: &str, attempt: &str, fen: i64, at: Moment) {
        let site = self.site(channel);
        let trade = Trade { standing: Standing::Paid, since: at, ..Trade::new(site.office().name, attempt, fen, at) };
        if let Some(told) = site.of_payment(&trade) {
            let posted = site.post(&told, clock::now(), false);
            site.office().keep(told, posted);
        }
    }

    /// A lane debits: it is accepted now, and captured or refused a while later. Gives the channel's number.
    pub fn debit(&self, channel: &str, attempt: &str, fen: i64, at: Moment, captures: bool) -> Result<String, Refusal> {
        let transaction = self.take(channel, attempt, fen, at, Standing::Held)?;
        self.site(channel).office().settle_later(attempt, captures);
        Ok(transaction)
    }

    fn take(&self, channel: &str, attempt: &str, fen: i64, at: Moment, standing: Standing) -> Result<String, Refusal> {
        let office = self.site(channel).office();
        let taken = office.book().take(Trade::new(office.name, attempt, fen, at), at, standing)?;
        office.tell_payment(&taken);
        Ok(taken.transaction)
    }

    /// What every channel truly has, by channel and by the channel's number.
    pub fn truth(&self) -> BTreeMap<(&'static str, String), Truth> {
        let mut truth = BTreeMap::new();
        for (&channel, site) in &self.sites {
            for trade in site.office().book().trades() {
                let done = trade.refunds.iter().filter(|refund| refund.standing == Return::Done);
                // What is deducted by the plate is told of under the merchant's number, before it has one of the channel's.
                let transaction = if trade.parking.is_some() { &trade.attempt } else { &trade.transaction };
                let told = Truth {
                    channel,
                    attempt: trade.attempt.clone(),
                    transaction: transaction.clone(),
                    standing: trade.standing,
                    captured: trade.captured(),
                    refunded: trade.refunded(),
                    refunds: done.map(|refund| (refund.number.clone(), refund.amount)).collect(),
                };
                truth.insert((channel, transaction.clone()), told);
            }
        }
        truth
    }

    /// How often a merchant wanted to give back more than had come, or to give nothing: 0 where its books are right.
    pub fn too_much(&self) -> u64 {
        self.sites.values().map(|site| site.office().book().too_much).sum()
    }

    /// How long notifications took from their first byte to the answer's last, of those that were taken since this was asked the last time.
    pub fn take_answers(&self) -> Histogram<u64> {
        let mut all = crate::world::histogram();
        for site in self.sites.values() {
            let mut own = site.office().answers();
            all.add(&*own).expect("they have the same bounds");
            own.reset();
        }
        all
    }

    /// How many things are still to be told or settled.
    pub fn under_way(&self) -> u64 {
        self.sites.values().map(|site| site.office().under_way()).sum()
    }

    /// Waits until nothing is to be told or settled any more; says whether that came about in time.
    pub async fn settled(&self, within: Duration) -> bool {
        let begin = Instant::now();
        while self.under_way() > 0 {
            if begin.elapsed() > within {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        true
    }

    /// How many of the channels' own parts have ended, which none should.
    pub fn ended(&mut self) -> usize {
        std::iter::from_fn(|| self.running.try_join_next()).count()
    }

    /// Writes the statement files of a day (`2026-11-26`, in China) into a folder, each under its channel's name; gives how many there are.
    pub fn statements(&self, day: &str, folder: &Path) -> io::Result<usize> {
        let mut count = 0;
        for (name, site) in &self.sites {
            for (file, content) in site.statement(day) {
                let own = folder.join(name);
                std::fs::create_dir_all(&own)?;
                std::fs::write(own.join(file), content)?;
                count += 1;
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests;

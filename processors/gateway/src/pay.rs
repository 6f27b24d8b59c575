//! The pay page: a plate or ticket becomes a bill, the bill is paid by a channel of one's choice, and the page follows it live.
//!
//! It is for a phone that has scanned the code on a lot's wall (`/pay/<lot>`), or the one of an exit's display (`/pay/order/<order>`).
//!
//! Invariants
//! 1. A plate becomes a bill, and the bill is paid   (`front_doors` `a_plate_becomes_a_bill_and_the_bill_is_paid`).
//! 2. What is tendered adds up to what is due, or nothing is paid   (`front_doors` `amounts_that_do_not_add_up_are_refused_with_words`).
//! 3. Whoever guesses learns no plate: an order's id cannot be guessed, its page masks the plate, and look-ups are few for each address
//!    (`front_doors` `floods_are_bounded`, `bill::tests::a_plate_is_masked`).
//! 4. Every page is there in both languages   (`words::tests::both_languages_have_every_text`).
//!
//! Not here: what is decided of a choice (`rules::payment`), who calls the channels.

mod bill;
mod code;
mod live;
mod lookup;
mod page;
mod standing;
mod words;

use crate::{
    Desks, Error, Journals, Outcome, View,
    address::{self, Proxies},
    body,
    doors::{Limits, Peer},
    ear::Ear,
    error::Kind,
    rate::Rates,
};
use axum::{
    Extension, Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
    routing::get,
};
use bill::{Beside, Look};
use futures_util::StreamExt;
use lookup::{Asked, Found};
use page::Typed;
use schema::{
    Credential, DeskEvent, Event, EventId, Id, LotId, Moment, Money, Reference,
    desk::{Says, Tender},
    fact::{Arrear, Kind as Fact, What},
    id,
    journal::{Note, PaymentEvent},
    reference::LotReference,
    time::{SECOND, Zone},
};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};
use store::cache::Cache;
use streams::Bus;
use tokio::sync::{Semaphore, watch};
use words::{Language, Words, fill, money};

/// How many look-ups and choices one address has at once, and how many microseconds later each time one more.
const ASKS: (u32, i64) = (10, 6 * SECOND);
/// How many addresses are remembered.
const ADDRESSES_MAX: usize = 16_384;
/// The longest form, in bytes.
const FORM_BYTES_MAX: usize = 4 * 1024;
/// How long it is waited for what a car owes: it is shown beside, and only where it is at hand.
const OWES_WAIT: Duration = Duration::from_millis(50);
/// The channels that no driver chooses: cash is taken at a booth, and ETC by a lane.
const NOT_CHOSEN: [&str; 2] = ["cash", "etc"];
/// Points come with something else, or alone.
const POINTS: &str = "points";

/// What is behind the pages.
pub struct Behind {
    /// The broker.
    pub bus: Arc<dyn Bus>,
    /// What lanes are told.
    pub ear: Ear,
    /// What is decided.
    pub journals: Journals,
    /// Where a choice is said.
    pub desks: Desks,
    /// Orders as they are now.
    pub view: View,
    /// What vehicles owe, where this process has that at hand.
    pub cache: Option<Arc<dyn Cache>>,
    /// The lots in force.
    pub reference: watch::Receiver<Arc<Reference>>,
    /// The channels that are configured, in the order in which they are shown.
    pub channels: Vec<&'static str>,
    /// Our clock: for what is shown, and how often somebody asks.
    pub clock: fn() -> Moment,
    /// What anybody may take of us.
    pub limits: Limits,
    /// The proxies before us.
    pub proxies: Proxies,
    /// How many may follow an order live; the others look again each few seconds.
    pub followers_max: usize,
    /// When it is over.
    pub shutdown: watch::Receiver<bool>,
}

/// The pages.
#[derive(Clone)]
pub struct Pages(Arc<Inner>);

struct Inner {
    behind: Behind,
    room: Semaphore,
    followers: Arc<Semaphore>,
    rates: Rates<IpAddr>,
    asked: Mutex<Asked>,
}

impl Deref for Inner {
    type Target = Behind;

    fn deref(&self) -> &Behind {
        &self.behind
    }
}

/// What stands behind the path.
struct Asks(BTreeMap<String, String>);

impl Pages {
    /// Pages before these.
    pub fn new(mut behind: Behind) -> Self {
        behind.channels.retain(|channel| !NOT_CHOSEN.contains(channel));
        let (room, followers) = (Semaphore::new(behind.limits.under_way_max), Arc::new(Semaphore::new(behind.followers_max)));
        let (rates, asked) = (Rates::paced(ASKS.0, ASKS.1, ADDRESSES_MAX), Mutex::default());
        Self(Arc::new(Inner { behind, room, followers, rates, asked }))
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/pay/page.css", get(async || file("text/css; charset=utf-8", page::STYLE)))
            .route("/pay/page.js", get(async || file("text/javascript; charset=utf-8", page::SCRIPT)))
            .route("/pay/icon.svg", get(async || file("image/svg+xml", page::ICON)))
            .route("/pay/{lot}", get(form).post(look_up))
            .route("/pay/order/{order}", get(order).post(choose))
            .route("/pay/order/{order}/state", get(live::state))
            .with_state(self)
    }
}

impl Asks {
    fn of(query: Option<String>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    fn language(&self, headers: &HeaderMap) -> Language {
        let accepts = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Language::wanted(self.0.get("lang").map(String::as_str), accepts)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.0.get(name).is_some_and(|said| said == value)
    }
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "public, max-age=3600"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, text).into_response()
}

/// A page of ours, which nobody keeps and whose address nobody else learns.
fn html(status: StatusCode, text: String) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, page::POLICY),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let mut response = (status, headers, text).into_response();
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
    }
    response
}

fn go_to(address: &str) -> Response {
    let address = HeaderValue::from_str(address).expect("our addresses are ASCII");
    (StatusCode::SEE_OTHER, [(LOCATION, address)]).into_response()
}

/// A page that says one thing.
fn notice(language: Language, status: StatusCode, path: &str, said: &str) -> Response {
    html(status, page::whole(language, path, &page::notice(language.words(), said, None), false))
}

fn away(language: Language, path: &str, error: &Error) -> Response {
    tracing::warn!(%error, "a pay page could not be shown");
    notice(language, StatusCode::SERVICE_UNAVAILABLE, path, language.words().away)
}

fn counted(outcome: &'static str) {
    metrics::counter!("boomgate_pay_page_total", "outcome" => outcome).increment(1);
}

impl Inner {
    fn reference(&self) -> Arc<Reference> {
        self.reference.borrow().clone()
    }

    fn lot(&self, lot: &str) -> Option<Arc<LotReference>> {
        self.reference().lot(&lot.parse::<LotId>().ok()?).cloned()
    }

    fn may_ask(&self, Peer(peer): Peer, headers: &HeaderMap) -> bool {
        let client = self.proxies.client(peer.ip(), headers);
        self.rates.take(address::counted(client), (self.clock)()).is_ok()
    }

    /// What an order is now, and what belongs to its page; none where there is no such order.
    async fn look(&self, order: Id) -> Result<Option<Look>, Error> {
        let Some(order) = self.view.order(order).await? else { return Ok(None) };
        let payment = self.view.payment(order.order).await?;
        // What is asked for at a pay station may be left unpaid, too.
        let gone = order.departure.local || self.view.session(order.stay.session).await?.is_some_and(|session| session.gone);
        let lot = self.reference().lot(&order.stay.lot).cloned();
        let utc = || Zone::named("UTC").expect("it is everywhere");
        let (zone, grace_min) = lot.as_ref().map_or_else(|| (utc(), 0), |lot| (lot.zone.clone(), i64::from(lot.declared.exit_grace_min)));
        let owes = match &lot {
            Some(lot) => self.owes(&order.stay.credential, lot).await,
            None => Vec::new(),
        };
        let is_arrear = owes.iter().any(|arrear| arrear.order == order.order);
        Ok(Some(Look { order, payment, gone: gone || is_arrear, zone, grace_min, owes, now: (self.clock)() }))
    }

    /// What a car owes to a lot's operator, as far as that is at hand.
    async fn owes(&self, who: &Credential, lot: &LotReference) -> Vec<Arrear> {
        let Some(cache) = &self.cache else { return Vec::new() };
        let mut found = cache.read(vec![(who.clone(), Fact::Arrears)], OWES_WAIT);
        // It is the processors' work to say that something is wrong with it.
        let Some((_, Ok(parts))) = found.next().await else { return Vec::new() };
        let arrears = parts.into_iter().filter_map(|part| match part.what {
            What::Arrear(arrear) if arrear.operator == lot.declared.operator => Some(arrear),
            _ => None,
        });
        arrears.collect()
    }
}

async fn form(State(Pages(pages)): State<Pages>, Path(lot): Path<String>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let language = Asks::of(query).language(&headers);
    let Some(lot) = pages.lot(&lot) else { return notice(language, StatusCode::NOT_FOUND, "", language.words().no_such_lot) };
    asked_again(language, &lot, &Typed::default(), None)
}

fn asked_again(language: Language, lot: &LotReference, typed: &Typed, said: Option<(StatusCode, &str, &str)>) -> Response {
    let name = lot.declared.lot;
    let main = page::form(language, name, lot.declared.province, typed, said.map(|(_, kind, said)| (kind, said)));
    html(said.map_or(StatusCode::OK, |(status, ..)| status), page::whole(language, &format!("/pay/{name}"), &main, false))
}

/// The fields of a form, if it is one.
async fn fields(pages: &Inner, headers: &HeaderMap, body: Body) -> Result<BTreeMap<String, String>, StatusCode> {
    let limits = Limits { body_bytes_max: FORM_BYTES_MAX, ..pages.limits };
    let body = body::read(headers, body, &limits).await.map_err(body::Refused::status)?;
    Ok(form_urlencoded::parse(&body).into_owned().collect())
}

async fn look_up(
    State(Pages(pages)): State<Pages>,
    Path(lot): Path<String>,
    RawQuery(query): RawQuery,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let language = Asks::of(query).language(&headers);
    let words = language.words();
    let Some(lot) = pages.lot(&lot) else { return notice(language, StatusCode::NOT_FOUND, "", words.no_such_lot) };
    // Who sends slowly takes nobody's place.
    let mut fields = match fields(&pages, &headers, body).await {
        Ok(fields) => fields,
        Err(status) => return notice(language, status, "", words.type_plate),
    };
    let Ok(_room) = pages.room.try_acquire() else {
        counted("busy");
        return asked_again(language, &lot, &Typed::default(), Some((StatusCode::SERVICE_UNAVAILABLE, "bad", words.away)));
    };
    let mut field = |name: &str| fields.remove(name).unwrap_or_default();
    let typed = Typed { province: field("province"), plate: field("plate"), colour: field("colour"), ticket: field("ticket") };
    let Some(who) = lookup::credential(&typed).filter(|who| who.check().is_ok()) else {
        return asked_again(language, &lot, &typed, Some((StatusCode::BAD_REQUEST, "bad", words.type_plate)));
    };
    if !pages.may_ask(peer, &headers) {
        counted("too_often");
        return asked_again(language, &lot, &typed, Some((StatusCode::TOO_MANY_REQUESTS, "bad", words.too_often)));
    }
    let found = match lookup::look_up(&pages, &pages.reference(), &lot, who.clone()).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "a price could not be asked for");
            return asked_again(language, &lot, &typed, Some((StatusCode::SERVICE_UNAVAILABLE, "bad", words.away)));
        }
    };
    let (outcome, said) = match found {
        Found::Order(order) => {
            counted("found");
            return go_to(&format!("/pay/order/{order}?lang={}", language.code()));
        }
        Found::NothingDue => ("nothing_due", (StatusCode::OK, "good", words.nothing_due)),
        Found::NotInside => ("not_inside", (StatusCode::NOT_FOUND, "bad", words.not_inside)),
        Found::AskPerson => ("ask_person", (StatusCode::OK, "bad", words.ask_person)),
        Found::NotInTime => ("not_in_time", (StatusCode::SERVICE_UNAVAILABLE, "bad", words.not_in_time)),
    };
    counted(outcome);
    let owes = pages.owes(&who, &lot).await;
    let name = lot.declared.lot;
    let main = page::form(language, name, lot.declared.province, &typed, Some((said.1, said.2)));
    let arrears = bill::arrears(language, &owes.iter().collect::<Vec<_>>());
    html(said.0, page::whole(language, &format!("/pay/{name}"), &(main + &arrears), false))
}

async fn order(State(Pages(pages)): State<Pages>, Path(order): Path<String>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let asks = Asks::of(query);
    let language = asks.language(&headers);
    let Ok(_room) = pages.room.try_acquire() else {
        counted("busy");
        return notice(language, StatusCode::SERVICE_UNAVAILABLE, "", language.words().away);
    };
    let look = match found(&pages, language, &order).await {
        Ok(look) => look,
        Err(response) => return *response,
    };
    let beside = Beside { channels: &pages.channels, notice: None, chooses: asks.is("choose", "1") };
    if asks.is("part", "main") {
        return html(StatusCode::OK, bill::main(language, &look, beside));
    }
    shown(language, &look, beside, StatusCode::OK)
}

fn shown(language: Language, look: &Look, beside: Beside, status: StatusCode) -> Response {
    let path = format!("/pay/order/{}", look.order.order);
    html(status, page::whole(language, &path, &bill::main(language, look, beside), !look.standing().is_over()))
}

/// An order that was asked for by its id, or the page that says that there is none.
async fn found(pages: &Inner, language: Language, order: &str) -> Result<Look, Box<Response>> {
    let none = || Box::new(notice(language, StatusCode::NOT_FOUND, "", language.words().no_such_order));
    let id: Id = order.parse().map_err(|_| none())?;
    let looked = pages.look(id).await.map_err(|error| Box::new(away(language, &format!("/pay/order/{id}"), &error)))?;
    looked.ok_or_else(none)
}

async fn choose(
    State(Pages(pages)): State<Pages>,
    Path(order): Path<String>,
    RawQuery(query): RawQuery,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let language = Asks::of(query).language(&headers);
    let words = language.words();
    let fields = match fields(&pages, &headers, body).await {
        Ok(fields) => fields,
        Err(status) => return notice(language, status, "", words.choose),
    };
    let Ok(_room) = pages.room.try_acquire() else {
        counted("busy");
        return notice(language, StatusCode::SERVICE_UNAVAILABLE, "", words.away);
    };
    let look = match found(&pages, language, &order).await {
        Ok(look) => look,
        Err(response) => return *response,
    };
    let again = |status, said: &str| {
        let beside = Beside { channels: &pages.channels, notice: Some(said), chooses: true };
        shown(language, &look, beside, status)
    };
    if !pages.may_ask(peer, &headers) {
        counted("too_often");
        return again(StatusCode::TOO_MANY_REQUESTS, words.too_often);
    }
    let tenders = match tenders(&pages.channels, &fields, look.due(), words) {
        Ok(tenders) => tenders,
        Err(said) => return again(StatusCode::BAD_REQUEST, &said),
    };
    match said(&pages, &look, tenders).await {
        Ok(None) => {
            counted("chosen");
            go_to(&format!("/pay/order/{}?lang={}", look.order.order, language.code()))
        }
        Ok(Some(note)) => {
            counted("refused");
            again(StatusCode::CONFLICT, refusal(words, note))
        }
        Err(error) => away(language, &format!("/pay/order/{}", look.order.order), &error),
    }
}

/// By what a form wants to pay: the channel all of it, or what is left beside the points.
fn tenders(channels: &[&'static str], fields: &BTreeMap<String, String>, due: Money, words: &Words) -> Result<Vec<Tender>, String> {
    let wanted = fields.get("channel").map(String::as_str).unwrap_or_default();
    let channel = channels.iter().find(|channel| **channel == wanted).ok_or_else(|| words.choose.to_owned())?;
    let tender = |channel: &str, minor: i64| Tender { channel: channel.into(), amount: Money::new(minor, due.currency) };
    let typed = fields.get(POINTS).map(|typed| typed.trim()).filter(|typed| !typed.is_empty() && *channel != POINTS && channels.contains(&POINTS));
    let by_points = match typed {
        Some(typed) => minor_units(typed, due.currency.digits()).ok_or_else(|| words.not_a_sum.to_owned())?,
        None => 0,
    };
    match due.minor.saturating_sub(by_points) {
        rest if rest < 0 => Err(fill(words.points_too_many, &[("amount", &money(due))])),
        0 => Ok(vec![tender(POINTS, due.minor)]),
        _ if by_points == 0 => Ok(vec![tender(channel, due.minor)]),
        rest => Ok(vec![tender(POINTS, by_points), tender(channel, rest)]),
    }
}

/// An amount as somebody types it, in minor units; none where it is no amount of this currency.
fn minor_units(typed: &str, digits: u32) -> Option<i64> {
    let digits = usize::try_from(digits).ok()?;
    let (whole, decimals) = typed.split_once(['.', '．', ',']).unwrap_or((typed, ""));
    let all_digits = whole.bytes().chain(decimals.bytes()).all(|byte| byte.is_ascii_digit());
    if !all_digits || whole.is_empty() || whole.len() > 9 || decimals.len() > digits {
        return None;
    }
    format!("{whole}{decimals:0<digits$}").parse().ok()
}

/// Says at the lot's desk how the driver pays, and waits for what is decided: none where it was taken, or is as it was wanted.
async fn said(pages: &Inner, look: &Look, tenders: Vec<Tender>) -> Result<Option<Note>, Error> {
    let (order, lot) = (look.order.order, look.order.stay.lot);
    let said_at = pages.desks.now().await?;
    let parts: Vec<String> = tenders.iter().map(|tender| format!("{} {}", tender.channel, tender.amount.minor)).collect();
    let id: EventId = id::digest(&["pay page", order.as_str(), &parts.join(", "), &said_at.0.to_string()], 20).parse().expect("letters and digits");
    let author = "driver".parse().expect("letters are a token");
    let event = DeskEvent { id, lot, said_at, author, reason: "pay page".into(), says: Says::Pay { order, tenders } };
    let event = event.checked().map_err(|wrong| Error::caused(Kind::Unreadable, format!("choose how to pay {order}"), wrong))?;
    let decided = match pages.desks.say(&event, None).await? {
        Outcome::Decided(decided) => decided,
        // The page follows what becomes of it.
        Outcome::Stored => return Ok(None),
    };
    let note = decided.into_iter().find_map(|recorded| match recorded.event {
        Event::Payment(PaymentEvent::Noted { note, .. }) => Some(note),
        _ => None,
    });
    // It is paid, or waits to be paid in just this way.
    Ok(note.filter(|note| *note != Note::AlreadyKnown))
}

/// Why a choice was not taken.
const fn refusal(words: &Words, note: Note) -> &'static str {
    match note {
        Note::AmountDiffers => words.sum_differs,
        Note::AlreadyClosed => words.replaced,
        Note::TooMany => words.too_many_tries,
        _ => words.over,
    }
}

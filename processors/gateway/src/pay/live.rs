//! An order followed live: as server-sent events, or looked at again each few seconds.
//!
//! Invariants
//! 1. What changes is told within moments, and the end ends it   (`front_doors` `a_plate_becomes_a_bill_and_the_bill_is_paid`).
//! 2. Only so many follow at once; the others are told to look again   (`front_doors` `floods_are_bounded`).

use super::{Inner, Pages, bill::Look, html};
use crate::{Error, follow::Heard};
use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header::ACCEPT},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use schema::{Id, Journal, Recorded, id};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

/// How often one who hears nothing is told that we are still there.
const ALIVE: Duration = Duration::from_secs(15);
/// How long one may follow; then it begins again.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// What is told of a look: whether the page is as it was, and whether anything is still to come.
fn news(look: &Look) -> String {
    let standing = look.standing();
    serde_json::json!({ "state": look.token(), "standing": standing.word(), "over": standing.is_over() }).to_string()
}

/// `GET /pay/order/<order>/state`.
pub async fn state(State(Pages(pages)): State<Pages>, Path(order): Path<String>, headers: HeaderMap) -> Response {
    let Ok(order) = order.parse::<Id>() else { return StatusCode::NOT_FOUND.into_response() };
    let streams = headers.get(ACCEPT).and_then(|accepts| accepts.to_str().ok()).is_some_and(|accepts| accepts.contains("text/event-stream"));
    let followed = if streams { Following::begin(pages.clone(), order).await } else { Ok(None) };
    match (followed, streams) {
        (Err(error), _) => away(&error),
        (Ok(None), true) => html(StatusCode::SERVICE_UNAVAILABLE, String::new()),
        (Ok(Some(following)), _) => {
            let events = futures_util::stream::unfold(following, |mut following| async move {
                let told = following.next().await?;
                Some((Ok::<Event, Infallible>(Event::default().data(told)), following))
            });
            Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
        }
        (Ok(None), false) => match pages.look(order).await {
            Ok(Some(look)) => ([("content-type", "application/json"), ("cache-control", "no-store")], news(&look)).into_response(),
            Ok(None) => StatusCode::NOT_FOUND.into_response(),
            Err(error) => away(&error),
        },
    }
}

fn away(error: &Error) -> Response {
    tracing::debug!(%error, "an order cannot be followed for now");
    html(StatusCode::SERVICE_UNAVAILABLE, String::new())
}

/// One who follows.
struct Following {
    pages: Arc<Inner>,
    order: Id,
    bills: crate::follow::Followed,
    money: crate::follow::Followed,
    until: Instant,
    /// What was told last; whether that was the end.
    told: Option<String>,
    over: bool,
    _room: OwnedSemaphorePermit,
}

impl Following {
    /// Follows an order, if there is room.
    async fn begin(pages: Arc<Inner>, order: Id) -> Result<Option<Self>, Error> {
        let Ok(room) = pages.followers.clone().try_acquire_owned() else { return Ok(None) };
        let Some(place) = id::place(order.as_str()) else { return Ok(None) };
        let bills = pages.journals.follow(Journal::Order, place.partition).await?;
        let money = pages.journals.follow(Journal::Payment, place.partition).await?;
        #[expect(clippy::disallowed_methods, reason = "how long a connection is held is measured here")]
        let until = Instant::now() + LONGEST;
        Ok(Some(Self { pages, order, bills, money, until, told: None, over: false, _room: room }))
    }

    /// The next news; none at the end.
    async fn next(&mut self) -> Option<String> {
        if self.over {
            return None;
        }
        let (mut shutdown, until) = (self.pages.shutdown.clone(), self.until);
        let news = async {
            loop {
                // Who follows an order that cannot be read now begins again.
                match self.look().await.ok()? {
                    Some(news) => return Some(news),
                    None => self.changes().await,
                }
            }
        };
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => None,
            news = timeout_at(until, news) => news.ok().flatten(),
        }
    }

    /// What is new since it was told last, if anything is.
    async fn look(&mut self) -> Result<Option<String>, Error> {
        let Some(look) = self.pages.look(self.order).await? else { return Ok(None) };
        let news = news(&look);
        if self.told.as_ref() == Some(&news) {
            return Ok(None);
        }
        self.over = look.standing().is_over();
        self.told = Some(news.clone());
        Ok(Some(news))
    }

    /// Waits until something happens to the order, or may have.
    async fn changes(&mut self) {
        loop {
            let (journal, heard) = tokio::select! {
                heard = self.bills.next() => (Journal::Order, heard),
                heard = self.money.next() => (Journal::Payment, heard),
            };
            match heard {
                Heard::Missed => return,
                Heard::Events(page) if page.iter().any(|(_, recorded)| concerns(journal, recorded, self.order)) => return,
                Heard::Events(_) => {}
            }
        }
    }
}

fn concerns(journal: Journal, recorded: &Recorded, order: Id) -> bool {
    let rules = if journal == Journal::Order { &rules::pricing::RULES } else { &rules::payment::RULES };
    (rules.touches)(&recorded.event).iter().any(|touch| touch.key.id == order)
}

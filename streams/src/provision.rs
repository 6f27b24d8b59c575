//! Brings a server to the table: first what differs, then what is done about it.
//!
//! Invariants
//! 1. Applied once, nothing differs   (`conformance::jetstream::what_is_provisioned_does_not_differ`).
//! 2. Nothing that could cost data is done unless that is allowed   (`conformance::jetstream::provisioning_costs_no_data`).
//!
//! Not here: deleting a stream, ever. A change that needs it (its storage, its retention) is made by a person with the `nats` tool.

use crate::{
    Error, JetStream, Kind,
    jetstream::wire::Failure,
    table::{self, Declared},
};
use serde_json::{Value, json};
use std::fmt;

/// What is to be done about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It is made.
    Create,
    /// Its settings are changed.
    Update,
    /// It is removed.
    Remove,
    /// A person must do it.
    ByHand,
}

/// One thing that is not as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What kind of thing, and its name: `stream GATE`, `consumer entry-GATE-0of1`.
    pub what: String,
    /// The setting; empty where the whole thing is missing or too many.
    pub field: String,
    /// As the table has it.
    pub declared: Value,
    /// As the server has it.
    pub found: Value,
    /// What is to be done.
    pub remedy: Remedy,
    /// Whether that could cost data, or the memory of what was answered.
    pub destructive: bool,
    request: (String, Value),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, field, declared, found, .. } = self;
        let danger = if self.destructive { " (only if data may be lost)" } else { "" };
        match self.remedy {
            Remedy::Create => write!(f, "{what} is missing: create it"),
            Remedy::Remove => write!(f, "{what} is not declared: remove it{danger}"),
            Remedy::Update => write!(f, "{what}: change {field} from {found} to {declared}{danger}"),
            Remedy::ByHand => write!(f, "{what}: {field} is {found} and should be {declared}: save its messages, then make it anew by hand"),
        }
    }
}

/// What differs between a server and the table.
pub async fn plan(bus: &JetStream, declared: &Declared) -> Result<Vec<Difference>, Error> {
    let mut all = Vec::new();
    let streams = table::STREAMS.iter().map(|stream| stream.settings(declared));
    for settings in streams.chain([
        table::members_settings(declared),
        table::reference_settings(declared),
        table::keys_settings(declared),
        table::reconcile_settings(declared),
    ]) {
        all.extend(stream_differences(bus, &settings).await?);
    }
    let readers = table::all_readers(declared.groups);
    for stream in &table::STREAMS {
        let found = match bus.wire.consumers(stream.name).await {
            Ok(found) => found,
            Err(failure) if failure.err_code() == STREAM_NOT_FOUND => Vec::new(),
            Err(failure) => return Err(failure.doing(format!("list the consumers of {}", stream.name))),
        };
        for reader in readers.iter().filter(|reader| reader.stream == stream.name) {
            let settings = table::consumer_settings(reader);
            let there = found.iter().find(|info| info["name"] == settings["name"]);
            all.extend(consumer_differences(stream.name, &reader.durable, &settings, there.map(|info| &info["config"])));
        }
        for durable in found.iter().filter_map(|info| info["name"].as_str()) {
            // Somebody else's consumer is none of our business; ours of another number of groups is left over.
            if table::owner_of(stream.name, durable).is_some_and(|(_, _, groups)| groups != declared.groups) {
                all.push(Difference {
                    what: format!("consumer {durable}"),
                    field: String::new(),
                    declared: Value::Null,
                    found: Value::Null,
                    remedy: Remedy::Remove,
                    destructive: true,
                    request: (format!("CONSUMER.DELETE.{}.{durable}", stream.name), Value::Null),
                });
            }
        }
    }
    Ok(all)
}

/// Does what the plan says and gives what was done; what could cost data only if that is allowed.
///
/// What it leaves is what [`plan`] says afterwards.
pub async fn apply(bus: &JetStream, declared: &Declared, allow_destructive: bool) -> Result<Vec<Difference>, Error> {
    let mut done: Vec<Difference> = Vec::new();
    for difference in plan(bus, declared).await? {
        let held = |other: &Difference| other.request == difference.request;
        if difference.remedy == Remedy::ByHand || (difference.destructive && !allow_destructive) {
            tracing::warn!(%difference, "left as it is");
            continue;
        }
        // Several settings of one thing are one request.
        if !done.iter().any(held) {
            let (subject, body) = &difference.request;
            bus.wire.api(subject, body).await.map_err(|failure| failure.doing(difference.to_string()))?;
        }
        done.push(difference);
    }
    Ok(done)
}

const STREAM_NOT_FOUND: u64 = 10_059;

async fn stream_differences(bus: &JetStream, settings: &Value) -> Result<Vec<Difference>, Error> {
    let name = settings["name"].as_str().expect("a stream has a name");
    let what = format!("stream {name}");
    let found = match bus.wire.api(&format!("STREAM.INFO.{name}"), &Value::Null).await {
        Ok(info) => info["config"].clone(),
        Err(Failure::Refused(refusal)) if refusal.err_code == STREAM_NOT_FOUND => {
            let request = (format!("STREAM.CREATE.{name}"), settings.clone());
            return Ok(vec![missing(what, request)]);
        }
        Err(failure) => return Err(failure.doing(format!("look at {what}"))),
    };
    let fields = differing(settings, &found);
    let by_hand = |field: &str| matches!(field, "storage" | "retention");
    let costly = |field: &str| match field {
        "max_bytes" | "max_age" | "max_msgs" | "max_msgs_per_subject" | "num_replicas" => lower(&settings[field], &found[field]),
        "subjects" | "subject_transform" | "discard" => true,
        _ => false,
    };
    // A request states all settings at once, so it holds only those that need the same permission.
    let mut gentle = found.clone();
    for field in fields.iter().filter(|field| !by_hand(field) && !costly(field)) {
        gentle[field] = settings[field].clone();
    }
    let mut whole = found.clone();
    for field in fields.iter().filter(|field| !by_hand(field)) {
        whole[field] = settings[field].clone();
    }
    let difference = |field: String| {
        let destructive = costly(&field);
        let remedy = if by_hand(&field) { Remedy::ByHand } else { Remedy::Update };
        let body = if destructive { &whole } else { &gentle };
        let request = (format!("STREAM.UPDATE.{name}"), body.clone());
        let (declared, found) = (settings[&field].clone(), found[&field].clone());
        Difference { what: what.clone(), field, declared, found, remedy, destructive, request }
    };
    Ok(fields.into_iter().map(difference).collect())
}

fn consumer_differences(stream: &str, durable: &str, settings: &Value, found: Option<&Value>) -> Vec<Difference> {
    let what = format!("consumer {durable}");
    let request =
        |config: Value, action| (format!("CONSUMER.CREATE.{stream}.{durable}"), json!({ "stream_name": stream, "config": config, "action": action }));
    let Some(found) = found else { return vec![missing(what, request(settings.clone(), "create"))] };
    let difference = |field: String| {
        let fixed = matches!(field.as_str(), "deliver_policy" | "ack_policy" | "replay_policy");
        let remedy = if fixed { Remedy::ByHand } else { Remedy::Update };
        let (declared, found) = (settings[&field].clone(), found[&field].clone());
        Difference { what: what.clone(), field, declared, found, remedy, destructive: false, request: request(settings.clone(), "update") }
    };
    differing(settings, found).into_iter().map(difference).collect()
}

fn missing(what: String, request: (String, Value)) -> Difference {
    let (declared, found) = (Value::Null, Value::Null);
    Difference { what, field: String::new(), declared, found, remedy: Remedy::Create, destructive: false, request }
}

/// The declared fields that a server's settings have otherwise. A server leaves out what is false, zero or empty.
pub(crate) fn differing(declared: &Value, found: &Value) -> Vec<String> {
    let empty = |value: &Value| matches!(value, Value::Null | Value::Bool(false)) || value.as_u64() == Some(0);
    // One field or two, the filters are the same set.
    let filters = |value: &Value| {
        let many = value["filter_subjects"].as_array().into_iter().flatten();
        let one = [&value["filter_subject"]].into_iter();
        let mut all: Vec<&str> = many.chain(one).filter_map(Value::as_str).filter(|filter| !filter.is_empty()).collect();
        all.sort_unstable();
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let same = |field: &str, value: &Value| match field {
        "filter_subject" | "filter_subjects" => filters(declared) == filters(found),
        _ => found[field] == *value || (empty(value) && empty(&found[field])),
    };
    let fields = declared.as_object().into_iter().flatten();
    fields.filter(|(field, value)| !same(field, value)).map(|(field, _)| field.clone()).collect()
}

fn lower(declared: &Value, found: &Value) -> bool {
    // A limit of 0 or less means none.
    let limit = |value: &Value| value.as_i64().filter(|limit| *limit > 0).unwrap_or(i64::MAX);
    limit(declared) < limit(found)
}

impl JetStream {
    /// Makes what is missing; an error where something is there and not as declared, since only a person may decide then.
    pub async fn provision(&self, declared: &Declared) -> Result<(), Error> {
        apply(self, declared, false).await?;
        match plan(self, declared).await?.iter().find(|difference| difference.remedy != Remedy::Remove) {
            Some(left) => Err(Error::caused(Kind::NotProvisioned, "make the streams as declared", left.to_string())),
            None => Ok(()),
        }
    }
}

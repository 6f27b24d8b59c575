use super::*;
use proptest::prelude::*;
use schema::{Credential, GateKind, gate::Colour, wire::Format};
use std::collections::BTreeMap;

fn event() -> GateEvent {
    GateEvent {
        id: "e1".parse().expect("a name"),
        lot: "lot-1".parse().expect("a name"),
        lane: "in".parse().expect("a name"),
        kind: GateKind::Entry,
        seen_at: Moment(1_795_392_000_000_000),
        credential: Credential::plate("粤B12345", Colour::Blue),
        class: None,
        energy: None,
        confidence: None,
        decided: None,
    }
}

fn delivered(stream: &str, subject: &str, payload: Vec<u8>, content_type: Option<&str>) -> Delivery {
    let headers: BTreeMap<_, _> = content_type.iter().map(|value| (wire::CONTENT_TYPE.to_owned(), (*value).to_owned())).collect();
    let stored = Stored { subject: subject.to_owned(), sequence: 7, time: Moment(1_795_392_000_100_000), payload: payload.into(), headers };
    Delivery { stream: stream.to_owned(), stored, deliveries: 1, place: 1, reply: String::new() }
}

/// What reading ends with, in a word.
fn outcome(delivery: Delivery) -> &'static str {
    match read(delivery) {
        Ok((_, Item { read: Read::Input(_), .. })) => "input",
        Ok((_, Item { read: Read::Unreadable { .. }, .. })) => "dead letter",
        Ok((_, Item { read: Read::Stopped(_), .. })) => "stopped",
        Err(_) => "no partition",
    }
}

#[test]
fn both_formats_are_inputs() {
    for format in [Format::Json, Format::MessagePack] {
        for content_type in [None, Some(format.content_type())] {
            assert_eq!(
                outcome(delivered("GATE", "GATE.5.lot-1.in.entry", wire::encode(format, &event()), content_type)),
                "input",
                "{format:?} {content_type:?}"
            );
        }
    }
}

#[test]
fn a_subject_that_contradicts_its_payload_is_a_dead_letter() {
    let payload = wire::encode(Format::Json, &event());
    for (subject, expected) in [
        ("GATE.5.lot-1.in.entry", "input"),
        ("GATE.5.lot-2.in.entry", "dead letter"),
        ("GATE.5.lot-1.out.entry", "dead letter"),
        ("GATE.5.lot-1.in.exit", "dead letter"),
        ("GATE.64.lot-1.in.entry", "no partition"),
        ("GATE.x.lot-1.in.entry", "no partition"),
    ] {
        assert_eq!(outcome(delivered("GATE", subject, payload.clone(), None)), expected, "{subject}");
    }
}

#[test]
fn what_cannot_be_believed_is_a_dead_letter() {
    let with = |change: fn(&mut GateEvent)| {
        let mut event = event();
        change(&mut event);
        wire::encode(Format::Json, &event)
    };
    for (name, payload) in [
        ("no bytes", Vec::new()),
        ("not a message", b"\x00\x01\x02".to_vec()),
        ("a wrong type", br#"{"id":7}"#.to_vec()),
        ("a later version", br#"{"v":99}"#.to_vec()),
        ("no credential", with(|event| event.credential.text = "".into())),
        ("a credential of a page", with(|event| event.credential.text = "x".repeat(33).into())),
        ("before 1970", with(|event| event.seen_at = Moment(-1))),
        ("more than an inbox takes", vec![b'{'; wire::INBOX_BYTES_MAX + 1]),
    ] {
        assert_eq!(outcome(delivered("GATE", "GATE.5.lot-1.in.entry", payload, None)), "dead letter", "{name}");
    }
}

#[test]
fn a_journal_of_a_later_release_stops_the_partition() {
    assert_eq!(outcome(delivered("SESSION", "SESSION.44.5.leaving", br#"{"v":99}"#.to_vec(), None)), "stopped");
}

#[test]
fn a_success_of_an_unknown_attempt_or_of_nothing_is_a_dead_letter() {
    let order = schema::id::derive(
        schema::id::Kind::Order,
        schema::id::Place { province: schema::id::Province(44), day: schema::Day(261_123), partition: Partition(7) },
        &["o"],
    );
    let success = |attempt: schema::Id, minor: i64| {
        let fact = schema::ChannelFact::Succeeded { attempt, transaction: "1".into(), amount: schema::Money::new(minor, schema::Currency::Cny) };
        wire::encode(Format::Json, &ChannelEvent { channel: "wechat".into(), happened_at: Moment(1), fact })
    };
    let ours = schema::id::attempt(order, 1);
    for (subject, payload, expected) in [
        ("CHANNEL.7.wechat.succeeded", success(ours, 100), "input"),
        ("CHANNEL.8.wechat.succeeded", success(ours, 100), "dead letter"),
        ("CHANNEL.7.alipay.succeeded", success(ours, 100), "dead letter"),
        ("CHANNEL.7.wechat.succeeded", success(ours, 0), "dead letter"),
        ("CHANNEL.7.wechat.succeeded", success(ours, -5), "dead letter"),
        ("CHANNEL.7.wechat.succeeded", success("nobody".parse().expect("a name"), 100), "dead letter"),
    ] {
        assert_eq!(outcome(delivered("CHANNEL", subject, payload, None)), expected, "{subject}");
    }
}

#[test]
fn what_is_said_at_a_desk_is_believed_at_its_own_lot_alone() {
    let said = |lot: &str, text: &str| {
        format!(
            r#"{{"id": "1", "lot": "{lot}", "said_at": 1795392000000000, "author": "lin", "reason": "{text}", "says": {{"kind": "stated",
                "part": "ban-1", "what": {{"ban": {{"scope": {{"operator": "city"}}, "from": 0, "reason": "fraud"}}}},
                "of": [{{"kind": "plate", "text": "粤B·12345", "colour": "blue"}}]}}}}"#
        )
        .into_bytes()
    };
    for (subject, payload, expected) in [
        ("DESK.5.lot-1.stated", said("lot-1", "why"), "input"),
        ("DESK.5.lot-2.stated", said("lot-1", "why"), "dead letter"),
        ("DESK.5.lot-1.opened", said("lot-1", "why"), "dead letter"),
        ("DESK.5.lot-1.stated", said("lot-1", ""), "dead letter"),
        ("DESK.5.lot-1.stated", b"{}".to_vec(), "dead letter"),
    ] {
        assert_eq!(outcome(delivered("DESK", subject, payload, None)), expected, "{subject}");
    }
}

proptest! {
    #[test]
    fn any_bytes_end_with_an_input_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..200), stream in prop::sample::select(vec!["GATE", "CHANNEL", "DESK"])) {
        let subject = match stream { "GATE" => "GATE.5.lot-1.in.entry", "DESK" => "DESK.5.lot-1.stated", _ => "CHANNEL.7.wechat.succeeded" };
        prop_assert!(["input", "dead letter"].contains(&outcome(delivered(stream, subject, bytes, None))));
    }
}

//! Small excerpts in the four formats.

use super::*;
use schema::{Day, time::MINUTE};
use std::{sync::Arc, time::Duration};
use streams::{Bus, Memory};

fn replayed(text: &str) -> Recording {
    read(text, None, None, rates(None).expect("the default tariff is a rate table")).expect("the excerpt can be replayed")
}

fn week(text: &str, from: &str, to: &str) -> Result<Recording> {
    read(text, from.parse().ok(), to.parse().ok(), rates(None)?)
}

fn takings(recording: &Recording) -> Vec<(String, u32, i64)> {
    recording.expected.iter().map(|taking| (taking.lot.to_string(), taking.day.0, taking.money.minor)).collect()
}

const MELBOURNE: &str = "entry,exit,bay,lot\n\
    2016-11-07 00:00:00,2016-11-07 00:35:00,10051S,Southbank\n\
    2016-11-07 23:30:00,2016-11-08 00:10:00,10051S,Southbank\n\
    2016-11-07 23:50:00,2016-11-08 02:00:00,10051S,Southbank\n\
    2016-11-07 09:00:00,2016-11-07 09:15:00,13468E,East Melbourne\n\
    2016-11-07 09:00:00,2016-11-07 08:15:00,13468E,East Melbourne\n\
    2016-11-07 09:00:00,never,13468E,East Melbourne\n";

#[test]
fn what_is_expected_comes_from_the_rows() {
    let recording = replayed(MELBOURNE);
    // 35 minutes cost 5.00; 40 cost 5.00 and 130 cost 14.00, both on the day on which they left; 15 are free.
    assert_eq!(takings(&recording), [("southbank".into(), 161_107, 500), ("southbank".into(), 161_108, 500 + 1_400)]);
    assert_eq!((recording.stays, recording.rows, recording.open_stays), (4, 6, 0));
    assert_eq!(recording.declared.lots.len(), 2);
    schema::Reference::resolve(recording.declared).expect("what a recording declares resolves");
}

#[test]
fn every_row_is_mapped_or_counted() {
    let recording = replayed(MELBOURNE);
    assert_eq!(recording.unmapped, BTreeMap::from([("left before it came".into(), 1), ("no time where one belongs".into(), 1)]));
    assert_eq!(recording.events.len(), 8);
    let bays = replayed(BERLIN);
    let reasons = [
        ("free again without having been occupied", 1),
        ("no bay, time and state", 1),
        ("no time where one belongs", 1),
        ("occupied again without having been free", 1),
    ];
    assert_eq!(bays.unmapped, reasons.map(|(reason, count)| (reason.to_string(), count)).into());
    assert_eq!(bays.rows, bays.events.len() as u64 + bays.unmapped.values().sum::<u64>());
}

#[test]
fn stays_that_overlap_on_a_bay_are_two_cars() {
    let recording = replayed(MELBOURNE);
    assert_eq!(recording.remarks.values().sum::<u64>(), 1);
    let plates: BTreeSet<String> = recording.events.iter().map(|(_, event)| event.credential.text.to_string()).collect();
    assert_eq!(plates.len(), 4);
}

/// Two bays; the second row came too late, two repeat a state, two cannot be read.
const BERLIN: &str = "ParkingSpotID Timestamp Occupied\n\
    Parking_19 1516120000000 1\n\
    Parking_07 1516110000000 1\n\
    Parking_19 1516120300000 1\n\
    Parking_07 1516113600000 0\n\
    Parking_07 1516117200000 0\n\
    Parking_07 1516118000000 1\n\
    Parking_07 soon 1\n\
    Parking_07 1516118000000 2\n\
    Parking_19 1516127200000 0\n";

#[test]
fn bay_events_are_sent_as_they_were_recorded() {
    let recording = replayed(BERLIN);
    let sent: Vec<(i64, &str, &str)> =
        recording.events.iter().map(|(at, event)| (at.0 / 1_000_000, event.kind.as_str(), &*event.credential.text)).collect();
    let expected = [
        (1_516_120_000, "entry", "Parking_19.3"),
        (1_516_110_000, "entry", "Parking_07.1"),
        (1_516_113_600, "exit", "Parking_07.1"),
        (1_516_118_000, "entry", "Parking_07.2"),
        (1_516_127_200, "exit", "Parking_19.3"),
    ];
    assert_eq!(sent, expected);
    assert_eq!((recording.stays, recording.open_stays), (3, 1));
    assert_eq!(recording.remarks, BTreeMap::from([("changes that are older than the row before them, sent as they came".into(), 2)]));
    // An hour, and two hours of which the repeated "occupied" changes nothing; all of it on 2018-01-16 in Berlin.
    assert_eq!(takings(&recording), [("berlin".into(), 180_116, 500 + 1_000)]);
}

#[test]
fn a_clock_that_changes_does_not_change_a_stay() {
    let text = "session_id,lot,bay,entry,exit,delivered_energy (kWh),claimed\n\
        a,caltech,CA-305,2019-11-03 01:30:00-07:00,2019-11-03 01:30:00-08:00,4.1,True\n\
        a,caltech,CA-305,2019-11-03 01:30:00-07:00,2019-11-03 01:30:00-08:00,4.1,True\n\
        b,caltech,CA-305,2019-11-03 23:30:00-08:00,2019-11-04 00:30:00-08:00,4.1,False\n";
    let recording = replayed(text);
    assert_eq!(takings(&recording), [("caltech".into(), 191_103, 500), ("caltech".into(), 191_104, 500)]);
    assert_eq!(recording.unmapped.values().sum::<u64>(), 1);
}

const KNOXVILLE: &str = "cars,type,garage,datetime\n\
    2,ingress,Locust Street Garage,2018-08-06 08:00:00\n\
    0,egress,Locust Street Garage,2018-08-06 08:00:00\n\
    1,ingress,Locust Street Garage,2018-08-06 09:00:00\n\
    2,egress,Locust Street Garage,2018-08-06 09:00:00\n\
    3,egress,Main Avenue Garage,2018-08-06 09:00:00\n\
    -4,vacancy,Main Avenue Garage,2018-08-06 09:00:00\n\
    9,ingress,Main Avenue Garage,2018-08-13 09:00:00\n";

#[test]
fn counted_cars_are_paired_first_in_first_out() {
    let recording = week(KNOXVILLE, "2018-08-06", "2018-08-12").expect("a week can be paired");
    assert_eq!((recording.stays, recording.open_stays), (3, 1));
    // In at 8:00 and 8:30, out at 9:00 and 9:30: an hour each.
    let stayed: Vec<i64> = recording.events.iter().map(|(at, _)| at.since(recording.events[0].0) / MINUTE).collect();
    assert_eq!(stayed, [0, 30, 60, 60, 90]);
    assert_eq!(takings(&recording), [("locust-street-garage".into(), 180_806, 1_000)]);
    assert_eq!(recording.unmapped["cars that left without having come in these days"], 3);
    assert_eq!(recording.unmapped["rows outside of the days that were asked for"], 1);
}

#[test]
fn counters_need_their_week() {
    assert!(read(KNOXVILLE, None, None, rates(None).expect("a table")).is_err());
    assert!(week(KNOXVILLE, "2018-08-06", "2018-08-13").is_err());
    assert!(week(KNOXVILLE, "2018-08-06", "2018-08-01").is_err());
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let error = read("a,b,c\n1,2,3\n", None, None, rates(None).expect("a table")).expect_err("it is no recording");
    assert!(error.to_string().contains("header"), "{error}");
}

#[test]
fn a_name_becomes_a_token() {
    assert_eq!(slug(" East  Melbourne (North)"), "east-melbourne-north");
    assert_eq!(Zone::named("+11:00").map(|zone| zone.day(Moment(0))), Some(Day(700_101)));
}

#[tokio::test(start_paused = true)]
async fn the_events_of_a_lot_are_sent_in_order() {
    let row = |row: u32| {
        let (hour, minute) = (row / 60, row % 60);
        format!("2016-11-07 0{hour}:{minute:02}:00,2016-11-07 1{hour}:{minute:02}:00,B{row},Lot {}", row % 3)
    };
    let rows = std::iter::once("entry,exit,bay,lot".into()).chain((0..300).map(row)).collect::<Vec<String>>().join("\n");
    let recording = replayed(&rows);
    for speed in ["max", "3600"] {
        let bus: Arc<dyn Bus> = Arc::new(Memory::new(Moment(1_795_399_200_000_000)));
        let speed = speed.parse().expect("a speed");
        let mut told = Progress::default();
        // Nobody answers, so it does not come to rest.
        let driven = drive(&recording, bus, speed, Duration::ZERO, |progress, _| told = progress).await.expect("in memory");
        let logs = driven.expect_err("nobody answers").logs;
        assert_eq!(told, Progress { acked: 600, events: 600, payments: 0, settling: true });
        for lot in &recording.declared.lots {
            let wanted: Vec<&GateEvent> = recording.events.iter().map(|(_, event)| event).filter(|event| event.lot == lot.lot).collect();
            let stored: Vec<GateEvent> = logs
                .gate
                .iter()
                .map(|stored| schema::wire::decode(Some("application/msgpack"), &stored.payload).expect("a gate event"))
                .filter(|event: &GateEvent| event.lot == lot.lot)
                .collect();
            assert_eq!(stored.iter().collect::<Vec<_>>(), wanted, "{}", lot.lot);
        }
    }
}

#[test]
fn a_speed_is_a_number_or_max() {
    assert_eq!("max".parse(), Ok(Speed::Max));
    assert_eq!("3600".parse(), Ok(Speed::Times(3_600.0)));
    for bad in ["", "0", "-1", "inf", "NaN", "fast"] {
        assert!(bad.parse::<Speed>().is_err(), "{bad:?}");
    }
}

use super::*;
use crate::trial::{START, append, applied, expected, partition};
use streams::Memory;

const AT: (Journal, Partition) = (Journal::Payment, Partition(0));

fn journals(followers_max: usize) -> Journals {
    Journals::new(Arc::new(Memory::new(START)), followers_max)
}

async fn heard(followed: &mut Followed) -> Vec<i64> {
    match followed.next().await {
        Heard::Events(page) => page.iter().map(|(_, recorded)| recorded.at.since(START)).collect(),
        Heard::Missed => panic!("nothing was missed"),
    }
}

#[tokio::test(start_paused = true)]
async fn who_follows_hears_everything_from_its_place_on() {
    let journals = journals(2);
    append(&**journals.bus(), vec![(1, "a", expected())]).await;
    let mut first = journals.follow(AT.0, partition()).await.expect("there is room");
    assert_eq!(first.from, 2);
    append(&**journals.bus(), vec![(2, "b", applied()), (3, "b", applied())]).await;
    assert_eq!(heard(&mut first).await, [2, 3]);
    let mut second = journals.follow(AT.0, partition()).await.expect("there is room");
    assert_eq!(second.from, 4);
    append(&**journals.bus(), vec![(4, "c", applied())]).await;
    assert_eq!((heard(&mut first).await, heard(&mut second).await), (vec![4], vec![4]));
}

#[tokio::test(start_paused = true)]
async fn who_is_too_slow_is_told() {
    let journals = journals(1);
    let mut slow = journals.follow(AT.0, partition()).await.expect("there is room");
    for after in 0..i64::try_from(PAGES_MAX).expect("few") + 2 {
        append(&**journals.bus(), vec![(after, "a", expected())]).await;
        timeout(REST_MAX * 2, std::future::pending::<()>()).await.ok();
    }
    assert!(matches!(slow.next().await, Heard::Missed));
    assert!(matches!(slow.next().await, Heard::Events(_)));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_follows_is_not_read() {
    let journals = journals(1);
    let one = journals.follow(AT.0, partition()).await.expect("there is room");
    let refused = journals.follow(AT.0, AT.1).await.map(drop).expect_err("there is no room");
    assert_eq!(refused.kind, Kind::Busy);
    drop(one);
    timeout(REST_MAX * 2, std::future::pending::<()>()).await.ok();
    assert!(journals.0.lines().is_empty());
    assert!(journals.follow(AT.0, AT.1).await.is_ok());
}

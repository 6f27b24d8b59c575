//! A driver's phone.

use super::{Answer, Shape, Site, gate};
use schema::{
    ChannelFact, Event, GateEvent, GateKind, Id, Journal, Money, Verdict,
    channel::{Act, Outcome},
    id,
    journal::PaymentEvent,
    wire,
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The form of a plate.
fn plate(text: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs([("province", "粤"), ("plate", text), ("colour", "blue"), ("ticket", "")]).finish()
}

/// The path to which an answer leads.
fn leads_to(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{answer:?}");
    answer.header("location").to_owned()
}

fn order_of(path: &str) -> Id {
    let order = path.strip_prefix("/pay/order/").and_then(|rest| rest.split('?').next()).expect("a bill");
    order.parse().expect("an id")
}

/// A site with a car that came 90 minutes ago, and the path of its bill.
async fn inside(car: &str) -> (Site, String) {
    let site = Site::open(Shape::default()).await;
    site.gate(&gate(GateKind::Entry, &format!("粤{car}"), -90)).await;
    site.until("SESSION", 1).await;
    let path = leads_to(&site.form("/pay/small", &plate(car)).await);
    // What is due is known to `payment` a moment later.
    site.until("PAYMENT", 1).await;
    (site, path)
}

/// The last thing that `payment` has decided.
async fn decided(site: &Site) -> PaymentEvent {
    let stored = site.bus.scan("PAYMENT", 1, 100).await.expect("the bus is in memory").pop().expect("something was decided");
    let content_type = stored.headers.get(wire::CONTENT_TYPE).map(String::as_str);
    match wire::decode_recorded(Journal::Payment, content_type, &stored.payload).expect("we wrote it").event {
        Event::Payment(event) => event,
        event => panic!("{event:?} in PAYMENT"),
    }
}

/// A channel has opened what it was asked for: the number of the attempt.
async fn opened(site: &Site, channel: &str, code: &str) -> (Id, Money) {
    let PaymentEvent::Attempted { attempt, channel: asked, amount, act: Act::Open, tries, .. } = decided(site).await else {
        panic!("nothing is to be opened: {:?}", decided(site).await)
    };
    assert_eq!(&*asked, channel);
    let fact = ChannelFact::CallAnswered { attempt, act: Act::Open, tries, outcome: Outcome::Opened, code: Some(code.into()) };
    let before = site.bus.look("PAYMENT").await.expect("the bus is in memory").last;
    site.channel(channel, fact).await;
    site.until("PAYMENT", before + 1).await;
    (attempt, amount)
}

/// One who follows a page live.
struct Follower(TcpStream, String);

impl Follower {
    async fn of(site: &Site, path: &str) -> Self {
        let mut stream = TcpStream::connect(site.address).await.expect("it listens");
        let request = format!("GET {path}/state HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        Self(stream, String::new())
    }

    /// Reads on until a text comes, or the end.
    async fn until(&mut self, text: &str) -> &str {
        let reads = async {
            while !self.1.contains(text) {
                let mut bytes = [0; 4_096];
                let count = self.0.read(&mut bytes).await.expect("it is told");
                assert!(count > 0, "it ended before {text}: {}", self.1);
                self.1.push_str(std::str::from_utf8(&bytes[..count]).expect("text"));
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reads).await.unwrap_or_else(|_| panic!("{text} did not come"));
        &self.1
    }
}

#[tokio::test]
async fn a_plate_becomes_a_bill_and_the_bill_is_paid() {
    let (site, path) = inside("B12345").await;
    let order = order_of(&path);
    let bill = site.get(&path).await;
    assert_eq!(bill.status, 200);
    for said in ["¥10.00", "粤B****5", "2026-11-23 08:30", "1 h 30 min", "WeChat Pay", "Alipay", "Use points", "you have 15 minutes"] {
        assert!(bill.body.contains(said), "{said} is not said: {}", bill.body);
    }
    assert!(!bill.body.contains("12345") && !bill.body.contains("value=\"cash\"") && !bill.body.contains("value=\"etc\""), "{}", bill.body);
    let plain = path.split('?').next().expect("a path");
    let mut follower = Follower::of(&site, plain).await;
    follower.until("\"standing\":\"due\"").await;
    let chosen = site.form(&path, "channel=wechat&points=").await;
    assert_eq!(leads_to(&chosen), path);
    follower.until("\"standing\":\"opening\"").await;
    let (attempt, amount) = opened(&site, "wechat", "weixin://wxpay/bizpayurl?pr=abc").await;
    assert_eq!(amount.minor, 1_000);
    follower.until("\"standing\":\"open\"").await;
    // Once its row is saved it is read from there.
    for _ in 0..100 {
        super::wait().await;
    }
    let open = site.get(&path).await.body;
    for said in ["<svg class=\"code\"", "href=\"weixin://wxpay/bizpayurl?pr=abc\"", "Scan with WeChat Pay", "Pay another way"] {
        assert!(open.contains(said), "{said} is not said: {open}");
    }
    site.channel("wechat", ChannelFact::Succeeded { attempt, transaction: "T1".into(), amount }).await;
    // The stream ends by itself, with the last chunk of its body.
    let told = follower.until("\r\n0\r\n\r\n").await;
    assert!(told.contains("\"over\":true,\"standing\":\"paid\""), "{told}");
    let paid = site.get(&path).await.body;
    for said in ["Paid ¥10.00", "Please leave by 2026-11-23 10:15", "15 minutes left"] {
        assert!(paid.contains(said), "{said} is not said: {paid}");
    }
    let polled = site.ask(&format!("GET {plain}/state"), &[("Accept", "application/json")], b"").await;
    assert!(polled.body.contains("\"standing\":\"paid\"") && polled.header("content-type") == "application/json", "{polled:?}");
    assert_eq!(order, order_of(&leads_to(&site.form("/pay/small", &plate("B12345")).await)), "who looks again finds it paid");
    site.close().await;
}

#[tokio::test]
async fn a_plate_that_is_not_inside_says_so() {
    let (site, _) = inside("B70001").await;
    for other in ["B70002", "B7000", "%"] {
        let answer = site.form("/pay/small", &plate(other)).await;
        assert!(answer.status == 404 && answer.body.contains("was not found"), "{answer:?}");
        assert!(!answer.body.contains("70001"), "{answer:?}");
    }
    // The same car is not in another lot.
    assert_eq!(site.form("/pay/other", &plate("B70001")).await.status, 404);
    let nothing = site.form("/pay/small", &plate(" ")).await;
    assert!(nothing.status == 400 && nothing.body.contains("Please type the number plate"), "{nothing:?}");
    for (path, said) in
        [("/pay/nowhere", "no such car park"), ("/pay/order/nothing", "no such order"), ("/pay/order/O4426112307none000000000000", "no such order")]
    {
        let answer = site.get(path).await;
        assert!(answer.status == 404 && answer.body.contains(said), "{path}: {answer:?}");
    }
    site.close().await;
}

#[tokio::test]
async fn a_camera_that_tells_no_colour_is_no_reason_not_to_find_a_car() {
    let site = Site::open(Shape::default()).await;
    let mut entry = gate(GateKind::Entry, "粤B12345", -90);
    entry.credential.colour = None;
    site.gate(&entry).await;
    site.until("SESSION", 1).await;
    leads_to(&site.form("/pay/small", &plate("B12345")).await);
    site.close().await;
}

#[tokio::test]
async fn the_same_question_gives_the_same_bill() {
    let (site, path) = inside("B12345").await;
    let before = site.bus.look("GATE").await.expect("the bus is in memory").last;
    assert_eq!(leads_to(&site.form("/pay/small", &plate("粤B·12345")).await), path);
    assert_eq!(site.bus.look("GATE").await.expect("the bus is in memory").last, before, "it was not asked for again");
    site.close().await;
}

#[tokio::test]
async fn who_stands_at_the_exit_finds_its_bill() {
    let site = Site::open(Shape::default()).await;
    site.gate(&gate(GateKind::Entry, "粤B12345", -90)).await;
    site.until("SESSION", 1).await;
    site.gate(&gate(GateKind::Exit, "粤B12345", 0)).await;
    site.until("PAYMENT", 1).await;
    let path = leads_to(&site.form("/pay/small", &plate("B12345")).await);
    let bill = site.get(&path).await.body;
    assert!(bill.contains("The barrier at the exit opens once it is paid"), "{bill}");
    site.channel("alipay", ChannelFact::Succeeded { attempt: id::attempt(order_of(&path), 1), transaction: "T1".into(), amount: TEN }).await;
    Follower::of(&site, path.split('?').next().expect("a path")).await.until("\"standing\":\"paid\"").await;
    assert!(site.get(&path).await.body.contains("The barrier is opening"));
    site.close().await;
}

const TEN: Money = Money::new(1_000, schema::Currency::Cny);

#[tokio::test]
async fn amounts_that_do_not_add_up_are_refused_with_words() {
    let (site, path) = inside("B12345").await;
    for (form, status, said) in [
        ("channel=wechat&points=10.01", 400, "At most ¥10.00"),
        ("channel=wechat&points=1.234", 400, "Please type an amount"),
        ("channel=wechat&points=-1", 400, "Please type an amount"),
        ("channel=wechat&points=99999999999999999999", 400, "Please type an amount"),
        ("channel=cash", 400, "How would you like to pay?"),
        ("channel=paypal", 400, "How would you like to pay?"),
        ("", 400, "How would you like to pay?"),
    ] {
        let answer = site.form(&path, form).await;
        assert!(answer.status == status && answer.body.contains(said), "{form}: {answer:?}");
    }
    assert_eq!(site.bus.look("DESK").await.expect("the bus is in memory").last, 0, "nothing was said");
    // An amount that the client names counts for nothing.
    assert_eq!(leads_to(&site.form(&path, "channel=wechat&amount=1&due=1").await), path);
    let (_, amount) = opened(&site, "wechat", "x").await;
    assert_eq!(amount, TEN);
    site.close().await;
}

#[tokio::test]
async fn points_and_a_channel_pay_together() {
    let (site, path) = inside("B12345").await;
    leads_to(&site.form(&path, "channel=alipay&points=2.5").await);
    let PaymentEvent::Attempted { attempt, channel, amount, .. } = decided(&site).await else { panic!("nothing is tried") };
    assert_eq!((&*channel, amount.minor), ("points", 250));
    site.channel("points", ChannelFact::Accepted { attempt, transaction: "P1".into(), amount }).await;
    let plain = path.split('?').next().expect("a path");
    let mut follower = Follower::of(&site, plain).await;
    follower.until("\"standing\":\"opening\"").await;
    for _ in 0..500 {
        if matches!(decided(&site).await, PaymentEvent::Attempted { channel, .. } if *channel == *"alipay") {
            break;
        }
        super::wait().await;
    }
    let (attempt, amount) = opened(&site, "alipay", "https://qr.alipay.com/bax00").await;
    assert_eq!(amount.minor, 750);
    follower.until("\"standing\":\"open\"").await;
    let open = site.get(&path).await.body;
    assert!(open.contains("Points worth ¥2.50 are held") && open.contains("¥7.50"), "{open}");
    site.channel("alipay", ChannelFact::Succeeded { attempt, transaction: "A1".into(), amount }).await;
    follower.until("\"standing\":\"paid\"").await;
    let paid = site.get(&path).await.body;
    assert!(paid.contains("Paid ¥10.00") && (paid.contains("Points + Alipay") || paid.contains("Alipay + Points")), "{paid}");
    site.close().await;
}

#[tokio::test]
async fn another_choice_takes_the_place_of_one_that_is_open() {
    let (site, path) = inside("B12345").await;
    leads_to(&site.form(&path, "channel=wechat").await);
    opened(&site, "wechat", "weixin://x").await;
    let chooses = site.get(&format!("{path}&choose=1")).await.body;
    assert!(chooses.contains("<svg class=\"code\"") && chooses.contains("value=\"alipay\""), "{chooses}");
    leads_to(&site.form(&path, "channel=alipay").await);
    assert!(matches!(decided(&site).await, PaymentEvent::Attempted { channel, act: Act::Close, .. } if *channel == *"wechat"));
    assert!(site.get(&path).await.body.contains("Opening Alipay"));
    site.close().await;
}

#[tokio::test]
async fn what_is_owed_is_paid_on_the_same_page() {
    let (site, path) = inside("B12345").await;
    // It went without having paid, through a lane that could not ask.
    site.gate(&GateEvent { decided: Some(Verdict::Open), ..gate(GateKind::Exit, "粤B12345", 1) }).await;
    // The price that was asked for inside stands no more; its page leads to what is owed.
    let mut old = site.get(&path).await.body;
    for _ in 0..500 {
        if old.contains("To the new bill") && old.contains("Earlier stays that are not paid") {
            break;
        }
        super::wait().await;
        old = site.get(&path).await.body;
    }
    let owed = old.split("<a class=\"main\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a new bill");
    let path = owed.to_owned();
    let bill = site.get(&path).await.body;
    assert!(bill.contains(">Owed<"), "{bill}");
    leads_to(&site.form(&path, "channel=alipay").await);
    let (attempt, amount) = opened(&site, "alipay", "https://qr.alipay.com/bax00").await;
    site.channel("alipay", ChannelFact::Succeeded { attempt, transaction: "A1".into(), amount }).await;
    Follower::of(&site, path.split('?').next().expect("a path")).await.until("\"standing\":\"paid\"").await;
    assert!(site.get(&path).await.body.contains("What was owed is settled"));
    site.close().await;
}

#[tokio::test]
async fn floods_are_bounded() {
    let site = Site::open(Shape { followers_max: 1, ..Shape::default() }).await;
    site.gate(&gate(GateKind::Entry, "粤B12345", -90)).await;
    site.until("SESSION", 1).await;
    let path = leads_to(&site.form("/pay/small", &plate("B12345")).await);
    let mut statuses = Vec::new();
    for number in 0..15 {
        statuses.push(site.form("/pay/small", &plate(&format!("B2000{number}"))).await.status);
    }
    assert_eq!((statuses.iter().filter(|status| **status == 404).count(), statuses.last()), (9, Some(&429)), "{statuses:?}");
    let plain = path.split('?').next().expect("a path");
    let mut follower = Follower::of(&site, plain).await;
    follower.until("\"standing\"").await;
    let refused = site.ask(&format!("GET {plain}/state"), &[("Accept", "text/event-stream")], b"").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(site.ask(&format!("GET {plain}/state"), &[], b"").await.status, 200, "it can look again");
    drop(follower);
    let big = site.form("/pay/small", &"x".repeat(10_000)).await;
    assert_eq!(big.status, 413);
    site.close().await;
}

#[tokio::test]
async fn both_languages_are_served() {
    let (site, path) = inside("B12345").await;
    let order = path.split('?').next().expect("a path");
    for path in ["/pay/small", order] {
        for (query, accepts, lang, title) in [
            ("", "en-GB,en;q=0.9,zh;q=0.1", "en", "Pay for parking"),
            ("", "zh-CN", "zh-CN", "停车缴费"),
            ("", "fr", "zh-CN", "停车缴费"),
            ("?lang=en", "zh-CN", "en", "Pay for parking"),
            ("?lang=zh", "en", "zh-CN", "停车缴费"),
        ] {
            let answer = site.ask(&format!("GET {path}{query}"), &[("Accept-Language", accepts)], b"").await;
            assert!(answer.body.contains(&format!("<html lang=\"{lang}\">")) && answer.body.contains(title), "{path}{query} {accepts}");
            assert!(answer.header("content-security-policy").starts_with("default-src 'self'"), "{answer:?}");
            assert_eq!((answer.header("cache-control"), answer.header("referrer-policy")), ("no-store", "no-referrer"));
        }
    }
    for (path, content_type) in
        [("page.css", "text/css; charset=utf-8"), ("page.js", "text/javascript; charset=utf-8"), ("icon.svg", "image/svg+xml")]
    {
        let answer = site.get(&format!("/pay/{path}")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, content_type));
    }
    site.close().await;
}

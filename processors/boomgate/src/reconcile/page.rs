//! The report as a page of its own: no script, no font and no picture from elsewhere, in Chinese and English, and fit to be printed.
//!
//! Invariants
//! 1. It needs nothing from elsewhere, and nothing of a file becomes a tag   (`reconcile::tests::a_page_needs_nothing_from_elsewhere`).
//!
//! Not here: the numbers (`report`).

use super::{
    details::Exception,
    exceptions,
    report::{Category, Report, Told, clock, of_age, yuan},
};
use schema::{
    exception::Stays,
    statement::{Age, Difference},
};
use std::fmt::Write;

/// The size of a drawing, in units of its SVG.
const WIDTH: i64 = 960;
const HEIGHT: i64 = 340;
/// Where the lowest bar stands, and the highest ends.
const FLOOR: i64 = 270;
const CEILING: i64 = 40;

/// The colour of a difference in each drawing.
const fn colour(difference: Difference) -> &'static str {
    match difference {
        Difference::Matched => "#0f766e",
        Difference::Surplus => "#2563eb",
        Difference::Shortage => "#dc2626",
        Difference::AmountDiffers => "#d97706",
        Difference::StatusDiffers => "#7c3aed",
        Difference::DuplicateLine => "#64748b",
        Difference::RefundDiffers => "#db2777",
    }
}

/// What a difference means, for whoever reads the page for the first time.
const fn meaning(difference: Difference) -> &'static str {
    match difference {
        Difference::Matched => "both sides agree",
        Difference::Surplus => "the channel has money that we did not book",
        Difference::Shortage => "we booked money that the channel did not pay",
        Difference::AmountDiffers => "both have it, with another amount",
        Difference::StatusDiffers => "one side says that the money moved, or for which order, and the other does not",
        Difference::DuplicateLine => "the statement tells a transaction again",
        Difference::RefundDiffers => "a refund that one side lacks or has otherwise",
    }
}

/// The whole page.
pub fn render(report: &Report, told: &Told) -> String {
    let is_good = report.exceptions == 0;
    let verdict = if is_good { "全部相符 · everything matches".to_owned() } else { format!("{} 笔差异 · exceptions", report.exceptions) };
    let facts = facts(report).into_iter().map(|(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>")).collect::<Vec<_>>().concat();
    let mut page = format!(
        "<!doctype html><html lang=\"zh\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{channel} {day}</title><style>{STYLE}</style><main><h1>对账报告 · {channel} · {day}</h1>\
         <p class=\"{class}\">{verdict}</p><dl>{facts}</dl>",
        channel = escape(report.channel),
        day = report.day,
        class = if is_good { "good" } else { "bad" },
    );
    section(&mut page, "分类汇总 · By category", &categories(report));
    section(&mut page, "从我方合计到渠道合计 · From our total to the channel's", &waterfall(report));
    if !told.ages.is_empty() {
        section(&mut page, &format!("账龄 · Ages on {}", report.as_of), &ages(told));
    }
    for (difference, first) in &told.first {
        let count = report.categories.iter().find(|category| category.difference == *difference).map_or(0, |category| category.count);
        let title = format!("{} · {} ({})", difference.chinese(), difference.english(), grouped(count));
        let more = told.of(*difference).saturating_sub(first.len() as u64);
        let note = if more > 0 { format!("<p class=\"note\">{} more in exceptions.csv</p>", grouped(more)) } else { String::new() };
        section(&mut page, &title, &(list(first) + &note));
    }
    if let Some(running) = &report.running {
        section(&mut page, "三方核对 · Stays, payments and the statement", &stays(&running.stays));
    }
    writeln!(page, "<footer>{} · the statement agrees with its own count and sums</footer></main></html>", source(report))
        .expect("a string takes all that is written");
    page
}

/// The numbers at the top. What two files tell and a running system does not count is not there.
fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let gap = report.theirs_minor.saturating_sub(report.ours_minor);
    let mut facts =
        vec![("我方合计 our total", yuan(report.ours_minor)), ("渠道合计 channel's total", yuan(report.theirs_minor)), ("差额 gap", yuan(gap))];
    if report.running.as_ref().is_none_or(|running| running.knows_fees) {
        facts.push(("手续费 fees", yuan(report.fee_milli / 1_000)));
    }
    facts.push(("账单行数 lines", grouped(report.lines)));
    facts.extend(match &report.running {
        None => [
            ("我方笔数 payments", grouped(report.payments)),
            ("其他日期 of other days", grouped(report.of_other_days)),
            ("无资金 without money", grouped(report.without_money)),
        ],
        Some(running) => [
            ("分片 pieces", grouped(running.pieces as u64)),
            ("未结差异 open exceptions", grouped(running.open)),
            ("已结差异 closed since", grouped(running.closed)),
        ],
    });
    facts
}

/// Of what it is the report.
fn source(report: &Report) -> String {
    let merchant = escape(&report.merchant);
    match &report.running {
        None => format!("{}<br>SHA-1 {} · merchant {merchant}", escape(&report.file), escape(&report.sha1)),
        Some(running) => format!("{} of a running system on {} · merchant {merchant}", escape(&running.term), report.as_of),
    }
}

/// Stays that do not go with their money, and the first of them by their sessions.
fn stays(stays: &Stays) -> String {
    let names = ["已付未离场 paid, and inside still", "已离场未付 left, and owes"];
    let mut rows = "<table><tr><th>类别</th><td>数量 count</td><th>停车单号 the first sessions</th></tr>".to_owned();
    for (name, (_, listed)) in names.into_iter().zip(stays.lists()) {
        let first = listed.first.iter().map(|session| escape(session.as_str())).collect::<Vec<_>>().join(" ");
        write!(rows, "<tr><th>{name}</th><td>{}</td><th class=\"id\">{first}</th></tr>", grouped(listed.count))
            .expect("a string takes all that is written");
    }
    rows + "</table>"
}

fn section(page: &mut String, title: &str, content: &str) {
    write!(page, "<section><h2>{title}</h2>{content}</section>").expect("a string takes all that is written");
}

fn grouped(count: u64) -> String {
    let text = yuan(i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(100));
    text.trim_end_matches(".00").to_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn categories(report: &Report) -> String {
    let mut rows = "<table><tr><th>类别</th><th></th><td>笔数 count</td><td>我方 ours</td><td>渠道 channel</td><td>差额 gap</td></tr>".to_owned();
    for Category { difference, chinese, count, ours_minor, theirs_minor, gap_minor } in &report.categories {
        let [ours, theirs, gap] = [ours_minor, theirs_minor, gap_minor].map(|minor| yuan(*minor));
        let (english, meaning, colour) = (difference.english(), meaning(*difference), colour(*difference));
        write!(
            rows,
            "<tr><th><i style=\"background:{colour}\"></i>{chinese} {english}</th><th class=\"why\">{meaning}</th>\
             <td>{}</td><td>{ours}</td><td>{theirs}</td><td>{gap}</td></tr>",
            grouped(*count)
        )
        .expect("a string takes all that is written");
    }
    let [ours, theirs, gap] = [report.ours_minor, report.theirs_minor, report.theirs_minor.saturating_sub(report.ours_minor)].map(yuan);
    rows + &format!("<tr class=\"sum\"><th>合计 total</th><th></th><td></td><td>{ours}</td><td>{theirs}</td><td>{gap}</td></tr></table>")
}

/// Bars from our total over each gap to the channel's total. Totals are far larger than gaps, so the axis does not begin at zero, and shows that.
fn waterfall(report: &Report) -> String {
    let steps: Vec<&Category> = report.categories.iter().filter(|category| category.gap_minor != 0).collect();
    let mut levels = vec![report.ours_minor];
    for step in &steps {
        levels.push(levels.last().copied().unwrap_or_default().saturating_add(step.gap_minor));
    }
    let (low, high) = (levels.iter().min().copied().unwrap_or_default(), levels.iter().max().copied().unwrap_or_default());
    let room = (high.saturating_sub(low) / 4).max(100);
    let (bottom, top) = (low.saturating_sub(room), high.saturating_add(room / 2));
    let y = |minor: i64| {
        let part = i128::from(minor - bottom) * i128::from(FLOOR - CEILING) / i128::from((top - bottom).max(1));
        FLOOR - i64::try_from(part).unwrap_or_default()
    };
    let bars = i64::try_from(steps.len() + 2).unwrap_or(9);
    let (pitch, left) = ((WIDTH - 60) / bars, 30);
    let width = (pitch * 3 / 5).min(120);
    let x = |place: usize| left + i64::try_from(place).unwrap_or_default() * pitch + (pitch - width) / 2;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><line x1=\"{left}\" y1=\"{FLOOR}\" x2=\"{}\" y2=\"{FLOOR}\" stroke=\"#94a3b8\"/>",
        WIDTH - left
    );
    let mut bar = |place: usize, from: i64, to: i64, colour: &str, names: [&str; 2], label: &str| {
        let (upper, lower) = (from.min(to), from.max(to));
        let middle = x(place) + width / 2;
        write!(
            svg,
            "<rect x=\"{}\" y=\"{upper}\" width=\"{width}\" height=\"{}\" fill=\"{colour}\" rx=\"2\"/>\
             <text x=\"{middle}\" y=\"{}\" class=\"value\">{label}</text>\
             <text x=\"{middle}\" y=\"{}\">{}</text><text x=\"{middle}\" y=\"{}\" class=\"small\">{}</text>",
            x(place),
            (lower - upper).max(2),
            upper - 8,
            FLOOR + 22,
            names[0],
            FLOOR + 42,
            names[1],
        )
        .expect("a string takes all that is written");
    };
    bar(0, FLOOR, y(report.ours_minor), "#334155", ["我方合计", "our total"], &yuan(report.ours_minor));
    for (place, (step, ends)) in steps.iter().zip(levels.windows(2)).enumerate() {
        let [from, to] = [ends[0], ends[1]].map(y);
        let sign = if step.gap_minor > 0 { "+" } else { "" };
        bar(place + 1, from, to, colour(step.difference), [step.chinese, step.difference.english()], &format!("{sign}{}", yuan(step.gap_minor)));
    }
    bar(steps.len() + 1, FLOOR, y(report.theirs_minor), "#334155", ["渠道合计", "channel's total"], &yuan(report.theirs_minor));
    for (place, level) in levels.iter().enumerate() {
        let (from, to, y) = (x(place) + width, x(place + 1), y(*level));
        write!(svg, "<line x1=\"{from}\" y1=\"{y}\" x2=\"{to}\" y2=\"{y}\" stroke=\"#94a3b8\" stroke-dasharray=\"3 3\"/>")
            .expect("a string takes all");
    }
    if bottom != 0 {
        // A total is cut: its foot shows it.
        for place in [0, steps.len() + 1] {
            let (at, cut) = (x(place) - 4, FLOOR - 18);
            write!(svg, "<path d=\"M{at} {cut}l{0} -8v6l-{0} 8z\" fill=\"#fff\"/>", width + 8).expect("a string takes all");
        }
    }
    svg + "</svg><p class=\"note\">元 CNY; the axis does not begin at zero</p>"
}

/// A bar for each age, in parts by difference, as long as there are exceptions.
fn ages(told: &Told) -> String {
    let most = Age::ALL.iter().map(|age| of_age(&told.ages, *age).map(|(_, count, _)| count).sum::<u64>()).max().unwrap_or(1).max(1);
    let (left, length, pitch) = (150, WIDTH - 430, 40);
    let height = pitch * i64::try_from(Age::ALL.len()).unwrap_or(5) + 10;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    for (row, age) in Age::ALL.into_iter().enumerate() {
        let y = i64::try_from(row).unwrap_or_default() * pitch + 8;
        write!(svg, "<text x=\"{}\" y=\"{}\" class=\"name\">{}</text>", left - 12, y + 18, escape(age.as_str())).expect("a string takes all");
        let (mut x, mut all, mut gaps) = (left, 0, 0_i64);
        for (difference, count, gap) in of_age(&told.ages, age) {
            let wide = i64::try_from(u128::from(count) * u128::try_from(length).unwrap_or_default() / u128::from(most)).unwrap_or_default().max(2);
            let (colour, what) = (colour(difference), difference.english());
            write!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"26\" fill=\"{colour}\"><title>{what}: {count}</title></rect>")
                .expect("a string takes all");
            (x, all, gaps) = (x + wide, all + count, gaps.saturating_add(gap));
        }
        let label = if all == 0 { "–".to_owned() } else { format!("{} · ¥ {}", grouped(all), yuan(gaps)) };
        write!(svg, "<text x=\"{}\" y=\"{}\" class=\"after\">{label}</text>", x + 10, y + 18).expect("a string takes all");
    }
    let key = |difference: Difference| {
        format!("<span><i style=\"background:{}\"></i>{} {}</span>", colour(difference), difference.chinese(), difference.english())
    };
    let known = exceptions().filter(|difference| told.ages.keys().any(|(_, there)| there == difference));
    format!("{svg}</svg><p class=\"key\">{}</p>", known.map(key).collect::<String>())
}

fn list(first: &[Exception]) -> String {
    let mut rows = "<table class=\"list\"><tr><th>行 line</th><th>渠道单号 transaction</th><th>商户单号 number</th><th>时间 time</th>\
                    <td>渠道 channel</td><td>我方 ours</td><td>差额 gap</td></tr>"
        .to_owned();
    for Exception { line, payment, gap, known, .. } in first {
        let side = |amount: schema::Money, standing: &str| {
            let standing = if standing == "done" { String::new() } else { format!(" <small>{standing}</small>") };
            format!("{}{standing}", yuan(amount.minor))
        };
        let theirs = line.as_ref().map_or_else(|| "–".to_owned(), |line| side(line.amount, line.standing.as_str()));
        let ours = payment.as_ref().map_or_else(|| "–".to_owned(), |payment| side(payment.amount, payment.standing.as_str()));
        let [at, transaction, number, time] = match (line, payment) {
            (Some(line), _) => {
                let number = if line.refund.is_empty() { &line.number } else { &line.refund };
                [line.line.to_string(), line.transaction.to_string(), number.to_string(), clock(line.happened_at)]
            }
            (None, Some(payment)) => {
                let number = if payment.refund.is_empty() { &payment.order } else { &payment.refund };
                let at = if payment.line == 0 { "–".to_owned() } else { format!("CSV {}", payment.line) };
                [at, payment.transaction.to_string(), number.to_string(), clock(payment.happened_at)]
            }
            (None, None) => Default::default(),
        };
        let id = known.as_ref().map_or_else(String::new, |known| format!("<br><small>{}</small>", known.exception));
        write!(
            rows,
            "<tr><th>{at}</th><th class=\"id\">{}</th><th class=\"id\">{}{id}</th><th>{time}</th><td>{theirs}</td><td>{ours}</td><td>{}</td></tr>",
            escape(&transaction),
            escape(&number),
            yuan(*gap)
        )
        .expect("a string takes all that is written");
    }
    rows + "</table>"
}

const STYLE: &str = "body{margin:0;background:#f6f7f9;color:#1c2430;font:15px/1.5 system-ui,'Noto Sans CJK SC','Microsoft YaHei',sans-serif}\
main{max-width:68rem;margin:auto;padding:2rem 1rem}h1{margin:0;font-size:1.7rem}h2{font-size:1.1rem;margin:0 0 .6rem}\
p.good{color:#0f766e;font-weight:600}p.bad{color:#b91c1c;font-weight:600}.note{color:#5b6675;font-size:.85rem;margin:.3rem 0 0}\
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:.8rem;margin:1.2rem 0}\
dl div,section{background:#fff;border:1px solid #e3e7ed;border-radius:.6rem;padding:.8rem 1rem}section{margin:.8rem 0;overflow-x:auto;break-inside:avoid}\
dt{color:#5b6675;font-size:.85rem}dd{margin:0;font-weight:600;font-variant-numeric:tabular-nums}table{width:100%;border-collapse:collapse}\
th{text-align:left;font-weight:400;white-space:nowrap}.why,.id{white-space:normal}td{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}tr+tr>*{border-top:1px solid #e3e7ed}\
th,td{padding:.3rem .4rem}tr:first-child>*,.why,small{color:#5b6675;font-size:.85rem}.sum>*{font-weight:600}.list{font-size:.85rem}\
.id{font-family:ui-monospace,monospace;overflow-wrap:anywhere}i{display:inline-block;width:.7rem;height:.7rem;border-radius:.15rem;margin-right:.5rem}\
.key{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;margin:.4rem 0 0;font-size:.85rem}svg{width:100%;height:auto;display:block}\
svg text{font-size:14px;fill:#1c2430;text-anchor:middle}svg .small{font-size:12px;fill:#5b6675}svg .value{font-size:13px;font-variant-numeric:tabular-nums}\
svg .name{text-anchor:end}svg .after{text-anchor:start}footer{color:#5b6675;font-size:.8rem;margin-top:1.2rem;overflow-wrap:anywhere}\
@media print{body{background:#fff}main{max-width:none;padding:0}}";

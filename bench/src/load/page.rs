//! The report as a page of its own: no script, no font and no picture from elsewhere.
//!
//! Not here: the numbers (`load`).

use super::{Report, decimal, ms, step::Outcome};
use anyhow::{Result, anyhow};
use bench::world::{Latency, Sample, histogram};
use plotters::prelude::*;
use std::{collections::BTreeMap, fmt::Write};

/// The size of a plot, in units of its SVG.
const SIZE: (u32, u32) = (960, 380);
/// Entries, exits, and what is worst among them.
const COLOURS: [RGBColor; 3] = [RGBColor(37, 99, 235), RGBColor(13, 148, 136), RGBColor(217, 119, 6)];
/// How many points a line over time has.
const POINTS: u64 = 240;
/// The highest percentile of the curve, as a number of nines.
const NINES: u32 = 4;

type Line = (&'static str, RGBColor, Vec<(f64, f64)>);

/// The whole page.
pub fn render(report: &Report, outcome: &Outcome, floor: Latency) -> Result<String> {
    let over_time = plot("s since the first counted message", 13, &timeline(&outcome.samples), &|x| format!("{x:.0}"))?;
    let percentiles = plot("percentile", 1 + NINES as usize, &curves(&outcome.samples), &nines)?;
    let mut rows = String::new();
    let cases = [
        ("entries, from intended send to lane command", outcome.entries),
        ("exits, to the first command", outcome.exits),
        ("floor: one durable publish and one request with reply", floor),
    ];
    for (what, latency) in cases {
        let Latency { count, p50_us, p99_us, p999_us, max_us } = latency;
        write!(rows, "<tr><th>{what}</th><td>{count}</td>")?;
        for us in [p50_us, p99_us, p999_us, max_us] {
            write!(rows, "<td>{:.2}</td>", ms(us))?;
        }
        rows.push_str("</tr>");
    }
    let mut facts = String::new();
    let figures = [
        ("decided", format!("{:.0} /s of {:.0} /s for {} s", report.rate_sustained, report.rate_target, report.seconds)),
        ("p50 by the floor", format!("{:.1} ×", report.ratio_p50)),
        ("lost, doubled", format!("{}, {}", report.lost, report.doubled)),
        ("oracle", report.oracle.clone()),
        ("boomgate", format!("{:.1} CPU s, {:.0} MB", report.boomgate_cpu_s, report.boomgate_rss_mb)),
        ("nats-server", format!("{:.1} CPU s, {:.0} MB", report.nats_cpu_s, report.nats_rss_mb)),
        ("appends", format!("{}, {:.1} events in each", report.appends, report.events_per_append)),
        ("start to first decision", format!("{} ms", report.start_ms)),
    ];
    let beside = report.beside.map(|beside| ("entries beside a reconciliation", beside.to_string()));
    let highest = report.max_rate.map(|rate| ("highest rate", format!("{rate:.0} /s")));
    for (name, value) in figures.into_iter().chain(beside).chain(highest) {
        write!(facts, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value))?;
    }
    let verdict = if report.is_good() { "nothing lost, nothing doubled, the oracle agrees" } else { "not good" };
    Ok(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>boomgate: entry decisions under load</title><style>{STYLE}</style><main>\
         <h1>Entry decisions under load</h1><p class=\"{}\">{verdict}</p><dl>{facts}</dl>\
         <section><h2>Latency</h2><table><tr><th></th><td>count</td><td>p50 ms</td><td>p99 ms</td><td>p99.9 ms</td><td>max ms</td></tr>{rows}</table></section>\
         <section><h2>Over time</h2>{over_time}</section><section><h2>By percentile</h2>{percentiles}</section></main></html>\n",
        if report.is_good() { "good" } else { "bad" },
    ))
}

const STYLE: &str = "body{margin:0;background:#f6f7f9;color:#1c2430;font:16px/1.5 system-ui,sans-serif}main{max-width:62rem;margin:auto;padding:2rem 1rem}\
h1{margin:0;font-size:1.7rem}h2{font-size:1.1rem;margin:0 0 .6rem}p.good{color:#0f766e}p.bad{color:#b91c1c;font-weight:600}\
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(14rem,1fr));gap:.8rem;margin:1.2rem 0}\
dl div,section{background:#fff;border:1px solid #e3e7ed;border-radius:.6rem;padding:.8rem 1rem}section{margin:.8rem 0}\
dt{color:#5b6675;font-size:.85rem}dd{margin:0;font-weight:600}table{width:100%;border-collapse:collapse}\
th{text-align:left;font-weight:400}td{text-align:right;font-variant-numeric:tabular-nums}tr+tr>*{border-top:1px solid #e3e7ed}\
th,td{padding:.3rem .4rem}svg{width:100%;height:auto;display:block}";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Half of the entries, most of the exits and the worst of both, in short intervals.
fn timeline(samples: &[Sample]) -> Vec<Line> {
    let first = samples.iter().map(|sample| sample.intended_us).min().unwrap_or(0);
    let last = samples.iter().map(|sample| sample.intended_us).max().unwrap_or(0);
    let width = ((last - first) / POINTS).max(100_000);
    let mut intervals: BTreeMap<u64, [Vec<u64>; 2]> = BTreeMap::new();
    for sample in samples {
        let interval = intervals.entry((sample.intended_us - first) / width).or_default();
        interval[usize::from(!sample.is_entry)].push(sample.latency_us);
    }
    let mut lines: Vec<Line> =
        vec![("entries, p50", COLOURS[0], Vec::new()), ("exits, p50", COLOURS[1], Vec::new()), ("entries, worst", COLOURS[2], Vec::new())];
    for (at, [mut entries, mut exits]) in intervals {
        entries.sort_unstable();
        exits.sort_unstable();
        let x = decimal(at * width) / 1e6;
        let points = [entries.get(entries.len() / 2), exits.get(exits.len() / 2), entries.last()];
        for (line, point) in lines.iter_mut().zip(points) {
            line.2.extend(point.map(|us| (x, ms(*us))));
        }
    }
    lines
}

/// Latency by percentile, each further nine as wide as the one before.
fn curves(samples: &[Sample]) -> Vec<Line> {
    let line = |what, colour, is_entry| {
        let mut latencies = histogram();
        samples.iter().filter(|sample| sample.is_entry == is_entry).for_each(|sample| latencies.saturating_record(sample.latency_us));
        let points = (0..=NINES * 20).map(|step| f64::from(step) / 20.0);
        (what, colour, points.map(|nines| (nines, ms(latencies.value_at_quantile(1.0 - 10_f64.powf(-nines))))).collect())
    };
    vec![line("entries", COLOURS[0], true), line("exits", COLOURS[1], false)]
}

/// The percentile that so many nines stand for.
fn nines(nines: f64) -> String {
    let percent = 100.0 * (1.0 - 10_f64.powf(-nines));
    let text = format!("{percent:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Lines over a logarithmic axis.
fn plot(x_name: &str, x_ticks: usize, lines: &[Line], x_text: &dyn Fn(f64) -> String) -> Result<String> {
    let failed = |error: &dyn std::fmt::Display| anyhow!("the plot cannot be drawn: {error}");
    let points = || lines.iter().flat_map(|(_, _, points)| points);
    let right = points().map(|(x, _)| *x).fold(1.0, f64::max);
    let low = points().map(|(_, y)| *y).filter(|y| *y > 0.0).fold(1.0, f64::min);
    let high = points().map(|(_, y)| *y).fold(low * 10.0, f64::max) * 1.3;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..right, (low * 0.8..high).log_scale())
            .map_err(|error| failed(&error))?;
        chart
            .configure_mesh()
            .light_line_style(RGBColor(240, 242, 245))
            .bold_line_style(RGBColor(222, 226, 232))
            .axis_style(RGBColor(120, 130, 145))
            .x_desc(x_name)
            .y_desc("ms")
            .x_labels(x_ticks)
            .x_label_formatter(&|x| x_text(*x))
            .y_label_formatter(&|y| if *y < 1.0 { format!("{y:.2}") } else { format!("{y:.0}") })
            .draw()
            .map_err(|error| failed(&error))?;
        for (name, colour, points) in lines {
            let series = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
            let drawn = chart.draw_series(series).map_err(|error| failed(&error))?;
            drawn.label(*name).legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(3)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(RGBColor(222, 226, 232))
            .draw()
            .map_err(|error| failed(&error))?;
        area.present().map_err(|error| failed(&error))?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_needs_nothing_from_elsewhere() {
        let samples: Vec<Sample> =
            (0..5_000).map(|n| Sample { intended_us: n * 1_700, latency_us: 900 + n % 70 * 100, is_entry: n % 2 == 0 }).collect();
        let outcome = Outcome { samples, ..Outcome::default() };
        let report = Report { scenario: "entry", oracle: "a < b".into(), ..Report::default() };
        let page = render(&report, &outcome, Latency::default()).expect("it can be drawn");
        assert_eq!(page.matches("<svg").count(), 2);
        assert!(page.contains("a &lt; b") && page.contains("not good"));
        for elsewhere in ["<script", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn nines_are_percentiles() {
        assert_eq!([0.0, 1.0, 2.0, 3.0].map(nines), ["0", "90", "99", "99.9"]);
    }
}

//! The price of a stay by its length, drawn: one picture for each table and kind of vehicle.

use anyhow::{Result, anyhow, ensure};
use plotters::{coord::Shift, prelude::*};
use schema::{Currency, Money};

/// The size of one picture, in units of the SVG.
const SIZE: (u32, u32) = (960, 360);
const COLOURS: [RGBColor; 4] = [RGBColor(37, 99, 235), RGBColor(13, 148, 136), RGBColor(217, 119, 6), RGBColor(190, 24, 93)];

/// Minutes between two ticks.
const TICK_MIN: usize = 6 * 60;

/// One picture.
pub(super) struct Plot {
    pub name: String,
    pub currency: Currency,
    pub lines: Vec<Line>,
}

/// One line of it: the price of a stay of 0, 1, 2 … minutes.
pub(super) struct Line {
    pub name: String,
    pub prices: Vec<Option<i64>>,
}

/// Draws pictures below each other.
pub(super) fn draw(plots: &[Plot]) -> Result<String> {
    ensure!(!plots.is_empty(), "there is nothing to draw");
    let mut svg = String::new();
    {
        let height = SIZE.1.saturating_mul(u32::try_from(plots.len())?);
        let area = SVGBackend::with_string(&mut svg, (SIZE.0, height)).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        for (area, plot) in area.split_evenly((plots.len(), 1)).iter().zip(plots) {
            one(area, plot)?;
        }
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn failed<E: std::fmt::Display>(error: E) -> anyhow::Error {
    anyhow!("the plot cannot be drawn: {error}")
}

fn one(area: &DrawingArea<SVGBackend, Shift>, plot: &Plot) -> Result<()> {
    let lines = together(&plot.lines);
    let points = || lines.iter().flat_map(|(_, points)| points);
    let right = points().map(|(minute, _)| *minute).max().unwrap_or(0).max(1);
    let high = points().map(|(_, price)| *price).max().unwrap_or(0).max(1);
    let mut chart = ChartBuilder::on(area)
        .caption(&plot.name, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(36)
        .y_label_area_size(72)
        .build_cartesian_2d((0..right).with_key_points((0..=right).step_by(TICK_MIN).collect()), 0..high.saturating_add(high / 8).saturating_add(1))
        .map_err(failed)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(226, 230, 236))
        .axis_style(RGBColor(120, 130, 145))
        .x_desc("length of the stay")
        .x_label_formatter(&|minute| format!("{} h", minute / 60))
        .y_label_formatter(&|minor| Money::new(*minor, plot.currency).number())
        .draw()
        .map_err(failed)?;
    for ((name, points), colour) in lines.into_iter().zip(COLOURS.into_iter().cycle()) {
        let drawn = chart.draw_series(LineSeries::new(points, colour.stroke_width(2))).map_err(failed)?;
        drawn.label(name).legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(226, 230, 236))
        .draw()
        .map_err(failed)?;
    Ok(())
}

/// The corners of lines; those that are the same are one, under all their names.
fn together(lines: &[Line]) -> Vec<(String, Vec<(i64, i64)>)> {
    let mut drawn: Vec<(String, Vec<(i64, i64)>)> = Vec::new();
    for line in lines {
        let points = corners(&line.prices);
        match drawn.iter_mut().find(|(_, same)| *same == points) {
            Some((names, _)) => *names = format!("{names}, {}", line.name),
            None => drawn.push((line.name.clone(), points)),
        }
    }
    drawn
}

/// The points where a price changes: a line of steps needs no others. It ends where stays have no price any more.
fn corners(prices: &[Option<i64>]) -> Vec<(i64, i64)> {
    let mut corners: Vec<(i64, i64)> = Vec::new();
    let mut last = None;
    for (minute, price) in (0..).zip(prices).map_while(|(minute, price)| Some((minute, (*price)?))) {
        if let Some((_, before)) = last
            && before != price
        {
            corners.push((minute, before));
        }
        if last.is_none_or(|(_, before)| before != price) {
            corners.push((minute, price));
        }
        last = Some((minute, price));
    }
    corners.extend(last);
    corners
}

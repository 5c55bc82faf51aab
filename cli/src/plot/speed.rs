//! What `bench` has measured: the share of the limit over rows and classes, the speed over classes, and where CPU and
//! GPU cross over end to end.

use super::drawing::{Cell, Chart, Colour, Horizontal, Map, Panel, Series, Shades, Shape, stacked};
use crate::bench::Row;

/// The picture as SVG, or none where nothing was measured that it could show.
pub fn picture(rows: &[Row]) -> Option<String> {
    let rows = of_one_kind(rows);
    let first = rows.first()?;
    let kind = format!("{} {}", first.op.replace('_', "-"), first.dtype);
    let panels: Vec<Panel> =
        [shares(&rows, &kind), speeds(&rows, &kind), crossing(&rows, &kind)].into_iter().flatten().collect();
    if panels.is_empty() { None } else { Some(stacked(panels)) }
}

/// The rows of the operation and type that most were measured of, the first of several.
fn of_one_kind(rows: &[Row]) -> Vec<&Row> {
    let of = |kind: (&'static str, &'static str)| rows.iter().filter(move |row| (row.op, row.dtype) == kind);
    let mut kinds: Vec<(&'static str, &'static str)> = Vec::new();
    for row in rows {
        if !kinds.contains(&(row.op, row.dtype)) {
            kinds.push((row.op, row.dtype));
        }
    }
    // Of equal ones, `max_by_key` takes the last.
    kinds.reverse();
    let most = kinds.into_iter().max_by_key(|&kind| of(kind).count());
    most.map(|kind| of(kind).collect()).unwrap_or_default()
}

/// The places in the order in which their rows came.
fn places(rows: &[&Row]) -> Vec<String> {
    let mut places: Vec<String> = Vec::new();
    for row in rows {
        if !places.contains(&row.place()) {
            places.push(row.place());
        }
    }
    places
}

fn mode<'a>(rows: &'a [&Row], mode: &'static str) -> impl Iterator<Item = &'a &'a Row> {
    rows.iter().filter(move |row| row.mode == mode && row.peer == "ours")
}

/// How much of what the memory allows: of the first adapter's kernel, or else of the CPU with most threads.
fn shares(rows: &[&Row], kind: &str) -> Option<Panel> {
    let kernels = || mode(rows, "gpu-kernel").chain(mode(rows, "gpu-resident"));
    let place = match kernels().next() {
        Some(row) => row.place(),
        None => mode(rows, "cpu").max_by_key(|row| row.threads)?.place(),
    };
    let shown = || rows.iter().filter(|row| row.place() == place && row.of_copy.is_some());
    let limit = shown().next()?.limit?;
    let cells = shown().filter_map(|row| {
        let value = row.of_copy?;
        let written = format!("{:.0}", 100.0 * value);
        Some(Cell { across: row.k as f64, up: row.n as f64, value, written })
    });
    let coloured = match limit {
        "copy" => "Share of a copy, %",
        "read" => "Share of a read, %",
        _ => "Share of a fill, %",
    };
    let map = Map {
        title: format!("{kind}: {place}, beside a {limit} of the same bytes"),
        across: "K (classes)",
        up: "N (rows)",
        coloured,
        shades: Shades::Shares,
        cells: cells.collect(),
    };
    Some(map.panel())
}

/// GB/s over K, of the largest batch of each K.
fn speeds(rows: &[&Row], kind: &str) -> Option<Panel> {
    let colours = [Colour::Grey, Colour::Green, Colour::Blue, Colour::Orange, Colour::Purple, Colour::Amber];
    let mut series = Vec::new();
    for (place, colour) in places(rows).into_iter().zip(colours.into_iter().cycle()) {
        let mut points: Vec<(usize, usize, f64)> =
            rows.iter().filter(|row| row.place() == place).map(|row| (row.k, row.n, row.gb_per_s)).collect();
        points.sort_by_key(|&(k, n, _)| (k, std::cmp::Reverse(n)));
        points.dedup_by_key(|&mut (k, ..)| k);
        let points = points.into_iter().map(|(k, _, speed)| (k as f64, speed)).collect();
        let shape = if place.ends_with("end to end") { Shape::Dashes } else { Shape::Line };
        series.push(Series::new(points, shape, colour).named(place));
    }
    if series.is_empty() {
        return None;
    }
    let chart = Chart {
        title: format!("{kind}: bytes that have to be moved, over time; of each K the largest batch"),
        across: "K (classes)",
        up: "GB/s",
        horizontal: Horizontal::Decades,
        series,
    };
    Some(chart.panel())
}

/// How much faster the first adapter is end to end than the CPU with most threads.
fn crossing(rows: &[&Row], kind: &str) -> Option<Panel> {
    let adapter = mode(rows, "gpu-e2e").next()?.place();
    let cpu = mode(rows, "cpu").max_by_key(|row| row.threads)?.place();
    let on_cpu = |there: &Row| {
        let same = |row: &&&Row| row.place() == cpu && (row.n, row.k) == (there.n, there.k);
        rows.iter().find(same).map(|row| row.median_s)
    };
    let cells: Vec<Cell> = (rows.iter())
        .filter(|row| row.place() == adapter)
        .filter_map(|row| {
            let value = on_cpu(row)? / row.median_s;
            let written = if value >= 9.95 { format!("{value:.0}") } else { format!("{value:.1}") };
            let written = if value < 0.095 { format!("{value:.2}") } else { written };
            Some(Cell { across: row.k as f64, up: row.n as f64, value, written })
        })
        .collect();
    if cells.is_empty() {
        return None;
    }
    let map = Map {
        title: format!("{kind}: how many times as fast as {cpu} is {adapter}"),
        across: "K (classes)",
        up: "N (rows)",
        coloured: "GPU over CPU",
        shades: Shades::Ratios,
        cells,
    };
    Some(map.panel())
}

//! A map over two numbers that spread over many powers of ten: a field for each place that is known, coloured by its
//! value.

use std::sync::Arc;

use kuva::plot::ScatterPlot;
use kuva::render::layout::{ComputedLayout, Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::{Primitive, Scene, render_multiple};

use super::{Colour, Panel, labelled, power_of_ten, text};

/// A field narrower than its value is drawn without it.
const PIXELS_OF_A_VALUE: [f64; 2] = [30.0, 15.0];

const PLOT_PIXELS: [f64; 2] = [620.0, 430.0];

/// A place and its value.
#[derive(Debug, Clone)]
pub struct Cell {
    pub across: f64,
    pub up: f64,
    pub value: f64,
    pub written: String,
}

/// What colours mean.
#[derive(Debug, Clone, Copy)]
pub enum Shades {
    /// White for 0, blue for 1 and more.
    Shares,
    /// White for 1, orange for ten times and more, blue for a tenth and less.
    Ratios,
}

impl Shades {
    fn colour(self, value: f64) -> String {
        match self {
            // Black text stays readable on the strongest.
            Shades::Shares => Colour::Blue.strong(0.8 * value.clamp(0.0, 1.0)),
            Shades::Ratios => {
                let strength = value.log10().clamp(-1.0, 1.0);
                let colour = if strength < 0.0 { Colour::Blue } else { Colour::Orange };
                colour.strong(0.8 * strength.abs())
            }
        }
    }

    /// Values that are explained beside the map, the largest first.
    fn examples(self) -> &'static [(f64, &'static str)] {
        match self {
            Shades::Shares => &[(1.0, "100 %"), (0.75, "75 %"), (0.5, "50 %"), (0.25, "25 %"), (0.0, "0 %")],
            Shades::Ratios => &[
                (10.0, "10 × and more"),
                (3.0, "3 ×"),
                (1.0, "as fast"),
                (1.0 / 3.0, "⅓"),
                (0.1, "⅒ and less"),
            ],
        }
    }
}

/// Values over places, both by their logarithms.
#[derive(Debug)]
pub struct Map {
    pub title: String,
    pub across: &'static str,
    pub up: &'static str,
    /// What the colours show.
    pub coloured: &'static str,
    pub shades: Shades,
    pub cells: Vec<Cell>,
}

impl Map {
    /// The picture as a part of a larger one.
    pub fn panel(self) -> Panel {
        let fields = fields(&self.cells);
        let [left, right, bottom, top] = fields.iter().fold(
            [f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY],
            |[left, right, bottom, top], field| {
                [left.min(field[0]), right.max(field[1]), bottom.min(field[2]), top.max(field[3])]
            },
        );
        let tick = |span: f64| (span / 8.0).ceil().max(1.0);
        let corners = [(left, bottom), (right, top)];
        let plots =
            vec![Plot::Scatter(ScatterPlot::new().with_data(corners).with_size(0.0).with_color("none"))];
        let exponent = || TickFormat::Custom(Arc::new(power_of_ten));
        let mut layout = labelled(Layout::auto_from_plots(&plots), self.title, self.across, self.up)
            .with_x_axis_min(left)
            .with_x_axis_max(right)
            .with_y_axis_min(bottom)
            .with_y_axis_max(top)
            .with_x_tick_step(tick(right - left))
            .with_y_tick_step(tick(top - bottom))
            .with_x_tick_format(exponent())
            .with_y_tick_format(exponent())
            .with_show_grid(false)
            .with_box_axes();
        // Room for what the colours mean.
        let scale_pixels = 150.0;
        let margins = ComputedLayout::from_layout(&layout);
        layout = layout.with_force_margins(margins.margin_left, margins.margin_right + scale_pixels);
        let margins = ComputedLayout::from_layout(&layout);
        let layout = layout
            .with_width(PLOT_PIXELS[0] + margins.margin_left + margins.margin_right)
            .with_height(PLOT_PIXELS[1] + margins.margin_top + margins.margin_bottom);
        let places = ComputedLayout::from_layout(&layout);
        let mut scene = render_multiple(plots, layout);
        for (cell, field) in self.cells.iter().zip(&fields) {
            let [x, right] = [places.map_x(field[0]), places.map_x(field[1])];
            let [bottom, y] = [places.map_y(field[2]), places.map_y(field[3])];
            let (width, height) = (right - x, bottom - y);
            rectangle(&mut scene, [x, y, width, height], self.shades.colour(cell.value));
            if width >= PIXELS_OF_A_VALUE[0] && height >= PIXELS_OF_A_VALUE[1] {
                scene.add(text(cell.written.clone(), x + width / 2.0, y + height / 2.0 + 4.5, None));
            }
        }
        let x = places.width - scale_pixels;
        let middle = places.margin_top + places.plot_height() / 2.0;
        let examples = self.shades.examples();
        for (place, &(value, words)) in examples.iter().enumerate() {
            let y = middle + 26.0 * (place as f64 - examples.len() as f64 / 2.0);
            rectangle(&mut scene, [x, y, 22.0, 22.0], self.shades.colour(value));
            scene.add(super::text_beside(words.into(), x + 30.0, y + 15.5));
        }
        let heading = middle - 26.0 * (examples.len() as f64 / 2.0) - 14.0;
        scene.add(super::text_beside(self.coloured.into(), x, heading));
        Panel { scene }
    }
}

fn rectangle(scene: &mut Scene, [x, y, width, height]: [f64; 4], fill: String) {
    scene.add(Primitive::Rect {
        x,
        y,
        width,
        height,
        fill: fill.into(),
        stroke: Some("#b0b0b0".into()),
        stroke_width: Some(0.5),
        opacity: None,
    });
}

/// The field of each place, in logarithms: left, right, bottom, top. Neighbours meet half-way; what has none on one side
/// goes as far there as on the other.
fn fields(cells: &[Cell]) -> Vec<[f64; 4]> {
    let mut columns: Vec<f64> = cells.iter().map(|cell| cell.across.log10()).collect();
    columns.sort_by(f64::total_cmp);
    columns.dedup();
    (cells.iter())
        .map(|cell| {
            let mut rows: Vec<f64> = cells
                .iter()
                .filter(|other| other.across == cell.across)
                .map(|other| other.up.log10())
                .collect();
            rows.sort_by(f64::total_cmp);
            rows.dedup();
            let [left, right] = around(&columns, cell.across.log10());
            let [bottom, top] = around(&rows, cell.up.log10());
            [left, right, bottom, top]
        })
        .collect()
}

/// The farthest that a field goes towards a neighbour, in decades.
const FARTHEST: f64 = 0.35;

fn around(sorted: &[f64], here: f64) -> [f64; 2] {
    let place = sorted.partition_point(|&other| other < here);
    let before = place.checked_sub(1).map(|before| (here - sorted[before]) / 2.0);
    let after = sorted.get(place + 1).map(|after| (after - here) / 2.0);
    let reach = |one: Option<f64>, other: Option<f64>| one.or(other).unwrap_or(FARTHEST).min(FARTHEST);
    [here - reach(before, after), here + reach(after, before)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_meet_half_way() {
        let close = |found: [f64; 2], expected: [f64; 2]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        };
        close(around(&[1.0, 1.2, 1.6], 1.2), [1.1, 1.4]);
        close(around(&[1.0, 1.2, 1.6], 1.0), [0.9, 1.1]);
        close(around(&[1.0, 3.0], 1.0), [1.0 - FARTHEST, 1.0 + FARTHEST]);
        close(around(&[2.0], 2.0), [2.0 - FARTHEST, 2.0 + FARTHEST]);
    }

    #[test]
    fn colours_are_white_where_nothing_is_to_be_said() {
        assert_eq!(Shades::Shares.colour(0.0), "#ffffff");
        assert_eq!(Shades::Ratios.colour(1.0), "#ffffff");
        assert_eq!(Shades::Shares.colour(1.7), Shades::Shares.colour(1.0));
        assert_ne!(Shades::Ratios.colour(2.0), Shades::Ratios.colour(0.5));
    }
}

//! How pictures look: with [`map`], the only place that knows the crate that draws them.
//!
//! Black on white, colours that colour-blind readers tell apart, text that stays text. The same numbers give
//! the same bytes.

mod map;

use std::sync::Arc;

use kuva::backend::svg::SvgBackend;
use kuva::plot::{ColorMap, Heatmap, LegendPosition, LinePlot, LollipopPlot, ScatterPlot};
use kuva::render::layout::{AxisLabelOverlap, ComputedLayout, Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::{Primitive, Scene, TextAnchor, render_multiple};

pub use map::{Cell, Map, Shades};

/// A title that is longer than so many characters goes on in a second line.
const TITLE_CHARACTERS: usize = 56;

const TICK_PIXELS: u32 = 13;

/// Entries of larger matrices have no room for their values.
const MOST_WRITTEN_COLUMNS: usize = 10;

/// As many numbers stand along an axis.
const MOST_NUMBERS: usize = 10;

/// The width and height of a matrix.
const MATRIX_PIXELS: f64 = 520.0;

/// Matrices without a larger entry are drawn in units of a power of ten.
const LEAST_UNSCALED: f64 = 1e-3;

/// Colours of Okabe and Ito's that differ in brightness too. The first two leave black text on them readable.
#[derive(Debug, Clone, Copy)]
pub enum Colour {
    Blue,
    Orange,
    Green,
    Purple,
    Amber,
    Grey,
}

impl Colour {
    fn channels(self) -> [u8; 3] {
        match self {
            Colour::Blue => [0, 114, 178],
            Colour::Orange => [213, 94, 0],
            Colour::Green => [0, 158, 115],
            Colour::Purple => [154, 71, 117],
            Colour::Amber => [230, 159, 0],
            Colour::Grey => [90, 90, 90],
        }
    }

    /// Mixed with white: all of it at 1, white at 0.
    fn strong(self, strength: f64) -> String {
        let [red, green, blue] =
            self.channels().map(|channel| 255.0 - (255.0 - f64::from(channel)) * strength.clamp(0.0, 1.0));
        format!("#{:02x}{:02x}{:02x}", red.round() as u8, green.round() as u8, blue.round() as u8)
    }
}

/// How points are drawn.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    Line,
    Dashes,
    Points,
    /// Upright lines from 0, with a dot at their end.
    Stems,
}

/// Points that belong together.
#[derive(Debug)]
pub struct Series {
    points: Vec<(f64, f64)>,
    shape: Shape,
    colour: Colour,
    name: Option<String>,
}

impl Series {
    pub fn new(points: Vec<(f64, f64)>, shape: Shape, colour: Colour) -> Series {
        Series { points, shape, colour, name: None }
    }

    /// With an entry in the legend.
    pub fn named(mut self, name: impl Into<String>) -> Series {
        self.name = Some(name.into());
        self
    }

    fn plot(self) -> Plot {
        let Series { points, shape, colour, name } = self;
        let colour = colour.strong(1.0);
        match shape {
            Shape::Line | Shape::Dashes => {
                let line = LinePlot::new().with_data(points).with_color(colour).with_stroke_width(2.0);
                let line = if matches!(shape, Shape::Dashes) { line.with_dashed() } else { line };
                Plot::Line(match name {
                    Some(name) => line.with_legend(name),
                    None => line,
                })
            }
            Shape::Points => {
                Plot::Scatter(ScatterPlot::new().with_data(points).with_color(colour).with_size(4.0))
            }
            Shape::Stems => {
                let stems = LollipopPlot::new().with_points(points).with_color(colour);
                Plot::Lollipop(stems.with_stem_width(2.0).with_dot_radius(4.0))
            }
        }
    }
}

/// What a horizontal axis shows.
#[derive(Debug, Clone, Copy)]
pub enum Horizontal {
    Numbers,
    /// So many classes, counted from 0.
    Classes(usize),
    /// Positive numbers by their logarithms.
    Decades,
}

/// Values that are not negative, over numbers or over classes counted from 0.
#[derive(Debug)]
pub struct Chart {
    pub title: String,
    pub across: &'static str,
    pub up: &'static str,
    pub horizontal: Horizontal,
    pub series: Vec<Series>,
}

impl Chart {
    /// The picture as SVG.
    pub fn svg(self) -> String {
        svg(&self.panel().scene)
    }

    /// The picture as a part of a larger one.
    pub fn panel(mut self) -> Panel {
        if let Horizontal::Decades = self.horizontal {
            let points = self.series.iter_mut().flat_map(|series| &mut series.points);
            points.for_each(|point| point.0 = point.0.log10());
        }
        let points = || self.series.iter().flat_map(|series| &series.points);
        let top = points().fold(f64::MIN_POSITIVE, |top, point| top.max(point.1));
        let (left, right) = match self.horizontal {
            Horizontal::Classes(classes) => (-0.5, classes as f64 - 0.5),
            Horizontal::Numbers | Horizontal::Decades => {
                let left = points().fold(f64::INFINITY, |left, point| left.min(point.0));
                let right = points().fold(f64::NEG_INFINITY, |right, point| right.max(point.0));
                // Room for a mark at either end, also where all are in one place.
                let margin =
                    if right > left { (right - left) / 40.0 } else { 1.0f64.max(right.abs() / 40.0) };
                (left - margin, right + margin)
            }
        };
        let legend = match self.horizontal {
            // Curves of measurements lie anywhere.
            Horizontal::Decades => LegendPosition::OutsideRightTop,
            _ => LegendPosition::InsideTopCenter,
        };
        let plots: Vec<Plot> = self.series.into_iter().map(Series::plot).collect();
        let mut layout = labelled(Layout::auto_from_plots(&plots), self.title, self.across, self.up)
            .with_legend_position(legend)
            .with_x_axis_min(left)
            .with_x_axis_max(right)
            .with_y_axis_min(-top / 40.0)
            .with_y_axis_max(top * 1.05);
        match self.horizontal {
            Horizontal::Numbers => {}
            Horizontal::Classes(classes) => layout = layout.with_x_tick_step(whole_step(classes)),
            Horizontal::Decades => {
                layout = layout
                    .with_x_tick_step(1.0)
                    .with_x_tick_format(TickFormat::Custom(Arc::new(power_of_ten)));
            }
        }
        Panel { scene: render_multiple(plots, layout) }
    }
}

/// A picture that may stand among others.
#[derive(Debug)]
pub struct Panel {
    scene: Scene,
}

/// Pictures below each other, as SVG.
pub fn stacked(panels: Vec<Panel>) -> String {
    let width = panels.iter().map(|panel| panel.scene.width).fold(0.0, f64::max);
    let height = panels.iter().map(|panel| panel.scene.height).sum();
    let mut all = Scene::new(width, height);
    let mut top = 0.0;
    for Panel { scene } in panels {
        all.font_family = all.font_family.or(scene.font_family);
        all.text_color = all.text_color.or(scene.text_color);
        all.defs.extend(scene.defs);
        let transform = Some(format!("translate(0,{top})"));
        all.add(Primitive::GroupStart { transform, title: None, extra_attrs: None });
        scene.elements.into_iter().for_each(|element| all.add(element));
        all.add(Primitive::GroupEnd);
        top += scene.height;
    }
    svg(&all)
}

/// The number beside a logarithm on an axis: only whole ones have one.
fn power_of_ten(exponent: f64) -> String {
    let whole = (exponent - exponent.round()).abs() < 1e-6;
    if whole { number(10f64.powf(exponent.round())) } else { String::new() }
}

/// A square matrix by colours, blue below 0 and orange above.
#[derive(Debug)]
pub struct HeatMap {
    pub title: String,
    pub across: &'static str,
    pub down: &'static str,
    /// What the colours show.
    pub coloured: &'static str,
    pub columns: usize,
    /// C-ordered, the first row on top.
    pub values: Vec<f64>,
}

impl HeatMap {
    /// The picture as SVG.
    pub fn svg(self) -> String {
        let largest = self.values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let unit = Unit::of(largest);
        let values: Vec<f64> = self.values.iter().map(|&value| unit.count(value)).collect();
        let columns = self.columns.max(1);
        let map = Heatmap::new()
            // The crate's first row is the lowest one: on its axis, rows count down from 0.
            .with_data(values.chunks(columns).rev().map(<[f64]>::to_vec))
            .with_x_range(-0.5, columns as f64 - 0.5)
            .with_y_range(0.5 - columns as f64, 0.5)
            .with_cell_size(1.0)
            .with_color_map(diverging(&values));
        let plots = vec![Plot::Heatmap(map)];

        let mut layout = labelled(Layout::auto_from_plots(&plots), self.title, self.across, self.down)
            .with_x_axis_min(-0.5)
            .with_x_axis_max(columns as f64 - 0.5)
            .with_y_axis_min(0.5 - columns as f64)
            .with_y_axis_max(0.5)
            .with_x_tick_step(whole_step(columns))
            .with_y_tick_step(whole_step(columns))
            .with_y_tick_format(TickFormat::Custom(Arc::new(|row| number(row.abs()))))
            .with_show_grid(false)
            .with_box_axes();
        // A scale from 0 to 0 would show nothing.
        layout.show_colorbar = largest > 0.0;
        let margins = ComputedLayout::from_layout(&layout);
        let layout = layout
            .with_width(MATRIX_PIXELS + margins.margin_left + margins.margin_right)
            .with_height(MATRIX_PIXELS + margins.margin_top + margins.margin_bottom);
        let places = ComputedLayout::from_layout(&layout);
        let colour_bar = layout.show_colorbar;
        let mut scene = render_multiple(plots, layout);

        if colour_bar {
            let x = places.width - places.colorbar_x_inset - 10.0;
            let y = places.margin_top + places.plot_height() / 2.0;
            scene.add(text(format!("{}{}", self.coloured, unit.name()), x, y, Some(-90.0)));
        }
        if columns <= MOST_WRITTEN_COLUMNS {
            for (place, &value) in values.iter().enumerate() {
                let (row, column) = (place / columns, place % columns);
                let x = places.map_x(column as f64);
                // Half the height of a digit below the middle.
                let y = places.map_y(-(row as f64)) + 0.36 * f64::from(TICK_PIXELS);
                scene.add(text(entry(value), x, y, None));
            }
        }
        svg(&scene)
    }
}

/// What small values are counted in, so that few digits tell them apart.
#[derive(Debug, Clone, Copy)]
struct Unit {
    exponent: i32,
}

impl Unit {
    fn of(largest: f64) -> Unit {
        let small = largest > 0.0 && largest < LEAST_UNSCALED;
        Unit { exponent: if small { largest.log10().floor() as i32 } else { 0 } }
    }

    fn count(self, value: f64) -> f64 {
        // In two steps, since 10³²⁴ is no f64.
        let half = self.exponent / 2;
        value / 10f64.powi(half) / 10f64.powi(self.exponent - half)
    }

    fn name(self) -> String {
        match self.exponent {
            0 => String::new(),
            exponent => format!(", in units of 1e{}", signed(exponent.to_string())),
        }
    }
}

/// White for 0, and as strong a colour as a value is far from it.
fn diverging(values: &[f64]) -> ColorMap {
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let farthest = smallest.abs().max(largest.abs()).max(f64::MIN_POSITIVE);
    // What arrives has been stretched to 0…1, from the smallest value to the largest.
    ColorMap::Custom(Arc::new(move |stretched| {
        let value = smallest + stretched * (largest - smallest);
        let colour = if value < 0.0 { Colour::Blue } else { Colour::Orange };
        colour.strong(value.abs() / farthest)
    }))
}

/// From one number to the next on an axis of so many classes: 1, 2 or 5 times a power of ten.
fn whole_step(classes: usize) -> f64 {
    let steps = (0..).map(|power| 10usize.pow(power)).flat_map(|power| [power, 2 * power, 5 * power]);
    steps.into_iter().find(|step| classes / step <= MOST_NUMBERS).unwrap_or(1) as f64
}

fn labelled(layout: Layout, title: String, across: &str, up: &str) -> Layout {
    layout
        // Between dollars, the crate expects formulas.
        .with_title(title.replace('$', "\\$"))
        .with_title_wrap(TITLE_CHARACTERS)
        .with_x_label(across)
        .with_y_label(up)
        .with_x_label_overlap(AxisLabelOverlap::Thin)
        .with_tick_format(TickFormat::Custom(Arc::new(number)))
        .with_colorbar_tick_format(TickFormat::Custom(Arc::new(number)))
        .with_title_size(18)
        .with_label_size(15)
        .with_tick_size(TICK_PIXELS)
}

fn text(content: String, x: f64, y: f64, rotate: Option<f64>) -> Primitive {
    let (size, anchor) = (TICK_PIXELS, TextAnchor::Middle);
    Primitive::Text { x, y, content, size, anchor, rotate, bold: false, color: None }
}

/// Text that starts at a place.
fn text_beside(content: String, x: f64, y: f64) -> Primitive {
    let (size, anchor) = (TICK_PIXELS, TextAnchor::Start);
    Primitive::Text { x, y, content, size, anchor, rotate: None, bold: false, color: None }
}

/// A number beside an axis, to seven digits.
fn number(value: f64) -> String {
    let value: f64 = format!("{value:.6e}").parse().unwrap_or(value);
    let plain = value == 0.0 || (1e-4..1e6).contains(&value.abs());
    signed(if plain { value.to_string() } else { format!("{value:e}") })
}

/// A number in its cell.
fn entry(value: f64) -> String {
    let rounded = format!("{value:.3}");
    // No sign where nothing is left to have one.
    if rounded == "-0.000" { "0.000".into() } else { signed(rounded) }
}

/// With a minus sign in place of a hyphen.
fn signed(number: String) -> String {
    number.replace('-', "−")
}

fn svg(scene: &Scene) -> String {
    let mut svg = SvgBackend::new().render_scene(scene);
    svg.push('\n');
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_of_classes_count_in_whole_steps() {
        let steps = [1, 10, 11, 20, 64, 512, 30_522].map(whole_step);
        assert_eq!(steps, [1.0, 1.0, 2.0, 2.0, 10.0, 50.0, 5000.0]);
    }

    #[test]
    fn colours_are_centred_at_zero() {
        let map = diverging(&[-1.0, 0.0, 3.0]);
        assert_eq!(map.map(0.25), "#ffffff");
        assert_eq!(map.map(1.0), Colour::Orange.strong(1.0));
        assert_eq!(map.map(0.0), Colour::Blue.strong(1.0 / 3.0));
        assert_eq!(diverging(&[0.0]).map(0.0), "#ffffff");
    }

    #[test]
    fn small_values_have_a_unit() {
        let unit = Unit::of(4.2e-18);
        assert_eq!(
            (unit.name().as_str(), entry(unit.count(-4.2e-18)).as_str()),
            (", in units of 1e−18", "−4.200")
        );
        assert_eq!(Unit::of(0.25).name(), "");
        assert!(Unit::of(5e-324).count(5e-324).is_finite());
    }

    #[test]
    fn numbers_are_plain_where_they_are_short() {
        assert_eq!(
            [0.0, -0.25, 0.1 + 0.2, 2e-9, 35_000.0].map(number),
            ["0", "−0.25", "0.3", "2e−9", "35000"]
        );
        assert_eq!(entry(-0.0004), "0.000");
    }
}

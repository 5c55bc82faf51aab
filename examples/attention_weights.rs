//! Attention weights of a real encoder: the softmax of its scores along the keys, with padding masked by one
//! boolean per key, and the same causally, where no mask is held at all.
//!
//!     cargo run --release --example attention_weights [TEXT LAYER HEAD [WEIGHTS.svg]]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kuva::backend::svg::SvgBackend;
use kuva::plot::{ColorMap, Heatmap};
use kuva::render::figure::Figure;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use wgpu_softmax::{Adjustment, Device, Dtype, Op, Request};

const TOKENS: usize = 64;
/// Texts, layers, heads, queries, keys.
const SHAPE: [usize; 5] = [2, 2, 12, TOKENS, TOKENS];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let index = |place: usize, name: &str, default: usize| -> Result<usize, String> {
        let Some(argument) = arguments.get(place) else { return Ok(default) };
        let index = argument.parse().ok().filter(|&index| index < SHAPE[place]);
        index.ok_or_else(|| format!("the {name} is a number from 0 to {}", SHAPE[place] - 1))
    };
    let (text, layer, head) = (index(0, "text", 1)?, index(1, "layer", 0)?, index(2, "head", 4)?);
    let picture_path = arguments.get(3).map(PathBuf::from);
    let picture_path = picture_path.unwrap_or_else(|| std::env::temp_dir().join("attention_weights.svg"));

    let scores: Vec<f32> = read("attention_scores.npy")?;
    let real_tokens: Vec<bool> = read("attention_mask.npy")?;
    // One mask for all layers, heads and queries of a text: it is broadcast, not repeated in memory.
    let unpadded = Adjustment::default().mask(&real_tokens, &[2, 1, 1, 1, TOKENS]);

    let device = Device::Auto.open_blocking()?;
    println!("{SHAPE:?} scores, on {}", device.name(Dtype::F32));
    let softmax = Request::new(Op::Softmax, &scores, &SHAPE, -1);
    let weights: Vec<f32> = device.answer_blocking(&softmax.clone().adjustment(unpadded))?;
    let causal: Vec<f32> = device.answer_blocking(&softmax.adjustment(unpadded.causal(0)))?;

    let mut farthest = 0f32;
    for row in weights.chunks(TOKENS).chain(causal.chunks(TOKENS)) {
        farthest = farthest.max((row.iter().sum::<f32>() - 1.0).abs());
    }
    println!("each query's weights sum to 1, give or take {farthest:.1e}");
    let [_, layers, heads, ..] = SHAPE;
    let per_text = layers * heads * TOKENS * TOKENS;
    let hidden = |place: usize| !real_tokens[place / per_text * TOKENS + place % TOKENS];
    let later = |place: usize| place % TOKENS > place / TOKENS % TOKENS;
    let masked: Vec<f32> =
        (0..weights.len()).filter(|&place| hidden(place)).map(|place| weights[place]).collect();
    let ahead: Vec<f32> =
        (0..causal.len()).filter(|&place| hidden(place) || later(place)).map(|place| causal[place]).collect();
    if farthest > 1e-5 || masked.iter().chain(&ahead).any(|&weight| weight != 0.0) {
        return Err("a row does not sum to 1, or a hidden key has weight".into());
    }
    println!("{} weights of padding are exactly 0; causally, {} are", masked.len(), ahead.len());

    let start = ((text * layers + layer) * heads + head) * TOKENS * TOKENS;
    let chosen = start..start + TOKENS * TOKENS;
    let name = format!("text {text}, layer {layer}, head {head}");
    let picture =
        heat_maps(&name, [("without padding", &weights[chosen.clone()]), ("and causal", &causal[chosen])]);
    fs::write(&picture_path, picture)
        .map_err(|error| format!("cannot write {}: {error}", picture_path.display()))?;
    println!("the weights of {name} are in {}", picture_path.display());
    Ok(())
}

/// Matrices of queries × keys side by side, as SVG.
fn heat_maps(title: &str, matrices: [(&str, &[f32]); 2]) -> String {
    let (mut plots, mut layouts) = (Vec::new(), Vec::new());
    for (name, weights) in matrices {
        // The first row of a heat map is its lowest: on the axis, queries count down from 0.
        let rows = weights.chunks(TOKENS).rev().map(<[f32]>::to_vec);
        let (nearest, farthest) = (-0.5, TOKENS as f64 - 0.5);
        let map = Heatmap::new()
            .with_data(rows)
            .with_x_range(nearest, farthest)
            .with_y_range(-farthest, -nearest)
            .with_cell_size(1.0)
            .with_color_map(ColorMap::Blues);
        plots.push(vec![Plot::Heatmap(map)]);
        let layout = Layout::auto_from_plots(&plots[plots.len() - 1])
            .with_title(name)
            .with_x_label("key")
            .with_y_label("query")
            .with_x_axis_min(nearest)
            .with_x_axis_max(farthest)
            .with_y_axis_min(-farthest)
            .with_y_axis_max(-nearest)
            .with_y_tick_format(TickFormat::Custom(Arc::new(|row| row.abs().to_string())))
            .with_show_grid(false)
            .with_box_axes();
        layouts.push(layout);
    }
    let figure = Figure::new(1, 2)
        .with_title(format!("Attention weights of {title}"))
        .with_plots(plots)
        .with_layouts(layouts);
    SvgBackend::new().render_scene(&figure.with_cell_size(600.0, 500.0).render())
}

/// The elements of an array that the repository holds; the packaged crate leaves this data out.
fn read<T: npyz::Deserialize>(name: &str) -> Result<Vec<T>, Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data").join(name);
    let file = fs::read(&path)
        .map_err(|error| format!("cannot read {} of the crate's repository: {error}", path.display()))?;
    Ok(npyz::NpyFile::new(&file[..])?.into_vec()?)
}

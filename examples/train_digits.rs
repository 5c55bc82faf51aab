//! Training a linear classifier of handwritten digits by gradient descent: loss and gradient come from one
//! pass over the logits, so that the probabilities are never stored.
//!
//!     cargo run --release --example train_digits [LOSS.svg]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use kuva::plot::LinePlot;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use ndarray::{Array2, Axis, concatenate, s};
use wgpu_softmax::{CrossEntropy, Device, Dtype};

const PIXELS: usize = 64;
const CLASSES: usize = 10;
const STEPS: usize = 1000;
const LEARNING_RATE: f32 = 1.0;
/// Keeps the weights from growing for certainty's sake once every image is recognised.
const LABEL_SMOOTHING: f64 = 0.1;
const EXPECTED_ACCURACY: f64 = 0.95;

fn main() -> Result<(), Box<dyn Error>> {
    let curve_path = std::env::args_os().nth(1).map(PathBuf::from);
    let curve_path = curve_path.unwrap_or_else(|| std::env::temp_dir().join("digits_loss.svg"));

    let labels: Vec<i64> = read("digits_labels.npy")?;
    let pixels = Array2::from_shape_vec((labels.len(), PIXELS), read::<u8>("digits_images.npy")?)?;
    // Brightness from 0 to 1, and a pixel that is always on, whose weights are the biases.
    let images =
        concatenate![Axis(1), pixels.mapv(|pixel| f32::from(pixel) / 16.0), Array2::ones((labels.len(), 1))];

    // Even rows to learn from, odd rows to be judged by.
    let (training, test) = (images.slice(s![0..;2, ..]), images.slice(s![1..;2, ..]));
    let training_labels: Vec<i64> = labels.iter().copied().step_by(2).collect();
    let test_labels: Vec<i64> = labels.iter().copied().skip(1).step_by(2).collect();

    let device = Device::Auto.open_blocking()?;
    println!("training on {} images, on {}", training_labels.len(), device.name(Dtype::F32));
    let mut weights = Array2::<f32>::zeros((PIXELS + 1, CLASSES));
    let mut curve = Vec::with_capacity(STEPS);
    // It hides itself where standard error is no terminal.
    let progress = ProgressBar::new(STEPS as u64);
    for step in 0..STEPS {
        let logits: Vec<f32> = training.dot(&weights).into_iter().collect();
        let shape = [training_labels.len(), CLASSES];
        let loss = CrossEntropy::new(&logits, &shape, 1, &training_labels)
            .label_smoothing(LABEL_SMOOTHING)
            .with_gradient();
        let answer = device.cross_entropy_blocking::<f32>(&loss)?;
        curve.push((step as f64, f64::from(answer.losses[0])));

        let gradient = Array2::from_shape_vec(shape, answer.gradient.ok_or("the gradient was asked for")?)?;
        weights.scaled_add(-LEARNING_RATE, &training.t().dot(&gradient));
        progress.inc(1);
    }
    progress.finish_and_clear();

    let logits: Vec<f32> = test.dot(&weights).into_iter().collect();
    let shape = [test_labels.len(), CLASSES];
    let loss = CrossEntropy::new(&logits, &shape, 1, &test_labels).with_argmax();
    let answer = device.cross_entropy_blocking::<f32>(&loss)?;
    let predicted = answer.argmax.ok_or("the largest classes were asked for")?;
    let right = predicted.iter().zip(&test_labels).filter(|&(&class, &label)| class as i64 == label).count();
    let accuracy = right as f64 / test_labels.len() as f64;
    let (first, last) = (curve[0].1, curve[STEPS - 1].1);
    println!("the loss fell from {first:.4} to {last:.4}");
    println!("{right} of {} test images recognised: {:.2} %", test_labels.len(), 100.0 * accuracy);

    fs::write(&curve_path, loss_curve(curve))
        .map_err(|error| format!("cannot write {}: {error}", curve_path.display()))?;
    println!("the loss curve is in {}", curve_path.display());
    if accuracy <= EXPECTED_ACCURACY {
        return Err(format!("more than {} % was expected", 100.0 * EXPECTED_ACCURACY).into());
    }
    Ok(())
}

/// The loss over the steps, as SVG.
fn loss_curve(curve: Vec<(f64, f64)>) -> String {
    let line = LinePlot::new().with_data(curve).with_color("#0072b2").with_stroke_width(2.0);
    let plots = vec![Plot::Line(line)];
    let layout = Layout::auto_from_plots(&plots)
        .with_title("Learning handwritten digits")
        .with_x_label("step")
        .with_y_label("smoothed cross-entropy in nats")
        .with_x_axis_max(STEPS as f64)
        .with_y_axis_min(0.0);
    kuva::render_to_svg(plots, layout)
}

/// The elements of an array that the repository holds; the packaged crate leaves the images out.
fn read<T: npyz::Deserialize>(name: &str) -> Result<Vec<T>, Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data").join(name);
    let file = fs::read(&path)
        .map_err(|error| format!("cannot read {} of the crate's repository: {error}", path.display()))?;
    Ok(npyz::NpyFile::new(&file[..])?.into_vec()?)
}

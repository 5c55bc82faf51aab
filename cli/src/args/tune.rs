//! What `tune` is told.

use clap::Args as Arguments;
use wgpu_softmax::{Device, Dtype};

use super::{Patience, values};

const NOTES: &str = "\
For every span of row lengths (each up to twice as long as the one before), every type and both kinds of results (a value \
per logit, as softmax has, and one per row, as log-sum-exp has), the kernels that could serve are held against the textbook \
and then timed in turns; the plan's own choice is one of them, and stays unless another is faster by a twentieth at least.

The table is stored in the user's folder for caches ($XDG_CACHE_HOME, or ~/.cache), in the place of what was measured \
there before. It is read only where --tuned asks for it: with it, the last bits of results may differ from those without.

Examples:
  wgpu-softmax tune
  wgpu-softmax tune --dtypes f32 --lengths 1000,50257 --seconds 2
  wgpu-softmax explain 4096x1000 --device gpu --tuned
  wgpu-softmax run logits.npy --device gpu --tuned -o probabilities.npy";

#[derive(Debug, Arguments)]
#[command(after_help = NOTES)]
pub struct Tune {
    /// The adapter: gpu (the best one), or a part of its name.
    #[arg(long, value_name = "DEVICE", default_value = "gpu", value_parser = values::adapter)]
    pub device: Device,

    #[command(flatten)]
    pub patience: Patience,

    /// Time the kernels of each span for so long together.
    #[arg(long, value_name = "S", default_value = "0.3", value_parser = values::seconds)]
    pub seconds: f64,

    /// Types of the elements.
    #[arg(
        long,
        value_name = "DTYPE,…",
        value_delimiter = ',',
        default_value = "f32,f16,bf16",
        value_parser = values::dtype_on_gpu()
    )]
    pub dtypes: Vec<Dtype>,

    /// Measure only the spans that rows of so many classes belong to [default: all, up to 1048576].
    #[arg(long, value_name = "K,…", value_delimiter = ',', value_parser = values::length)]
    pub lengths: Option<Vec<u64>>,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

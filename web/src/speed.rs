//! How fast this browser's GPU is: softmax over rows of many lengths, beside a copy of the same bytes by this
//! library's own kernel.
//!
//! Few browsers let a page read the GPU's own clock, so passes are recorded as often as it takes for the page's
//! clock to tell: what a submission costs is shared by all of them.

use js_sys::{Array, Function};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_time::Instant;
use wgpu_softmax::wgpu;
use wgpu_softmax::{Gpu, Op, Options, Rows, reference};

use crate::calculator::Calculator;
use crate::failure::{Outcome, failure};

const LENGTHS: [u64; 9] = [4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144];

/// Bytes of the logits on a device that copies faster than [`FAST`]: more than caches hold.
const MANY_BYTES: u64 = 64 << 20;

const FEW_BYTES: u64 = 4 << 20;

/// Bytes per second.
const FAST: f64 = 2e10;

/// A submission lasts as long as this, in seconds, so that the clock's grain does not matter.
const LONG_ENOUGH: f64 = 0.03;

const MOST_PASSES: u32 = 4096;

/// Of so many submissions the median is told.
const SUBMISSIONS: usize = 5;

#[wasm_bindgen]
impl Calculator {
    /// Calls `told(classes, softmax GB/s, copy GB/s)` for each length of rows, until it returns false.
    pub async fn measure(&self, told: &Function) -> Outcome<()> {
        let gpu = self.engine.gpu().ok_or_else(|| failure("there is no GPU to measure"))?;
        let few = Buffers::new(gpu, FEW_BYTES)?;
        let fast = 2.0 * FEW_BYTES as f64 / few.copy(gpu).await? > FAST;
        let buffers =
            if fast { Buffers::new(gpu, MANY_BYTES.min(gpu.capabilities().binding_bytes))? } else { few };
        for classes in LENGTHS {
            let rows = Rows::batch(buffers.elements() / classes, classes)?;
            let (from, to) = (buffers.logits.slice(..), buffers.result.slice(..));
            let prepared = gpu.prepare(Op::Softmax, &rows, from, to, &Options::default())?;
            let softmax = seconds(gpu, &|pass| prepared.record_in_pass(pass)).await?;
            buffers.check(gpu, &rows).await?;
            let copy = buffers.copy(gpu).await?;
            let rate = |seconds: f64| JsValue::from(2e-9 * buffers.bytes() as f64 / seconds);
            let arguments = Array::of3(&JsValue::from(classes as f64), &rate(softmax), &rate(copy));
            let goes_on = told.apply(&JsValue::NULL, &arguments);
            if goes_on.map_err(|_| failure("the page could not show what was measured"))? == JsValue::FALSE {
                break;
            }
        }
        Ok(())
    }
}

/// Logits, and room for as many results.
struct Buffers {
    logits: wgpu::Buffer,
    result: wgpu::Buffer,
    /// What the logits repeat.
    pattern: Vec<f32>,
}

impl Buffers {
    fn new(gpu: &Gpu, bytes: u64) -> Outcome<Buffers> {
        let elements = [(bytes / 4) as usize];
        let (logits, result) = (gpu.empty(&elements)?, gpu.empty(&elements)?);
        let (logits, result) = (logits.buffer().clone(), result.buffer().clone());
        // Ordinary logits with an outlier here and there: Marsaglia's xorshift (2003).
        let mut state = 0x2545_f491_u32;
        let pattern: Vec<f32> = (0..1 << 18)
            .map(|place| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                let logit = state as f32 / u32::MAX as f32 * 20.0 - 10.0;
                if place % 1000 == 500 { logit + 30.0 } else { logit }
            })
            .collect();
        let block: &[u8] = bytemuck::cast_slice(&pattern);
        for start in (0..bytes).step_by(block.len()) {
            gpu.queue().write_buffer(&logits, start, &block[..block.len().min((bytes - start) as usize)]);
        }
        Ok(Buffers { logits, result, pattern })
    }

    fn bytes(&self) -> u64 {
        self.elements() * 4
    }

    /// Whole rows of every length fit, as all lengths are powers of two.
    fn elements(&self) -> u64 {
        self.logits.size() / 4 / self.pattern.len() as u64 * self.pattern.len() as u64
    }

    async fn copy(&self, gpu: &Gpu) -> Outcome<f64> {
        let bytes = self.bytes();
        let copy = gpu.prepare_copy(self.logits.slice(..bytes), self.result.slice(..bytes))?;
        seconds(gpu, &|pass| copy.record_in_pass(pass)).await
    }

    /// A wrong result is told, not timed.
    async fn check(&self, gpu: &Gpu, rows: &Rows) -> Outcome<()> {
        let classes = rows.classes() as usize;
        let got = gpu.tensor(self.result.slice(..), &[classes])?.read().await?;
        let logits: Vec<f64> = self.pattern[..classes].iter().map(|&logit| f64::from(logit)).collect();
        let unit = f64::from(f32::EPSILON) / 2.0;
        let wrong = reference::softmax(&logits).iter().zip(&got).any(|(&right, &got)| {
            let error = (f64::from(got) - right).abs();
            error.is_nan() || error > 16.0 * unit * right + f64::from(f32::MIN_POSITIVE)
        });
        match wrong {
            true => Err(failure(format!("this GPU computes rows of {classes} classes wrongly"))),
            false => Ok(()),
        }
    }
}

/// How long one of many passes takes.
async fn seconds(gpu: &Gpu, record: &dyn Fn(&mut wgpu::ComputePass<'_>)) -> Outcome<f64> {
    // The first pass may wait for the pipeline.
    submitted(gpu, 1, record).await?;
    let mut passes = 1;
    while passes < MOST_PASSES && submitted(gpu, passes, record).await? < LONG_ENOUGH {
        passes *= 2;
    }
    let mut times = Vec::with_capacity(SUBMISSIONS);
    for _ in 0..SUBMISSIONS {
        times.push(submitted(gpu, passes, record).await? / f64::from(passes));
    }
    times.sort_by(f64::total_cmp);
    Ok(times[SUBMISSIONS / 2])
}

/// From the submission of so many passes until the last one is done.
async fn submitted(gpu: &Gpu, passes: u32, record: &dyn Fn(&mut wgpu::ComputePass<'_>)) -> Outcome<f64> {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        (0..passes).for_each(|_| record(&mut pass));
    }
    let commands = encoder.finish();
    let start = Instant::now();
    gpu.queue().submit([commands]);
    let (sender, receiver) = futures_channel::oneshot::channel();
    gpu.queue().on_submitted_work_done(move || {
        // Nobody listens any more where the page has gone on.
        let _ = sender.send(());
    });
    receiver.await.map_err(|_| failure("the GPU never answered"))?;
    Ok(start.elapsed().as_secs_f64())
}

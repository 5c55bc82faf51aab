//! A device that is open, and what the page asks of it.

use wasm_bindgen::prelude::wasm_bindgen;
use web_time::Instant;
use wgpu_softmax::{Adjustment, Axes, Device, Dtype, Engine, Op, Request, Rows};

use crate::answer::{Answer, JacobianView, RowView, row_of};
use crate::failure::{Outcome, failure};
use crate::logits::Logits;

/// A Jacobian of as many classes is drawn whole.
const DRAWN_WHOLE: usize = 512;

/// Of a longer row, the Jacobian of so many of its most probable classes.
const DRAWN_OF_LONG_ROWS: usize = 64;

/// The GPU where the browser offers one, otherwise the CPU.
#[wasm_bindgen]
pub struct Calculator {
    pub(crate) engine: Engine,
}

#[wasm_bindgen]
impl Calculator {
    /// `auto`, `gpu` or `cpu`.
    pub async fn open(device: &str) -> Outcome<Calculator> {
        let device = match device {
            "gpu" => Device::Gpu,
            "cpu" => Device::Cpu,
            _ => Device::Auto,
        };
        Ok(Calculator { engine: device.open().await? })
    }

    /// The same with subgroups of at least so many lanes, of a GPU whose device was asked for with them.
    #[wasm_bindgen(js_name = withSubgroups)]
    pub async fn with_subgroups(self, lanes: u32) -> Outcome<Calculator> {
        Ok(Calculator { engine: self.engine.with_subgroups(lanes).await? })
    }

    /// Lanes of the smallest subgroup that is made use of; 0 where none is.
    #[wasm_bindgen(getter, js_name = subgroupLanes)]
    pub fn subgroup_lanes(&self) -> u32 {
        self.engine.gpu().and_then(|gpu| gpu.capabilities().subgroup_lanes).unwrap_or(0)
    }

    #[wasm_bindgen(getter, js_name = onGpu)]
    pub fn on_gpu(&self) -> bool {
        self.engine.uses_gpu(Dtype::F32)
    }

    /// An operation, by its name, along an axis.
    pub async fn compute(&self, logits: &Logits, op: &str, axis: i32, temperature: f64) -> Outcome<Answer> {
        let op = named(op)?;
        let axes = Axes::One(axis as isize);
        let rows = Rows::of_shape(&logits.shape, &axes)?;
        let request =
            Request::new(op, &logits.values, &logits.shape, axes).adjustment(divided_by(temperature));
        let shape = request.result_shape(false)?;
        let start = Instant::now();
        let values = self.engine.answer::<f32>(&request).await?;
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        Ok(Answer { op, rows, shape, values, milliseconds })
    }

    /// A row's probabilities, whatever the operation is.
    pub async fn row(&self, logits: &Logits, axis: i32, row: usize, temperature: f64) -> Outcome<RowView> {
        let (_, probabilities) = self.probabilities(logits, axis, row, temperature).await?;
        Ok(RowView { order: largest_first(&probabilities), probabilities })
    }

    /// A row's Jacobian: of softmax, or of log-softmax where that is the operation.
    pub async fn jacobian(
        &self,
        logits: &Logits,
        op: &str,
        axis: i32,
        row: usize,
        temperature: f64,
    ) -> Outcome<JacobianView> {
        let op = if named(op)? == Op::LogSoftmax { Op::LogSoftmaxJacobian } else { Op::Jacobian };
        let (row, probabilities) = self.probabilities(logits, axis, row, temperature).await?;
        let shape = [row.len()];
        let request = Request::new(op, &row, &shape, -1).adjustment(divided_by(temperature));
        if row.len() <= DRAWN_WHOLE {
            let values = self.engine.answer::<f32>(&request).await?;
            return Ok(JacobianView { classes: (0..row.len() as u32).collect(), values });
        }
        let mut classes = largest_first(&probabilities);
        classes.truncate(DRAWN_OF_LONG_ROWS);
        let mut values = Vec::with_capacity(classes.len() * classes.len());
        for &class in &classes {
            let line = request.clone().jacobian_rows(u64::from(class)..u64::from(class) + 1);
            let line = self.engine.answer::<f32>(&line).await?;
            values.extend(classes.iter().map(|&class| line[class as usize]));
        }
        Ok(JacobianView { classes, values })
    }
}

impl Calculator {
    /// A row's logits and their probabilities.
    async fn probabilities(
        &self,
        logits: &Logits,
        axis: i32,
        row: usize,
        temperature: f64,
    ) -> Outcome<(Vec<f32>, Vec<f32>)> {
        let rows = Rows::of_shape(&logits.shape, &Axes::One(axis as isize))?;
        let row = row_of(&logits.values, &rows, row)?;
        let shape = [row.len()];
        let request = Request::new(Op::Softmax, &row, &shape, -1).adjustment(divided_by(temperature));
        let probabilities = self.engine.answer::<f32>(&request).await?;
        Ok((row, probabilities))
    }
}

fn named(name: &str) -> Outcome<Op> {
    let found = Op::ROW_WISE.into_iter().find(|op| op.name() == name);
    found.ok_or_else(|| failure(format!("there is no operation {name}")))
}

/// Logits that are divided by 1 are left alone.
fn divided_by(temperature: f64) -> Adjustment<'static> {
    if temperature == 1.0 { Adjustment::default() } else { Adjustment::default().temperature(temperature) }
}

/// Classes by falling probability; NaN, of which a row has all or none, leaves them in their order.
fn largest_first(probabilities: &[f32]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..probabilities.len() as u32).collect();
    order.sort_by(|&a, &b| probabilities[b as usize].total_cmp(&probabilities[a as usize]));
    order
}

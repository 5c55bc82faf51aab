//! What was computed: the whole of it to be saved, and rows to be looked at.

use wasm_bindgen::prelude::wasm_bindgen;
use wgpu_softmax::{Op, Output, Rows};

use crate::arrays;
use crate::failure::{Outcome, failure};

/// The result of an operation on an array.
#[wasm_bindgen]
pub struct Answer {
    pub(crate) op: Op,
    pub(crate) rows: Rows,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
    pub(crate) milliseconds: f64,
}

#[wasm_bindgen]
impl Answer {
    #[wasm_bindgen(getter)]
    pub fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    #[wasm_bindgen(getter)]
    pub fn rows(&self) -> f64 {
        self.rows.count() as f64
    }

    #[wasm_bindgen(getter)]
    pub fn classes(&self) -> f64 {
        self.rows.classes() as f64
    }

    /// From the array in this program's memory to the result in it.
    #[wasm_bindgen(getter)]
    pub fn milliseconds(&self) -> f64 {
        self.milliseconds
    }

    /// The result's values of a row: as many as there are classes, or one.
    pub fn row(&self, row: usize) -> Outcome<Vec<f32>> {
        match self.op.output() {
            Output::PerElement => row_of(&self.values, &self.rows, row),
            _ => self.values.get(row).map(|&value| vec![value]).ok_or_else(|| no_such(row)),
        }
    }

    /// The result as a .npy file.
    pub fn npy(&self) -> Outcome<Vec<u8>> {
        arrays::written(&self.shape, &self.values).map_err(|error| failure(error.to_string()))
    }
}

/// One row of an array, as it lies among the others.
pub fn row_of(values: &[f32], rows: &Rows, row: usize) -> Outcome<Vec<f32>> {
    let (classes, inner) = (rows.classes() as usize, rows.inner() as usize);
    if row as u64 >= rows.count() {
        return Err(no_such(row));
    }
    let start = row / inner * classes * inner + row % inner;
    Ok((0..classes).map(|class| values[start + class * inner]).collect())
}

fn no_such(row: usize) -> wasm_bindgen::JsError {
    failure(format!("there is no row {row}"))
}

/// The classes of a row with their probabilities, the largest first.
#[wasm_bindgen(getter_with_clone)]
pub struct RowView {
    #[wasm_bindgen(readonly)]
    pub order: Vec<u32>,
    /// By class, not by order.
    #[wasm_bindgen(readonly)]
    pub probabilities: Vec<f32>,
}

/// A row's Jacobian, or of a long row the part of its most probable classes.
#[wasm_bindgen(getter_with_clone)]
pub struct JacobianView {
    /// Which classes: those of its lines and of its columns alike.
    #[wasm_bindgen(readonly)]
    pub classes: Vec<u32>,
    /// Line after line.
    #[wasm_bindgen(readonly)]
    pub values: Vec<f32>,
}

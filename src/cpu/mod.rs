use crate::{Op, Options, Rows};
pub trait Real: Copy + Default + Into<f64> {
    fn of(v: f64) -> Self;
}
impl Real for f32 {
    fn of(v: f64) -> f32 {
        v as f32
    }
}
impl Real for f64 {
    fn of(v: f64) -> f64 {
        v
    }
}
pub(crate) fn compute_rows<T: Real>(op: Op, logits: &[T], rows: &Rows, result: &mut [T], options: &Options) {
    let wide: Vec<f64> = logits.iter().map(|&v| v.into()).collect();
    for (r, v) in result.iter_mut().zip(crate::reference::compute(op, &wide, rows, options)) {
        *r = T::of(v);
    }
}

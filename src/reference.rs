use crate::{Op, Options, Rows};
pub fn compute(op: Op, logits: &[f64], rows: &Rows, _options: &Options) -> Vec<f64> {
    let (n, k, i) = (rows.outer(), rows.classes(), rows.inner());
    let mut out = vec![0.0; rows.result(op).elements() as usize];
    for o in 0..n {
        for c in 0..i {
            let at = |j: u64| (o * k * i + j * i + c) as usize;
            let row: Vec<f64> = (0..k).map(|j| logits[at(j)]).collect();
            let m = row.iter().cloned().fold(f64::NEG_INFINITY, f64::max);
            let s: f64 = row.iter().map(|x| (x - m).exp()).sum();
            match op {
                Op::LogSumExp => out[(o * i + c) as usize] = m + s.ln(),
                Op::Softmax => {
                    for j in 0..k {
                        out[at(j)] = (row[j as usize] - m).exp() / s
                    }
                }
                _ => {
                    for j in 0..k {
                        out[at(j)] = row[j as usize] - m - s.ln()
                    }
                }
            }
        }
    }
    out
}

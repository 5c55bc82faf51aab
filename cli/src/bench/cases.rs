//! What is measured: an operation over a batch of one type, with the bytes that it cannot do without.

use std::collections::HashSet;

use wgpu_softmax::{Dtype, Op, Output};

use super::judge::MOST_JUDGED;
use crate::args::{Batch, Bench, MEASURED, Preset};

/// One operation over one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Case {
    pub op: Op,
    pub batch: Batch,
    pub dtype: Dtype,
}

/// What a machine's memory allows, by how much is read and how much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// As much is written as is read.
    Copy,
    /// Next to nothing is written.
    Read,
    /// Next to nothing is read.
    Fill,
}

impl Limit {
    pub fn name(self) -> &'static str {
        match self {
            Limit::Copy => "copy",
            Limit::Read => "read",
            Limit::Fill => "fill",
        }
    }
}

impl Case {
    /// The operation as runners and JSON lines spell it.
    pub fn name(&self) -> &'static str {
        let found = MEASURED.iter().find(|(op, _)| *op == self.op);
        found.map_or(self.op.name(), |(_, underscored)| underscored)
    }

    /// N·K.
    pub fn logits(&self) -> usize {
        self.batch.rows * self.batch.classes
    }

    /// Elements of the result for each row.
    pub fn result_width(&self) -> usize {
        let classes = self.batch.classes;
        match self.op.output() {
            Output::PerElement => classes,
            Output::PerPair => classes * classes,
            Output::PerRow | Output::TwoPerRow => 1,
        }
    }

    pub fn results(&self) -> usize {
        self.batch.rows * self.result_width()
    }

    /// Elements of what one call writes beside losses.
    pub fn gradient_or_result(&self) -> usize {
        if self.op == Op::CrossEntropy { 0 } else { self.results() }
    }

    /// Losses, one for each row, where it is one.
    pub fn losses(&self) -> usize {
        if self.op.is_loss() { self.batch.rows } else { 0 }
    }

    /// Bytes that have to be read: logits, an operand of their size, labels of four bytes.
    pub fn read_bytes(&self) -> u64 {
        let inputs = if self.op.operand().is_some() { 2 } else { 1 };
        let labels = if self.op.is_loss() { 4 * self.batch.rows as u64 } else { 0 };
        inputs * self.logits() as u64 * self.dtype.bytes() + labels
    }

    /// Bytes that have to be written: the result, and a loss in f32 for each row beside its gradient.
    pub fn written_bytes(&self) -> u64 {
        let losses = 4 * self.batch.rows as u64;
        match self.op {
            Op::CrossEntropy => losses,
            Op::CrossEntropyGradient => self.results() as u64 * self.dtype.bytes() + losses,
            _ => self.results() as u64 * self.dtype.bytes(),
        }
    }

    /// Every byte that has to be moved, once.
    pub fn bytes(&self) -> u64 {
        self.read_bytes() + self.written_bytes()
    }

    /// What it can at best be as fast as.
    pub fn limit(&self) -> Limit {
        match self.op.output() {
            Output::PerElement => Limit::Copy,
            Output::PerRow | Output::TwoPerRow => Limit::Read,
            Output::PerPair => Limit::Fill,
        }
    }
}

/// The operations that are measured where none are named.
const USUAL: [Op; 7] = [
    Op::Softmax,
    Op::LogSoftmax,
    Op::LogSumExp,
    Op::CrossEntropy,
    Op::CrossEntropyGradient,
    Op::Vjp,
    Op::Jacobian,
];

/// What a run goes through.
#[derive(Debug)]
pub struct Agenda {
    /// Grouped by type.
    pub cases: Vec<Case>,
    /// Larger ones stay on the devices: neither the CPU nor the way to a device is timed with them.
    pub most_logits_on_host: usize,
    /// Larger ones are no work for the textbook.
    pub most_elements_of_textbook: usize,
    /// As many elements of a result are judged.
    pub most_judged: usize,
    /// How long each is timed, in each way.
    pub seconds: f64,
    /// When to stop, and leave the rest out.
    pub most_seconds: f64,
}

impl Agenda {
    /// What the command line asks for, on devices that are fast or not.
    pub fn of(asked: &Bench, fast: bool) -> Agenda {
        let preset = asked.preset.unwrap_or(Preset::Quick);
        let named = asked.shapes.is_some() || asked.jac_shapes.is_some();
        let (seconds, most_seconds) = match preset {
            _ if named => (0.2, f64::INFINITY),
            Preset::Quick => (0.02, 50.0),
            Preset::Full => (0.03, 270.0),
        };
        let dtypes = asked.dtypes.clone().unwrap_or_else(|| match preset {
            Preset::Full if !named => vec![Dtype::F32, Dtype::F16],
            _ => vec![Dtype::F32],
        });
        let lists = match preset {
            _ if named => {
                let shapes = asked.shapes.clone().unwrap_or_default();
                let pairs = asked.jac_shapes.clone().or_else(|| asked.ops.as_ref().and(asked.shapes.clone()));
                vec![Shapes { rows: shapes, pairs: pairs.unwrap_or_default(), ops: None, only_f32: false }]
            }
            Preset::Quick => quick(),
            Preset::Full => full(if fast { 1 << 26 } else { 1 << 22 }),
        };
        let mut cases = Vec::new();
        for &dtype in &dtypes {
            for Shapes { rows, pairs, ops, only_f32 } in &lists {
                if *only_f32 && dtype != Dtype::F32 && asked.dtypes.is_none() {
                    continue;
                }
                for &op in asked.ops.as_deref().or(*ops).unwrap_or(&USUAL) {
                    let batches = if op.output() == Output::PerPair { pairs } else { rows };
                    cases.extend(batches.iter().map(|&batch| Case { op, batch, dtype }));
                }
            }
        }
        let mut seen = HashSet::new();
        cases.retain(|case| seen.insert(*case));
        Agenda {
            cases,
            seconds: asked.seconds.unwrap_or(seconds),
            most_seconds: if named { f64::INFINITY } else { most_seconds },
            most_logits_on_host: if named { usize::MAX } else { 1 << 24 },
            most_elements_of_textbook: if named { 1 << 24 } else { 1 << 20 },
            most_judged: if named { MOST_JUDGED } else { MOST_JUDGED / 8 },
        }
    }
}

/// Batches for operations on rows, batches for Jacobians, and which operations where that is not all usual ones.
struct Shapes {
    rows: Vec<Batch>,
    pairs: Vec<Batch>,
    ops: Option<&'static [Op]>,
    /// For the picture alone.
    only_f32: bool,
}

fn batches(shapes: &[(usize, usize)]) -> Vec<Batch> {
    shapes.iter().map(|&(rows, classes)| Batch { rows, classes }).collect()
}

/// Batches of these lengths with about so many logits.
fn of_logits(logits: usize, lengths: &[usize]) -> Vec<Batch> {
    lengths.iter().map(|&classes| Batch { rows: (logits / classes).max(1), classes }).collect()
}

fn quick() -> Vec<Shapes> {
    const FEW: [Op; 3] = [Op::Softmax, Op::LogSumExp, Op::CrossEntropyGradient];
    vec![
        Shapes {
            rows: batches(&[(16_384, 32), (1024, 1000), (16, 50_257)]),
            pairs: batches(&[(4096, 10), (256, 100)]),
            ops: None,
            only_f32: false,
        },
        Shapes {
            rows: of_logits(1 << 14, &[4, 32, 1000, 16_384]),
            pairs: Vec::new(),
            ops: Some(&FEW),
            only_f32: true,
        },
        Shapes {
            rows: of_logits(1 << 19, &[4, 32, 1000, 16_384]),
            pairs: Vec::new(),
            ops: Some(&FEW),
            only_f32: true,
        },
    ]
}

/// Row lengths on both sides of every place where a kernel or its geometry changes.
const LENGTHS: [usize; 38] = [
    2, 3, 4, 5, 7, 8, 10, 16, 17, 31, 32, 33, 63, 64, 100, 127, 128, 129, 255, 256, 257, 512, 1000, 1023,
    1024, 1025, 2048, 4096, 4097, 8192, 16_384, 16_385, 32_768, 50_257, 65_536, 128_256, 262_144, 1_000_000,
];

const SOME_LENGTHS: [usize; 12] = [2, 4, 10, 32, 100, 128, 1000, 4096, 16_384, 65_536, 262_144, 1_000_000];

/// The largest batches have so many `logits`, enough for the device to be busy. What pictures show comes first, in case
/// time runs out.
fn full(logits: usize) -> Vec<Shapes> {
    const SOFTMAX: [Op; 1] = [Op::Softmax];
    let alone = |rows, ops, only_f32| Shapes { rows, pairs: Vec::new(), ops, only_f32 };
    let mut lists = vec![alone(of_logits(logits, &LENGTHS), Some(&SOFTMAX[..]), false)];
    for power in (10..=logits.ilog2().min(24)).rev().step_by(2) {
        let lengths: Vec<usize> = SOME_LENGTHS.into_iter().filter(|&classes| classes <= 1 << power).collect();
        lists.push(alone(of_logits(1 << power, &lengths), Some(&SOFTMAX), true));
    }
    // Results of up to sixteen times as many numbers.
    let pairs = logits / 256;
    let pairs = [
        (4 * pairs, 4),
        (pairs, 10),
        (pairs / 4, 33),
        (pairs / 16, 100),
        (pairs / 16, 128),
        (pairs / 256, 512),
        (pairs / 1024, 1000),
        (pairs / 16_384, 4096),
    ];
    let rows = of_logits(logits, &LENGTHS);
    lists.push(Shapes { rows, pairs: batches(&pairs), ops: None, only_f32: false });
    // For the CPU, and for the way to devices, which larger batches would take too long on.
    let some = of_logits(1 << 22, &[4, 10, 128, 1000, 4096, 50_257, 262_144]);
    lists.push(alone(some, None, true));
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_batches_that_devices_hold() {
        for lists in [quick(), full(1 << 22), full(1 << 26)] {
            let mut lengths = HashSet::new();
            for Shapes { rows, pairs, .. } in &lists {
                for batch in rows {
                    assert!(batch.rows > 0 && batch.rows * batch.classes <= 1 << 26, "{batch:?}");
                    lengths.insert(batch.classes);
                }
                for batch in pairs {
                    assert!(batch.rows > 0 && batch.rows * batch.classes.pow(2) <= 1 << 28, "{batch:?}");
                }
            }
            assert!(lengths.contains(&4) && lengths.iter().any(|&length| length > 16_000));
        }
        let all: HashSet<usize> =
            full(1 << 26).iter().flat_map(|list| &list.rows).map(|batch| batch.classes).collect();
        assert!(all.contains(&2) && all.contains(&1_000_000) && all.iter().any(|length| length % 2 == 1));
    }

    #[test]
    fn bytes_are_counted_once() {
        let case = |op, rows, classes, dtype| Case { op, batch: Batch { rows, classes }, dtype };
        for (case, read, written, limit) in [
            (case(Op::Softmax, 10, 7, Dtype::F32), 280, 280, Limit::Copy),
            (case(Op::Vjp, 10, 7, Dtype::F16), 280, 140, Limit::Copy),
            (case(Op::LogSumExp, 10, 7, Dtype::F64), 560, 80, Limit::Read),
            (case(Op::CrossEntropy, 10, 7, Dtype::F32), 320, 40, Limit::Read),
            (case(Op::CrossEntropyGradient, 10, 7, Dtype::F16), 180, 180, Limit::Copy),
            (case(Op::Jacobian, 10, 7, Dtype::F32), 280, 1960, Limit::Fill),
        ] {
            assert_eq!(
                (case.read_bytes(), case.written_bytes(), case.limit()),
                (read, written, limit),
                "{case:?}"
            );
        }
    }
}

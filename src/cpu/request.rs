//! Requests with more to them than logits of the computing type: operands, temperatures, masks, elements of
//! several types.
//!
//! Block by block: gathered and adjusted (`blocks.rs`), handed to the same row kernels as every row, finished,
//! rounded and scattered. So a row's bits are those of the row kernels, and depend on nothing but the row.

use std::ops::Range;

use half::{bf16, f16};

use crate::one_call::widest;
use crate::request::Arranged;
use crate::{Dtype, Element, ElementsMut, FullyMasked, Given, Op};

use super::blocks::{Block, Kind, Layout, Place, Row, Written, reused};
use super::jacobian::{JacobianRows, log_sums};
use super::products::Factors;
use super::real::Real;
use super::weighted::WeightedRow;
use super::{compute_rows, products, storage, threads};

/// Computes a request into a result of the right length.
pub(crate) fn compute_request(arranged: &Arranged<'_>, result: ElementsMut<'_>) {
    match result {
        ElementsMut::F16(result) => compute_into::<f16>(arranged, result),
        ElementsMut::Bf16(result) => compute_into::<bf16>(arranged, result),
        ElementsMut::F32(result) => compute_into::<f32>(arranged, result),
        ElementsMut::F64(result) => compute_into::<f64>(arranged, result),
    }
}

fn compute_into<R: Element>(arranged: &Arranged<'_>, result: &mut [R]) {
    // Of rows without classes there may be more than could ever be counted.
    if result.is_empty() {
        return;
    }
    match widest(arranged.logits, arranged.operand, R::DTYPE) {
        Dtype::F64 => compute_in::<f64, R>(arranged, result),
        _ => compute_in::<f32, R>(arranged, result),
    }
}

fn compute_in<T: Real, R: Element>(arranged: &Arranged<'_>, result: &mut [R]) {
    let request = Task { arranged, layout: Layout::new(&arranged.arrangement) };
    match arranged.op {
        Op::Softmax | Op::LogSoftmax => request.per_element::<T, R>(result),
        Op::LogSumExp => request.log_sum_exps::<T, R>(result),
        Op::Jacobian | Op::LogSoftmaxJacobian => request.jacobians::<T, R>(result),
        Op::Vjp | Op::Jvp | Op::LogSoftmaxVjp | Op::LogSoftmaxJvp => request.products::<T, R>(result),
        Op::WeightedLogSumExp | Op::SignedLogSumExp => request.weighted::<T, R>(result),
        // No request asks for them.
        Op::CrossEntropy | Op::CrossEntropyGradient => {}
    }
}

/// A request on its way.
struct Task<'a> {
    arranged: &'a Arranged<'a>,
    layout: Layout<'a>,
}

impl Task<'_> {
    /// Calls `work` for every block, if each row is work for so many logits, with memory for three other values
    /// of each logit.
    fn for_each_block<T: Real, R: Element>(
        &self,
        logits_per_row: usize,
        written: Written,
        result: &mut [R],
        work: impl Fn(Range<usize>, Block<'_, T>, &mut [Vec<T>; 3], Place<'_, R>) + Send + Sync,
    ) {
        let rows_per_block = self.layout.rows_per_block(logits_per_row);
        let Arranged { logits, ref adjustment, .. } = *self.arranged;
        self.layout.map_blocks(rows_per_block, written, result, |memory, rows, place| {
            let (of_block, others) = memory;
            let block = Block::new(of_block, &self.layout, logits, adjustment, rows.clone());
            work(rows, block, others, place);
        });
    }

    /// An operation of the row kernels on a block.
    fn row_wise<T: Real>(&self, op: Op, block: &Block<'_, T>, result: &mut [T]) {
        if let Some(rows) = block.rows() {
            compute_rows(op, block.logits, &rows, result, &self.arranged.options);
        }
    }

    fn per_element<T: Real, R: Element>(&self, result: &mut [R]) {
        let op = self.arranged.op;
        let masked = if op == Op::LogSoftmax { T::NEG_INFINITY } else { T::ZERO };
        self.for_each_block::<T, R>(
            self.layout.classes,
            Written::PerElement,
            result,
            |rows, block, memory, mut place| {
                let [values, ..] = memory;
                let values = reused(values, block.logits.len());
                self.row_wise(op, &block, values);
                if block.is_masked() {
                    for index in 0..rows.len() {
                        let values = &mut values[block.range(index)];
                        // NaN throughout, or nowhere.
                        let is_nan = values.first().is_some_and(|value| value.widen().is_nan());
                        let row = block.row(index);
                        if is_nan && row.kind(values) == Kind::Undefined {
                            row.participation.fill_masked(masked, values);
                        }
                    }
                }
                place.write(values);
            },
        );
    }

    fn log_sum_exps<T: Real, R: Element>(&self, result: &mut [R]) {
        self.for_each_block::<T, R>(
            self.layout.classes,
            Written::PerRow(1),
            result,
            |rows, block, memory, mut place| {
                let [values, ..] = memory;
                let values = reused(values, rows.len());
                // Where there are no classes.
                values.fill(T::NEG_INFINITY);
                self.row_wise(Op::LogSumExp, &block, values);
                place.write(values);
            },
        );
    }

    fn jacobians<T: Real, R: Element>(&self, result: &mut [R]) {
        let asked = self.arranged.arrangement.rows.jacobian_rows();
        let (first, asked) = (asked.start as usize, (asked.end - asked.start) as usize);
        let classes = self.layout.classes;
        let Some(pairs) = asked.checked_mul(classes).filter(|&pairs| pairs > 0) else { return };
        let rows_per_piece = threads::rows_per_task(asked, classes);
        let op = self.arranged.op;
        self.for_each_block::<T, R>(
            pairs,
            Written::PerRow(pairs),
            result,
            |rows, block, memory, mut place| {
                let [probabilities, ..] = memory;
                let probabilities = reused(probabilities, block.logits.len());
                self.row_wise(Op::Softmax, &block, probabilities);
                let log_sums = log_sums(self.layout.instructions, block.logits, classes);
                for (index, jacobian) in place.in_order().chunks_exact_mut(pairs).enumerate() {
                    let row = block.row(index);
                    let temperature = self.arranged.adjustment.temperature_of((rows.start + index) as u64);
                    let probabilities = &probabilities[block.range(index)];
                    let log_sum = log_sums.get(index).copied().unwrap_or(f64::NAN);
                    let kind = row.kind(probabilities);
                    threads::map_pieces(jacobian, rows_per_piece * classes, &|piece, jacobian| {
                        let mut values = vec![T::ZERO; classes];
                        for (i, jacobian) in jacobian.chunks_exact_mut(classes).enumerate() {
                            let i = first + piece * rows_per_piece + i;
                            let values = &mut values[..];
                            let jacobian_row =
                                JacobianRows { op, probabilities, log_sum, first: i, jacobian: values };
                            self.layout.instructions.run(jacobian_row);
                            if kind != Kind::Empty {
                                adjust_jacobian_row(&row, i, temperature, values);
                            }
                            storage::store(values, jacobian);
                        }
                    });
                }
            },
        );
    }

    fn products<T: Real, R: Element>(&self, result: &mut [R]) {
        let Arranged { op, operand: Some(operand), ref adjustment, ref options, .. } = *self.arranged else {
            return;
        };
        let given = options.given == Given::Probabilities;
        self.for_each_block::<T, R>(
            self.layout.classes,
            Written::PerElement,
            result,
            |rows, block, memory, mut place| {
                let [vectors, softmax, products] = memory;
                let products = reused(products, block.logits.len());
                let softmax = reused(softmax, if given { 0 } else { block.logits.len() });
                if !given {
                    self.row_wise(Op::Softmax, &block, softmax);
                }
                let probabilities = if given { block.logits } else { &*softmax };
                let vectors = match block.is_masked() {
                    false => self.layout.elements(operand, rows.clone(), vectors),
                    true => {
                        let vectors = reused(vectors, block.logits.len());
                        self.layout.gather(operand, rows.clone(), vectors);
                        for index in 0..rows.len() {
                            let vector = &mut vectors[block.range(index)];
                            block.row(index).participation.fill_masked(T::ZERO, vector);
                        }
                        vectors
                    }
                };
                let (instructions, classes) = (self.layout.instructions, self.layout.classes);
                let temperature = |row| adjustment.temperature_of((rows.start + row) as u64);
                let factors = Factors { op, classes, probabilities, vectors };
                products::multiply_rows(instructions, factors, &temperature, products);
                for index in 0..rows.len() {
                    let (row, product) = (block.row(index), &mut products[block.range(index)]);
                    let kind =
                        if given { Kind::Regular } else { row.kind(&probabilities[block.range(index)]) };
                    match kind {
                        Kind::Regular => {}
                        Kind::Undefined => product.fill(T::NAN),
                        Kind::Empty => product.fill(empty(options.fully_masked, T::ZERO)),
                    }
                    if kind != Kind::Empty {
                        row.participation.fill_masked(T::ZERO, product);
                    }
                }
                place.write(products);
            },
        );
    }

    fn weighted<T: Real, R: Element>(&self, result: &mut [R]) {
        let Arranged { op, operand: Some(operand), .. } = *self.arranged else { return };
        let signed = op == Op::SignedLogSumExp;
        let written = Written::PerRow(if signed { 2 } else { 1 });
        self.for_each_block::<T, R>(
            self.layout.classes,
            written,
            result,
            |rows, block, memory, mut place| {
                let [weights, values, _] = memory;
                let weights = reused(weights, block.logits.len());
                self.layout.gather(operand, rows.clone(), weights);
                values.clear();
                for index in 0..rows.len() {
                    let (row, weights) = (block.row(index), &mut weights[block.range(index)]);
                    row.participation.fill_masked(T::ZERO, weights);
                    let sum = self.layout.instructions.run(WeightedRow { logits: row.logits, weights });
                    if signed {
                        values.extend([T::narrow(sum.log), T::narrow(sum.sign)]);
                    } else {
                        values.push(T::narrow(sum.unsigned()));
                    }
                }
                place.write(values);
            },
        );
    }
}

/// What stands in every place of a row in which no class takes part.
fn empty<T: Real>(fully_masked: FullyMasked, zero: T) -> T {
    match fully_masked {
        FullyMasked::Nan => T::NAN,
        FullyMasked::Zero => zero,
    }
}

/// Makes row `i` of a Jacobian by z one by x: derivatives of and by what takes no part are 0.
fn adjust_jacobian_row<T: Real>(row: &Row<'_, T>, i: usize, temperature: f64, values: &mut [T]) {
    if !row.participation.takes_part(i) {
        return values.fill(T::ZERO);
    }
    if temperature != 1.0 {
        for value in values.iter_mut() {
            *value = T::narrow(value.widen() / temperature);
        }
    }
    row.participation.fill_masked(T::ZERO, values);
}

#[cfg(test)]
mod tests {
    use crate::{Adjustment, Axes, Cpu, Elements, Operand, Options, Request};

    use super::*;

    /// Numbers between −4 and 4 that every type holds.
    fn numbers<T: Element>(count: usize, seed: u64) -> Vec<T> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 59) as f64 / 4.0 - 4.0
        };
        (0..count).map(|_| T::rounded(T::Computed::narrow(next()))).collect()
    }

    fn widened<T: Element>(values: &[T]) -> Vec<f64> {
        values.iter().map(|x| x.computed().widen()).collect()
    }

    /// The textbook, for one row of logits (`None` where masked) that has probabilities.
    fn oracle(op: Op, logits: &[Option<f64>], temperature: f64, operand: &[f64]) -> Vec<f64> {
        let z: Vec<f64> = logits.iter().map(|x| x.map_or(f64::NEG_INFINITY, |x| x / temperature)).collect();
        let maximum = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = z.iter().map(|z| (z - maximum).exp()).sum();
        let p: Vec<f64> = z.iter().map(|z| (z - maximum).exp() / sum).collect();
        let takes_part = |i: usize| logits[i].is_some();
        let jacobian = |i: usize, j: usize| {
            let delta = f64::from(i == j);
            match op {
                _ if !takes_part(i) || !takes_part(j) => 0.0,
                Op::Jacobian | Op::Vjp | Op::Jvp => p[i] * (delta - p[j]) / temperature,
                _ => (delta - p[j]) / temperature,
            }
        };
        let classes = 0..logits.len();
        let product = |by: &dyn Fn(usize, usize) -> f64| {
            let row = |i| classes.clone().filter(|&j| takes_part(j)).map(|j| by(i, j) * operand[j]).sum();
            classes.clone().map(row).collect()
        };
        match op {
            Op::Softmax => p,
            Op::LogSoftmax => z.iter().map(|z| z - maximum - sum.ln()).collect(),
            Op::LogSumExp => vec![maximum + sum.ln()],
            Op::Jacobian | Op::LogSoftmaxJacobian => classes
                .clone()
                .flat_map(|i| classes.clone().map(move |j| (i, j)))
                .map(|(i, j)| jacobian(i, j))
                .collect(),
            Op::Vjp | Op::LogSoftmaxVjp => product(&|i, j| jacobian(j, i)),
            Op::Jvp | Op::LogSoftmaxJvp => product(&jacobian),
            Op::WeightedLogSumExp | Op::SignedLogSumExp => {
                let total: f64 =
                    z.iter().zip(operand).map(|(z, b)| if z.is_finite() { b * z.exp() } else { 0.0 }).sum();
                match op {
                    Op::SignedLogSumExp => vec![total.abs().ln(), total.signum()],
                    _ => vec![total.ln()],
                }
            }
            _ => Vec::new(),
        }
    }

    fn request<'a>(op: Op, logits: impl Into<Elements<'a>>, shape: &'a [usize], axes: &Axes) -> Request<'a> {
        Request::new(op, logits, shape, axes.clone())
    }

    fn with_operand<'a>(request: Request<'a>, op: Op, operand: impl Into<Elements<'a>>) -> Request<'a> {
        match op.operand() {
            None => request,
            Some(Operand::Cotangent) => request.cotangent(operand),
            Some(Operand::Tangent) => request.tangent(operand),
            Some(Operand::Weights) => request.weights(operand),
        }
    }

    /// Holds every operation against the textbook, row after row, along some axes of (3, 4, 5).
    fn textbook<X: Element, V: Element, R: Element>(axes: &Axes, tolerance: f64) {
        let shape = [3, 4, 5];
        let (mut logits, mut operand) = (numbers::<X>(60, 1), numbers::<V>(60, 2));
        let mask: Vec<bool> = (0..60).map(|place| place % 7 != 3).collect();
        let layout = crate::arrangement::Arrangement::new(Op::Jacobian, &shape, axes).unwrap();
        let (count, classes) = (layout.rows.count() as usize, layout.rows.classes() as usize);
        let temperatures: Vec<f32> = (0..count).map(|row| 0.5 + row as f32 / 4.0).collect();
        let in_rows = |values: &[f64]| {
            let mut rows = Vec::new();
            layout.gather(values, 0..60, |piece| rows.extend_from_slice(piece));
            rows
        };
        for masked in [false, true] {
            let takes_part = |place: usize| !masked || mask[place];
            for place in (0..60).filter(|&place| !takes_part(place)) {
                logits[place] = X::rounded(X::Computed::NAN);
                operand[place] = V::rounded(V::Computed::NAN);
            }
            let mut adjustment = Adjustment::default().temperature(Elements::from(&temperatures));
            if masked {
                adjustment = adjustment.mask(&mask, &shape);
            }
            let rows_of_logits = in_rows(&widened(&logits));
            let rows_of_operand = in_rows(&widened(&operand));
            let in_part = in_rows(&(0..60).map(|place| f64::from(takes_part(place))).collect::<Vec<_>>());
            for op in Op::ALL {
                let request = request(op, &logits, &shape, axes).adjustment(adjustment);
                let answer = Cpu::new().answer::<R>(&with_operand(request, op, &operand)).unwrap();
                let mut answer = widened(&answer);
                if op.output() == crate::Output::PerElement {
                    answer = in_rows(&answer);
                }
                let per_row = answer.len() / count;
                for row in 0..count {
                    let range = row * classes..(row + 1) * classes;
                    let logits: Vec<_> =
                        range.clone().map(|at| (in_part[at] == 1.0).then_some(rows_of_logits[at])).collect();
                    let expected = oracle(op, &logits, temperatures[row].into(), &rows_of_operand[range]);
                    assert_eq!(expected.len(), per_row);
                    // Terms of different signs that cancel leave the rounding of x / T behind.
                    let cancelled = match op.operand() {
                        Some(Operand::Weights) => 10.0,
                        _ => 1.0,
                    };
                    for (&answer, expected) in answer[row * per_row..].iter().zip(expected) {
                        let same = answer == expected || answer.is_nan() && expected.is_nan();
                        let close =
                            (answer - expected).abs() <= cancelled * tolerance * (1.0 + expected.abs());
                        assert!(same || close, "{op}, row {row}, masked {masked}: {answer} for {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_operation_along_every_axis_is_the_textbook_s() {
        for axes in [Axes::from(-1), Axes::from(0), Axes::from(1), Axes::from([0, 2]), Axes::All] {
            textbook::<f32, f32, f32>(&axes, 2e-6);
            textbook::<f64, f64, f64>(&axes, 2e-14);
            textbook::<f16, f32, f32>(&axes, 2e-6);
            textbook::<bf16, f16, f64>(&axes, 2e-14);
            textbook::<f32, f64, f16>(&axes, 1e-3);
            textbook::<f16, f16, bf16>(&axes, 8e-3);
        }
    }

    /// The rows of a wide array, long and short, against each of them alone.
    #[test]
    fn a_row_has_the_same_bits_wherever_it_lies() {
        for (outer, classes, inner) in [(2, 5, 70), (3, 100, 33), (1, 5000, 18), (1, 70_000, 3)] {
            let (shape, row_shape, mask_shape) = ([outer, classes, inner], [classes], [classes, 1]);
            let logits: Vec<f32> = numbers(outer * classes * inner, 3);
            let operand: Vec<bf16> = numbers(logits.len(), 4);
            let mask: Vec<bool> = (0..classes).map(|class| class % 3 != 1).collect();
            for op in Op::ROW_WISE.into_iter().chain(Op::PRODUCTS).chain([Op::WeightedLogSumExp]) {
                let strided = Adjustment::default().mask(&mask, &mask_shape).temperature(0.5);
                let strided =
                    with_operand(Request::new(op, &logits, &shape, 1), op, &operand).adjustment(strided);
                let strided = Cpu::new().answer::<f32>(&strided).unwrap();
                for (slab, column) in [(0, 0), (outer - 1, inner - 1), (outer / 2, inner / 2)] {
                    let at = |class: usize| (slab * classes + class) * inner + column;
                    let row: Vec<f32> = (0..classes).map(|class| logits[at(class)]).collect();
                    let row_operand: Vec<bf16> = (0..classes).map(|class| operand[at(class)]).collect();
                    let alone = Adjustment::default().mask(&mask, &row_shape).temperature(0.5);
                    let alone = with_operand(Request::new(op, &row, &row_shape, 0), op, &row_operand)
                        .adjustment(alone);
                    let alone = Cpu::new().answer::<f32>(&alone).unwrap();
                    for (class, value) in alone.iter().enumerate() {
                        let place = if alone.len() == 1 { slab * inner + column } else { at(class) };
                        assert!(
                            strided[place].to_bits() == value.to_bits(),
                            "{op}: {} and {value}",
                            strided[place]
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn jacobians_in_pieces_are_whole_ones() {
        let logits: Vec<f16> = numbers(2 * 300, 5);
        let shape = [2, 300];
        for op in [Op::Jacobian, Op::LogSoftmaxJacobian] {
            let whole = Cpu::new().answer::<f32>(&Request::new(op, &logits, &shape, -1)).unwrap();
            let widened: Vec<f32> = logits.iter().map(|x| x.to_f32()).collect();
            assert!(whole == Cpu::new().compute(op, &widened, &shape, -1, &Options::default()).unwrap());
            let asked = Request::new(op, &logits, &shape, -1).jacobian_rows(7..290);
            let part = Cpu::new().answer::<f32>(&asked).unwrap();
            for row in 0..2 {
                let asked = (row * 300 + 7) * 300..(row * 300 + 290) * 300;
                assert!(part[row * 283 * 300..][..283 * 300] == whole[asked]);
            }
        }
    }

    #[test]
    fn saved_probabilities_take_the_place_of_logits() {
        let (p, v) = ([0.25f32, 0.75, 0.0], [1.0f32, 3.0, f32::NAN]);
        let given = Options::default().given(Given::Probabilities);
        let pulled = Request::new(Op::Vjp, &p, &[3], 0).cotangent(&v).options(given);
        assert_eq!(Cpu::new().answer::<f32>(&pulled).unwrap(), [-0.375, 0.375, 0.0]);
        let v = [1.0f32, 3.0, 2.0];
        let pulled = Request::new(Op::LogSoftmaxVjp, &p, &[3], 0).cotangent(&v).options(given);
        assert_eq!(Cpu::new().answer::<f32>(&pulled).unwrap(), [-0.5, -1.5, 2.0]);
        let pushed = Request::new(Op::LogSoftmaxJvp, &p, &[3], 0).tangent(&v).options(given);
        assert_eq!(Cpu::new().answer::<f32>(&pushed).unwrap(), [-1.5, 0.5, -0.5]);
    }

    /// Two zeros, NaN, ∞ and −∞ under a mask, and what becomes of some rows.
    #[test]
    fn special_rows_have_one_meaning() {
        let (nan, infinity) = (f32::NAN, f32::INFINITY);
        let mask = [true, true, false];
        let answer = |op: Op, row: [f32; 3], operand: [f32; 3], fully_masked| {
            let adjustment = Adjustment::default().mask(&mask, &[3]);
            let options = Options::default().fully_masked(fully_masked);
            let request = Request::new(op, &row, &[3], 0).adjustment(adjustment).options(options);
            Cpu::new().answer::<f32>(&with_operand(request, op, &operand)).unwrap()
        };
        let same = |answer: &[f32], expected: &[f32]| {
            let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert!(bits(answer) == bits(expected), "{answer:?} for {expected:?}");
        };
        let nan = f32::from_bits(nan.to_bits() & 0x7fff_ffff);
        let v = [1.0, 3.0, nan];
        for fully_masked in [FullyMasked::Nan, FullyMasked::Zero] {
            for row in [[0.0, nan, 0.0], [infinity, 0.0, nan]] {
                same(&answer(Op::Softmax, row, v, fully_masked), &[nan, nan, 0.0]);
                same(&answer(Op::LogSoftmax, row, v, fully_masked), &[nan, nan, -infinity]);
                for op in Op::PRODUCTS {
                    same(&answer(op, row, v, fully_masked), &[nan, nan, 0.0]);
                }
                let jacobian = [nan, nan, 0.0, nan, nan, 0.0, 0.0, 0.0, 0.0];
                same(&answer(Op::Jacobian, row, v, fully_masked), &jacobian);
                same(&answer(Op::LogSoftmaxJacobian, row, v, fully_masked), &jacobian);
            }
            let empty = if fully_masked == FullyMasked::Nan { nan } else { 0.0 };
            let row = [-infinity, -infinity, 5.0];
            same(&answer(Op::Softmax, row, v, fully_masked), &[empty; 3]);
            same(
                &answer(Op::LogSoftmax, row, v, fully_masked),
                &[if empty == 0.0 { -infinity } else { nan }; 3],
            );
            same(&answer(Op::LogSumExp, row, v, fully_masked), &[-infinity]);
            same(&answer(Op::Jacobian, row, v, fully_masked), &[empty; 9]);
            same(&answer(Op::LogSoftmaxJacobian, row, v, fully_masked), &[empty; 9]);
            for op in Op::PRODUCTS {
                same(&answer(op, row, v, fully_masked), &[empty; 3]);
            }
            // A class without probability that does take part.
            let row = [0.0, -infinity, infinity];
            same(&answer(Op::Vjp, row, [1.0, nan, nan], fully_masked), &[0.0; 3]);
            same(&answer(Op::Jvp, row, [1.0, infinity, nan], fully_masked), &[0.0; 3]);
            same(&answer(Op::LogSoftmaxVjp, row, [1.0, 4.0, nan], fully_masked), &[-4.0, 4.0, 0.0]);
            same(&answer(Op::LogSoftmaxVjp, row, [1.0, nan, nan], fully_masked), &[nan, nan, 0.0]);
            same(&answer(Op::LogSoftmaxJvp, row, [1.0, 4.0, nan], fully_masked), &[0.0, 3.0, 0.0]);
            same(&answer(Op::LogSoftmaxJvp, row, [1.0, nan, nan], fully_masked), &[0.0, nan, 0.0]);
            same(
                &answer(Op::LogSoftmaxJacobian, row, v, fully_masked),
                &[0.0, 0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            );
        }
    }

    #[test]
    fn rows_without_classes_or_no_rows_at_all() {
        let endless = Request::new(Op::Softmax, &[0.0f32; 0], &[1 << 55, 0], 1);
        assert!(Cpu::new().answer::<f16>(&endless).unwrap().is_empty());
        for shape in [[2, 0], [0, 2], [0, 0]] {
            for op in Op::ALL {
                let logits: [f16; 0] = [];
                let request = with_operand(Request::new(op, &logits, &shape, 1), op, &logits);
                let answer = widened(&Cpu::new().answer::<f32>(&request).unwrap());
                let expected: &[f64] = match op {
                    Op::LogSumExp | Op::WeightedLogSumExp => &[f64::NEG_INFINITY; 2],
                    Op::SignedLogSumExp => &[f64::NEG_INFINITY, 0.0, f64::NEG_INFINITY, 0.0],
                    _ => &[],
                };
                assert_eq!(answer, expected[..expected.len() / 2 * shape[0]], "{op}");
            }
        }
    }

    #[test]
    fn products_of_long_rows_add_up() {
        let logits = vec![0.0f32; 300_000];
        let v: Vec<f32> = (0..300_000).map(|j| (j % 7) as f32 - 2.9).collect();
        let mean = v.iter().map(|&v| f64::from(v)).sum::<f64>() / 300_000.0;
        let pushed = Request::new(Op::LogSoftmaxJvp, &logits, &[300_000], 0).tangent(&v);
        let pushed = Cpu::new().answer::<f32>(&pushed).unwrap();
        let worst = pushed.iter().zip(&v).map(|(x, &v)| (f64::from(*x) - (f64::from(v) - mean)).abs());
        assert!(worst.fold(0.0, f64::max) < 4e-7);
    }

    #[test]
    fn products_keep_the_promised_bounds() {
        let u = 2f64.powi(-24);
        for (classes, spread) in [(3, 1.0), (50, 10.0), (1000, 0.1), (1000, 30.0), (9000, 8.0)] {
            let logits: Vec<f32> = numbers::<f32>(classes, 6).iter().map(|x| x * spread * 1.1).collect();
            let v: Vec<f32> = numbers::<f32>(classes, 7).iter().map(|x| x * 1.3 + 100.0).collect();
            let (exact_v, p) = (widened(&v), crate::reference::softmax(&widened(&logits)));
            let sum: f64 = exact_v.iter().sum();
            let product: f64 = p.iter().zip(&exact_v).map(|(p, v)| p * v).sum();
            let absolute: f64 = p.iter().zip(&exact_v).map(|(p, v)| p * v.abs()).sum();
            let greatest = exact_v.iter().fold(0.0, |greatest: f64, v| greatest.max(v.abs()));
            for op in Op::PRODUCTS {
                let request = Request::new(op, &logits, std::slice::from_ref(&classes), 0);
                let answer = Cpu::new().answer::<f32>(&with_operand(request, op, &v)).unwrap();
                for ((answer, p), v) in widened(&answer).iter().zip(&p).zip(&exact_v) {
                    let (expected, bound) = match op {
                        Op::LogSoftmaxVjp => (v - p * sum, v.abs() + p * sum.abs()),
                        Op::LogSoftmaxJvp => (v - product, v.abs() + absolute),
                        _ => (p * (v - product), p * greatest),
                    };
                    // A quarter of what is promised.
                    assert!(
                        (answer - expected).abs() <= 10.0 * u * bound + 2f64.powi(-120),
                        "{op}: {answer} for {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn numbers_at_the_end_of_the_range_do_not_overflow() {
        let (logits, v) = ([0.0f32, 0.0, 0.0], [3e38f32, -3e38, -3e38]);
        let pulled = Request::new(Op::Vjp, &logits, &[3], 0).cotangent(&v);
        let pulled = Cpu::new().answer::<f32>(&pulled).unwrap();
        assert!((pulled[0] / 1.333_333_3e38 - 1.0).abs() < 1e-6);
    }
}

//! What one call sends to a GPU, and how the parts of it that belong to a window are brought together on
//! the host.

use crate::adjustment::{Broadcast, Causal, Resolved, Temperature};
use crate::arrangement::Arrangement;
use crate::assemble::Dtypes;
use crate::cpu::Real;
use crate::cross_entropy::{ArrangedLoss, LossSums, RowPlaces, Targets, Wanted, narrow};
use crate::plan::{AdjustmentParameters, Job, LossParameters, label_kind};
use crate::request::Arranged;
use crate::transfer::{Input, Operation, Window, in_words};
use crate::{Dtype, Element, Elements, ElementsMut, Error, FullyMasked, Op, Result, Rows};

/// Digits of a place in a mask that the shaders have room for, of each kind.
const MOST_DIGITS: usize = 4;

/// A mask of more bytes travels with the rows that it is of, not whole with each window.
const MOST_MASK_BYTES: u64 = 16 << 20;

/// For what is not wanted of a row (`row_values.wgsl`), and for a row without a label (`targets.wgsl`).
pub(crate) const NONE: u32 = u32::MAX;

/// The kinds of `adjusted_logits.wgsl`.
pub(crate) mod kind {
    pub(crate) const ONE_TEMPERATURE: u32 = 1;
    pub(crate) const TEMPERATURE_PER_ROW: u32 = 2;
    pub(crate) const MASK: u32 = 4;
    pub(crate) const ADDITIVE_MASK: u32 = 8;
    pub(crate) const CAUSAL: u32 = 16;
    pub(crate) const WINDOW: u32 = 32;
    pub(crate) const LENGTHS: u32 = 64;
}

/// All of a call, before it is cut into windows.
#[derive(Clone)]
pub(crate) struct Inputs<'a> {
    /// Over all rows; masks and values of rows are filled in for each window.
    pub(crate) job: Job,
    pub(crate) arrangement: &'a Arrangement,
    /// `None` where they are on the device already.
    logits: Option<Elements<'a>>,
    operand: Option<Elements<'a>>,
    adjustment: &'a Resolved<'a>,
    loss: Option<&'a ArrangedLoss<'a>>,
}

impl<'a> Inputs<'a> {
    pub(crate) fn of_request(arranged: &'a Arranged<'a>, result: Dtype) -> Self {
        let Arranged { op, logits, operand, arrangement, adjustment, options } = arranged;
        let rows = arrangement.rows;
        let dtypes =
            Dtypes { logits: logits.dtype(), result, operand: operand.map(|operand| operand.dtype()) };
        let job = Job { dtypes, ..Job::plain(*op, Dtype::F32, &rows, &rows.result(*op), options) };
        let (logits, operand) = (Some(*logits), *operand);
        Inputs { job, arrangement, logits, operand, adjustment, loss: None }
    }

    pub(crate) fn of_loss(loss: &'a ArrangedLoss<'a>, gradient: Option<Dtype>) -> Self {
        let ArrangedLoss { logits, arrangement, adjustment, options, .. } = loss;
        let rows = arrangement.rows;
        let op = if gradient.is_some() { Op::CrossEntropyGradient } else { Op::CrossEntropy };
        let operand = loss.operand();
        let dtypes = Dtypes {
            logits: logits.dtype(),
            result: gradient.unwrap_or(Dtype::F32),
            operand: operand.map(|operand| operand.dtype()),
        };
        let [scale, z_scale] = loss.scales();
        let bits = |value: f64| (value as f32).to_bits();
        let parameters = LossParameters {
            kept: bits(1.0 - loss.smoothing),
            spread: bits(loss.smoothing / rows.classes().max(1) as f64),
            scale: bits(scale),
            z_scale: if loss.z_loss == 0.0 { 0 } else { bits(2.0 * loss.z_loss * z_scale) },
            // Words, none of which says that its row is ignored: such rows have no label here.
            label_kind: label_kind::NONE_IGNORED,
            ..LossParameters::default()
        };
        let plain = Job::plain(op, Dtype::F32, &rows, &rows.result(op), options);
        let class_weights = loss.class_weights.is_some();
        let job = Job { dtypes, loss: parameters, class_weights, ..plain };
        Inputs { job, arrangement, logits: Some(*logits), operand, adjustment, loss: Some(loss) }
    }

    /// What goes with logits and an operand that are on the device already.
    pub(crate) fn beside_tensors(
        job: Job,
        arrangement: &'a Arrangement,
        adjustment: &'a Resolved<'a>,
    ) -> Self {
        Inputs { job, arrangement, logits: None, operand: None, adjustment, loss: None }
    }

    /// The gradient of a loss without the values of its rows, and the values without it.
    pub(crate) fn in_two_passes(&self) -> [Inputs<'a>; 2] {
        let of = |job| Inputs { job, ..*self };
        let values = Job {
            op: Op::CrossEntropy,
            result: self.job.rows.result(Op::CrossEntropy),
            dtypes: Dtypes { result: Dtype::F32, ..self.job.dtypes },
            ..self.job
        };
        [of(values), of(Job { row_values: false, ..self.job })]
    }

    /// The job over one slab, with all adjustments there are: what a shader has to hold does not depend on how
    /// many slabs there are.
    pub(crate) fn job_of_one_slab(&self) -> Result<Job> {
        let rows = Rows::new(1, self.job.rows.classes(), self.job.rows.inner())?;
        Ok(self.part(&Window::all(&rows), rows).job)
    }

    /// The operation over one window. What serves all windows is sent again with each: it is little, or cut.
    pub(crate) fn part(&self, window: &Window, rows: Rows) -> Operation {
        let count = rows.count();
        let mut input_bytes = [0; 7];
        let mut set = |input: Input, bytes: u64| input_bytes[input as usize] = in_words(bytes);
        let dtypes = self.job.dtypes;
        set(Input::Logits, rows.elements() * dtypes.logits.bytes());
        if let Some(dtype) = dtypes.operand {
            set(Input::Operand, rows.elements() * dtype.bytes());
        }
        if let Some((mask, broadcast)) = &self.adjustment.mask {
            set(
                Input::Mask,
                if is_sent_whole(mask.len(), 1, broadcast) { mask.len() as u64 } else { rows.elements() },
            );
        }
        if let Some((mask, broadcast)) = &self.adjustment.additive_mask {
            let elements =
                if is_sent_whole(mask.len(), 4, broadcast) { mask.len() as u64 } else { rows.elements() };
            set(Input::AdditiveMask, 4 * elements);
        }
        if self.has_row_inputs() {
            set(Input::PerRow, 8 * count);
        }
        let mut loss = self.job.loss;
        let mut row_values_bytes = 0;
        let row_values = self.job.row_values;
        if let Some(whole) = self.loss {
            if self.operand.is_none() {
                set(Input::Labels, 4 * count);
            }
            if whole.class_weights.is_some() {
                set(Input::ClassWeights, 4 * rows.classes());
            }
            let mut next = 0;
            let mut place = |wanted: bool| {
                let wanted = wanted && row_values;
                let at = if wanted { next } else { NONE };
                next += if wanted { count as u32 } else { 0 };
                at
            };
            let [losses, log_sum_exp, label, entropy, argmax] = values_of(whole);
            loss.losses_at = place(losses);
            loss.log_sum_exp_at = place(log_sum_exp);
            loss.label_log_probability_at = place(label);
            loss.entropy_at = place(entropy);
            loss.argmax_at = place(argmax);
            row_values_bytes = 4 * u64::from(next);
        }
        let result = rows.result(self.job.op);
        let adjustment = self.adjustment_of(window, &rows);
        let job = Job { rows, result, operand: rows, adjustment, loss, ..self.job };
        Operation { job, input_bytes, row_values_bytes }
    }

    fn has_row_inputs(&self) -> bool {
        let per_row = matches!(self.adjustment.temperature, Some(Temperature::PerRow(_)));
        per_row || self.adjustment.lengths.is_some()
    }

    /// The adjustment as the shaders are told of it.
    fn adjustment_of(&self, window: &Window, rows: &Rows) -> AdjustmentParameters {
        let adjustment = self.adjustment;
        let mut parameters = AdjustmentParameters {
            inverse_temperature: 1f32.to_bits(),
            origin_slab: window.slabs.start as u32,
            origin_column: window.columns.start as u32,
            queries: 1,
            ..AdjustmentParameters::default()
        };
        match adjustment.temperature {
            None => {}
            Some(Temperature::PerRow(_)) => parameters.kinds |= kind::TEMPERATURE_PER_ROW,
            Some(Temperature::Same(temperature)) => {
                parameters.kinds |= kind::ONE_TEMPERATURE;
                // What is meant is the nearest f32.
                let [inverse, power] = inverse_of(temperature as f32);
                (parameters.inverse_temperature, parameters.temperature_power) = (inverse, power as i32);
            }
        }
        if adjustment.lengths.is_some() {
            parameters.kinds |= kind::LENGTHS;
        }
        if let Some(Causal { offset, window }) = adjustment.causal {
            parameters.kinds |= kind::CAUSAL;
            parameters.queries = adjustment.queries as u32;
            // Beyond what any row has, further makes no difference.
            let most = 1i64 << 30;
            parameters.causal_offset = offset.clamp(-most, most) as i32;
            if let Some(window) = window {
                parameters.kinds |= kind::WINDOW;
                parameters.window = window.min(u64::from(u32::MAX)) as u32;
            }
        }
        if let Some((mask, broadcast)) = &adjustment.mask {
            parameters.kinds |= kind::MASK;
            let whole = is_sent_whole(mask.len(), 1, broadcast);
            (parameters.mask_start, parameters.mask_digits, parameters.mask) =
                digits_of(broadcast, whole, window, rows);
        }
        if let Some((mask, broadcast)) = &adjustment.additive_mask {
            parameters.kinds |= kind::ADDITIVE_MASK;
            let whole = is_sent_whole(mask.len(), 4, broadcast);
            (parameters.additive_start, parameters.additive_digits, parameters.additive) =
                digits_of(broadcast, whole, window, rows);
        }
        if parameters.kinds == 0 { AdjustmentParameters::default() } else { parameters }
    }

    /// Hands the bytes of one input for one window to `take`, in pieces.
    pub(crate) fn gather(&self, input: Input, window: &Window, take: &mut dyn FnMut(&[u8])) {
        let rows = &self.job.rows;
        match input {
            Input::Logits => self.gather_elements(self.logits, window, take),
            Input::Operand => self.gather_elements(self.operand, window, take),
            Input::Labels => {
                if let Some((loss, Targets::Labels(labels))) = self.loss.map(|loss| (loss, loss.targets)) {
                    let label = |row| loss.label_of(&labels, row as usize).map_or(NONE, |label| label as u32);
                    in_pieces(window.row_indices(rows.inner()).map(label), take);
                }
            }
            Input::ClassWeights => {
                if let Some(loss) = self.loss {
                    in_pieces(
                        (0..rows.classes()).map(|class| loss.class_weight(class as usize) as f32),
                        take,
                    );
                }
            }
            Input::PerRow => {
                let adjustment = self.adjustment;
                in_pieces(
                    window.row_indices(rows.inner()).map(|row| {
                        let length = adjustment.lengths.map_or(0, |lengths| lengths[row as usize]);
                        [(adjustment.temperature_of(row) as f32).to_bits(), length.min(rows.classes()) as u32]
                    }),
                    take,
                );
            }
            Input::Mask => {
                if let Some((mask, broadcast)) = &self.adjustment.mask {
                    if is_sent_whole(mask.len(), 1, broadcast) {
                        take(bytemuck::cast_slice(mask));
                    } else {
                        let of = |place: u64| u8::from(mask[place as usize]);
                        in_pieces(places(broadcast, window, rows.classes()).map(of), take);
                    }
                }
            }
            Input::AdditiveMask => {
                if let Some((mask, broadcast)) = &self.adjustment.additive_mask {
                    let of = |place: u64| mask.get(place as usize).unwrap_or(0.0) as f32;
                    if is_sent_whole(mask.len(), 4, broadcast) {
                        in_pieces((0..mask.len() as u64).map(of), take);
                    } else {
                        in_pieces(places(broadcast, window, rows.classes()).map(of), take);
                    }
                }
            }
        }
    }

    fn gather_elements(&self, elements: Option<Elements<'_>>, window: &Window, take: &mut dyn FnMut(&[u8])) {
        let Some(elements) = elements else { return };
        match elements {
            Elements::F16(slice) => self.gather_slice(slice, window, take),
            Elements::Bf16(slice) => self.gather_slice(slice, window, take),
            Elements::F32(slice) => self.gather_slice(slice, window, take),
            Elements::F64(slice) => self.gather_slice(slice, window, take),
        }
    }

    fn gather_slice<T: Element>(&self, slice: &[T], window: &Window, take: &mut dyn FnMut(&[u8])) {
        for run in window.runs(&self.job.rows) {
            self.arrangement.gather(slice, run, |piece| take(bytemuck::cast_slice(piece)));
        }
    }
}

/// The values of a loss's rows on their way home, window after window.
pub(crate) struct RowsTaken<'a> {
    loss: &'a ArrangedLoss<'a>,
    places: RowPlaces<'a>,
    /// What the rows so far have come to, where losses are reduced.
    sums: LossSums,
    /// The row after those. Windows follow each other in the order of the rows, but the last one of a slab may begin
    /// with rows of the one before.
    next: usize,
}

impl<'a> RowsTaken<'a> {
    pub(crate) fn new(loss: &'a ArrangedLoss<'a>, places: RowPlaces<'a>) -> Self {
        RowsTaken { loss, places, sums: loss.before(), next: 0 }
    }

    /// From the first row on, whatever was taken before.
    pub(crate) fn begin(&mut self) {
        (self.sums, self.next) = (self.loss.before(), 0);
    }

    pub(crate) fn sums(&self) -> LossSums {
        self.sums
    }

    /// What is known of rows without any class: nothing takes part in them. Their labels are all ignored.
    pub(crate) fn without_classes(&mut self) {
        let count = self.loss.arrangement.rows.count() as usize;
        let undefined = self.loss.options.fully_masked == FullyMasked::Nan;
        let nan_or_zero = |undefined: bool| if undefined { f64::NAN } else { 0.0 };
        let loss = nan_or_zero(undefined && matches!(self.loss.targets, Targets::Probabilities(_)));
        let of_rows = |value: f64| (0..count).map(move |row| (row, value));
        self.take_losses(of_rows(loss), of_rows(f64::NEG_INFINITY));
        put(&mut self.places.log_sum_exp, of_rows(f64::NEG_INFINITY));
        put(&mut self.places.label_log_probabilities, of_rows(0.0));
        put(&mut self.places.entropy, of_rows(nan_or_zero(undefined)));
        self.places.argmax.fill(0);
    }

    /// Puts the values of a window's rows in their places, of rows of which so many are neighbours.
    pub(crate) fn take<'w>(&mut self, window: &Window, inner: u64, words: &'w [u32]) {
        let rows = || window.row_indices(inner).map(|row| row as usize);
        let count = rows().count();
        let mut arrays = words.chunks(count.max(1));
        let [losses, log_sum_exp, label, entropy, argmax] =
            values_of(self.loss).map(|wanted| if wanted { arrays.next().unwrap_or_default() } else { &[] });
        let widened = |&bits: &u32| f64::from(f32::from_bits(bits));
        let of_rows = |words: &'w [u32]| rows().zip(words.iter().map(widened));
        self.take_losses(of_rows(losses), of_rows(log_sum_exp));
        put(&mut self.places.log_sum_exp, of_rows(log_sum_exp));
        put(&mut self.places.label_log_probabilities, of_rows(label));
        put(&mut self.places.entropy, of_rows(entropy));
        for (row, &class) in rows().zip(argmax) {
            if let Some(place) = self.places.argmax.get_mut(row) {
                *place = class.into();
            }
        }
    }

    /// Puts the losses of rows in their places, or adds them up. Where there is no z-loss, logarithms may be missing.
    fn take_losses(
        &mut self,
        losses: impl Iterator<Item = (usize, f64)>,
        log_sum_exp: impl Iterator<Item = (usize, f64)>,
    ) {
        let RowsTaken { loss, places, sums, next } = self;
        let z_losses = loss.has_z_loss().then(|| log_sum_exp.map(|(row, lse)| loss.z_loss_of(row, lse)));
        let mut z_losses = z_losses.into_iter().flatten();
        let of_rows = losses.map(|(row, value)| (row, value, z_losses.next()));
        if !loss.is_reduced() {
            let whole =
                of_rows.map(|(row, value, z_loss)| (row, z_loss.map_or(value, |z_loss| value + z_loss)));
            return put(&mut places.losses, whole);
        }
        for (row, value, z_loss) in of_rows {
            if row >= *next {
                (*sums, *next) = (sums.plus(value, z_loss), row + 1);
            }
        }
    }
}

/// Puts values of rows in their places. Where there are no places, nothing is wanted.
fn put(places: &mut ElementsMut<'_>, values: impl Iterator<Item = (usize, f64)>) {
    fn each<C: Real>(places: &mut [C], values: impl Iterator<Item = (usize, f64)>) {
        if places.is_empty() {
            return;
        }
        for (row, value) in values {
            if let Some(place) = places.get_mut(row) {
                *place = narrow(value);
            }
        }
    }
    match places {
        ElementsMut::F32(places) => each(places, values),
        ElementsMut::F64(places) => each(places, values),
        // Values of rows are of a type that is computed in.
        ElementsMut::F16(_) | ElementsMut::Bf16(_) => {}
    }
}

/// Which values of rows are asked of the device: loss, log-sum-exp, the label's log-probability, entropy,
/// argmax.
fn values_of(loss: &ArrangedLoss<'_>) -> [bool; 5] {
    let Wanted { label_log_probabilities, log_sum_exp, entropy, argmax, .. } = loss.wanted;
    [true, log_sum_exp || loss.z_loss != 0.0, label_log_probabilities, entropy, argmax]
}

/// Whether a mask travels as it was given. One that is large, or whose places the shaders cannot find, is
/// brought into the order of the logits, window by window.
fn is_sent_whole(elements: usize, bytes: u64, broadcast: &Broadcast) -> bool {
    elements as u64 * bytes <= MOST_MASK_BYTES && packed_digits(broadcast).is_ok()
}

/// How many digits the places of a mask have, and the digits, for the shaders.
///
/// # Errors
/// [`Error::LimitExceeded`] where the shaders have no room for them.
pub(crate) fn packed_digits(broadcast: &Broadcast) -> Result<(u32, [u32; 24])> {
    let parts = [&broadcast.outer, &broadcast.classes, &broadcast.inner];
    let needed = parts.iter().map(|digits| digits.len()).max().unwrap_or(0);
    if needed > MOST_DIGITS {
        return Err(Error::LimitExceeded {
            what: "a mask whose lengths of 1 alternate with others",
            needed: needed as u64,
            limit: MOST_DIGITS as u64,
            remedy: "repeat it along some of its axes, or use the one-call functions",
        });
    }
    // A digit that there is not is always 0.
    let (mut counts, mut words) = (0, std::array::from_fn(|place| u32::from(place % 2 == 0)));
    for (part, digits) in parts.into_iter().enumerate() {
        counts |= (digits.len() as u32) << (8 * part);
        for (digit, [length, stride]) in digits.iter().enumerate() {
            let place = 8 * part + 2 * digit;
            (words[place], words[place + 1]) = (*length as u32, *stride as u32);
        }
    }
    Ok((counts, words))
}

/// Where a mask starts, how many digits its places have, and the digits, for the shaders.
fn digits_of(broadcast: &Broadcast, whole: bool, window: &Window, rows: &Rows) -> (u32, u32, [u32; 24]) {
    let compact;
    let (broadcast, start) = if whole {
        (broadcast, 0)
    } else {
        // In the order of the window's logits; its first row is not row 0 of all.
        let all = u64::from(u32::MAX);
        let slab = rows.classes() * rows.inner();
        compact =
            Broadcast { outer: vec![[all, slab]], classes: vec![[all, rows.inner()]], inner: vec![[all, 1]] };
        let before = (window.slabs.start as u32).wrapping_mul(slab as u32);
        (&compact, 0u32.wrapping_sub(before).wrapping_sub(window.columns.start as u32))
    };
    // Where it is sent whole, there is room.
    let (counts, words) = packed_digits(broadcast).unwrap_or((0, [0; 24]));
    (start, counts, words)
}

/// Where the elements of a mask lie for the logits of a window, in their order.
fn places(broadcast: &Broadcast, window: &Window, classes: u64) -> impl Iterator<Item = u64> {
    let columns = window.columns.clone();
    window.slabs.clone().flat_map(move |slab| {
        let columns = columns.clone();
        (0..classes)
            .flat_map(move |class| columns.clone().map(move |column| broadcast.at(slab, class, column)))
    })
}

/// Hands values to `take` as bytes, some thousands at a time.
fn in_pieces<T: bytemuck::NoUninit>(values: impl Iterator<Item = T>, take: &mut dyn FnMut(&[u8])) {
    let mut piece = Vec::with_capacity(4096);
    for value in values {
        piece.push(value);
        if piece.len() == piece.capacity() {
            take(bytemuck::cast_slice(&piece));
            piece.clear();
        }
    }
    take(bytemuck::cast_slice(&piece));
}

/// 1 / T as a factor from ½ to 1 and a power of two: no part of it leaves the range of f32.
pub(crate) fn inverse_of(temperature: f32) -> [u32; 2] {
    let temperature = f64::from(temperature);
    let power = temperature.log2().floor();
    let factor = temperature / power.exp2();
    // A logarithm that was rounded up to a whole number is one too large.
    let (factor, power) = if factor < 1.0 { (factor * 2.0, power - 1.0) } else { (factor, power) };
    let inverse = (1.0 / factor) as f32;
    [inverse.to_bits(), (-power) as i32 as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_is_a_factor_and_a_power_of_two() {
        for temperature in [1.0f32, 2.0, 0.5, 0.7, 3.3e38, 1e-38, 1e-45, 1.0 - 6e-8, 7.999_999_5] {
            let [inverse, power] = inverse_of(temperature);
            let (inverse, power) = (f64::from(f32::from_bits(inverse)), power as i32);
            assert!((0.5..=1.0).contains(&inverse), "{temperature}: {inverse}");
            let product = inverse * f64::from(power).exp2() * f64::from(temperature);
            assert!((product - 1.0).abs() <= 6e-8, "{temperature}: {product}");
        }
    }
}

//! What is read beside the logits: opened and held against their shape before anything large is read, then window by
//! window.

use wgpu_softmax::{Adjustment, Elements, Error, Targets, Temperature};

use crate::args::{Adjusting, Operation, Run, Temperature as AskedTemperature};
use crate::arrays::{ArrayFile, Float, Incoming, Numbers, Region, Stored, broadcast, can_broadcast};
use crate::failure::{Failure, Outcome};
use crate::progress::Work;
use crate::report::{self, Input, OtherInput};

use super::windows::Window;

/// The logits' shape, and what the normalised axes leave of it.
#[derive(Debug, Clone)]
pub struct Shapes {
    pub logits: Vec<usize>,
    /// Counted from the front.
    pub axes: Vec<usize>,
    /// Without the normalised axes.
    pub rows: Vec<usize>,
    /// With length 1 there.
    pub rows_kept: Vec<usize>,
    /// The normalised axes' lengths.
    pub classes: Vec<usize>,
}

impl Shapes {
    pub fn new(logits: &[usize], axes: Vec<usize>) -> Shapes {
        let normalised = |axis: &usize| axes.contains(axis);
        let lengths = |of: &dyn Fn(&usize) -> bool| {
            (0..logits.len()).filter(|axis| of(axis)).map(|axis| logits[axis]).collect()
        };
        let kept = (0..logits.len()).map(|axis| if normalised(&axis) { 1 } else { logits[axis] });
        Shapes {
            logits: logits.to_vec(),
            rows: lengths(&|axis| !normalised(axis)),
            rows_kept: kept.collect(),
            classes: lengths(&normalised),
            axes,
        }
    }

    /// Rows in all.
    pub fn row_count(&self) -> usize {
        self.rows.iter().product()
    }

    /// Classes of each row.
    pub fn class_count(&self) -> usize {
        self.classes.iter().product()
    }
}

/// An array beside the logits, of which a window at a time is in memory.
struct Other<T> {
    /// Its option's name.
    name: &'static str,
    incoming: Incoming,
    /// Which box of it is there, and broadcast to which lengths.
    at: Option<(Region, Vec<usize>)>,
    values: T,
}

/// The arrays beside the logits, whose types and shapes fit.
#[derive(Default)]
pub struct Inputs {
    /// A cotangent, a tangent, or the weights of a sum.
    operand: Option<Other<Numbers>>,
    labels: Option<Other<Vec<i64>>>,
    target_probabilities: Option<Other<Numbers>>,
    class_weights: Option<Other<Numbers>>,
    temperatures: Option<Other<Numbers>>,
    mask: Option<Other<Vec<bool>>>,
    additive_mask: Option<Other<Numbers>>,
    lengths: Option<Other<Vec<u64>>>,
    /// Where the window stands among the queries.
    first_query: i64,
}

impl Inputs {
    /// Opens all that was asked for.
    pub fn open(asked: &Run, shapes: &Shapes) -> Outcome<Inputs> {
        let Run { multiplying, adjusting, losing, .. } = asked;
        let any = |_: Stored| None;
        let whole = |stored: Stored| (!stored.is_integer()).then_some("integers are needed");
        let truth = |stored: Stored| {
            (matches!(stored, Stored::Float(_))).then_some("booleans are needed, or the integers 0 and 1")
        };
        let added =
            |stored: Stored| (stored == Stored::Bool).then_some("numbers are needed: --mask takes booleans");
        let as_logits = Fit::exactly(&[&shapes.logits], "the logits' shape");
        let as_rows = Fit::exactly(&[&shapes.rows], "the logits' shape without the normalised axes");
        let as_rows_or_kept = Fit::exactly(&[&shapes.rows, &shapes.rows_kept], as_rows.what);
        let to_logits = Fit::broadcast(&[&shapes.logits], "the logits' shape");
        // The number of dimensions tells which of the two is meant.
        let to_rows = if shapes.rows.len() == shapes.logits.len() {
            vec![&shapes.rows[..]]
        } else {
            vec![&shapes.rows[..], &shapes.rows_kept]
        };
        let to_rows = Fit::broadcast(&to_rows, as_rows.what);
        let class_count = [shapes.class_count()];
        let as_classes = Fit::exactly(&[&class_count, &shapes.classes], "one weight for each class");

        let of_sum = multiplying.weights.as_ref().filter(|_| asked.operation != Operation::CrossEntropy);
        let of_classes = multiplying.weights.as_ref().filter(|_| asked.operation == Operation::CrossEntropy);
        let operand = match (&multiplying.cotangent, &multiplying.tangent, of_sum) {
            (Some(file), ..) => open("cotangent", Some(file), any, &as_logits)?,
            (_, Some(file), _) => open("tangent", Some(file), any, &as_logits)?,
            (.., weights) => open("weights", weights, any, &to_logits)?,
        };
        let temperatures = match &adjusting.temperature {
            Some(AskedTemperature::File(file)) => Some(file),
            _ => None,
        };
        Ok(Inputs {
            operand,
            labels: open("labels", losing.labels.as_ref(), whole, &as_rows)?,
            target_probabilities: open("target-probs", losing.target_probs.as_ref(), any, &as_logits)?,
            class_weights: open("weights", of_classes, any, &as_classes)?,
            temperatures: open("temperature", temperatures, any, &to_rows)?,
            mask: open("mask", adjusting.mask.as_ref(), truth, &to_logits)?,
            additive_mask: open("add-mask", adjusting.add_mask.as_ref(), added, &to_logits)?,
            lengths: open("lengths", adjusting.lengths.as_ref(), whole, &as_rows_or_kept)?,
            first_query: 0,
        })
    }

    /// Each of them that is there.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Incoming)> {
        fn of<T>(other: &Option<Other<T>>) -> Option<(&'static str, &Incoming)> {
            other.as_ref().map(|other| (other.name, &other.incoming))
        }
        [
            of(&self.operand),
            of(&self.labels),
            of(&self.target_probabilities),
            of(&self.class_weights),
            of(&self.temperatures),
            of(&self.mask),
            of(&self.additive_mask),
            of(&self.lengths),
        ]
        .into_iter()
        .flatten()
    }

    /// What reports say of them.
    pub fn described(&self) -> Vec<OtherInput> {
        self.all().map(|(name, incoming)| OtherInput { name, input: Input::of(incoming) }).collect()
    }

    /// Waits for what comes by a pipe.
    pub fn arrive(&mut self) -> Outcome {
        let others = [
            &mut self.operand,
            &mut self.target_probabilities,
            &mut self.class_weights,
            &mut self.temperatures,
            &mut self.additive_mask,
        ];
        for other in others.into_iter().flatten() {
            other.incoming.arrive()?;
        }
        if let Some(other) = &mut self.labels {
            other.incoming.arrive()?;
        }
        if let Some(other) = &mut self.mask {
            other.incoming.arrive()?;
        }
        match &mut self.lengths {
            Some(other) => other.incoming.arrive(),
            None => Ok(()),
        }
    }

    /// Bytes that they take for a row of so many classes, where they are computed with in `computed`.
    pub fn row_bytes(&self, shapes: &Shapes, computed: Float) -> u64 {
        // Labels, lengths and temperatures.
        let of_row = self.all().count() as u64 * 32;
        let classes = shapes.class_count() as u64;
        classes.saturating_mul(self.class_bytes(shapes, computed)).saturating_add(of_row)
    }

    /// Bytes that they take for each class of a row.
    pub fn class_bytes(&self, shapes: &Shapes, computed: Float) -> u64 {
        let all = self.all().map(|(name, incoming)| {
            let bytes = match name {
                "labels" | "lengths" | "temperature" => 0,
                "mask" => 1,
                _ => incoming.stored().at_most(computed).bytes(),
            };
            // Turned or repeated, it is there twice.
            let twice = incoming.fortran() || incoming.shape() != shapes.logits;
            if twice { 2 * bytes } else { bytes }
        });
        all.sum()
    }

    /// Reads what `window` needs of each, where it is not there already.
    pub fn read(&mut self, shapes: &Shapes, window: &Window, computed: Float, work: &Work) -> Outcome {
        let of_logits = &window.logits;
        let kept = window.rows_kept(&shapes.axes);
        for other in [&mut self.operand, &mut self.target_probabilities].into_iter().flatten() {
            let region = of_logits.of_broadcast(other.incoming.shape());
            other.read_numbers(region, &of_logits.lengths, computed, work)?;
        }
        if let Some(other) = &mut self.class_weights {
            let region = match other.incoming.shape() {
                [_] => Region { start: vec![window.part.start], lengths: vec![window.part.len()] },
                _ => window.classes(&shapes.axes),
            };
            other.read_numbers(region.clone(), &region.lengths, computed, work)?;
        }
        if let Some(other) = &mut self.temperatures {
            let to = if other.incoming.shape().len() > shapes.rows.len() { &kept } else { &window.rows };
            let region = to.of_broadcast(other.incoming.shape());
            other.read_numbers(region, &to.lengths, computed, work)?;
        }
        if let Some(other) = &mut self.additive_mask {
            let region = of_logits.of_broadcast(other.incoming.shape());
            other.read_numbers(region.clone(), &region.lengths, computed, work)?;
        }
        if let Some(other) = &mut self.mask {
            let region = of_logits.of_broadcast(other.incoming.shape());
            other.read(region, |incoming, region| incoming.read_region(region, work))?;
        }
        if let Some(other) = &mut self.labels {
            other.read(window.rows.clone(), |incoming, region| incoming.read_region(region, work))?;
        }
        if let Some(other) = &mut self.lengths {
            let is_kept = other.incoming.shape().len() > shapes.rows.len();
            let region = if is_kept { kept } else { window.rows.clone() };
            other.read(region, |incoming, region| incoming.read_region(region, work))?;
            let classes = shapes.class_count() as u64;
            if let Some(row) = other.values.iter().position(|&length| length > classes) {
                let (row, length) = ((window.first + row) as u64, other.values[row]);
                return Err(Error::LengthOutOfRange { row, length, classes }.into());
            }
        }
        let queries = of_logits.start.len().checked_sub(2);
        self.first_query = queries.map_or(0, |axis| of_logits.start[axis] as i64);
        Ok(())
    }

    /// The label of each row, with the row's number and with what tells the weight of a class, as it is computed with in
    /// `computed`. Weights are read as a whole, or `one_by_one`.
    pub fn for_each_label(
        &mut self,
        computed: Float,
        one_by_one: bool,
        work: &Work,
        mut take: impl FnMut(usize, i64, &mut dyn FnMut(usize) -> Outcome<Option<f64>>) -> Outcome,
    ) -> Outcome {
        let Inputs { labels: Some(other), class_weights, .. } = self else { return Ok(()) };
        let mut weight_of = |class: usize| -> Outcome<Option<f64>> {
            let Some(other) = class_weights else { return Ok(None) };
            let shape = other.incoming.shape();
            let region = if one_by_one { Region::next(shape, class, 1) } else { Region::whole(shape) };
            other.read_numbers(region.clone(), &region.lengths, computed, work)?;
            let place = if one_by_one { 0 } else { class };
            Ok(Some(other.values.elements().get(place).unwrap_or(0.0)))
        };
        let shape = other.incoming.shape().to_vec();
        let (mut row, rows) = (0, shape.iter().product());
        while row < rows {
            let region = Region::next(&shape, row, LABELS_AT_ONCE);
            for label in other.incoming.read_region::<i64>(&region, work)? {
                take(row, label, &mut weight_of)?;
                row += 1;
            }
        }
        Ok(())
    }
}

/// Labels that are looked at before anything is computed.
const LABELS_AT_ONCE: usize = 1 << 16;

impl<T: Default> Other<T> {
    /// Reads a box of it, unless that is what is there.
    fn read(&mut self, region: Region, read: impl FnOnce(&mut Incoming, &Region) -> Outcome<T>) -> Outcome {
        let lengths = region.lengths.clone();
        self.read_to(region, lengths, read)
    }

    fn read_to(
        &mut self,
        region: Region,
        lengths: Vec<usize>,
        read: impl FnOnce(&mut Incoming, &Region) -> Outcome<T>,
    ) -> Outcome {
        let wanted = Some((region, lengths));
        if self.at == wanted {
            return Ok(());
        }
        // What was there goes first, so that there is room.
        (self.at, self.values) = (None, T::default());
        if let Some((region, _)) = &wanted {
            self.values = read(&mut self.incoming, region)?;
        }
        self.at = wanted;
        Ok(())
    }

    /// The lengths of the box that is there.
    fn lengths(&self) -> &[usize] {
        self.at.as_ref().map(|(region, _)| &region.lengths[..]).unwrap_or_default()
    }
}

impl Other<Numbers> {
    /// Reads a box of it as an array of `lengths`, in the widest type that `computed` does not have to round.
    fn read_numbers(&mut self, region: Region, lengths: &[usize], computed: Float, work: &Work) -> Outcome {
        let float = self.incoming.stored().at_most(computed);
        self.read_to(region, lengths.to_vec(), |incoming, region| {
            let (from, name) = (&region.lengths, incoming.name().to_string());
            Ok(match incoming.read_region_as(float, region, work)? {
                Numbers::F16(values) => Numbers::F16(broadcast(values, from, lengths, &name)?),
                Numbers::Bf16(values) => Numbers::Bf16(broadcast(values, from, lengths, &name)?),
                Numbers::F32(values) => Numbers::F32(broadcast(values, from, lengths, &name)?),
                Numbers::F64(values) => Numbers::F64(broadcast(values, from, lengths, &name)?),
            })
        })
    }
}

/// The shapes that an array may have.
struct Fit<'a> {
    shapes: Vec<&'a [usize]>,
    broadcast: bool,
    /// The first of them in words.
    what: &'static str,
}

impl<'a> Fit<'a> {
    fn exactly(shapes: &[&'a [usize]], what: &'static str) -> Fit<'a> {
        Fit { shapes: shapes.to_vec(), broadcast: false, what }
    }

    fn broadcast(shapes: &[&'a [usize]], what: &'static str) -> Fit<'a> {
        Fit { shapes: shapes.to_vec(), broadcast: true, what }
    }

    fn admits(&self, shape: &[usize]) -> bool {
        self.shapes.iter().any(|&allowed| match self.broadcast {
            true => can_broadcast(shape, allowed),
            false => shape == allowed,
        })
    }
}

/// Opens the file for `--name`, if there is one, whose type and shape must fit.
fn open<T: Default>(
    name: &'static str,
    file: Option<&ArrayFile>,
    refused: impl Fn(Stored) -> Option<&'static str>,
    fit: &Fit<'_>,
) -> Outcome<Option<Other<T>>> {
    let Some(file) = file else { return Ok(None) };
    let incoming = Incoming::open(file)?;
    let refuse =
        |why: String| Err(Failure::Input(format!("cannot use {} for --{name}: {why}", incoming.name())));
    if let Some(needed) = refused(incoming.stored()) {
        return refuse(format!("its elements are {}, and {needed}", incoming.stored()));
    }
    if !fit.admits(incoming.shape()) {
        let (shape, needed) = (report::shape(incoming.shape()), report::shape(fit.shapes[0]));
        return refuse(match fit.broadcast {
            true => format!("its shape {shape} cannot be broadcast to {needed}, {}", fit.what),
            false => format!("its shape is {shape} where {needed} is needed, {}", fit.what),
        });
    }
    Ok(Some(Other { name, incoming, at: None, values: T::default() }))
}

/// What the window that was read last is given.
impl Inputs {
    /// The cotangent, the tangent, or the weights of a sum.
    pub fn operand(&self) -> Option<Elements<'_>> {
        self.operand.as_ref().map(|other| other.values.elements())
    }

    /// The first label.
    pub fn label(&self) -> Option<i64> {
        self.labels.as_ref().and_then(|other| other.values.first().copied())
    }

    /// Labels or target probabilities; no labels at all where neither was given.
    pub fn targets(&self) -> Targets<'_> {
        match (&self.target_probabilities, &self.labels) {
            (Some(other), _) => other.values.elements().into(),
            (None, Some(other)) => other.values.as_slice().into(),
            (None, None) => [0i64; 0][..].into(),
        }
    }

    pub fn target_probabilities(&self) -> Option<Elements<'_>> {
        self.target_probabilities.as_ref().map(|other| other.values.elements())
    }

    pub fn class_weights(&self) -> Option<Elements<'_>> {
        self.class_weights.as_ref().map(|other| other.values.elements())
    }

    /// What becomes of the logits first.
    pub fn adjustment(&self, asked: &Adjusting) -> Adjustment<'_> {
        let mut adjustment = Adjustment::default();
        match (&asked.temperature, &self.temperatures) {
            (Some(AskedTemperature::Number(number)), _) => adjustment = adjustment.temperature(*number),
            (_, Some(other)) => {
                adjustment = adjustment.temperature(Temperature::PerRow(other.values.elements()));
            }
            _ => {}
        }
        if let Some(other) = &self.mask {
            adjustment = adjustment.mask(&other.values, other.lengths());
        }
        if let Some(other) = &self.additive_mask {
            adjustment = adjustment.additive_mask(other.values.elements(), other.lengths());
        }
        if asked.causal {
            let offset = asked.causal_offset.unwrap_or(0).saturating_add(self.first_query);
            adjustment = match asked.window {
                Some(window) => adjustment.sliding_window(offset, window),
                None => adjustment.causal(offset),
            };
        }
        if let Some(other) = &self.lengths {
            adjustment = adjustment.lengths(&other.values);
        }
        adjustment
    }
}

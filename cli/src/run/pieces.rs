//! Rows that do not fit the memory, in pieces: each is read for what its row comes to, once or twice, and where a value is
//! wanted for every logit, once more for that.

use std::time::Instant;

use wgpu_softmax::{
    Cpu, CrossEntropy, Elements, LossInPieces, MeasuredLoss, MeasuredRow, Op, Output, Piece, RowInPieces,
};

use crate::arrays::{Decimal, Numbers, Written, reserve};
use crate::failure::{Failure, Outcome};
use crate::progress::Work;
use crate::report::Shown;

use super::inputs::Inputs;
use super::windows::{Position, Window};
use super::{Answer, Course, Task, loss, options};

impl Task<'_> {
    /// All pieces that are left.
    pub(super) fn compute_in_pieces<R: Written>(&mut self, course: &mut Course, op: Op) -> Outcome {
        let output = self.output().unwrap_or(op.output());
        let mut shown = Shown::new(output, &self.shapes.logits, &self.shapes.axes);
        shown.recall(&course.so_far.seen);
        let rows = self.shapes.row_count();
        let work = |name| Work::new(name, course.windows.share_until(Position { row: rows, part: 0 }));
        let (measuring, computing) = (work("measuring"), work("computing"));
        let mut row: Option<(usize, MeasuredRow<R::Computed>)> = None;
        while !course.windows.end_at(course.so_far.position) {
            let position = course.so_far.position;
            let measured = match row.take() {
                Some((of, measured)) if of == position.row => measured,
                _ => self.measured::<R>(course, op, position.row, &measuring)?,
            };
            let mut window = course.windows.at(&self.shapes, position);
            let mut answer = Answer::default();
            if output == Output::PerElement {
                answer.result = self.results::<R>(course, &measured, &window, &computing)?;
            } else {
                window.next = Position { row: position.row + 1, part: 0 };
                answer.result = measured.log_sum_exp().into_iter().map(R::rounded).collect();
                answer.sign = measured.sign().into_iter().map(R::rounded).collect();
            }
            row = Some((position.row, measured));
            shown.look(window.first, &window.logits.lengths, &self.shapes.axes, &window.part, &answer.result);

            let clock = Instant::now();
            let Course { windows, writing, so_far, record, .. } = &mut *course;
            writing.write(Some(output), &self.shapes, &window, &answer, &computing)?;
            (so_far.position, so_far.seen) = (window.next, shown.seen().to_vec());
            if let (Some(record), false) = (record.as_mut(), windows.end_at(window.next)) {
                writing.secure()?;
                record.keep(so_far)?;
            }
            self.report.seconds.write += clock.elapsed();
        }
        [self.report.first_rows, self.report.last_rows] = shown.rows();
        Ok(())
    }

    /// The losses of all rows that are left, with what is wanted of their pieces.
    pub(super) fn compute_losses_in_pieces<R: Written>(&mut self, course: &mut Course) -> Outcome {
        let output = self.output();
        let mut shown = Shown::new(output.unwrap_or(Output::PerRow), &self.shapes.logits, &self.shapes.axes);
        shown.recall(&course.so_far.seen);
        let rows = self.shapes.row_count();
        let work = |name| Work::new(name, course.windows.share_until(Position { row: rows, part: 0 }));
        let (measuring, computing) = (work("measuring"), work("computing"));
        if let (0, None) = (rows, output) {
            // What a loss comes to of which there is nothing.
            let nothing = CrossEntropy::new(&[0.0f32; 0], &[0, 0], 1, &[0i64; 0]);
            let nothing = loss::settled(nothing, self.asked, course.tally, course.so_far.sums);
            let losses = Cpu::new().cross_entropy::<R>(&nothing)?.losses;
            if let (Some(loss), [value]) = (&mut self.report.loss, &losses[..]) {
                loss.value = Some(value.decimal());
                course.writing.write_number(R::rounded(*value), &computing)?;
            }
        }
        let wants_pieces = self.asked.losing.grad.is_some() || self.asked.losing.log_probs.is_some();
        while !course.windows.end_at(course.so_far.position) {
            let row = course.so_far.position.row;
            let window = course.windows.at(&self.shapes, course.so_far.position);
            course.inputs.read(&self.shapes, &window, R::FLOAT.computed(), &measuring)?;
            let (no_logits, label) = ([0.0f32; 0], course.inputs.label().map(|label| [label]));
            let none = Elements::from(&no_logits);
            let of_row = match &label {
                Some(label) => CrossEntropy::new(none, &[1, 0], 1, label),
                None => CrossEntropy::new(none, &[1, 0], 1, none),
            };
            let of_row = loss::settled(of_row, self.asked, course.tally, course.so_far.sums);
            let measured =
                self.measured_loss::<R>(course, &of_row.options(options(self.asked)), row, &measuring)?;
            let losses = measured.losses::<R>();
            while course.so_far.position.row == row && !course.windows.end_at(course.so_far.position) {
                let mut window = course.windows.at(&self.shapes, course.so_far.position);
                let mut answer = Answer::default();
                if wants_pieces {
                    answer = self.results_of_loss::<R>(course, &measured, &window, &computing)?;
                } else {
                    window.next = Position { row: row + 1, part: 0 };
                }
                answer.result = losses.losses.iter().map(|&loss| R::rounded(loss)).collect();

                let clock = Instant::now();
                let Course { windows, writing, so_far, record, .. } = &mut *course;
                let is_last = windows.end_at(window.next);
                if window.next.row > row {
                    so_far.sums = losses.sums;
                    if output.is_some() {
                        let (shape, axes) = (&window.logits.lengths, &self.shapes.axes);
                        shown.look(window.first, shape, axes, &window.part, &losses.losses);
                    } else if let (Some(loss), [value]) = (&mut self.report.loss, &losses.losses[..]) {
                        loss.value = Some(value.decimal());
                    }
                }
                writing.write(output, &self.shapes, &window, &answer, &computing)?;
                if let (None, true, Some(&number)) = (output, is_last, answer.result.first()) {
                    writing.write_number(number, &computing)?;
                }
                (so_far.position, so_far.seen) = (window.next, shown.seen().to_vec());
                if let (Some(record), false) = (record.as_mut(), is_last) {
                    writing.secure()?;
                    record.keep(so_far)?;
                }
                self.report.seconds.write += clock.elapsed();
            }
        }
        if output.is_some() {
            [self.report.first_rows, self.report.last_rows] = shown.rows();
        }
        Ok(())
    }

    /// What all pieces of a row come to, of whose loss `of_row` says what it is.
    fn measured_loss<'l, R: Written>(
        &mut self,
        course: &mut Course,
        of_row: &CrossEntropy<'l>,
        row: usize,
        work: &Work,
    ) -> Outcome<MeasuredLoss<'l, R::Computed>> {
        LossInPieces::new(of_row)?.measured::<Failure>(|measured| {
            self.for_each_piece::<R>(course, row, work, |piece, inputs| {
                Ok(measured.measure(of_loss(piece, inputs))?)
            })
        })
    }

    /// The gradient and the log-probabilities of one piece, as far as they are wanted.
    fn results_of_loss<R: Written>(
        &mut self,
        course: &mut Course,
        row: &MeasuredLoss<'_, R::Computed>,
        window: &Window,
        work: &Work,
    ) -> Outcome<Answer<R>> {
        work.at(course.windows.share_until(course.so_far.position));
        work.go_on()?;
        let logits = self.read::<R>(course, window, work)?;
        let clock = Instant::now();
        let (first, mut answer) = (window.part.start, Answer::default());
        let piece = self.piece(course, window, &logits);
        if self.asked.losing.log_probs.is_some() {
            answer.log_probabilities = places(window, "the log-probabilities")?;
            row.row().results(first, piece.clone(), &mut answer.log_probabilities)?;
        }
        if self.asked.losing.grad.is_some() {
            answer.gradient = places(window, "the gradient")?;
            row.gradient(first, of_loss(piece, &course.inputs), &mut answer.gradient)?;
        }
        self.report.seconds.compute += clock.elapsed();
        Ok(answer)
    }

    /// What all pieces of a row come to.
    fn measured<R: Written>(
        &mut self,
        course: &mut Course,
        op: Op,
        row: usize,
        work: &Work,
    ) -> Outcome<MeasuredRow<R::Computed>> {
        RowInPieces::new(op, &options(self.asked))?.measured::<Failure>(|measured| {
            self.for_each_piece::<R>(course, row, work, |piece, _| Ok(measured.measure(piece)?))
        })
    }

    /// Reads a row piece by piece, for `measure` to take.
    fn for_each_piece<R: Written>(
        &mut self,
        course: &mut Course,
        row: usize,
        work: &Work,
        mut measure: impl FnMut(Piece<'_>, &Inputs) -> Outcome,
    ) -> Outcome {
        let mut position = Position { row, part: 0 };
        while position.row == row {
            work.at(course.windows.share_until(position));
            work.go_on()?;
            let window = course.windows.at(&self.shapes, position);
            let logits = self.read::<R>(course, &window, work)?;
            let clock = Instant::now();
            measure(self.piece(course, &window, &logits), &course.inputs)?;
            self.report.seconds.compute += clock.elapsed();
            position = window.next;
        }
        Ok(())
    }

    /// The results of one piece.
    fn results<R: Written>(
        &mut self,
        course: &mut Course,
        row: &MeasuredRow<R::Computed>,
        window: &Window,
        work: &Work,
    ) -> Outcome<Vec<R>> {
        work.at(course.windows.share_until(course.so_far.position));
        work.go_on()?;
        let logits = self.read::<R>(course, window, work)?;
        let clock = Instant::now();
        let mut results = places(window, "the result")?;
        row.results(window.part.start, self.piece(course, window, &logits), &mut results)?;
        self.report.seconds.compute += clock.elapsed();
        Ok(results)
    }

    /// One piece, whose logits and other inputs have been read.
    fn piece<'p>(&self, course: &'p Course, window: &'p Window, logits: &'p Numbers) -> Piece<'p> {
        let shape = &window.logits.lengths;
        let piece = Piece::new(logits.elements())
            .of_shape(shape, self.asked.computation.axes(shape.len()))
            .adjustment(course.inputs.adjustment(&self.asked.adjusting));
        match course.inputs.operand() {
            Some(operand) => piece.operand(operand),
            None => piece,
        }
    }

    /// The logits of one piece, with what else it is given.
    fn read<R: Written>(&mut self, course: &mut Course, window: &Window, work: &Work) -> Outcome<Numbers> {
        let clock = Instant::now();
        let float = course.logits.stored().at_most(R::FLOAT);
        let piece = course.logits.read_region_as(float, &window.logits, work)?;
        course.inputs.read(&self.shapes, window, R::FLOAT.computed(), work)?;
        self.report.seconds.read += clock.elapsed();
        Ok(piece)
    }
}

/// A piece with what its row's loss is made of.
fn of_loss<'p>(mut piece: Piece<'p>, inputs: &'p Inputs) -> Piece<'p> {
    if let Some(targets) = inputs.target_probabilities() {
        piece = piece.operand(targets);
    }
    match inputs.class_weights() {
        Some(weights) => piece.class_weights(weights),
        None => piece,
    }
}

/// Places for a result of each class of a window.
fn places<R: Written>(window: &Window, name: &str) -> Outcome<Vec<R>> {
    let mut places = Vec::new();
    reserve::<R>(&mut places, window.part.len(), name)?;
    places.resize(window.part.len(), R::default());
    Ok(places)
}

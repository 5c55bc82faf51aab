//! Rows that do not fit the memory, in pieces: each is read for what its row comes to, once or twice, and where a value is
//! wanted for every logit, once more for that.

use std::time::Instant;

use wgpu_softmax::{MeasuredRow, Op, Output, Piece, RowInPieces};

use crate::arrays::{Numbers, Written, reserve};
use crate::failure::{Failure, Outcome};
use crate::progress::Work;
use crate::report::Shown;

use super::windows::{Position, Window};
use super::{Answer, Course, Task, options};

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

    /// What all pieces of a row come to.
    fn measured<R: Written>(
        &mut self,
        course: &mut Course,
        op: Op,
        row: usize,
        work: &Work,
    ) -> Outcome<MeasuredRow<R::Computed>> {
        RowInPieces::new(op, &options(self.asked))?.measured::<Failure>(|measured| {
            let mut position = Position { row, part: 0 };
            while position.row == row {
                work.at(course.windows.share_until(position));
                work.go_on()?;
                let window = course.windows.at(&self.shapes, position);
                let logits = self.read::<R>(course, &window, work)?;
                let clock = Instant::now();
                measured.measure(self.piece(course, &window, &logits))?;
                self.report.seconds.compute += clock.elapsed();
                position = window.next;
            }
            Ok(())
        })
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
        let mut results = Vec::new();
        reserve::<R>(&mut results, window.part.len(), "the result")?;
        results.resize(window.part.len(), R::default());
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

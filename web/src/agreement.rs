//! The agreement suite in a browser: the questions and the judge of the native tests, put to the browser's GPU
//! and to the CPU path as it is compiled for the browser.

#![allow(dead_code, reason = "the native tests' modules know more than is asked here")]

#[path = "../../tests/common/adjusted.rs"]
mod adjusted;
mod device;
#[path = "../../tests/common/double_double.rs"]
mod double_double;
#[path = "../../tests/common/judge.rs"]
mod judge;
#[path = "../../tests/common/question.rs"]
mod question;
#[path = "../../tests/common/rows_of_interest.rs"]
mod rows_of_interest;
#[path = "../../tests/common/stored.rs"]
mod stored;

use adjusted::{Adjusted, Temperatures};
use half::{bf16, f16};
use question::Question;
use rows_of_interest::Character;
use stored::Stored;
use wasm_bindgen::prelude::wasm_bindgen;
use wgpu_softmax::{Dtype, Element, Engine, Gpu, Kernel, Op, Options, Plan, Request, Result, Rows};

use crate::calculator::Calculator;
use crate::failure::{Outcome, failure};

/// Of the lengths that the native tests go through, those where one kernel or one number of lanes ends.
const LENGTHS: [usize; 16] = [1, 2, 3, 4, 5, 8, 31, 33, 64, 129, 257, 781, 1025, 4097, 16_385, 50_257];

/// A Jacobian of more classes has too many values for every row of interest.
const LENGTHS_OF_JACOBIANS: usize = 65;

/// Columns of few quads and of many, in slabs that fill lines of memory and that do not; with the entry points that take
/// them on hardware.
const COLUMNS: [(usize, usize, &[&str]); 9] = [
    (3, 2, TILE),
    (10, 3, TILE),
    (65, 2, TILE),
    (65, 16, TILE),
    (257, 3, TILE),
    (1000, 2, TILE),
    (1025, 2, SPLIT_TILES),
    (1025, 8, SPLIT_TILES),
    (5001, 3, SPLIT_TILES),
];

const TILE: &[&str] = &["tile_of_columns"];

const SPLIT_TILES: &[&str] = &["split_tile_statistics", "split_tile_write"];

/// Classes of Jacobians whose rows lie at no quads: blocks of quads all the same, and blocks that share them.
const FLAT_JACOBIANS: [usize; 5] = [3, 6, 33, 34, 65];

/// What a plan says of them.
const FLAT: &[&str] = &["jacobian", "from one element to the next"];

/// What the suite found.
#[wasm_bindgen]
#[derive(Default)]
pub struct Agreement {
    pub questions: u32,
    pub values: f64,
    /// The largest error in u, of the results that are f32.
    pub worst: f64,
    faults: Vec<String>,
}

#[wasm_bindgen]
impl Agreement {
    #[wasm_bindgen(getter)]
    pub fn faults(&self) -> Vec<String> {
        self.faults.clone()
    }
}

#[wasm_bindgen]
impl Calculator {
    /// Puts every question, or every so many-th: a software adapter compiles shaders for minutes. With `damage` each
    /// answer has one wrong value, and each has to be found out.
    pub async fn agree(&self, damage: bool, every: usize) -> Outcome<Agreement> {
        let mut agreement = Agreement::default();
        for question in questions().into_iter().step_by(every.max(1)) {
            let mut answer = answered(&Asked::Engine(&self.engine), &question).await?;
            if damage {
                answer = damaged(answer)?;
            }
            agreement.judge(&question, &answer);
        }
        Ok(agreement)
    }

    /// Puts questions about what software adapters go without to the browser's adapter, planned for as if it were none.
    /// A plan that does not say that it is about that is a fault.
    #[wasm_bindgen(js_name = agreeAsHardware)]
    pub async fn agree_as_hardware(&self) -> Outcome<Agreement> {
        let gpu = self.engine.gpu().ok_or_else(|| failure("the calculator has no GPU"))?;
        let mut capabilities = gpu.capabilities().clone();
        capabilities.software = false;
        let hardware = gpu.planning_with(capabilities);
        let asked = Asked::Gpu(&hardware);
        let mut agreement = Agreement::default();
        for (question, told) in questions_of_hardware() {
            let plan = plan_of(&question, &hardware)?.to_string();
            let untold = told.iter().filter(|told| !plan.contains(**told));
            agreement.faults.extend(untold.map(|untold| format!("nothing of {untold} in: {plan}")));
            agreement.judge(&question, &answered(&asked, &question).await?);
        }
        Ok(agreement)
    }
}

impl Agreement {
    fn judge(&mut self, question: &Question, answer: &Stored) {
        self.questions += 1;
        self.values += answer.len() as f64;
        match question.judge(answer) {
            Ok(worst) if !question.is_narrowed() => self.worst = self.worst.max(worst.units),
            Ok(_) => {}
            Err(fault) => self.faults.push(fault),
        }
    }
}

/// What a question is put to.
enum Asked<'a> {
    Engine(&'a Engine),
    Gpu(&'a Gpu),
}

impl Asked<'_> {
    async fn answer<R: Element>(&self, request: &Request<'_>) -> Result<Vec<R>> {
        match self {
            Asked::Engine(engine) => engine.answer(request).await,
            Asked::Gpu(gpu) => gpu.answer(request).await,
        }
    }
}

/// Operations × lengths × types × axes, on rows of every character and on the special ones.
fn questions() -> Vec<Question> {
    let mut questions = Vec::new();
    for classes in LENGTHS {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            let rows = rows_of(dtype, classes);
            let together = Stored::concatenated(dtype, &rows);
            let whole = Op::ALL.into_iter().filter(|op| op.output() != wgpu_softmax::Output::PerPair);
            // Long rows and 16 bits differ from short rows and 32 only in what all operations share.
            let whole = whole.filter(|op| classes < 1000 || Op::ROW_WISE.contains(op) || *op == Op::Vjp);
            for op in whole {
                if dtype != Dtype::F32 && !(Op::ROW_WISE.contains(&op) || op == Op::Vjp) {
                    continue;
                }
                // The classes along the rows; and across them, as many as there are classes side by side.
                let along = Question::of_logits(op, together.clone(), &[rows.len(), classes], 1);
                let across = Question::of_logits(op, together.clone(), &[classes, rows.len()], 0);
                questions.push(along.clone());
                if classes <= 4097 {
                    questions.push(across);
                }
                if dtype == Dtype::F32 && classes <= 1025 {
                    let temperature = Some(Temperatures::Same(0.7));
                    questions.push(along.adjusted(Adjusted { temperature, ..Adjusted::default() }));
                }
            }
            if dtype == Dtype::F32 && classes <= LENGTHS_OF_JACOBIANS {
                for op in [Op::Jacobian, Op::LogSoftmaxJacobian] {
                    questions.push(Question::new(op, together.clone(), &[rows.len(), classes], 1));
                }
            }
        }
    }
    // Rows in parts, which only longer ones than these come to by themselves.
    for op in Op::ROW_WISE {
        let row = Stored::row(Dtype::F32, Character::Wide, 20_000, 3);
        let options = Options::default().kernel(Kernel::SplitRow);
        questions.push(Question::new(op, row, &[1, 20_000], 1).options(options));
    }
    questions
}

/// Columns in tiles and Jacobians from one element to the next, each with what a plan of it says.
fn questions_of_hardware() -> Vec<(Question, &'static [&'static str])> {
    let mut questions = Vec::new();
    for (classes, width, told) in COLUMNS {
        for (op, dtype) in [
            (Op::Softmax, Dtype::F32),
            (Op::LogSumExp, Dtype::F32),
            (Op::LogSoftmaxVjp, Dtype::F32),
            (Op::SignedLogSumExp, Dtype::F32),
            (Op::Softmax, Dtype::F16),
            (Op::LogSoftmax, Dtype::Bf16),
        ] {
            let rows = rows_of(dtype, classes);
            let logits = Stored::concatenated(dtype, &rows).side_by_side(classes, width);
            let shape = [rows.len() / width, classes, width];
            questions.push((Question::of_logits(op, logits, &shape, 1), told));
        }
    }
    for classes in FLAT_JACOBIANS {
        for (op, dtype) in
            [(Op::Jacobian, Dtype::F32), (Op::LogSoftmaxJacobian, Dtype::F32), (Op::Jacobian, Dtype::F16)]
        {
            let rows = rows_of(dtype, classes);
            let together = Stored::concatenated(dtype, &rows);
            questions.push((Question::new(op, together, &[rows.len(), classes], 1), FLAT));
        }
    }
    questions
}

fn plan_of(question: &Question, gpu: &Gpu) -> Outcome<Plan> {
    let Question { op, layout, options, .. } = question;
    let rows = Rows::of_shape(&layout.shape, &layout.request_axes())?;
    Ok(Plan::new(*op, question.logits.dtype(), &rows, options, gpu.capabilities())?)
}

fn rows_of(dtype: Dtype, classes: usize) -> Vec<Stored> {
    let special = Stored::special_rows(dtype, classes);
    let step = if classes < 1000 { 1 } else { 9 };
    let characters = Character::ALL.iter().map(|&character| Stored::row(dtype, character, classes, 7));
    characters.chain(special.into_iter().step_by(step)).collect()
}

async fn answered(asked: &Asked<'_>, question: &Question) -> Outcome<Stored> {
    let request = question.request();
    let answer = match question.result {
        Dtype::F16 => asked.answer::<f16>(&request).await.map(Stored::F16),
        Dtype::Bf16 => asked.answer::<bf16>(&request).await.map(Stored::Bf16),
        Dtype::F32 => asked.answer::<f32>(&request).await.map(Stored::F32),
        _ => asked.answer::<f64>(&request).await.map(Stored::F64),
    };
    answer.map_err(|error| failure(format!("{} of {:?}: {error}", question.op, question.layout.shape)))
}

/// The same but for the first value, which is far from what it was: one of an ordinary row, in which nothing is free.
fn damaged(answer: Stored) -> Outcome<Stored> {
    if answer.len() == 0 {
        return Err(failure("an answer without values"));
    }
    let value = answer.get(0);
    Ok(answer.replaced([0], if value.is_finite() { 2.0 * value + 1.0 } else { 0.5 }))
}

//! What is asked: operations, shapes, types and ways of asking at random, and the judge of what is answered. The judge
//! is the tests' own: every element against f64, within exactly what the crate promises.

use wgpu_softmax::{Dtype, Element, Error, Gpu, Op, Reduction, Tensor, TensorRequest, bf16, f16};

use crate::common::adjusted::{Adjusted, Layout, Temperatures};
use crate::common::device::Processor;
use crate::common::loss::{self, Loss};
use crate::common::question::Question;
use crate::common::rows_of_interest::{Character, Random};
use crate::common::stored::Stored;

pub enum Matter {
    Request(Box<Question>),
    Loss(Box<Loss>),
}

pub enum Answer {
    Values(Stored),
    Losses(loss::Answer),
}

/// How a context is asked.
#[derive(Clone, Copy)]
pub enum Way {
    Blocking,
    Awaited,
    /// Uploaded, computed and read in three calls.
    Resident,
}

/// Loads, stores and sums of every kernel: short rows, odd ones, long ones that are split, columns, and axes that have
/// to be permuted on the host. Rows come in a few lengths: each is a kernel of its own, which a software adapter takes
/// longer to compile than to run.
fn layout(random: &mut Random) -> Layout {
    match random.below(8) {
        0 => Layout::new(&[1 + random.below(2000), 3], &[1]),
        1 => Layout::new(&[1 + random.below(1000), 16], &[1]),
        2 => Layout::new(&[1 + random.below(200), 33], &[1]),
        3 => Layout::new(&[1 + random.below(20), 1000], &[1]),
        4 => Layout::new(&[1 + random.below(3), 20_011], &[1]),
        5 => Layout::new(&[1 + random.below(10), 33, 2 + random.below(30)], &[1]),
        6 => Layout::new(&[1 + random.below(3), 300, 2 + random.below(9)], &[1]),
        _ => Layout::new(&[3, 1 + random.below(30), 11], &[0, 2]),
    }
}

impl Matter {
    pub fn random(random: &mut Random) -> Matter {
        let layout = layout(random);
        if random.below(6) == 0 { Matter::loss(random, layout) } else { Matter::request(random, layout) }
    }

    /// Of few kernels: a context that is soon gone spends its time on more than compiling them.
    pub fn plain(random: &mut Random) -> Matter {
        let (rows, classes) = (1 + random.below(300), 33);
        let logits = Stored::row(Dtype::F32, Character::Normal, rows * classes, random.bits());
        Matter::Request(Box::new(Question::new(Op::Softmax, logits, &[rows, classes], 1)))
    }

    /// Rows enough for many windows, of an operation that leaves a value per logit or per row.
    pub fn in_windows(random: &mut Random) -> Matter {
        let layout = Layout::new(&[100 + random.below(200), [16, 33, 1000][random.below(3)]], &[1]);
        let mut question = question(random, layout);
        question.op = Op::ROW_WISE[random.below(3)];
        question.operand = None;
        Matter::Request(Box::new(question))
    }

    fn request(random: &mut Random, mut layout: Layout) -> Matter {
        let op = Op::ALL[random.below(Op::ALL.len())];
        if matches!(op, Op::Jacobian | Op::LogSoftmaxJacobian) {
            layout = Layout::new(&[1 + random.below(40), [3, 33][random.below(2)]], &[1]);
        }
        let mut question = question(random, layout);
        question.op = op;
        if op.operand().is_some() {
            let dtype = question.logits.dtype();
            // Weights of either sign would cancel, and ask more of the judge than of what it judges.
            let operand = (0..question.logits.len()).map(|_| random.between(0.1, 3.0));
            question.operand = Some(Stored::of(dtype, operand));
        }
        Matter::Request(Box::new(question))
    }

    fn loss(random: &mut Random, layout: Layout) -> Matter {
        let classes = layout.classes();
        let labels: Vec<i64> = (0..layout.rows()).map(|_| random.below(classes) as i64).collect();
        let logits = Stored::row(dtype(random), Character::Normal, layout.elements(), random.bits());
        let mut loss = Loss::new(logits, &layout.shape, 0, &labels);
        loss.layout = layout;
        loss.ignored = (random.below(2) == 0).then_some(labels[0]);
        loss.smoothing = [0.0, 0.1][random.below(2)];
        loss.reduction = [Reduction::Mean, Reduction::Sum, Reduction::None][random.below(3)];
        Matter::Loss(Box::new(loss))
    }

    /// A way in which it can be asked: what is recorded takes the buffer as it lies.
    pub fn way(&self, random: &mut Random) -> Way {
        match (self, random.below(3)) {
            (_, 0) | (Matter::Loss(_), _) => Way::Blocking,
            (Matter::Request(question), 1) if question.layout.axes == [question.layout.shape.len() - 1] => {
                Way::Resident
            }
            _ => Way::Awaited,
        }
    }

    pub fn put(&self, processor: &Processor, way: Way) -> Result<Answer, Error> {
        match (self, processor) {
            (Matter::Loss(loss), _) => loss.ask(processor).map(Answer::Losses),
            (Matter::Request(question), Processor::Cpu(_)) => question.ask(processor).map(Answer::Values),
            (Matter::Request(question), Processor::Gpu(gpu)) => match question.result {
                Dtype::F16 => values::<f16>(gpu, question, way).map(Stored::F16),
                Dtype::Bf16 => values::<bf16>(gpu, question, way).map(Stored::Bf16),
                _ => values::<f32>(gpu, question, way).map(Stored::F32),
            }
            .map(Answer::Values),
        }
    }

    /// # Errors
    /// What is wrong with the first element that is wrong.
    pub fn judge(&self, answer: &Answer) -> Result<(), String> {
        match (self, answer) {
            (Matter::Request(question), Answer::Values(values)) => question.judge(values).map(|_| ()),
            (Matter::Loss(loss), Answer::Losses(losses)) => loss.judge(losses).map(|_| ()),
            _ => Err("the answer is one to another question".into()),
        }
    }
}

/// On logits of any character, with a temperature or a mask now and then.
fn question(random: &mut Random, layout: Layout) -> Question {
    let (rows, classes) = (layout.rows(), layout.classes());
    let character = Character::ALL[random.below(Character::ALL.len())];
    let dtype = dtype(random);
    let logits = Stored::row(dtype, character, layout.elements(), random.bits());
    let adjusted = match random.below(6) {
        _ if dtype != Dtype::F32 => Adjusted::default(),
        0 => Adjusted {
            temperature: Some(Temperatures::Same(random.between(0.5, 2.0))),
            ..Adjusted::default()
        },
        1 => Adjusted {
            lengths: Some((0..rows).map(|_| random.below(classes + 1) as u64).collect()),
            ..Adjusted::default()
        },
        _ => Adjusted::default(),
    };
    let mut question = Question::new(Op::Softmax, logits, &layout.shape, 0).adjusted(adjusted);
    question.layout = layout;
    question
}

fn dtype(random: &mut Random) -> Dtype {
    Dtype::ON_GPU[random.below(Dtype::ON_GPU.len())]
}

fn values<R: Element>(gpu: &Gpu, question: &Question, way: Way) -> Result<Vec<R>, Error> {
    match way {
        Way::Blocking => gpu.answer_blocking(&question.request()),
        Way::Awaited => pollster::block_on(gpu.answer(&question.request())),
        Way::Resident => {
            let shape = &question.layout.shape;
            let operand = question.operand.as_ref().map(|operand| upload(gpu, operand, shape)).transpose()?;
            let mut request = TensorRequest::new(question.op, question.layout.request_axes())
                .adjustment(question.adjusted.adjustment())
                .options(question.options)
                .dtype(R::DTYPE);
            if let Some(operand) = &operand {
                request = request.operand(operand);
            }
            upload(gpu, &question.logits, shape)?.answer(&request)?.read_elements_blocking()
        }
    }
}

fn upload(gpu: &Gpu, array: &Stored, shape: &[usize]) -> Result<Tensor, Error> {
    match array {
        Stored::F16(values) => gpu.upload_elements(values, shape),
        Stored::Bf16(values) => gpu.upload_elements(values, shape),
        Stored::F32(values) => gpu.upload_elements(values, shape),
        Stored::F64(values) => gpu.upload_elements(values, shape),
    }
}

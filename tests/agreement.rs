//! Every kernel × operation × length of row, on rows of every character and on the special ones, against the
//! reference within the promised bounds: on the device as it is, without subgroups and with the default
//! limits, and with the exponential hidden from the compiler.

mod common;

use common::device::{gpu, plain_gpu};
use common::judge::{Worst, judge};
use common::rows_of_interest::{CLASSES, Character, special_rows, transposed};
use wgpu_softmax::{Error, Gpu, Kernel, Op, Options, Precision, Rows};

/// Rows of one length: all characters and all special rows where that is little, a selection where it is much.
fn rows_of(classes: usize) -> Vec<Vec<f32>> {
    let characters: &[Character] = match classes {
        0..200_000 => &Character::ALL,
        _ => &[Character::Normal, Character::NearTies, Character::Ascending],
    };
    let special = special_rows(classes).into_iter().map(|(_, row)| row);
    let step = match classes {
        0..5000 => 1,
        5000..200_000 => 6,
        _ => 25,
    };
    let equal = vec![0.3; classes];
    let characters = characters.iter().map(|character| character.row(classes, 7));
    characters.chain(special.step_by(step)).chain([equal]).collect()
}

/// The answers of one kernel, judged; `None` where the kernel cannot serve.
fn judged(gpu: &Gpu, op: Op, logits: &[f32], rows: Rows, options: &Options) -> Option<Worst> {
    let shape = [rows.outer(), rows.classes(), rows.inner()].map(|length| length as usize);
    let result = match gpu.compute_blocking(op, logits, &shape, 1, options) {
        Ok(result) => result,
        Err(Error::KernelUnsuitable { .. }) => return None,
        Err(error) => panic!("{op} of {rows} with {options:?}: {error}"),
    };
    match judge(op, options.precision, logits, &rows, &result, options) {
        Ok(worst) => Some(worst),
        Err(fault) => panic!("{:?} on {}: {fault}", options.kernel, gpu.info().name),
    }
}

/// Runs every operation with every kernel that serves, over rows side by side and one after the other.
fn agree(gpu: &Gpu, lengths: &[usize], kernels: &[Option<Kernel>], precision: Precision) {
    let mut worst = Worst::default();
    let mut served = 0;
    for &classes in lengths {
        let rows = rows_of(classes);
        let (count, length) = (rows.len() as u64, classes as u64);
        let layouts = [
            (rows.concat(), Rows::batch(count, length).unwrap()),
            (transposed(&rows), Rows::new(1, length, count).unwrap()),
        ];
        for (logits, layout) in &layouts {
            for op in Op::ROW_WISE {
                for kernel in kernels {
                    let mut options = Options::default().precision(precision);
                    options.kernel = *kernel;
                    let found = judged(gpu, op, logits, *layout, &options);
                    assert!(found.is_some() || kernel.is_some(), "the plan always serves");
                    served += usize::from(found.is_some());
                    worst.units = worst.units.max(found.unwrap_or_default().units);
                }
            }
        }
    }
    println!("{}: {served} cases, at worst {:.2} units of u", gpu.info().name, worst.units);
    assert!(served >= lengths.len() * 6);
}

const CHOSEN: &[Option<Kernel>] = &[None];
const FORCED: &[Option<Kernel>] = &[
    Some(Kernel::SubgroupPerRow),
    Some(Kernel::WorkgroupPerRow),
    Some(Kernel::SplitRow),
    Some(Kernel::LanePerColumn),
    Some(Kernel::TileOfColumns),
];

fn short_and_long() -> (Vec<usize>, Vec<usize>) {
    CLASSES.iter().copied().partition(|&classes| classes < 5000)
}

#[test]
fn every_kernel_on_short_rows() {
    let Some(gpu) = gpu() else { return };
    agree(gpu, &short_and_long().0, FORCED, Precision::Accurate);
}

#[test]
fn every_kernel_on_long_rows() {
    let Some(gpu) = gpu() else { return };
    agree(gpu, &short_and_long().1, FORCED, Precision::Accurate);
}

#[test]
fn the_chosen_kernel() {
    let Some(gpu) = gpu() else { return };
    agree(gpu, &CLASSES, CHOSEN, Precision::Accurate);
}

#[test]
fn every_kernel_without_subgroups() {
    let Some(gpu) = plain_gpu() else { return };
    assert_eq!(gpu.capabilities().subgroup_lanes, None);
    let lengths = [1, 2, 3, 5, 8, 31, 32, 33, 64, 257, 781, 1025, 4097, 16_385, 128_256];
    agree(gpu, &CLASSES, CHOSEN, Precision::Accurate);
    agree(gpu, &lengths, FORCED, Precision::Accurate);
}

#[test]
fn the_exponential_hidden_from_the_compiler() {
    let Some(gpu) = gpu() else { return };
    let mut capabilities = gpu.capabilities().clone();
    capabilities.hide_intermediates = true;
    let hidden = gpu.planning_with(capabilities);
    agree(&hidden, &[1, 3, 33, 257, 1000, 4097, 50_257], CHOSEN, Precision::Accurate);
}

#[test]
fn fast_where_that_is_enough() {
    let Some(gpu) = gpu() else { return };
    let lengths = [1, 2, 3, 7, 33, 64, 257, 781, 1000, 4097, 16_385, 50_257];
    agree(gpu, &lengths, CHOSEN, Precision::Fast);
    agree(gpu, &lengths, FORCED, Precision::Fast);
}

/// The maximum in every lane and every chunk, far above and barely above the rest.
#[test]
fn the_maximum_wherever_it_is() {
    let Some(gpu) = gpu() else { return };
    for (classes, step) in
        [(5usize, 1usize), (33, 1), (257, 1), (1025, 1), (4097, 13), (20_000, 73), (50_257, 187)]
    {
        let ordinary: Vec<f32> = Character::Normal.row(classes, 3);
        let highest = ordinary.iter().copied().fold(f32::MIN, f32::max);
        let rows: Vec<Vec<f32>> = (0..classes)
            .step_by(step)
            .chain([classes - 1])
            .map(|place| {
                let mut row = ordinary.clone();
                row[place] = if place % 2 == 0 { highest + 30.0 } else { highest + 0.01 };
                row
            })
            .collect();
        let batch = Rows::batch(rows.len() as u64, classes as u64).unwrap();
        let columns = Rows::new(1, classes as u64, rows.len() as u64).unwrap();
        let (along, across) = (rows.concat(), transposed(&rows));
        for kernel in Kernel::ROW_WISE {
            let options = Options::default().kernel(kernel);
            judged(gpu, Op::Softmax, &along, batch, &options);
            judged(gpu, Op::LogSumExp, &across, columns, &options);
        }
    }
}

//! What a new context asks of a device that has subgroups: whether neighbours in a workgroup are neighbours in
//! shuffles, up to the smallest subgroup that the adapter reports.
//!
//! Nothing in the specifications says how a driver lays invocations on subgroups; all are known to do it in order, and
//! drivers have had bugs in shuffles. Where the answer is not that of workgroup memory, there are no subgroups for this
//! crate.
//!
//! * A lane takes one word, and writes the maximum and the sum of its group's by shuffles, then both through workgroup
//!   memory.
//! * Four workgroups, each with a pattern of its own.

use super::{Entry, Geometry, Meeting, Role, workgroup_up_to};
use crate::Capabilities;

pub(crate) const ENTRY: Entry = Entry {
    name: "shuffle_check",
    source: include_str!("../../shaders/kernels/shuffle_check.wgsl"),
    role: Role::Shuffles,
};

/// A geometry for groups as large as kernels rely on; `None` where they rely on none.
pub(crate) fn geometry(capabilities: &Capabilities) -> Option<Geometry> {
    let workgroup = workgroup_up_to(64, capabilities);
    let lanes = capabilities.subgroup_lanes?.min(workgroup);
    (lanes > 1).then_some(Geometry { workgroup, lanes, held: None, meeting: Meeting::Subgroup })
}

/// Workgroups, which is to say patterns.
pub(crate) const PATTERNS: u32 = 4;

/// A word for every lane: ascending, descending, scattered, and one that sticks out in each group of four.
pub(crate) fn words(geometry: &Geometry) -> Vec<u32> {
    let pattern = |pattern: u32, lane: u32| match pattern {
        0 => lane + 1,
        1 => u32::MAX - 3 * lane,
        2 => (lane + 1).wrapping_mul(0x9e37_79b9).rotate_left(lane % 32),
        _ => 1 << (8 * (lane % 4)),
    };
    (0..PATTERNS).flat_map(|number| (0..geometry.workgroup).map(move |lane| pattern(number, lane))).collect()
}

/// Whether all lanes have found the maximum and the sum of their group, either way.
pub(crate) fn tells_the_truth(words: &[u32], lanes: u32, answers: &[[u32; 4]]) -> bool {
    let mut groups = words.chunks_exact(lanes as usize).zip(answers.chunks_exact(lanes as usize));
    words.len() == answers.len()
        && groups.all(|(words, answers)| {
            let highest = words.iter().copied().fold(0, u32::max);
            let total = words.iter().fold(0u32, |total, &word| total.wrapping_add(word));
            answers.iter().all(|&answer| answer == [highest, total, highest, total])
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry { workgroup: 64, lanes: 8, held: None, meeting: Meeting::Subgroup };

    /// What a device answers whose shuffles bring a lane what `other` says.
    fn answers(other: impl Fn(usize, usize) -> usize) -> Vec<[u32; 4]> {
        let words = words(&GEOMETRY);
        let butterfly = |partner: &dyn Fn(usize, usize) -> usize| {
            let mut met: Vec<[u32; 2]> = words.iter().map(|&word| [word, word]).collect();
            for distance in [1, 2, 4] {
                let before = met.clone();
                for (lane, met) in met.iter_mut().enumerate() {
                    let [highest, total] = before[partner(lane, distance)];
                    *met = [met[0].max(highest), met[1].wrapping_add(total)];
                }
            }
            met
        };
        let right = butterfly(&|lane, distance| lane ^ distance);
        butterfly(&other).into_iter().zip(right).map(|(a, b)| [a[0], a[1], b[0], b[1]]).collect()
    }

    #[test]
    fn right_shuffles_pass() {
        assert!(tells_the_truth(&words(&GEOMETRY), 8, &answers(|lane, distance| lane ^ distance)));
    }

    #[test]
    fn wrong_shuffles_are_found_out() {
        let wrong: [fn(usize, usize) -> usize; 5] = [
            // A shuffle that does nothing; subgroups of four; lanes in another order; neighbours on one side only; one
            // lane astray.
            |lane, _| lane,
            |lane, distance| if distance == 4 { lane } else { lane ^ distance },
            |lane, distance| (lane ^ distance).reverse_bits() >> (usize::BITS - 8),
            |lane, distance| (lane + distance) % 256,
            |lane, distance| if lane == 77 { lane } else { lane ^ distance },
        ];
        for (number, other) in wrong.into_iter().enumerate() {
            assert!(!tells_the_truth(&words(&GEOMETRY), 8, &answers(other)), "{number}");
        }
    }

    #[test]
    fn missing_answers_are_found_out() {
        let words = words(&GEOMETRY);
        assert!(!tells_the_truth(&words, 8, &[]));
        assert!(!tells_the_truth(&words, 8, &vec![[0; 4]; words.len()]));
    }
}

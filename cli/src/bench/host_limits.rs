//! What the host's memory allows: as many bytes copied, read or filled, by as many threads, into memory that is mapped
//! already. A copy and a fill are the better of the ordinary one and of one past the caches.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hint::black_box;

use rayon::prelude::*;

use super::cases::{Case, Limit};
use super::clock::{Budget, Timing, seconds};
use super::data::Regions;
use super::host::{Threads, turns};
use wgpu_softmax::Dtype;

/// Limits measured so far, and the memory they are measured on.
#[derive(Debug, Default)]
pub struct HostLimits {
    from: Vec<u64>,
    to: Vec<u64>,
    known: HashMap<(Limit, u64, usize), Timing>,
}

impl HostLimits {
    /// How long moving a case's bytes takes at the least.
    pub fn of(&mut self, case: &Case, threads: &Threads, budget: &Budget) -> Timing {
        let (limit, bytes) = (case.limit(), case.bytes());
        let key = (limit, bytes, threads.count());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        // A copy moves each of its words twice.
        let words = (bytes / if limit == Limit::Copy { 16 } else { 8 }).max(1) as usize;
        let regions = Regions::new(words, Dtype::F64, turns(bytes));
        let grow = |memory: &mut Vec<u64>| {
            if memory.len() < regions.elements() {
                *memory = Vec::new();
                memory.resize(regions.elements(), 1);
            }
        };
        if limit != Limit::Fill {
            grow(&mut self.from);
        }
        if limit != Limit::Read {
            grow(&mut self.to);
        }
        // Memory that is warm has to be compared with memory that is warm.
        let budget = Budget { cold: false, ..*budget };
        let (from, to) = (&self.from, &mut self.to);
        // Little work is done sooner by fewer threads than there are.
        let mut parts = vec![words.div_ceil(threads.count()).max(1)];
        if threads.count() > 1 && bytes < FEW_BYTES {
            parts.push(words);
        }
        let measured =
            parts.into_iter().map(|part| threads.run(|| time_limit(limit, from, to, regions, part, &budget)));
        let timing = measured.reduce(better).unwrap_or_else(|| Timing::of(Vec::new()));
        self.known.insert(key, timing);
        timing
    }
}

/// Moving this much is no work for several threads.
const FEW_BYTES: u64 = 4 << 20;

/// How long it takes to move a region's words, each thread `part` of them.
fn time_limit(
    limit: Limit,
    from: &[u64],
    to: &mut [u64],
    regions: Regions,
    part: usize,
    budget: &Budget,
) -> Timing {
    let mut copies = |copy: fn(&mut [u64], &[u64])| {
        time(budget, |turn| {
            let place = regions.of_turn(turn);
            let pieces = to[place.clone()].par_chunks_mut(part).zip(from[place].par_chunks(part));
            pieces.for_each(|(to, from)| copy(to, from));
        })
    };
    match limit {
        Limit::Copy => better(copies(<[u64]>::copy_from_slice), copies(past_caches::copy)),
        Limit::Read => time(budget, |turn| {
            let pieces = from[regions.of_turn(turn)].par_chunks(part);
            black_box(pieces.map(combined).reduce(|| 0, |one, other| one ^ other));
        }),
        Limit::Fill => {
            let mut fills = |fill: fn(&mut [u64], u64)| {
                time(budget, |turn| {
                    let word = black_box(turn as u64);
                    to[regions.of_turn(turn)].par_chunks_mut(part).for_each(|to| fill(to, word));
                })
            };
            better(fills(<[u64]>::fill), fills(past_caches::fill))
        }
    }
}

fn time(budget: &Budget, mut work: impl FnMut(usize)) -> Timing {
    let timed = budget.measure(|turn| Ok::<f64, Infallible>(seconds(|| work(turn))));
    timed.unwrap_or_else(|never| match never {})
}

fn better(one: Timing, other: Timing) -> Timing {
    if one.median < other.median { one } else { other }
}

/// All words in one, in so many independent lanes that loading them is all that takes time.
fn combined(words: &[u64]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has what the function is compiled for.
        return unsafe { combined_in_wide_registers(words) };
    }
    combined_in_lanes(words)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn combined_in_wide_registers(words: &[u64]) -> u64 {
    combined_in_lanes(words)
}

#[inline(always)]
fn combined_in_lanes(words: &[u64]) -> u64 {
    let mut lanes = [0; 32];
    let (blocks, rest) = words.as_chunks::<32>();
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block) {
            *lane ^= word;
        }
    }
    lanes.iter().chain(rest).fold(0, |all, word| all ^ word)
}

/// Stores that leave the caches alone, where the machine has them.
mod past_caches {
    #[cfg(target_arch = "x86_64")]
    pub fn copy(to: &mut [u64], from: &[u64]) {
        // Every x86-64 has these stores; wider ones reach the memory no sooner, since both fill whole lines.
        use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
        let pairs = to.len().min(from.len());
        let first = to.as_ptr().align_offset(16).min(pairs);
        to[..first].copy_from_slice(&from[..first]);
        let last = first + (pairs - first) / 8 * 8;
        for place in (first..last).step_by(8) {
            for pair in (0..8).step_by(2) {
                // SAFETY: `place + pair + 2` is at most `last`, which is within both; `to` is aligned from `first` on.
                unsafe {
                    let words = _mm_loadu_si128(from.as_ptr().add(place + pair).cast::<__m128i>());
                    _mm_stream_si128(to.as_mut_ptr().add(place + pair).cast::<__m128i>(), words);
                }
            }
        }
        to[last..pairs].copy_from_slice(&from[last..pairs]);
        // SAFETY: every x86-64 has it.
        unsafe { _mm_sfence() };
    }

    #[cfg(target_arch = "x86_64")]
    pub fn fill(to: &mut [u64], word: u64) {
        use std::arch::x86_64::{__m128i, _mm_set1_epi64x, _mm_sfence, _mm_stream_si128};
        // SAFETY: every x86-64 has it.
        let words = unsafe { _mm_set1_epi64x(word as i64) };
        let first = to.as_ptr().align_offset(16).min(to.len());
        let last = first + (to.len() - first) / 8 * 8;
        to[..first].fill(word);
        for place in (first..last).step_by(2) {
            // SAFETY: `place + 2` is at most `last`, which is within the slice, aligned from `first` on.
            unsafe { _mm_stream_si128(to.as_mut_ptr().add(place).cast::<__m128i>(), words) };
        }
        to[last..].fill(word);
        // SAFETY: every x86-64 has it.
        unsafe { _mm_sfence() };
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub fn copy(to: &mut [u64], from: &[u64]) {
        to.copy_from_slice(from);
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub fn fill(to: &mut [u64], word: u64) {
        to.fill(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_caches_every_word_arrives() {
        for length in [0, 1, 2, 7, 8, 9, 63, 64, 1001] {
            for start in 0..3 {
                let from: Vec<u64> = (0..length + 3).collect();
                let mut to = vec![u64::MAX; length as usize + 3];
                past_caches::copy(
                    &mut to[start..start + length as usize],
                    &from[start..start + length as usize],
                );
                assert_eq!(to[start..start + length as usize], from[start..start + length as usize]);
                assert!(
                    to[..start].iter().chain(&to[start + length as usize..]).all(|&word| word == u64::MAX)
                );
                past_caches::fill(&mut to[start..start + length as usize], 5);
                assert_eq!(to.iter().filter(|&&word| word == 5).count() as u64, length);
            }
        }
    }

    #[test]
    fn reading_reads_every_word() {
        let words: Vec<u64> = (0..1000).map(|word| word * 0x9e37_79b9_7f4a_7c15 % 1001).collect();
        assert_eq!(combined(&words), words.iter().fold(0, |all, word| all ^ word));
    }
}

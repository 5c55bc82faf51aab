//! Sixteen numbers that go through the same arithmetic at once.
//!
//! What the row kernels do to a chunk of logits is written once, over [`Vector`], and for each machine there is one
//! of f32 and one of f64, made of as many registers as it takes. All of them give the same bits, as long as they fuse
//! products with sums or all do not.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
pub(super) mod baseline;
mod registers;

use super::compensated::CompensatedSum;
use super::instruction_set::Machine;
use super::real::Real;

/// Numbers in a vector, and accumulators of a row: one register of f32 on the widest machine.
pub const LANES: usize = 16;

/// [`LANES`] numbers. That there is one proves that the machine has the instructions for it.
///
/// Sealed, as all that `Real` stands on: it lives in a private module.
pub trait Vector: Copy {
    /// What they are.
    type Number: Real;
    /// The machine that it is for.
    type Machine: Machine;
    /// Running sums of vectors, lane by lane, more exact than their numbers.
    type Sums: Copy;

    /// The same number in all lanes.
    fn splat(machine: Self::Machine, number: Self::Number) -> Self;

    /// The same number in all lanes, of a vector that is for the same machine.
    fn constant(self, number: Self::Number) -> Self;

    /// From memory.
    fn load(machine: Self::Machine, numbers: &[Self::Number; LANES]) -> Self;

    /// To memory.
    fn store(self, places: &mut [Self::Number; LANES]);

    /// The numbers one by one.
    #[inline(always)]
    fn numbers(self) -> [Self::Number; LANES] {
        let mut numbers = [Self::Number::ZERO; LANES];
        self.store(&mut numbers);
        numbers
    }

    /// To memory past the caches, where the machine can and the places begin a cache line. Other threads see it
    /// after [`Machine::finish_streams`].
    #[inline(always)]
    fn stream(self, places: &mut [Self::Number; LANES]) {
        self.store(places);
    }

    /// The number in lane 0.
    fn first(self) -> Self::Number;

    /// self + other.
    fn plus(self, other: Self) -> Self;

    /// self − other.
    fn minus(self, other: Self) -> Self;

    /// self · factor.
    fn times(self, factor: Self) -> Self;

    /// self · factor + addend, rounded once where the machine fuses the two.
    fn times_plus(self, factor: Self, addend: Self) -> Self;

    /// self / divisor.
    fn over(self, divisor: Self) -> Self;

    /// The other where that is greater, otherwise self: of two that are equal, or where either is NaN, self.
    fn larger(self, other: Self) -> Self;

    /// The power of two of the eighths that self counts in its lowest bits, from a table such as
    /// [`POWERS`](Real::POWERS), if it is a normal number; from anything else it makes some number.
    fn power_of_two(self, table: &[Self::Number; 8]) -> Self;

    /// 0 where x and y are equal, otherwise self.
    fn zero_where_equal(self, x: Self, y: Self) -> Self;

    /// One more than self where x and y are equal, otherwise self, for counts that begin at
    /// [`NONE_COUNTED`](Real::NONE_COUNTED).
    fn counted_where_equal(self, x: Self, y: Self) -> Self;

    /// Self in the lanes whose bit is set, the other in those whose is not.
    fn kept_in(self, lanes: u16, other: Self) -> Self;

    /// The lanes in which self is at least the bound, a bit for each.
    fn lanes_at_least(self, bound: Self) -> u16;

    /// The lanes that hold a NaN, a bit for each.
    fn lanes_of_nan(self) -> u16;

    /// The numbers of the lanes that each place names, of which the lowest four bits count.
    fn permuted(self, places: &[u32; LANES]) -> Self;

    /// The first classes, a multiple of four, of as many rows as there are lanes, a row in each. The rows begin so many
    /// numbers apart. Leaves the vectors alone where `rows` ends before the last row's classes do.
    #[inline(always)]
    fn load_transposed(machine: Self::Machine, rows: &[Self::Number], pitch: usize, classes: &mut [Self]) {
        let Some(rows) = rows.get(..(LANES - 1) * pitch + classes.len()) else { return };
        for (class, vector) in classes.iter_mut().enumerate() {
            let mut numbers = [Self::Number::ZERO; LANES];
            for (lane, number) in numbers.iter_mut().enumerate() {
                *number = rows[lane * pitch + class];
            }
            *vector = Self::load(machine, &numbers);
        }
    }

    /// The same back to memory. Of rows that are up to three classes shorter, each is right in the end, as what is written
    /// behind one belongs to the next.
    #[inline(always)]
    fn store_transposed(classes: &[Self], rows: &mut [Self::Number], pitch: usize) {
        let Some(rows) = rows.get_mut(..(LANES - 1) * pitch + classes.len()) else { return };
        for (class, vector) in classes.iter().enumerate().rev() {
            for (lane, number) in vector.numbers().into_iter().enumerate() {
                rows[lane * pitch + class] = number;
            }
        }
    }

    /// Sums of nothing.
    fn no_sums(machine: Self::Machine) -> Self::Sums;

    /// Adds each lane to its sum.
    fn add_to(self, sums: &mut Self::Sums);

    /// Adds sums to others, lane by lane.
    fn join(sums: &mut Self::Sums, others: &Self::Sums);

    /// Each lane's sum, in two parts.
    fn parts(sums: &Self::Sums) -> [[f64; LANES]; 2];

    /// The sum of all lanes: each of the upper half joins the one half of them below, until one is left.
    #[inline(always)]
    fn join_lanes(sums: &Self::Sums) -> CompensatedSum {
        let [mut high, mut low] = Self::parts(sums);
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            for lane in 0..width {
                let (other_high, other_low) = (high[lane + width], low[lane + width]);
                Self::Number::join(&mut high[lane], &mut low[lane], other_high, other_low);
            }
        }
        CompensatedSum { high: high[0], low: low[0] }
    }

    /// The greatest number of all lanes, of which none is a NaN.
    #[inline(always)]
    fn largest(self) -> Self::Number {
        self.across(LANES, Larger).first()
    }

    /// The sum of all lanes, joined in the same order.
    #[inline(always)]
    fn total(self) -> Self::Number {
        self.across(LANES, Plus).first()
    }

    /// What each run of so many lanes, a power of two, comes to, in all of its lanes: each of the upper half of
    /// it is joined to the one half of them below, until one is left.
    #[inline(always)]
    fn across(mut self, lanes: usize, join: impl Join) -> Self {
        for (distance, places) in
            [(8, &LANES_APART[3]), (4, &LANES_APART[2]), (2, &LANES_APART[1]), (1, &LANES_APART[0])]
        {
            if distance < lanes {
                self = join.of(self, self.permuted(places));
            }
        }
        self
    }
}

/// How two vectors become one, lane by lane.
///
/// A type, and no closure: those are inlined only as the compiler pleases, and where one is not, it is compiled for the
/// baseline, and each instruction of a better machine in it becomes a call.
pub trait Join: Copy {
    fn of<V: Vector>(self, one: V, other: V) -> V;
}

/// [`Vector::larger`].
#[derive(Clone, Copy)]
pub struct Larger;

impl Join for Larger {
    #[inline(always)]
    fn of<V: Vector>(self, one: V, other: V) -> V {
        one.larger(other)
    }
}

/// [`Vector::plus`].
#[derive(Clone, Copy)]
pub struct Plus;

impl Join for Plus {
    #[inline(always)]
    fn of<V: Vector>(self, one: V, other: V) -> V {
        one.plus(other)
    }
}

/// a + b rounded, and what the rounding took away, exactly: as [`compensated::two_sum`](super::compensated::two_sum).
#[inline(always)]
fn two_sum<V: Vector>(a: V, b: V) -> (V, V) {
    let sum = a.plus(b);
    let from_b = sum.minus(a);
    let from_a = sum.minus(from_b);
    (sum, a.minus(from_a).plus(b.minus(from_b)))
}

/// For each lane the one that is 1, 2, 4 or 8 lanes away in the other half of twice as many.
const LANES_APART: [[u32; LANES]; 4] = {
    let mut places = [[0; LANES]; 4];
    let mut power = 0;
    while power < 4 {
        let mut lane = 0;
        while lane < LANES {
            places[power][lane] = lane as u32 ^ 1 << power;
            lane += 1;
        }
        power += 1;
    }
    places
};

#[cfg(test)]
mod tests {
    use super::super::instruction_set::{InstructionSet, Task};
    use super::*;

    /// Everything that a vector does, to numbers of every kind.
    struct Everything;

    impl Task for Everything {
        type Output = Vec<u64>;

        fn run<M: Machine>(self, machine: M) -> Vec<u64> {
            let numbers = [
                0.0,
                -0.0,
                1.0,
                -1.0,
                2.5,
                -87.0,
                1e-30,
                1e30,
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::NAN,
                3.0,
                -3.0,
                0.1,
                f32::MIN_POSITIVE,
                f32::MAX,
            ];
            let mut rotated = numbers;
            let mut bits = Vec::new();
            for _ in 0..LANES {
                rotated.rotate_left(1);
                let (x, y) = (M::F32::load(machine, &numbers), M::F32::load(machine, &rotated));
                let half = M::F32::splat(machine, 0.5);
                let places = std::array::from_fn(|lane| (lane * 7 + 3) as u32);
                for vector in [
                    x.plus(y),
                    x.minus(y),
                    x.times(y),
                    x.over(y),
                    x.larger(y),
                    half.zero_where_equal(x, y),
                    x.constant(f32::NONE_COUNTED).counted_where_equal(x, y),
                    x.kept_in(0b1010_0000_1111_0101, y),
                    x.permuted(&places),
                    x.constant(3.5),
                    y.across(4, Larger),
                    y.across(16, Plus),
                    half.constant(x.kept_in(!x.lanes_of_nan(), half).largest()),
                    half.constant(y.kept_in(!y.lanes_of_nan(), half).largest()),
                    half.constant(y.kept_in(0b1111_1000_1111_1111, half).total()),
                    half.constant(x.kept_in(0b0101_0000_1101_0101, half).total()),
                ] {
                    // Which NaN an operation gives is the machine's affair.
                    bits.extend(
                        vector.numbers().map(|x| u64::from(if x.is_nan() { 1 } else { x.to_bits() })),
                    );
                }
                bits.extend([u64::from(x.lanes_at_least(y)), u64::from(y.lanes_of_nan())]);
                let exponents = std::array::from_fn(|lane| -7.8125 * lane as f32);
                let exponents = M::F32::load(machine, &exponents);
                let round = x.constant(f32::ROUND_TO_EIGHTHS);
                let powers = exponents.plus(round).power_of_two(&f32::POWERS);
                bits.extend(powers.numbers().map(|power| u64::from(power.to_bits())));
                let mut sums = M::F32::no_sums(machine);
                let mut others = M::F32::no_sums(machine);
                half.add_to(&mut sums);
                M::F32::splat(machine, 1e-9).add_to(&mut sums);
                x.kept_in(0b111, half).add_to(&mut others);
                M::F32::join(&mut sums, &others);
                bits.extend(M::F32::parts(&sums)[0].map(f64::to_bits));
                bits.push(M::F32::join_lanes(&sums).high.to_bits());
                for (pitch, classes) in [(19, 16), (17, 20), (5, 8), (8, 8), (61, 64)] {
                    bits.extend(transposed_there_and_back::<M::F32>(machine, pitch, classes));
                    bits.extend(transposed_there_and_back::<M::F64>(machine, pitch, classes));
                }
            }
            bits
        }
    }

    /// Sixteen rows, each class of them times its number.
    fn transposed_there_and_back<V: Vector>(machine: V::Machine, pitch: usize, classes: usize) -> Vec<u64> {
        let numbers = (LANES - 1) * pitch + classes;
        let rows: Vec<_> = (0..numbers).map(|index| V::Number::narrow(index as f64)).collect();
        let mut vectors = vec![V::splat(machine, V::Number::NAN); classes];
        V::load_transposed(machine, &rows[1..], pitch, &mut vectors);
        assert!(vectors.iter().all(|vector| vector.lanes_of_nan() == u16::MAX));
        V::load_transposed(machine, &rows, pitch, &mut vectors);
        for (class, vector) in vectors.iter_mut().enumerate() {
            assert_eq!(vector.numbers(), std::array::from_fn(|lane| rows[lane * pitch + class]));
            *vector = vector.times(vector.constant(V::Number::narrow(class as f64)));
        }
        let mut results = rows.clone();
        V::store_transposed(&vectors, &mut results[1..], pitch);
        assert!(results == rows);
        V::store_transposed(&vectors, &mut results, pitch);
        for (index, (result, number)) in results.iter().zip(&rows).enumerate() {
            let row = (index / pitch).min(LANES - 1);
            let class = index - row * pitch;
            let factor = if class < classes { class as f64 } else { 1.0 };
            assert_eq!(result.widen(), number.widen() * factor);
        }
        results.iter().map(|result| result.widen().to_bits()).collect()
    }

    #[test]
    fn every_machine_does_the_same() {
        let answers: Vec<_> = InstructionSet::all().into_iter().map(|set| set.run(Everything)).collect();
        for answer in &answers[1..] {
            assert!(*answer == answers[0]);
        }
    }
}

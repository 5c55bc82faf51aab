//! Rows worth judging: lengths around every power of two and every tile, random rows of many characters, and
//! the special rows of the contract. Everything is the same on every run and on every machine.

use half::{bf16, f16};

/// Lengths of rows: around the widths of registers, subgroups and workgroups, and those of known datasets
/// and vocabularies.
pub const CLASSES: [usize; 31] = [
    1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 781, 1000, 1023, 1024, 1025,
    4096, 4097, 16_384, 16_385, 50_257, 128_256, 1_000_003,
];

/// A type that logits have.
pub trait Logit: Copy + PartialEq + std::fmt::Debug {
    const NAN: Self;
    /// A NaN with another sign and payload.
    const ODD_NAN: Self;
    /// How far below the maximum an exponential is barely a normal number.
    const DEPTH: f64;
    const GREATEST: f64;
    const LEAST_SUBNORMAL: f64;

    fn nearest(value: f64) -> Self;
}

impl Logit for f32 {
    const NAN: Self = f32::NAN;
    const ODD_NAN: Self = f32::from_bits(0xffa0_1234);
    const DEPTH: f64 = 87.0;
    const GREATEST: f64 = f32::MAX as f64;
    const LEAST_SUBNORMAL: f64 = 1.401_298_464_324_817e-45;

    fn nearest(value: f64) -> Self {
        value as f32
    }
}

impl Logit for f64 {
    const NAN: Self = f64::NAN;
    const ODD_NAN: Self = f64::from_bits(0xfff4_0000_dead_beef);
    const DEPTH: f64 = 708.0;
    const GREATEST: f64 = f64::MAX;
    const LEAST_SUBNORMAL: f64 = 5e-324;

    fn nearest(value: f64) -> Self {
        value
    }
}

/// 16-bit logits are computed in f32: their depth is its.
impl Logit for f16 {
    const NAN: Self = f16::NAN;
    const ODD_NAN: Self = f16::from_bits(0xfd23);
    const DEPTH: f64 = f32::DEPTH;
    const GREATEST: f64 = 65_504.0;
    const LEAST_SUBNORMAL: f64 = 5.960_464_477_539_063e-8;

    fn nearest(value: f64) -> Self {
        f16::from_f64(value)
    }
}

impl Logit for bf16 {
    const NAN: Self = bf16::NAN;
    const ODD_NAN: Self = bf16::from_bits(0xffa1);
    const DEPTH: f64 = f32::DEPTH;
    const GREATEST: f64 = 3.389_531_389_251_535_5e38;
    const LEAST_SUBNORMAL: f64 = 9.183_549_615_799_121e-41;

    fn nearest(value: f64) -> Self {
        bf16::from_f64(value)
    }
}

/// Random numbers that are the same everywhere: Steele, Lea and Flood's SplitMix64 (2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, but not including, 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }

    /// Normally distributed, nearly: the sum of twelve uniform numbers, less six.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// What a random row is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Character {
    /// Normally distributed, five wide: what a network puts out.
    Normal,
    /// From −104 to 208: exponentials of f32 overflow and underflow in one row.
    Wide,
    /// Five wide around an offset of up to 40 000, where neighbouring f32 are 1/256 apart.
    Offset,
    /// Many maxima, and neighbours that differ from them in the last place.
    NearTies,
    /// One logit far above all others.
    Outlier,
    /// All within a millionth of each other, away from 0.
    TinySpread,
    /// As large as the type has them, of both signs.
    Huge,
    /// From the maximum down to where an exponential is no normal number, and beyond.
    Deep,
    /// Nothing but subnormal numbers.
    Subnormal,
    /// A third of them −∞.
    Masked,
    /// Ascending in small steps: each stretch of the row has a new maximum.
    Ascending,
}

impl Character {
    pub const ALL: [Character; 11] = [
        Character::Normal,
        Character::Wide,
        Character::Offset,
        Character::NearTies,
        Character::Outlier,
        Character::TinySpread,
        Character::Huge,
        Character::Deep,
        Character::Subnormal,
        Character::Masked,
        Character::Ascending,
    ];

    /// A row of this character.
    pub fn row<T: Logit>(self, classes: usize, seed: u64) -> Vec<T> {
        let random =
            &mut Random::new(seed.wrapping_mul(0x51_7c_c1_b7) ^ ((classes as u64) << 8) ^ self as u64);
        let offset = random.between(-40_000.0, 40_000.0);
        let favourite = random.below(classes.max(1));
        let logit = |random: &mut Random, class: usize| match self {
            Character::Normal => 5.0 * random.normal(),
            Character::Wide => random.between(-104.0, 208.0),
            Character::Offset => offset + 5.0 * random.normal(),
            Character::NearTies => 17.0 * (1.0 - random.below(4) as f64 * 6e-8),
            Character::Outlier if class == favourite => 30.0,
            Character::Outlier => random.normal(),
            Character::TinySpread => 0.3 + random.between(0.0, 1e-6),
            Character::Huge => random.between(-1.0, 1.0) * T::GREATEST,
            Character::Deep => offset / 1000.0 - random.unit().powi(3) * (T::DEPTH + 30.0),
            Character::Subnormal => random.below(1000) as f64 * T::LEAST_SUBNORMAL,
            Character::Masked if random.below(3) == 0 => f64::NEG_INFINITY,
            Character::Masked => 5.0 * random.normal(),
            Character::Ascending => class as f64 / 5000.0 + 0.01 * random.unit(),
        };
        (0..classes).map(|class| T::nearest(logit(random, class))).collect()
    }
}

/// The special rows of the contract, of as many classes as are asked for, each with a name. Where that is
/// more than a row needs, the rest is −∞ or repeats it.
pub fn special_rows<T: Logit>(classes: usize) -> Vec<(String, Vec<T>)> {
    let ordinary: Vec<T> = Character::Normal.row(classes, 1);
    let infinity = T::nearest(f64::INFINITY);
    let masked = T::nearest(f64::NEG_INFINITY);
    let mut rows = Vec::new();
    if classes == 0 {
        return rows;
    }
    let mut places = vec![0, classes / 2, classes - 1, classes.saturating_sub(2)];
    places.dedup();
    for &place in &places {
        for (name, value) in [("NaN", T::NAN), ("odd NaN", T::ODD_NAN), ("+∞", infinity), ("−∞", masked)]
        {
            let mut row = ordinary.clone();
            row[place] = value;
            rows.push((format!("{name} at {place}"), row));
            let mut row = vec![masked; classes];
            row[place] = value;
            rows.push((format!("{name} at {place}, −∞ elsewhere"), row));
        }
        let mut row = vec![masked; classes];
        row[place] = T::nearest(-3.5);
        rows.push((format!("finite at {place} alone"), row));

        let mut row = ordinary.clone();
        row[place] = infinity;
        row[classes - 1 - place] = T::NAN;
        rows.push((format!("+∞ at {place} with NaN"), row));
    }
    for value in [
        0.0,
        -0.0,
        0.3,
        -0.3,
        1.0,
        88.0,
        -104.0,
        1e5,
        -1e30,
        0.999 * T::GREATEST,
        -T::GREATEST,
        T::LEAST_SUBNORMAL,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ] {
        rows.push((format!("all {value:e}"), vec![T::nearest(value); classes]));
    }
    let repeating = |values: &[f64]| -> Vec<T> {
        (0..classes).map(|class| T::nearest(values[class % values.len()])).collect()
    };
    let followed_by_masked = |values: &[f64]| -> Vec<T> {
        (0..classes).map(|class| T::nearest(*values.get(class).unwrap_or(&f64::NEG_INFINITY))).collect()
    };
    rows.push(("zeros of both signs".into(), repeating(&[-0.0, 0.0])));
    rows.push(("zeros of both signs, the other first".into(), repeating(&[0.0, -0.0, -0.0])));
    rows.push((
        "zero and its neighbours".into(),
        repeating(&[-0.0, T::LEAST_SUBNORMAL, -T::LEAST_SUBNORMAL, 0.0]),
    ));
    rows.push(("every other −∞".into(), repeating(&[1.5, f64::NEG_INFINITY])));
    rows.push(("−∞ but for the extremes".into(), followed_by_masked(&[T::GREATEST, -T::GREATEST])));
    let near_greatest = 3e38 / 3.402_823_466_385_288_6e38 * T::GREATEST;
    let opposite = [near_greatest, near_greatest, -near_greatest];
    rows.push(("opposite extremes".into(), followed_by_masked(&opposite)));
    rows.push(("opposite extremes throughout".into(), repeating(&opposite)));
    rows.push(("[0, −20]".into(), followed_by_masked(&[0.0, -20.0])));
    rows.push(("[−20, 0]".into(), followed_by_masked(&[-20.0, 0.0])));
    let mut vanishing = vec![T::nearest(-1.02 * T::DEPTH); classes];
    vanishing[classes - 1] = T::nearest(0.0);
    rows.push(("many that vanish alone and count together".into(), vanishing));
    rows.push(("nearly all probability in one place".into(), followed_by_masked(&[5.0, -80.0, -81.0])));
    rows
}

/// Rows side by side, row i in column i: what a batch is when the axis is the first.
pub fn transposed<T: Copy>(rows: &[Vec<T>]) -> Vec<T> {
    let classes = rows.first().map_or(0, Vec::len);
    (0..classes).flat_map(|class| rows.iter().map(move |row| row[class])).collect()
}

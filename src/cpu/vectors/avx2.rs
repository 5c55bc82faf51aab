//! Registers of AVX2, with FMA.

use std::arch::x86_64::*;

use super::registers::{compensated_sums, permuted_in_memory, vector_of_registers};
use super::{LANES, Vector};
use crate::cpu::compensated::CompensatedSum;
use crate::cpu::instruction_set::Avx2;

vector_of_registers! {
    /// Sixteen f32.
    ///
    /// SAFETY of all that is below: a value of this type is made only with an [`Avx2`], which is made only where the
    /// machine has AVX2 and FMA; or from another value. The slices that are loaded from and stored to are as long as
    /// a register, and the places of a permutation as two.
    F32x16([__m256; 2], 8 lanes of f32, for Avx2);
    constant(number) => _mm256_set1_ps(number);
    load(numbers) => _mm256_loadu_ps(numbers.as_ptr());
    store(register, places) => _mm256_storeu_ps(places.as_mut_ptr(), register);
    first(register) => _mm256_cvtss_f32(register);
    plus(a, b) => _mm256_add_ps(a, b);
    minus(a, b) => _mm256_sub_ps(a, b);
    times(a, b) => _mm256_mul_ps(a, b);
    over(a, b) => _mm256_div_ps(a, b);
    times_plus(a, b, c) => _mm256_fmadd_ps(a, b, c);
    greater_or_second(a, b) => _mm256_max_ps(a, b);
    zero_where_equal(a, x, y) => _mm256_andnot_ps(_mm256_cmp_ps::<_CMP_EQ_OQ>(x, y), a);
    // What is equal has all bits set, which is −1.
    counted_where_equal(a, x, y) => _mm256_castsi256_ps(_mm256_sub_epi32(
        _mm256_castps_si256(a),
        _mm256_castps_si256(_mm256_cmp_ps::<_CMP_EQ_OQ>(x, y)),
    ));
    kept_in(a, lanes, b) => {
        let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
        let kept = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(i32::from(lanes)), bits), bits);
        _mm256_blendv_ps(b, a, _mm256_castsi256_ps(kept))
    };
    lanes_at_least(a, b) => _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(a, b));
    lanes_of_nan(a) => _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, a));
    power_of_two(a, table) => {
        let bits = _mm256_castps_si256(a);
        let entry = _mm256_castps_si256(_mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr()), bits));
        _mm256_castsi256_ps(_mm256_add_epi32(entry, _mm256_slli_epi32::<20>(bits)))
    };

    type Sums = [__m256d; 4];

    #[inline(always)]
    fn stream(self, places: &mut [f32; LANES]) {
        if !places.as_ptr().addr().is_multiple_of(64) {
            return self.store(places);
        }
        for (register, places) in self.0.into_iter().zip(places.as_chunks_mut::<8>().0) {
            // SAFETY: as the type says, and a register's part of what begins a cache line is aligned.
            unsafe { _mm256_stream_ps(places.as_mut_ptr(), register) };
        }
    }

    #[inline(always)]
    fn permuted(mut self, places: &[u32; LANES]) -> Self {
        let [lower, upper] = self.0;
        for (register, places) in self.0.iter_mut().zip(places.as_chunks::<8>().0) {
            // SAFETY: as the type says.
            *register = unsafe {
                let places = _mm256_loadu_si256(places.as_ptr().cast());
                let from_lower = _mm256_permutevar8x32_ps(lower, places);
                let from_upper = _mm256_permutevar8x32_ps(upper, places);
                // The bit that counts eight is brought to where the blend looks.
                _mm256_blendv_ps(from_lower, from_upper, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(places)))
            };
        }
        self
    }

    #[inline(always)]
    fn load_transposed(_: Avx2, rows: &[f32], pitch: usize, classes: &mut [Self]) {
        let Some(rows) = rows.get(..(LANES - 1) * pitch + classes.len()) else { return };
        for (four, classes) in classes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            for half in 0..2 {
                // SAFETY: as the type says, and four classes of eight rows lie in `rows`, which reaches to the last class
                // of the sixteenth row.
                unsafe {
                    let first = rows.as_ptr().add(8 * half * pitch + 4 * four);
                    let [a, b, c, d] = transposed(
                        fours_of_two_rows(first, 4 * pitch),
                        fours_of_two_rows(first.add(pitch), 4 * pitch),
                        fours_of_two_rows(first.add(2 * pitch), 4 * pitch),
                        fours_of_two_rows(first.add(3 * pitch), 4 * pitch),
                    );
                    (classes[0].0[half], classes[1].0[half]) = (a, b);
                    (classes[2].0[half], classes[3].0[half]) = (c, d);
                }
            }
        }
    }

    #[inline(always)]
    fn store_transposed(classes: &[Self], rows: &mut [f32], pitch: usize) {
        let Some(rows) = rows.get_mut(..(LANES - 1) * pitch + classes.len()) else { return };
        for (four, [a, b, c, d]) in classes.as_chunks::<4>().0.iter().enumerate().rev() {
            for half in 0..2 {
                // SAFETY: as that of loading.
                unsafe {
                    let first = rows.as_mut_ptr().add(8 * half * pitch + 4 * four);
                    let [a, b, c, d] = transposed(a.0[half], b.0[half], c.0[half], d.0[half]);
                    store_fours_of_two_rows(a, first, 4 * pitch);
                    store_fours_of_two_rows(b, first.add(pitch), 4 * pitch);
                    store_fours_of_two_rows(c, first.add(2 * pitch), 4 * pitch);
                    store_fours_of_two_rows(d, first.add(3 * pitch), 4 * pitch);
                }
            }
        }
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        let [lower, upper] = self.0;
        // SAFETY: as the type says.
        unsafe { largest_of_eight(_mm256_max_ps(upper, lower)) }
    }

    #[inline(always)]
    fn total(self) -> f32 {
        let [lower, upper] = self.0;
        // SAFETY: as the type says.
        unsafe { sum_of_eight(_mm256_add_ps(lower, upper)) }
    }

    #[inline(always)]
    fn no_sums(_: Avx2) -> [__m256d; 4] {
        // SAFETY: as the type says.
        [unsafe { _mm256_setzero_pd() }; 4]
    }

    #[inline(always)]
    fn add_to(self, sums: &mut [__m256d; 4]) {
        for (sums, register) in sums.chunks_exact_mut(2).zip(self.0) {
            // SAFETY: as the type says.
            unsafe {
                sums[0] = _mm256_add_pd(sums[0], _mm256_cvtps_pd(_mm256_castps256_ps128(register)));
                sums[1] = _mm256_add_pd(sums[1], _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(register)));
            }
        }
    }

    #[inline(always)]
    fn join(sums: &mut [__m256d; 4], others: &[__m256d; 4]) {
        for (sum, other) in sums.iter_mut().zip(others) {
            // SAFETY: as the type says.
            *sum = unsafe { _mm256_add_pd(*sum, *other) };
        }
    }

    #[inline(always)]
    fn parts(sums: &[__m256d; 4]) -> [[f64; LANES]; 2] {
        let mut high = [0.0; LANES];
        for (places, sum) in high.chunks_exact_mut(4).zip(sums) {
            // SAFETY: as the type says, and a chunk of four f64 is a register.
            unsafe { _mm256_storeu_pd(places.as_mut_ptr(), *sum) };
        }
        [high, [0.0; LANES]]
    }

    #[inline(always)]
    fn join_lanes(sums: &[__m256d; 4]) -> CompensatedSum {
        // SAFETY: as the type says.
        let high = unsafe {
            let four = _mm256_add_pd(_mm256_add_pd(sums[0], sums[2]), _mm256_add_pd(sums[1], sums[3]));
            let two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd::<1>(four));
            _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
        };
        CompensatedSum { high, low: 0.0 }
    }
}

/// The greatest of eight lanes, halves joined to halves: of two that are equal, or where either is NaN, the one of the
/// lower half, which stands second.
///
/// # Safety
///
/// The machine has AVX2.
#[inline(always)]
pub(super) unsafe fn largest_of_eight(eight: __m256) -> f32 {
    // SAFETY: the caller says so.
    unsafe {
        let four = _mm_max_ps(_mm256_extractf128_ps::<1>(eight), _mm256_castps256_ps128(eight));
        let two = _mm_max_ps(_mm_movehl_ps(four, four), four);
        _mm_cvtss_f32(_mm_max_ss(_mm_movehdup_ps(two), two))
    }
}

/// The sum of eight lanes, halves joined to halves.
///
/// # Safety
///
/// The machine has AVX2.
#[inline(always)]
pub(super) unsafe fn sum_of_eight(eight: __m256) -> f32 {
    // SAFETY: the caller says so.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

/// Four numbers of one row, and four of another so many numbers behind them.
///
/// # Safety
///
/// The machine has AVX2, and all eight numbers are there.
#[inline(always)]
unsafe fn fours_of_two_rows(first: *const f32, distance: usize) -> __m256 {
    // SAFETY: the caller says so.
    unsafe {
        let lower = _mm256_castps128_ps256(_mm_loadu_ps(first));
        _mm256_insertf128_ps::<1>(lower, _mm_loadu_ps(first.add(distance)))
    }
}

/// The same back to memory.
///
/// # Safety
///
/// The machine has AVX2, and all eight places are there.
#[inline(always)]
unsafe fn store_fours_of_two_rows(numbers: __m256, first: *mut f32, distance: usize) {
    // SAFETY: the caller says so.
    unsafe {
        _mm_storeu_ps(first, _mm256_castps256_ps128(numbers));
        _mm_storeu_ps(first.add(distance), _mm256_extractf128_ps::<1>(numbers));
    }
}

/// The four columns of four rows of four numbers, in both halves.
///
/// # Safety
///
/// The machine has AVX2.
#[inline(always)]
unsafe fn transposed(a: __m256, b: __m256, c: __m256, d: __m256) -> [__m256; 4] {
    // SAFETY: the caller says so.
    unsafe {
        let (low_ab, high_ab) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (low_cd, high_cd) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0b01_00_01_00>(low_ab, low_cd),
            _mm256_shuffle_ps::<0b11_10_11_10>(low_ab, low_cd),
            _mm256_shuffle_ps::<0b01_00_01_00>(high_ab, high_cd),
            _mm256_shuffle_ps::<0b11_10_11_10>(high_ab, high_cd),
        ]
    }
}

vector_of_registers! {
    /// Sixteen f64.
    ///
    /// SAFETY of all that is below: as that of [`F32x16`].
    F64x16([__m256d; 4], 4 lanes of f64, for Avx2);
    constant(number) => _mm256_set1_pd(number);
    load(numbers) => _mm256_loadu_pd(numbers.as_ptr());
    store(register, places) => _mm256_storeu_pd(places.as_mut_ptr(), register);
    first(register) => _mm256_cvtsd_f64(register);
    plus(a, b) => _mm256_add_pd(a, b);
    minus(a, b) => _mm256_sub_pd(a, b);
    times(a, b) => _mm256_mul_pd(a, b);
    over(a, b) => _mm256_div_pd(a, b);
    times_plus(a, b, c) => _mm256_fmadd_pd(a, b, c);
    greater_or_second(a, b) => _mm256_max_pd(a, b);
    zero_where_equal(a, x, y) => _mm256_andnot_pd(_mm256_cmp_pd::<_CMP_EQ_OQ>(x, y), a);
    counted_where_equal(a, x, y) => _mm256_castsi256_pd(_mm256_sub_epi64(
        _mm256_castpd_si256(a),
        _mm256_castpd_si256(_mm256_cmp_pd::<_CMP_EQ_OQ>(x, y)),
    ));
    kept_in(a, lanes, b) => {
        let bits = _mm256_setr_epi64x(1, 2, 4, 8);
        let kept = _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(i64::from(lanes)), bits), bits);
        _mm256_blendv_pd(b, a, _mm256_castsi256_pd(kept))
    };
    lanes_at_least(a, b) => _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_GE_OQ>(a, b));
    lanes_of_nan(a) => _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_UNORD_Q>(a, a));
    power_of_two(a, table) => {
        let bits = _mm256_castpd_si256(a);
        let entry = _mm256_i64gather_pd::<8>(table.as_ptr(), _mm256_and_si256(bits, _mm256_set1_epi64x(7)));
        _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(entry), _mm256_slli_epi64::<49>(bits)))
    };

    compensated_sums!(Avx2);
    #[inline(always)]
    fn stream(self, places: &mut [f64; LANES]) {
        if !places.as_ptr().addr().is_multiple_of(64) {
            return self.store(places);
        }
        for (register, places) in self.0.into_iter().zip(places.as_chunks_mut::<4>().0) {
            // SAFETY: as the type says, and a register's part of what begins a cache line is aligned.
            unsafe { _mm256_stream_pd(places.as_mut_ptr(), register) };
        }
    }

    permuted_in_memory!();

    #[inline(always)]
    fn load_transposed(_: Avx2, rows: &[f64], pitch: usize, classes: &mut [Self]) {
        let Some(rows) = rows.get(..(LANES - 1) * pitch + classes.len()) else { return };
        for (four, classes) in classes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            for register in 0..4 {
                // SAFETY: as the type says, and four classes of four rows lie in `rows`, which reaches to the last class
                // of the sixteenth row.
                unsafe {
                    let first = rows.as_ptr().add(4 * register * pitch + 4 * four);
                    let [a, b, c, d] = transposed_f64(
                        _mm256_loadu_pd(first),
                        _mm256_loadu_pd(first.add(pitch)),
                        _mm256_loadu_pd(first.add(2 * pitch)),
                        _mm256_loadu_pd(first.add(3 * pitch)),
                    );
                    (classes[0].0[register], classes[1].0[register]) = (a, b);
                    (classes[2].0[register], classes[3].0[register]) = (c, d);
                }
            }
        }
    }

    #[inline(always)]
    fn store_transposed(classes: &[Self], rows: &mut [f64], pitch: usize) {
        let Some(rows) = rows.get_mut(..(LANES - 1) * pitch + classes.len()) else { return };
        for (four, [a, b, c, d]) in classes.as_chunks::<4>().0.iter().enumerate().rev() {
            for register in 0..4 {
                // SAFETY: as that of loading.
                unsafe {
                    let first = rows.as_mut_ptr().add(4 * register * pitch + 4 * four);
                    let [a, b, c, d] =
                        transposed_f64(a.0[register], b.0[register], c.0[register], d.0[register]);
                    _mm256_storeu_pd(first, a);
                    _mm256_storeu_pd(first.add(pitch), b);
                    _mm256_storeu_pd(first.add(2 * pitch), c);
                    _mm256_storeu_pd(first.add(3 * pitch), d);
                }
            }
        }
    }
}

/// The four columns of four rows of four numbers.
///
/// # Safety
///
/// The machine has AVX2.
#[inline(always)]
unsafe fn transposed_f64(a: __m256d, b: __m256d, c: __m256d, d: __m256d) -> [__m256d; 4] {
    // SAFETY: the caller says so.
    unsafe {
        let (even_ab, odd_ab) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        let (even_cd, odd_cd) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
        [
            _mm256_permute2f128_pd::<0x20>(even_ab, even_cd),
            _mm256_permute2f128_pd::<0x20>(odd_ab, odd_cd),
            _mm256_permute2f128_pd::<0x31>(even_ab, even_cd),
            _mm256_permute2f128_pd::<0x31>(odd_ab, odd_cd),
        ]
    }
}

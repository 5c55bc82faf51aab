//! Registers of AVX-512.

use std::arch::x86_64::*;

use super::avx2::{largest_of_eight, sum_of_eight};
use super::registers::{compensated_sums, vector_of_registers};
use super::{LANES, Vector};
use crate::cpu::compensated::CompensatedSum;
use crate::cpu::instruction_set::Avx512;

vector_of_registers! {
    /// Sixteen f32.
    ///
    /// SAFETY of all that is below: a value of this type is made only with an [`Avx512`], which is made only where
    /// the machine has AVX-512 F, BW, DQ and VL; or from another value. The slices that are loaded from and stored
    /// to are as long as a register, and so are the places of a permutation and a table.
    F32x16([__m512; 1], 16 lanes of f32, for Avx512);
    constant(number) => _mm512_set1_ps(number);
    load(numbers) => _mm512_loadu_ps(numbers.as_ptr());
    store(register, places) => _mm512_storeu_ps(places.as_mut_ptr(), register);
    first(register) => _mm512_cvtss_f32(register);
    plus(a, b) => _mm512_add_ps(a, b);
    minus(a, b) => _mm512_sub_ps(a, b);
    times(a, b) => _mm512_mul_ps(a, b);
    over(a, b) => _mm512_div_ps(a, b);
    times_plus(a, b, c) => _mm512_fmadd_ps(a, b, c);
    greater_or_second(a, b) => _mm512_max_ps(a, b);
    zero_where_equal(a, x, y) => _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(x, y), a);
    counted_where_equal(a, x, y) => {
        _mm512_mask_add_ps(a, _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(x, y), a, _mm512_set1_ps(1.0))
    };
    kept_in(a, lanes, b) => _mm512_mask_mov_ps(b, lanes, a);
    lanes_at_least(a, b) => _mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, b);
    lanes_of_nan(a) => _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a);
    power_of_two(a, table) => {
        let bits = _mm512_castps_si512(a);
        // Twice the same eight: a permutation of sixteen goes by four bits.
        let table = _mm512_broadcast_f32x8(_mm256_loadu_ps(table.as_ptr()));
        let entry = _mm512_castps_si512(_mm512_permutexvar_ps(bits, table));
        _mm512_castsi512_ps(_mm512_add_epi32(entry, _mm512_slli_epi32::<20>(bits)))
    };

    type Sums = [__m512d; 2];

    #[inline(always)]
    fn stream(self, places: &mut [f32; LANES]) {
        if !places.as_ptr().addr().is_multiple_of(64) {
            return self.store(places);
        }
        for (register, places) in self.0.into_iter().zip(places.as_chunks_mut::<16>().0) {
            // SAFETY: as the type says, and a register's part of what begins a cache line is aligned.
            unsafe { _mm512_stream_ps(places.as_mut_ptr(), register) };
        }
    }

    #[inline(always)]
    fn permuted(mut self, places: &[u32; LANES]) -> Self {
        // SAFETY: as the type says.
        self.0 = [unsafe { _mm512_permutexvar_ps(_mm512_loadu_epi32(places.as_ptr().cast()), self.0[0]) }];
        self
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        let [register] = self.0;
        // SAFETY: as the type says.
        unsafe {
            let (lower, upper) = (_mm512_castps512_ps256(register), _mm512_extractf32x8_ps::<1>(register));
            largest_of_eight(_mm256_max_ps(upper, lower))
        }
    }

    #[inline(always)]
    fn total(self) -> f32 {
        let [register] = self.0;
        // SAFETY: as the type says.
        unsafe {
            let (lower, upper) = (_mm512_castps512_ps256(register), _mm512_extractf32x8_ps::<1>(register));
            sum_of_eight(_mm256_add_ps(lower, upper))
        }
    }

    #[inline(always)]
    fn no_sums(_: Avx512) -> [__m512d; 2] {
        // SAFETY: as the type says.
        [unsafe { _mm512_setzero_pd() }; 2]
    }

    #[inline(always)]
    fn add_to(self, [first, second]: &mut [__m512d; 2]) {
        let [register] = self.0;
        // SAFETY: as the type says.
        unsafe {
            *first = _mm512_add_pd(*first, _mm512_cvtps_pd(_mm512_castps512_ps256(register)));
            *second = _mm512_add_pd(*second, _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(register)));
        }
    }

    #[inline(always)]
    fn join(sums: &mut [__m512d; 2], others: &[__m512d; 2]) {
        for (sum, other) in sums.iter_mut().zip(others) {
            // SAFETY: as the type says.
            *sum = unsafe { _mm512_add_pd(*sum, *other) };
        }
    }

    #[inline(always)]
    fn parts([first, second]: &[__m512d; 2]) -> [[f64; LANES]; 2] {
        let mut high = [0.0; LANES];
        // SAFETY: as the type says, and sixteen f64 are two registers.
        unsafe {
            _mm512_storeu_pd(high.as_mut_ptr(), *first);
            _mm512_storeu_pd(high.as_mut_ptr().add(8), *second);
        }
        [high, [0.0; LANES]]
    }

    #[inline(always)]
    fn join_lanes([first, second]: &[__m512d; 2]) -> CompensatedSum {
        // SAFETY: as the type says.
        let high = unsafe {
            let eight = _mm512_add_pd(*first, *second);
            let four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd::<1>(eight));
            let two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd::<1>(four));
            _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
        };
        CompensatedSum { high, low: 0.0 }
    }
}

vector_of_registers! {
    /// Sixteen f64.
    ///
    /// SAFETY of all that is below: as that of [`F32x16`].
    F64x16([__m512d; 2], 8 lanes of f64, for Avx512);
    constant(number) => _mm512_set1_pd(number);
    load(numbers) => _mm512_loadu_pd(numbers.as_ptr());
    store(register, places) => _mm512_storeu_pd(places.as_mut_ptr(), register);
    first(register) => _mm512_cvtsd_f64(register);
    plus(a, b) => _mm512_add_pd(a, b);
    minus(a, b) => _mm512_sub_pd(a, b);
    times(a, b) => _mm512_mul_pd(a, b);
    over(a, b) => _mm512_div_pd(a, b);
    times_plus(a, b, c) => _mm512_fmadd_pd(a, b, c);
    greater_or_second(a, b) => _mm512_max_pd(a, b);
    zero_where_equal(a, x, y) => _mm512_maskz_mov_pd(_mm512_cmp_pd_mask::<_CMP_NEQ_UQ>(x, y), a);
    counted_where_equal(a, x, y) => {
        _mm512_mask_add_pd(a, _mm512_cmp_pd_mask::<_CMP_EQ_OQ>(x, y), a, _mm512_set1_pd(1.0))
    };
    kept_in(a, lanes, b) => _mm512_mask_mov_pd(b, lanes as u8, a);
    lanes_at_least(a, b) => _mm512_cmp_pd_mask::<_CMP_GE_OQ>(a, b);
    lanes_of_nan(a) => _mm512_cmp_pd_mask::<_CMP_UNORD_Q>(a, a);
    power_of_two(a, table) => {
        let bits = _mm512_castpd_si512(a);
        let entry = _mm512_permutexvar_epi64(bits, _mm512_loadu_epi64(table.as_ptr().cast()));
        _mm512_castsi512_pd(_mm512_add_epi64(entry, _mm512_slli_epi64::<49>(bits)))
    };

    compensated_sums!(Avx512);

    #[inline(always)]
    fn stream(self, places: &mut [f64; LANES]) {
        if !places.as_ptr().addr().is_multiple_of(64) {
            return self.store(places);
        }
        for (register, places) in self.0.into_iter().zip(places.as_chunks_mut::<8>().0) {
            // SAFETY: as the type says, and a register's part of what begins a cache line is aligned.
            unsafe { _mm512_stream_pd(places.as_mut_ptr(), register) };
        }
    }

    #[inline(always)]
    fn permuted(mut self, places: &[u32; LANES]) -> Self {
        let [lower, upper] = self.0;
        for (register, places) in self.0.iter_mut().zip(places.as_chunks::<8>().0) {
            // SAFETY: as the type says.
            *register = unsafe {
                let places = _mm512_cvtepu32_epi64(_mm256_loadu_si256(places.as_ptr().cast()));
                _mm512_permutex2var_pd(lower, places, upper)
            };
        }
        self
    }
}

/* Vectors of 32 bytes. */
#include "kernel.h"
#include <immintrin.h>

#define TARGET __attribute__((target("avx2")))
#define W 32
#define VECTOR_ROUNDS 600
#define VI __m256i
#define VF __m256
#define VD __m256d
#define SET0() _mm256_setzero_si256()
#define LOAD(p) _mm256_load_si256((const __m256i *)(p))
#define STORE(p, v) _mm256_store_si256((__m256i *)(p), v)
#define LOW(v) (uint32_t) _mm_cvtsi128_si32(_mm256_castsi256_si128(v))
#define ADDS8 _mm256_adds_epu8
#define SUBS8 _mm256_subs_epu8
#define AVG8 _mm256_avg_epu8
#define MAX8 _mm256_max_epu8
#define MIN8 _mm256_min_epu8
#define SAD _mm256_sad_epu8
#define ADD64 _mm256_add_epi64
#define ADD32 _mm256_add_epi32
#define XOR _mm256_xor_si256
#define MADD16 _mm256_madd_epi16
#define UNPACK_LOW8 _mm256_unpacklo_epi8
#define UNPACK_HIGH8 _mm256_unpackhi_epi8
#define SHIFT_RIGHT32 _mm256_srli_epi32
#define SHUFFLE32 _mm256_shuffle_epi32
#define SETF _mm256_set1_ps
#define LOADF _mm256_loadu_ps
#define STOREF _mm256_storeu_ps
#define ADDF _mm256_add_ps
#define SUBF _mm256_sub_ps
#define MULF _mm256_mul_ps
#define MAXF _mm256_max_ps
#define ANDF _mm256_and_ps
#define LESSF(a, b) _mm256_cmp_ps(a, b, _CMP_LT_OS)
#define SETD _mm256_set1_pd
#define LOADD _mm256_loadu_pd
#define STORED _mm256_storeu_pd
#define ADDD _mm256_add_pd
#define SUBD _mm256_sub_pd
#define MULD _mm256_mul_pd
#define DIVD _mm256_div_pd
#define SQRTD _mm256_sqrt_pd
#include "vector-loops.h"

/* CPUID.7.EBX bit 5: AVX2. */
const struct kernel avx2_kernel = {"avx2", setup, run, 1u << 5};

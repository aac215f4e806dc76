/* Vectors of 16 bytes. */
#include "kernel.h"
#include <emmintrin.h>

#define TARGET __attribute__((target("sse2")))
#define W 16
#define VECTOR_ROUNDS 350
#define VI __m128i
#define VF __m128
#define VD __m128d
#define SET0() _mm_setzero_si128()
#define LOAD(p) _mm_load_si128((const __m128i *)(p))
#define STORE(p, v) _mm_store_si128((__m128i *)(p), v)
#define LOW(v) (uint32_t) _mm_cvtsi128_si32(v)
#define ADDS8 _mm_adds_epu8
#define SUBS8 _mm_subs_epu8
#define AVG8 _mm_avg_epu8
#define MAX8 _mm_max_epu8
#define MIN8 _mm_min_epu8
#define SAD _mm_sad_epu8
#define ADD64 _mm_add_epi64
#define ADD32 _mm_add_epi32
#define XOR _mm_xor_si128
#define MADD16 _mm_madd_epi16
#define UNPACK_LOW8 _mm_unpacklo_epi8
#define UNPACK_HIGH8 _mm_unpackhi_epi8
#define SHIFT_RIGHT32 _mm_srli_epi32
#define SHUFFLE32 _mm_shuffle_epi32
#define SETF _mm_set1_ps
#define LOADF _mm_loadu_ps
#define STOREF _mm_storeu_ps
#define ADDF _mm_add_ps
#define SUBF _mm_sub_ps
#define MULF _mm_mul_ps
#define MAXF _mm_max_ps
#define ANDF _mm_and_ps
#define LESSF _mm_cmplt_ps
#define SETD _mm_set1_pd
#define LOADD _mm_loadu_pd
#define STORED _mm_storeu_pd
#define ADDD _mm_add_pd
#define SUBD _mm_sub_pd
#define MULD _mm_mul_pd
#define DIVD _mm_div_pd
#define SQRTD _mm_sqrt_pd
#include "vector-loops.h"

const struct kernel sse2_kernel = {"sse2", setup, run, 0};

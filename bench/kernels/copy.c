/* Copying and filling as C libraries do it: 16-byte vectors for short runs, REP instructions for long ones. */
#include "kernel.h"
#include <emmintrin.h>

#define AREA (8u << 20)
#define LONG_RUN 2048u
#define SSE2 __attribute__((target("sse2")))

SSE2 static void copy(uint8_t *to, const uint8_t *from, uint32_t n) {
  if (n >= LONG_RUN) {
    memcpy(to, from, n);
    return;
  }
  uint32_t i = 0;
  for (; i + 64 <= n; i += 64) {
    __m128i a = _mm_loadu_si128((const __m128i *)(from + i)), b = _mm_loadu_si128((const __m128i *)(from + i + 16));
    __m128i c = _mm_loadu_si128((const __m128i *)(from + i + 32)), d = _mm_loadu_si128((const __m128i *)(from + i + 48));
    _mm_storeu_si128((__m128i *)(to + i), a), _mm_storeu_si128((__m128i *)(to + i + 16), b);
    _mm_storeu_si128((__m128i *)(to + i + 32), c), _mm_storeu_si128((__m128i *)(to + i + 48), d);
  }
  for (; i + 16 <= n; i += 16) _mm_storeu_si128((__m128i *)(to + i), _mm_loadu_si128((const __m128i *)(from + i)));
  for (; i < n; i++) to[i] = from[i];
}

SSE2 static void fill(uint8_t *to, int value, uint32_t n) {
  if (n >= LONG_RUN) {
    memset(to, value, n);
    return;
  }
  __m128i v = _mm_set1_epi8((char)value);
  uint32_t i = 0;
  for (; i + 16 <= n; i += 16) _mm_storeu_si128((__m128i *)(to + i), v);
  for (; i < n; i++) to[i] = (uint8_t)value;
}

static void setup(void) {
  uint32_t seed = 17, *words = (uint32_t *)arena;
  for (uint32_t i = 0; i < AREA / 2; i++) words[i] = next_random(&seed);
}

/* Lengths from 1 byte to 16 KiB, as many of each order of magnitude. */
static uint32_t next_length(uint32_t *seed) {
  uint32_t r = next_random(seed);
  return 1 + (r & ((1u << (r >> 27) % 15) - 1));
}

static uint32_t run(void) {
  uint32_t seed = 5150, total = 0;
  for (int round = 0; round < 400000; round++) {
    uint32_t n = next_length(&seed), from = next_random(&seed) % (AREA - n), to = AREA + next_random(&seed) % (AREA - n);
    copy(arena + to, arena + from, n);
    if (n < 4096) copy(arena + from / 2, arena + to, n);
    n = next_length(&seed);
    fill(arena + next_random(&seed) % (2 * AREA - n), round, n);
    total += n;
  }
  uint32_t sum = mix(MIX_START, total), *words = (uint32_t *)arena;
  for (uint32_t i = 0; i < AREA / 2; i += 61) sum = mix(sum, words[i]);
  return sum;
}

const struct kernel copy_kernel = {"copy", setup, run, 0};

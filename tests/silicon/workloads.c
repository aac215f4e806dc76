/*
 * Small workloads that a compiler turns into many kinds of instructions. Freestanding: the same flat binary runs on the
 * host's processor (workloads-host.c loads it) and in the guest, and must leave the same checksum and memory. 32-bit builds
 * do the same with fewer means; what they cannot do they leave out.
 */
#ifdef __SSE4_2__
#define _MM_MALLOC_H_INCLUDED /* it wants the C library */
#include <immintrin.h>
#endif
#include <stddef.h>
#include <stdint.h>

#define BYTES 65536
typedef uint64_t (*workload)(uint8_t *m, uint32_t seed);

static uint32_t next(uint32_t *s) {
  *s ^= *s << 13;
  *s ^= *s >> 17;
  *s ^= *s << 5;
  return *s;
}
void *memcpy(void *restrict d, const void *restrict s, size_t n) {
  uint8_t *to = d;
  const uint8_t *from = s;
  while (n--) *to++ = *from++;
  return d;
}
void *memset(void *d, int c, size_t n) {
  uint8_t *to = d;
  while (n--) *to++ = c;
  return d;
}

#ifndef __x86_64__
/* What the compiler calls for 64-bit division. */
uint64_t __udivdi3(uint64_t a, uint64_t b) {
  uint64_t q = 0, r = 0;
  for (int i = 63; i >= 0; i--) {
    r = r << 1 | (a >> i & 1);
    if (r >= b) r -= b, q |= 1ull << i;
  }
  return q;
}
#endif
static int ones(uint64_t v) {
  int n = 0;
  for (; v; v &= v - 1) n++;
  return n;
}

static uint64_t bytes(uint8_t *m, uint32_t s) {
  uint8_t *a = m, *b = m + 16384, *c = m + 32768;
  for (int i = 0; i < 16000; i++) {
    int d = a[i] - b[i];
    c[i] = d < 0 ? -d : d;
    a[i] = a[i] > b[i] ? a[i] : b[i];
    b[i] = (a[i] + c[i] + 1) >> 1;
  }
  uint64_t sum = s;
  for (int i = 0; i < 16000; i++) sum += c[i];
  return sum;
}
static uint64_t words(uint8_t *m, uint32_t s) {
  int16_t *a = (int16_t *)m, *b = (int16_t *)(m + 20002);
  int32_t sum = 0;
  for (int i = 0; i < 9000; i++) {
    int32_t t = a[i] + b[i];
    a[i] = t > 32767 ? 32767 : t < -32768 ? -32768 : t;
    b[i] = (a[i] * b[i]) >> 16;
    sum += a[i] * b[i];
  }
  return (uint32_t)sum + s;
}
static uint64_t dwords(uint8_t *m, uint32_t s) {
  uint32_t *a = (uint32_t *)m, *b = (uint32_t *)(m + 32768);
  for (int i = 0; i < 8000; i++) {
    a[i] = (a[i] * b[i]) ^ (b[i] >> (a[i] & 31)) ^ (a[i] << (b[i] & 31));
    b[i] = (int32_t)b[i] >> (a[i] & 15);
    if ((int32_t)a[i] > (int32_t)b[i]) a[i] += b[i] * 5;
  }
  uint64_t sum = s;
  for (int i = 0; i < 8000; i++) sum = sum * 31 + a[i];
  return sum;
}
#ifdef __x86_64__
static uint64_t quads(uint8_t *m, uint32_t s) {
  uint64_t *a = (uint64_t *)m, *b = (uint64_t *)(m + 32768), sum = s;
  for (int i = 0; i < 4000; i++) {
    a[i] = (uint64_t)(uint32_t)a[i] * (uint32_t)b[i] + (b[i] >> 7);
    b[i] = (int64_t)a[i] > (int64_t)b[i] ? a[i] : b[i];
  }
  for (int i = 0; i < 4000; i++) {
    unsigned __int128 p = (unsigned __int128)a[i] * b[i];
    sum ^= (uint64_t)p + (uint64_t)(p >> 64);
    if (b[i] >> 32) sum += a[i] / (b[i] >> 32) + a[i] % (uint32_t)(b[i] >> 32);
  }
  return sum;
}
#else
#define quads 0
#endif
static uint64_t gathers(uint8_t *m, uint32_t s) {
  uint32_t *index = (uint32_t *)m, *table = (uint32_t *)(m + 32768), *out = (uint32_t *)(m + 16384);
  uint64_t sum = s;
  for (int i = 0; i < 4000; i++) out[i] = table[index[i] & 8191];
  for (int i = 0; i < 4000; i++) sum += out[i] ^ i;
  return sum;
}
#ifdef __SSE4_2__
static uint64_t low64(__m128i v) {
  uint64_t r;
  _mm_storel_epi64((__m128i *)&r, v);
  return r;
}
static uint64_t high64(__m128i v) { return low64(_mm_unpackhi_epi64(v, v)); }
static uint32_t crc64(uint32_t crc, uint64_t v) {
#ifdef __x86_64__
  return _mm_crc32_u64(crc, v);
#else
  return _mm_crc32_u32(_mm_crc32_u32(crc, (uint32_t)v), v >> 32);
#endif
}
static uint64_t strings(uint8_t *m, uint32_t s) {
  uint64_t sum = s;
  m[BYTES - 1] = 0;
  for (int i = 0; i < BYTES - 64; i += 61) {
    __m128i a = _mm_loadu_si128((__m128i *)(m + i)), b = _mm_loadu_si128((__m128i *)(m + i + 29));
    sum = sum * 3 + _mm_cmpistri(a, b, 0x0c) + 16 * _mm_cmpistrc(a, b, 0x44) + 32 * _mm_cmpistrs(a, b, 0);
    sum += _mm_cmpestri(a, i & 15, b, 9, 0x08) + _mm_extract_epi8(_mm_cmpistrm(a, b, 0x40), 3);
    sum += _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(a, b), _mm_setzero_si128()));
  }
  return sum;
}
static uint64_t crypto(uint8_t *m, uint32_t s) {
  __m128i k = _mm_set_epi32(s, s * 3, s * 5, s * 7), x = k, y = k, z = k;
  uint32_t crc = s;
  for (int i = 0; i + 16 <= 32768; i += 16) {
    __m128i v = _mm_loadu_si128((__m128i *)(m + i));
    x = _mm_aesenc_si128(_mm_xor_si128(x, v), k);
    k = _mm_xor_si128(k, _mm_aeskeygenassist_si128(x, 0x1b));
    y = _mm_aesdeclast_si128(_mm_aesdec_si128(_mm_aesimc_si128(y), v), x);
    z = _mm_xor_si128(z, _mm_clmulepi64_si128(v, x, 0x10));
    crc = crc64(crc, high64(v));
    _mm_storeu_si128((__m128i *)(m + i), _mm_shuffle_epi8(_mm_alignr_epi8(x, y, 5), z));
  }
  return crc ^ low64(_mm_xor_si128(x, _mm_xor_si128(y, z)));
}
static uint64_t floats(uint8_t *m, uint32_t s) {
  float *f = (float *)m;
  double *d = (double *)(m + 32768), sum = 0;
  for (int i = 0; i < 4000; i++) f[i] = (int)(next(&s) % 20000) / 7.0f - 1000;
  for (int i = 0; i < 4000; i++) d[i] = f[i] * 1.5 + __builtin_sqrt(i + 0.25);
  for (int i = 1; i < 4000; i++) {
    float g = f[i] < f[i - 1] ? f[i] / (i + 1) : f[i - 1] - f[i];
    f[i] = g;
    sum += d[i] * g;
  }
  for (int i = 0; i < 4000; i++) ((int *)d)[i] = (int)f[i] + (int)__builtin_floor(d[i + 4000 - 4000]);
  union {
    double f;
    uint64_t i;
  } u = {sum};
  return u.i;
}
#else
#define strings 0
#define crypto 0
#define floats 0
#define mmx 0
#endif
static uint64_t x87(uint8_t *m, uint32_t s) {
  long double x = 1 + (s & 255), sum = 0;
  for (int i = 1; i < 2000; i++) {
    x = (x * 1.0000001L + 3.25L / i) - (long double)(int)(next(&s) & 1023) / 1000;
    sum += x * x;
    if (sum > 1e9L) sum -= 1e9L;
    ((double *)m)[i] = (double)sum;
    ((int64_t *)(m + 32768))[i] = (int64_t)x;
  }
  return (uint64_t)sum;
}
#ifdef __SSE4_2__
static uint64_t mmx(uint8_t *m, uint32_t s) {
  __m64 *p = (__m64 *)m, a = _mm_set1_pi16((short)s);
  for (int i = 0; i + 1 < 4000; i++) {
    a = _mm_adds_pi16(a, _mm_mulhi_pi16(p[i], p[i + 1]));
    a = _mm_xor_si64(a, _mm_unpackhi_pi8(p[i], a));
    p[i] = _mm_packs_pi16(a, _mm_shuffle_pi16(p[i + 1], 0x1b));
  }
  uint64_t r;
  *(__m64 *)&r = a;
  _mm_empty();
  return r;
}
#endif
/* Branches, calls through a table, bit operations: what surrounds the vectors. */
static uint64_t integer(uint8_t *m, uint32_t s) {
  uint64_t h = s;
  for (int i = 0; i < 20000; i++) {
    uint8_t c = m[i];
    switch (c & 7) {
      case 0: h = h * 33 + c; break;
      case 1: h ^= h >> 11; break;
      case 2: h += ones(h) + __builtin_ctz((uint32_t)h | 1u << 31); break;
      case 3: h = h << 9 | h >> 55; break;
      case 4: h = __builtin_bswap64(h) + i; break;
      case 5: h -= (int8_t)c * (int64_t)i; break;
      case 6: h = (h & 1) ? h * 3 + 1 : h / 3; break;
      default: m[(h + i) & (BYTES - 1)] = (uint8_t)(h >> 8) + c;
    }
  }
  return h;
}

static const workload all[] = {bytes,   words,  dwords, quads, gathers, strings,
                               crypto, floats, x87,    mmx,   integer};

__attribute__((section(".entry"))) uint64_t entry(uint8_t *m, uint32_t which, uint32_t seed) {
  for (int i = 0; i < BYTES; i += 4) *(uint32_t *)(m + i) = next(&seed) & (i & 4096 ? 0x03030303 : 0xffffffff);
  return all[which](m, seed);
}

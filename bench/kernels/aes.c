/* AES-128 (FIPS 197) with tables of 32-bit words, CBC encryption and decryption. */
#include "kernel.h"

#define BYTES (1u << 20)
#define ROUNDS 20

static uint8_t box[256], inverse_box[256];
static uint32_t forward[4][256], backward[4][256], keys[44], inverse_keys[44];

static uint8_t times(uint8_t a, uint8_t b) {
  uint8_t p = 0;
  for (; b; b >>= 1, a = (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1b : 0)))
    if (b & 1) p ^= a;
  return p;
}

static uint32_t word(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  return (uint32_t)a << 24 | (uint32_t)b << 16 | (uint32_t)c << 8 | d;
}
static inline uint32_t turn(uint32_t x, int bits) { return bits ? x >> bits | x << (32 - bits) : x; }
static uint32_t substitute(uint32_t x) { return word(box[x >> 24], box[x >> 16 & 255], box[x >> 8 & 255], box[x & 255]); }

static void setup(void) {
  for (int i = 0; i < 256; i++) {
    uint8_t inverse = 0;
    for (int k = 1; k < 256; k++)
      if (times((uint8_t)i, (uint8_t)k) == 1) inverse = (uint8_t)k;
    uint8_t s = 0x63;
    for (int k = 0; k < 5; k++) s ^= (uint8_t)(inverse << k | inverse >> (8 - k));
    box[i] = s;
    inverse_box[s] = (uint8_t)i;
  }
  for (int i = 0; i < 256; i++) {
    uint8_t s = box[i], v = inverse_box[i];
    uint32_t f = word(times(s, 2), s, s, times(s, 3)), b = word(times(v, 14), times(v, 9), times(v, 13), times(v, 11));
    for (int k = 0; k < 4; k++) forward[k][i] = turn(f, 8 * k), backward[k][i] = turn(b, 8 * k);
  }
  for (int i = 0; i < 4; i++) keys[i] = 0x2b7e1516u * (uint32_t)(i + 1);
  uint8_t constant = 1;
  for (int i = 4; i < 44; i++) {
    uint32_t t = keys[i - 1];
    if (i % 4 == 0) t = substitute(turn(t, 24)) ^ (uint32_t)constant << 24, constant = times(constant, 2);
    keys[i] = keys[i - 4] ^ t;
  }
  for (int i = 0; i < 44; i++) {
    uint32_t k = keys[40 - (i & ~3) + (i & 3)];
    if (i >= 4 && i < 40)
      k = backward[0][box[k >> 24]] ^ backward[1][box[k >> 16 & 255]] ^ backward[2][box[k >> 8 & 255]] ^ backward[3][box[k & 255]];
    inverse_keys[i] = k;
  }
  uint32_t seed = 31337;
  for (uint32_t i = 0; i < BYTES; i++) arena[i] = (uint8_t)next_random(&seed);
}

static inline uint32_t round_word(uint32_t (*t)[256], uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return t[0][a >> 24] ^ t[1][b >> 16 & 255] ^ t[2][c >> 8 & 255] ^ t[3][d & 255];
}
static inline uint32_t last_word(const uint8_t *s, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return word(s[a >> 24], s[b >> 16 & 255], s[c >> 8 & 255], s[d & 255]);
}

static void encrypt(uint32_t *x) {
  const uint32_t *k = keys;
  uint32_t a = x[0] ^ k[0], b = x[1] ^ k[1], c = x[2] ^ k[2], d = x[3] ^ k[3];
  for (int r = 1; r < 10; r++) {
    k += 4;
    uint32_t e = round_word(forward, a, b, c, d) ^ k[0], f = round_word(forward, b, c, d, a) ^ k[1];
    uint32_t g = round_word(forward, c, d, a, b) ^ k[2], h = round_word(forward, d, a, b, c) ^ k[3];
    a = e, b = f, c = g, d = h;
  }
  k += 4;
  x[0] = last_word(box, a, b, c, d) ^ k[0], x[1] = last_word(box, b, c, d, a) ^ k[1];
  x[2] = last_word(box, c, d, a, b) ^ k[2], x[3] = last_word(box, d, a, b, c) ^ k[3];
}

static void decrypt(uint32_t *x) {
  const uint32_t *k = inverse_keys;
  uint32_t a = x[0] ^ k[0], b = x[1] ^ k[1], c = x[2] ^ k[2], d = x[3] ^ k[3];
  for (int r = 1; r < 10; r++) {
    k += 4;
    uint32_t e = round_word(backward, a, d, c, b) ^ k[0], f = round_word(backward, b, a, d, c) ^ k[1];
    uint32_t g = round_word(backward, c, b, a, d) ^ k[2], h = round_word(backward, d, c, b, a) ^ k[3];
    a = e, b = f, c = g, d = h;
  }
  k += 4;
  x[0] = last_word(inverse_box, a, d, c, b) ^ k[0], x[1] = last_word(inverse_box, b, a, d, c) ^ k[1];
  x[2] = last_word(inverse_box, c, b, a, d) ^ k[2], x[3] = last_word(inverse_box, d, c, b, a) ^ k[3];
}

static uint32_t run(void) {
  uint32_t sum = MIX_START, *const data = (uint32_t *)arena, *const out = (uint32_t *)(arena + BYTES);
  for (int round = 0; round < ROUNDS; round++) {
    uint32_t chain[4] = {1, 2, 3, (uint32_t)round};
    for (uint32_t i = 0; i < BYTES / 4; i += 4) {
      for (int k = 0; k < 4; k++) chain[k] ^= data[i + (uint32_t)k];
      encrypt(chain);
      for (int k = 0; k < 4; k++) out[i + (uint32_t)k] = chain[k];
    }
    sum = mix(mix(sum, chain[0]), chain[3]);
    uint32_t wrong = 0, before[4] = {1, 2, 3, (uint32_t)round};
    for (uint32_t i = 0; i < BYTES / 4; i += 4) {
      uint32_t x[4];
      memcpy(x, out + i, 16);
      decrypt(x);
      for (int k = 0; k < 4; k++) wrong |= x[k] ^ before[k] ^ data[i + (uint32_t)k], before[k] = out[i + (uint32_t)k];
    }
    sum = mix(sum, wrong);
  }
  return sum;
}

const struct kernel aes_kernel = {"aes", setup, run, 0};

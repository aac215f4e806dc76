/* LZ77 with a hash of three bytes and chains, an order-0 adaptive binary range coder behind it; and back again. */
#include "kernel.h"

#define INPUT (1u << 20)
#define WINDOW 32768u
#define HASHES 32768u
#define CHAIN 24
#define MAX_MATCH 258u

static uint8_t *const input = arena;
static uint8_t *const packed = arena + (2u << 20);
static uint8_t *const output = arena + (4u << 20);
static int32_t *const heads = (int32_t *)(arena + (8u << 20));
static int32_t *const previous = (int32_t *)(arena + (9u << 20));

static uint16_t flag_model[1], literal_model[256], length_model[256], distance_model[2][256];

struct coder {
  uint32_t low, range, code;
  uint8_t *at;
};

/* Carry-less range coder (Subbotin's): renormalises by bytes when top bytes agree or the range is short. */
static void encode_bit(struct coder *c, uint16_t *model, int bit) {
  uint32_t bound = (c->range >> 12) * *model;
  if (bit) c->low += bound, c->range -= bound, *model -= *model >> 5;
  else c->range = bound, *model += (4096 - *model) >> 5;
  while ((c->low ^ (c->low + c->range)) < 1u << 24 || (c->range < 1u << 16 && ((c->range = -c->low & 0xffff), 1))) {
    *c->at++ = (uint8_t)(c->low >> 24);
    c->low <<= 8;
    c->range <<= 8;
  }
}

static int decode_bit(struct coder *c, uint16_t *model) {
  uint32_t bound = (c->range >> 12) * *model;
  int bit = c->code - c->low >= bound;
  if (bit) c->low += bound, c->range -= bound, *model -= *model >> 5;
  else c->range = bound, *model += (4096 - *model) >> 5;
  while ((c->low ^ (c->low + c->range)) < 1u << 24 || (c->range < 1u << 16 && ((c->range = -c->low & 0xffff), 1))) {
    c->code = c->code << 8 | *c->at++;
    c->low <<= 8;
    c->range <<= 8;
  }
  return bit;
}

static void encode_byte(struct coder *c, uint16_t *models, uint32_t byte) {
  uint32_t node = 1;
  for (int i = 7; i >= 0; i--) {
    int bit = byte >> i & 1;
    encode_bit(c, models + node, bit);
    node = node << 1 | (uint32_t)bit;
  }
}

static uint32_t decode_byte(struct coder *c, uint16_t *models) {
  uint32_t node = 1;
  while (node < 256) node = node << 1 | (uint32_t)decode_bit(c, models + node);
  return node & 255;
}

static void reset_models(void) {
  flag_model[0] = 2048;
  for (int i = 0; i < 256; i++)
    literal_model[i] = length_model[i] = distance_model[0][i] = distance_model[1][i] = 2048;
}

static uint32_t hash_at(uint32_t i) {
  return ((uint32_t)input[i] * 506832829u ^ (uint32_t)input[i + 1] * 2654435761u ^ (uint32_t)input[i + 2] * 40503u) >> 13 &
         (HASHES - 1);
}

static void remember(uint32_t i) {
  uint32_t h = hash_at(i);
  previous[i & (WINDOW - 1)] = heads[h];
  heads[h] = (int32_t)i;
}

static uint32_t compress(void) {
  struct coder c = {0, 0xffffffffu, 0, packed};
  reset_models();
  for (uint32_t i = 0; i < HASHES; i++) heads[i] = -1;
  uint32_t i = 0;
  while (i < INPUT) {
    uint32_t best = 0, distance = 0;
    if (i + MAX_MATCH + 3 < INPUT) {
      int32_t at = heads[hash_at(i)];
      for (int tries = CHAIN; tries && at >= 0 && i - (uint32_t)at < WINDOW; tries--) {
        uint32_t n = 0;
        if (input[(uint32_t)at + best] == input[i + best])
          while (n < MAX_MATCH && input[(uint32_t)at + n] == input[i + n]) n++;
        if (n > best) best = n, distance = i - (uint32_t)at;
        int32_t before = previous[(uint32_t)at & (WINDOW - 1)];
        if (before >= at) break;
        at = before;
      }
    }
    encode_bit(&c, flag_model, best > 3);
    if (best <= 3) {
      encode_byte(&c, literal_model, input[i]);
      if (i + 3 < INPUT) remember(i);
      i++;
      continue;
    }
    if (best > 255) best = 255;
    encode_byte(&c, length_model, best);
    encode_byte(&c, distance_model[0], distance >> 8);
    encode_byte(&c, distance_model[1], distance & 255);
    while (best--) remember(i++);
  }
  for (int k = 0; k < 4; k++) *c.at++ = (uint8_t)(c.low >> 24), c.low <<= 8;
  return (uint32_t)(c.at - packed);
}

static void decompress(void) {
  struct coder c = {0, 0xffffffffu, 0, packed};
  reset_models();
  for (int k = 0; k < 4; k++) c.code = c.code << 8 | *c.at++;
  uint32_t i = 0;
  while (i < INPUT) {
    if (!decode_bit(&c, flag_model)) {
      output[i++] = (uint8_t)decode_byte(&c, literal_model);
      continue;
    }
    uint32_t n = decode_byte(&c, length_model);
    uint32_t distance = decode_byte(&c, distance_model[0]) << 8;
    distance |= decode_byte(&c, distance_model[1]);
    for (; n && i < INPUT; n--, i++) output[i] = output[i - distance];
  }
}

/* Text of words drawn unevenly from a vocabulary of 512. */
static void setup(void) {
  static char words[512][8];
  uint32_t seed = 4711;
  for (int w = 0; w < 512; w++) {
    uint32_t length = 2 + next_random(&seed) % 6;
    for (uint32_t i = 0; i < length; i++) words[w][i] = (char)('a' + next_random(&seed) % 26);
    words[w][length] = 0;
  }
  for (uint32_t i = 0; i < INPUT;) {
    uint32_t r = next_random(&seed), w = (r & 511) * (r >> 9 & 511) >> 9;
    for (const char *s = words[w]; *s && i < INPUT; s++) input[i++] = (uint8_t)*s;
    if (i < INPUT) input[i++] = (r >> 24) < 16 ? '\n' : ' ';
  }
}

static uint32_t run(void) {
  uint32_t sum = MIX_START;
  for (int round = 0; round < 2; round++) {
    uint32_t length = compress();
    sum = mix(sum, length);
    for (uint32_t i = 0; i < length; i++) sum = mix(sum, packed[i]);
    decompress();
    sum = mix(sum, (uint32_t)memcmp(input, output, INPUT));
    input[round] ^= 32;
  }
  return sum;
}

const struct kernel compress_kernel = {"compress", setup, run, 0};

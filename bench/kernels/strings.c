/* Searching in text: byte by byte, Horspool's, Knuth, Morris and Pratt's, and splitting into words. */
#include "kernel.h"

#define TEXT (2u << 20)

static const char *const needles[] = {"abacabadabacaba", "the end of it all", "eeeeaaaa", "qzj", "babababbabab"};

static void setup(void) {
  uint32_t seed = 777;
  for (uint32_t i = 0; i < TEXT; i++) {
    uint32_t r = next_random(&seed) >> 8;
    arena[i] = (uint8_t)((r & 7) == 0 ? ' ' : "eabacabtoin"[(r >> 3) % 11]);
  }
  arena[TEXT] = 0;
}

static uint32_t naive(const uint8_t *text, const uint8_t *needle, uint32_t n) {
  uint32_t found = 0;
  for (uint32_t i = 0; i + n <= TEXT; i++) {
    uint32_t j = 0;
    while (j < n && text[i + j] == needle[j]) j++;
    if (j == n) found = found * 31 + i;
  }
  return found;
}

static uint32_t horspool(const uint8_t *text, const uint8_t *needle, uint32_t n) {
  uint32_t shift[256], found = 0;
  for (int i = 0; i < 256; i++) shift[i] = n;
  for (uint32_t i = 0; i + 1 < n; i++) shift[needle[i]] = n - 1 - i;
  for (uint32_t i = 0; i + n <= TEXT; i += shift[text[i + n - 1]]) {
    uint32_t j = n;
    while (j && text[i + j - 1] == needle[j - 1]) j--;
    if (j == 0) found = found * 31 + i;
  }
  return found;
}

static uint32_t morris_pratt(const uint8_t *text, const uint8_t *needle, uint32_t n) {
  int32_t border[64], j = -1;
  uint32_t found = 0;
  border[0] = -1;
  for (uint32_t i = 0; i < n; border[++i] = ++j)
    while (j >= 0 && needle[i] != needle[j]) j = border[j];
  j = 0;
  for (uint32_t i = 0; i < TEXT; i++) {
    while (j >= 0 && text[i] != needle[j]) j = border[j];
    if (++j == (int32_t)n) found = found * 31 + i + 1 - n, j = border[j];
  }
  return found;
}

static uint32_t words(const uint8_t *text) {
  uint32_t sum = MIX_START;
  for (const uint8_t *p = text; *p;) {
    while (*p == ' ') p++;
    const uint8_t *start = p;
    uint32_t h = 0;
    while (*p && *p != ' ') h = h * 33 + *p++;
    if (p - start > 9) sum = mix(sum, h);
  }
  return sum;
}

static uint32_t run(void) {
  uint32_t sum = MIX_START;
  for (int round = 0; round < 4; round++)
    for (size_t k = 0; k < sizeof needles / sizeof *needles; k++) {
      const uint8_t *needle = (const uint8_t *)needles[k];
      uint32_t n = (uint32_t)strlen(needles[k]);
      sum = mix(sum, naive(arena, needle, n));
      sum = mix(sum, horspool(arena, needle, n));
      sum = mix(sum, morris_pratt(arena, needle, n));
      sum = mix(sum, words(arena));
    }
  return sum;
}

const struct kernel strings_kernel = {"strings", setup, run, 0};

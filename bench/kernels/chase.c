/* Pointer chasing: one random cycle through 64 MiB, a step a cache line. */
#include "kernel.h"

#define LINE 64u
#define COUNT ((64u << 20) / LINE)
#define STEPS 3000000u

static uint32_t *line(uint32_t i) { return (uint32_t *)(arena + i * LINE); }

/* Sattolo's shuffle: a permutation that is one cycle. */
static void setup(void) {
  uint32_t seed = 64;
  for (uint32_t i = 0; i < COUNT; i++) *line(i) = i;
  for (uint32_t i = COUNT - 1; i > 0; i--) {
    uint32_t j = next_random(&seed) % i, t = *line(i);
    *line(i) = *line(j);
    *line(j) = t;
  }
}

static uint32_t run(void) {
  uint32_t at = 0, sum = 0;
  for (uint32_t i = 0; i < STEPS; i++) at = *line(at), sum += at;
  return mix(sum, at);
}

const struct kernel chase_kernel = {"chase", setup, run, 0};

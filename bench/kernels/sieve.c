/* The sieve of Eratosthenes, a byte a number, with a second pass that counts and sums. */
#include "kernel.h"

#define LIMIT 8000000u

static uint32_t run(void) {
  uint32_t sum = MIX_START;
  for (int round = 0; round < 4; round++) {
    for (uint32_t i = 0; i < LIMIT; i++) arena[i] = 1;
    for (uint32_t i = 2; i * i < LIMIT; i++)
      if (arena[i])
        for (uint32_t j = i * i; j < LIMIT; j += i) arena[j] = 0;
    uint32_t count = 0;
    for (uint32_t i = 2; i < LIMIT; i++)
      if (arena[i]) count++, sum = mix(sum, i);
    sum = mix(sum, count);
  }
  return sum;
}

const struct kernel sieve_kernel = {"sieve", NULL, run, 0};

/* Calls and returns: Fibonacci, Ackermann, Takeuchi, the queens' problem, and a call through a table of functions. */
#include "kernel.h"

static __attribute__((noinline)) uint32_t fib(uint32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

static __attribute__((noinline)) uint32_t ackermann(uint32_t m, uint32_t n) {
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}

static __attribute__((noinline)) int tak(int x, int y, int z) {
  return y >= x ? z : tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y));
}

static uint32_t queens(uint32_t all, uint32_t columns, uint32_t left, uint32_t right) {
  if (columns == all) return 1;
  uint32_t count = 0;
  for (uint32_t free = all & ~(columns | left | right); free;) {
    uint32_t bit = free & -free;
    free ^= bit;
    count += queens(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
  }
  return count;
}

typedef uint32_t step(uint32_t value, uint32_t depth);
static step add_step, rotate_step, multiply_step, xor_step;
static step *const steps[] = {add_step, rotate_step, multiply_step, xor_step};
static uint32_t go(uint32_t value, uint32_t depth) { return depth ? steps[value >> 7 & 3](value, depth - 1) + 1 : value; }
static uint32_t add_step(uint32_t value, uint32_t depth) { return go(value + 0x9e3779b9u, depth) ^ depth; }
static uint32_t rotate_step(uint32_t value, uint32_t depth) { return go(value << 5 | value >> 27, depth) + depth; }
static uint32_t multiply_step(uint32_t value, uint32_t depth) { return go(value * 16777619u, depth) ^ value; }
static uint32_t xor_step(uint32_t value, uint32_t depth) { return go(value ^ value >> 11, depth) - depth; }

static uint32_t run(void) {
  uint32_t sum = MIX_START;
  for (uint32_t round = 0; round < 4; round++) {
    sum = mix(sum, fib(32 + (round & 1)));
    sum = mix(sum, ackermann(3, 8));
    sum = mix(sum, (uint32_t)tak(18, 12, 6));
    sum = mix(sum, queens((1 << 11) - 1, 0, 0, 0));
    for (uint32_t i = 0; i < 60000; i++) sum = mix(sum, go((i + round) * 2654435761u, 64));
  }
  return sum;
}

const struct kernel recurse_kernel = {"recurse", NULL, run, 0};

/* Integer matrices: products by the textbook's triple loop, and a transposition in place. */
#include "kernel.h"

#define N 280

static int32_t (*const a)[N] = (int32_t(*)[N])arena;
static int32_t (*const b)[N] = (int32_t(*)[N])(arena + (1 << 20));
static int32_t (*const c)[N] = (int32_t(*)[N])(arena + (2 << 20));

static void setup(void) {
  uint32_t seed = 99;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) a[i][j] = (int32_t)(next_random(&seed) & 1023), b[i][j] = (int32_t)(next_random(&seed) & 1023);
}

static uint32_t run(void) {
  uint32_t sum = MIX_START;
  for (int round = 0; round < 6; round++) {
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++) {
        int32_t s = 0;
        for (int k = 0; k < N; k++) s += a[i][k] * b[k][j];
        c[i][j] = s;
      }
    for (int i = 0; i < N; i++)
      for (int j = 0; j < i; j++) {
        int32_t t = b[i][j];
        b[i][j] = b[j][i];
        b[j][i] = t;
      }
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++) sum = mix(sum, (uint32_t)c[i][j]), a[i][j] = c[i][j] & 1023;
  }
  return sum;
}

const struct kernel matrix_kernel = {"matrix", setup, run, 0};

/* Radix-2 fast Fourier transforms of 16,384 complex numbers, there and back. */
#include "kernel.h"

#define BITS 14
#define N (1u << BITS)

struct complex {
  double r, i;
};
static struct complex *const data = (struct complex *)arena;
static struct complex *const roots = (struct complex *)(arena + (1u << 20));

/* exp(-2 pi i k / N) by halving angles: sqrt only, no library. */
static void make_roots(void) {
  struct complex root = {-1, 0};
  roots[0] = (struct complex){1, 0};
  for (uint32_t half = N / 2; half; half >>= 1) {
    for (uint32_t k = half; k < N; k += 2 * half) {
      struct complex p = roots[k - half];
      roots[k] = (struct complex){p.r * root.r - p.i * root.i, p.r * root.i + p.i * root.r};
    }
    double c = __builtin_sqrt((1 + root.r) / 2), s = half == N / 2 ? -1 : -__builtin_sqrt((1 - root.r) / 2);
    root = (struct complex){c, s};
  }
}

static void transform(int inverse) {
  for (uint32_t i = 1, j = 0; i < N; i++) {
    uint32_t bit = N >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      struct complex t = data[i];
      data[i] = data[j];
      data[j] = t;
    }
  }
  for (uint32_t size = 2; size <= N; size <<= 1)
    for (uint32_t start = 0; start < N; start += size)
      for (uint32_t k = 0; k < size / 2; k++) {
        struct complex w = roots[k * (N / size)], *a = data + start + k, *b = a + size / 2;
        double wi = inverse ? -w.i : w.i;
        double r = b->r * w.r - b->i * wi, i = b->r * wi + b->i * w.r;
        b->r = a->r - r, b->i = a->i - i;
        a->r += r, a->i += i;
      }
}

static void setup(void) {
  uint32_t seed = 8;
  make_roots();
  for (uint32_t k = 0; k < N; k++)
    data[k] = (struct complex){(double)(int32_t)next_random(&seed) / 2147483648.0, (double)(int32_t)next_random(&seed) / 2147483648.0};
}

static uint32_t run(void) {
  uint32_t sum = MIX_START;
  for (int round = 0; round < FLOAT_ROUNDS(48); round++) {
    transform(0);
    sum = mix_double(sum, data[round * 300 + 1].r);
    transform(1);
    for (uint32_t k = 0; k < N; k++) data[k].r *= 1.0 / N, data[k].i *= 1.0 / N;
  }
  for (uint32_t k = 0; k < N; k += 97) sum = mix_double(sum, data[k].i);
  return sum;
}

const struct kernel fft_kernel = {"fft", setup, run, 0};

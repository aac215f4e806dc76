/* The Mandelbrot set, double precision, a point at a time. */
#include "kernel.h"

#define SIZE 450
#define ITERATIONS FLOAT_ROUNDS(200)

static uint32_t run(void) {
  uint32_t sum = MIX_START;
  for (int row = 0; row < SIZE; row++)
    for (int column = 0; column < SIZE; column++) {
      double cr = 2.0 * column / SIZE - 1.5, ci = 2.0 * row / SIZE - 1.0, zr = 0, zi = 0;
      uint32_t n = 0;
      for (; n < ITERATIONS; n++) {
        double r2 = zr * zr, i2 = zi * zi;
        if (r2 + i2 > 4.0) break;
        zi = 2 * zr * zi + ci;
        zr = r2 - i2 + cr;
      }
      sum = mix(sum, n);
    }
  return sum;
}

const struct kernel mandelbrot_kernel = {"mandelbrot", NULL, run, 0};

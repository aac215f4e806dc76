/* Linear equations by LU decomposition with partial pivoting, as LINPACK's dgefa and dgesl: column by column, daxpy. */
#include "kernel.h"

#define N 300
#define ROUNDS FLOAT_ROUNDS(8)

static double (*const a)[N] = (double(*)[N])arena; /* a[column][row] */
static double *const b = (double *)(arena + (2u << 20));
static int pivots[N];

static void fill(void) {
  uint32_t seed = 1325;
  for (int i = 0; i < N; i++) b[i] = 0;
  for (int j = 0; j < N; j++)
    for (int i = 0; i < N; i++) {
      a[j][i] = (double)(int32_t)next_random(&seed) / 2147483648.0;
      b[i] += a[j][i];
    }
}

static __attribute__((noinline)) void daxpy(int n, double factor, const double *x, double *y) {
  for (int i = 0; i < n; i++) y[i] += factor * x[i];
}

static void factor(void) {
  for (int k = 0; k < N - 1; k++) {
    int p = k;
    for (int i = k + 1; i < N; i++)
      if (__builtin_fabs(a[k][i]) > __builtin_fabs(a[k][p])) p = i;
    pivots[k] = p;
    double t = a[k][p];
    a[k][p] = a[k][k];
    a[k][k] = t;
    for (int i = k + 1; i < N; i++) a[k][i] *= -1 / t;
    for (int j = k + 1; j < N; j++) {
      double s = a[j][p];
      a[j][p] = a[j][k];
      a[j][k] = s;
      daxpy(N - k - 1, s, a[k] + k + 1, a[j] + k + 1);
    }
  }
}

static void solve(void) {
  for (int k = 0; k < N - 1; k++) {
    double t = b[pivots[k]];
    b[pivots[k]] = b[k];
    b[k] = t;
    daxpy(N - k - 1, t, a[k] + k + 1, b + k + 1);
  }
  for (int k = N - 1; k >= 0; k--) {
    b[k] /= a[k][k];
    daxpy(k, -b[k], a[k], b);
  }
}

static uint32_t run(void) {
  uint32_t sum = MIX_START;
  for (int round = 0; round < ROUNDS; round++) {
    fill();
    factor();
    solve();
    for (int i = 0; i < N; i++) sum = mix_double(sum, b[i]);
  }
  return sum;
}

const struct kernel linpack_kernel = {"linpack", NULL, run, 0};

/* Quicksort (median of three, insertion sort for short runs) and heapsort of 32-bit keys. */
#include "kernel.h"

#define COUNT 1000000
#define ROUNDS 3

static void insertion(uint32_t *a, long n) {
  for (long i = 1; i < n; i++) {
    uint32_t v = a[i];
    long j = i;
    for (; j > 0 && a[j - 1] > v; j--) a[j] = a[j - 1];
    a[j] = v;
  }
}

static inline void swap(uint32_t *a, uint32_t *b) {
  uint32_t t = *a;
  *a = *b;
  *b = t;
}

static void quick(uint32_t *a, long n) {
  while (n > 16) {
    long m = n >> 1;
    if (a[m] < a[0]) swap(a, a + m);
    if (a[n - 1] < a[0]) swap(a, a + n - 1);
    if (a[n - 1] < a[m]) swap(a + m, a + n - 1);
    uint32_t pivot = a[m];
    long i = 0, j = n - 1;
    while (i <= j) {
      while (a[i] < pivot) i++;
      while (a[j] > pivot) j--;
      if (i <= j) swap(a + i++, a + j--);
    }
    quick(a, j + 1);
    a += i;
    n -= i;
  }
  insertion(a, n);
}

static void sift(uint32_t *a, long root, long n) {
  uint32_t v = a[root];
  for (long child; (child = 2 * root + 1) < n; root = child) {
    if (child + 1 < n && a[child] < a[child + 1]) child++;
    if (v >= a[child]) break;
    a[root] = a[child];
  }
  a[root] = v;
}

static void heap(uint32_t *a, long n) {
  for (long i = n / 2; i-- > 0;) sift(a, i, n);
  for (long i = n; i-- > 1;) {
    swap(a, a + i);
    sift(a, 0, i);
  }
}

static void setup(void) {
  uint32_t seed = 12345, *a = (uint32_t *)arena;
  for (long i = 0; i < COUNT; i++) a[i] = next_random(&seed);
}

static uint32_t run(void) {
  uint32_t *keys = (uint32_t *)arena, *a = keys + COUNT, *b = a + COUNT, sum = MIX_START;
  for (uint32_t round = 0; round < ROUNDS; round++) {
    for (long i = 0; i < COUNT; i++) a[i] = keys[i] ^ round;
    for (long i = 0; i < COUNT / 2; i++) b[i] = keys[i] + round;
    quick(a, COUNT);
    heap(b, COUNT / 2);
    for (long i = 0; i < COUNT; i++) sum = mix(sum, a[i]);
    for (long i = 0; i < COUNT / 2; i++) sum = mix(sum, b[i]);
  }
  return sum;
}

const struct kernel sort_kernel = {"sort", setup, run, 0};

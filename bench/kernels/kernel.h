/* What every kernel of the suite sees. No C library: one source builds for 32 and 64 bits wherever gcc is. */
#ifndef KERNEL_H
#define KERNEL_H
#include <stddef.h>
#include <stdint.h>

/* A kernel: `setup` is not timed (may be NULL); `run` does a fixed amount of work and returns a checksum of its results. */
struct kernel {
  const char *name;
  void (*setup)(void);
  uint32_t (*run)(void);
  /* Bits of CPUID.(EAX=7,ECX=0):EBX that the kernel needs; 0 for none. */
  uint32_t needs;
};

/* Scratch memory of all kernels, page-aligned. */
#define ARENA_BYTES (72u << 20)
extern uint8_t arena[ARENA_BYTES];

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

/* Rounds of a floating-point kernel: a fourth on the x87, which every emulator finds hard. */
#ifdef __SSE2_MATH__
#define FLOAT_ROUNDS(n) (n)
#else
#define FLOAT_ROUNDS(n) ((n) / 4)
#endif

/* xorshift32: the same sequence everywhere. */
static inline uint32_t next_random(uint32_t *state) {
  uint32_t x = *state;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return *state = x;
}

/* One step of a checksum (FNV-1a over words). */
static inline uint32_t mix(uint32_t sum, uint32_t value) { return (sum ^ value) * 16777619u; }
#define MIX_START 2166136261u

/* All bits of a double: a difference in the last place shows. */
static inline uint32_t mix_double(uint32_t sum, double value) {
  union {
    double d;
    uint32_t w[2];
  } u = {.d = value};
  return mix(mix(sum, u.w[0]), u.w[1]);
}

extern const struct kernel aes_kernel, avx2_kernel, calls_kernel, chase_kernel, compress_kernel, copy_kernel, fft_kernel, hash_kernel, interp_kernel,
    linpack_kernel, mandelbrot_kernel, matrix_kernel, nbody_kernel, pipe_kernel, recurse_kernel,
    sha256_kernel, sieve_kernel, sort_kernel, sse2_kernel, strings_kernel;
#endif

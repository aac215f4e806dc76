/*
 * suite NAME [RUNS]: runs a kernel; for each run a line `go NAME` when its time begins, and one when it ends: name, checksum
 * (hexadecimal), microseconds by the guest's clock.
 * suite list: the names; suite data: 2 MiB for other programs to work on. Starts without a C library, by raw system calls.
 */
#include "kernel.h"
#include "system.h"

uint8_t arena[ARENA_BYTES] __attribute__((aligned(4096)));

/* The suite, and behind it what measures the operating system rather than the processor. */
static const struct kernel *const kernels[] = {
    &sort_kernel,    &hash_kernel,   &sieve_kernel, &matrix_kernel, &compress_kernel, &interp_kernel,
    &recurse_kernel, &strings_kernel, &sha256_kernel, &aes_kernel,  &nbody_kernel,    &mandelbrot_kernel,
    &fft_kernel,     &linpack_kernel, &sse2_kernel, &avx2_kernel,   &chase_kernel,    &copy_kernel,
    /* system */
    &pipe_kernel,    &calls_kernel,
};
#define KERNELS (sizeof kernels / sizeof *kernels)

/* `suite data`: a mebibyte of text and one of noise, always the same. */
static void data(void) {
  compress_kernel.setup();
  system_call(SYS_WRITE, 1, (long)arena, 1 << 20, 0);
  uint32_t seed = 1;
  for (uint32_t i = 0; i < 1u << 20; i++) arena[i] = (uint8_t)next_random(&seed);
  system_call(SYS_WRITE, 1, (long)arena, 1 << 20, 0);
}

#ifdef __x86_64__
__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
#else
__asm__(".globl _start\n_start: mov %esp, %eax\n and $-16, %esp\n sub $12, %esp\n push %eax\n call begin\n");
#endif

static void print(const char *text) { system_call(SYS_WRITE, 1, (long)text, (long)strlen(text), 0); }

/* Microseconds of CLOCK_MONOTONIC, modulo 2^32 (71 minutes). */
static uint32_t now(void) {
  long t[2];
  system_call(SYS_CLOCK, 1, (long)t, 0, 0);
  return (uint32_t)t[0] * 1000000u + (uint32_t)t[1] / 1000u;
}

static int same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

/* Appends `value` in `base` to `to`; returns the new end. */
static char *number(char *to, uint32_t value, uint32_t base) {
  char digits[12];
  int n = 0;
  do digits[n++] = "0123456789abcdef"[value % base];
  while ((value /= base));
  while (n) *to++ = digits[--n];
  return to;
}

static void run(const struct kernel *k) {
  if (k->setup) k->setup();
  print("go "), print(k->name), print("\n");
  uint32_t start = now();
  uint32_t checksum = k->run();
  uint32_t took = now() - start;
  char line[80], *end = line;
  for (const char *s = k->name; *s; s++) *end++ = *s;
  *end++ = ' ';
  end = number(end, checksum, 16);
  *end++ = ' ';
  end = number(end, took, 10);
  *end++ = '\n';
  system_call(SYS_WRITE, 1, (long)line, end - line, 0);
}

/* Whether processor and operating system have what `k` asks for (Intel SDM volume 1, 14.3: OSXSAVE, XCR0, leaf 7). */
static int usable(const struct kernel *k) {
  if (!k->needs) return 1;
  uint32_t a = 1, b, c = 0, d;
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  if (!(c & 1u << 27)) return 0;
  uint32_t xcr0, high;
  __asm__("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
  if ((xcr0 & 6) != 6) return 0;
  a = 7;
  c = 0;
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return (b & k->needs) == k->needs;
}

static int suite(int argc, char **argv) {
  int runs = 0;
  if (argc > 2)
    for (const char *s = argv[2]; *s >= '0' && *s <= '9'; s++) runs = runs * 10 + (*s - '0');
  if (runs < 1) runs = 1;
  for (size_t i = 0; i < KERNELS; i++) {
    if (argc > 1 && same(argv[1], "list")) {
      print(kernels[i]->name);
      print("\n");
    } else if (argc > 1 && same(argv[1], kernels[i]->name)) {
      if (!usable(kernels[i])) {
        print("the processor lacks what this kernel needs\n");
        return 2;
      }
      while (runs--) run(kernels[i]);
      return 0;
    }
  }
  if (argc > 1 && same(argv[1], "list")) return 0;
  if (argc > 1 && same(argv[1], "data")) {
    data();
    return 0;
  }
  print("suite: which kernel? `suite list` names them\n");
  return 1;
}

__attribute__((used, noreturn)) void begin(long *stack) {
  system_call(SYS_EXIT, suite((int)stack[0], (char **)(stack + 1)), 0, 0, 0);
  for (;;);
}

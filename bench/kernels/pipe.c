/* Two processes that hand a word to and fro over two pipes: each round is two context switches and four system calls. */
#include "kernel.h"
#include "system.h"

#define ROUNDS 20000

static uint32_t run(void) {
  int there[2], back[2];
  uint32_t word = 0;
  if (system_call(SYS_PIPE, (long)there, 0, 0, 0) < 0 || system_call(SYS_PIPE, (long)back, 0, 0, 0) < 0) return 0;
  long child = system_call(SYS_FORK, 0, 0, 0, 0);
  if (child < 0) return 0;
  if (child == 0) {
    for (int i = 0; i < ROUNDS; i++) {
      system_call(SYS_READ, there[0], (long)&word, sizeof word, 0);
      word = word * 5 + 1;
      system_call(SYS_WRITE, back[1], (long)&word, sizeof word, 0);
    }
    system_call(SYS_EXIT, 0, 0, 0, 0);
  }
  for (int i = 0; i < ROUNDS; i++) {
    system_call(SYS_WRITE, there[1], (long)&word, sizeof word, 0);
    system_call(SYS_READ, back[0], (long)&word, sizeof word, 0);
  }
  system_call(SYS_WAIT4, child, 0, 0, 0);
  return word;
}

const struct kernel pipe_kernel = {"pipe", NULL, run, 0};

/* Runs the flat binary of workloads.c: arguments binary, address to load it at; reads pairs (which, seed), writes results. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  FILE *f = fopen(argv[1], "rb");
  uint8_t *at = (uint8_t *)strtoul(argv[2], 0, 0);
  uint8_t *code =
      mmap(at, 1 << 20, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  static uint8_t memory[65536] __attribute__((aligned(4096)));
  if (!f || code != at || fread(code, 1, 1 << 20, f) == 0) return 3;
  uint32_t task[2];
  while (fread(task, 4, 2, stdin) == 2) {
    uint64_t result = ((uint64_t(*)(uint8_t *, uint32_t, uint32_t))code)(memory, task[0], task[1]);
    fwrite(&result, 8, 1, stdout);
    fwrite(memory, 1, sizeof memory, stdout);
  }
  return 0;
}

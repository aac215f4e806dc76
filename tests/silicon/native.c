/*
 * Runs single instructions on the host's processor. Reads records from standard input, writes them back changed.
 * A record's code runs with RDI = its memory, RSI = 1 KiB more on a 64-byte boundary, RAX and the arithmetic flags from the record, x87/SSE/AVX state from its
 * XSAVE image (standard format, 832 bytes). `signal` comes back as the signal the code raised, 0 for none.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct record {
  uint32_t length;
  uint32_t signal;
  uint8_t code[24];
  uint64_t rax;
  uint64_t flags;
  uint8_t memory[64];
  uint8_t pad[16];
  uint8_t xsave[832];
  uint8_t extra[1024];
} __attribute__((aligned(64)));

static struct record *current;
static sigjmp_buf back;

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)info;
  ucontext_t *uc = context;
  memcpy(current->xsave, uc->uc_mcontext.fpregs, sizeof current->xsave);
  memset(current->xsave + 464, 0, 48); /* software-reserved bytes of the signal frame */
  current->rax = uc->uc_mcontext.gregs[REG_RAX];
  current->flags = uc->uc_mcontext.gregs[REG_EFL];
  current->signal = number;
  siglongjmp(back, 1);
}

int main(void) {
  static uint8_t stack[65536];
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&alternate, 0);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  sigaction(SIGFPE, &action, 0);
  sigaction(SIGILL, &action, 0);
  sigaction(SIGSEGV, &action, 0);
  sigaction(SIGTRAP, &action, 0);
  uint8_t *page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  static const uint8_t before[] = {
      0x53, 0x48, 0x89, 0xfb,                         /* push rbx; mov rbx, rdi */
      0xb8, 7, 0, 0, 0, 0x31, 0xd2,                   /* mov eax, 7; xor edx, edx */
      0x0f, 0xae, 0xab, 0x80, 0, 0, 0,                /* xrstor [rbx + 128] */
      0xff, 0x73, 0x28, 0x9d,                         /* push qword [rbx + 40]; popfq */
      0x48, 0x8b, 0x43, 0x20, 0x48, 0x8d, 0x7b, 0x30, /* mov rax, [rbx + 32]; lea rdi, [rbx + 48] */
      0x48, 0x8d, 0xb3, 0xc0, 3, 0, 0,                /* lea rsi, [rbx + 960] */
  };
  static const uint8_t after[] = {
      0x48, 0x89, 0x43, 0x20, 0x9c, 0x8f, 0x43, 0x28, /* mov [rbx + 32], rax; pushfq; pop [rbx + 40] */
      0xb8, 7,    0,    0,    0,    0x31, 0xd2,       /* mov eax, 7; xor edx, edx */
      0x0f, 0xae, 0xa3, 0x80, 0,    0,    0,          /* xsave [rbx + 128] */
      0xdb, 0xe3, 0x68, 0x80, 0x1f, 0,    0,          /* fninit; push 0x1f80 */
      0x0f, 0xae, 0x14, 0x24, 0x58, 0x5b, 0xc3,       /* ldmxcsr [rsp]; pop rax; pop rbx; ret */
  };
  memcpy(page, before, sizeof before);
  static struct record record;
  while (fread(&record, 1, sizeof record, stdin) == sizeof record) {
    current = &record;
    record.signal = 0;
    memcpy(page + sizeof before, record.code, record.length);
    memcpy(page + sizeof before + record.length, after, sizeof after);
    if (sigsetjmp(back, 1) == 0) ((void (*)(struct record *))page)(&record);
    else __asm__ volatile("fninit");
    fwrite(&record, 1, sizeof record, stdout);
  }
  return 0;
}

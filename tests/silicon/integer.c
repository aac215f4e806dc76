/*
 * Runs short instruction sequences on the host's processor with all general registers, flags and a page of memory given.
 * Reads records from standard input, writes them back changed. `signal` comes back as the signal raised, 0 for none.
 * Code and data lie at fixed addresses, so that an emulator can use the same.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <asm/ldt.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <ucontext.h>

#define AREA 0x20000000ul
#define CODE (AREA + 0x800)
#define STATE (AREA + 0x1000)
#define DATA (AREA + 0x2000)

struct record {
  uint32_t length;
  uint32_t signal;
  uint64_t flags; /* bits 32..33: 0 64-bit code, 1 32-bit code, 2 16-bit code with segments that start at AREA */
  uint64_t registers[16];
  uint8_t code[48];
  uint8_t data[1024];
};

/* At STATE: registers[16], flags, where the code ends up, the host's stack pointer. */
struct state {
  uint64_t registers[16], flags, end, host;
};

static sigjmp_buf back;
static volatile uint32_t raised;
static const int ORDER[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)info;
  ucontext_t *uc = context;
  struct state *s = (struct state *)STATE;
  for (int i = 0; i < 16; i++) s->registers[i] = uc->uc_mcontext.gregs[ORDER[i]];
  s->flags = uc->uc_mcontext.gregs[REG_EFL];
  raised = number;
  siglongjmp(back, 1);
}

void enter(void);
void enter32(void);
void enter16(void);
extern char leave[], leave32[];
__asm__(".text\n"
        "enter:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsp, 0x20001090\n"
        "push 0x20001080; popfq\n"
        "mov 0x20001000, %rax; mov 0x20001008, %rcx; mov 0x20001010, %rdx; mov 0x20001018, %rbx\n"
        "mov 0x20001020, %rsp; mov 0x20001028, %rbp; mov 0x20001030, %rsi; mov 0x20001038, %rdi\n"
        "mov 0x20001040, %r8; mov 0x20001048, %r9; mov 0x20001050, %r10; mov 0x20001058, %r11\n"
        "mov 0x20001060, %r12; mov 0x20001068, %r13; mov 0x20001070, %r14; mov 0x20001078, %r15\n"
        "jmp *code_address(%rip)\n"
        "leave32:\n"
        "leave:\n"
        "mov %rax, 0x20001000; mov %rcx, 0x20001008; mov %rdx, 0x20001010; mov %rbx, 0x20001018\n"
        "mov %rsp, 0x20001020; mov %rbp, 0x20001028; mov %rsi, 0x20001030; mov %rdi, 0x20001038\n"
        "mov %r8, 0x20001040; mov %r9, 0x20001048; mov %r10, 0x20001050; mov %r11, 0x20001058\n"
        "mov %r12, 0x20001060; mov %r13, 0x20001068; mov %r14, 0x20001070; mov %r15, 0x20001078\n"
        "mov 0x20001090, %rsp\n"
        "pushfq; pop 0x20001080; cld\n"
        "mov $0x2b, %eax; mov %eax, %ss; mov %eax, %ds; mov %eax, %es\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n"
        "code_address: .quad 0x20000800\n"
        /* 32-bit code: CS 0x23 of Linux is flat; it comes back through a far jump to CS 0x33. */
        "enter32:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsp, 0x20001090\n"
        "push 0x20001080; popfq\n"
        "mov 0x20001000, %rax; mov 0x20001008, %rcx; mov 0x20001010, %rdx; mov 0x20001018, %rbx\n"
        "mov 0x20001028, %rbp; mov 0x20001030, %rsi; mov 0x20001038, %rdi\n"
        "mov 0x20001020, %rsp\n"
        "ljmp *far_code(%rip)\n"
        "far_code: .long 0x20000800; .word 0x23\n"
        /* 16-bit code: the first two descriptors of the LDT. */
        "enter16:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsp, 0x20001090\n"
        "push 0x20001080; popfq\n"
        "mov 0x20001000, %rax; mov 0x20001008, %rcx; mov 0x20001010, %rdx; mov 0x20001018, %rbx\n"
        "mov 0x20001028, %rbp; mov 0x20001030, %rsi; mov 0x20001038, %rdi\n"
        "movw $0xf, 0x20001098; mov 0x20001098, %ds; mov 0x20001098, %es; mov 0x20001098, %ss\n"
        "mov 0x20001020, %rsp\n"
        "ljmp *far_code16(%rip)\n"
        "far_code16: .long 0x800; .word 0x7\n");

int main(void) {
  static uint8_t stack[65536];
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&alternate, 0);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  int numbers[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGTRAP};
  for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaction(numbers[i], &action, 0);
  if (mmap((void *)AREA, 0x4000, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
           0) != (void *)AREA)
    return 1;
  struct user_desc segments[2] = {
      {.entry_number = 0, .base_addr = AREA, .limit = 0xffff, .contents = MODIFY_LDT_CONTENTS_CODE},
      {.entry_number = 1, .base_addr = AREA, .limit = 0xffff},
  };
  for (int i = 0; i < 2; i++)
    if (syscall(SYS_modify_ldt, 1, &segments[i], sizeof segments[i]) != 0) return 2;
  struct state *s = (struct state *)STATE;
  static struct record record;
  static const uint8_t jump[] = {0xff, 0x24, 0x25, 0x88, 0x10, 0x00, 0x20}; /* jmp [state.end] */
  while (fread(&record, sizeof record, 1, stdin) == 1) {
    memcpy(s->registers, record.registers, sizeof s->registers);
    s->flags = record.flags;
    s->end = (uint64_t)leave;
    memcpy((void *)DATA, record.data, sizeof record.data);
    memcpy((void *)CODE, record.code, record.length);
    int narrow = record.flags >> 32 & 3;
    s->flags = (uint32_t)record.flags;
    if (narrow) {
      uint8_t far[] = {0x66, 0xea, 0, 0, 0, 0, 0x33, 0}; /* jmp 0x33:leave; 32-bit code does without the prefix */
      uint32_t to = (uint32_t)(uint64_t)leave32;
      memcpy(far + 2, &to, 4);
      memcpy((void *)(CODE + record.length), far + (narrow == 1), sizeof far - (narrow == 1));
    } else memcpy((void *)(CODE + record.length), jump, sizeof jump);
    raised = 0;
    if (narrow == 1) __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(0x2b));
    if (sigsetjmp(back, 1) == 0) (narrow == 0 ? enter : narrow == 1 ? enter32 : enter16)();
    else __asm__ volatile("cld; mov %0, %%ss; mov %0, %%ds; mov %0, %%es" ::"r"(0x2b));
    record.signal = raised;
    memcpy(record.registers, s->registers, sizeof s->registers);
    record.flags = s->flags | (uint64_t)narrow << 32;
    memcpy(record.data, (void *)DATA, sizeof record.data);
    fwrite(&record, sizeof record, 1, stdout);
  }
  return 0;
}

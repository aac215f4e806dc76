/* An interpreter of a byte code for a stack machine, one big switch, running prime counting and a bubble sort. */
#include "kernel.h"

enum op {
  HALT, PUSH8, PUSH32, LOAD, STORE, GETI, PUTI, ADD, SUB, MUL, DIV, MOD, AND, OR, XOR, SHL, SHR, NEG, NOT, EQ, NE, LT, LE, GT,
  GE, JUMP, JZ, JNZ, CALL, RET, DUP, DROP, SWAP, OVER, INC, DEC, MIX, NOP
};


static uint8_t code[1024];
static int length;
static int32_t stack[256], frames[64], variables[32];
static int32_t *const memory = (int32_t *)arena;

static void emit(int byte) { code[length++] = (uint8_t)byte; }
static void emit16(int value) { emit(value), emit(value >> 8); }
static void emit_variable(int op, int variable) { emit(op), emit(variable); }
static void push(int32_t value) {
  if (value == (int8_t)value) return emit(PUSH8), emit(value);
  emit(PUSH32), emit16(value), emit16(value >> 16);
}
static int jump_forward(int op) {
  emit(op), emit16(0);
  return length - 2;
}
static void land(int at) { code[at] = (uint8_t)length, code[at + 1] = (uint8_t)(length >> 8); }
static void jump_back(int op, int to) { emit(op), emit16(to); }

static uint32_t execute(void) {
  uint32_t pc = 0, sum = MIX_START;
  int32_t *sp = stack, *fp = frames;
  for (;;) {
    switch ((enum op)code[pc++]) {
    case HALT: return sum;
    case PUSH8: *sp++ = (int8_t)code[pc++]; break;
    case PUSH32:
      *sp++ = (int32_t)(code[pc] | code[pc + 1] << 8 | code[pc + 2] << 16 | (uint32_t)code[pc + 3] << 24);
      pc += 4;
      break;
    case LOAD: *sp++ = variables[code[pc++]]; break;
    case STORE: variables[code[pc++]] = *--sp; break;
    case GETI: sp[-1] = memory[sp[-1]]; break;
    case PUTI: sp -= 2, memory[sp[1]] = sp[0]; break;
    case ADD: sp--, sp[-1] += sp[0]; break;
    case SUB: sp--, sp[-1] -= sp[0]; break;
    case MUL: sp--, sp[-1] = (int32_t)((uint32_t)sp[-1] * (uint32_t)sp[0]); break;
    case DIV: sp--, sp[-1] = sp[0] ? sp[-1] / sp[0] : 0; break;
    case MOD: sp--, sp[-1] = sp[0] ? sp[-1] % sp[0] : 0; break;
    case AND: sp--, sp[-1] &= sp[0]; break;
    case OR: sp--, sp[-1] |= sp[0]; break;
    case XOR: sp--, sp[-1] ^= sp[0]; break;
    case SHL: sp--, sp[-1] = (int32_t)((uint32_t)sp[-1] << (sp[0] & 31)); break;
    case SHR: sp--, sp[-1] = (int32_t)((uint32_t)sp[-1] >> (sp[0] & 31)); break;
    case NEG: sp[-1] = -sp[-1]; break;
    case NOT: sp[-1] = !sp[-1]; break;
    case EQ: sp--, sp[-1] = sp[-1] == sp[0]; break;
    case NE: sp--, sp[-1] = sp[-1] != sp[0]; break;
    case LT: sp--, sp[-1] = sp[-1] < sp[0]; break;
    case LE: sp--, sp[-1] = sp[-1] <= sp[0]; break;
    case GT: sp--, sp[-1] = sp[-1] > sp[0]; break;
    case GE: sp--, sp[-1] = sp[-1] >= sp[0]; break;
    case JUMP: pc = (uint32_t)(code[pc] | code[pc + 1] << 8); break;
    case JZ: pc = *--sp ? pc + 2 : (uint32_t)(code[pc] | code[pc + 1] << 8); break;
    case JNZ: pc = *--sp ? (uint32_t)(code[pc] | code[pc + 1] << 8) : pc + 2; break;
    case CALL: *fp++ = (int32_t)pc + 2, pc = (uint32_t)(code[pc] | code[pc + 1] << 8); break;
    case RET: pc = (uint32_t)*--fp; break;
    case DUP: sp[0] = sp[-1], sp++; break;
    case DROP: sp--; break;
    case SWAP: { int32_t t = sp[-1]; sp[-1] = sp[-2], sp[-2] = t; break; }
    case OVER: sp[0] = sp[-2], sp++; break;
    case INC: variables[code[pc++]]++; break;
    case DEC: variables[code[pc++]]--; break;
    case MIX: sum = mix(sum, (uint32_t)*--sp); break;
    case NOP: break;
    }
  }
}

/* Variables of the programs. */
enum { I, J, N, PRIMES, SEED };

/* Counts primes below `limit` by trial division. */
static void primes(int32_t limit) {
  push(2), emit_variable(STORE, I), push(0), emit_variable(STORE, PRIMES);
  int outer = length;
  push(2), emit_variable(STORE, J);
  int inner = length;
  emit_variable(LOAD, J), emit(DUP), emit(MUL), emit_variable(LOAD, I), emit(GT);
  int prime = jump_forward(JNZ);
  emit_variable(LOAD, I), emit_variable(LOAD, J), emit(MOD);
  int composite = jump_forward(JZ);
  emit_variable(INC, J), jump_back(JUMP, inner);
  land(prime);
  emit_variable(INC, PRIMES), emit_variable(LOAD, I), emit(MIX);
  land(composite);
  emit_variable(INC, I), emit_variable(LOAD, I), push(limit), emit(LT), jump_back(JNZ, outer);
  emit_variable(LOAD, PRIMES), emit(MIX);
}

/* Fills `count` cells by a generator in a subroutine and sorts them by exchanging neighbours. */
static void bubbles(int32_t count) {
  int over = jump_forward(JUMP), generator = length;
  emit_variable(LOAD, SEED), push(1103515245), emit(MUL), push(12345), emit(ADD), emit(DUP), emit_variable(STORE, SEED);
  push(16), emit(SHR), emit(RET);
  land(over);
  push(42), emit_variable(STORE, SEED), push(0), emit_variable(STORE, I);
  int fill = length;
  jump_back(CALL, generator), emit_variable(LOAD, I), emit(PUTI);
  emit_variable(INC, I), emit_variable(LOAD, I), push(count), emit(LT), jump_back(JNZ, fill);
  push(count - 1), emit_variable(STORE, N);
  int pass = length;
  push(0), emit_variable(STORE, I);
  int step = length;
  emit_variable(LOAD, I), emit(GETI), emit_variable(LOAD, I), push(1), emit(ADD), emit(GETI), emit(LE);
  int ordered = jump_forward(JNZ);
  emit_variable(LOAD, I), emit(GETI), emit_variable(LOAD, I), push(1), emit(ADD), emit(GETI);
  emit_variable(LOAD, I), emit(PUTI), emit_variable(LOAD, I), push(1), emit(ADD), emit(PUTI);
  land(ordered);
  emit_variable(INC, I), emit_variable(LOAD, I), emit_variable(LOAD, N), emit(LT), jump_back(JNZ, step);
  emit_variable(DEC, N), emit_variable(LOAD, N), jump_back(JNZ, pass);
  push(0), emit_variable(STORE, I);
  int add = length;
  emit_variable(LOAD, I), emit(GETI), emit(MIX);
  emit_variable(INC, I), emit_variable(LOAD, I), push(count), emit(LT), jump_back(JNZ, add);
}

static void setup(void) {
  length = 0;
  primes(30000);
  bubbles(700);
  emit(HALT);
}

static uint32_t run(void) {
  uint32_t sum = MIX_START;
  for (int round = 0; round < 8; round++) sum = mix(sum, execute());
  return sum;
}

const struct kernel interp_kernel = {"interp", setup, run, 0};

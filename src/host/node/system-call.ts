// hot path
/**
 * System calls in a function of Node-API whose machine code is written out here. What a call costs beyond the kernel is mostly branches that
 * are predicted wrongly where the kernel, on its way back, makes the processor forget what it has learnt (as KVM does on many hosts): a
 * general binding has hundreds of them, this has next to none. `npm run bench:kvm -- exits` measures it.
 *
 * Node.js calls `napi_register_module_v1` of what it loads, and only there is an environment to make a function in: so the code comes in
 * a shared object, in memory that has no name.
 */
import type { Koffi } from './koffi.js';
import { sharedObject } from './shared-object.js';

/** Arguments of 0 to 2^53; gives a result of 0 and up (below 2^31), or a negative errno. */
export type SystemCall = (number: number, first: number, second: number, third: number) => number;

/** Number and arguments before the call, the result in the place of the number after it: 64 bits each. */
const WORDS = 4;
const WORD_BYTES = 8;
const HIGH = 2 ** 32;
const MFD_CLOEXEC = 1;

const ENTRY = 'napi_register_module_v1';

/** 64 bits, the lowest byte first. */
function quad(value: bigint | number): number[] {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
  return [...bytes];
}

/** The function: (napi_env, napi_callback_info) to undefined. */
const callCode = (words: bigint): number[] => [
  ...[0xf3, 0x0f, 0x1e, 0xfa], // endbr64
  ...[0x48, 0xb8, ...quad(words)], // mov rax, words
  ...[0x48, 0x8b, 0x78, 8], // mov rdi, [rax+8]
  ...[0x48, 0x8b, 0x70, 16], // mov rsi, [rax+16]
  ...[0x48, 0x8b, 0x50, 24], // mov rdx, [rax+24]
  ...[0x48, 0x8b, 0x00], // mov rax, [rax]
  ...[0x0f, 0x05], // syscall
  ...[0x48, 0xb9, ...quad(words)], // mov rcx, words
  ...[0x48, 0x89, 0x01], // mov [rcx], rax
  ...[0x31, 0xc0], // xor eax, eax
  0xc3, // ret
];

/** The entry: (napi_env, exports) to the function, which follows it. */
function entryCode(createFunction: bigint): number[] {
  const before = [
    ...[0xf3, 0x0f, 0x1e, 0xfa], // endbr64
    ...[0x48, 0x83, 0xec, 24], // sub rsp, 24
    ...[0x31, 0xf6], // xor esi, esi: no name
    ...[0x31, 0xd2], // xor edx, edx
  ];
  const after = [
    ...[0x45, 0x31, 0xc0], // xor r8d, r8d
    ...[0x4c, 0x8d, 0x4c, 0x24, 8], // lea r9, [rsp+8]
    ...[0x48, 0xb8, ...quad(createFunction)], // mov rax, napi_create_function
    ...[0xff, 0xd0], // call rax
    ...[0x48, 0x8b, 0x44, 0x24, 8], // mov rax, [rsp+8]
    ...[0x48, 0x83, 0xc4, 24], // add rsp, 24
    0xc3, // ret
  ];
  return [...before, ...[0x48, 0x8d, 0x0d, after.length, 0, 0, 0], ...after]; // lea rcx, [rip+function]
}

let made: SystemCall | null | undefined;

/** The calling thread's. Null where the host is no x86-64, or lets no code come from memory without a name. */
export function systemCall(koffi: Koffi): SystemCall | null {
  if (made === undefined) made = make(koffi);
  return made;
}

function make(koffi: Koffi): SystemCall | null {
  if (process.platform !== 'linux' || process.arch !== 'x64') return null;
  try {
    const pointer = koffi.alloc('uint64', WORDS);
    const words = new Int32Array(koffi.view(pointer, WORDS * WORD_BYTES));
    const createFunction = koffi.address(koffi.load(null).symbol('napi_create_function'));
    const code = Uint8Array.from([...entryCode(createFunction), ...callCode(koffi.address(pointer))]);
    const call = loadFunction(koffi, sharedObject(ENTRY, code));
    return (number, first, second, third) => {
      words[0] = number;
      words[1] = 0;
      words[2] = first;
      words[3] = first < HIGH ? 0 : first / HIGH;
      words[4] = second;
      words[5] = second < HIGH ? 0 : second / HIGH;
      words[6] = third;
      words[7] = third < HIGH ? 0 : third / HIGH;
      call();
      return words[0]!;
    };
  } catch {
    return null;
  }
}

/** Throws where the loader refuses it. */
function loadFunction(koffi: Koffi, object: Uint8Array): () => void {
  const libc = koffi.load('libc.so.6');
  const memory = libc.func('int memfd_create(const char *, unsigned int)')(
    'tinamou-system-call',
    MFD_CLOEXEC,
  ) as number;
  if (memory < 0) throw new Error(`memfd_create: errno ${koffi.errno()}`);
  try {
    libc.func('intptr_t write(int, void *, size_t)')(memory, object, object.length);
    // The loader takes two files of one name for the same: this name is the thread's own, which has one function.
    const thread = libc.func('int gettid()')() as number;
    const module: { exports: unknown } = { exports: {} };
    process.dlopen(module, `/proc/self/task/${thread}/fd/${memory}`);
    return module.exports as () => void;
  } finally {
    libc.func('int close(int)')(memory);
  }
}

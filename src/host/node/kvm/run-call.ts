// hot path
/**
 * KVM_RUN in a function of Node-API whose machine code is written out here. What a call costs beyond the kernel is mostly branches that are
 * predicted wrongly where the kernel, on its way back, makes the processor forget what it has learnt (as KVM does on many hosts): a general
 * binding has hundreds of them, this has next to none. `npm run bench:kvm -- exits` measures it.
 *
 * Node.js calls `napi_register_module_v1` of what it loads, and only there is an environment to make a function in: so the code comes in
 * a shared object, in memory that has no name.
 */
import { Request } from '../../../accel/kvm/abi.js';
import type { Koffi } from '../koffi.js';
import { sharedObject } from './shared-object.js';

/** KVM_RUN of the vCPU with this descriptor: 0, or a negative errno. */
export type RunCall = (fd: number) => number;

/** 32 bits each, shared with the code: the descriptor, and after the call its result. */
const WORDS = 2;
const WORD_BYTES = 4;
const SYS_IOCTL = 16;
const MFD_CLOEXEC = 1;

const ENTRY = 'napi_register_module_v1';

/** The lowest byte first. */
function long(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
}

/** 64 bits, the lowest byte first. */
function quad(value: bigint): number[] {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
  return [...bytes];
}

/** The function: (napi_env, napi_callback_info) to undefined. */
const runCode = (words: bigint): number[] => [
  ...[0xf3, 0x0f, 0x1e, 0xfa], // endbr64
  ...[0x49, 0xb8, ...quad(words)], // mov r8, words
  ...[0x41, 0x8b, 0x38], // mov edi, [r8]
  ...[0xbe, ...long(Request.KVM_RUN)], // mov esi, KVM_RUN
  ...[0x31, 0xd2], // xor edx, edx
  ...[0xb8, ...long(SYS_IOCTL)], // mov eax, ioctl
  ...[0x0f, 0x05], // syscall
  ...[0x41, 0x89, 0x40, WORD_BYTES], // mov [r8+4], eax
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

let made: RunCall | null | undefined;

/** The calling thread's. Null where the host is no x86-64, or lets no code come from memory without a name. */
export function runCall(koffi: Koffi): RunCall | null {
  if (made === undefined) made = make(koffi);
  return made;
}

function make(koffi: Koffi): RunCall | null {
  if (process.platform !== 'linux' || process.arch !== 'x64') return null;
  try {
    const pointer = koffi.alloc('uint32', WORDS);
    const words = new Int32Array(koffi.view(pointer, WORDS * WORD_BYTES));
    const createFunction = koffi.address(koffi.load(null).symbol('napi_create_function'));
    const code = Uint8Array.from([...entryCode(createFunction), ...runCode(koffi.address(pointer))]);
    const call = loadFunction(koffi, sharedObject(ENTRY, code));
    return (fd) => {
      words[0] = fd;
      call();
      return words[1]!;
    };
  } catch {
    return null;
  }
}

/** Throws where the loader refuses it. */
function loadFunction(koffi: Koffi, object: Uint8Array): () => void {
  const libc = koffi.load('libc.so.6');
  const memory = libc.func('int memfd_create(const char *, unsigned int)')('tinamou-kvm-run', MFD_CLOEXEC) as number;
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

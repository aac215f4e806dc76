// hot path
/** The system calls behind `HostCalls`, through koffi, which is loaded on the first use. */
import { close as closeInBackground } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { Request } from '../../../accel/kvm/abi.js';
import { KvmError } from '../../../accel/kvm/error.js';
import type { HostCalls, Mapping } from '../../../accel/kvm/host-calls.js';
import { UserError } from '../../../base/errors.js';
import { loadKoffi } from '../koffi.js';
import { type RunCall, runCall } from './run-call.js';

const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const EFD_NONBLOCK_CLOEXEC = 0o2004000;
/** SIGRTMIN+2: the C library keeps the first ones, Node takes SIGUSR1. */
const KICK_SIGNAL = 36;
/** glibc's struct sigaction on x86-64: handler, 128 bytes of mask, flags, restorer. */
const SIGACTION_BYTES = 152;

const ERRNO_NAMES = new Map(Object.entries(osConstants.errno).map(([name, number]) => [number as number, name]));

let loaded: HostCalls | undefined;

/** Throws UserError where there is no Linux, or no koffi. */
export function linuxCalls(): HostCalls {
  loaded ??= load();
  return loaded;
}

function load(): HostCalls {
  if (process.platform !== 'linux') throw new UserError('KVM is a part of Linux: use -accel tcg here');
  const koffi = loadKoffi();
  if (!koffi) throw new UserError("could not load the package koffi, which KVM needs: run 'npm ci', or use -accel tcg");
  const libc = koffi.load('libc.so.6');
  const open: (path: string, flags: number) => number = libc.func('int open(const char *, int)');
  const close: (fd: number) => number = libc.func('int close(int)');
  const ioctl: (fd: number, request: number, argument: number) => number = libc.func(
    'int ioctl(int, unsigned long, unsigned long)',
  );
  const ioctlBytes: (fd: number, request: number, argument: Uint8Array) => number = libc.func('ioctl', 'int', [
    'int',
    'unsigned long',
    'void *',
  ]);
  const mmap: (at: null, bytes: number, protection: number, flags: number, fd: number, offset: number) => unknown =
    libc.func('void *mmap(void *, size_t, int, int, int, intptr_t)');
  const munmap: (at: bigint, bytes: number) => number = libc.func('munmap', 'int', ['uint64', 'size_t']);
  const makeEventfd: (initial: number, flags: number) => number = libc.func('int eventfd(unsigned int, int)');
  const read: (fd: number, to: Uint8Array, bytes: number) => number = libc.func('intptr_t read(int, void *, size_t)');
  const write: (fd: number, from: Uint8Array, bytes: number) => number = libc.func(
    'intptr_t write(int, void *, size_t)',
  );
  const gettid: () => number = libc.func('int gettid()');
  const tgkill: (process: number, thread: number, signal: number) => number = libc.func('int tgkill(int, int, int)');
  const sigaction: (signal: number, action: Uint8Array, old: null) => number = libc.func(
    'int sigaction(int, void *, void *)',
  );

  /** Made when a vCPU is first run: a thread that runs none need not have it. */
  let direct: RunCall | null | undefined;

  const result = (value: number): number => (value < 0 ? -koffi.errno() : value);
  const errnoName = (errno: number): string => ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
  const checked = (call: string, value: number): number => {
    if (value < 0) throw new KvmError(call, koffi.errno(), errnoName(koffi.errno()));
    return value;
  };

  // Without a handler the signal would end the process. Any harmless C function will do: the signal's only work is done
  // once KVM_RUN has returned.
  const action = new Uint8Array(SIGACTION_BYTES);
  new DataView(action.buffer).setBigUint64(0, koffi.address(libc.symbol('abs')), true);
  checked('sigaction', sigaction(KICK_SIGNAL, action, null));

  const counter = new Uint8Array(8);
  const one = new Uint8Array(8);
  one[0] = 1;
  return {
    open: (path) => result(open(path, O_RDWR | O_CLOEXEC)),
    close: (fd) => void close(fd),
    closeSoon: (fd) => closeInBackground(fd, () => {}),
    ioctl: (fd, request, argument) => result(ioctl(fd, request, argument)),
    run(fd) {
      if (direct === undefined) direct = runCall(koffi);
      return direct ? direct(fd) : result(ioctl(fd, Request.KVM_RUN, 0));
    },
    ioctlBytes: (fd, request, argument) => result(ioctlBytes(fd, request, argument)),
    map(fd, bytes): Mapping {
      const pointer = mmap(null, bytes, PROT_READ_WRITE, MAP_SHARED, fd, 0);
      const address = BigInt.asUintN(64, koffi.address(pointer));
      if (address === BigInt.asUintN(64, -1n)) {
        throw new KvmError('mmap', koffi.errno(), errnoName(koffi.errno()));
      }
      return { buffer: koffi.view(pointer, bytes), address };
    },
    unmap: ({ address, buffer }) => void checked('munmap', munmap(address, buffer.byteLength)),
    addressOf: (memory) => koffi.address(memory),
    eventfd: () => checked('eventfd', makeEventfd(0, EFD_NONBLOCK_CLOEXEC)),
    signalEvent: (fd) => void checked('write', write(fd, one, 8)),
    takeEvent: (fd) => (read(fd, counter, 8) === 8 ? new DataView(counter.buffer).getBigUint64(0, true) : 0n),
    watchEvent(fd, rung) {
      const handle = koffi.node.poll(fd, { readable: true }, () => rung());
      handle.unref();
      return { dispose: () => handle.close() };
    },
    now: () => performance.now() * 1e6,
    threadId: () => gettid(),
    interruptThread: (thread) => void tgkill(process.pid, thread, KICK_SIGNAL),
    errnoName,
  };
}

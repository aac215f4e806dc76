/** The compile thread's side of compile-thread.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import type { CompiledJob, CompileJob, CompilerSetup } from '../../accel/tcg/compiler.js';
import type { CompilerAnswer } from './compile-thread.js';

export function serveCompiler(make: (setup: CompilerSetup) => { compile(job: CompileJob): CompiledJob }): void {
  const compiler = make(workerData as CompilerSetup);
  const send = (answer: CompilerAnswer): void => parentPort!.postMessage(answer);
  parentPort!.on('message', (job: CompileJob) => send({ done: compiler.compile(job) }));
  send({ ready: true });
}

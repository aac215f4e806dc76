/** A thread that compiles regions beside the guest. It is started when first asked for, and takes its first job once it is there. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { CompiledJob, CompileJob, CompilerSetup, CompileThread } from '../../accel/tcg/compiler.js';
import { packageFile } from './package-files.js';

/** What the thread sends: first of all that it is there. */
export type CompilerAnswer = { readonly ready: true } | { readonly done: CompiledJob };

class NodeCompileThread implements CompileThread {
  #worker: Worker | undefined;
  #ready = false;
  #ended = false;
  #done: ((result: CompiledJob | undefined) => void) | undefined;

  constructor(private readonly setup: CompilerSetup) {}

  prepare(): void {
    if (this.#worker === undefined && !this.#ended) this.#start();
  }

  get ready(): boolean {
    return this.#ready && this.#done === undefined;
  }

  compile(job: CompileJob, done: (result: CompiledJob | undefined) => void): void {
    this.#done = done;
    this.#worker!.postMessage(
      job,
      job.regions.map(({ code }) => code.words.buffer as ArrayBuffer),
    );
  }

  dispose(): void {
    this.#done = undefined;
    this.#end();
    void this.#worker?.terminate();
  }

  #start(): void {
    // What the program was started with (`-e`, loaders) is not meant for this thread.
    const worker = new Worker(packageFile('dist/commands/compile-worker.cjs'), {
      execArgv: [],
      workerData: this.setup,
    });
    worker.unref();
    worker.on('message', (answer: CompilerAnswer) => {
      if ('done' in answer) this.#answer(answer.done);
      else {
        this.#ready = !this.#ended;
        // Newer Node.js has it keep the program running once more since it has begun.
        worker.unref();
      }
    });
    // Whoever has given it a job compiles by himself from now on, and meets what has gone wrong.
    worker.on('error', () => this.#end());
    worker.on('exit', () => this.#end());
    this.#worker = worker;
  }

  #end(): void {
    this.#ended = true;
    this.#ready = false;
    this.#answer(undefined);
  }

  #answer(result: CompiledJob | undefined): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(result);
  }
}

/** Nothing on a host with one processor, where the guest would wait for it all the same. */
export function compileThread(setup: CompilerSetup): CompileThread | undefined {
  return availableParallelism() > 1 ? new NodeCompileThread(setup) : undefined;
}

/**
 * Loads a command: one file that the build makes of the command's modules, and beside it the code that V8 made of that file
 * (tools/commands.mjs). Reading some 400 modules took longer than all else until the first guest instruction.
 */
const { existsSync, readFileSync, writeFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { join } = require('node:path');
const { Script } = require('node:vm');

const folder = join(__dirname, '../dist/commands');

const fileOf = (name) => join(folder, `${name}.cjs`);
/** Only the Node.js that has built us has code. */
const codeOf = (name) => `${fileOf(name)}.${process.version}-${process.arch}.code`;

/** The command's file as a script: a function of `exports`, `require` and `module`. */
function compile(name) {
  const file = fileOf(name);
  const code = codeOf(name);
  const cachedData = existsSync(code) ? readFileSync(code) : undefined;
  return new Script(`(function (exports, require, module) {${readFileSync(file, 'latin1')}\n})`, {
    filename: file,
    ...(cachedData && { cachedData }),
  });
}

/**
 * The thread that a machine needs first: a processor's, where the words of the command line ask for KVM, else the ticker's. It takes
 * as long to start as all that comes before it is needed, beside which it starts; and half of that in the processor's time as long as
 * no flag of V8 is set, since Node.js's own modules come with code that V8 takes without flags only.
 */
function firstThread() {
  const words = process.argv.slice(2);
  if (words.some((word) => /^(--?(version|help|h)|help|\?)$/.test(word))) return {};
  const kvm = words.some(
    (word, i) => word === '-enable-kvm' || (/^--?(accel|machine|M)$/.test(words[i - 1]) && /\bkvm\b/.test(word)),
  );
  const worker = new (require('node:worker_threads').Worker)(fileOf(kvm ? 'vcpu-worker' : 'ticker-worker'), {
    execArgv: [],
  });
  worker.unref();
  return kvm ? { vcpuThread: worker } : { tickerThread: worker };
}

/**
 * Gives what the command's main module exports. V8 takes code only under the flags under which it was made, and Node.js's own modules
 * come with such code: commands set flags once their modules are there.
 */
function load(name) {
  if (!existsSync(fileOf(name))) {
    console.error('tinamou: not built yet: run npm run build');
    process.exit(1);
  }
  const flags = require(join(folder, 'engine-flags.cjs'));
  let threads = {};
  if (name === 'system') {
    // Before there are threads other than V8's.
    flags.yieldToMachineThread();
    threads = firstThread();
  }
  const script = compile(name);
  // For the build: what has been compiled by the end of a run.
  if (process.env.TINAMOU_KEEP_CODE) process.on('exit', () => writeFileSync(codeOf(name), script.createCachedData()));
  const command = { exports: {}, filename: fileOf(name) };
  script.runInThisContext()(command.exports, createRequire(command.filename), command);
  if (threads.vcpuThread) command.exports.giveVcpuThread(threads.vcpuThread);
  if (threads.tickerThread) command.exports.giveTickerThread(threads.tickerThread);
  // The emulator does it itself, when it knows what it is to run.
  if (name !== 'system') {
    flags.growYoungHeap();
    if (name === 'img') flags.compileLate();
  }
  return command.exports;
}

module.exports = Object.assign(load, { compile });

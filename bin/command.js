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

/** `before`: comes between the script's code and its run. */
const script = (name, before = () => {}) => {
  const made = compile(name);
  // For the build: what has been compiled by the end of a run.
  if (process.env.TINAMOU_KEEP_CODE) process.on('exit', () => writeFileSync(codeOf(name), made.createCachedData()));
  const bundle = { exports: {}, filename: fileOf(name) };
  before();
  made.runInThisContext()(bundle.exports, createRequire(bundle.filename), bundle);
  return bundle.exports;
};

const words = process.argv.slice(2);
/** Whether the words of the command line ask for KVM. */
const asksForKvm = () =>
  words.some(
    (word, i) => word === '-enable-kvm' || (/^--?(accel|machine|M)$/.test(words[i - 1]) && /\bkvm\b/.test(word)),
  );

/**
 * The thread that a machine needs first: a processor's, where the words of the command line ask for KVM, else the ticker's. It takes
 * as long to start as all that comes before it is needed, beside which it starts; and half of that in the processor's time as long as
 * no flag of V8 is set, since Node.js's own modules come with code that V8 takes without flags only.
 */
function firstThread() {
  if (words.some((word) => /^(--?(version|help|h)|help|\?)$/.test(word))) return {};
  const kvm = asksForKvm();
  const worker = new (require('node:worker_threads').Worker)(fileOf(kvm ? 'vcpu-worker' : 'ticker-worker'), {
    execArgv: [],
  });
  worker.unref();
  return kvm ? { vcpuThread: worker } : { tickerThread: worker };
}

/** Begins to read the RAM of a saved machine that the machine is to become: under KVM, or in another process, it will be elsewhere. */
function earlyState() {
  const at = words.findLastIndex((word) => /^--?incoming$/.test(word)) + 1;
  const uri = at === 0 ? undefined : words[at];
  if (!uri?.startsWith('file:') || asksForKvm() || words.some((word) => /^--?daemonize$/.test(word))) return undefined;
  return script('early-state').readEarly(uri);
}

/**
 * Lets the heap grow at once (engine-flags.ts) before the emulator's modules are run, which fill its young part several times. Node.js's
 * modules that it needs are loaded before; and those that Node.js needs to listen, half a dozen that it would load on the first time.
 */
function growHeapEarly(flags) {
  for (const needed of JSON.parse(readFileSync(join(folder, 'system.needs.json'), 'utf8'))) require(needed);
  if (words.some((word) => /\bserver\b|^(tcp|unix):/.test(word))) require('node:cluster');
  flags.growYoungHeap();
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
  let early;
  if (name === 'system') {
    // Before there are threads other than V8's.
    flags.yieldToMachineThread();
    threads = firstThread();
    early = earlyState();
  }
  const command = script(name, name === 'system' && !asksForKvm() ? () => growHeapEarly(flags) : undefined);
  if (threads.vcpuThread) command.giveVcpuThread(threads.vcpuThread);
  if (threads.tickerThread) command.giveTickerThread(threads.tickerThread);
  if (early) command.giveEarlyState(early);
  // Under KVM the emulator does it later itself.
  if (name !== 'system') {
    flags.growYoungHeap();
    if (name === 'img') flags.compileLate();
  }
  return command;
}

module.exports = Object.assign(load, { compile });

/** The thread that compiles regions (src/host/node/compile-thread.ts), for every guest architecture there is. */
import { regionCompiler } from '../../accel/tcg/compiler.js';
import { X86_64 } from '../../guest/x86/index.js';
import { serveCompiler } from '../../host/node/compile-server.js';

serveCompiler((setup) => regionCompiler([X86_64], setup));

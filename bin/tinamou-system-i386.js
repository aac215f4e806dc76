#!/usr/bin/env node
import { existsSync } from 'node:fs';

const main = new URL('../dist/src/app/system/main.js', import.meta.url);
if (!existsSync(main)) {
  console.error('tinamou-system-i386: not built yet: run npm run build');
  process.exit(1);
}
const system = await import(main.href);
process.exit(await system.main('tinamou-system-i386', 'i386', process.argv.slice(2)));

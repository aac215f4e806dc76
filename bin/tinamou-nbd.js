#!/usr/bin/env node
import { existsSync, readFileSync } from 'node:fs';

const main = new URL('../dist/src/app/nbd/main.js', import.meta.url);
if (!existsSync(main)) {
  console.error('tinamou-nbd: not built yet: run npm run build');
  process.exit(1);
}
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const nbd = await import(main.href);
process.exitCode = await nbd.main(process.argv.slice(2), version);

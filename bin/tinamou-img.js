#!/usr/bin/env node
import { existsSync, readFileSync } from 'node:fs';

const main = new URL('../dist/src/app/img/main.js', import.meta.url);
if (!existsSync(main)) {
  console.error('tinamou-img: not built yet: run npm run build');
  process.exit(1);
}
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const img = await import(main.href);
const io = { out: (text) => process.stdout.write(text), err: (text) => process.stderr.write(text) };
process.exitCode = await img.main(process.argv.slice(2), io, version);

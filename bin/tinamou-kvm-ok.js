#!/usr/bin/env node
import { existsSync } from 'node:fs';

const main = new URL('../dist/src/app/kvm-ok/main.js', import.meta.url);
if (!existsSync(main)) {
  console.error('tinamou-kvm-ok: not built yet: run npm run build');
  process.exit(1);
}
const command = await import(main.href);
process.exitCode = command.main(process.argv.slice(2), (text) => process.stdout.write(text));

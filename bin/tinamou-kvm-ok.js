#!/usr/bin/env node
const command = require('./command.js')('kvm-ok');
process.exitCode = command.main(
  process.argv.slice(2),
  (text) => process.stdout.write(text),
  (text) => process.stderr.write(text),
);

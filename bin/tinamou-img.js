#!/usr/bin/env node
const { version } = require('../package.json');
const img = require('./command.js')('img');
const io = { out: (text) => process.stdout.write(text), err: (text) => process.stderr.write(text) };
img.main(process.argv.slice(2), io, version).then((status) => {
  process.exitCode = status;
});

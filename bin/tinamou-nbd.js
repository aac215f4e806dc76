#!/usr/bin/env node
const { version } = require('../package.json');
const nbd = require('./command.js')('nbd');
nbd.main(process.argv.slice(2), version).then((status) => {
  process.exitCode = status;
});

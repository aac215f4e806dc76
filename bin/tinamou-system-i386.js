#!/usr/bin/env node
const system = require('./command.js')('system');
system.main('tinamou-system-i386', 'i386', process.argv.slice(2)).then((status) => process.exit(status));

#!/usr/bin/env node
const system = require('./command.js')('system');
system.main('tinamou-system-x86_64', 'x86_64', process.argv.slice(2)).then((status) => process.exit(status));

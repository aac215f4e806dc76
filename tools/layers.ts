/**
 * What each folder of src/ may import (docs/architecture.md): downwards only, no exemptions. A folder may always import
 * itself; test files may import anything. `layers.test.ts` holds the code against it.
 */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  ir: ['base'],
  jit: ['base', 'ir'],
  guest: ['base', 'ir'],
  memory: ['base', 'ir'],
  machine: ['base', 'memory'],
  char: ['base', 'machine'],
  block: ['base', 'machine'],
  display: ['base', 'machine'],
  firmware: ['base', 'memory', 'machine'],
  devices: ['base', 'memory', 'machine', 'char', 'block', 'display', 'firmware'],
  accel: ['base', 'ir', 'jit', 'guest', 'memory', 'machine'],
  boards: ['base', 'memory', 'machine', 'char', 'block', 'display', 'firmware', 'devices', 'accel'],
  control: ['base', 'ir', 'guest', 'memory', 'machine', 'char', 'block', 'display', 'accel', 'devices'],
  host: ['base', 'machine', 'char', 'block', 'display', 'accel'],
  app: [
    'base',
    'ir',
    'guest',
    'memory',
    'machine',
    'char',
    'block',
    'display',
    'firmware',
    'devices',
    'accel',
    'boards',
    'control',
    'host',
    'jit',
  ],
};

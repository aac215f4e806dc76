import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ascii, getU16, getU32, putU16, putU32 } from '../../../base/bytes.js';
import { RingBuffer } from '../../../char/ringbuf.js';
import { TestDriver } from '../testing.js';
import { CharPort } from './ports.js';
import { ConsoleFeature, VirtioSerial } from './virtio-serial.js';

function setUp() {
  const device = new VirtioSerial({ maxPorts: 4, emergencyWrite: true });
  const backends = [new RingBuffer(), new RingBuffer()] as const;
  new CharPort({ controller: device, port: undefined }, 'virtconsole', '', true, backends[0]);
  new CharPort({ controller: device, port: 3 }, 'virtserialport', 'org.example', false, backends[1]);
  return { device, backends, driver: new TestDriver(device, [ConsoleFeature.multiport]) };
}

function control(port: number, event: number, value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  putU32(bytes, 0, port);
  putU16(bytes, 4, event);
  putU16(bytes, 6, value);
  return bytes;
}

/** What the device says on its control queue: [port, event, value, text]. */
function controlMessages(driver: TestDriver, buffers: readonly { readonly address: number }[]) {
  const out: unknown[] = [];
  for (const { address } of buffers) {
    const used = driver.take(2);
    if (!used) break;
    const { ram } = driver;
    const text = new TextDecoder().decode(ram.slice(address + 8, address + used.length));
    out.push([getU32(ram, address), getU16(ram, address + 4), getU16(ram, address + 6), text]);
  }
  return out;
}

test('ports are announced, named and opened as the driver asks', async () => {
  const { driver, device } = setUp();
  const room = Array.from({ length: 8 }, () => {
    const buffer = driver.place(64);
    driver.send(2, [{ ...buffer, writable: true }]);
    return buffer;
  });
  await driver.exchange(3, control(0xffff_ffff, 0, 1), 0);
  await driver.exchange(3, control(0, 3, 1), 0);
  await driver.exchange(3, control(3, 3, 1), 0);
  await driver.exchange(3, control(17, 3, 1), 0);
  assert.deepEqual(controlMessages(driver, room), [
    [0, 1, 1, ''],
    [3, 1, 1, ''],
    [0, 4, 1, ''],
    [0, 6, 1, ''],
    [3, 7, 1, 'org.example'],
    [3, 6, 1, ''],
  ]);
  assert.equal(device.ports[3]!.guestOpen, false);
  await driver.exchange(3, control(3, 6, 1), 0);
  assert.equal(device.ports[3]!.guestOpen, true);
});

test('bytes go both ways; input waits for the guest to open the port and for buffers', async () => {
  const { driver, backends, device } = setUp();
  await driver.exchange(9, ascii('to the host'), 0);
  assert.equal(new TextDecoder().decode(backends[1].read()), 'to the host');
  const port = device.ports[3]!;
  const buffer = driver.place(16);
  driver.send(8, [{ ...buffer, writable: true }]);
  assert.equal(port.room(), 0, 'not open');
  await driver.exchange(3, control(3, 6, 1), 0);
  assert.equal(port.room(), 16);
  const saved = structuredClone(device.save());
  device.load(saved);
  device.resume();
  assert.equal(port.room(), 16, 'a buffer at hand survives saving');
  port.receive(ascii('to the guest'));
  assert.equal((await driver.settled(8)).length, 12);
  assert.equal(new TextDecoder().decode(driver.ram.slice(buffer.address, buffer.address + 12)), 'to the guest');
  assert.equal(port.room(), 0);
});

test('port 0 is for terminals, a port has one user, and there are only so many', () => {
  const { device } = setUp();
  const connect = (port: number | undefined, console = false) =>
    new CharPort({ controller: device, port }, 't', '', console, new RingBuffer());
  assert.throws(() => connect(0), /already exists|reserved/);
  assert.throws(() => connect(3), /already exists/);
  connect(undefined);
  connect(undefined);
  assert.throws(() => connect(undefined), /Maximum port limit/);
});

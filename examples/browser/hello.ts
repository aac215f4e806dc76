/** The guest of hello-guest.ts in a browser: `npm run build && node dist/examples/browser/serve.js` says where. */
import { SoftwareKvm } from '../../src/accel/kvm/software/kvm.js';
import { hello } from '../hello-guest.js';

export function run(runtime: WebAssembly.Module, print: (text: string) => void): void {
  const now = (): number => performance.now() * 1e6;
  const random = (): number => Math.floor(Math.random() * 2 ** 32);
  hello(new SoftwareKvm({ runtime, now, random }), print);
}

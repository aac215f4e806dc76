/**
 * Runs the guest of hello-guest.ts. Build, then run it on any Linux with /dev/kvm, or anywhere with `software`:
 *
 *     npm run build && node dist/examples/kvm-hello.js [software]
 *
 * A program of its own imports all this from 'tinamou/kvm'.
 */
import { openKvm, softwareKvm, UserError } from '../src/app/lib/kvm-binding.js';
import { hello } from './hello-guest.js';

try {
  hello(process.argv[2] === 'software' ? softwareKvm() : openKvm(), (text) => process.stdout.write(text));
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(`could not use KVM: ${error.message} (or run this with 'software')`);
  process.exitCode = 1;
}

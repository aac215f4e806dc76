/** A sampling profiler of this thread: JavaScript, WebAssembly and the engine's own work, by V8's inspector. */
import { type Profiler, Session } from 'node:inspector';
import { UserError } from '../../base/errors.js';
import { sourcePlace } from './source-places.js';

/** Time spent in a function itself while called along one way. */
export interface ProfiledCall {
  readonly name: string;
  /** Where the function comes from: a file's URL or path, `wasm://...` for WebAssembly, empty for the engine. */
  readonly url: string;
  readonly microseconds: number;
  /** Names of its callers, the nearest first. */
  readonly callers: readonly string[];
}

export class HostProfiler {
  private session: Session | undefined;

  /** Throws UserError when it runs already. */
  start(intervalUs: number): void {
    if (this.session) throw new UserError('the profiler runs already');
    this.session = new Session();
    this.session.connect();
    // A session with its own thread answers before `post` returns.
    this.session.post('Profiler.enable');
    this.session.post('Profiler.setSamplingInterval', { interval: intervalUs });
    this.session.post('Profiler.start');
  }

  /** Ends and gives what was sampled. Throws UserError when it does not run. */
  stop(): ProfiledCall[] {
    const { session } = this;
    if (!session) throw new UserError('the profiler does not run: profile start');
    this.session = undefined;
    let profile: Profiler.Profile | undefined;
    session.post('Profiler.stop', (error, result) => {
      if (error === null) profile = result.profile;
    });
    session.disconnect();
    if (!profile) throw new UserError('the JavaScript engine gave no profile');
    return calls(profile);
  }
}

function calls({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): ProfiledCall[] {
  const parents = new Map<number, number>();
  const byId = new Map(nodes.map((n) => [n.id, n]));
  for (const n of nodes) for (const child of n.children ?? []) parents.set(child, n.id);
  const time = new Map<number, number>();
  // A delta is the time since the sample before: what ran then ran until now.
  for (let i = 0; i < samples.length; i++) {
    const id = samples[Math.max(0, i - 1)]!;
    time.set(id, (time.get(id) ?? 0) + (timeDeltas[i] ?? 0));
  }
  return [...time].map(([id, microseconds]) => {
    const { functionName, url, lineNumber, columnNumber } = byId.get(id)!.callFrame;
    const place = sourcePlace(url, lineNumber, columnNumber);
    const callers: string[] = [];
    for (let p = parents.get(id); p !== undefined; p = parents.get(p))
      callers.push(byId.get(p)!.callFrame.functionName);
    return { name: functionName, url: place ? `/${place.file}` : url, microseconds, callers };
  });
}

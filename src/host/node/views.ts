/** Lists of byte arrays, as the host reads and writes them. */

export const bytesOf = (views: readonly Uint8Array[]): number => views.reduce((sum, v) => sum + v.length, 0);

/** What is left of the views once so many bytes of them are done. */
export function viewsBehind(views: readonly Uint8Array[], done: number): Uint8Array[] {
  const left: Uint8Array[] = [];
  for (const view of views) {
    if (done >= view.length) done -= view.length;
    else {
      left.push(done > 0 ? view.subarray(done) : view);
      done = 0;
    }
  }
  return left;
}

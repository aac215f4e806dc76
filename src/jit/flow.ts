/**
 * Control flow of a region as numbers: reverse postorder, dominators, loop headers, merge nodes; irreducible components
 * get a dispatch node, after which every graph is reducible (Ramsey, "Beyond Relooper", ICFP 2022, says how to emit it).
 */
import { Bug } from '../base/errors.js';

/** `to` of an edge out of the region; UNSEEN when it leads to code in reach that has never run. */
export const OUTSIDE = -1;
export const UNSEEN = -2;

export interface Edge {
  readonly from: number;
  /** Destination; once `analyse` has run it may be a dispatch node. OUTSIDE or UNSEEN: leaves the region. */
  to: number;
  /** What to put into the dispatch variable when `to` is a dispatch node, else -1. */
  label: number;
  /** When the edge leads into another guest page: the block it leads to as long as that page stays mapped so. Else 0. */
  readonly guard: number;
  /** A guest call, and the way to where it returns. */
  readonly call: boolean;
  /** One of the places an indirect jump may lead to. */
  readonly indirect: boolean;
}

export class Flow {
  readonly edges: Edge[] = [];
  /** Nodes with a number from here on are dispatch nodes. */
  readonly blockCount: number;
  nodeCount: number;
  /** Node 0, or a dispatch node when there are several ways in. */
  entry = 0;
  /** Per node: edges that leave it. */
  private readonly out: Edge[][] = [];
  /** Position in reverse postorder. */
  rpo = new Int32Array(0);
  /** Nodes in reverse postorder. */
  order: number[] = [];
  idom = new Int32Array(0);
  loopHeader = new Uint8Array(0);
  /** Per block: whether it begins a loop, if need be by way of a dispatch node. Every cycle has such a block. */
  beginsLoop = new Uint8Array(0);
  /** Reached by more than one forward edge. */
  merge = new Uint8Array(0);
  /** Per node: the merge nodes it immediately dominates, last in reverse postorder first. */
  mergeChildren: number[][] = [];
  /** Blocks to which the edges back in a loop lead by way of a dispatch node. */
  private readonly dispatchedHeads: number[] = [];

  /** Node 0 is the entry, if `enterAt` says nothing else. Every node must be reachable once all edges are added. */
  constructor(blockCount: number) {
    this.blockCount = blockCount;
    this.nodeCount = blockCount;
    for (let i = 0; i < blockCount; i++) this.out.push([]);
  }

  addEdge(from: number, to: number, guard = 0, call = false, indirect = false): Edge {
    const edge: Edge = { from, to, label: -1, guard, call, indirect };
    this.edges.push(edge);
    if (to >= 0) (this.out[from] as Edge[]).push(edge);
    return edge;
  }

  /** Makes a dispatch node the entry, whose labels lead to `blocks` in their order. */
  enterAt(blocks: readonly number[]): void {
    this.entry = this.nodeCount++;
    this.out.push([]);
    for (const b of blocks) this.addEdge(this.entry, b);
  }

  /** The loops (header and all nodes in it), outer ones before those inside them. */
  loops(): { readonly header: number; readonly body: ReadonlySet<number>; readonly always: ReadonlySet<number> }[] {
    const found = new Map<number, Set<number>>();
    const always = new Map<number, Set<number>>();
    const predecessors: number[][] = Array.from({ length: this.nodeCount }, () => []);
    for (const out of this.out) for (const e of out) (predecessors[e.to] as number[]).push(e.from);
    for (const out of this.out) {
      for (const e of out) {
        if (!this.isBackward(e)) continue;
        const body = found.get(e.to) ?? new Set([e.to]);
        found.set(e.to, body);
        const way = this.dominatorsUpTo(e.from, e.to);
        const before = always.get(e.to) ?? way;
        always.set(e.to, new Set([...way].filter((v) => before.has(v))));
        const work = [e.from];
        for (let v = work.pop(); v !== undefined; v = work.pop()) {
          if (body.has(v)) continue;
          body.add(v);
          work.push(...(predecessors[v] as number[]));
        }
      }
    }
    return [...found]
      .map(([header, body]) => ({ header, body, always: always.get(header) as Set<number> }))
      .sort((a, b) => b.body.size - a.body.size);
  }

  /** Nodes that every way from the node `top`, which dominates `node`, to it goes by, with both. */
  private dominatorsUpTo(node: number, top: number): Set<number> {
    const way = new Set([top]);
    for (let v = node; v !== top; v = this.idom[v] as number) way.add(v);
    return way;
  }

  /** Edges of a dispatch node in the order of their labels. */
  dispatchEdges(node: number): readonly Edge[] {
    return this.out[node] as Edge[];
  }

  analyse(): void {
    this.number();
    this.dominators();
    if (!this.reducible()) {
      this.makeReducible();
      this.number();
      this.dominators();
      if (!this.reducible()) throw new Bug('region is still irreducible');
    }
    this.classify();
  }

  private number(): void {
    const n = this.nodeCount;
    const seen = new Uint8Array(n);
    const next = new Int32Array(n);
    const stack = [this.entry];
    const post: number[] = [];
    seen[this.entry] = 1;
    while (stack.length > 0) {
      const u = stack[stack.length - 1] as number;
      const out = this.out[u] as Edge[];
      const i = next[u] as number;
      if (i < out.length) {
        next[u] = i + 1;
        const v = (out[i] as Edge).to;
        if (seen[v] === 0) {
          seen[v] = 1;
          stack.push(v);
        }
      } else {
        post.push(u);
        stack.pop();
      }
    }
    if (post.length !== n) throw new Bug('region with an unreachable node');
    this.order = post.reverse();
    this.rpo = new Int32Array(n);
    for (let i = 0; i < n; i++) this.rpo[this.order[i] as number] = i;
  }

  /** Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm". */
  private dominators(): void {
    const n = this.nodeCount;
    const { rpo, order } = this;
    const predecessors: number[][] = Array.from({ length: n }, () => []);
    for (let u = 0; u < n; u++) for (const e of this.out[u] as Edge[]) (predecessors[e.to] as number[]).push(u);
    const idom = new Int32Array(n).fill(-1);
    idom[this.entry] = this.entry;
    for (let changed = true; changed; ) {
      changed = false;
      for (let i = 1; i < n; i++) {
        const v = order[i] as number;
        let best = -1;
        for (const p of predecessors[v] as number[]) {
          if (idom[p] === -1) continue;
          if (best === -1) {
            best = p;
            continue;
          }
          let a = p;
          while (a !== best) {
            while ((rpo[a] as number) > (rpo[best] as number)) a = idom[a] as number;
            while ((rpo[best] as number) > (rpo[a] as number)) best = idom[best] as number;
          }
        }
        if (idom[v] !== best) {
          idom[v] = best;
          changed = true;
        }
      }
    }
    this.idom = idom;
  }

  dominates(a: number, b: number): boolean {
    const { rpo, idom } = this;
    let x = b;
    while ((rpo[x] as number) > (rpo[a] as number)) x = idom[x] as number;
    return x === a;
  }

  isBackward(e: Edge): boolean {
    return (this.rpo[e.to] as number) <= (this.rpo[e.from] as number);
  }

  private reducible(): boolean {
    for (const out of this.out) {
      for (const e of out) if (this.isBackward(e) && !this.dominates(e.to, e.from)) return false;
    }
    return true;
  }

  private classify(): void {
    const n = this.nodeCount;
    this.loopHeader = new Uint8Array(n);
    this.merge = new Uint8Array(n);
    const forward = new Int32Array(n);
    for (const out of this.out) {
      for (const e of out) {
        if (this.isBackward(e)) this.loopHeader[e.to] = 1;
        else forward[e.to] = (forward[e.to] as number) + 1;
      }
    }
    this.beginsLoop = this.loopHeader.slice(0, this.blockCount);
    for (const head of this.dispatchedHeads) this.beginsLoop[head] = 1;
    this.mergeChildren = Array.from({ length: n }, () => []);
    for (let i = n - 1; i > 0; i--) {
      const v = this.order[i] as number;
      if ((forward[v] as number) < 2) continue;
      this.merge[v] = 1;
      (this.mergeChildren[this.idom[v] as number] as number[]).push(v);
    }
  }

  /**
   * Every strongly connected component entered at more than one node gets a dispatch node, to which all edges from outside lead
   * instead, and of those from inside the ones to its head; then the same inside each component without its head.
   */
  private makeReducible(): void {
    const work: number[][] = [Array.from({ length: this.nodeCount }, (_, i) => i)];
    for (let nodes = work.pop(); nodes !== undefined; nodes = work.pop()) {
      for (const component of this.components(nodes)) {
        const inside = new Set(component);
        const entries = [...this.entriesOf(inside)];
        const head = this.headOf(component, entries);
        if (entries.length > 1) this.addDispatch(entries, head, inside);
        work.push(component.filter((v) => v !== head));
      }
    }
  }

  /**
   * The entry that the fewest dispatch nodes are needed besides, and then that which leaves the most cycles as they are: of nested
   * loops the outer one's head.
   */
  private headOf(component: readonly number[], entries: readonly number[]): number {
    let head = entries[0] as number;
    let best = Number.POSITIVE_INFINITY;
    for (const entry of entries.length > 1 ? entries : []) {
      let cost = 0;
      for (const rest of this.components(component.filter((v) => v !== entry))) {
        cost += this.entriesOf(new Set(rest)).size > 1 ? rest.length * this.nodeCount : -rest.length;
      }
      if (cost >= best) continue;
      best = cost;
      head = entry;
    }
    return head;
  }

  /** The nodes of a component at which edges from outside enter it. */
  private entriesOf(inside: ReadonlySet<number>): Set<number> {
    const found = new Set<number>(inside.has(this.entry) ? [this.entry] : []);
    for (const out of this.out) for (const e of out) if (inside.has(e.to) && !inside.has(e.from)) found.add(e.to);
    return found;
  }

  private addDispatch(entries: readonly number[], head: number, inside: ReadonlySet<number>): void {
    if (entries.includes(this.entry)) throw new Bug('the region entry cannot be dispatched to');
    const d = this.nodeCount++;
    for (const out of this.out) {
      for (const e of out) {
        const label = entries.indexOf(e.to);
        if (label < 0 || (inside.has(e.from) && e.to !== head)) continue;
        e.to = d;
        e.label = label;
      }
    }
    this.out.push([]);
    for (const v of entries) this.addEdge(d, v);
    this.dispatchedHeads.push(head);
  }

  /** Strongly connected components (with a cycle) of the subgraph of `nodes`: Tarjan's algorithm. */
  private components(nodes: readonly number[]): number[][] {
    const member = new Uint8Array(this.nodeCount);
    for (const v of nodes) member[v] = 1;
    const index = new Int32Array(this.nodeCount).fill(-1);
    const low = new Int32Array(this.nodeCount);
    const onStack = new Uint8Array(this.nodeCount);
    const stack: number[] = [];
    const found: number[][] = [];
    let counter = 0;
    const visit = (v: number): void => {
      index[v] = low[v] = counter++;
      stack.push(v);
      onStack[v] = 1;
      let selfLoop = false;
      for (const e of this.out[v] as Edge[]) {
        const w = e.to;
        if (member[w] === 0) continue;
        if (w === v) selfLoop = true;
        if (index[w] === -1) {
          visit(w);
          low[v] = Math.min(low[v] as number, low[w] as number);
        } else if (onStack[w] === 1) low[v] = Math.min(low[v] as number, index[w] as number);
      }
      if (low[v] !== index[v]) return;
      const component: number[] = [];
      for (;;) {
        const w = stack.pop() as number;
        onStack[w] = 0;
        component.push(w);
        if (w === v) break;
      }
      if (component.length > 1 || selfLoop) found.push(component);
    };
    for (const v of nodes) if (index[v] === -1) visit(v);
    return found;
  }
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flow } from './flow.js';

function flowOf(nodes: number, edges: readonly (readonly [number, number])[]): Flow {
  const flow = new Flow(nodes);
  for (const [from, to] of edges) flow.addEdge(from, to);
  flow.analyse();
  return flow;
}

test('a diamond has one merge node, under the entry', () => {
  const flow = flowOf(4, [
    [0, 1],
    [0, 2],
    [1, 3],
    [2, 3],
  ]);
  assert.deepEqual([...flow.idom], [0, 0, 0, 0]);
  assert.deepEqual([...flow.merge], [0, 0, 0, 1]);
  assert.deepEqual(flow.mergeChildren[0], [3]);
  assert.deepEqual([...flow.loopHeader], [0, 0, 0, 0]);
});

test('a loop that is entered at its head needs no dispatch', () => {
  const flow = flowOf(4, [
    [0, 1],
    [1, 2],
    [2, 1],
    [2, 3],
    [3, 3],
  ]);
  assert.equal(flow.nodeCount, 4);
  assert.deepEqual([...flow.loopHeader], [0, 1, 0, 1]);
  assert.deepEqual([...flow.merge], [0, 0, 0, 0]);
});

test('loops, outer ones first', () => {
  const flow = flowOf(5, [
    [0, 1],
    [1, 2],
    [2, 2],
    [2, 3],
    [3, 1],
    [3, 4],
  ]);
  assert.deepEqual(
    flow.loops().map((l) => [l.header, [...l.body].sort()]),
    [
      [1, [1, 2, 3]],
      [2, [2]],
    ],
  );
});

test('edges out of the region are no flow', () => {
  const flow = flowOf(2, [
    [0, 1],
    [0, -1],
    [1, -1],
  ]);
  assert.equal(flow.edges.length, 3);
  assert.deepEqual([...flow.merge], [0, 0]);
});

test('a loop entered at two nodes gets a dispatch node', () => {
  const flow = flowOf(3, [
    [0, 1],
    [0, 2],
    [1, 2],
    [2, 1],
  ]);
  assert.equal(flow.nodeCount, 4);
  assert.equal(flow.loopHeader[3], 1);
  const labels = flow.edges.filter((e) => e.to === 3).map((e) => e.label);
  assert.deepEqual(labels.sort(), [0, 0, 1], 'what leads to the second from inside needs no label');
  assert.deepEqual([...flow.beginsLoop], [0, 1, 0]);
  assert.deepEqual(
    flow
      .dispatchEdges(3)
      .map((e) => e.to)
      .sort(),
    [1, 2],
  );
});

test('an irreducible loop inside another', () => {
  const flow = flowOf(6, [
    [0, 1],
    [1, 2],
    [1, 3],
    [2, 3],
    [3, 2],
    [2, 4],
    [4, 1],
    [4, 5],
  ]);
  assert.equal(flow.nodeCount, 7);
  assert.equal(flow.loopHeader[1], 1);
  assert.equal(flow.loopHeader[6], 1);
});

test('a loop and one inside it that are both ways into the region', () => {
  const flow = new Flow(4);
  for (const [from, to] of [
    [0, 1],
    [1, 2],
    [2, 2],
    [2, 3],
    [3, 1],
  ] as const)
    flow.addEdge(from, to);
  flow.enterAt([0, 1, 2]);
  flow.analyse();
  assert.equal(flow.entry, 4);
  assert.equal(flow.nodeCount, 6);
  assert.deepEqual([...flow.beginsLoop], [0, 1, 1, 0]);
  assert.equal(flow.loopHeader[2], 1, 'the inner loop has its own head still');
  assert.deepEqual(
    flow.dispatchEdges(4).map((e) => [e.to, e.label]),
    [
      [0, -1],
      [5, 0],
      [5, 1],
    ],
  );
});

/** Serves this package to a browser on this machine, with the headers that let a page have shared memory. */
import { readFile } from 'node:fs';
import { createServer } from 'node:http';
import { extname } from 'node:path';

const PORT = 8080;
const TYPES: Readonly<Record<string, string>> = { '.js': 'text/javascript', '.wasm': 'application/wasm' };
/** No other file, whatever is asked for. */
const FILE = /^\/dist(\/\w[\w.-]*)+$/;
const PAGE = `<!doctype html><title>A guest</title><pre></pre><script type="module">
import { run } from '/dist/examples/browser/hello.js';
const runtime = await WebAssembly.compileStreaming(fetch('/dist/runtime/x86.wasm'));
run(runtime, (text) => document.querySelector('pre').append(text));
</script>`;

const server = createServer((request, response) => {
  const path = request.url!;
  const send = (status: number, type: string, body: string | Uint8Array): void => {
    response.writeHead(status, {
      'Content-Type': type,
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    });
    response.end(body);
  };
  const type = TYPES[extname(path)];
  if (path === '/') send(200, 'text/html', PAGE);
  else if (!type || !FILE.test(path)) send(404, 'text/plain', 'not here\n');
  else
    readFile(new URL(`../../..${path}`, import.meta.url), (error, bytes) =>
      error ? send(404, 'text/plain', 'not here\n') : send(200, type, bytes),
    );
});
server.listen(PORT, 'localhost', () => console.log(`http://localhost:${PORT}/`));

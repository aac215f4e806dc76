/** The human monitor on a character backend. */
import { UserError } from '../../base/errors.js';
import type { CharBackend } from '../../char/backend.js';
import { complete, execute } from './commands.js';
import type { MemoryFormat, MonitorContext, Session } from './context.js';
import { LineEditor } from './readline.js';
import { Usage } from './usage.js';

/** Scripts written for QEMU wait for this. */
const PROMPT = '(qemu) ';

/** Runs one command and gives what it prints; a promise of it for commands that go on after the call. Throws UserError. */
export function runCommand(context: MonitorContext, line: string): string | Promise<string> {
  let text = '';
  const running = execute(
    session(
      context,
      (more) => {
        text += more;
      },
      () => [],
    ),
    line,
  );
  return running ? running.then(() => text) : text;
}

function session(context: MonitorContext, print: Session['print'], history: Session['history']): Session {
  const format: MemoryFormat = { kind: 'x', size: 4 };
  return Object.assign(Object.create(context) as MonitorContext, { cpu: 0, format, print, history });
}

export class Monitor {
  readonly #backend: CharBackend;
  readonly #session: Session;
  readonly #editor: LineEditor;
  readonly #encoder = new TextEncoder();
  /** Output that the backend has not taken yet. */
  #waiting: Uint8Array[] = [];
  #greeted = false;
  #focused = true;
  #quit = false;
  /** A command that takes time is under way; what is typed meanwhile waits. */
  #running = false;
  readonly #typed: number[] = [];

  constructor(backend: CharBackend, context: MonitorContext) {
    this.#backend = backend;
    this.#session = session(
      context,
      (text) => this.#print(text),
      () => this.#editor.history,
    );
    this.#session.quit = () => {
      this.#quit = true;
      context.quit();
    };
    this.#editor = new LineEditor(PROMPT, (text) => this.#send(text), {
      line: (text) => this.#line(text),
      complete: (text) => complete(this.#session, text),
    });
    // A multiplexer tells at once who has the focus; others never do.
    this.#focused = backend.type !== 'mux';
    backend.attach({
      canReceive: () => (this.#running ? 0 : 256),
      receive: (data) => {
        this.#typed.push(...data);
        this.#read();
      },
      event: (event) => {
        if (event === 'opened' && this.#focused) this.#greet();
        else if (event === 'mux-in') {
          this.#focused = true;
          if (this.#greeted) this.#editor.show();
          else this.#greet();
        } else if (event === 'mux-out') {
          this.#focused = false;
          this.#send('\r\n');
        } else if (event === 'closed') {
          this.#greeted = false;
          this.#waiting = [];
        }
      },
      writable: () => this.#flush(),
    });
  }

  #greet(): void {
    this.#greeted = true;
    this.#print(`Tinamou ${this.#session.version} monitor - type 'help' for more information\n`);
    this.#editor.show();
  }

  /** Takes what was typed, as far as no command is under way. */
  #read(): void {
    while (!this.#running && this.#typed.length > 0) this.#editor.input(Uint8Array.of(this.#typed.shift()!));
  }

  #line(text: string): void {
    try {
      const running = execute(this.#session, text);
      if (running) {
        this.#running = true;
        running
          .catch((error: unknown) => this.#complain(error))
          .finally(() => {
            this.#running = false;
            this.#prompt();
            this.#read();
            this.#backend.acceptInput();
          });
        return;
      }
    } catch (error) {
      this.#complain(error);
    }
    this.#prompt();
  }

  #prompt(): void {
    if (!this.#quit) this.#editor.show();
  }

  #complain(error: unknown): void {
    if (!(error instanceof UserError)) throw error;
    if (error instanceof Usage) this.#print(`${error.message}\nTry "help ${error.command}" for more information\n`);
    else this.#print(`${/^(unknown|invalid)/.test(error.message) ? '' : 'Error: '}${error.message}\n`);
  }

  /** Text with plain line ends. */
  #print(text: string): void {
    this.#send(text.replaceAll('\n', '\r\n'));
  }

  #send(text: string): void {
    if (text === '') return;
    this.#waiting.push(this.#encoder.encode(text));
    this.#flush();
  }

  #flush(): void {
    while (this.#waiting.length > 0) {
      const [first] = this.#waiting;
      const taken = this.#backend.write(first!);
      if (taken < first!.length) {
        this.#waiting[0] = first!.subarray(taken);
        return;
      }
      this.#waiting.shift();
    }
  }
}

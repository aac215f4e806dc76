/** C's printf for logs, traces and monitors: flags `#0- `, width, precision; conversions d i u x X o c s p %. */
export function format(text: string, args: readonly (number | string | boolean | bigint)[]): string {
  let next = 0;
  return text.replace(
    /%([#0\- +]*)(\d*|\*)(?:\.(\d+))?(?:hh|h|ll|l|z|j)?([diuxXocsp%])/g,
    (_, flags: string, width: string, precision: string | undefined, conversion: string) => {
      if (conversion === '%') return '%';
      const columns = width === '*' ? Number(args[next++]) : Number(width);
      const arg = args[next++] ?? '';
      let body = convert(conversion, arg, flags.includes('#'));
      if (precision !== undefined) {
        body = conversion === 's' ? body.slice(0, Number(precision)) : body.padStart(Number(precision), '0');
      }
      if (flags.includes('-')) return body.padEnd(columns);
      if (!flags.includes('0') || precision !== undefined) return body.padStart(columns);
      const prefix = /^(-|0x)?/.exec(body)![0];
      return prefix + body.slice(prefix.length).padStart(columns - prefix.length, '0');
    },
  );
}

function convert(conversion: string, arg: number | string | boolean | bigint, alternate: boolean): string {
  const number = (): number | bigint => (typeof arg === 'bigint' ? arg : Math.trunc(Number(arg)));
  switch (conversion) {
    case 'x':
    case 'X': {
      const n = number();
      const digits = (n < 0 && typeof n === 'number' ? n >>> 0 : n).toString(16);
      const cased = conversion === 'X' ? digits.toUpperCase() : digits;
      return alternate && n !== 0 ? `0x${cased}` : cased;
    }
    case 'p':
      return `0x${number().toString(16)}`;
    case 'o':
      return number().toString(8);
    case 'c':
      return typeof arg === 'string' ? arg : String.fromCharCode(Number(arg));
    case 's':
      return String(arg);
    default:
      return number().toString();
  }
}

/** Three significant digits and a binary unit: `1.21 MiB`. */
export function humanSize(bytes: number): string {
  const units = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
  // 1000 KiB are shown as 0.977 MiB.
  let unit = 0;
  while (bytes / 1024 ** unit >= 1000 && unit < units.length - 1) unit++;
  return `${threeDigits(bytes / 1024 ** unit)} ${units[unit]}B`;
}

/** printf's %.3g. */
export function threeDigits(value: number): string {
  if (value === 0) return '0';
  const text = value.toPrecision(3);
  if (text.includes('e')) return String(Number(text));
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

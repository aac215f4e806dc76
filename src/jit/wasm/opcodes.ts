/** WebAssembly's binary opcodes, as the core specification 2.0 (section 5.4) numbers them; only those the compiler uses. */

import { SHUFFLE, SIMD_OPCODES, V128_CONST } from '../../ir/vector-code.js';

export type Immediate = 'none' | 'block' | 'label' | 'labels' | 'index' | 'i32' | 'i64' | 'memory' | 'lane' | 'bytes16';

const rows: [number, string, Immediate][] = [];
const op = (code: number, name: string, immediate: Immediate = 'none'): number => {
  rows.push([code, name, immediate]);
  return code;
};

export const W = {
  unreachable: op(0x00, 'unreachable'),
  block: op(0x02, 'block', 'block'),
  loop: op(0x03, 'loop', 'block'),
  if: op(0x04, 'if', 'block'),
  else: op(0x05, 'else'),
  end: op(0x0b, 'end'),
  br: op(0x0c, 'br', 'label'),
  brIf: op(0x0d, 'br_if', 'label'),
  brTable: op(0x0e, 'br_table', 'labels'),
  return: op(0x0f, 'return'),
  call: op(0x10, 'call', 'index'),
  drop: op(0x1a, 'drop'),
  select: op(0x1b, 'select'),
  localGet: op(0x20, 'local.get', 'index'),
  localSet: op(0x21, 'local.set', 'index'),
  localTee: op(0x22, 'local.tee', 'index'),
  i32Load: op(0x28, 'i32.load', 'memory'),
  i64Load: op(0x29, 'i64.load', 'memory'),
  i32Load8U: op(0x2d, 'i32.load8_u', 'memory'),
  i32Load16U: op(0x2f, 'i32.load16_u', 'memory'),
  i64Load8S: op(0x30, 'i64.load8_s', 'memory'),
  i64Load8U: op(0x31, 'i64.load8_u', 'memory'),
  i64Load16S: op(0x32, 'i64.load16_s', 'memory'),
  i64Load16U: op(0x33, 'i64.load16_u', 'memory'),
  i64Load32S: op(0x34, 'i64.load32_s', 'memory'),
  i64Load32U: op(0x35, 'i64.load32_u', 'memory'),
  i32Store: op(0x36, 'i32.store', 'memory'),
  i64Store: op(0x37, 'i64.store', 'memory'),
  i64Store8: op(0x3c, 'i64.store8', 'memory'),
  i64Store16: op(0x3d, 'i64.store16', 'memory'),
  i64Store32: op(0x3e, 'i64.store32', 'memory'),
  i32Const: op(0x41, 'i32.const', 'i32'),
  i64Const: op(0x42, 'i64.const', 'i64'),
  i32Eqz: op(0x45, 'i32.eqz'),
  i32Eq: op(0x46, 'i32.eq'),
  i32Ne: op(0x47, 'i32.ne'),
  i32LtS: op(0x48, 'i32.lt_s'),
  i32LtU: op(0x49, 'i32.lt_u'),
  i32GtS: op(0x4a, 'i32.gt_s'),
  i32GtU: op(0x4b, 'i32.gt_u'),
  i32LeS: op(0x4c, 'i32.le_s'),
  i32LeU: op(0x4d, 'i32.le_u'),
  i32GeS: op(0x4e, 'i32.ge_s'),
  i32GeU: op(0x4f, 'i32.ge_u'),
  i64Eqz: op(0x50, 'i64.eqz'),
  i64Eq: op(0x51, 'i64.eq'),
  i64Ne: op(0x52, 'i64.ne'),
  i64LtS: op(0x53, 'i64.lt_s'),
  i64LtU: op(0x54, 'i64.lt_u'),
  i64GtS: op(0x55, 'i64.gt_s'),
  i64GtU: op(0x56, 'i64.gt_u'),
  i64LeS: op(0x57, 'i64.le_s'),
  i64LeU: op(0x58, 'i64.le_u'),
  i64GeS: op(0x59, 'i64.ge_s'),
  i64GeU: op(0x5a, 'i64.ge_u'),
  i32Clz: op(0x67, 'i32.clz'),
  i32Ctz: op(0x68, 'i32.ctz'),
  i32Add: op(0x6a, 'i32.add'),
  i32Sub: op(0x6b, 'i32.sub'),
  i32Mul: op(0x6c, 'i32.mul'),
  i32And: op(0x71, 'i32.and'),
  i32Or: op(0x72, 'i32.or'),
  i32Xor: op(0x73, 'i32.xor'),
  i32Shl: op(0x74, 'i32.shl'),
  i32ShrS: op(0x75, 'i32.shr_s'),
  i32ShrU: op(0x76, 'i32.shr_u'),
  i32Rotl: op(0x77, 'i32.rotl'),
  i32Rotr: op(0x78, 'i32.rotr'),
  i64Clz: op(0x79, 'i64.clz'),
  i64Ctz: op(0x7a, 'i64.ctz'),
  i64Popcnt: op(0x7b, 'i64.popcnt'),
  i64Add: op(0x7c, 'i64.add'),
  i64Sub: op(0x7d, 'i64.sub'),
  i64Mul: op(0x7e, 'i64.mul'),
  i64And: op(0x83, 'i64.and'),
  i64Or: op(0x84, 'i64.or'),
  i64Xor: op(0x85, 'i64.xor'),
  i64Shl: op(0x86, 'i64.shl'),
  i64ShrS: op(0x87, 'i64.shr_s'),
  i64ShrU: op(0x88, 'i64.shr_u'),
  i64Rotl: op(0x89, 'i64.rotl'),
  i64Rotr: op(0x8a, 'i64.rotr'),
  i32WrapI64: op(0xa7, 'i32.wrap_i64'),
  i64ExtendI32S: op(0xac, 'i64.extend_i32_s'),
  i64ExtendI32U: op(0xad, 'i64.extend_i32_u'),
  i64Extend8S: op(0xc2, 'i64.extend8_s'),
  i64Extend16S: op(0xc3, 'i64.extend16_s'),
  i64Extend32S: op(0xc4, 'i64.extend32_s'),
  /** Prefix of the vector instructions; the number that follows is one of V. */
  simd: 0xfd,
} as const;

const vectorRows: [number, string, Immediate][] = [];
const vop = (code: number, name: string, immediate: Immediate = 'none'): number => {
  vectorRows.push([code, name, immediate]);
  return code;
};
for (const [name, code] of Object.entries(SIMD_OPCODES))
  vop(code, name, name.includes('extract_lane') ? 'lane' : 'none');
vop(V128_CONST, 'v128.const', 'bytes16');
vop(SHUFFLE, 'i8x16.shuffle', 'bytes16');
export const V = {
  load: vop(0x00, 'v128.load', 'memory'),
  store: vop(0x0b, 'v128.store', 'memory'),
} as const;

export interface OpcodeInfo {
  readonly name: string;
  readonly immediate: Immediate;
}
const index = (list: readonly (readonly [number, string, Immediate])[]): ReadonlyMap<number, OpcodeInfo> =>
  new Map(list.map(([code, name, immediate]) => [code, { name, immediate }]));
/** For the text printer. */
export const OPCODES = index(rows);
export const VECTOR_OPCODES = index(vectorRows);

export const ValType = { i32: 0x7f, i64: 0x7e } as const;
/** Block type without parameters and results. */
export const VOID = 0x40;

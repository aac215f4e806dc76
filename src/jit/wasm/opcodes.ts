/** WebAssembly's binary opcodes, as the core specification 2.0 (section 5.4) numbers them; only those the compiler uses. */

import { SHUFFLE, SIMD_OPCODES, V128_CONST } from '../../ir/vector-code.js';

export type Immediate =
  | 'none'
  | 'block'
  | 'label'
  | 'labels'
  | 'index'
  | 'i32'
  | 'i64'
  | 'memory'
  | 'memoryLane'
  | 'lane'
  | 'bytes16';

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
  f32Load: op(0x2a, 'f32.load', 'memory'),
  f64Load: op(0x2b, 'f64.load', 'memory'),
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
  f32Eq: op(0x5b, 'f32.eq'),
  f32Lt: op(0x5d, 'f32.lt'),
  f32Gt: op(0x5e, 'f32.gt'),
  f64Eq: op(0x61, 'f64.eq'),
  f64Lt: op(0x63, 'f64.lt'),
  f64Gt: op(0x64, 'f64.gt'),
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
  i64DivS: op(0x7f, 'i64.div_s'),
  i64DivU: op(0x80, 'i64.div_u'),
  i64And: op(0x83, 'i64.and'),
  i64Or: op(0x84, 'i64.or'),
  i64Xor: op(0x85, 'i64.xor'),
  i64Shl: op(0x86, 'i64.shl'),
  i64ShrS: op(0x87, 'i64.shr_s'),
  i64ShrU: op(0x88, 'i64.shr_u'),
  i64Rotl: op(0x89, 'i64.rotl'),
  i64Rotr: op(0x8a, 'i64.rotr'),
  f32Nearest: op(0x90, 'f32.nearest'),
  f32Sqrt: op(0x91, 'f32.sqrt'),
  f32Add: op(0x92, 'f32.add'),
  f32Sub: op(0x93, 'f32.sub'),
  f32Mul: op(0x94, 'f32.mul'),
  f32Div: op(0x95, 'f32.div'),
  f64Nearest: op(0x9e, 'f64.nearest'),
  f64Sqrt: op(0x9f, 'f64.sqrt'),
  f64Add: op(0xa0, 'f64.add'),
  f64Sub: op(0xa1, 'f64.sub'),
  f64Mul: op(0xa2, 'f64.mul'),
  f64Div: op(0xa3, 'f64.div'),
  i32WrapI64: op(0xa7, 'i32.wrap_i64'),
  i64ExtendI32S: op(0xac, 'i64.extend_i32_s'),
  i64ExtendI32U: op(0xad, 'i64.extend_i32_u'),
  i64TruncF32S: op(0xae, 'i64.trunc_f32_s'),
  i64TruncF64S: op(0xb0, 'i64.trunc_f64_s'),
  f32ConvertI32S: op(0xb2, 'f32.convert_i32_s'),
  f32ConvertI64S: op(0xb4, 'f32.convert_i64_s'),
  f32DemoteF64: op(0xb6, 'f32.demote_f64'),
  f64ConvertI32S: op(0xb7, 'f64.convert_i32_s'),
  f64ConvertI64S: op(0xb9, 'f64.convert_i64_s'),
  f64PromoteF32: op(0xbb, 'f64.promote_f32'),
  i32ReinterpretF32: op(0xbc, 'i32.reinterpret_f32'),
  i64ReinterpretF64: op(0xbd, 'i64.reinterpret_f64'),
  i64Extend8S: op(0xc2, 'i64.extend8_s'),
  i64Extend16S: op(0xc3, 'i64.extend16_s'),
  i64Extend32S: op(0xc4, 'i64.extend32_s'),
  /** Prefix of the vector instructions; the number that follows is one of V. */
  simd: 0xfd,
} as const;

const vectorRows: [number, string, Immediate][] = [];
const vectorCodes = new Set<number>();
const vop = (code: number, name: string, immediate: Immediate = 'none'): number => {
  if (!vectorCodes.has(code)) vectorRows.push([code, name, immediate]);
  vectorCodes.add(code);
  return code;
};
for (const [name, code] of Object.entries(SIMD_OPCODES))
  vop(code, name, name.includes('extract_lane') ? 'lane' : 'none');
vop(V128_CONST, 'v128.const', 'bytes16');
vop(SHUFFLE, 'i8x16.shuffle', 'bytes16');
export const V = {
  load: vop(0x00, 'v128.load', 'memory'),
  store: vop(0x0b, 'v128.store', 'memory'),
  i64x2ExtractLane: vop(0x1d, 'i64x2.extract_lane', 'lane'),
  i64x2ReplaceLane: vop(0x1e, 'i64x2.replace_lane', 'lane'),
  i32x4ReplaceLane: vop(0x1c, 'i32x4.replace_lane', 'lane'),
  f32x4ExtractLane: vop(0x1f, 'f32x4.extract_lane', 'lane'),
  f32x4ReplaceLane: vop(0x20, 'f32x4.replace_lane', 'lane'),
  f64x2ExtractLane: vop(0x21, 'f64x2.extract_lane', 'lane'),
  f64x2ReplaceLane: vop(0x22, 'f64x2.replace_lane', 'lane'),
  f32x4Eq: vop(0x41, 'f32x4.eq'),
  f32x4Lt: vop(0x43, 'f32x4.lt'),
  f32x4Gt: vop(0x44, 'f32x4.gt'),
  f32x4Le: vop(0x45, 'f32x4.le'),
  f32x4Ge: vop(0x46, 'f32x4.ge'),
  f32x4Ne: vop(0x42, 'f32x4.ne'),
  f64x2Eq: vop(0x47, 'f64x2.eq'),
  f64x2Ne: vop(0x48, 'f64x2.ne'),
  f64x2Lt: vop(0x49, 'f64x2.lt'),
  f64x2Gt: vop(0x4a, 'f64x2.gt'),
  f64x2Le: vop(0x4b, 'f64x2.le'),
  f64x2Ge: vop(0x4c, 'f64x2.ge'),
  or: vop(0x50, 'v128.or'),
  load64Lane: vop(0x57, 'v128.load64_lane', 'memoryLane'),
  store32Lane: vop(0x5a, 'v128.store32_lane', 'memoryLane'),
  store64Lane: vop(0x5b, 'v128.store64_lane', 'memoryLane'),
  load32Zero: vop(0x5c, 'v128.load32_zero', 'memory'),
  load64Zero: vop(0x5d, 'v128.load64_zero', 'memory'),
  i32x4Bitmask: vop(0xa4, 'i32x4.bitmask'),
  i32x4Shl: vop(0xab, 'i32x4.shl'),
  i32x4ShrU: vop(0xad, 'i32x4.shr_u'),
  i32x4Add: vop(0xae, 'i32x4.add'),
  i32x4Sub: vop(0xb1, 'i32x4.sub'),
  i64x2Bitmask: vop(0xc4, 'i64x2.bitmask'),
  i64x2Shl: vop(0xcb, 'i64x2.shl'),
  i64x2ShrU: vop(0xcd, 'i64x2.shr_u'),
  i64x2Add: vop(0xce, 'i64x2.add'),
  i64x2Sub: vop(0xd1, 'i64x2.sub'),
  f32x4Sqrt: vop(0xe3, 'f32x4.sqrt'),
  f32x4Add: vop(0xe4, 'f32x4.add'),
  f32x4Sub: vop(0xe5, 'f32x4.sub'),
  f32x4Mul: vop(0xe6, 'f32x4.mul'),
  f32x4Div: vop(0xe7, 'f32x4.div'),
  f32x4Pmin: vop(0xea, 'f32x4.pmin'),
  f32x4Pmax: vop(0xeb, 'f32x4.pmax'),
  f64x2Sqrt: vop(0xef, 'f64x2.sqrt'),
  f64x2Add: vop(0xf0, 'f64x2.add'),
  f64x2Sub: vop(0xf1, 'f64x2.sub'),
  f64x2Mul: vop(0xf2, 'f64x2.mul'),
  f64x2Div: vop(0xf3, 'f64x2.div'),
  f64x2Pmin: vop(0xf6, 'f64x2.pmin'),
  f64x2Pmax: vop(0xf7, 'f64x2.pmax'),
  f32x4ConvertI32x4S: vop(0xfa, 'f32x4.convert_i32x4_s'),
  f64x2ConvertLowI32x4S: vop(0xfe, 'f64x2.convert_low_i32x4_s'),
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

export const ValType = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const;
/** Block type without parameters and results. */
export const VOID = 0x40;

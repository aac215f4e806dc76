/** Vector instructions that touch memory element by element: masked loads and stores, gathers. */
import { ldU32, ldU64, probeWrite, stU8, stU32, stU64 } from '../core/memory';
import { VCPU_FAULT_PENDING, VCPU_MMU_INDEX } from '../generated/layout';
import { X86_VTEMP, X86_ZMM } from '../generated/x86';

/** Is the top bit of the mask's element at `offset` set? */
function chosen(mask: usize, offset: u32, size: u32): bool {
  return (load<u8>(mask + offset + size - 1) & 0x80) !== 0;
}

/**
 * VMASKMOVPS and the like: elements at the linear address in cell a whose mask (b) is set, zero for the others.
 * imm: bytes of the vector | bytes of an element << 8.
 */
export function maskedLoad(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const mmu = load<u32>(cpu + VCPU_MMU_INDEX);
  const bytes = imm & 0xff;
  const size = imm >> 8;
  const linear = load<u64>(a);
  const result = cpu + X86_VTEMP + 3 * 64;
  for (let i: u32 = 0; i < bytes; i += size) {
    let value: u64 = 0;
    if (chosen(b, i, size)) {
      value = size === 8 ? ldU64(cpu, linear + i, mmu) : ldU32(cpu, linear + i, mmu);
      if (load<u32>(cpu + VCPU_FAULT_PENDING)) return;
    }
    if (size === 8) store<u64>(result + i, value);
    else store<u32>(result + i, <u32>value);
  }
  v128.store(d, v128.load(result));
  if (bytes === 32) v128.store(d, v128.load(result, 16), 16);
}

/** VMASKMOVPS and the like, MASKMOVDQU, MASKMOVQ: stores elements of d (only read here). Others as above. */
export function maskedStore(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const mmu = load<u32>(cpu + VCPU_MMU_INDEX);
  const bytes = imm & 0xff;
  const size = imm >> 8;
  const linear = load<u64>(a);
  // Nothing is stored before all of it can be.
  for (let i: u32 = 0; i < bytes; i += size) {
    if (chosen(b, i, size) && !probeWrite(cpu, linear + i, size, mmu)) return;
  }
  for (let i: u32 = 0; i < bytes; i += size) {
    if (!chosen(b, i, size)) continue;
    if (size === 1) stU8(cpu, linear + i, <u64>load<u8>(d + i), mmu);
    else if (size === 4) stU32(cpu, linear + i, <u64>load<u32>(d + i), mmu);
    else stU64(cpu, linear + i, load<u64>(d + i), mmu);
    if (load<u32>(cpu + VCPU_FAULT_PENDING)) return;
  }
}

/**
 * VPGATHERDD and its kin into d. Cell a: effective address of index 0; after it: segment base. b: the mask; its elements
 * are cleared as they are served, so that after a fault the instruction goes on where it was. imm:
 *   bits 0..3 elements, 4 elements of 8 bytes, 5 indexes of 8 bytes, 6..7 scale, 8..11 index register,
 *   12 addresses of 32 bits, 13 linear addresses of 32 bits
 */
export function gather(cpu: usize, d: usize, a: usize, b: usize, imm: u32): void {
  const mmu = load<u32>(cpu + VCPU_MMU_INDEX);
  const count = imm & 15;
  const size: u32 = imm & 16 ? 8 : 4;
  const scale = <u64>((imm >> 6) & 3);
  const indexes = cpu + X86_ZMM + <usize>((imm >> 8) & 15) * 64;
  for (let i: u32 = 0; i < count; i++) {
    const at = i * size;
    if (!chosen(b, at, size)) continue;
    const index: i64 = imm & 32 ? load<i64>(indexes + (i << 3)) : <i64>load<i32>(indexes + (i << 2));
    let linear = load<u64>(a) + ((<u64>index) << scale);
    if (imm & 0x1000) linear &= 0xffffffff;
    linear += load<u64>(a, 8);
    if (imm & 0x2000) linear &= 0xffffffff;
    const value = size === 8 ? ldU64(cpu, linear, mmu) : ldU32(cpu, linear, mmu);
    if (load<u32>(cpu + VCPU_FAULT_PENDING)) return;
    if (size === 8) {
      store<u64>(d + at, value);
      store<u64>(b + at, 0);
    } else {
      store<u32>(d + at, <u32>value);
      store<u32>(b + at, 0);
    }
  }
  // The mask ends as zero, and so does what the elements do not fill of the destination.
  memory.fill(b, 0, 32);
  memory.fill(d + count * size, 0, 32 - count * size);
}

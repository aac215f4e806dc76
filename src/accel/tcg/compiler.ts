/** What a region compiler is told of a machine, so that a thread of its own can be one. */
import type { GuestArchitecture } from '../../guest/guest.js';
import { TLB_ENTRIES, TLB_ENTRY } from '../../ir/layout.js';
import { type CompilerOptions, RegionCompiler } from '../../jit/compiler.js';

export type { CompiledJob, CompileJob, CompileThread } from '../../jit/compiler.js';

export interface CompilerSetup {
  /** `GuestArchitecture.name`. */
  readonly guest: string;
  /** Linear-memory addresses of a machine's only vCPU. */
  readonly onlyVcpu?: { readonly state: number; readonly tlb: number; readonly jumpCache: number } | undefined;
}

export function compilerOptions(guest: GuestArchitecture, { onlyVcpu: only }: CompilerSetup): CompilerOptions {
  return {
    helperNames: guest.helpers.map((h) => h.name),
    inlineVector: (helper, imm) => guest.inlineVector(helper, imm),
    inlineFloat: (helper, imm) => guest.inlineFloat(helper, imm),
    floatStatus: guest.floatStatus,
    x87: guest.x87,
    inlineCondition: (condition) => guest.inlineCondition(condition),
    writesDestinationOnly: (helper) => guest.writesDestinationOnly(helper),
    vectorBaseSlot: guest.vectorBaseSlot,
    hasCodeBase: (mode) => !guest.linearIsPc(mode),
    onlyVcpu: only && {
      state: only.state,
      tlb: (mode) => only.tlb + guest.mmuIndex(mode) * TLB_ENTRIES * TLB_ENTRY.size,
      jumpCache: only.jumpCache,
    },
  };
}

/** A compiler for machines of the architecture that is called so. */
export function regionCompiler(guests: readonly GuestArchitecture[], setup: CompilerSetup): RegionCompiler {
  const guest = guests.find(({ name }) => name === setup.guest);
  if (guest === undefined) throw new Error(`no guest architecture ${setup.guest}`);
  return new RegionCompiler(compilerOptions(guest, setup));
}

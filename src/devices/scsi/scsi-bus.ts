/** A SCSI bus: units by target and LUN, and the place properties of devices on it. */
import { UserError } from '../../base/errors.js';
import { HOT_AT_ONCE, type OfferedBus } from '../../machine/device-bus.js';
import { prop } from '../../machine/property.js';
import type { ScsiSlot, ScsiUnit } from './scsi-unit.js';

export const SCSI_PLACE = {
  channel: prop.uint32(0, 'channel: only 0 is there'),
  'scsi-id': prop.int32(-1, 'target; by default the first free one'),
  lun: prop.int32(-1, 'logical unit; by default the first free one'),
} as const;

export class ScsiBus {
  readonly #units = new Map<number, Map<number, ScsiUnit>>();

  constructor(
    readonly maxTarget: number,
    readonly maxLun: number,
    /** A unit was plugged in or out. */
    private readonly changed: (target: number, lun: number, added: boolean) => void = () => {},
  ) {}

  unit(target: number, lun: number): ScsiUnit | undefined {
    return this.#units.get(target)?.get(lun);
  }

  /** LUNs of a target, sorted; empty when it is not there. */
  luns(target: number): number[] {
    return [...(this.#units.get(target)?.keys() ?? [])].sort((a, b) => a - b);
  }

  #remove(target: number, lun: number): void {
    const units = this.#units.get(target);
    if (!units?.delete(lun)) return;
    if (units.size === 0) this.#units.delete(target);
    this.changed(target, lun, false);
  }

  readonly offered: OfferedBus = {
    name: 'scsi',
    type: 'SCSI',
    hot: HOT_AT_ONCE,
    place: SCSI_PLACE,
    hasRoom: () => this.#freeTarget() <= this.maxTarget,
    slot: (type, place): ScsiSlot => this.#slot(type, Number(place['scsi-id']), Number(place['lun'])),
  };

  #freeTarget(): number {
    let target = 0;
    while (this.#units.has(target)) target++;
    return target;
  }

  #slot(type: string, askedTarget: number, askedLun: number): ScsiSlot {
    const target = askedTarget >= 0 ? askedTarget : this.#freeTarget();
    let lun = askedLun;
    if (lun < 0) for (lun = 0; this.unit(target, lun); ) lun++;
    if (target > this.maxTarget) throw new UserError(`bad scsi device id: ${target}`);
    if (lun > this.maxLun) throw new UserError(`bad scsi device lun: ${lun}`);
    if (this.unit(target, lun)) throw new UserError(`${type}: lun already used by '${this.unit(target, lun)!.type}'`);
    return {
      target,
      lun,
      attach: (unit) => {
        const units = this.#units.get(target) ?? new Map<number, ScsiUnit>();
        units.set(lun, unit);
        this.#units.set(target, units);
        this.changed(target, lun, true);
      },
      detach: () => this.#remove(target, lun),
    };
  }
}

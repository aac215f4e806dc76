/** Where interrupt controllers are: `kernel_irqchip`. */

/** `on`: all interrupt chips and the 8254 in the kernel; `split`: the local APICs only; `off`: none. */
export const IRQCHIP_MODES = ['on', 'off', 'split'] as const;
export type IrqchipMode = (typeof IRQCHIP_MODES)[number];

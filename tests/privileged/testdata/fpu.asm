; x87 and SSE under the kernel's control: unmasked exceptions as IRQ 13 and as #MF, CR0.EM, MP and TS, CR4.OSFXSR and
; OSXMMEXCPT, misaligned and reserved operands. Real mode on a PC with its 8259s. QEMU does not model most of this:
; fpu.expected follows the SDM (vol. 1 chapters 8.7, 10.2, 11.5; vol. 3 chapters 2.5 and 13.1).
%include "common.inc"

%macro VECTOR 2
    mov word [fs:%1 * 4], %2
    mov word [fs:%1 * 4 + 2], cs
%endmacro
; What a faulting instruction continues with: the label after it.
%macro TRY 1+
    mov word [resume], %%after
    %1
%%after:
%endmacro
%macro CR0_BITS 1       ; NE, TS, EM, MP as wanted
    mov eax, cr0
    and eax, ~0x2e
    or eax, %1
    mov cr0, eax
%endmacro
%macro STATUS 0
    fnstsw ax
    movzx eax, ax
    call hex16
%endmacro
NE equ 0x20
TS equ 8
EM equ 4
MP equ 2

main:
    xor ax, ax
    mov fs, ax
    VECTOR 6, on_ud
    VECTOR 7, on_nm
    VECTOR 13, on_gp
    VECTOR 16, on_mf
    VECTOR 19, on_xm
    VECTOR 0x75, on_irq13
    ; 8259s at 8 and 70h, only the cascade and IRQ 13 open
    mov al, 0x11
    out 0x20, al
    out 0xa0, al
    mov al, 8
    out 0x21, al
    mov al, 0x70
    out 0xa1, al
    mov al, 4
    out 0x21, al
    mov al, 2
    out 0xa1, al
    mov al, 1
    out 0x21, al
    out 0xa1, al
    mov al, 0xfb
    out 0x21, al
    mov al, 0xdf
    out 0xa1, al
    mov ecx, 0x1b       ; no local APIC between them and the processor
    rdmsr
    and ah, ~8
    wrmsr

    SAY16 'irq13: '
    CR0_BITS 0
    fninit
    fldcw [all_unmasked]
    fld1
    fldz
    sti
    SAY16 'divide '
    fdivp st1, st0      ; ZE pends
    STATUS              ; not a waiting instruction
    SAY16 'wait '
    fwait               ; IRQ 13
    mov cx, 1000
.spin:
    loop .spin
    cli
    STATUS
    SAY16 10, 'masked interrupt: '
    fninit
    fldcw [all_unmasked]
    fldz
    fld1
    fdivrp st1, st0
    fwait
    STATUS
    mov al, 0x0b        ; is IRQ 13 asked for?
    out 0xa0, al
    mov al, 0x0a
    out 0xa0, al
    in al, 0xa0
    and eax, 0x20
    call hex16
    fnclex
    mov al, 0
    out 0xf0, al

    SAY16 10, 'mf: '
    CR0_BITS NE
    fninit
    fldcw [all_unmasked]
    fldz
    fld1
    fdivrp st1, st0
    STATUS
    TRY fld1
    TRY fwait
    TRY fldcw [all_masked]
    TRY emms
    fnclex
    TRY fwait
    STATUS
    SAY16 10, 'invalid: '
    fninit
    fldcw [all_unmasked]
    fadd st0, st1       ; stack underflow
    STATUS
    TRY fwait
    fninit

    SAY16 10, 'ts: '
    CR0_BITS TS | NE
    TRY fwait
    TRY fninit
    TRY fnstsw ax
    TRY fxsave [area]
    TRY emms
    SAY16 'mp: '
    CR0_BITS TS | MP | NE
    TRY fwait
    TRY fninit
    CR0_BITS MP | NE
    TRY fwait
    SAY16 'em: '
    CR0_BITS EM | NE
    TRY fwait
    TRY fninit
    TRY fxsave [area]
    TRY emms
    CR0_BITS EM | MP | NE
    TRY fwait

    SAY16 10, 'osfxsr: '
    CR0_BITS NE
    mov eax, cr4
    and eax, ~0x600
    mov cr4, eax
    TRY xorps xmm0, xmm0
    TRY stmxcsr [scratch]
    TRY fxsave [area]
    SAY16 'on '
    or eax, 0x200
    mov cr4, eax
    TRY xorps xmm0, xmm0
    SAY16 'ts '
    CR0_BITS TS | NE
    TRY addps xmm0, xmm0
    TRY ldmxcsr [normal_mxcsr]
    SAY16 'em '
    CR0_BITS EM | NE
    TRY addps xmm0, xmm0
    TRY ldmxcsr [normal_mxcsr]
    CR0_BITS NE

    SAY16 10, 'xm: '
    ldmxcsr [unmasked]
    xorps xmm0, xmm0
    mov eax, 1
    cvtsi2ss xmm1, eax
    TRY divss xmm1, xmm0
    mov eax, cr4
    or eax, 0x400
    mov cr4, eax
    TRY divss xmm1, xmm0
    stmxcsr [scratch]
    mov eax, [scratch]
    call hex16
    SAY16 'kept '
    movd eax, xmm1
    call hex16

    SAY16 10, 'operands: '
    TRY ldmxcsr [reserved]
    TRY fxsave [area + 8]
    TRY fxrstor [area + 4]
    TRY movaps xmm0, [area + 4]
    TRY addps xmm0, [area + 8]
    TRY movups xmm0, [area + 4]
    SAY16 10, 'pointers: '
    fninit
    fldz
.add:
    fadd dword [scratch]
    fnstenv [area]      ; 16-bit: linear address of the instruction and of its operand, opcode
    movzx eax, word [area + 6]
    movzx ebx, word [area + 8]
    call pointer
    sub eax, L(.add)
    call hex16
    mov eax, ebx
    and eax, 0xfff
    call hex16
    movzx eax, word [area + 10]
    movzx ebx, word [area + 12]
    call pointer
    sub eax, L(scratch)
    call hex16
.sub:
    fsub st0, st0
    o32 fnstenv [area]
    movzx eax, word [area + 12]
    mov ebx, [area + 16]
    call pointer
    sub eax, L(.sub)
    call hex16
    mov eax, ebx
    and eax, 0xfff
    call hex16
    movzx eax, word [area + 20]
    mov ebx, [area + 24]
    call pointer
    sub eax, L(scratch)
    call hex16
    SAY16 'done', 10
    FINISH
; eax = its low 16 bits and, from bit 12 of ebx on, its high ones
pointer:
    push ebx
    and ebx, 0xfffff000
    shl ebx, 4
    or eax, ebx
    pop ebx
    ret

%macro HANDLER 2
%1:
    SAY16 %2, ' '
    push bp
    mov bp, sp
    push ax
    mov ax, [resume]
    mov [bp + 2], ax
    pop ax
    pop bp
    iret
%endmacro
    HANDLER on_ud, '#ud'
    HANDLER on_nm, '#nm'
    HANDLER on_gp, '#gp'
    HANDLER on_mf, '#mf'
    HANDLER on_xm, '#xm'
on_irq13:
    SAY16 '#irq13 '
    push eax
    STATUS
    mov al, 0
    out 0xf0, al
    fnclex
    mov al, 0x20
    out 0xa0, al
    out 0x20, al
    pop eax
    iret

all_unmasked: dw 0x340
all_masked: dw 0x37f
normal_mxcsr: dd 0x1f80
unmasked: dd 0
reserved: dd 0x10000
resume: dw 0
align 16
scratch: dd 0
align 16
area: times 544 db 0
RESET

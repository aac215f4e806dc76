; Real mode: interrupts through the IVT, far transfers, flags, single step, unreal mode, table registers.
%include "common.inc"

%macro VECTOR 2
    mov word [fs:%1 * 4], %2
    mov word [fs:%1 * 4 + 2], cs
%endmacro

main:
    xor ax, ax
    mov fs, ax
    VECTOR 0, on_de
    VECTOR 1, on_db
    VECTOR 3, on_bp
    VECTOR 4, on_of
    VECTOR 6, on_ud
    VECTOR 13, on_gp
    VECTOR 0x40, on_40

    SAY16 'int: '
    stc
    sti
    int 0x40
    pushf
    pop ax
    and eax, 0x7fd5
    call hex16
    cli
    SAY16 10, 'int3: '
    int3
    SAY16 10, 'into: '
    mov al, 0x7f
    add al, 1
    into
    SAY16 10, 'div: '
    xor cx, cx
    mov word [resume], .after_div
    div cl
.after_div:
    SAY16 10, 'ud2: '
    mov word [resume], .after_ud
    ud2
.after_ud:
    SAY16 10, 'step: '
    pushf
    pop ax
    or ax, 0x100
    push ax
    popf
    nop
    mov ax, ss
    mov ss, ax
    nop
    nop
    pushf
    pop ax
    and ax, 0xfeff
    push ax
    popf
    nop
    SAY16 10, 'far: '
    call (BASE >> 4):far_proc
    push cs
    push word .far_jump
    retf
.far_jump:
    mov eax, esp
    call hex16
    SAY16 10, 'flags: '
    pushfd
    pop eax
    or eax, 0x3f7fd7 & ~0x30100
    push eax
    popfd
    pushfd
    pop eax
    call hex16
    push word 0
    popf
    pushfd
    pop eax
    call hex16
    push dword 0
    popfd
    SAY16 10, 'iret: '
    pushf
    push cs
    push word .back
    iret
.back:
    mov eax, esp
    call hex16
    pushfd
    push dword (BASE >> 4)
    push dword .back32
    o32 iret
.back32:
    mov eax, esp
    call hex16
    SAY16 10, 'smsw: '
    smsw eax
    call hex16
    mov eax, cr0
    call hex16
    SAY16 10, 'sldt: '
    mov word [resume], .after_sldt
    sldt ax
.after_sldt:
    SAY16 10, 'sgdt: '
    mov dword [scratch], 0x12345678
    mov dword [scratch + 4], 0x9abcdef0
    lgdt [table16]
    sgdt [scratch]
    mov eax, [scratch]
    call hex16
    mov eax, [scratch + 4]
    call hex16
    o32 lgdt [table16]
    sgdt [scratch]
    mov eax, [scratch + 2]
    call hex16
    lgdt [gdtr]
    SAY16 10, 'unreal: '
    mov eax, cr0
    or al, 1
    mov cr0, eax
    mov bx, 8
    mov gs, bx
    and al, 0xfe
    mov cr0, eax
    mov edi, 0x110000
    mov dword [gs:edi], 0xcafe0001
    mov eax, [gs:edi]
    call hex16
    mov bx, 0x10
    mov gs, bx
    mov edi, 0x100000
    mov dword [gs:edi + 0x10000], 0xcafe0002
    mov eax, [gs:edi + 0x10000]
    call hex16
    SAY16 10, 'lock nop: '
    mov word [resume], .after_lock
    db 0xf0, 0x90
.after_lock:
    SAY16 10, 'mov cs: '
    mov word [resume], .after_cs
    db 0x8e, 0xc8
.after_cs:
    SAY16 10, 'msr: '
    mov word [resume], .after_msr
    mov ecx, 0x1b
    rdmsr
    call hex16
    mov ecx, 0x277
    rdmsr
    call hex16
    mov eax, edx
    call hex16
.after_msr:
    SAY16 10, 'end', 10
    FINISH

far_proc:
    SAY16 'in far '
    retf

%macro HANDLER 2
%1:
    push bp
    mov bp, sp
    push eax
    SAY16 '#', %2, ' '
    movzx eax, word [bp + 2]
    call hex16
    movzx eax, word [bp + 6]
    and eax, 0x7700
    call hex16
    pop eax
    pop bp
%endmacro
%macro RESUME 0
    push bp
    mov bp, sp
    push ax
    mov ax, [resume]
    mov [bp + 2], ax
    pop ax
    pop bp
    iret
%endmacro
    HANDLER on_40, '40'
    pushf
    push eax
    push bp
    mov bp, sp
    movzx eax, word [bp + 6]
    and eax, 0x7fd5
    call hex16
    pop bp
    pop eax
    add sp, 2
    iret
    HANDLER on_bp, 'bp'
    iret
    HANDLER on_of, 'of'
    iret
    HANDLER on_db, 'db'
    push eax
    mov eax, dr6
    call hex16
    xor eax, eax
    mov dr6, eax
    pop eax
    iret
    HANDLER on_de, 'de'
    RESUME
    HANDLER on_ud, 'ud'
    RESUME
    HANDLER on_gp, 'gp'
    RESUME

align 8
gdt:
    dq 0
    DESC 0, 0xfffff, 0x93, 0xc
gdtr:
    dw 15
    dd L(gdt)
table16:
    dw 0x1234
    dd 0x56789abc
resume: dw 0
scratch: times 16 db 0
RESET

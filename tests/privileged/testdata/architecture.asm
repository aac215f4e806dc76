; What the manuals say and QEMU 7.2's translator does not do: VME and PVI, x2APIC mode, the TSC-deadline timer, APIC errors,
; general detect, INT1, checks of control registers and MSRs. The expected output was checked against the manuals by hand.
%include "common.inc"
%define MORE_GATES
%define SHOW_FRAME
%include "protected.inc"
%define STACK 0x5000
%define APIC 0xfee00000

%macro HANDLER 2        ; vector, label
    mov word [L(idt) + %1 * 8], %2
    mov word [L(idt) + %1 * 8 + 2], KCODE
    mov word [L(idt) + %1 * 8 + 4], 0x8e00
    mov word [L(idt) + %1 * 8 + 6], BASE >> 16
%endmacro
%macro VM 3             ; text, flags, label
    SAY32 %1, ': '
    mov dword [L(resume)], L(%%after)
    mov [L(saved)], esp
    push dword 0x6666
    push dword 0x5555
    push dword STACK
    push dword 0x4444
    push dword STACK
    push dword 0x800
    push dword 0x20002 | %2
    push dword BASE >> 4
    push dword %3
    mov ebx, 0
    iretd
%%after:
    SAY32 '  bx '
    mov eax, ebx
    call hex32
    SAY32 10
%endmacro
%macro MSR_READ 2
    mov ecx, %2
    TRY %1, rdmsr
%endmacro
%macro MSR_WRITE 4
    mov ecx, %2
    mov edx, %3
    mov eax, %4
    TRY %1, wrmsr
%endmacro
%macro WINDOW 0
    sti
    nop
    nop
    cli
%endmacro

main:
    ENTER_PROTECTED
    HANDLER 0x40, on_40
    HANDLER 0x35, on_error
    HANDLER 0x30, on_timer

    ; ---- VME: the redirection bitmap sends INT 40h to the 8086 program, INT 41h not
    mov byte [L(tss0) + 0x68 + 0x40 / 8], 0xfe
    mov word [0x40 * 4], vm_handler
    mov word [0x40 * 4 + 2], BASE >> 4
    mov eax, cr4
    or eax, 3
    mov cr4, eax
    VM 'vme int redirected', 0, vm_int
    VM 'vme int redirected, vif', 0x80000, vm_int
    VM 'vme int redirected, iopl 3', 0x3200, vm_int
    VM 'vme int not redirected', 0, vm_int41
    VM 'vme cli', 0x80200, vm_cli
    VM 'vme sti', 0x200, vm_sti
    VM 'vme sti vip', 0x100200, vm_sti
    VM 'vme pushf', 0x80200, vm_pushf
    VM 'vme popf if', 0x200, vm_popf_if
    VM 'vme popf if vip', 0x100200, vm_popf_if
    VM 'vme popf tf', 0x200, vm_popf_tf
    VM 'vme popfd', 0x200, vm_popfd
    VM 'vme iret', 0x200, vm_iret

    ; ---- PVI: level 3, IOPL 0
%macro PVI 3
    SAY32 %1, ': '
    mov dword [L(resume)], L(%%after)
    mov [L(saved)], esp
    push dword UDATA
    push dword A(0xc000)
    push dword 2 | %2
    push dword UCODE
    push dword L(%3)
    iretd
%%after:
    mov eax, cr4
%endmacro
    PVI 'pvi cli', 0x80200, user_cli
    PVI 'pvi sti', 0x200, user_sti
    PVI 'pvi sti vip', 0x100200, user_sti

    ; ---- control and debug registers
    mov eax, cr4
    and eax, ~3
    mov cr4, eax
    mov eax, cr0
    or eax, 0x20000000
    and eax, ~0x40000000
    TRY 'nw without cd', mov cr0, eax
    mov eax, cr4
    or eax, 1 << 17
    TRY 'pcid outside long mode', mov cr4, eax
    mov eax, 0x80000000
    TRY 'cr4 reserved', mov cr4, eax
    mov eax, 0x2000
    mov dr7, eax
    TRY 'general detect', mov eax, dr0
    mov eax, dr6
    call hex32
    mov eax, dr7
    call hex32
    xor eax, eax
    mov dr6, eax
    SAY32 10
    TRY 'int1', int1
    mov eax, dr6
    call hex32
    SAY32 10
    TRY 'sysexit without cs', sysexit
    TRY 'sysenter without cs', sysenter
    mov ecx, 2
    TRY 'xgetbv off', xgetbv
    TRY 'rdpmc', rdpmc

    ; ---- MSRs
    MSR_READ 'no such msr', 0x12345
    MSR_WRITE 'efer reserved', 0xc0000080, 0, 0x10000
    MSR_WRITE 'pat reserved type', 0x277, 0, 2
    MSR_WRITE 'mtrr default reserved', 0x2ff, 0, 0x100
    MSR_READ 'x2apic register in xapic mode', 0x802

    ; ---- local APIC
    mov dword [APIC + 0xf0], 0x13f
    mov dword [APIC + 0x370], 0x35
    SAY32 'error: '
    mov dword [APIC + 0x300], 0x4400f
    WINDOW
    mov dword [APIC + 0x280], 0
    mov eax, [APIC + 0x280]
    call hex32
    mov dword [APIC + 0x280], 0
    mov eax, [APIC + 0x280]
    call hex32
    SAY32 10, 'software disabled: '
    mov dword [APIC + 0xf0], 0x3f
    mov eax, [APIC + 0x370]
    call hex32
    mov dword [APIC + 0x300], 0x44040
    mov dword [APIC + 0xf0], 0x13f
    WINDOW
    SAY32 10, 'deadline: '
    mov dword [APIC + 0x320], 0x40030
    rdtsc
    add eax, 10000000
    adc edx, 0
    mov ecx, 0x6e0
    wrmsr
    sti
    hlt
    cli
    mov ecx, 0x6e0
    rdmsr
    or eax, edx
    call hex32
    SAY32 'past '
    mov edx, 0
    mov eax, 1
    wrmsr
    jmp short .now
.now:
    WINDOW
    SAY32 10

    ; ---- x2APIC
    MSR_WRITE 'x2apic without enable', 0x1b, 0, 0xfee00400
    MSR_WRITE 'x2apic', 0x1b, 0, 0xfee00d00
    MSR_WRITE 'back to xapic', 0x1b, 0, 0xfee00900
    mov ecx, 0x802
    rdmsr
    call hex32
    mov ecx, 0x803
    rdmsr
    call hex32
    mov ecx, 0x80d
    rdmsr
    call hex32
    mov ecx, 0x80f
    rdmsr
    call hex32
    SAY32 10
    MSR_READ 'dfr', 0x80e
    MSR_READ 'eoi read', 0x80b
    MSR_WRITE 'eoi not zero', 0x80b, 0, 1
    MSR_WRITE 'id write', 0x802, 0, 1
    MSR_WRITE 'tpr high', 0x808, 1, 0
    mov dword [L(x2)], 1
    SAY32 'self: '
    mov ecx, 0x83f
    mov eax, 0x40
    xor edx, edx
    wrmsr
    jmp short .now2
.now2:
    WINDOW
    SAY32 10, 'icr: '
    mov ecx, 0x830
    mov eax, 0x4040
    xor edx, edx
    wrmsr
    jmp short .now3
.now3:
    WINDOW
    mov ecx, 0x830
    mov eax, 0x4840
    mov edx, 1
    wrmsr
    jmp short .now4
.now4:
    WINDOW
    SAY32 10, 'mmio: '
    mov eax, [APIC + 0x30]
    call hex32
    MSR_WRITE 'off', 0x1b, 0, 0xfee00100
    mov eax, 1
    cpuid
    mov eax, edx
    and eax, 0x200
    call hex32
    MSR_WRITE 'x2apic from off', 0x1b, 0, 0xfee00d00
    MSR_WRITE 'on', 0x1b, 0, 0xfee00900
    mov eax, [APIC + 0xf0]
    call hex32
    SAY32 10, 'end', 10
    FINISH

x2: dd 0
on_40:
    push eax
    push ecx
    push edx
    SAY32 '40 '
    cmp dword [L(x2)], 0
    jne .x2
    mov dword [APIC + 0xb0], 0
    jmp .done
.x2:
    xor eax, eax
    xor edx, edx
    mov ecx, 0x80b
    wrmsr
.done:
    pop edx
    pop ecx
    pop eax
    iretd
on_error:
    SAY32 'error interrupt '
    mov dword [APIC + 0xb0], 0
    iretd
on_timer:
    SAY32 'timer '
    mov dword [APIC + 0xb0], 0
    iretd
int_trap:
int16_proc:
user_cli:
    cli
    ud2
user_sti:
    sti
    ud2
bits 16
vm_int:
    int 0x40
    pushf
    pop cx
    ud2
vm_handler:
    mov bp, sp
    mov bx, [bp + 4]            ; the pushed flags
    and bx, 0x7700
    iret
vm_int41:
    int 0x41
    ud2
vm_cli:
    cli
    mov bx, 1
    ud2
vm_sti:
    sti
    mov bx, 1
    ud2
vm_pushf:
    pushf
    pop bx
    and bx, 0x7700
    ud2
vm_popf_if:
    push word 0x0202
    popf
    ud2
vm_popf_tf:
    push word 0x0102
    popf
    ud2
vm_popfd:
    push dword 2
    popfd
    ud2
vm_iret:
    push word 0x0202
    push cs
    push word .to
    iret
.to:
    mov bx, 1
    ud2
bits 32
align 8
gdt:
    dq 0
    DESC 0, 0xfffff, 0x9b, 0xc          ; 08 kernel code
    DESC 0, 0xfffff, 0x93, 0xc          ; 10 kernel data
    DESC 0, 0xfffff, 0xfb, 0xc          ; 18 user code
    DESC 0, 0xfffff, 0xf3, 0xc          ; 20 user data
    DESC L(tss0), tss0_end - tss0 - 1, 0x89, 0 ; 28 TSS
    DESC L(gdt), 7, 0x82, 0             ; 30 LDT
gdt_pointer:
    dw gdt_pointer - gdt - 1
    dd L(gdt)
EXCEPTIONS
RESET

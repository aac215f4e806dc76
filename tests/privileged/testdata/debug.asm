; Debug registers: instruction, data and I/O breakpoints, single step, RF, general detect, MOV SS and STI shadows.
%include "common.inc"
%include "protected.inc"

main:
    ENTER_PROTECTED
    mov eax, dr6
    call hex32
    mov eax, dr7
    call hex32
    SAY32 10
    ; our own #DB and #BP handlers, which return
    mov word [L(idt) + 8], on_db
    mov word [L(idt) + 24], on_bp

    SAY32 'execute: '
    mov eax, L(.here)
    mov dr0, eax
    mov eax, 2
    mov dr7, eax
    nop
.here:
    nop
    SAY32 10, 'execute in loop: '
    mov ecx, 3
.loop:
    dec ecx
    jnz .loop
    mov eax, L(.loop2)
    mov dr0, eax
    mov ecx, 2
.loop2:
    dec ecx
    jnz .loop2
    xor eax, eax
    mov dr7, eax
    SAY32 10, 'write: '
    mov eax, L(watched)
    mov dr1, eax
    mov eax, 0xd00008
    mov dr7, eax
    mov dword [L(watched)], 1
    mov eax, [L(watched)]
    mov byte [L(watched) + 3], 1
    mov byte [L(watched) + 4], 1
    mov dword [L(watched) - 2], 1
    mov dword [L(watched) - 4], 1
    push eax
    SAY32 10, 'access: '
    mov eax, 0xf00008
    mov dr7, eax
    mov eax, [L(watched)]
    mov al, [L(watched) + 3]
    mov al, [L(watched) + 4]
    inc dword [L(watched)]
    SAY32 10, 'string: '
    mov edi, L(watched) - 4
    mov ecx, 3
    rep stosd
    mov eax, L(watched)
    mov dr2, eax
    SAY32 10, 'disabled beside enabled: '
    mov eax, 0xff00020
    mov dr7, eax
    mov [L(watched)], eax
    xor eax, eax
    mov dr7, eax
    SAY32 10, 'step: '
    pushfd
    or dword [esp], 0x100
    popfd
    nop
    mov ax, ss
    mov ss, ax
    nop
    cpuid
    int 0x24
    pushfd
    and dword [esp], ~0x100
    popfd
    nop
    SAY32 10, 'step over string: '
    mov edi, L(watched)
    mov ecx, 2
    pushfd
    or dword [esp], 0x100
    popfd
    rep stosb
    pushfd
    and dword [esp], ~0x100
    popfd
    SAY32 10, 'int3: '
    int3
    SAY32 10, 'dr4: '
    mov eax, dr4
    call hex32
    mov eax, dr5
    call hex32
    mov eax, cr4
    or eax, 8
    mov cr4, eax
    SAY32 10
    TRY 'dr4 with DE', mov eax, dr4
    SAY32 'io: '
    mov eax, 0x80
    mov dr3, eax
    mov eax, 0x20000080
    mov dr7, eax
    out 0x80, al
    in al, 0x80
    out 0x81, al
    xor eax, eax
    mov dr7, eax
    SAY32 10, 'end', 10
    FINISH

on_db:
    push eax
    SAY32 '#db '
    mov eax, [esp + 4]
    call hex32
    mov eax, [esp + 12]
    and eax, 0x7700
    call hex32
    mov eax, dr6
    call hex32
    mov eax, 0xffff0ff0
    mov dr6, eax
    ; an instruction breakpoint is a fault: pass it with RF
    or dword [esp + 12], 0x10000
    pop eax
    iretd
on_bp:
    push eax
    SAY32 '#bp '
    mov eax, [esp + 4]
    call hex32
    pop eax
    iretd
int_trap:
    SAY32 '(int) '
    iretd
int16_proc:
align 8
    dd 0
watched:
    dd 0, 0
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

; System management mode: the save area of a 64-bit processor, what the handler starts with, changes it makes, relocation,
; an NMI held back until RSM, and HLT interrupted by an SMI.
%include "common.inc"
%define MORE_GATES
%include "protected.inc"
%define APIC 0xfee00000
%macro SMI 0
    mov dword [APIC + 0x310], 0
    mov dword [APIC + 0x300], 0x4200
    jmp short %%now             ; translators look for interrupts between blocks
%%now:
    jmp short %%then
%%then:
%endmacro

main:
    ENTER_PROTECTED
    mov word [L(idt) + 16], on_nmi
    mov dword [APIC + 0xf0], 0x13f
    mov esi, L(handler)
    mov edi, 0x38000
    mov ecx, handler_end - handler
    rep movsb
    SAY32 'smi: '
    mov eax, 0xaabbccdd
    mov ebx, 0x11112222
    SMI
    call hex32
    SAY32 10, 'again: '
    SMI
    pushfd
    pop eax
    and eax, 0x7700
    call hex32
    mov eax, cr0
    call hex32
    SAY32 10, 'relocate: '
    mov byte [0x38000 + (relocate - handler)], 1
    SMI
    mov byte [0x38000 + (relocate - handler)], 0
    mov esi, 0x38000
    mov edi, 0x48000
    mov ecx, handler_end - handler
    rep movsb
    SMI
    SAY32 10, 'nmi inside: '
    mov byte [0x48000 + (nmi - handler)], 1
    SMI
    mov byte [0x48000 + (nmi - handler)], 0
    SAY32 10
    TRY 'rsm outside', rsm
    SAY32 'end', 10
    FINISH

on_nmi:
    SAY32 'nmi '
    iretd

bits 16
handler:
    jmp short smm_start
relocate: db 0
nmi: db 0
smm_start:
    mov sp, 0x7000
    mov al, 'S'
    out 0xe9, al
    mov ax, cs
    mov ds, ax
    mov ss, ax
    mov eax, cr0
    call .hex
    mov eax, cr4
    call .hex
    mov eax, ds
    call .hex
    pushfd
    pop eax
    and eax, 0x7700
    call .hex
    mov eax, [cs:0xfefc]        ; revision
    call .hex
    mov eax, [cs:0xff00]        ; SMBASE
    call .hex
    mov eax, [cs:0xff58]        ; CR0
    call .hex
    mov eax, [cs:0xff78]        ; RIP
    call .hex
    mov eax, [cs:0xfff8]        ; RAX
    call .hex
    mov eax, [cs:0xffe0]        ; RBX
    call .hex
    mov eax, [cs:0xfe10]        ; CS: selector, attributes
    call .hex
    mov eax, [cs:0xfe14]        ; limit
    call .hex
    mov eax, [cs:0xfe20]        ; SS
    call .hex
    mov eax, [cs:0xfe98]
    call .hex
    mov eax, [cs:0xfe84]        ; IDT limit
    call .hex
    mov dword [cs:0xfff8], 0x12345678
    cmp byte [cs:0x8000 + (relocate - handler)], 0
    je .stay
    mov dword [cs:0xff00], 0x40000
.stay:
    cmp byte [cs:0x8000 + (nmi - handler)], 0
    je .out
    mov edi, 0xfee00300
    xor ax, ax
    mov ds, ax
    mov dword [edi], 0x4400
    mov cx, 100
.wait:
    in al, 0x80
    loop .wait
    mov al, '.'
    out 0xe9, al
.out:
    rsm
.hex:
    mov cx, 8
.digit:
    rol eax, 4
    push ax
    and al, 15
    add al, '0'
    cmp al, '9'
    jbe .put
    add al, 'a' - '0' - 10
.put:
    out 0xe9, al
    pop ax
    loop .digit
    mov al, ' '
    out 0xe9, al
    ret
handler_end:
bits 32
int_trap:
int16_proc:
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

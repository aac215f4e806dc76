; Virtual-8086 mode: entry by IRET, what faults at which IOPL, frames of exceptions out of it, the I/O bitmap.
%include "common.inc"
%define SHOW_FRAME
%include "protected.inc"
%define STACK 0x5000            ; paragraph of the 8086 program's stack and data

; Runs `label` in virtual-8086 mode with these flags until something faults.
%macro VM 3                     ; text, flags, label
    SAY32 %1, ': '
    mov dword [L(resume)], L(%%after)
    mov [L(saved)], esp
    push dword 0x6666           ; gs
    push dword 0x5555           ; fs
    push dword STACK            ; ds
    push dword 0x4444           ; es
    push dword STACK            ; ss
    push dword 0x800            ; esp
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

main:
    ENTER_PROTECTED
    mov word [0x40 * 4], vm_handler
    mov word [0x40 * 4 + 2], BASE >> 4
    VM 'ud', 0, vm_ud
    VM 'ud iopl 3', 0x3000, vm_ud
    VM 'cli iopl 0', 0, vm_cli
    VM 'cli iopl 3', 0x3000, vm_cli
    VM 'sti iopl 0', 0, vm_sti
    VM 'sti iopl 3', 0x3000, vm_sti
    VM 'pushf iopl 0', 0, vm_pushf
    VM 'pushf iopl 3', 0x3000, vm_pushf
    VM 'popf iopl 0', 0, vm_popf
    VM 'popf iopl 3', 0x3000, vm_popf
    VM 'iret iopl 0', 0, vm_iret
    VM 'iret iopl 3', 0x3000, vm_iret
    VM 'int iopl 0', 0, vm_int
    VM 'int iopl 3', 0x3000, vm_int
    VM 'int kernel gate iopl 3', 0x3000, vm_int28
    VM 'int3 iopl 0', 0, vm_int3
    VM 'in denied', 0, vm_in
    VM 'in allowed by bitmap', 0, vm_in_ok
    VM 'in iopl 3', 0x3000, vm_in
    VM 'mov cr', 0x3000, vm_cr
    VM 'hlt', 0x3000, vm_hlt
    VM 'lgdt', 0x3000, vm_lgdt
    VM 'sldt', 0x3000, vm_sldt
    VM 'lar', 0x3000, vm_lar
    VM 'segments', 0x3000, vm_segments
    VM 'far', 0x3000, vm_far
    VM 'smsw', 0, vm_smsw
    VM 'divide', 0, vm_divide
    SAY32 'return: '
    mov dword [L(resume)], L(.back)
    mov [L(saved)], esp
    mov dword [L(handler_mode)], 1
    push dword 0x6666
    push dword 0x5555
    push dword STACK
    push dword 0x4444
    push dword STACK
    push dword 0x800
    push dword 0x23002
    push dword BASE >> 4
    push dword vm_round
    iretd
.back:
    SAY32 'end', 10
    FINISH
handler_mode: dd 0

bits 16
vm_ud:
    mov bx, 0x1234
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
    ud2
vm_popf:
    push word 0x7fd7 & ~0x100
    popf
    pushf
    pop bx
    ud2
vm_iret:
    push word 0x0202
    push cs
    push word .to
    iret
.to:
    mov bx, 1
    ud2
vm_int:
    int 0x40
    mov bx, 2
    ud2
vm_handler:
    mov bx, 7
    ud2
vm_int28:
    int 0x28
vm_int3:
    int3
vm_in:
    in al, 0x71
    mov bx, 1
    ud2
vm_in_ok:
    in al, 0xe9
    mov bx, 1
    ud2
vm_cr:
    mov eax, cr0
vm_hlt:
    hlt
vm_lgdt:
    lgdt [0]
vm_sldt:
    sldt ax
vm_lar:
    lar ax, ax
vm_segments:
    mov ax, 0x1111
    mov ds, ax
    mov fs, ax
    mov bx, gs
    ud2
vm_far:
    call (BASE >> 4):.there
    mov ax, sp
    add bx, ax
    ud2
.there:
    mov bx, cs
    retf
vm_smsw:
    smsw bx
    ud2
vm_divide:
    xor cx, cx
    div cx
vm_round:
    int 0x27
    mov ax, ds
    mov bx, ax
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
int16_proc:
EXCEPTIONS
; INT 27h out of virtual-8086 mode and back: shows the frame and the segment registers.
int_trap:
    mov eax, ds
    call hex32
    mov eax, gs
    call hex32
    xor ecx, ecx
.next:
    mov eax, [ss:esp + ecx * 4]
    cmp ecx, 2
    jne .print
    and eax, 0x3e7700
.print:
    call hex32
    inc ecx
    cmp ecx, 9
    jne .next
    iretd
RESET

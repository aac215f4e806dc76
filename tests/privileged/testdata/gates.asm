; Every kind of gate, with every kind of target, from level 0 and level 3: interrupts, far calls and jumps.
; A line: the gate's access byte and target selector, then for each attempt the vector and error code, or CS and SS at the
; target, flags and how much was pushed.
%include "common.inc"
%define PROTECTED_QUIET
%include "protected.inc"
%define SEL 0x68
%define GATE_AT (L(gdt) + SEL)
%define IDT_AT (L(idt) + 0x20 * 8)

%macro ATTEMPT 1+
    call set
    mov dword [L(resume)], L(%%after)
    mov [L(saved)], esp
    %1
%%after:
    mov al, ','
    out 0xe9, al
%endmacro
%macro USER_ATTEMPT 1+
    call set
    mov dword [L(resume)], L(%%after)
    mov [L(saved)], esp
    push dword UDATA
    push dword A(0xc000)
    push dword 0x3202
    push dword UCODE
    push dword L(%%user)
    mov ax, UDATA
    mov ds, ax
    mov es, ax
    iretd
%%user:
    %1
    ud2
%%after:
    mov ax, KDATA
    mov ds, ax
    mov es, ax
    mov al, ','
    out 0xe9, al
%endmacro

main:
    ENTER_PROTECTED
    mov esi, L(landed)
    mov edi, landed - $$
    mov ecx, report_landing - landed
    rep movsb
    mov ebp, accesses - $$
.next_access:
    mov edi, targets - $$
.next_target:
    mov al, [ebp + BASE]
    call hex2
    mov eax, [edi + BASE]
    call hex2
    ATTEMPT int 0x20
    USER_ATTEMPT int 0x20
    mov al, [ebp + BASE]
    and al, 15
    cmp al, 4
    je .gate
    cmp al, 12
    jne .no_gate
.gate:
    ATTEMPT call SEL:0
    ATTEMPT call (SEL | 3):0
    ATTEMPT jmp SEL:0
    USER_ATTEMPT call SEL:0
    USER_ATTEMPT call (SEL | 3):0
    USER_ATTEMPT jmp (SEL | 3):0
.no_gate:
    mov al, 10
    out 0xe9, al
    add edi, 4
    cmp edi, targets_end - $$
    jne .next_target
    inc ebp
    cmp ebp, accesses_end - $$
    jne .next_access
    SAY32 'end', 10
    FINISH

; Builds the gate under test: access byte [ebp], target selector [edi]; the offset has 16 bits.
set:
    mov ax, KDATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov eax, [edi + BASE]
    shl eax, 16
    mov ax, landed
    mov [GATE_AT], eax
    mov [IDT_AT], eax
    movzx eax, byte [ebp + BASE]
    shl eax, 8
    mov [GATE_AT + 4], eax
    mov [IDT_AT + 4], eax
    ret
; Reached through a gate in its copy below 64 KiB: position-independent until the far jump.
landed:
    mov ecx, cs
    mov edx, ss
    mov ebx, esp
    pushfd
    jmp KCODE:L(report_landing)
report_landing:
    mov ax, KDATA
    mov ds, ax
    mov es, ax
    mov eax, ecx
    call hex2
    mov eax, edx
    call hex2
    mov eax, ebx
    call hex2
    pop eax
    shr eax, 8
    and eax, 0x77
    call hex2
    mov eax, KDATA
    mov ss, ax
    mov esp, [L(saved)]
    jmp [L(resume)]
hex2:                   ; al
    push eax
    push ecx
    mov ecx, 2
    ror eax, 4
.digit:
    push eax
    and al, 15
    add al, '0'
    cmp al, '9'
    jbe .put
    add al, 'a' - '0' - 10
.put:
    out 0xe9, al
    pop eax
    rol eax, 4
    loop .digit
    mov al, ' '
    out 0xe9, al
    pop ecx
    pop eax
    ret
int_trap:
int16_proc:
accesses:
%assign p 0
%rep 2
  %assign d 0
  %rep 4
    %assign t 0
    %rep 16
      %if t != 5
        db (p << 7) | (d << 5) | t
      %endif
      %assign t t + 1
    %endrep
    %assign d d + 1
  %endrep
  %assign p p + 1
%endrep
accesses_end:
targets:
    dd 0, KCODE, UCODE, KDATA, 0x50, 0x60, 0x78, 0xf8
targets_end:
align 8
gdt:
    dq 0
    DESC 0, 0xfffff, 0x9b, 0xc          ; 08 kernel code
    DESC 0, 0xfffff, 0x93, 0xc          ; 10 kernel data
    DESC 0, 0xfffff, 0xfb, 0xc          ; 18 user code
    DESC 0, 0xfffff, 0xf3, 0xc          ; 20 user data
    DESC L(tss0), tss0_end - tss0 - 1, 0x89, 0 ; 28 TSS
    DESC L(gdt), 7, 0x82, 0             ; 30 LDT
    dq 0
    DESC 0, 0xfffff, 0xf3, 0xc          ; 40
    DESC 0, 0xfffff, 0xfb, 0xc          ; 48
    DESC 0, 0xfffff, 0x9f, 0xc          ; 50 conforming
    dq 0                                ; 58
    DESC 0, 0xfffff, 0xbf, 0xc          ; 60 conforming, level 1
    dq 0                                ; 68 the gate
    dq 0
    DESC 0, 0xfffff, 0x82, 0            ; 78 no code at all
    times 16 dq 0
gdt_pointer:
    dw gdt_pointer - gdt - 1
    dd L(gdt)
EXCEPTIONS
RESET

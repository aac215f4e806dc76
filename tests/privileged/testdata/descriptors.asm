; Every access byte of a descriptor against everything that looks at one, at level 0 and with RPL 3, then from level 3.
; A line: the access byte, then for each attempt the vector and error code, or the result.
%include "common.inc"
%define PROTECTED_QUIET
%include "protected.inc"
%define SEL 0x68

%macro ATTEMPT 1+
    mov dword [ss:L(resume)], L(%%after)
    mov [ss:L(saved)], esp
    %1
    mov al, '-'
    out 0xe9, al
%%after:
%endmacro
%macro USER_ATTEMPT 1+
    mov dword [ss:L(resume)], L(%%after)
    mov [ss:L(saved)], esp
    push dword UDATA
    push dword A(0xc000)
    push dword 0x3002
    push dword UCODE
    push dword L(%%user)
    mov ax, UDATA
    mov ds, ax
    mov es, ax
    iretd
%%user:
    %1
    mov al, '-'
    out 0xe9, al
    int 0x27
%%after:
    mov ax, KDATA
    mov ds, ax
    mov es, ax
%endmacro

main:
    ENTER_PROTECTED
    mov eax, L(user_end)
    mov [L(idt) + 0x27 * 8], ax
    xor ebp, ebp
.next:
    mov al, 10
    out 0xe9, al
    mov eax, ebp
    call hex2
    mov ebx, SEL
    call inspect
    mov ebx, SEL | 3
    call inspect
    mov ebx, SEL
    call set
    ATTEMPT mov ds, bx
    call set
    ATTEMPT mov ss, bx
    mov ebx, SEL | 3
    call set
    ATTEMPT mov es, bx
    call set
    ATTEMPT mov ss, bx
    mov ebx, SEL
    call set
    ATTEMPT lldt bx
    mov ax, LDT0
    lldt ax
    call set
    ATTEMPT ltr bx
    mov byte [L(gdt) + TSS0 + 5], 0x89
    mov ax, TSS0
    ltr ax
    ; far transfers: not through system descriptors that would lead away
    test ebp, 0x10
    jz .system
    call set
    ATTEMPT jmp SEL:L(landed)
    call set
    ATTEMPT jmp (SEL | 3):L(landed)
    call set
    ATTEMPT call SEL:L(called)
    call set
    push dword SEL
    push dword L(landed)
    ATTEMPT retf
    add esp, 8
    call set
    push dword 2
    push dword SEL
    push dword L(landed)
    ATTEMPT iretd
    add esp, 12
    call set
    push dword UDATA
    push dword A(0xc000)
    push dword SEL | 3
    push dword L(user_landed)
    ATTEMPT retf
    mov ax, KDATA
    mov ds, ax
    mov es, ax
    add esp, 16
    ; the same as a stack segment to return to
    call set
    push dword SEL | 3
    push dword A(0xc000)
    push dword 2
    push dword UCODE
    push dword L(user_landed)
    ATTEMPT iretd
    add esp, 20
    mov ax, KDATA
    mov ds, ax
    mov es, ax
.system:
    call set
    USER_ATTEMPT mov ds, bx
    mov ebx, SEL | 3
    call set
    USER_ATTEMPT mov es, bx
    call set
    USER_ATTEMPT mov ss, bx
    call set
    mov ebx, SEL
    USER_ATTEMPT verr bx
    test ebp, 0x10
    jz .end
    call set
    USER_ATTEMPT jmp SEL:L(user_landed)
    call set
    USER_ATTEMPT jmp (SEL | 3):L(user_landed)
.end:
    inc ebp
    cmp ebp, 256
    jne .next
    SAY32 10, 'end', 10
    FINISH

; The descriptor under test with access byte ebp; the known ones whole again.
set:
    mov ax, KDATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov dword [L(gdt) + SEL], 0xffff
    mov dword [L(gdt) + SEL + 4], 0xcf0000
    mov eax, ebp
    mov [L(gdt) + SEL + 5], al
    ; expand-down: what lies above the limit is valid
    and al, 0x1c
    cmp al, 0x14
    jne .whole
    mov dword [L(gdt) + SEL], 0
    and byte [L(gdt) + SEL + 6], 0xf0
.whole:
    ret
inspect:
    call set
    xor eax, eax
    lar eax, bx
    call hex32
    xor eax, eax
    lsl eax, bx
    call hex32
    mov eax, 'r'
    verr bx
    jz .put
    mov al, '-'
.put:
    out 0xe9, al
    mov eax, 'w'
    verw bx
    jz .put2
    mov al, '-'
.put2:
    out 0xe9, al
    ret
landed:
    mov eax, cs
    call hex2
    jmp KCODE:L(back)
back:
    mov esp, [L(saved)]
    jmp [L(resume)]
called:
    mov eax, cs
    call hex2
    mov eax, [esp + 4]
    call hex2
    retf
user_landed:
    mov eax, cs
    call hex2
    mov eax, ss
    call hex2
    int 0x27
; INT 27h: back to the kernel from level 3.
user_end:
    mov ax, KDATA
    mov ds, ax
    mov es, ax
    mov esp, [L(saved)]
    mov ss, ax
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
align 8
gdt:
    dq 0
    DESC 0, 0xfffff, 0x9b, 0xc          ; 08 kernel code
    DESC 0, 0xfffff, 0x93, 0xc          ; 10 kernel data
    DESC 0, 0xfffff, 0xfb, 0xc          ; 18 user code
    DESC 0, 0xfffff, 0xf3, 0xc          ; 20 user data
    DESC L(tss0), tss0_end - tss0 - 1, 0x89, 0 ; 28 TSS
    DESC L(gdt), 7, 0x82, 0             ; 30 LDT
    times 16 dq 0
gdt_pointer:
    dw gdt_pointer - gdt - 1
    dd L(gdt)
EXCEPTIONS
RESET

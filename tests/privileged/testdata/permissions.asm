; Permissions of 4-level paging: every combination of present, writable, user and no-execute in a page-directory entry and a
; page-table entry, for reads, writes and fetches at level 0 and level 3, under WP, SMEP and SMAP. For each attempt the page
; fault's error code, or -- ; then the accessed and dirty bits of the two entries.
%include "common.inc"
%define KCODE 0x08
%define KDATA 0x10
%define UCODE32 0x1b
%define UDATA 0x23
%define UCODE 0x2b
%define TSS0 0x30
%define KCODE32 0x40
; page tables above the image
%define PML4 0x20000
%define PDPT 0x21000
%define PD   0x22000
%define PT   0x23000
; pages that the tests play with: linear 400000h + n * 1000h -> physical 50000h + n * 1000h
%define PAGE(n) (0x400000 + (n) * 0x1000)
%define PTE(n) (PT + (n) * 8)

%define PDE (PD + 16)
%define ALIAS 0x600000
%macro ATTEMPT 1+
    call set
    mov qword [abs L(resume)], L(%%after)
    mov [abs L(saved)], rsp
    %1
    call none
%%after:
%endmacro
%macro USER_ATTEMPT 1+
    call set
    mov qword [abs L(resume)], L(%%after)
    mov [abs L(saved)], rsp
    push qword UDATA
    push qword A(0xc000) + ALIAS
    push qword 0x3002
    push qword UCODE
    push qword L(%%user) + ALIAS
    iretq
%%user:
    %1
    int 0x20
%%after:
%endmacro

main:
    lgdt [gdt_pointer]
    lidt [idt_pointer]
    ; tables
    mov ax, PML4 >> 4
    mov es, ax
    xor di, di
    mov cx, 0x2000
    xor eax, eax
    rep stosd
    mov dword [es:0], PDPT | 7
    mov dword [es:PDPT - PML4], PD | 7
    mov dword [es:PD - PML4], 0x83              ; first 2 MiB, large, ours
    mov dword [es:PD - PML4 + 24], 0x87         ; and for the user at 600000h
    mov dword [es:PD - PML4 + 16], PT | 7       ; 400000h: small pages
    mov cx, 16
    mov di, PT - PML4
    mov eax, 0x50007
.fill:
    mov [es:di], eax
    add di, 8
    add eax, 0x1000
    loop .fill
    mov eax, 0x4006a0 & ~0x400000               ; PAE, PGE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov eax, PML4
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x901                               ; SCE, LME, NXE
    wrmsr
    mov eax, 0x80010033
    mov cr0, eax
    jmp dword KCODE:L(start64)
bits 64
start64:
    mov ax, KDATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov rsp, A(0xf000)
    mov ax, TSS0
    ltr ax
    mov byte [abs 0x50000], 0xc3        ; the page holds a RET
    xor r12d, r12d                      ; which of WP, SMEP, SMAP
.settings:
    xor r13d, r13d                      ; flags of the two entries
.flags:
    mov al, 10
    out 0xe9, al
    mov eax, r12d
    call hex2
    mov eax, r13d
    call hex2
    ATTEMPT mov al, [abs PAGE(0)]
    ATTEMPT mov [abs PAGE(0) + 8], al
    ATTEMPT call [abs L(page0)]
    USER_ATTEMPT mov al, [abs PAGE(0)]
    USER_ATTEMPT mov [abs PAGE(0) + 8], al
    USER_ATTEMPT call [abs L(page0) + ALIAS]
    inc r13d
    cmp r13d, 256
    jne .flags
    inc r12d
    cmp r12d, 8
    jne .settings
    SAY64 10, 'end', 10
    FINISH

; Four bits (present, writable, user, no-execute) to entry flags: eax to rax.
spread:
    mov ecx, eax
    and eax, 7
    and ecx, 8
    shl rcx, 60
    or rax, rcx
    ret
; Control registers from r12, entries from r13, nothing cached.
set:
    mov eax, r13d
    and eax, 15
    call spread
    mov rcx, PT
    or rax, rcx
    mov [abs PDE], rax
    mov eax, r13d
    shr eax, 4
    call spread
    mov rcx, 0x50000
    or rax, rcx
    mov [abs PT], rax
    mov rax, cr0
    and eax, ~0x10000
    test r12d, 1
    jz .no_wp
    or eax, 0x10000
.no_wp:
    mov cr0, rax
    mov rax, cr4
    and eax, ~(3 << 20)
    mov ecx, r12d
    shr ecx, 1
    shl ecx, 20
    or eax, ecx
    mov cr4, rax
    mov rax, cr3
    mov cr3, rax
    ret
none:
    mov al, '-'
    out 0xe9, al
    out 0xe9, al
    jmp bits_of
; Accessed bit of the directory entry (1), accessed (2) and dirty (4) bits of the page's entry.
bits_of:
    mov eax, [abs PDE]
    shr eax, 5
    and eax, 1
    mov ecx, [abs PT]
    shr ecx, 4
    and ecx, 6
    or eax, ecx
    add al, '0'
    out 0xe9, al
    mov al, ' '
    out 0xe9, al
    ret
hex2:                   ; al
    push rax
    ror al, 4
    call .digit
    ror al, 4
    call .digit
    mov al, ' '
    out 0xe9, al
    pop rax
    ret
.digit:
    push rax
    and al, 15
    add al, '0'
    cmp al, '9'
    jbe .put
    add al, 'a' - '0' - 10
.put:
    out 0xe9, al
    pop rax
    ret

bits 64
%assign v 0
%rep 40
stub %+ v:
  %if v = 8 || (v >= 10 && v <= 14) || v = 17 || v = 21
  %else
    push qword 0xffffffffffffffff
  %endif
    push qword v
    jmp report
  %assign v v + 1
%endrep
report:
    cmp qword [rsp], 32
    je .user_end
    mov al, [rsp]
    cmp al, 14
    je .page
    mov al, '#'
    out 0xe9, al
    mov al, [rsp]
    call hex2
.page:
    mov al, [rsp + 8]
    ror al, 4
    call hex2.digit
    ror al, 4
    call hex2.digit
    jmp .go_on
.user_end:
    mov al, '-'
    out 0xe9, al
    out 0xe9, al
.go_on:
    call bits_of
    mov eax, KDATA
    mov ss, ax
    mov rsp, [abs L(saved)]
    jmp [abs L(resume)]

align 16
%macro GATE64 4         ; selector, offset, type byte, IST
    dw (%2) & 0xffff
    dw %1
    db %4
    db %3
    dw ((%2) >> 16) & 0xffff
    dd 0, 0
%endmacro
idt:
%assign v 0
%rep 32
  %if v = 3
    GATE64 KCODE, L(stub %+ v), 0xee, 0
  %else
    GATE64 KCODE, L(stub %+ v), 0x8e, 0
  %endif
  %assign v v + 1
%endrep
    GATE64 KCODE, L(stub32), 0xee, 0    ; 20 from level 3
idt_pointer:
    dw idt_pointer - idt - 1
    dd L(idt)
align 8
resume: dq 0
saved: dq 0
scratch: dq 0
page0: dq PAGE(0)
far32: dd 0
    dw 0
align 8
gdt:
    dq 0
    DESC 0, 0xfffff, 0x9b, 0xa          ; 08 kernel code
    DESC 0, 0xfffff, 0x93, 0xc          ; 10 kernel data
    DESC 0, 0xfffff, 0xfb, 0xc          ; 18 user code 32
    DESC 0, 0xfffff, 0xf3, 0xc          ; 20 user data
    DESC 0, 0xfffff, 0xfb, 0xa          ; 28 user code
    DESC L(tss), 0x67, 0x89, 0          ; 30 TSS
    dq 0
    DESC 0, 0xfffff, 0x9b, 0xc          ; 40 kernel code 32
    DESC 0, 0xfffff, 0x9b, 0xe          ; 48 L and D
gdt_pointer:
    dw gdt_pointer - gdt - 1
    dd L(gdt)
align 8
tss:
    dd 0
    dq A(0xe000), A(0xd000), 0
    dq 0
    dq A(0xc000), 0, 0, 0, 0, 0, 0
    dq 0
    dw 0, 0x68
RESET

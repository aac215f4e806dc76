; Long mode: exceptions and their frames, IST, SYSCALL, IRETQ, compatibility mode, paging permissions and error codes, SMEP,
; SMAP, protection keys, UMIP, PCID, canonical addresses, FSGSBASE.
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

%macro TRY 2+
    SAY64 %1, ': '
    mov qword [abs L(resume)], L(%%after)
    mov [abs L(saved)], rsp
    %2
    call ok64
%%after:
%endmacro
%macro USER 2+          ; text, one instruction at level 3
    SAY64 %1, ': '
    mov qword [abs L(resume)], L(%%after)
    mov [abs L(saved)], rsp
    push qword UDATA
    push qword PAGE(9)
    push qword 0x3002
    push qword UCODE
    push qword L(%%user)
    iretq
%%user:
    %2
    ud2
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
    mov dword [es:PD - PML4], 0x87              ; first 2 MiB, large, user
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
    xor eax, eax
    xor ebx, ebx
    xor ebp, ebp
    SAY64 'long', 10
    mov ecx, 0xc0000080
    rdmsr
    call hex64
    mov rax, cr0
    call hex64
    SAY64 10

    ; ---- frames
    TRY 'ud2', ud2
    TRY 'int3', int3
    TRY 'int 0x22 32-bit code', int 0x22
    TRY 'int 0x24 ist', int 0x24
    mov rsp, A(0xf000) - 4
    TRY 'unaligned stack', int 0x25
    mov rsp, A(0xf000)
    mov qword [abs L(scratch)], 0
    xor ecx, ecx
    TRY 'divide', div ecx

    ; ---- canonical addresses
    mov rdi, 0x8000000000000000
    TRY 'noncanonical read', mov eax, [rdi]
    TRY 'noncanonical write', mov [rdi], eax
    mov rdi, 0xffff800000000000
    TRY 'high read', mov eax, [rdi]
    mov rdi, 0x00007fffffffffff
    TRY 'low end', mov al, [rdi]
    ; ---- segments
    mov eax, 0
    TRY 'ss null', mov ss, ax
    mov eax, KDATA
    mov ss, ax
    mov dword [abs L(far32)], 0
    mov word [abs L(far32) + 4], 0
    TRY 'jmp null', jmp dword far [abs L(far32)]
    mov word [abs L(far32) + 4], 0x50
    TRY 'call gate32', call dword far [abs L(far32)]
    mov word [abs L(far32) + 4], 0x60
    TRY 'call gate', call dword far [abs L(far32)]
    mov word [abs L(far32) + 4], TSS0
    TRY 'jmp tss', jmp dword far [abs L(far32)]
    mov eax, TSS0
    TRY 'ltr busy', ltr ax
    xor ecx, ecx
    mov eax, KCODE
    lar ecx, eax
    mov eax, ecx
    call hex64
    mov eax, TSS0
    lar ecx, eax
    mov eax, ecx
    call hex64
    mov eax, 0x60
    lar ecx, eax
    mov eax, ecx
    call hex64
    SAY64 10

    ; ---- control registers
    mov rax, cr4
    or eax, 1 << 12
    mov [abs L(scratch)], rax
    TRY 'la57 in long mode', mov cr4, rax
    mov rax, cr4
    and eax, ~0x20
    mov [abs L(scratch)], rax
    mov rax, 0x180000000
    mov [abs L(scratch)], rax
    mov ecx, 0xc0000080
    rdmsr
    and eax, ~0x100
    mov [abs L(scratch)], rax
    mov rax, 0x10
    mov [abs L(scratch)], rax
    mov rax, 0x5
    mov cr8, rax
    mov rax, cr8
    call hex64
    xor eax, eax
    mov cr8, rax
    SAY64 10

    ; ---- paging
%macro SETPTE 2
    mov rax, %2
    mov [abs PTE(%1)], rax
    invlpg [abs PAGE(%1)]
%endmacro
    SETPTE 0, 0
    TRY 'read absent', mov eax, [abs PAGE(0)]
    TRY 'write absent', mov dword [abs PAGE(0)], 1
    TRY 'jump absent', jmp [abs L(page0)]
    SETPTE 0, 0x50001
    TRY 'read supervisor', mov eax, [abs PAGE(0)]
    TRY 'write read-only', mov dword [abs PAGE(0)], 1
    mov rax, [abs PTE(0)]
    call hex64
    SETPTE 0, 0x50003
    TRY 'read', mov eax, [abs PAGE(0)]
    mov rax, [abs PTE(0)]
    call hex64
    TRY 'write', mov dword [abs PAGE(0)], 1
    mov rax, [abs PTE(0)]
    call hex64
    mov rax, cr0
    and eax, ~0x10000
    mov cr0, rax
    SETPTE 0, 0x50001
    TRY 'write read-only without WP', mov dword [abs PAGE(0)], 2
    mov rax, [abs PTE(0)]
    call hex64
    mov rax, cr0
    or eax, 0x10000
    mov cr0, rax
    TRY 'and with', mov dword [abs PAGE(0)], 3
    SETPTE 0, 0x8000000000050003
    mov byte [abs PAGE(0)], 0xc3
    TRY 'execute nx', call [abs L(page0)]
    SETPTE 0, 0x50003
    TRY 'execute', call [abs L(page0)]
    SETPTE 0, 0x50007
    mov rax, 0x50003
    mov [abs PTE(0)], rax
    invlpg [abs PAGE(0)]
    USER 'user reads supervisor', mov eax, [abs PAGE(0)]
    USER 'user writes supervisor', mov [abs PAGE(0)], eax
    USER 'user jumps supervisor', jmp [abs L(page0)]
    SETPTE 0, 0x50005
    USER 'user writes read-only', mov [abs PAGE(0)], eax
    USER 'user reads', mov eax, [abs PAGE(0)]
    SETPTE 0, 0
    USER 'user absent', mov eax, [abs PAGE(0)]
    USER 'user noncanonical', mov eax, [rdi + 1]
    SETPTE 1, 0
    TRY 'across pages', mov eax, [abs PAGE(1) - 2]
    TRY 'across pages write', mov [abs PAGE(1) - 2], eax
    SETPTE 0, 0x50007
    TRY 'across pages write 2', mov [abs PAGE(1) - 2], eax
    SETPTE 1, 0x51007
    ; accessed bits of the upper levels
    mov rax, [abs PML4]
    call hex64
    mov rax, [abs PDPT]
    call hex64
    mov rax, [abs PD]
    call hex64
    mov rax, [abs PD + 16]
    call hex64
    SAY64 10

    ; ---- SMEP, SMAP, UMIP, protection keys
    mov byte [abs PAGE(0)], 0xc3
    mov rax, [abs PD]
    and eax, ~4
    mov [abs PD], rax
    mov rax, cr3
    mov cr3, rax
    mov rax, cr4
    or eax, 1 << 20
    mov cr4, rax
    TRY 'smep', call [abs L(page0)]
    mov rax, cr4
    or eax, 1 << 21
    mov cr4, rax
    TRY 'smap read', mov eax, [abs PAGE(0)]
    TRY 'smap write', mov [abs PAGE(0)], eax
    stac
    TRY 'smap ac', mov eax, [abs PAGE(0)]
    clac
    mov rax, cr4
    and eax, ~(3 << 20)
    mov cr4, rax
    mov rax, [abs PD]
    or eax, 4
    mov [abs PD], rax
    mov rax, cr3
    mov cr3, rax
    USER 'user sgdt', sgdt [abs PAGE(2)]
    mov rax, cr4
    or eax, 1 << 11
    mov cr4, rax
    USER 'user sgdt umip', sgdt [abs PAGE(2)]
    USER 'user str umip', str eax
    USER 'user smsw umip', smsw eax
    mov rax, cr4
    and eax, ~(1 << 11)
    or eax, 1 << 22
    mov cr4, rax
    SETPTE 0, 0x5800000000050007
    xor ecx, ecx
    xor edx, edx
    mov eax, 1 << 22
    wrpkru
    rdpkru
    call hex64
    TRY 'key read', mov eax, [abs PAGE(0)]
    USER 'user key read', mov eax, [abs PAGE(0)]
    xor ecx, ecx
    xor edx, edx
    mov eax, 2 << 22
    wrpkru
    TRY 'key 2 read', mov eax, [abs PAGE(0)]
    TRY 'key 2 write', mov [abs PAGE(0)], eax
    USER 'user key 2 write', mov [abs PAGE(0)], eax
    mov rax, cr4
    and eax, ~(1 << 22)
    mov cr4, rax
    SETPTE 0, 0x50007

    ; ---- bases
    mov rax, cr4
    or eax, 1 << 16
    mov cr4, rax
    mov rax, 0x123456789a
    wrfsbase rax
    rdfsbase rbx
    mov rax, rbx
    call hexq64
    mov ecx, 0xc0000100
    rdmsr
    call hex64
    mov eax, edx
    call hex64
    mov rax, 0x1111
    wrgsbase rax
    mov ecx, 0xc0000102
    xor edx, edx
    mov eax, 0x2222
    wrmsr
    swapgs
    rdgsbase rax
    call hex64
    swapgs
    mov rax, 0x8000000000000000
    mov [abs L(scratch)], rax
    xor eax, eax
    mov fs, ax
    rdfsbase rax
    call hex64
    SAY64 10

    ; ---- SYSCALL
    mov ecx, 0xc0000081
    mov edx, KCODE | ((UCODE32 & ~3) << 16)
    xor eax, eax
    wrmsr
    mov ecx, 0xc0000082
    xor edx, edx
    mov eax, L(syscall_entry)
    wrmsr
    mov ecx, 0xc0000083
    mov eax, L(syscall_entry32)
    wrmsr
    mov ecx, 0xc0000084
    mov eax, 0x4700
    wrmsr
    USER 'syscall', syscall
    mov rcx, rdi
    TRY 'sysret noncanonical', o64 sysret
    SAY64 'sysret: '
    lea rax, [rel .sysret_done]
    mov [abs L(resume)], rax
    mov [abs L(saved)], rsp
    lea rcx, [rel user64]
    mov r11d, 0x3202 | 0x10000
    mov rbx, rsp
    mov rsp, PAGE(9)
    o64 sysret
.sysret_done:
    SAY64 'sysret 32: '
    lea rax, [rel .sysret32_done]
    mov [abs L(resume)], rax
    mov [abs L(saved)], rsp
    mov ecx, L(user32)
    mov r11d, 0x3002
    mov rsp, PAGE(9)
    sysret
.sysret32_done:
    SAY64 'compat: '
    lea rax, [rel .compat_done]
    mov [abs L(resume)], rax
    mov [abs L(saved)], rsp
    mov dword [abs L(far32)], L(kernel32)
    mov word [abs L(far32) + 4], KCODE32
    jmp dword far [abs L(far32)]
.compat_done:
    push qword KCODE32
    lea rax, [rel .never]
    push rax
    pushfq
    or qword [rsp], 0x4000
    popfq
    TRY 'iret with nt', iretq
    pushfq
    and qword [rsp], ~0x4000
    popfq
.never:
    mov rsp, A(0xf000)
    push qword UCODE
    mov rax, 0x8000000000000000
    push rax
    TRY 'retfq noncanonical', o64 retf
    mov rsp, A(0xf000)
    push qword 0
    push qword PAGE(9)
    push qword 2
    push qword UCODE
    lea rax, [rel user64]
    push rax
    TRY 'iretq null ss to user', iretq
    mov rsp, A(0xf000)
    lea rbx, [rel .same]
    push qword 0
    push qword A(0xe000)
    push qword 2
    push qword KCODE
    push rbx
    iretq
.same:
    mov eax, ss
    call hex64
    mov rax, rsp
    call hex64
    mov rsp, A(0xf000)
    mov eax, KDATA
    mov ss, ax
    SAY64 10

    ; ---- PCID
    mov rax, cr4
    or eax, 1 << 17
    mov [abs L(scratch)], rax
    TRY 'pcid', mov cr4, rax
    mov rax, cr4
    and eax, ~(1 << 17)
    mov cr4, rax
    xor eax, eax
    mov dr0, rax
    mov rax, 1 << 32
    mov [abs L(scratch)], rax
    TRY 'dr7 high', mov dr7, rax
    TRY 'dr6 high', mov dr6, rax
    SAY64 'end', 10
    FINISH

user64:
    mov eax, cs
    call hex64
    mov eax, ss
    call hex64
    pushfq
    pop rax
    and eax, 0x3f7700
    call hex64
    ud2
syscall_entry:
    mov rbx, rsp
    mov rsp, A(0xf000)
    SAY64 'syscall '
    mov eax, cs
    call hex64
    mov eax, ss
    call hex64
    pushfq
    pop rax
    and eax, 0x3f7700
    call hex64
    mov rax, r11
    and eax, 0x3f7700
    call hex64
    mov eax, ecx
    call hex64
    SAY64 10
    mov rsp, [abs L(saved)]
    jmp [abs L(resume)]
syscall_entry32:
    mov rsp, A(0xf000)
    SAY64 'syscall32 '
    mov eax, cs
    call hex64
    mov eax, ecx
    call hex64
    SAY64 10
    mov rsp, [abs L(saved)]
    jmp [abs L(resume)]
bits 32
user32:
    mov eax, cs
    call hex32
    mov eax, ss
    call hex32
    syscall
kernel32:
    mov eax, cs
    call hex32
    SAY32 'in compatibility mode '
    mov eax, esp
    call hex32
    ud2

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
    cld
    push rax
    SAY64 '#'
    mov eax, [rsp + 8]      ; vector
    call hex64
    mov eax, [rsp + 16]     ; error code
    call hex64
    mov eax, [rsp + 24]     ; rip
    call hex64
    mov eax, [rsp + 32]     ; cs
    call hex64
    mov eax, [rsp + 40]
    and eax, 0x3e7700
    call hex64
    mov rax, [rsp + 48]
    call hex64
    mov rax, [rsp + 56]
    call hex64
    mov rax, rsp
    call hex64
    cmp dword [rsp + 8], 14
    jne .no_cr2
    mov rax, cr2
    call hexq64
.no_cr2:
    mov al, 10
    out 0xe9, al
    mov eax, KDATA
    mov ss, ax
    mov rsp, [abs L(saved)]
    push qword 2
    popfq
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
    dq 0, 0                             ; 20
    GATE64 KCODE, L(stub33), 0x86, 0    ; 21
    GATE64 KCODE32, L(stub34), 0x8e, 0  ; 22
    GATE64 KCODE, L(stub35), 0x0e, 0    ; 23
    GATE64 KCODE, L(stub36), 0x8f, 1    ; 24
    GATE64 KCODE, L(stub37), 0x8f, 0    ; 25
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
    GATE KCODE32, L(kernel32), 0x8c, 0  ; 50 gate to 32-bit code
    dq 0
    GATE KCODE, L(gate64), 0x8c, 0      ; 60 gate
    dq 0
gdt_pointer:
    dw gdt_pointer - gdt - 1
    dd L(gdt)
gate64:
    SAY64 'in gate '
    mov rax, rsp
    call hex64
    mov rax, [rsp + 8]
    call hex64
    o64 retf
align 8
tss:
    dd 0
    dq A(0xe000), A(0xd000), 0
    dq 0
    dq A(0xc000), 0, 0, 0, 0, 0, 0
    dq 0
    dw 0, 0x68
RESET

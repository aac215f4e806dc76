; 32-bit paging, with and without PSE and PAE: error codes, accessed and dirty bits, WP, NX, global and large pages.
%include "common.inc"
%include "protected.inc"
%define PD 0x20000
%define PT 0x21000
%define PAGE(n) (0x400000 + (n) * 0x1000)

%macro SETPTE 2
    mov dword [PT + (%1) * 4], %2
    invlpg [PAGE(%1)]
%endmacro
%macro SHOW 1
    mov eax, [%1]
    call hex32
%endmacro
; one instruction at level 3
%macro USER 2+
    SAY32 %1, ': '
    mov dword [L(resume)], L(%%after)
    mov [L(saved)], esp
    push dword UDATA
    push dword PAGE(8)
    push dword 0x3002
    push dword UCODE
    push dword L(%%user)
    mov ax, UDATA
    mov ds, ax
    iretd
%%user:
    %2
    ud2
%%after:
%endmacro

main:
    ENTER_PROTECTED
    ; 4 MiB identity with small pages, then 400000h..: small pages to 50000h..
    mov edi, PD
    mov ecx, 0x3000
    xor eax, eax
    rep stosd
    mov dword [PD], 0x24007
    mov dword [PD + 4], PT | 7
    mov edi, 0x24000
    mov eax, 7
.identity:
    stosd
    add eax, 0x1000
    cmp eax, 0x400007
    jne .identity
    mov edi, PT
    mov ecx, 16
    mov eax, 0x50007
.play:
    stosd
    add eax, 0x1000
    loop .play
    mov eax, PD
    mov cr3, eax
    mov eax, cr0
    or eax, 0x80010000
    mov cr0, eax
    jmp .on
.on:
    SAY32 'paging', 10
    TRY 'read', mov eax, [PAGE(0)]
    SHOW PT
    SHOW PD + 4
    TRY 'write', mov [PAGE(0)], eax
    SHOW PT
    SETPTE 0, 0
    TRY 'read absent', mov eax, [PAGE(0)]
    TRY 'write absent', mov [PAGE(0)], eax
    mov ecx, PAGE(0)
    TRY 'jump absent', jmp ecx
    USER 'user absent', mov eax, [PAGE(0)]
    SETPTE 0, 0x50003
    USER 'user reads supervisor', mov eax, [PAGE(0)]
    USER 'user writes supervisor', mov [PAGE(0)], eax
    SHOW PT
    SETPTE 0, 0x50005
    USER 'user writes read-only', mov [PAGE(0)], eax
    SHOW PT
    TRY 'kernel writes read-only', mov [PAGE(0)], eax
    mov eax, cr0
    and eax, ~0x10000
    mov cr0, eax
    TRY 'kernel writes read-only without WP', mov [PAGE(0)], eax
    SHOW PT
    USER 'user still not', mov [PAGE(0)], eax
    mov eax, cr0
    or eax, 0x10000
    mov cr0, eax
    mov dword [PD + 4], PT | 3
    SETPTE 0, 0x50007
    mov eax, cr3
    mov cr3, eax
    USER 'user through supervisor table', mov eax, [PAGE(0)]
    mov dword [PD + 4], PT | 5
    mov eax, cr3
    mov cr3, eax
    TRY 'kernel through read-only table', mov [PAGE(0)], eax
    mov dword [PD + 4], PT | 7
    mov eax, cr3
    mov cr3, eax
    mov dword [PD + 8], 0
    TRY 'no table', mov eax, [0x800000]

    ; what is cached stays until it is flushed, what is flushed is gone
    SETPTE 1, 0x51007
    mov dword [0x51000], 0x11111111
    mov dword [0x52000], 0x22222222
    SHOW PAGE(1)
    SETPTE 1, 0x52007
    SHOW PAGE(1)
    mov dword [PT + 4], 0x51007
    mov eax, cr3
    mov cr3, eax
    SHOW PAGE(1)
    SAY32 10

    ; 4 MiB pages
    mov eax, cr4
    or eax, 0x10
    mov cr4, eax
    mov dword [PD + 12], 0x87
    SHOW 0xc00000 + 0x51000
    SHOW PD + 12
    mov [0xc00000 + 0x51004], eax
    SHOW PD + 12
    mov dword [PD + 12], 0x85
    invlpg [0xc00000]
    TRY 'write read-only large', mov [0xc51000], eax
    mov eax, cr4
    and eax, ~0x10
    mov cr4, eax

    ; exceptions while delivering: a user's fault with the kernel stack absent is a double fault
    SAY32 'double: '
    mov eax, [L(tss0) + 4]
    mov [L(keep)], eax
    mov dword [L(tss0) + 4], 0x800000
    mov byte [L(idt) + 8 * 8 + 5], 0x85         ; task gate
    mov word [L(idt) + 8 * 8 + 2], 0x38
    mov dword [L(resume)], L(.double_done)
    mov [L(saved)], esp
    push dword UDATA
    push dword PAGE(8)
    push dword 0x3002
    push dword UCODE
    push dword L(user_ud)
    mov ax, UDATA
    mov ds, ax
    iretd
.double_done:
    mov eax, [L(keep)]
    mov [L(tss0) + 4], eax

    ; PAE
    mov eax, cr0
    and eax, 0x7fffffff
    mov cr0, eax
    mov edi, PD
    mov ecx, 0x3000
    xor eax, eax
    rep stosd
    mov dword [PD], 0x21001                     ; PDPT at PD; its first directory
    mov dword [0x21000], 0xe7                   ; 2 MiB
    mov dword [0x21010], 0x22007                ; 400000h: small pages
    mov edi, 0x22000
    mov ecx, 16
    mov eax, 0x50007
.play_pae:
    mov [edi], eax
    add edi, 8
    add eax, 0x1000
    loop .play_pae
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x800
    wrmsr
    mov eax, cr4
    or eax, 0x20
    mov cr4, eax
    mov eax, PD
    mov cr3, eax
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    jmp .pae
.pae:
    SAY32 'pae', 10
%macro SETPTE64 3
    mov dword [0x22000 + (%1) * 8], %2
    mov dword [0x22004 + (%1) * 8], %3
    invlpg [PAGE(%1)]
%endmacro
    TRY 'read', mov eax, [PAGE(0)]
    SHOW 0x22000
    TRY 'write', mov [PAGE(0)], eax
    SHOW 0x22000
    SHOW 0x21010
    SETPTE64 0, 0, 0
    TRY 'read absent', mov eax, [PAGE(0)]
    USER 'user write absent', mov [PAGE(0)], eax
    SETPTE64 0, 0x50007, 0x80000000
    TRY 'read nx', mov eax, [PAGE(0)]
    mov ecx, PAGE(0)
    TRY 'execute nx', jmp ecx
    USER 'user execute nx', jmp ecx
    TRY 'no directory', mov eax, [0x40000000]
    SAY32 'end', 10
    FINISH

user_ud:
    ud2
; The double fault's task.
df_task:
    mov ax, KDATA
    mov ds, ax
    mov es, ax
    SAY32 'double fault task '
    pop eax
    call hex32
    mov eax, [L(tss0) + 0x20]
    call hex32
    mov eax, [L(tss0) + 0x4c]
    call hex32
    mov eax, cr2
    call hex32
    SAY32 10
    mov dword [L(tss0) + 0x1c], PD
    mov dword [L(tss0) + 0x20], L(main.double_done)
    mov dword [L(tss0) + 0x24], 2
    mov eax, [L(saved)]
    mov [L(tss0) + 0x38], eax
    mov dword [L(tss0) + 0x4c], KCODE
    mov dword [L(tss0) + 0x48], KDATA
    mov dword [L(tss0) + 0x50], KDATA
    mov dword [L(tss0) + 0x54], KDATA
    iretd
keep: dd 0
align 4
df_tss:
    times 7 dd 0
    dd PD
    dd L(df_task)
    dd 2
    dd 1, 2, 3, 4
    dd A(0xb000), 0x5a5a, 7, 8
    dd KDATA, KCODE, KDATA, KDATA, KDATA, KDATA
    dd LDT0
    dd 0x680000
align 8
gdt:
    dq 0
    DESC 0, 0xfffff, 0x9b, 0xc          ; 08 kernel code
    DESC 0, 0xfffff, 0x93, 0xc          ; 10 kernel data
    DESC 0, 0xfffff, 0xfb, 0xc          ; 18 user code
    DESC 0, 0xfffff, 0xf3, 0xc          ; 20 user data
    DESC L(tss0), 0x67 + 32, 0x89, 0    ; 28 TSS
    DESC L(gdt), 7, 0x82, 0             ; 30 LDT
    DESC L(df_tss), 0x67, 0x89, 0       ; 38 double fault task
gdt_pointer:
    dw gdt_pointer - gdt - 1
    dd L(gdt)
int_trap:
int16_proc:
EXCEPTIONS
RESET

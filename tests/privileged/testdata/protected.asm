; Protected mode: segment loads and their error codes, call gates, returns between levels, task switches, LAR and friends.
%include "common.inc"
%include "protected.inc"

main:
    ENTER_PROTECTED
    SAY32 'protected', 10

    ; ---- segment registers
%macro LOAD 3           ; text, register, selector
    mov eax, %3
    TRY %1, mov %2, ax
%endmacro
    LOAD 'ds null', ds, 0
    LOAD 'ds null 3', ds, 3
    LOAD 'ds code', ds, KCODE
    LOAD 'ds execute-only', ds, 0x40
    LOAD 'ds not present', ds, 0x48
    LOAD 'ds system', ds, TSS0
    LOAD 'ds outside', ds, 0x7f8
    LOAD 'ds ldt', ds, 0x04
    LOAD 'ds ldt outside', ds, 0x24
    LOAD 'ds rpl 3', ds, 0x13
    LOAD 'ds user', ds, UDATA
    LOAD 'es conforming', es, 0x50
    mov ax, KDATA
    mov ds, ax
    mov es, ax
    LOAD 'ss null', ss, 0
    LOAD 'ss user', ss, UDATA
    LOAD 'ss code', ss, KCODE
    LOAD 'ss read-only', ss, 0x58
    LOAD 'ss not present', ss, 0x60
    LOAD 'ss outside', ss, 0x7f8
    LOAD 'ss rpl', ss, 0x13
    LOAD 'fs ok', fs, KDATA
    mov eax, [L(gdt) + 0x5c]
    call hex32
    SAY32 10

    ; ---- system registers
    mov eax, 0
    TRY 'lldt null', lldt ax
    mov eax, KDATA
    TRY 'lldt data', lldt ax
    mov eax, 0x04
    TRY 'lldt ldt', lldt ax
    mov eax, 0x68
    TRY 'lldt not present', lldt ax
    mov eax, LDT0
    TRY 'lldt', lldt ax
    mov eax, TSS0
    TRY 'ltr busy', ltr ax
    mov eax, KDATA
    TRY 'ltr data', ltr ax
    mov eax, 0x70
    TRY 'ltr not present', ltr ax
    sldt eax
    call hex32
    str eax
    call hex32
    SAY32 10

    ; ---- far jumps and calls
    TRY 'jmp null', jmp 0:0
    TRY 'jmp data', jmp KDATA:0
    TRY 'jmp outside', jmp 0x7f8:0
    TRY 'jmp user', jmp UCODE:0
    TRY 'jmp not present', jmp 0x78:0
    TRY 'jmp conforming', jmp 0x50:L(conforming)
    TRY 'jmp ldt desc', jmp LDT0:0
    TRY 'call', call KCODE:L(far_proc)
    TRY 'call gate', call 0x80:0
    TRY 'jmp gate dpl', jmp 0x88:0
    TRY 'call gate not present', call 0x90:0
    TRY 'call gate to data', call 0x98:0
    TRY 'call gate null', call 0xa0:0
    TRY 'call gate 16', call 0xa8:0
    push dword 0
    push dword A(0)
    TRY 'retf null', retf
    add esp, 8
    push dword KDATA
    push dword A(0)
    TRY 'retf data', retf
    mov eax, cs
    call hex32
    SAY32 10

    ; ---- LAR, LSL, VERR, VERW, ARPL
%macro INSPECT 1
    mov ecx, %1
    mov eax, 0x11111111
    mov ebx, 0x22222222
    lar eax, cx
    pushfd
    lsl ebx, cx
    pushfd
    call hex32
    mov eax, ebx
    call hex32
    verr cx
    pushfd
    verw cx
    pushfd
    mov edx, 4
%%next:
    pop eax
    and eax, 0x40
    call hex32
    dec edx
    jnz %%next
    SAY32 10
%endmacro
    INSPECT 0
    INSPECT KCODE
    INSPECT KDATA
    INSPECT UCODE
    INSPECT 0x13
    INSPECT TSS0
    INSPECT LDT0
    INSPECT 0x40
    INSPECT 0x50
    INSPECT 0x58
    INSPECT 0x80
    INSPECT 0xb0
    INSPECT 0xc0
    INSPECT 0x7f8
    mov eax, 0x55550010
    mov ecx, 0x3
    arpl ax, cx
    pushfd
    call hex32
    pop eax
    and eax, 0x40
    call hex32
    arpl ax, cx
    SAY32 10

    ; ---- interrupts through bad gates
    TRY 'int outside', int 0x80
    TRY 'int empty', int 0x20
    TRY 'int not present', int 0x21
    TRY 'int null code', int 0x22
    TRY 'int data', int 0x23
    TRY 'int trap gate', int 0x24
    TRY 'int 16', int 0x25

    ; ---- to user level and back
    SAY32 'user: '
    mov dword [L(resume)], L(.user_done)
    mov [L(saved)], esp
    push dword UDATA
    push dword A(0xc000)
    push dword 0x3002
    push dword UCODE
    push dword L(user)
    iretd
.user_done:
    mov eax, esp
    call hex32
    SAY32 10

%macro USER 2           ; text, label: run it at level 3 until it faults
    SAY32 %1, ': '
    mov dword [L(resume)], L(%%done)
    mov [L(saved)], esp
    mov ax, UDATA
    mov ds, ax
    mov es, ax
    push dword UDATA
    push dword A(0xc000)
    push dword UCODE
    push dword L(%2)
    retf
%%done:
%endmacro
    USER 'user cli', user_cli
    USER 'user hlt', user_hlt
    USER 'user in', user_in
    USER 'user in allowed', user_in_allowed
    USER 'user mov cr', user_cr
    USER 'user mov dr', user_dr
    USER 'user lgdt', user_lgdt
    USER 'user int kernel', user_int
    USER 'user ds kernel', user_ds
    USER 'user jmp kernel', user_jmp
    USER 'user gate', user_gate
    USER 'user gate 1', user_gate1
    USER 'user popf', user_popf
    USER 'user rdmsr', user_rdmsr
    USER 'user wbinvd', user_wbinvd
    USER 'user ltr', user_ltr
    USER 'user sysexit', user_sysexit

    ; ---- tasks
    SAY32 'task call: '
    call 0xb0:0
    pushfd
    pop eax
    and eax, 0x7700
    call hex32
    str eax
    call hex32
    mov eax, cr0
    call hex32
    clts
    SAY32 'again: '
    call 0xb0:0
    mov eax, [L(gdt) + 0xb4]
    call hex32
    mov eax, [L(gdt) + TSS0 + 4]
    call hex32
    SAY32 10, 'task jump: '
    mov dword [L(task_back)], 1
    jmp 0xb0:0
    str eax
    call hex32
    mov eax, [L(gdt) + 0xb4]
    call hex32
    mov eax, [L(gdt) + TSS0 + 4]
    call hex32
    mov dword [L(task_back)], 0
    SAY32 10, 'task gate: '
    call 0xb8:0
    str eax
    call hex32
    SAY32 10, 'task int: '
    int 0x26
    str eax
    call hex32
    SAY32 10
    TRY 'task busy', call TSS0:0
    TRY 'task not present', call 0x70:0
    TRY 'task short', call 0xc8:0
    TRY 'task 16', call 0xc0:0
    str eax
    call hex32
    SAY32 10

    ; ---- double fault: #NP while delivering #NP is benign-free: contributory twice
    mov byte [L(idt) + 13 * 8 + 5], 0x0e
    TRY 'double', mov ds, [L(bad_selector)]
    mov byte [L(idt) + 13 * 8 + 5], 0x8e
    SAY32 'end', 10
    FINISH

bad_selector: dw 0x7f8

conforming:
    SAY32 'in conforming '
    mov eax, cs
    call hex32
    jmp KCODE:L(.back)
.back:
    SAY32 10
    jmp [L(resume)]
far_proc:
    mov eax, [esp + 4]
    call hex32
    retf
gate_proc:
    SAY32 'in gate '
    mov eax, cs
    call hex32
    mov eax, ss
    call hex32
    mov eax, esp
    call hex32
    mov eax, [esp]
    call hex32
    mov eax, [esp + 4]
    call hex32
    mov eax, [esp + 8]
    call hex32
    mov eax, [esp + 12]
    call hex32
    mov eax, [esp + 16]
    call hex32
    mov eax, [esp + 20]
    call hex32
    retf 8
gate_same:
    SAY32 'in gate '
    mov eax, [esp + 4]
    call hex32
    retf
leave16:
    SAY32 10
    mov esp, [L(saved)]
    jmp [L(resume)]
gate_same16:
    SAY32 'in gate16 '
    mov eax, [esp]
    call hex32
    jmp KCODE:L(leave16)
level1:
    SAY32 'level 1 '
    mov eax, cs
    call hex32
    mov eax, ss
    call hex32
    mov eax, esp
    call hex32
    retf
int_trap:
    SAY32 'in trap '
    mov eax, [esp + 8]
    and eax, 0x7700
    call hex32
    pushfd
    pop eax
    and eax, 0x7700
    call hex32
    iretd
int16_proc:
    SAY32 'in int16 '
    mov eax, [esp]
    call hex32
    jmp KCODE:L(leave16)

user:
    mov eax, cs
    call hex32
    mov eax, ss
    call hex32
    mov eax, ds
    call hex32
    mov eax, fs
    call hex32
    int 0x27
    pushfd
    pop eax
    and eax, 0x3f7700
    call hex32
    int 0x24
    cli
    sti
    ud2
user_cli:
    cli
user_hlt:
    hlt
user_in:
    in al, 0x70
user_in_allowed:
    in al, 0xe9
    ud2
user_cr:
    mov eax, cr0
user_dr:
    mov eax, dr7
user_lgdt:
    lgdt [L(gdt_pointer)]
user_int:
    int 0x24 + 4
user_ds:
    mov ax, KDATA
    mov ds, ax
user_jmp:
    jmp KCODE:A(0)
user_gate:
    push dword 0xaaaa0001
    push dword 0xaaaa0002
    call 0xd8:0
    mov eax, esp
    ud2
user_gate1:
    call 0xe0:0
    ud2
user_popf:
    push dword 0x3202
    popfd
    pushfd
    pop eax
    ud2
user_rdmsr:
    rdmsr
user_wbinvd:
    wbinvd
user_ltr:
    mov ax, TSS0
    ltr ax
user_sysexit:
    sysexit

; The other task: says what it sees and goes back the way it came.
task:
    SAY32 'in task '
    pushfd
    pop eax
    and eax, 0x7700
    call hex32
    str eax
    call hex32
    mov eax, [L(task_tss)]
    call hex32
    mov eax, ebp
    call hex32
    mov eax, esp
    call hex32
    mov ax, gs
    call hex32
    cmp dword [L(task_back)], 0
    jne .jump
    iretd
    jmp task
.jump:
    jmp TSS0:0
    jmp task
task_back: dd 0

align 4
task_tss:
    dd 0
    times 6 dd 0
    dd 0                    ; cr3
    dd L(task)
    dd 0x202 & ~0x200 | 2
    dd 1, 2, 3, 4
    dd A(0xb000), 0x5a5a, 7, 8
    dd KDATA, KCODE, KDATA, KDATA, KDATA, 0x10
    dd LDT0
    dd 0x680000
task16:
    SAY32 'in task16 '
    mov eax, ebp
    call hex32
    mov eax, esp
    call hex32
    pushfd
    pop eax
    and eax, 0x7700
    call hex32
    iretd
tss16:
    dw 0
    times 6 dw 0
    dw task16               ; ip, in a segment based at BASE
    dw 2
    dw 1, 2, 3, 4
    dw 0xb000, 0x5a5a, 7, 8
    dw KDATA, 0xe8, 0xf0, KDATA
    dw LDT0

align 8
gdt:
    dq 0
    DESC 0, 0xfffff, 0x9b, 0xc          ; 08 kernel code
    DESC 0, 0xfffff, 0x93, 0xc          ; 10 kernel data
    DESC 0, 0xfffff, 0xfb, 0xc          ; 18 user code
    DESC 0, 0xfffff, 0xf3, 0xc          ; 20 user data
    DESC L(tss0), 0x67 + 32, 0x89, 0    ; 28 TSS
    DESC L(ldt), 0x17, 0x82, 0          ; 30 LDT
    dq 0
    DESC 0, 0xfffff, 0x99, 0xc          ; 40 execute-only
    DESC 0, 0xfffff, 0x13, 0xc          ; 48 data, not present
    DESC 0, 0xfffff, 0x9f, 0xc          ; 50 conforming
    DESC 0, 0xfffff, 0x90, 0xc          ; 58 read-only data, not accessed
    DESC 0, 0xfffff, 0x13, 0xc          ; 60 data, not present
    DESC L(ldt), 0x17, 0x02, 0          ; 68 LDT, not present
    DESC L(tss0), 0x67, 0x09, 0         ; 70 TSS, not present
    DESC 0, 0xfffff, 0x1b, 0xc          ; 78 code, not present
    GATE KCODE, L(gate_same), 0x8c, 0 ; 80 call gate
    GATE UCODE, A(0), 0x8c, 0           ; 88 gate to user code
    GATE KCODE, A(0), 0x0c, 0           ; 90 gate, not present
    GATE KDATA, A(0), 0x8c, 0           ; 98 gate to data
    GATE 0, A(0), 0x8c, 0               ; a0 gate to null
    GATE 0xe8, gate_same16 - $$, 0x84, 0 ; a8 16-bit gate
    DESC L(task_tss), 0x67, 0x89, 0     ; b0 other task
    GATE 0xb0, 0, 0x85, 0               ; b8 task gate
    DESC L(tss16), 0x2b, 0x81, 0        ; c0 16-bit TSS
    DESC L(task_tss), 0x60, 0x89, 0     ; c8 TSS, too short
    dq 0                                ; d0
    GATE KCODE, L(gate_proc), 0xec, 2 ; d8 gate for users, two parameters
    GATE 0x11a, L(level1), 0xec, 0 ; e0 gate to level 1
    DESC BASE, 0xffff, 0x9b, 4          ; e8 code, based at BASE
    DESC BASE, 0xfffff, 0x93, 0xc       ; f0 data, based at BASE
    times 0x118 - ($ - gdt) db 0
    DESC 0, 0xfffff, 0xbb, 0xc          ; 118 level 1 code
    DESC 0, 0xfffff, 0xfb, 0xc          ; 120 user code again
    DESC 0, 0xfffff, 0xb3, 0xc          ; 128 level 1 data
gdt_pointer:
    dw gdt_pointer - gdt - 1
    dd L(gdt)
align 8
ldt:
    DESC 0, 0xfffff, 0x93, 0xc
    dq 0
    dq 0

EXCEPTIONS
RESET

; Interrupt delivery on the PC: local APIC (priorities, self IPI, timer, errors, NMI), 8259 and 8254 through the virtual wire,
; I/O APIC, a second processor started by INIT and start-up messages, IPIs between the two. Runs with -smp 2.
%include "common.inc"
%define MORE_GATES
%include "protected.inc"
%define APIC 0xfee00000
%define IOAPIC 0xfec00000

%macro RD 1
    mov eax, [APIC + %1]
%endmacro
%macro WR 2
    mov dword [APIC + %1], %2
%endmacro
%macro SHOW 1
    RD %1
    call hex32
%endmacro
%macro HANDLER 2        ; vector, label
    mov word [L(idt) + %1 * 8], %2
    mov word [L(idt) + %1 * 8 + 2], KCODE
    mov word [L(idt) + %1 * 8 + 4], 0x8e00
    mov word [L(idt) + %1 * 8 + 6], BASE >> 16
%endmacro
; Lets pending interrupts in.
%macro WINDOW 0
    sti
    nop
    nop
    cli
%endmacro
; Waits for so many ticks of a periodic timer, and reports no more: a host that paused makes up for what is overdue at once.
%macro TICKS 1
    mov dword [L(seen)], 0
    mov dword [L(limit)], %1
    sti
%%again:
    hlt
    cmp dword [L(seen)], %1
    jb %%again
    cli
%endmacro
; The timer is masked: lets in what came before, then reports everything again.
%macro TICKS_MASKED 0
    WINDOW
    mov dword [L(limit)], -1
%endmacro
%macro IOREG 2
    mov dword [IOAPIC], %1
    mov dword [IOAPIC + 16], %2
%endmacro

main:
    ENTER_PROTECTED
    HANDLER 0x40, on_40
    HANDLER 0x50, on_50
    HANDLER 0x61, on_61
    HANDLER 0x72, on_72
    HANDLER 0x30, on_timer
    HANDLER 0x38, on_pit
    HANDLER 0x3f, on_spurious
    HANDLER 0x35, on_error
    HANDLER 2, on_nmi
    ; both 8259s at 38h, 3Ch, everything masked
    mov al, 0x11
    out 0x20, al
    out 0xa0, al
    mov al, 0x38
    out 0x21, al
    mov al, 0x80
    out 0xa1, al
    mov al, 4
    out 0x21, al
    mov al, 2
    out 0xa1, al
    mov al, 1
    out 0x21, al
    out 0xa1, al
    mov al, 0xff
    out 0x21, al
    out 0xa1, al

    SAY32 'registers: '
    mov ecx, 0x1b
    rdmsr
    call hex32
    SHOW 0x20
    SHOW 0x30
    SHOW 0x80
    SHOW 0xd0
    SHOW 0xe0
    SHOW 0xf0
    SHOW 0x320
    SHOW 0x330
    SHOW 0x340
    SHOW 0x350
    SHOW 0x360
    SHOW 0x370
    SHOW 0x380
    SHOW 0x390
    SHOW 0x3e0
    SAY32 10, 'enable: '
    WR 0xf0, 0x13f
    SHOW 0xf0
    WR 0xd0, 0x01ffffff
    SHOW 0xd0
    WR 0xe0, 0xffffffff
    SHOW 0xe0
    WR 0x370, 0x35
    WR 0x320, 0x10030
    SHOW 0x320
    SAY32 10, 'self: '
    WR 0x300, 0x44040
    SHOW 0x220
    WINDOW
    SHOW 0x120
    SHOW 0x220
    SAY32 10, 'priority: '
    WR 0x300, 0x44040
    WR 0x300, 0x44061
    WR 0x300, 0x44050
    WINDOW
    SAY32 10, 'tpr: '
    WR 0x80, 0x50
    WR 0x300, 0x44040
    WR 0x300, 0x44061
    WR 0x300, 0x44050
    SHOW 0x220
    SHOW 0x230
    SHOW 0xa0
    WINDOW
    SAY32 'lower '
    WR 0x80, 0
    WINDOW
    SAY32 10, 'nested: '
    mov dword [L(nest)], 1
    WR 0x300, 0x44050
    WINDOW
    mov dword [L(nest)], 0
    SAY32 10, 'nmi: '
    WR 0x310, 0
    WR 0x300, 0x04400
    nop
    SAY32 10, 'logical: '
    WR 0x310, 0x01000000
    WR 0x300, 0x04840
    WINDOW
    WR 0x310, 0x02000000
    WR 0x300, 0x04840
    WINDOW
    SAY32 10, 'timer: '
    WR 0x3e0, 0xb
    WR 0x320, 0x30
    WR 0x380, 100000
    sti
    hlt
    cli
    SHOW 0x390
    SAY32 'periodic '
    WR 0x320, 0x20030
    WR 0x380, 40000000
    TICKS 3
    WR 0x320, 0x30030
    WR 0x380, 0
    TICKS_MASKED
    SHOW 0x390
    SAY32 'masked '
    WR 0x320, 0x10030
    WR 0x380, 1000
    mov ecx, 1000
.wait:
    in al, 0x80
    loop .wait
    WINDOW
    WR 0x380, 0
    WR 0x320, 0x30
    WINDOW
    SAY32 10, 'pic: '
    WR 0x350, 0x700
    mov al, 0x34
    out 0x43, al
    mov al, 0xff
    out 0x40, al
    mov al, 0xff
    out 0x40, al
    mov al, 0xfe
    out 0x21, al
    TICKS 2
    mov al, 0xff
    out 0x21, al
    TICKS_MASKED
    SAY32 'lint0 masked '
    WR 0x350, 0x10700
    mov al, 0xfe
    out 0x21, al
    mov ecx, 10000
.wait2:
    in al, 0x80
    loop .wait2
    WINDOW
    mov al, 0xff
    out 0x21, al
    SAY32 10, 'ioapic: '
    mov dword [IOAPIC], 1
    mov eax, [IOAPIC + 16]
    call hex32
    mov dword [IOAPIC], 0x14
    mov eax, [IOAPIC + 16]
    call hex32
    IOREG 0x15, 0
    IOREG 0x14, 0x72
    TICKS 2
    IOREG 0x14, 0x10072
    TICKS_MASKED
    SAY32 10, 'second: '
    mov ax, 0x9000
    mov word [0x467], 0
    ; the other processor starts at 9000:0 -> page 9 holds a jump to `second`
    mov dword [0x9000], 0xea | ((second - $$) << 8)
    mov word [0x9003], BASE >> 4
    WR 0x310, 0x01000000
    WR 0x300, 0x4500
    mov ecx, 1000
.wait3:
    in al, 0x80
    loop .wait3
    WR 0x300, 0x4609
    call wait_for_it
    SAY32 'ipi: '
    WR 0x310, 0x01000000
    WR 0x300, 0x4050
    call wait_for_it
    SAY32 'others: '
    WR 0x300, 0xc4050
    call wait_for_it
    SAY32 'logical: '
    WR 0x310, 0x02000000
    WR 0x300, 0x4850
    call wait_for_it
    SAY32 'all: '
    WR 0x300, 0x84050
    call wait_for_it
    WINDOW
    SAY32 'back: '
    WR 0x310, 0x01000000
    WR 0x300, 0x4061
    call wait_for_it
    mov ecx, 2000
.wait4:
    in al, 0x80
    loop .wait4
    WINDOW
    SAY32 'nmi: '
    WR 0x310, 0x01000000
    WR 0x300, 0x4400
    call wait_for_it
    SAY32 10, 'end', 10
    FINISH

wait_for_it:
    mov ecx, 3000000
.again:
    in al, 0x80
    cmp dword [L(arrived)], 0
    jne .end
    loop .again
    SAY32 'nobody came '
.end:
    mov dword [L(arrived)], 0
    ret

align 4
nest: dd 0
arrived: dd 0
seen: dd 0
limit: dd -1

; The second processor.
bits 16
second:
    cli
    mov ax, BASE >> 4
    mov ds, ax
    lgdt [gdt_pointer]
    lidt [idt_pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp dword KCODE:L(second32)
bits 32
second32:
    mov ax, KDATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esp, A(0xd000)
    SAY32 'ap id '
    SHOW 0x20
    mov ecx, 0x1b
    rdmsr
    call hex32
    SHOW 0xf0
    SHOW 0x350
    mov eax, cr0
    call hex32
    WR 0xf0, 0x13f
    WR 0xd0, 0x02000000
    mov dword [L(arrived)], 1
.loop:
    sti
    hlt
    jmp .loop

; The second processor says that it is through with a handler.
%macro ARRIVED 0
    RD 0x20
    shr eax, 24
    jz %%first
    mov dword [L(arrived)], 1
%%first:
%endmacro
%macro REPORT 2
%1:
    push eax
    push ecx
    SAY32 %2, ' '
    RD 0x20
    shr eax, 24
    jz %%first
    SAY32 'on ap '
%%first:
%endmacro
%macro DONE 0
    WR 0xb0, 0
    ARRIVED
    pop ecx
    pop eax
    iretd
%endmacro
; A handler for ticks: they come to the first processor alone.
%macro REPORT_TICK 2
%1:
    push eax
    push ecx
    inc dword [L(seen)]
    mov eax, [L(seen)]
    cmp eax, [L(limit)]
    ja %%enough
    SAY32 %2, ' '
%%enough:
%endmacro
    REPORT on_40, '40'
    DONE
    REPORT on_50, '50'
    SHOW 0x120
    cmp dword [L(nest)], 0
    je .done
    WR 0x300, 0x44040
    WR 0x300, 0x44061
    sti
    nop
    nop
    cli
    SAY32 'out '
.done:
    DONE
    REPORT on_61, '61'
    RD 0x20
    shr eax, 24
    jz .done
    WR 0x310, 0
    WR 0x300, 0x4040
.done:
    DONE
    REPORT_TICK on_72, '72'
    DONE
    REPORT_TICK on_timer, 'timer'
    DONE
    REPORT on_error, 'error'
    SHOW 0x370
    DONE
    REPORT on_nmi, 'nmi'
    ARRIVED
    pop ecx
    pop eax
    iretd
    REPORT on_spurious, 'spurious'
    pop ecx
    pop eax
    iretd
    REPORT_TICK on_pit, 'pit'
    mov al, 0x20
    out 0x20, al
    pop ecx
    pop eax
    iretd
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

; Says on the first serial port what its loader told it, then writes 0 to port 0xf4 (isa-debug-exit).
; Started by multiboot (EBX: information) or by PVH (EBX: start info).
bits 32
org 0x200000

HEADER_FLAGS equ 0x10003
PVH_MAGIC equ 0x336ec578

base:
    dd 0x1badb002, HEADER_FLAGS, -(0x1badb002 + HEADER_FLAGS)
    dd base, base, data_end, bss_end, start

start:
    mov esp, stack
    mov ebp, eax
    push 0
    popf
    mov edi, bss
    cmp dword [edi], 0
    jne stop
    cmp dword [ebx], PVH_MAGIC
    je pvh
    cmp ebp, 0x2badb002
    jne stop
    mov esi, [ebx + 16]
    call line
    mov ecx, [ebx + 20]
    mov edi, [ebx + 24]
.module:
    jecxz stop
    mov esi, [edi + 8]
    call line
    push ecx
    mov esi, [edi]
    mov ecx, [edi + 4]
    call bytes
    pop ecx
    add edi, 16
    dec ecx
    jmp .module

pvh:
    mov esi, [ebx + 24]
    call line
    mov edi, [ebx + 16]
    mov esi, [edi]
    mov ecx, [edi + 8]
    add ecx, esi
    call bytes

stop:
    mov esi, done
    call line
    mov al, 0
    out 0xf4, al
    hlt
    jmp stop

; Bytes from ESI up to ECX.
bytes:
    cmp esi, ecx
    jae newline
    call byte_out
    jmp bytes
; A string and a line feed.
line:
    cmp byte [esi], 0
    je newline
    call byte_out
    jmp line
newline:
    push esi
    mov esi, feed
    call byte_out
    pop esi
    ret
byte_out:
    mov dx, 0x3f8
    lodsb
    out dx, al
    ret

feed: db 10
done: db 'done', 0
data_end:
bss equ data_end
stack equ data_end + 0x1000
bss_end equ stack

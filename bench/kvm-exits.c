/* Exits per second of a port loop and of a memory-mapped store loop: the C side of bench/kvm.ts. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

static unsigned char registers[16];

static void device(unsigned long long address, const unsigned char *data, unsigned length) {
  switch (address) {
  case 0xd0000:
  case 0xd0001:
  case 0xd0002:
  case 0xd0003:
    memcpy(registers + (address & 3), data, length);
    break;
  default:
    break;
  }
}

int main(int argc, char **argv) {
  const char *kind = argv[1];
  long exits = atol(argv[2]);
  /* out 0x80, al / jmp; or mov [0], ax with DS d000 / jmp */
  static const unsigned char port[] = {0xe6, 0x80, 0xeb, 0xfc}, memory[] = {0xa3, 0, 0, 0xeb, 0xfb};
  int kvm = open("/dev/kvm", O_RDWR), vm = ioctl(kvm, KVM_CREATE_VM, 0);
  unsigned char *ram = mmap(0, 0x10000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (!strcmp(kind, "port")) memcpy(ram + 0x1000, port, sizeof port);
  else memcpy(ram + 0x1000, memory, sizeof memory);
  struct kvm_userspace_memory_region region = {.memory_size = 0x10000, .userspace_addr = (unsigned long)ram};
  ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  struct kvm_run *run = mmap(0, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  struct kvm_sregs sregs;
  ioctl(vcpu, KVM_GET_SREGS, &sregs);
  sregs.cs.base = sregs.cs.selector = 0;
  sregs.ds.base = 0xd0000, sregs.ds.selector = 0xd000;
  ioctl(vcpu, KVM_SET_SREGS, &sregs);
  struct kvm_regs regs = {.rip = 0x1000, .rflags = 2};
  ioctl(vcpu, KVM_SET_REGS, &regs);
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (long i = 0; i < exits; i++) {
    if (ioctl(vcpu, KVM_RUN, 0) < 0) return 1;
    if (run->exit_reason == KVM_EXIT_IO) registers[0] = ((unsigned char *)run)[run->io.data_offset];
    else if (run->exit_reason == KVM_EXIT_MMIO) device(run->mmio.phys_addr, run->mmio.data, run->mmio.len);
    else return 2;
  }
  clock_gettime(CLOCK_MONOTONIC, &to);
  printf("%.9f\n", (to.tv_sec - from.tv_sec) + (to.tv_nsec - from.tv_nsec) / 1e9);
  return 0;
}

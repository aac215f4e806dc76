/*
 * disk-io DEVICE read|write sequential|random COUNT DEPTH BYTES: COUNT transfers that pass by the guest's page cache, DEPTH of
 * them under way at a time. Says "go" before the first and "over" after the last, so that the host's clock can be used.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <linux/fs.h>
#include <unistd.h>

#define MOST 256

static void fail(const char *what) {
  perror(what);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 7) return 2;
  int writes = !strcmp(argv[2], "write"), random = !strcmp(argv[3], "random");
  long count = atol(argv[4]), depth = atol(argv[5]), bytes = atol(argv[6]);
  if (depth < 1 || depth > MOST || bytes < 4096 || bytes % 4096) return 2;
  int fd = open(argv[1], O_RDWR | O_DIRECT);
  if (fd < 0) fail(argv[1]);
  uint64_t size;
  if (ioctl(fd, BLKGETSIZE64, &size) < 0) fail("size");
  uint64_t blocks = size / bytes, state = 88172645463325252ull, next = 0;
  char *data;
  if (posix_memalign((void **)&data, 4096, bytes * depth)) fail("memory");
  for (long i = 0; i < bytes * depth; i++) data[i] = i * 131 >> 3;
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, MOST, &context) < 0) fail("io_setup");
  static struct iocb requests[MOST];
  struct iocb *batch[MOST];
  static struct io_event events[MOST];
  long issued = 0, done = 0, ready = depth;
  for (long i = 0; i < depth; i++) batch[i] = &requests[i];
  puts("go");
  fflush(stdout);
  while (done < count) {
    long n = 0;
    for (; n < ready && issued < count; n++, issued++) {
      struct iocb *r = batch[n];
      long slot = r - requests;
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      uint64_t block = random ? state % blocks : next++ % blocks;
      memset(r, 0, sizeof *r);
      r->aio_fildes = fd;
      r->aio_lio_opcode = writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
      r->aio_buf = (uint64_t)(data + slot * bytes);
      r->aio_nbytes = bytes;
      r->aio_offset = block * bytes;
    }
    if (n > 0 && syscall(SYS_io_submit, context, n, batch) != n) fail("io_submit");
    ready = syscall(SYS_io_getevents, context, 1, MOST, events, 0);
    if (ready < 1) fail("io_getevents");
    for (long i = 0; i < ready; i++) {
      if (events[i].res != bytes) return 3;
      batch[i] = (struct iocb *)events[i].obj;
    }
    done += ready;
  }
  puts("over");
  return 0;
}

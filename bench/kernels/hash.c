/* A hash table with chains in one array, keyed by short strings: insertions, hits, misses and removals. */
#include "kernel.h"

#define BUCKETS 65536
#define ENTRIES 100000

struct entry {
  char key[12];
  uint32_t value;
  int32_t next;
};

static int32_t *const heads = (int32_t *)arena;
static struct entry *const entries = (struct entry *)(arena + (BUCKETS << 2));

static uint32_t make_key(char *to, uint32_t n) {
  uint32_t length = 0;
  n *= 2654435761u;
  do to[length++] = (char)('a' + (n & 15));
  while (n >>= 4);
  to[length] = 0;
  return length;
}

static uint32_t hash(const char *key) {
  uint32_t h = MIX_START;
  while (*key) h = mix(h, (uint8_t)*key++);
  return h ^ h >> 15;
}

static int equal(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

static int32_t *find(const char *key) {
  int32_t *link = heads + (hash(key) & (BUCKETS - 1));
  while (*link >= 0 && !equal(entries[*link].key, key)) link = &entries[*link].next;
  return link;
}

static uint32_t run(void) {
  uint32_t sum = MIX_START;
  for (int round = 0; round < 8; round++) {
    int32_t used = 0;
    for (int i = 0; i < BUCKETS; i++) heads[i] = -1;
    for (uint32_t i = 0; i < ENTRIES; i++) {
      char key[16];
      make_key(key, i);
      int32_t *link = find(key);
      if (*link >= 0) continue;
      struct entry *e = entries + used;
      make_key(e->key, i);
      e->value = i * 7;
      e->next = -1;
      *link = used++;
    }
    for (uint32_t i = 0; i < 3 * ENTRIES; i++) {
      char key[16];
      make_key(key, i * 5 % (2 * ENTRIES));
      int32_t *link = find(key);
      if (*link >= 0) sum = mix(sum, entries[*link].value);
    }
    for (uint32_t i = 0; i < ENTRIES; i += 3) {
      char key[16];
      make_key(key, i);
      int32_t *link = find(key);
      if (*link >= 0) *link = entries[*link].next, sum = mix(sum, i);
    }
  }
  return sum;
}

const struct kernel hash_kernel = {"hash", NULL, run, 0};

/*
 * Loops over vectors, once for each width: picture filtering (saturating bytes, averages), sums of absolute differences,
 * dot products of 16-bit integers, single- and double-precision arithmetic, a reduction, selection by mask.
 * The file that includes this defines W (bytes in a vector), VI, VF, VD and the operations below.
 */
#define COUNT (64u << 10)

static uint8_t *const bytes_a = arena, *const bytes_b = arena + (1u << 20), *const bytes_c = arena + (2u << 20);
static float *const floats_a = (float *)(arena + (3u << 20)), *const floats_b = (float *)(arena + (4u << 20));
static double *const doubles = (double *)(arena + (5u << 20));

static void setup(void) {
  uint32_t seed = 606;
  for (uint32_t i = 0; i < COUNT; i++) bytes_a[i] = (uint8_t)next_random(&seed), bytes_b[i] = (uint8_t)(next_random(&seed) >> 8);
  for (uint32_t i = 0; i < COUNT / 4; i++) {
    floats_a[i] = (float)(int32_t)next_random(&seed) / 2147483648.0f;
    floats_b[i] = (float)(int32_t)next_random(&seed) / 2147483648.0f;
  }
  for (uint32_t i = 0; i < COUNT / 8; i++) doubles[i] = (double)(int32_t)next_random(&seed) / 1073741824.0;
}

TARGET static uint32_t picture(void) {
  VI sums = SET0();
  for (uint32_t i = 0; i < COUNT; i += W) {
    VI a = LOAD(bytes_a + i), b = LOAD(bytes_b + i);
    VI brighter = ADDS8(a, b), mean = AVG8(a, b);
    STORE(bytes_c + i, SUBS8(MAX8(brighter, mean), MIN8(a, b)));
    sums = ADD64(sums, SAD(brighter, mean));
  }
  return LOW(sums);
}

TARGET static uint32_t dot(void) {
  VI sums = SET0();
  for (uint32_t i = 0; i < COUNT; i += W) {
    VI a = LOAD(bytes_a + i), b = LOAD(bytes_c + i);
    VI low = MADD16(UNPACK_LOW8(a, SET0()), UNPACK_LOW8(b, SET0()));
    VI high = MADD16(UNPACK_HIGH8(a, SET0()), UNPACK_HIGH8(b, SET0()));
    sums = ADD32(sums, XOR(SHIFT_RIGHT32(low, 3), SHUFFLE32(high, 0x1b)));
  }
  return LOW(sums);
}

TARGET static uint32_t singles(void) {
  VF sums = SETF(0), scale = SETF(0.75f), limit = SETF(0.5f);
  for (uint32_t i = 0; i < COUNT / 4; i += W / 4) {
    VF a = LOADF(floats_a + i), b = LOADF(floats_b + i);
    VF product = ADDF(MULF(a, scale), b);
    VF chosen = ANDF(product, LESSF(product, limit));
    sums = ADDF(sums, MAXF(chosen, MULF(b, b)));
    STOREF(floats_b + i, SUBF(b, MULF(chosen, SETF(0.001f))));
  }
  float out[W / 4];
  STOREF(out, sums);
  union {
    float f;
    uint32_t w;
  } u = {.f = out[0] + out[W / 4 - 1]};
  return u.w;
}

TARGET static uint32_t pairs(void) {
  VD sums = SETD(0), one = SETD(1);
  for (uint32_t i = 0; i < COUNT / 8; i += W / 8) {
    VD a = LOADD(doubles + i);
    sums = ADDD(sums, DIVD(one, ADDD(one, MULD(a, a))));
    sums = SUBD(sums, SQRTD(ADDD(one, MULD(a, SETD(0.25)))));
  }
  double out[W / 8];
  STORED(out, sums);
  return mix_double(MIX_START, out[0] + out[W / 8 - 1]);
}

static uint32_t run(void) {
  uint32_t sum = MIX_START;
  for (int round = 0; round < VECTOR_ROUNDS; round++) {
    sum = mix(sum, picture());
    sum = mix(sum, dot());
    sum = mix(sum, singles());
    sum = mix(sum, pairs());
    __asm__ volatile("" : : : "memory"); /* the next round is not the same as this one, as far as the compiler knows */
  }
  return sum;
}

/* Five bodies under gravity, double precision, with a square root and divisions in every pair. */
#include "kernel.h"

#define BODIES 5
#define STEPS FLOAT_ROUNDS(500000)

struct body {
  double x, y, z, vx, vy, vz, mass;
};
static struct body bodies[BODIES];

static void setup(void) {
  uint32_t seed = 5;
  for (int i = 0; i < BODIES; i++) {
    struct body *b = bodies + i;
    double *fields[] = {&b->x, &b->y, &b->z, &b->vx, &b->vy, &b->vz};
    for (int k = 0; k < 6; k++) {
      double unit = (double)(int32_t)next_random(&seed) / 2147483648.0;
      *fields[k] = k < 3 ? 8 * i * unit : unit / 8;
    }
    b->mass = i ? 0.01 : 4;
  }
}

static uint32_t run(void) {
  const double dt = 0.001;
  for (int step = 0; step < STEPS; step++) {
    for (int i = 0; i < BODIES; i++)
      for (int j = i + 1; j < BODIES; j++) {
        struct body *a = bodies + i, *b = bodies + j;
        double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
        double d2 = dx * dx + dy * dy + dz * dz + 0.01;
        double force = dt / (d2 * __builtin_sqrt(d2));
        a->vx -= dx * b->mass * force, a->vy -= dy * b->mass * force, a->vz -= dz * b->mass * force;
        b->vx += dx * a->mass * force, b->vy += dy * a->mass * force, b->vz += dz * a->mass * force;
      }
    for (int i = 0; i < BODIES; i++) {
      struct body *b = bodies + i;
      b->x += dt * b->vx, b->y += dt * b->vy, b->z += dt * b->vz;
    }
  }
  uint32_t sum = MIX_START;
  for (int i = 0; i < BODIES; i++) sum = mix_double(mix_double(sum, bodies[i].x), bodies[i].vz);
  return sum;
}

const struct kernel nbody_kernel = {"nbody", setup, run, 0};

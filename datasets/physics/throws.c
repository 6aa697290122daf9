/* throws FILE [SEED]: throws of a ball as a camera sees them, as an HDF5 set for `squeeze distill`.
 *
 *     dv/dt = - g (0,1) - k |v| v,    g = 9.81 m/s^2, k = 0.02 /m
 *
 * A sample is 7 positions at 0.05 s intervals, in m relative to an 8th, the last one (14 numbers:
 * x0 y0 x1 y1 ...), and a 15th number: 1 when the ball was seen a second later, else 0. The label is
 * where it was then, relative to the last position; 0 0 when nobody saw. Every position is measured
 * with a normal error of 5 mm, the place a second later as well in `train` and `valid`; those of
 * `test` are exact. Of 1,024 throws in `train` the ends of 24 were seen, of all 200 in `valid` and
 * all 2,000 in `test`. */
#include <hdf5.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEEN = 8, INPUTS = 2 * (SEEN - 1) + 1, TRAIN = 1024, ENDS = 24, VALID = 200, TEST = 2000 };
static const double gravity = 9.81, drag = 0.02, interval = 0.05, ahead = 1, noise = 0.005;

/* SplitMix64: the same throws everywhere. */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return ((double)((z ^ z >> 31) >> 11) + 0.5) * 0x1p-53;
}
static double normal(uint64_t *state)
{
    const double u = uniform(state), v = uniform(state);
    return sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v);
}

/* s: x, y, vx, vy. Classical Runge-Kutta steps of at most 1 ms. */
static void slope(const double *s, double *d)
{
    const double speed = hypot(s[2], s[3]);
    d[0] = s[2];
    d[1] = s[3];
    d[2] = -drag * speed * s[2];
    d[3] = -drag * speed * s[3] - gravity;
}
static void fly(double *s, double time)
{
    const int n = (int)ceil(time / 1e-3 - 1e-9);
    const double h = time / n;
    for (int i = 0; i < n; i++) {
        double k[4][4], at[4];
        for (int j = 0; j < 4; j++) {
            const double step = j == 3 ? h : h / 2;
            for (int c = 0; c < 4; c++)
                at[c] = s[c] + (j ? step * k[j - 1][c] : 0);
            slope(at, k[j]);
        }
        for (int c = 0; c < 4; c++)
            s[c] += h / 6 * (k[0][c] + 2 * k[1][c] + 2 * k[2][c] + k[3][c]);
    }
}

/* One throw: 4 to 20 m/s, 10 to 80 degrees up, seen from up to half a second after it left on. */
static void throw(uint64_t *rng, int seen, double end_noise, float *x, float *y)
{
    const double speed = 4 + 16 * uniform(rng), up = (10 + 70 * uniform(rng)) * 0.017453292519943295;
    double s[4] = {0, 0, speed * cos(up), speed * sin(up)}, p[SEEN][2];
    fly(s, 0.001 + 0.5 * uniform(rng));
    for (int i = 0; i < SEEN; i++) {
        if (i)
            fly(s, interval);
        for (int c = 0; c < 2; c++)
            p[i][c] = s[c] + noise * normal(rng);
    }
    fly(s, ahead);
    for (int i = 0; i < SEEN - 1; i++)
        for (int c = 0; c < 2; c++)
            x[2 * i + c] = (float)(p[i][c] - p[SEEN - 1][c]);
    x[INPUTS - 1] = (float)seen;
    for (int c = 0; c < 2; c++) {
        const double end = s[c] + end_noise * normal(rng) - p[SEEN - 1][c];
        y[c] = seen ? (float)end : 0;
    }
}

static void must(int ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "throws: cannot write %s\n", what);
    exit(4);
}

static void put(hid_t group, const char *name, int n, int columns, const float *v)
{
    const hsize_t dim[2] = {(hsize_t)n, (hsize_t)columns};
    const hid_t space = H5Screate_simple(2, dim, NULL);
    const hid_t d = H5Dcreate2(group, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    must(d >= 0 && H5Dwrite(d, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, v) >= 0, name);
    must(H5Dclose(d) >= 0 && H5Sclose(space) >= 0, name);
}

/* The first `ends` throws were seen a second later. */
static void write_split(hid_t file, const char *name, int n, int ends, double end_noise, uint64_t seed)
{
    float *x = calloc((size_t)n, INPUTS * sizeof *x), *y = calloc((size_t)n, 2 * sizeof *y);
    const hid_t group = H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    must(x && y && group >= 0, name);
    for (int i = 0; i < n; i++)
        throw(&seed, i < ends, end_noise, x + i * INPUTS, y + 2 * i);
    put(group, "x", n, INPUTS, x);
    put(group, "y", n, 2, y);
    must(H5Gclose(group) >= 0, name);
    free(x);
    free(y);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        (void)fprintf(stderr, "throws FILE [SEED]\n");
        return 2;
    }
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    const hid_t file = H5Fcreate(argv[1], H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    must(file >= 0, argv[1]);
    write_split(file, "train", TRAIN, ENDS, noise, seed << 32 | 1);
    write_split(file, "valid", VALID, VALID, noise, seed << 32 | 0x40000001);
    write_split(file, "test", TEST, TEST, 0, seed << 32 | 0x80000001);
    must(H5Fclose(file) >= 0, argv[1]);
    return 0;
}

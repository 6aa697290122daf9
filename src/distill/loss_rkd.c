/* rkd: relations between the samples of a batch, whatever the width of the embeddings: their
 * distances over the mean distance, and the cosines of the angles of all triples, compared with
 * Huber's loss (Park et al. 2019, "Relational knowledge distillation"). Both come from products of
 * embeddings, centered before: |a - b|^2 = aa + bb - 2ab. */
#include "distill/loss.h"

typedef struct opts {
    sqz_loss_common common;
    const char *pairs;
    double distance, angle;
    int64_t most;
} opts;
static const sqz_attr schema[] = {
    SQZ_LOSS_COMMON_ROWS(opts, 1),
    {.name = "pairs",
     .offset = offsetof(opts, pairs),
     .type = SQZ_A_STRING,
     .names = "auto",
     .doc = "values: auto, or student->teacher;..."},
    {.name = "distance",
     .offset = offsetof(opts, distance),
     .type = SQZ_A_FLOAT,
     .def = 25,
     .max = 1e9,
     .doc = "factor of distances"},
    {.name = "angle",
     .offset = offsetof(opts, angle),
     .type = SQZ_A_FLOAT,
     .def = 50,
     .max = 1e9,
     .doc = "factor of angles"},
    {.name = "most",
     .offset = offsetof(opts, most),
     .type = SQZ_A_INT,
     .def = 64,
     .min = 3,
     .max = 1024,
     .doc = "samples of a batch whose angles are compared: there are most^3"},
};

typedef struct relations { /* between n samples */
    int64_t n;
    sqz_vid gram, square; /* (n,n) products; (n,1) of each with itself */
    sqz_vid distance;     /* (n,n); 1 on the diagonal */
} relations;

/* 1 off the diagonal, or on it. */
static sqz_vid mask_of(sqz_loss_site *s, int64_t n, bool off)
{
    const sqz_shape shape = {2, {n, n}};
    float *m = sqz_loss_alloc(s, (size_t)(n * n), sizeof *m);
    for (int64_t i = 0; m && i < n * n; i++)
        m[i] = (i / n == i % n) == off ? 0.0f : 1.0f;
    return m ? sqz_loss_constant(s, &shape, m) : SQZ_NONE;
}

static sqz_vid shaped(sqz_loss_site *s, sqz_vid v, int64_t a, int64_t b, int64_t c)
{
    return sqz_bf(&s->b, "reshape", &v, 1, "shape=%lld,%lld,%lld", (long long)a, (long long)b,
                  (long long)c);
}

static relations relate(sqz_loss_site *s, sqz_vid v, int64_t n)
{
    relations r = {.n = n};
    sqz_vid x = sqz_loss_rows(s, v);
    if (s->b.status == SQZ_OK && n < sqz_val(s->g, x)->shape.dim[0])
        x = sqz_bf(&s->b, "slice", &x, 1, "starts=0 ends=%lld axes=0", (long long)n);
    x = sqz_b(&s->b, "sub", NULL, 2, x, sqz_b(&s->b, "reduce_mean", "axes=0 keepdims=1", 1, x));
    r.gram = sqz_b(&s->b, "matmul", NULL, 2, x, sqz_b(&s->b, "transpose", "perm=1,0", 1, x));
    const sqz_vid own = sqz_b(&s->b, "mul", NULL, 2, x, x);
    r.square = sqz_b(&s->b, "reduce_sum", "axes=1 keepdims=1", 1, own);
    const sqz_vid across = sqz_b(&s->b, "transpose", "perm=1,0", 1, r.square);
    const sqz_vid sum = sqz_b(&s->b, "add", NULL, 2, r.square, across);
    sqz_vid d = sqz_b(&s->b, "sub", NULL, 2, sum, sqz_loss_scale(s, r.gram, 2));
    d = sqz_b(&s->b, "mul", NULL, 2, d, mask_of(s, n, true));
    d = sqz_b(&s->b, "add", NULL, 2, d, mask_of(s, n, false));
    r.distance = sqz_b(&s->b, "sqrt", NULL, 1, sqz_b(&s->b, "clip", "min=1e-12", 1, d));
    return r;
}

/* Distances over their mean; 0 on the diagonal. */
static sqz_vid distances(sqz_loss_site *s, const relations *r)
{
    const sqz_vid d = sqz_b(&s->b, "mul", NULL, 2, r->distance, mask_of(s, r->n, true));
    const sqz_vid mean = sqz_loss_scale(s, sqz_loss_sum(s, d), 1 / (double)(r->n * (r->n - 1)));
    return sqz_b(&s->b, "div", NULL, 2, d, mean);
}

/* (j,i,k): cosine of the angle at j between i and k: ik - ij - kj + jj over both distances; 0 where
 * one of them is j. */
static sqz_vid angles(sqz_loss_site *s, const relations *r)
{
    const int64_t n = r->n;
    const sqz_vid near = sqz_b(&s->b, "div", NULL, 2, mask_of(s, n, true), r->distance);
    const sqz_vid ij = shaped(s, r->gram, n, n, 1), kj = shaped(s, r->gram, n, 1, n);
    const sqz_vid a = sqz_b(&s->b, "sub", NULL, 2, shaped(s, r->square, n, 1, 1), ij);
    const sqz_vid b = sqz_b(&s->b, "sub", NULL, 2, shaped(s, r->gram, 1, n, n), kj);
    const sqz_vid sum = sqz_b(&s->b, "add", NULL, 2, b, a);
    const sqz_vid half = sqz_b(&s->b, "mul", NULL, 2, sum, shaped(s, near, n, n, 1));
    return sqz_b(&s->b, "mul", NULL, 2, half, shaped(s, near, n, 1, n));
}

static sqz_vid compare(sqz_loss_site *s, sqz_vid a, sqz_vid b)
{
    return sqz_loss_mean(s, sqz_loss_huber_of(s, sqz_b(&s->b, "sub", NULL, 2, a, b), 1));
}

static sqz_status build(sqz_loss_site *s, const void *o, sqz_vid *out)
{
    const opts *at = o;
    sqz_loss_pair *pair;
    uint32_t n;
    SQZ_TRY(sqz_loss_pairs(s, at->pairs, SQZ_PAIR_EMBEDDING, &pair, &n));
    if (s->batch < 3)
        return sqz_fail(s->g->ctx, SQZ_E_ARG, "batches have %lld samples, at least 3 are needed",
                        (long long)s->batch);
    for (uint32_t i = 0; i < n; i++) {
        const relations a = relate(s, pair[i].student, s->batch);
        const relations b = relate(s, pair[i].teacher, s->batch);
        const int64_t most = SQZ_MIN(at->most, s->batch);
        const relations c = most == s->batch ? a : relate(s, pair[i].student, most);
        const relations d = most == s->batch ? b : relate(s, pair[i].teacher, most);
        const sqz_vid far = compare(s, distances(s, &a), distances(s, &b));
        const sqz_vid turn = compare(s, angles(s, &c), angles(s, &d));
        const sqz_vid one = sqz_b(&s->b, "add", NULL, 2, sqz_loss_scale(s, far, at->distance),
                                  sqz_loss_scale(s, turn, at->angle));
        *out = i == 0 ? one : sqz_b(&s->b, "add", NULL, 2, *out, one);
    }
    return s->b.status;
}

const sqz_loss sqz_loss_rkd = {
    .info = {.name = "rkd",
             .doc = "distances and angles between samples: Park et al. 2019",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_LOSS_TEACHER,
    .build = build,
};

/* recurrent.h: what lstm, gru and rnn share: shapes, the products with the input over all steps at
 * once, the walk over the steps, activations by name, import and export.
 *
 * T steps, N samples, I inputs, H units, D directions, G gates of H units each:
 *   x (T,N,I), w (D,G*H,I), r (D,G*H,H), b (D,2*G*H: first of w, then of r), lens (N), h0 (D,N,H);
 *   y (T,D,N,H), y_h (D,N,H). Layout 1: x (N,T,I), h0 and y_h (N,D,H), y (N,T,D,H).
 * Steps behind the end of a sequence are 0 in y; a reverse direction begins at the end. */
#ifndef SQZ_RECURRENT_H
#define SQZ_RECURRENT_H
#include "ops/ew.h"
#include "ops/linear.h"
#include <float.h>

enum { /* input slots */
       SQZ_REC_X,
       SQZ_REC_W,
       SQZ_REC_R,
       SQZ_REC_B,
       SQZ_REC_LENS,
       SQZ_REC_H0,
       SQZ_REC_C0,
       SQZ_REC_PEEP
};

#define SQZ_REC_ACTS 6 /* three for each direction at most */

typedef enum sqz_act_kind { /* in the order of the names in recurrent_act.c */
                            SQZ_ACT_RELU,
                            SQZ_ACT_TANH,
                            SQZ_ACT_SIGMOID,
                            SQZ_ACT_AFFINE,
                            SQZ_ACT_LEAKY_RELU,
                            SQZ_ACT_THRESHOLDED_RELU,
                            SQZ_ACT_SCALED_TANH,
                            SQZ_ACT_HARD_SIGMOID,
                            SQZ_ACT_ELU,
                            SQZ_ACT_SOFTSIGN,
                            SQZ_ACT_SOFTPLUS
} sqz_act_kind;
typedef struct sqz_act {
    sqz_act_kind kind;
    float alpha, beta;
} sqz_act;

typedef struct sqz_rec_attrs {
    int64_t direction; /* forward, reverse, both */
    int64_t layout;
    const char *activations; /* "Sigmoid,Tanh"; NULL: the operator's own */
    sqz_floats alpha, beta;  /* of the activations that have them, in order */
    double clip;             /* 0: none */
    int64_t input_forget, linear_before_reset;
} sqz_rec_attrs;
#define SQZ_REC_ROWS                                                                               \
    {.name = "direction",                                                                          \
     .offset = offsetof(sqz_rec_attrs, direction),                                                 \
     .type = SQZ_A_ENUM,                                                                           \
     .names = "forward|reverse|bidirectional",                                                     \
     .max = 2,                                                                                     \
     .doc = "order of the steps"},                                                                 \
        {.name = "layout",                                                                         \
         .offset = offsetof(sqz_rec_attrs, layout),                                                \
         .type = SQZ_A_BOOL,                                                                       \
         .max = 1,                                                                                 \
         .doc = "the batch comes before the steps"},                                               \
        {.name = "activations",                                                                    \
         .offset = offsetof(sqz_rec_attrs, activations),                                           \
         .type = SQZ_A_STRING,                                                                     \
         .flags = SQZ_AF_INTERNAL, /* a list of strings in ONNX */                                 \
         .doc = "functions of the gates, of each direction"},                                      \
        {.name = "activation_alpha",                                                               \
         .offset = offsetof(sqz_rec_attrs, alpha),                                                 \
         .type = SQZ_A_FLOATS,                                                                     \
         .doc = "first parameters of the functions that have some, in order"},                     \
        {.name = "activation_beta",                                                                \
         .offset = offsetof(sqz_rec_attrs, beta),                                                  \
         .type = SQZ_A_FLOATS,                                                                     \
         .doc = "second parameters of the functions that have some, in order"},                    \
    {                                                                                              \
        .name = "clip", .offset = offsetof(sqz_rec_attrs, clip), .type = SQZ_A_FLOAT, .min = 0,    \
        .max = FLT_MAX, .doc = "bound of what goes into the functions, 0: none"                    \
    }

typedef struct sqz_rec_block sqz_rec_block;
typedef struct sqz_rec_back sqz_rec_back;
typedef struct sqz_rec_kind { /* what tells the operators apart */
    unsigned gates, n_act;
    const char *activations; /* of one direction */
    bool has_cell;           /* inputs 6 (c0) and 7 (peepholes (D,3*H)), output 2 (y_c) */
    unsigned first; /* gates whose recurrent products are computed together; then the others */
    /* One step of a block: from k->h, k->c and the gates of the input to the new k->h and k->c. */
    void (*step)(const sqz_rec_block *k);
    /* Its gradient, of one sample (recurrent_grad.c). */
    void (*back)(const sqz_rec_back *b);
} sqz_rec_kind;

typedef struct sqz_rec { /* a node, and what its run keeps in the scratch */
    const sqz_rec_kind *kind;
    const sqz_rec_attrs *at;
    size_t steps, batch, in, units, dirs;
    sqz_act act[SQZ_REC_ACTS];
    sqz_packed w[2], r[2][2]; /* of each direction; r in both parts of its gates */
    bool known;               /* they are constant, and packed already */
    size_t packed;            /* else where, as the following: in floats of the scratch */
    size_t bias, gates, h, c, rec, reset;
} sqz_rec;

/* Where sample b of direction d stands in h0, c0, y_h, y_c; and step t of it in y. */
static inline size_t sqz_rec_state_at(const sqz_rec *v, size_t d, size_t b)
{
    return (v->at->layout ? b * v->dirs + d : d * v->batch + b) * v->units;
}
static inline size_t sqz_rec_out_at(const sqz_rec *v, size_t t, size_t d, size_t b)
{
    return (v->at->layout ? (b * v->steps + t) * v->dirs + d : (t * v->dirs + d) * v->batch + b) *
           v->units;
}

struct sqz_rec_block { /* some samples in one direction */
    const sqz_rec *v;
    const sqz_call *call;
    size_t dir, first, rows, step;
    const float *peep; /* (3*H) of the direction, or NULL */
    const sqz_act *act;
    float clip;
    float *h, *c; /* (rows,H) */
    float *rec;   /* (rows,G*H) */
    float *reset; /* (rows,H) */
};
/* What the input and the biases say to the gates of a row at this step, (G*H), to be worked on in
 * place; NULL: its sequence is over. */
float *sqz_rec_gates(const sqz_rec_block *k, size_t row);
/* a . r^T for part 0 or 1 of the gates, a (rows,H): added to the gates of all rows whose sequence
 * goes on, or put into k->rec, together with the biases that linear_before_reset keeps apart. */
void sqz_rec_add(const sqz_rec_block *k, const float *a, unsigned part);
void sqz_rec_product(const sqz_rec_block *k, const float *a, unsigned part);

/* x[i] = f(clip(x[i])) */
void sqz_act_run(const sqz_kernels *k, const sqz_act *a, float clip, float *x, size_t n);
static inline void sqz_rec_act(const sqz_rec_block *k, unsigned i, float *x, size_t n)
{
    sqz_act_run(k->call->ctx->kernels, &k->act[i], k->clip, x, n);
}
/* Functions of `dirs` directions; alphas and betas are handed out in order. */
sqz_status sqz_rec_acts(sqz_ctx *ctx, const sqz_rec_kind *kind, const sqz_rec_attrs *at,
                        size_t dirs, sqz_act out[SQZ_REC_ACTS]);

sqz_status sqz_rec_infer(sqz_infer *q, const sqz_rec_kind *kind);
void sqz_rec_cost(const sqz_infer *q, const sqz_rec_kind *kind, sqz_cost *out);
sqz_status sqz_rec_prepare(sqz_prep *p, const sqz_rec_kind *kind);
sqz_status sqz_rec_run(const sqz_call *c);
sqz_status sqz_rec_import(sqz_import *im, const sqz_op *op);
sqz_status sqz_rec_write(sqz_export *e);

/* ---- gradients ---- */
struct sqz_rec_back { /* one step of one sample in one direction */
    const sqz_rec *v;
    const sqz_kernels *kernels;
    const sqz_act *act;
    float clip, ends[3][2]; /* of the functions, at -clip and clip */
    const float *gates;     /* (G*H) after their functions */
    const float *h, *c;     /* (H) states before the step; c (2,H), and behind it */
    const float *r, *b;     /* (G*H,H) recurrent weights; (G*H) their biases, or NULL */
    const float *peep;      /* (3*H), or NULL */
    float *dh, *dc;         /* (H) of the states behind the step; to become: before it */
    float *dg, *dr;         /* (G*H), zeros: of what the input, and the states, add to the gates */
    float *fed;   /* (H): what the last gates' recurrent weights multiplied, preset to h */
    float *dpeep; /* (3*H), to add to */
    float *work;  /* (H) */
};
sqz_status sqz_rec_grad_prepare(sqz_grad_prep *p, sqz_status (*prepare)(sqz_prep *p));
sqz_status sqz_rec_grad(const sqz_grad_call *c);
/* f'(x) from y = f(x): where f rises, falls or is flat, the result tells where x was. */
bool sqz_act_has_slope(const sqz_act *a);
float sqz_act_slope(const sqz_act *a, float y);
/* The same of function i of a direction, behind the clip: what was clipped has the results of its
 * ends (to rounding, as kernels may compute the last few elements otherwise). */
static inline float sqz_rec_slope(const sqz_rec_back *b, unsigned i, float y)
{
    for (int e = 0; b->clip > 0 && e < 2; e++)
        if (fabsf(y - b->ends[i][e]) <= 1e-6f * fabsf(b->ends[i][e]))
            return 0;
    return sqz_act_slope(&b->act[i], y);
}
/* d (H) += w^T g, for rows `from` .. from + n of w (.., H). */
void sqz_rec_back_product(const sqz_rec_back *b, const float *g, size_t from, size_t n, float *d);
#define SQZ_REC_GRAD_COLUMNS                                                                       \
    .grad = sqz_rec_grad, .grad_prepare = grad_prepare, .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1

/* Inputs of x, and units: all gates, both directions, states and outputs of one. */
void sqz_rec_ties(sqz_ties *t);
#define SQZ_REC_OP(opname, text, onnx_type, n_in, n_out)                                           \
    .info = {.name = opname,                                                                       \
             .doc = text,                                                                          \
             .opt_size = sizeof(sqz_rec_attrs),                                                    \
             .opts = schema,                                                                       \
             .n_opts = SQZ_COUNT(schema)},                                                         \
    .n_in_min = 3, .n_in_max = n_in, .n_out_min = 1, .n_out_max = n_out, .layout = SQZ_L_FILE,     \
    .infer = infer, .run = sqz_rec_run, .cost = cost, .prepare = prepare, .ties = sqz_rec_ties,    \
    .quant = {.kind = SQZ_Q_FLOAT, .weight = 1, .weight2 = 2, .bias = 3, .channel_axis = 1},       \
    .onnx = {.op_type = onnx_type, .since = 1, .import = sqz_rec_import, .write = sqz_rec_write}
#endif

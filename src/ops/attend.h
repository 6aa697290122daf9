/* attend.h: scaled dot-product attention as products, a softmax and what goes between them: what
 * the attention operators of ONNX and of ONNX Runtime are made of.
 *
 * B samples, H heads of queries, G heads of keys and values (H a multiple of G), S queries, T keys,
 * D numbers in a query or key, E in a value. */
#ifndef SQZ_ATTEND_H
#define SQZ_ATTEND_H
#include "ops/build.h"

enum { /* places where the scores may be looked at */
       SQZ_SCORES_PRODUCT,
       SQZ_SCORES_CAPPED,
       SQZ_SCORES_MASKED,
       SQZ_SCORES_SOFTMAX,
       SQZ_N_SCORES
};

typedef struct sqz_attend {
    sqz_vid q, k, v; /* (B,H,S,D), (B,G,T,D), (B,G,T,E) */
    sqz_vid bias;    /* what is added to the scores, broadcasts to (B,H,S,T); SQZ_NONE: nothing */
    double scale;    /* 0: 1 / sqrt(D) */
    double softcap;  /* 0: none */
    sqz_dtype softmax_type;       /* SQZ_N_DTYPE: that of q */
    sqz_vid scores[SQZ_N_SCORES]; /* found: (B,H,S,T) */
} sqz_attend;
/* y (B,H,S,E). Rows whose bias is -inf everywhere become 0. */
sqz_vid sqz_attend_run(sqz_build *b, sqz_attend *a);

/* (B,S,H*D) to (B,H,S,D) and back. */
sqz_vid sqz_attend_split(sqz_build *b, sqz_vid x, int64_t heads);
sqz_vid sqz_attend_join(sqz_build *b, sqz_vid x);

/* Keys that a query may look at, by position: query i stands at i + offset. */
typedef struct sqz_window_of {
    bool causal;         /* no key behind the query */
    int64_t left, right; /* keys before and behind it at most; -1: all */
    int64_t offset;
} sqz_window_of;
/* A constant (S,T) of 0 and -inf in the type of value `like`; SQZ_NONE when all keys are allowed.
 */
sqz_vid sqz_attend_window(sqz_build *b, const sqz_window_of *w, int64_t queries, int64_t keys,
                          sqz_vid like);
/* 0 where a condition holds, -inf elsewhere. */
sqz_vid sqz_attend_allow(sqz_build *b, sqz_vid condition, sqz_vid like);
/* The sum of two biases, each of which may be SQZ_NONE. */
sqz_vid sqz_attend_both(sqz_build *b, sqz_vid x, sqz_vid y);
/* An int64 constant of that shape. */
sqz_vid sqz_attend_ints(sqz_build *b, sqz_shape s, const int64_t *v);
#endif

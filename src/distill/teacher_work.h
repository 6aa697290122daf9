/* teacher_work.h: what teacher.c and cache.c share. */
#ifndef SQZ_TEACHER_WORK_H
#define SQZ_TEACHER_WORK_H
#include "distill/teacher.h"
#include "exec/exec.h"

typedef struct sqz_answers { /* of the teachers to samples, in the order of the objective's list */
    const sqz_objective *o;
    size_t *count; /* numbers of one sample, of each value */
    size_t all;    /* of one sample, of all values */
} sqz_answers;
typedef struct sqz_one_teacher {
    sqz_exec *exec;
    sqz_feeds feeds;
    void **in;
    uint32_t n_value; /* outputs of exec */
    uint32_t *value;  /* which of the objective's list each is */
    void **out;
} sqz_one_teacher;
struct sqz_cache;
struct sqz_teacher {
    sqz_ctx *ctx;
    sqz_arena arena;
    sqz_answers answers;
    int64_t batch;
    sqz_one_teacher *one;
    uint32_t n;
    float **sum; /* of each value: a batch of further teachers' answers; NULL: only one answers */
    struct sqz_cache *cache;
};
/* Answers to a batch: to[k] of value k, batch * count[k] numbers, aligned. */
sqz_status sqz_teacher_run(sqz_teacher *t, const float *samples, float *const *to);
void sqz_cache_free(sqz_ctx *ctx, struct sqz_cache *c);
/* Answers to sample i; to[k]: count[k] numbers. */
sqz_status sqz_cache_read(struct sqz_cache *c, int64_t sample, float *const *to);
#endif

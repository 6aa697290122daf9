/* teacher.h: the teachers of a training, run on the batches that the student sees, or read from a
 * cache of what they answered. */
#ifndef SQZ_TEACHER_H
#define SQZ_TEACHER_H
#include "distill/objective.h"
#include "io/data.h"

typedef struct sqz_teacher sqz_teacher;
/* For the values that the objective wants, in batches of its training graph. `ds`: the form of the
 * samples that are handed in, "nchw" or "nhwc" as `layout` says (NULL: by shape). Teachers of the
 * objective's options must outlive it. */
sqz_status sqz_teacher_create(const sqz_objective *o, const sqz_dataset *ds, const char *layout,
                              sqz_teacher **out);
void sqz_teacher_free(sqz_teacher *t); /* NULL is fine */
/* Writes the teacher's inputs of the training graph. `samples`: one batch as the data set has them,
 * or as augmentation left them. `sample`: their places in the set, when a cache is open. */
sqz_status sqz_teacher_fill(sqz_teacher *t, const float *samples, const int64_t *sample,
                            const sqz_tape *tape);

/* ---- cache (cache.c): answers to a set whose samples are always the same, on disk ---- */
typedef struct sqz_teacher_cache {
    const char *dir;      /* made if need be; what others left there is not touched */
    const char *teachers; /* what says which: sha256 of the model files */
    const char *augment;  /* text of what is done to samples, the same for each in every epoch */
    size_t memory;        /* answers are held in memory up to this size; 0: 256 MiB */
    size_t part;          /* bytes of answers in a file, about; 0: 32 MiB */
} sqz_teacher_cache;
typedef struct sqz_cache_report {
    int64_t computed, read; /* samples */
    uint64_t bytes;         /* on disk */
    double seconds;         /* to make or open it */
} sqz_cache_report;
/* Runs the teachers once over all of ds, which must be in the form of the samples of create, or
 * takes what an earlier run has left: all of it is checked. From then on fill needs `sample`.
 * report NULL: not wanted. */
sqz_status sqz_teacher_open_cache(sqz_teacher *t, sqz_dataset *ds, const sqz_teacher_cache *c,
                                  sqz_cache_report *report);
#endif

/* schedule.h: the table of learning rate schedules. One file src/train/lr_<name>.c per schedule
 * defines one `const sqz_schedule sqz_lr_<name>`; the build lists it. */
#ifndef SQZ_SCHEDULE_H
#define SQZ_SCHEDULE_H
#include "base/schema.h"

/* First member of the options of every schedule: the rate rises from `from` of the peak along a
 * straight line (Goyal et al. 2017). */
typedef struct sqz_warmup {
    double warmup; /* epochs; 0: none */
    double from;
} sqz_warmup;
/* Its rows of the schema; `opts` is the option struct. */
#define SQZ_WARMUP_ROWS(opts, warmup_doc, standard_from)                                           \
    {.name = "warmup",                                                                             \
     .offset = offsetof(opts, warm.warmup),                                                        \
     .type = SQZ_A_FLOAT,                                                                          \
     .min = 0,                                                                                     \
     .max = 1e6,                                                                                   \
     .doc = warmup_doc},                                                                           \
    {                                                                                              \
        .name = "from", .offset = offsetof(opts, warm.from), .type = SQZ_A_FLOAT,                  \
        .def = standard_from, .min = 0, .max = 1,                                                  \
        .doc = "share of the peak that warm-up starts at"                                          \
    }
/* Share of the peak at `epoch`; 1 after the warm-up. */
double sqz_warmup_at(const sqz_warmup *w, double epoch);

typedef struct sqz_schedule {
    sqz_info info; /* doc names the paper */
    /* 0 <= rate <= peak; `epoch` of `epochs` are done, with their fraction. */
    double (*rate)(const void *opts, double peak, double epoch, double epochs);
} sqz_schedule;
extern const sqz_schedule *const sqz_schedules[];
extern const size_t sqz_n_schedules;
const sqz_schedule *sqz_schedule_find(const char *name); /* NULL: none */
/* "cosine(warmup=1)" -> the entry and its options, in `a`. */
sqz_status sqz_schedule_spec(sqz_arena *a, const char *spec, const sqz_schedule **s,
                             const void **opts);
#endif

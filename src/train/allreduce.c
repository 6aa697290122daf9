/* allreduce.c: see allreduce.h. Sums are made by slices: each process gets its slice from all, adds
 * in the order of ranks, and hands the sum to all (Rabenseifner 2004). MPI's own sums may be in any
 * order. */
#include "train/allreduce.h"
#include <string.h>
#ifdef SQZ_MPI
#    include <mpi.h>
#endif

#define CHUNK ((size_t)16384) /* numbers at a time, each process's slice */

static sqz_status alone(void *user, double *v, size_t n)
{
    (void)user;
    (void)v;
    (void)n;
    return SQZ_OK;
}

#ifdef SQZ_MPI
typedef struct room {
    sqz_ctx *ctx;
    int rank, size;
    bool started; /* by us: to be ended by us */
    double *from, *to;
} room;

static sqz_status checked(sqz_ctx *ctx, int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int len = 0;
    if (code == MPI_SUCCESS)
        return SQZ_OK;
    MPI_Error_string(code, text, &len);
    return sqz_fail(ctx, SQZ_E_IO, "%s between processes: %.200s", what, text);
}

/* Up to size * CHUNK numbers. */
static sqz_status sum_some(room *r, double *v, size_t n)
{
    const size_t size = (size_t)r->size, slice = (n + size - 1) / size;
    memset(r->from, 0, slice * size * sizeof *v);
    memcpy(r->from, v, n * sizeof *v);
    SQZ_TRY(checked(r->ctx,
                    MPI_Alltoall(r->from, (int)slice, MPI_DOUBLE, r->to, (int)slice, MPI_DOUBLE,
                                 MPI_COMM_WORLD),
                    "sums"));
    for (size_t k = 1; k < size; k++)
        for (size_t i = 0; i < slice; i++)
            r->to[i] += r->to[k * slice + i];
    memcpy(r->from, r->to, slice * sizeof *v);
    SQZ_TRY(checked(r->ctx,
                    MPI_Allgather(r->from, (int)slice, MPI_DOUBLE, r->to, (int)slice, MPI_DOUBLE,
                                  MPI_COMM_WORLD),
                    "sums"));
    memcpy(v, r->to, n * sizeof *v);
    return SQZ_OK;
}

static sqz_status sum(void *user, double *v, size_t n)
{
    room *r = user;
    const size_t most = CHUNK * (size_t)r->size;
    for (size_t i = 0; i < n; i += most)
        SQZ_TRY(sum_some(r, v + i, SQZ_MIN(n - i, most)));
    return SQZ_OK;
}

static sqz_status enter(sqz_ctx *ctx, room *r, sqz_team *t)
{
    int there = 0;
    r->ctx = ctx;
    SQZ_TRY(checked(ctx, MPI_Initialized(&there), "start"));
    if (!there)
        SQZ_TRY(checked(ctx, MPI_Init(NULL, NULL), "start"));
    r->started = !there;
    SQZ_TRY(checked(ctx, MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "start"));
    SQZ_TRY(checked(ctx, MPI_Comm_rank(MPI_COMM_WORLD, &r->rank), "start"));
    SQZ_TRY(checked(ctx, MPI_Comm_size(MPI_COMM_WORLD, &r->size), "start"));
    r->from = sqz_calloc(ctx, CHUNK * (size_t)r->size, sizeof *r->from);
    r->to = sqz_calloc(ctx, CHUNK * (size_t)r->size, sizeof *r->to);
    *t = (sqz_team){r->rank, r->size, r->size > 1 ? sum : alone, r};
    return r->from && r->to ? SQZ_OK : SQZ_E_NOMEM;
}
#endif

sqz_status sqz_team_join(sqz_ctx *ctx, sqz_team **out)
{
    sqz_team *t = sqz_calloc(ctx, 1, sizeof *t);
    *out = t;
    if (!t)
        return SQZ_E_NOMEM;
    *t = (sqz_team){.size = 1, .sum = alone};
#ifdef SQZ_MPI
    room *r = sqz_calloc(ctx, 1, sizeof *r);
    const sqz_status s = r ? enter(ctx, r, t) : SQZ_E_NOMEM;
    t->user = r;
    if (s != SQZ_OK) {
        sqz_team_leave(ctx, t);
        *out = NULL;
    }
    return s;
#else
    return SQZ_OK;
#endif
}

void sqz_team_leave(sqz_ctx *ctx, sqz_team *t)
{
#ifdef SQZ_MPI
    room *r = t ? t->user : NULL;
    if (r) {
        if (r->started)
            (void)MPI_Finalize();
        sqz_free(ctx, r->from);
        sqz_free(ctx, r->to);
        sqz_free(ctx, r);
    }
#endif
    sqz_free(ctx, t);
}

sqz_status sqz_team_mean(const sqz_team *t, float *v, size_t n)
{
    double some[1024];
    for (size_t i = 0; t->size > 1 && i < n; i += SQZ_COUNT(some)) {
        const size_t m = SQZ_MIN(n - i, SQZ_COUNT(some));
        for (size_t k = 0; k < m; k++)
            some[k] = (double)v[i + k];
        SQZ_TRY(t->sum(t->user, some, m));
        for (size_t k = 0; k < m; k++)
            v[i + k] = (float)(some[k] / t->size);
    }
    return SQZ_OK;
}

sqz_status sqz_team_gradients(const sqz_team *t, const sqz_tape *tape, const sqz_vid *want,
                              uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        SQZ_TRY(sqz_team_mean(t, sqz_tape_grad(tape, want[i]), sqz_tape_count(tape, want[i])));
    return SQZ_OK;
}

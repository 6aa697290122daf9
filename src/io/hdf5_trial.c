/* hdf5_trial.c: libhdf5 1.10 crashes on some damaged files. In a process that is squeeze's own, a
 * child looks at everything in a file first; if it dies of that, the file is refused and nothing
 * else is harmed. */
#include "io/hdf5.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIAL_SECONDS 20
#define TRIAL_BYTES   ((size_t)64 << 20) /* largest row or attribute that is read */
#define TRIAL_ROWS    256                /* of a data set: first, last and evenly between */

/* ---- the child: what it allocates goes with it ---- */
static herr_t read_attribute(hid_t at, const char *name, const H5A_info_t *info, void *unused)
{
    (void)unused;
    hid_t a = info->data_size <= TRIAL_BYTES ? H5Aopen(at, name, H5P_DEFAULT) : -1;
    if (a < 0)
        return 0;
    hid_t type = H5Aget_type(a);
    void *room = malloc(info->data_size + H5Tget_size(type) + 64);
    if (room)
        (void)H5Aread(a, type, room);
    free(room);
    (void)H5Tclose(type);
    (void)H5Aclose(a);
    return 0;
}

static void read_rows(hid_t d, hid_t type, hid_t space)
{
    hsize_t dim[H5S_MAX_RANK] = {0}, start[H5S_MAX_RANK] = {0}, count[H5S_MAX_RANK];
    int rank = H5Sget_simple_extent_ndims(space);
    if (rank < 1 || H5Sget_simple_extent_dims(space, dim, NULL) < 0 || dim[0] == 0)
        return;
    size_t row = H5Tget_size(type);
    for (int i = 1; i < rank; i++)
        if (!sqz_mul(row, dim[i], &row))
            return;
    if (row == 0 || row > TRIAL_BYTES)
        return;
    for (int i = 0; i < rank; i++)
        count[i] = i ? dim[i] : 1;
    hid_t memory = H5Screate_simple(rank, count, NULL);
    void *room = malloc(row);
    for (hsize_t k = 0; room && k < TRIAL_ROWS && k < dim[0]; k++) {
        hsize_t last = SQZ_MIN((hsize_t)TRIAL_ROWS, dim[0]) - 1;
        start[0] = last ? (hsize_t)((double)k / (double)last * (double)(dim[0] - 1)) : 0;
        (void)H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
        (void)H5Dread(d, type, memory, space, H5P_DEFAULT, room);
    }
    free(room);
    (void)H5Sclose(memory);
}

static herr_t look(hid_t at, const char *name, const H5O_info_t *info, void *unused)
{
    (void)unused;
    hid_t o = H5Oopen(at, name, H5P_DEFAULT);
    if (o < 0)
        return 0;
    (void)H5Aiterate2(o, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, read_attribute, NULL);
    if (info->type == H5O_TYPE_DATASET) {
        hid_t type = H5Dget_type(o), space = H5Dget_space(o);
        if (type >= 0 && space >= 0)
            read_rows(o, type, space);
        (void)H5Sclose(space);
        (void)H5Tclose(type);
    }
    (void)H5Oclose(o);
    return 0;
}

static _Noreturn void child(const char *path, hid_t access)
{
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM, SIGXCPU};
    for (size_t i = 0; i < SQZ_COUNT(deadly); i++)
        (void)signal(deadly[i], SIG_DFL); /* no handler of the program may bring the child back */
    (void)alarm(TRIAL_SECONDS);
    const struct rlimit cpu = {TRIAL_SECONDS, TRIAL_SECONDS}, none = {0, 0};
    int null = open("/dev/null", O_WRONLY);
    (void)setrlimit(RLIMIT_CPU, &cpu);
    (void)setrlimit(RLIMIT_CORE, &none);
    if (null >= 0)
        (void)dup2(null, STDERR_FILENO);
    hid_t f = H5Fopen(path, H5F_ACC_RDONLY, access);
    if (f >= 0) {
        (void)H5Ovisit2(f, H5_INDEX_NAME, H5_ITER_NATIVE, look, NULL, H5O_INFO_BASIC);
        (void)H5Fclose(f);
    }
    _exit(0);
}

sqz_status sqz_h5_try(sqz_ctx *ctx, const char *path, hid_t access)
{
    int code = 0;
    pid_t pid = fork();
    if (pid == 0)
        child(path, access);
    while (pid > 0 && waitpid(pid, &code, 0) < 0)
        if (errno != EINTR)
            return SQZ_OK; /* somebody else reaps our children: nothing can be known */
    if (pid > 0 && code != 0)
        return sqz_fail(ctx, SQZ_E_FORMAT,
                        "%s: libhdf5 does not survive reading it: the file is damaged", path);
    return SQZ_OK;
}

/* main.c: onnx_backend, the runner of ONNX's own backend tests, straight from an archive of them.
 *
 *   onnx_backend [ARCHIVE [MANIFEST]] [--only SUBSTRING] [--tier N] [-v] [--summary] [--roundtrip]
 *                [--gate] [--jobs N] [--timeout SECONDS]
 *
 * Without ARCHIVE: the one in the folder $SQZ_ONNX_CASES, else that beside the repository; exit
 * status 77 when it is not there. Every case runs in a process of its own, so that one that
 * crashes or hangs has a name. */
#include "cases.h"
#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_JOBS 64

typedef struct options {
    const char *archive, *manifest, *only;
    long tier, jobs, timeout;
    report_options report;
} options;

typedef struct child {
    pid_t pid; /* 0: free */
    onnx_case *c;
} child;

static int usage(void)
{
    (void)fprintf(stderr,
                  "usage: onnx_backend [ARCHIVE [MANIFEST]] [--only SUBSTRING] [--tier N] [-v] "
                  "[--summary] [--roundtrip] [--gate] [--jobs N] [--timeout SECONDS]\n");
    return 2;
}

/* ---- where the cases are ---- */
static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The first archive in a folder; NULL: none. The text lives as long as the program. */
static const char *archive_in(const char *folder)
{
    static char path[4096];
    static const char *const kind[] = {"tar.gz", "tgz", "tar"};
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        char pattern[4096];
        glob_t found;
        (void)snprintf(pattern, sizeof pattern, "%s/*.%s", folder, kind[i]);
        bool yes = glob(pattern, 0, NULL, &found) == 0;
        if (yes) {
            (void)snprintf(path, sizeof path, "%s", found.gl_pathv[0]);
            globfree(&found);
            return path;
        }
    }
    return NULL;
}

/* manifest.tsv beside the archive; NULL: none. */
static const char *manifest_beside(const char *archive)
{
    static char path[4096];
    const char *slash = strrchr(archive, '/');
    (void)snprintf(path, sizeof path, "%.*smanifest.tsv", slash ? (int)(slash + 1 - archive) : 0,
                   archive);
    return access(path, R_OK) == 0 ? path : NULL;
}

static void find_files(options *o)
{
    const char *folder = o->archive ? o->archive : getenv("SQZ_ONNX_CASES");
    if (!folder)
        folder = SQZ_SHARED_DIR "/data/onnx/conformance";
    o->archive = is_folder(folder) ? archive_in(folder) : folder;
    if (o->archive && (!o->manifest || access(o->manifest, R_OK) != 0))
        o->manifest = manifest_beside(o->archive);
}

/* ---- processes ---- */
static void reap(child *list, long n)
{
    int how;
    pid_t pid;
    do
        pid = waitpid(-1, &how, 0);
    while (pid < 0 && errno == EINTR);
    for (long i = 0; i < n; i++) {
        if (list[i].pid != pid)
            continue;
        result *r = list[i].c->result;
        if (WIFSIGNALED(how) && WTERMSIG(how) == SIGALRM)
            (void)snprintf(r->why, sizeof r->why, "does not end");
        else if (WIFSIGNALED(how))
            (void)snprintf(r->why, sizeof r->why, "%s", strsignal(WTERMSIG(how)));
        else if (WEXITSTATUS(how) != 0)
            (void)snprintf(r->why, sizeof r->why, "exit status %d", WEXITSTATUS(how));
        if (how != 0 || r->verdict == UNTRIED)
            r->verdict = CRASHED;
        list[i].pid = 0;
    }
}

static void start(const cases *all, onnx_case *c, const options *o, child *slot)
{
    (void)fflush(stdout);
    slot->c = c;
    slot->pid = fork();
    if (slot->pid < 0) {
        perror("onnx_backend: fork");
        exit(2);
    }
    if (slot->pid == 0) {
        (void)alarm((unsigned)o->timeout);
        case_run(&all->archive, c, o->report.roundtrip);
        _exit(0);
    }
}

static void run_all(const cases *all, const options *o)
{
    child list[MOST_JOBS] = {0};
    long busy = 0;
    for (size_t i = 0; i < all->n; i++) { /* whole networks, "light/...", come first: by name */
        onnx_case *c = &all->list[i];
        if ((o->tier && c->tier != o->tier) || (o->only && !strstr(c->path, o->only)))
            continue;
        if (c->skip) {
            c->result->verdict = SKIPPED;
            (void)snprintf(c->result->why, sizeof c->result->why, "%s", c->skip);
            continue;
        }
        for (; busy == o->jobs; busy--)
            reap(list, o->jobs);
        child *slot = list;
        while (slot->pid)
            slot++;
        start(all, c, o, slot);
        busy++;
    }
    for (; busy; busy--)
        reap(list, o->jobs);
}

/* ---- options ---- */
static bool number(const char *text, long most, long *out)
{
    char *end;
    *out = text ? strtol(text, &end, 10) : 0;
    return text && *end == 0 && *out > 0 && *out <= most;
}

static bool parse(int argc, char **argv, options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (strcmp(a, "-v") == 0)
            o->report.list = true;
        else if (strcmp(a, "--summary") == 0)
            o->report.summary = true;
        else if (strcmp(a, "--roundtrip") == 0)
            o->report.roundtrip = true;
        else if (strcmp(a, "--gate") == 0)
            o->report.gate = o->report.list = true;
        else if (strcmp(a, "--only") == 0 && i + 1 < argc)
            o->only = argv[++i];
        else if (strcmp(a, "--tier") == 0 && number(argv[i + 1], 3, &o->tier))
            i++;
        else if (strcmp(a, "--jobs") == 0 && number(argv[i + 1], MOST_JOBS, &o->jobs))
            i++;
        else if (strcmp(a, "--timeout") == 0 && number(argv[i + 1], 100000, &o->timeout))
            i++;
        else if (a[0] == '-' || (o->archive && o->manifest))
            return false;
        else
            *(o->archive ? &o->manifest : &o->archive) = a;
    }
    return true;
}

int main(int argc, char **argv)
{
    options o = {.jobs = sysconf(_SC_NPROCESSORS_ONLN), .timeout = 120};
    cases all;
    if (o.jobs < 1 || o.jobs > MOST_JOBS)
        o.jobs = o.jobs < 1 ? 1 : MOST_JOBS;
    if (!parse(argc, argv, &o))
        return usage();
    bool asked = o.archive != NULL || getenv("SQZ_ONNX_CASES");
    find_files(&o);
    if (!o.archive || (!asked && access(o.archive, R_OK) != 0)) {
        printf("skipped: no archive of cases\n");
        return asked ? 2 : 77;
    }
    const char *why = cases_open(o.archive, o.manifest, &all);
    if (!why)
        why = cases_exceptions(&all, SQZ_SOURCE_DIR "/tests/onnx_backend/exceptions.txt");
    if (why) {
        (void)fprintf(stderr, "onnx_backend: %s: %s\n", o.archive, why);
        cases_close(&all);
        return 2;
    }
    run_all(&all, &o);
    int status = report(&all, &o.report, stdout);
    cases_close(&all);
    return status;
}

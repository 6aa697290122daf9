/* progress.c: a bar with percent, rate and time left on a terminal, at most ten times a second; a
 * plain line every five seconds elsewhere. And the signals that stop a job between two steps. */
#include "progress.h"
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* ---- signals ---- */
static volatile sig_atomic_t stop; /* a handler has nothing else that it may write to */

static void on_signal(int number) { stop = number; }

void cli_signals(void)
{
    /* One shot: the second Ctrl-C finds the default and kills, should the job not listen. */
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    (void)sigemptyset(&a.sa_mask);
    (void)sigaction(SIGINT, &a, NULL);
    (void)sigaction(SIGTERM, &a, NULL);
    (void)sigaction(SIGHUP, &a, NULL);
    struct sigaction ignore = {
        .sa_handler = SIG_IGN}; /* a file over its limit: an error of write */
    (void)sigemptyset(&ignore.sa_mask);
    (void)sigaction(SIGXFSZ, &ignore, NULL);
}

int cli_signal(void) { return stop; }

/* ---- text ---- */
static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print_rate(char out[32], double rate)
{
    if (rate >= 1e6)
        (void)snprintf(out, 32, "%.1f M/s", rate / 1e6);
    else if (rate >= 1e4)
        (void)snprintf(out, 32, "%.1f k/s", rate / 1e3);
    else
        (void)snprintf(out, 32, rate >= 10.0 ? "%.0f/s" : "%.1f/s", rate);
}

static void print_left(char out[32], double seconds)
{
    if (seconds >= 3600.0)
        (void)snprintf(out, 32, "%d h %02d min left", (int)(seconds / 3600.0),
                       (int)(seconds / 60.0) % 60);
    else if (seconds >= 60.0)
        (void)snprintf(out, 32, "%d:%02d min left", (int)(seconds / 60.0), (int)seconds % 60);
    else
        (void)snprintf(out, 32, "%.0f s left", seconds);
}

/* "45 %, 1234/s, 12 s left", as far as these are known. */
static void print_state(const cli_progress *p, double t, uint64_t done, uint64_t total,
                        char out[128])
{
    char rate[32] = "", left[32] = "";
    double took = t - p->begin, made = done > p->first ? (double)(done - p->first) : 0.0;
    if (took > 0.2 && made > 0.0)
        print_rate(rate, made / took);
    if (total && *rate)
        print_left(left, (double)(total - done) * took / made);
    int n = total ? snprintf(out, 128, "%3.0f %%", 100.0 * (double)done / (double)total)
                  : snprintf(out, 128, "%" PRIu64, done);
    (void)snprintf(out + n, (size_t)(128 - n), "%s%s%s%s", *rate ? ", " : "", rate,
                   *left ? ", " : "", left);
}

static unsigned columns(void)
{
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
}

static void draw(cli_progress *p, const char *state, uint64_t done, uint64_t total)
{
    char bar[41] = "";
    unsigned room = columns(), used = (unsigned)(strlen(p->what) + strlen(state)) + 6;
    unsigned wide = room > used + 10 ? room - used : 0;
    wide = !total ? 0 : wide < sizeof bar - 1 ? wide : (unsigned)sizeof bar - 1;
    unsigned full = total ? (unsigned)((double)wide * (double)done / (double)total) : 0;
    memset(bar, '#', full);
    memset(bar + full, '.', wide - full);
    bar[wide] = '\0';
    (void)fprintf(stderr, "\r\033[K%s %s%s%s%s", p->what, wide ? "[" : "", bar, wide ? "] " : "",
                  state);
    (void)fflush(stderr);
    p->shown = true;
}

/* ---- the callback ---- */
/* Up to the colon; behind it is how the work is. */
static bool named_alike(const char *a, const char *b)
{
    const size_t n = strcspn(a, ":");
    return n == strcspn(b, ":") && strncmp(a, b, n) == 0;
}

void cli_progress_begin(cli_progress *p, bool quiet)
{
    *p = (cli_progress){.quiet = quiet, .terminal = isatty(STDERR_FILENO) == 1};
    p->last = now();
}

void cli_progress_clear(cli_progress *p)
{
    if (p->shown)
        (void)fprintf(stderr, "\r\033[K");
    p->shown = false;
}

int cli_progress_show(void *progress, const char *what, uint64_t done, uint64_t total)
{
    cli_progress *p = progress;
    if (stop)
        return 1;
    if (p->quiet)
        return 0;
    double t = now();
    done = total && done > total ? total : done;
    const bool same = named_alike(p->what, what);
    if (strcmp(p->what, what) != 0)
        (void)snprintf(p->what, sizeof p->what, "%s", what);
    if (!same || done < p->first) { /* a new step */
        p->begin = t;
        p->first = done;
    }
    if (t - p->last < (p->terminal ? 0.1 : 5.0))
        return 0;
    char state[128];
    p->last = t;
    print_state(p, t, done, total, state);
    if (p->terminal)
        draw(p, state, done, total);
    else
        (void)fprintf(stderr, "squeeze: %s: %s\n", p->what, state);
    return 0;
}

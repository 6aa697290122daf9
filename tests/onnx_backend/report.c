/* report.c: what became of the cases, per tier, by sentence and by operator; and the limits. */
#include "cases.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define TIERS 3

static const double least[TIERS + 1] = {0, 99.0, 96.0, 0}; /* per cent right */

typedef struct tally {
    unsigned n[N_VERDICT], tried;
} tally;

static tally count(const cases *c, int tier)
{
    tally t = {0};
    for (size_t i = 0; i < c->n; i++)
        if (c->list[i].tier == tier && c->list[i].result->verdict != UNTRIED) {
            t.n[c->list[i].result->verdict]++;
            t.tried += c->list[i].result->verdict != SKIPPED;
        }
    return t;
}

static void print_tiers(const cases *c, FILE *out)
{
    for (int tier = 1; tier <= TIERS; tier++) {
        tally t = count(c, tier);
        if (t.tried + t.n[SKIPPED] == 0)
            continue;
        (void)fprintf(out, "tier %d: %u of %u right (%.2f %%)", tier, t.n[RIGHT], t.tried,
                      t.tried ? 100.0 * t.n[RIGHT] / t.tried : 0.0);
        for (int v = WRONG; v < N_VERDICT; v++)
            (void)fprintf(out, ", %u %s", t.n[v], verdict_name[v]);
        (void)fputc('\n', out);
    }
}

static bool is_bad(const onnx_case *k)
{
    verdict v = k->result->verdict;
    return v != UNTRIED && v != RIGHT && v != SKIPPED;
}

static void print_list(const cases *c, verdict v, bool known, const char *title, FILE *out)
{
    bool any = false;
    for (size_t i = 0; i < c->n; i++) {
        const onnx_case *k = &c->list[i];
        if (k->result->verdict != v || (k->known != NULL) != known)
            continue;
        if (!any)
            (void)fprintf(out, "\n%s:\n", title);
        any = true;
        (void)fprintf(out, "  [%d] %s: %s%s%s%s\n", k->tier, k->path, k->result->why,
                      known ? " (known: " : "", known ? k->known : "", known ? ")" : "");
    }
}

/* ---- groups ---- */
typedef struct group {
    char key[200];
    unsigned n[N_VERDICT];
    const char *example;
} group;
typedef struct groups {
    group *list;
    size_t n, room;
} groups;

static void add(groups *s, const char *key, const onnx_case *k)
{
    size_t i = 0;
    while (i < s->n && strcmp(s->list[i].key, key) != 0)
        i++;
    if (i == s->room) {
        s->room = s->room ? s->room * 2 : 64;
        s->list = realloc(s->list, s->room * sizeof *s->list);
        if (!s->list)
            abort();
    }
    if (i == s->n) {
        s->n++;
        s->list[i] = (group){.example = k->path};
        (void)snprintf(s->list[i].key, sizeof s->list[i].key, "%.199s", key);
    }
    s->list[i].n[k->result->verdict]++;
}

static unsigned bad(const group *g)
{
    return g->n[WRONG] + g->n[REFUSED] + g->n[FAILED] + g->n[CRASHED];
}

static int by_bad(const void *a, const void *b)
{
    unsigned x = bad(a), y = bad(b);
    return x != y ? (x < y ? 1 : -1) : strcmp(((const group *)a)->key, ((const group *)b)->key);
}

/* The sentence without what names the case: quoted words and numbers. */
static void reason(const onnx_case *k, char out[200])
{
    const char *p = k->result->why;
    size_t n = (size_t)snprintf(out, 200, "%s: ", verdict_name[k->result->verdict]);
    while (*p && n < 198) {
        if (*p == '\'' && strchr(p + 1, '\'')) {
            p = strchr(p + 1, '\'') + 1;
            out[n++] = '*';
        } else if (isdigit((unsigned char)*p)) {
            while (isalnum((unsigned char)*p) || *p == '.')
                p++;
            out[n++] = '#';
        } else {
            out[n++] = *p++;
        }
    }
    out[n] = 0;
}

static void print_reasons(const cases *c, FILE *out)
{
    groups s = {0};
    for (size_t i = 0; i < c->n; i++) {
        char key[200];
        if (!is_bad(&c->list[i]))
            continue;
        reason(&c->list[i], key);
        add(&s, key, &c->list[i]);
    }
    if (s.n)
        qsort(s.list, s.n, sizeof *s.list, by_bad);
    (void)fprintf(out, "\nby sentence:\n");
    for (size_t i = 0; i < s.n; i++)
        (void)fprintf(out, "%5u  %s  (%s)\n", bad(&s.list[i]), s.list[i].key, s.list[i].example);
    free(s.list);
}

static void print_operators(const cases *c, FILE *out)
{
    groups s = {0};
    for (size_t i = 0; i < c->n; i++) {
        const char *p = c->list[i].ops;
        if (c->list[i].result->verdict == UNTRIED)
            continue;
        while (*p) {
            size_t n = strcspn(p, ",@");
            char name[80];
            (void)snprintf(name, sizeof name, "%.*s", (int)n, p);
            add(&s, name, &c->list[i]);
            p += strcspn(p, ",");
            p += *p == ',';
        }
    }
    if (s.n)
        qsort(s.list, s.n, sizeof *s.list, by_bad);
    (void)fprintf(out, "\nby operator:             right wrong refused failed crashed\n");
    for (size_t i = 0; i < s.n && bad(&s.list[i]); i++) {
        const group *g = &s.list[i];
        (void)fprintf(out, "  %-22s %6u %5u %7u %6u %7u\n", g->key, g->n[RIGHT], g->n[WRONG],
                      g->n[REFUSED], g->n[FAILED], g->n[CRASHED]);
    }
    free(s.list);
}

/* ---- limits ---- */
static int broken(const cases *c, bool roundtrip, FILE *out)
{
    int n = 0;
    for (int tier = 1; tier <= TIERS; tier++) {
        tally t = count(c, tier);
        double share = t.tried ? 100.0 * t.n[RIGHT] / t.tried : 100.0;
        bool all = roundtrip || tier == TIERS; /* what is not right must have been refused */
        if (!roundtrip && share < least[tier]) {
            (void)fprintf(out, "LIMIT: tier %d: %.2f %% right, at least %g %% are wanted\n", tier,
                          share, least[tier]);
            n++;
        }
        for (size_t i = 0; i < c->n; i++) {
            const onnx_case *k = &c->list[i];
            verdict v = k->result->verdict;
            if (k->tier != tier || k->known || v == RIGHT)
                continue;
            if (v == CRASHED || (all && (v == WRONG || v == FAILED))) {
                (void)fprintf(out, "LIMIT: tier %d: %s %s\n", tier, k->path, verdict_name[v]);
                n++;
            }
        }
    }
    return n;
}

static int stale(const cases *c, FILE *out)
{
    int n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->list[i].known && c->list[i].result->verdict == RIGHT) {
            (void)fprintf(out, "LIMIT: %s is right: it is no exception any more\n",
                          c->list[i].path);
            n++;
        }
    return n;
}

int report(const cases *c, const report_options *opt, FILE *out)
{
    print_tiers(c, out);
    for (int v = WRONG; v <= FAILED && opt->list; v++)
        print_list(c, (verdict)v, false, verdict_name[v], out);
    print_list(c, CRASHED, false, "crashed", out);
    for (int v = WRONG; v <= CRASHED; v++)
        print_list(c, (verdict)v, true, "known exceptions", out);
    if (opt->list)
        print_list(c, SKIPPED, false, "skipped", out);
    if (opt->summary) {
        print_reasons(c, out);
        print_operators(c, out);
    }
    if (!opt->gate)
        return 0;
    return broken(c, opt->roundtrip, out) + (opt->roundtrip ? 0 : stale(c, out)) ? 1 : 0;
}

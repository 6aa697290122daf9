/* cases.c: which cases an archive holds, their tiers from the manifest, and the ones to skip. */
#include "cases.h"
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

const char *const verdict_name[N_VERDICT] = {"untried", "right",   "wrong",  "refused",
                                             "failed",  "crashed", "skipped"};

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

/* Is member m a model? Then `path` gets the name of its case. */
static bool is_case(const tar *t, const tar_member *m, char path[512], bool *light)
{
    size_t n = strlen(m->name);
    char output[512];
    if (n >= 480 || !ends_with(m->name, ".onnx"))
        return false;
    *light = !ends_with(m->name, "/model.onnx");
    memcpy(path, m->name, n + 1);
    path[n - strlen(*light ? ".onnx" : "/model.onnx")] = 0;
    if (!*light)
        return true;
    (void)snprintf(output, sizeof output, "%.480s_output_0.pb", path);
    return tar_find(t, output) != NULL;
}

static const char *find_cases(cases *c)
{
    char path[512];
    bool light;
    c->list = calloc(c->archive.n_member, sizeof *c->list);
    if (!c->list)
        return "out of memory";
    for (size_t i = 0; i < c->archive.n_member; i++) {
        const tar_member *m = &c->archive.member[i];
        if (!is_case(&c->archive, m, path, &light))
            continue;
        onnx_case *k = &c->list[c->n++];
        *k = (onnx_case){.path = strdup(path), .model = m, .light = light, .tier = 1, .ops = ""};
        if (!k->path)
            return "out of memory";
        if (strstr(path, "/test_training_dropout"))
            k->skip = "needs the random generator of the reference";
    }
    return c->n ? NULL : "the archive has no model.onnx in it";
}

static char *read_text(const char *path)
{
    FILE *f = fopen(path, "rb");
    size_t room = (size_t)1 << 22, n = 0;
    char *text = f ? malloc(room) : NULL;
    if (text)
        n = fread(text, 1, room, f);
    if (f)
        (void)fclose(f);
    if (!text || n == room) {
        free(text);
        return NULL;
    }
    text[n] = 0;
    return text;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const onnx_case *)a)->path, ((const onnx_case *)b)->path);
}

/* path, tier, opset, ir, io types, data sets, bytes, operators, ORT, reference */
enum { PATH, TIER, OPS = 7, ORT, REFERENCE, N_FIELD };

static void manifest_line(cases *c, char *const field[N_FIELD])
{
    onnx_case key = {.path = field[PATH]};
    onnx_case *k = bsearch(&key, c->list, c->n, sizeof key, by_path);
    if (!k)
        return;
    k->tier = field[TIER][0] - '0';
    k->ops = field[OPS];
    if (strcmp(field[ORT], "PASS") != 0 && strcmp(field[REFERENCE], "PASS") != 0 && !k->skip)
        k->skip = "neither ONNX Runtime nor the reference evaluator gets the expected value";
}

static const char *read_manifest(cases *c, const char *path)
{
    c->manifest = read_text(path);
    if (!c->manifest)
        return "the manifest cannot be read";
    char *rest = c->manifest, *line;
    (void)strsep(&rest, "\n"); /* the head of the table */
    while ((line = strsep(&rest, "\n")) && *line) {
        char *field[N_FIELD];
        int n = 0;
        while (n < N_FIELD && line)
            field[n++] = strsep(&line, "\t");
        if (n < N_FIELD || field[TIER][0] < '1' || field[TIER][0] > '3' || field[TIER][1])
            return "the manifest has a line that is not: path, tier 1 to 3, and eight more fields";
        manifest_line(c, field);
    }
    return NULL;
}

const char *cases_open(const char *archive, const char *manifest, cases *out)
{
    *out = (cases){0};
    const char *why = tar_open(archive, &out->archive);
    if (!why)
        why = find_cases(out);
    if (why)
        return why;
    qsort(out->list, out->n, sizeof *out->list, by_path);
    if (manifest && (why = read_manifest(out, manifest)))
        return why;
    out->results = mmap(NULL, out->n * sizeof *out->results, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (out->results == MAP_FAILED) {
        out->results = NULL;
        return "out of memory";
    }
    for (size_t i = 0; i < out->n; i++)
        out->list[i].result = &out->results[i];
    return NULL;
}

/* The name of a test is its path without set and tag: the same test in all releases. */
static bool names(const char *pattern, const char *path)
{
    const char *test = strrchr(path, '/');
    return fnmatch(pattern, path, 0) == 0 || (test && fnmatch(pattern, test + 1, 0) == 0);
}

const char *cases_exceptions(cases *c, const char *path)
{
    c->exceptions = read_text(path);
    if (!c->exceptions)
        return "the list of exceptions cannot be read";
    char *rest = c->exceptions, *line;
    while ((line = strsep(&rest, "\n"))) {
        char *pattern = strsep(&line, "\t");
        if (!*pattern || *pattern == '#')
            continue;
        if (!line || !*line)
            return "a line of the list of exceptions is not: pattern, tab, reason";
        for (size_t i = 0; i < c->n; i++)
            if (names(pattern, c->list[i].path))
                c->list[i].known = line;
    }
    return NULL;
}

void cases_close(cases *c)
{
    if (c->results)
        (void)munmap(c->results, c->n * sizeof *c->results);
    for (size_t i = 0; i < c->n; i++)
        free(c->list[i].path);
    free(c->list);
    free(c->manifest);
    free(c->exceptions);
    tar_close(&c->archive);
}

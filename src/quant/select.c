/* select.c: naming nodes: "stem/conv1, block.*, Softmax". */
#include "quant/quantize.h"
#include <string.h>

bool sqz_next_entry(const char **list, const char **entry, size_t *n)
{
    const char *p = *list + strspn(*list, " \t\n,");
    size_t len = strcspn(p, ",");
    *list = p + len;
    while (len && strchr(" \t\n", p[len - 1]))
        len--;
    *entry = p;
    *n = len;
    return len > 0;
}

static bool is_type(const sqz_op *op, const char *entry)
{
    size_t n = strlen(entry);
    if (strcmp(op->info.name, entry) == 0 ||
        (op->onnx.op_type && strcmp(op->onnx.op_type, entry) == 0))
        return true;
    for (const char *p = op->onnx.also; p && *p; p += strcspn(p, "|"), p += *p == '|')
        if (strcspn(p, "|") == n && strncmp(p, entry, n) == 0)
            return true;
    return false;
}

static sqz_status matches(const sqz_graph *g, const sqz_node *n, const char *entry, bool *yes)
{
    *yes = is_type(n->op, entry);
    return *yes ? SQZ_OK : sqz_match(g->ctx, entry, n->name, yes);
}

static sqz_status selected(const sqz_graph *g, const sqz_node *n, const char *selection,
                           sqz_arena *a, bool *yes)
{
    const char *entry;
    size_t len;
    *yes = false;
    while (!*yes && sqz_next_entry(&selection, &entry, &len)) {
        char *text = sqz_arena_strndup(a, entry, len);
        if (!text)
            return SQZ_E_NOMEM;
        SQZ_TRY(matches(g, n, text, yes));
    }
    return SQZ_OK;
}

sqz_status sqz_node_selected(const sqz_graph *g, sqz_nid n, const char *selection, bool *yes)
{
    sqz_arena a = {.ctx = g->ctx};
    *yes = false;
    if (!selection)
        return SQZ_OK;
    sqz_status s = selected(g, sqz_nod(g, n), selection, &a, yes);
    sqz_arena_free(&a);
    return s;
}

static sqz_status check_entry(const sqz_graph *g, const char *entry)
{
    const char *near = NULL;
    unsigned best = (unsigned)SQZ_MIN(strlen(entry), (size_t)12) / 3 + 2;
    SQZ_EACH_NODE(g, n)
    {
        bool yes;
        SQZ_TRY(matches(g, sqz_nod(g, n), entry, &yes));
        if (yes)
            return SQZ_OK;
        unsigned d = sqz_distance(entry, sqz_nod(g, n)->name);
        if (d < best) {
            best = d;
            near = sqz_nod(g, n)->name;
        }
    }
    return sqz_fail(g->ctx, SQZ_E_NOTFOUND, "no node and no operator type matches '%s'%s%s%s",
                    entry, near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
}

sqz_status sqz_selection_check(const sqz_graph *g, const char *selection)
{
    sqz_arena a = {.ctx = g->ctx};
    sqz_status s = SQZ_OK;
    const char *entry;
    size_t len;
    while (s == SQZ_OK && selection && sqz_next_entry(&selection, &entry, &len)) {
        char *text = sqz_arena_strndup(&a, entry, len);
        s = text ? check_entry(g, text) : SQZ_E_NOMEM;
    }
    sqz_arena_free(&a);
    return s;
}

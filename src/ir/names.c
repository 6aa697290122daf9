/* names.c: name -> id. */
#include "ir/names.h"
#include <string.h>

static uint32_t slot_of(const sqz_name_map *m, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, 64 bits */
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        h = (h ^ *p) * 0x100000001b3u;
    return (uint32_t)(h ^ h >> 32) & (m->room - 1);
}

/* The entry of this name, or the free one where it belongs. */
static uint32_t probe(const sqz_name_map *m, const char *name)
{
    uint32_t i = slot_of(m, name);
    while (m->entry[i].name && strcmp(m->entry[i].name, name) != 0)
        i = (i + 1) & (m->room - 1);
    return i;
}

sqz_status sqz_names_create(sqz_ctx *ctx, sqz_name_map **out)
{
    *out = sqz_calloc(ctx, 1, sizeof **out);
    if (!*out)
        return SQZ_E_NOMEM;
    (*out)->ctx = ctx;
    return SQZ_OK;
}

void sqz_names_free(sqz_name_map *m)
{
    if (!m)
        return;
    sqz_free(m->ctx, m->entry);
    sqz_free(m->ctx, m);
}

uint32_t sqz_names_get(const sqz_name_map *m, const char *name)
{
    if (!m->room)
        return UINT32_MAX;
    const sqz_name_entry *e = &m->entry[probe(m, name)];
    return e->name ? e->id : UINT32_MAX;
}

static sqz_status grow(sqz_name_map *m)
{
    sqz_name_map old = *m;
    uint32_t room = old.room ? 2 * old.room : 64; /* ids are 32 bits: room stays below 2^31 */
    sqz_name_entry *entry = sqz_calloc(m->ctx, room, sizeof *entry);
    if (!entry)
        return SQZ_E_NOMEM;
    m->entry = entry;
    m->room = room;
    for (uint32_t i = 0; i < old.room; i++)
        if (old.entry[i].name)
            m->entry[probe(m, old.entry[i].name)] = old.entry[i];
    sqz_free(m->ctx, old.entry);
    return SQZ_OK;
}

sqz_status sqz_names_put(sqz_name_map *m, const char *name, uint32_t id)
{
    if (m->n >= m->room / 4 * 3)
        SQZ_TRY(grow(m));
    m->entry[probe(m, name)] = (sqz_name_entry){name, id};
    m->n++;
    return SQZ_OK;
}

/* Closes the gap: later entries of the run move up unless they stand at or after their own slot. */
void sqz_names_remove(sqz_name_map *m, const char *name)
{
    if (!m->room)
        return;
    uint32_t mask = m->room - 1, gap = probe(m, name);
    if (!m->entry[gap].name)
        return;
    m->n--;
    for (uint32_t i = (gap + 1) & mask; m->entry[i].name; i = (i + 1) & mask) {
        uint32_t home = slot_of(m, m->entry[i].name);
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            m->entry[gap] = m->entry[i];
            gap = i;
        }
    }
    m->entry[gap] = (sqz_name_entry){0};
}

const char *sqz_names_fresh(sqz_name_map *m, sqz_arena *a, const char *wanted)
{
    if (sqz_names_get(m, wanted) == UINT32_MAX)
        return sqz_arena_strdup(a, wanted);
    for (uint32_t i = 1;; i++) {
        /* a few small numbers look best; after that one shared counter keeps this linear */
        uint32_t number = i < 8 ? i : 7 + ++m->made_up;
        sqz_str s = {.ctx = m->ctx};
        sqz_str_addf(&s, "%s_%u", wanted, number);
        bool taken = s.status == SQZ_OK && sqz_names_get(m, s.data) != UINT32_MAX;
        const char *name = taken || s.status != SQZ_OK ? NULL : sqz_arena_strdup(a, s.data);
        sqz_str_free(&s);
        if (!taken)
            return name;
    }
}

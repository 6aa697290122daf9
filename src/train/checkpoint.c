/* checkpoint.c: the state of a training in a file: a line that says what it is, the checksum of
 * what decides the outcome, the state as it lies in memory, and a checksum of all before it. The
 * sizes are known beforehand: a file of any other length is none of this training. */
#include "train/trainer_state.h"
#include <errno.h>
#include <string.h>

static const char magic[32] = "squeeze training 1\n";
enum { HEAD = 32 + 64 + 8, TAIL = 64 };

/* Over what the caller says, and the sizes. */
static void identity(const sqz_trainer *t, char hex[65])
{
    sqz_sha256 s;
    const char *text = t->o.identity ? t->o.identity : "";
    sqz_sha256_begin(&s);
    sqz_sha256_add(&s, text, strlen(text));
    for (uint32_t i = 0; i < t->n_span; i++)
        sqz_sha256_add(&s, &t->span[i].bytes, sizeof t->span[i].bytes);
    sqz_sha256_end(&s, hex);
}

static uint64_t total(const sqz_trainer *t)
{
    uint64_t n = HEAD + TAIL;
    for (uint32_t i = 0; i < t->n_span; i++)
        n += t->span[i].bytes;
    return n;
}

static void make_head(const sqz_trainer *t, char head[HEAD])
{
    const uint64_t order = 0x0102030405060708u; /* of bytes */
    char hex[65];
    identity(t, hex);
    memcpy(head, magic, 32);
    memcpy(head + 32, hex, 64);
    memcpy(head + 96, &order, 8);
}

static sqz_status put(sqz_outfile *f, sqz_sha256 *s, const void *data, size_t bytes)
{
    sqz_sha256_add(s, data, bytes);
    return sqz_out_write(f, data, bytes);
}

sqz_status sqz_train_checkpoint_write(const sqz_trainer *t)
{
    sqz_outfile f;
    sqz_sha256 s;
    char head[HEAD], hex[65];
    sqz_status e = sqz_out_begin(t->ctx, t->o.checkpoint, &f);
    if (e == SQZ_OK) {
        sqz_sha256_begin(&s);
        make_head(t, head);
        e = put(&f, &s, head, HEAD);
    }
    for (uint32_t i = 0; i < t->n_span && e == SQZ_OK; i++)
        if (t->span[i].bytes)
            e = put(&f, &s, t->span[i].data, t->span[i].bytes);
    if (e == SQZ_OK) {
        sqz_sha256_end(&s, hex);
        e = sqz_out_write(&f, hex, TAIL);
    }
    if (e == SQZ_OK)
        e = sqz_out_commit(&f);
    sqz_out_abort(&f);
    return sqz_note(t->ctx, e, "checkpoint of the training");
}

static sqz_status check(const sqz_trainer *t, const sqz_file_bytes *b)
{
    const char *path = t->o.checkpoint, *bytes = b->data;
    char head[HEAD], hex[65];
    sqz_sha256 s;
    make_head(t, head);
    if (b->bytes < HEAD + TAIL || memcmp(bytes, head, 32) != 0)
        return sqz_fail(t->ctx, SQZ_E_FORMAT, "%s: is no checkpoint of a training", path);
    if (memcmp(bytes + 32, head + 32, HEAD - 32) != 0)
        return sqz_fail(t->ctx, SQZ_E_ARG,
                        "%s: is the checkpoint of another training (other options, data or "
                        "models): give the options it was begun with, or begin anew",
                        path);
    if (b->bytes != total(t))
        return sqz_fail(t->ctx, SQZ_E_FORMAT, "%s: has %zu bytes, expected %llu: it is damaged",
                        path, b->bytes, (unsigned long long)total(t));
    sqz_sha256_begin(&s);
    sqz_sha256_add(&s, bytes, b->bytes - TAIL);
    sqz_sha256_end(&s, hex);
    if (memcmp(bytes + b->bytes - TAIL, hex, TAIL) != 0)
        return sqz_fail(t->ctx, SQZ_E_FORMAT, "%s: its checksum is wrong: it is damaged", path);
    return SQZ_OK;
}

/* The rows of the curve point to their numbers. */
static void tie_rows(sqz_trainer *t)
{
    for (int64_t i = 0; i < t->o.epochs; i++)
        t->epoch[i].report = t->reports + (size_t)i * t->o.n_report;
}

sqz_status sqz_trainer_resume(sqz_trainer *t, bool *found)
{
    sqz_file_bytes b;
    *found = false;
    if (!t->o.checkpoint)
        return SQZ_OK;
    sqz_status s = sqz_file_view(t->ctx, t->o.checkpoint, SIZE_MAX, &b);
    if (s == SQZ_E_NOTFOUND)
        return SQZ_OK;
    SQZ_TRY(s);
    s = check(t, &b);
    const char *from = (const char *)b.data + HEAD;
    for (uint32_t i = 0; i < t->n_span && s == SQZ_OK; i++) {
        memcpy(t->span[i].data, from, t->span[i].bytes);
        from += t->span[i].bytes;
    }
    tie_rows(t);
    sqz_file_close(t->ctx, &b);
    *found = s == SQZ_OK;
    return s;
}

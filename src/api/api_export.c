/* api_export.c: squeeze export: weights back into a Keras file. */
#include "api/work.h"
#include "io/export_keras.h"

#define KERAS_LIMIT ((size_t)2 << 30)

static sqz_status write_keras(sqz_work *w, const void *original, size_t n)
{
    sqz_keras_export e;
    char size[32];
    SQZ_TRY(sqz_note(w->ctx, sqz_export_keras(w->ctx, w->graph, original, n, w->job.shape, &e),
                     "%s", w->job.keras));
    sqz_print_bytes(size, e.n);
    sqz_json_num(w->rep, NULL, "output_bytes", (double)e.n);
    sqz_json_num(w->rep, NULL, "datasets_written", e.written);
    sqz_json_num(w->rep, NULL, "batch_norms_folded", e.norms);
    sqz_view_text(w->rep, "%u weights have the numbers of the model; %s", e.written, size);
    if (e.norms)
        sqz_view_text(w->rep, "%u batch norms are the identity: they are part of the layers before",
                      e.norms);
    sqz_status s = w->job.dry_run ? SQZ_OK : sqz_file_write(w->ctx, w->job.out, e.bytes, e.n);
    if (s == SQZ_OK && !w->job.dry_run)
        sqz_view_text(w->rep, "written to %s", w->job.out);
    sqz_free(w->ctx, e.bytes);
    return s;
}

/* The model as its file has it: nodes keep their names and weights their layout. */
static sqz_status export_keras(sqz_work *w)
{
    const sqz_import_options opt = {.path = w->job.model};
    void *original;
    size_t n;
    if (!w->job.model || !w->job.keras)
        return sqz_fail(w->ctx, SQZ_E_ARG, "%s is given",
                        w->job.model ? "no Keras file (--keras ORIGINAL.h5)" : "no model");
    if (!w->job.out && !w->job.dry_run)
        return sqz_fail(w->ctx, SQZ_E_ARG, "no file to write is given (-o OUT.h5)");
    SQZ_TRY(sqz_import_file(w->ctx, &opt, &w->source, &w->graph));
    SQZ_TRY(sqz_file_read(w->ctx, w->job.keras, KERAS_LIMIT, &original, &n));
    sqz_status s = write_keras(w, original, n);
    sqz_free(w->ctx, original);
    return s;
}

sqz_status sqz_export_weights(sqz_ctx *ctx, const sqz_job *job, sqz_report **out)
{
    return sqz_work_do(ctx, job, "export", export_keras, out);
}

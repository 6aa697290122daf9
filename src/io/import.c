/* import.c: the table of importers, picked by content. */
#include "io/import.h"

#define MODEL_LIMIT ((size_t)2 << 30) /* bytes of a model file; ONNX itself ends there */

/* sqz_import_list.inc is generated from the file names src/io/import_<name>.c */
#define SQZ_ENTRY(name) extern const sqz_importer sqz_importer_##name;
#include "sqz_import_list.inc"
#undef SQZ_ENTRY
const sqz_importer *const sqz_importers[] = {
#define SQZ_ENTRY(name) &sqz_importer_##name,
#include "sqz_import_list.inc"
#undef SQZ_ENTRY
};
const size_t sqz_n_importers = SQZ_COUNT(sqz_importers);

/* The Keras importer reads weights itself. */
static sqz_status load(sqz_ctx *ctx, const sqz_importer *from, const void *bytes, size_t n,
                       const sqz_import_options *opt, sqz_graph **out)
{
    SQZ_TRY(from->load(ctx, bytes, n, opt, out));
    if (!opt->weights || from == &sqz_importer_keras)
        return SQZ_OK;
    sqz_status s = sqz_keras_join(*out, opt->weights);
    if (s != SQZ_OK) {
        sqz_graph_free(*out);
        *out = NULL;
    }
    return s;
}

sqz_status sqz_import_bytes(sqz_ctx *ctx, const void *bytes, size_t n,
                            const sqz_import_options *opt, sqz_graph **out)
{
    static const sqz_import_options none;
    *out = NULL;
    for (size_t i = 0; i < sqz_n_importers; i++)
        if (sqz_importers[i]->probe(bytes, n))
            return load(ctx, sqz_importers[i], bytes, n, opt ? opt : &none, out);
    return sqz_fail(ctx, SQZ_E_FORMAT,
                    n ? "not a model file that squeeze reads (%s)"
                      : "the file is empty, expected a model (%s)",
                    "ONNX, Keras HDF5 or JSON");
}

static void describe(const void *bytes, size_t n, sqz_import_source *source)
{
    sqz_sha256 h;
    source->bytes = n;
    if (source->unhashed)
        return;
    sqz_sha256_begin(&h);
    sqz_sha256_add(&h, bytes, n);
    sqz_sha256_end(&h, source->sha256);
}

sqz_status sqz_import_file(sqz_ctx *ctx, const sqz_import_options *opt, sqz_import_source *source,
                           sqz_graph **out)
{
    sqz_file_bytes file;
    sqz_import_options o = *opt;
    *out = NULL;
    o.file = &file;
    SQZ_TRY(sqz_file_view(ctx, opt->path, MODEL_LIMIT, &file));
    sqz_status s = sqz_note(ctx, sqz_import_bytes(ctx, file.data, file.bytes, &o, out), "%s",
                            opt->path);
    if (s == SQZ_OK && source)
        describe(file.data, file.bytes, source);
    sqz_file_close(ctx, &file);
    return s;
}

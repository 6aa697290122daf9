/* onnx_lean.c: unpacking a model without copying its weights. protobuf-c copies every bytes field,
 * so it is given the model without the raw_data of large initializers; their pointers into the
 * model's bytes are put in afterwards. The bytes are scanned: well-formed, nothing out of bounds.
 */
#include "io/onnx.h"
#include <string.h>

#define LARGE ((size_t)4096) /* bytes */

enum { MODEL_GRAPH = 7, GRAPH_INITIALIZER = 5, TENSOR_RAW_DATA = 9 };

typedef struct field {
    uint64_t number;
    const unsigned char *begin, *data; /* of the field, of its contents */
    size_t bytes, n;                   /* of the field, of its contents (length-delimited ones) */
} field;

static const unsigned char *varint(const unsigned char *p, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0;; shift += 7) {
        *out |= (uint64_t)(*p & 0x7f) << shift;
        if (!(*p++ & 0x80))
            return p;
    }
}

/* The field at `p`. */
static field read_field(const unsigned char *p)
{
    field f = {.begin = p};
    uint64_t tag, n = 0;
    p = varint(p, &tag);
    f.number = tag >> 3;
    switch (tag & 7) {
    case 0: p = varint(p, &n); break;
    case 1: p += 8; break;
    case 5: p += 4; break;
    default:
        p = varint(p, &n);
        f.data = p;
        f.n = (size_t)n;
        p += n;
    }
    f.bytes = (size_t)(p - f.begin);
    return f;
}

static void add(sqz_str *s, const void *bytes, size_t n) { sqz_str_addn(s, bytes, n); }

static void add_varint(sqz_str *s, uint64_t v)
{
    do {
        const char b = (char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        sqz_str_addn(s, &b, 1);
        v >>= 7;
    } while (v);
}

static void add_message(sqz_str *s, uint64_t number, const sqz_str *body)
{
    add_varint(s, number << 3 | 2);
    add_varint(s, body->len);
    add(s, body->data, body->len);
}

/* The raw_data of a tensor when it is large and the only one. */
static field large_part(const field *tensor)
{
    field found = {0};
    unsigned n = 0;
    for (const unsigned char *p = tensor->data; p < tensor->data + tensor->n;) {
        const field f = read_field(p);
        p += f.bytes;
        if (f.number == TENSOR_RAW_DATA) {
            found = f;
            n++;
        }
    }
    return n == 1 && found.n >= LARGE ? found : (field){0};
}

static sqz_status keep_part(sqz_onnx_lean *l, size_t index, const field *f)
{
    if (l->n == l->room) {
        const size_t more = l->room ? 2 * l->room : 64;
        sqz_onnx_part *part = sqz_realloc(l->ctx, l->part, l->n * sizeof *part,
                                          more * sizeof *part);
        if (!part)
            return SQZ_E_NOMEM;
        l->part = part;
        l->room = more;
    }
    l->part[l->n++] = (sqz_onnx_part){index, f->data, f->n};
    return SQZ_OK;
}

/* The graph without its large parts. */
static sqz_status cut_graph(sqz_onnx_lean *l, const field *graph, sqz_str *body)
{
    sqz_str tensor = {.ctx = l->ctx};
    sqz_status s = SQZ_OK;
    size_t index = 0;
    for (const unsigned char *p = graph->data; s == SQZ_OK && p < graph->data + graph->n;) {
        const field f = read_field(p);
        const field raw = f.number == GRAPH_INITIALIZER ? large_part(&f) : (field){0};
        p += f.bytes;
        if (raw.data) {
            tensor.len = 0;
            add(&tensor, f.data, (size_t)(raw.begin - f.data));
            const unsigned char *rest = raw.begin + raw.bytes;
            add(&tensor, rest, (size_t)(f.data + f.n - rest));
            add_message(body, f.number, &tensor);
            s = keep_part(l, index, &raw);
        } else {
            add(body, f.begin, f.bytes);
        }
        index += f.number == GRAPH_INITIALIZER;
    }
    if (s == SQZ_OK)
        s = tensor.status;
    sqz_str_free(&tensor);
    return s;
}

static sqz_status cut_model(sqz_onnx_lean *l, const unsigned char *bytes, size_t n, sqz_str *out)
{
    sqz_str body = {.ctx = l->ctx};
    sqz_status s = SQZ_OK;
    for (const unsigned char *p = bytes; s == SQZ_OK && p < bytes + n;) {
        const field f = read_field(p);
        p += f.bytes;
        if (f.number != MODEL_GRAPH) {
            add(out, f.begin, f.bytes);
            continue;
        }
        s = cut_graph(l, &f, &body);
        add_message(out, f.number, &body);
    }
    if (s == SQZ_OK)
        s = body.status != SQZ_OK ? body.status : out->status;
    sqz_str_free(&body);
    return s;
}

static void put_back(sqz_onnx_lean *l, bool there)
{
    for (size_t i = 0; l->model && i < l->n; i++) {
        Onnx__TensorProto *t = l->model->graph->initializer[l->part[i].index];
        t->has_raw_data = there;
        t->raw_data.data = there ? (uint8_t *)(uintptr_t)l->part[i].data : NULL;
        t->raw_data.len = there ? l->part[i].n : 0;
    }
}

sqz_status sqz_onnx_unpack(sqz_ctx *ctx, const void *bytes, size_t n, sqz_onnx_lean *out)
{
    *out = (sqz_onnx_lean){.ctx = ctx, .allocator = sqz_onnx_allocator(ctx)};
    sqz_str cut = {.ctx = ctx};
    SQZ_TRY(sqz_onnx_scan(ctx, bytes, n, &onnx__model_proto__descriptor));
    sqz_status s = cut_model(out, bytes, n, &cut);
    if (s == SQZ_OK) {
        out->model = out->n ? onnx__model_proto__unpack(&out->allocator, cut.len,
                                                        (const uint8_t *)cut.data)
                            : onnx__model_proto__unpack(&out->allocator, n, bytes);
        if (!out->model)
            s = sqz_fail(ctx, SQZ_E_FORMAT, "not an ONNX model, or not enough memory to unpack it");
    }
    sqz_str_free(&cut);
    put_back(out, true);
    if (s != SQZ_OK)
        sqz_onnx_lean_free(out);
    return s;
}

void sqz_onnx_lean_free(sqz_onnx_lean *l)
{
    put_back(l, false);
    if (l->model)
        onnx__model_proto__free_unpacked(l->model, &l->allocator);
    sqz_free(l->ctx, l->part);
    *l = (sqz_onnx_lean){0};
}

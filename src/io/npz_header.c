/* npz_header.c: NPY headers, parsed strictly: a file that numpy did not write is not guessed at. */
#include "io/npz_header.h"
#include <inttypes.h>
#include <string.h>

/* ---- the dict ---- */
typedef struct parser {
    const char *p, *end, *text;
    sqz_stream *s;
} parser;

static sqz_status bad(const parser *q, const char *what)
{
    return sqz_fail(q->s->ctx, SQZ_E_FORMAT,
                    "%s: NPY header, character %td: %s; expected {'descr': '<f4', "
                    "'fortran_order': False, 'shape': (n, ...), }",
                    q->s->name, q->p - q->text, what);
}

static void spaces(parser *q)
{
    while (q->p < q->end && (*q->p == ' ' || *q->p == '\n' || *q->p == '\t'))
        q->p++;
}

static bool take(parser *q, const char *word)
{
    size_t n = strlen(word);
    spaces(q);
    if ((size_t)(q->end - q->p) < n || memcmp(q->p, word, n) != 0)
        return false;
    q->p += n;
    return true;
}

static sqz_status quoted(parser *q, char *out, size_t room)
{
    spaces(q);
    char quote = q->p < q->end ? *q->p : 0;
    if (quote != '\'' && quote != '"')
        return bad(q, "expected a quoted word (arrays with named fields are not supported)");
    const char *from = ++q->p;
    while (q->p < q->end && *q->p != quote)
        q->p++;
    if (q->p == q->end || (size_t)(q->p - from) >= room)
        return bad(q, "quoted word without end");
    memcpy(out, from, (size_t)(q->p - from));
    out[q->p - from] = 0;
    q->p++;
    return SQZ_OK;
}

static sqz_status dimension(parser *q, int64_t *out)
{
    const char *from = q->p;
    *out = 0;
    while (q->p < q->end && *q->p >= '0' && *q->p <= '9') {
        if (*out > (INT64_MAX - 9) / 10)
            return bad(q, "dimension is too large");
        *out = *out * 10 + (*q->p++ - '0');
    }
    return q->p == from ? bad(q, "expected a dimension") : SQZ_OK;
}

static sqz_status shape_tuple(parser *q, sqz_shape *out)
{
    out->rank = 0;
    if (!take(q, "("))
        return bad(q, "expected '(' before the shape");
    while (!take(q, ")")) {
        if (out->rank == SQZ_MAX_RANK)
            return bad(q, "more than 8 dimensions");
        SQZ_TRY(dimension(q, &out->dim[out->rank++]));
        bool comma = take(q, ",");
        spaces(q);
        if (!comma && (q->p == q->end || *q->p != ')'))
            return bad(q, "expected ',' or ')' in the shape");
        if (!comma && out->rank == 1)
            return bad(q, "a shape of one dimension ends in ',)'");
    }
    return SQZ_OK;
}

static const struct {
    char code[3];
    sqz_dtype type;
} types[] = {{"b1", SQZ_BOOL}, {"i1", SQZ_S8},  {"u1", SQZ_U8},  {"i2", SQZ_S16},
             {"u2", SQZ_U16},  {"i4", SQZ_S32}, {"u4", SQZ_U32}, {"i8", SQZ_S64},
             {"u8", SQZ_U64},  {"f2", SQZ_F16}, {"f4", SQZ_F32}, {"f8", SQZ_F64}};

static sqz_status element_type(parser *q, sqz_npy *out)
{
    char descr[16];
    SQZ_TRY(quoted(q, descr, sizeof descr));
    for (size_t i = 0; i < SQZ_COUNT(types) && strchr("<>|=", descr[0]) && descr[0]; i++)
        if (strcmp(descr + 1, types[i].code) == 0) {
            const bool big_host = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
            out->type = types[i].type;
            out->swap = descr[0] == (big_host ? '<' : '>');
            return SQZ_OK;
        }
    const char *why = strchr(descr, 'O')                         ? "Python objects"
                      : strchr(descr, 'c')                       ? "complex numbers"
                      : strchr(descr, 'U') || strchr(descr, 'S') ? "text"
                                                                 : "this type";
    return sqz_fail(q->s->ctx, SQZ_E_UNSUPPORTED,
                    "%s: element type '%s': %s cannot be read; save integers, floats or booleans",
                    q->s->name, descr, why);
}

static sqz_status item(parser *q, sqz_npy *out, unsigned *seen)
{
    static const char *const key[] = {"descr", "fortran_order", "shape"};
    char name[16];
    unsigned k = 0;
    SQZ_TRY(quoted(q, name, sizeof name));
    while (k < SQZ_COUNT(key) && strcmp(key[k], name) != 0)
        k++;
    if (k == SQZ_COUNT(key) || *seen & 1u << k)
        return bad(q, "unknown or repeated key");
    *seen |= 1u << k;
    if (!take(q, ":"))
        return bad(q, "expected ':'");
    if (k == 0)
        return element_type(q, out);
    if (k == 2)
        return shape_tuple(q, &out->shape);
    out->fortran = take(q, "True");
    return out->fortran || take(q, "False") ? SQZ_OK : bad(q, "expected True or False");
}

static sqz_status dict(parser *q, sqz_npy *out)
{
    unsigned seen = 0;
    if (!take(q, "{"))
        return bad(q, "expected '{'");
    while (!take(q, "}")) {
        SQZ_TRY(item(q, out, &seen));
        bool comma = take(q, ",");
        spaces(q);
        if (!comma && (q->p == q->end || *q->p != '}'))
            return bad(q, "expected ',' or '}'");
    }
    spaces(q);
    if (q->p != q->end || seen != 7)
        return bad(q, seen != 7 ? "a key is missing" : "text after the closing brace");
    int64_t wide = 0; /* an array with one axis longer than 1 reads the same in both orders */
    for (int32_t i = 0; i < out->shape.rank; i++)
        wide += out->shape.dim[i] > 1;
    if (wide < 2)
        out->fortran = false;
    return SQZ_OK;
}

/* ---- the frame ---- */
static sqz_status not_npy(const sqz_stream *s, const char *what)
{
    return sqz_fail(s->ctx, SQZ_E_FORMAT, "%s: not an NPY array: %s", s->name, what);
}

sqz_status sqz_npy_parse(sqz_stream *s, sqz_npy *out)
{
    unsigned char head[12];
    *out = (sqz_npy){.type = SQZ_N_DTYPE};
    SQZ_TRY(sqz_stream_read(s, 0, head, 10));
    if (memcmp(head, "\x93NUMPY", 6) != 0)
        return not_npy(s, "it does not begin with \\x93NUMPY");
    if (head[6] < 1 || head[6] > 3 || head[7] != 0)
        return sqz_fail(s->ctx, SQZ_E_UNSUPPORTED,
                        "%s: NPY version %d.%d is unknown, expected 1.0, 2.0 or 3.0", s->name,
                        head[6], head[7]);
    size_t fixed = head[6] == 1 ? 10 : 12, n = (size_t)head[8] | (size_t)head[9] << 8;
    if (fixed == 12) {
        SQZ_TRY(sqz_stream_read(s, 0, head, 12));
        n |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    }
    if (n == 0 || n > SQZ_NPY_HEADER_MAX)
        return sqz_fail(s->ctx, SQZ_E_FORMAT, "%s: NPY header of %zu bytes, expected 1 to %u",
                        s->name, n, SQZ_NPY_HEADER_MAX);
    char *text = sqz_malloc(s->ctx, n);
    if (!text)
        return SQZ_E_NOMEM;
    sqz_status st = sqz_stream_read(s, fixed, text, n);
    parser q = {.p = text, .text = text, .end = text + n, .s = s};
    if (st == SQZ_OK)
        st = dict(&q, out);
    sqz_free(s->ctx, text);
    out->header = fixed + n;
    return st;
}

sqz_status sqz_npy_header(sqz_str *out, const char *descr, const sqz_shape *shape)
{
    sqz_str dict_text = {.ctx = out->ctx};
    sqz_str_addf(&dict_text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int32_t i = 0; i < shape->rank; i++)
        sqz_str_addf(&dict_text, "%s%" PRId64 "%s", i ? " " : "", shape->dim[i],
                     i + 1 < shape->rank || shape->rank == 1 ? "," : "");
    sqz_str_addf(&dict_text, "), }");
    size_t n = 10 + dict_text.len + 1, padded = (n + 63) & ~(size_t)63;
    unsigned char frame[10] = "\x93NUMPY\x01";
    frame[8] = (unsigned char)((padded - 10) & 255);
    frame[9] = (unsigned char)((padded - 10) >> 8);
    sqz_str_addn(out, (const char *)frame, sizeof frame);
    if (dict_text.status == SQZ_OK)
        sqz_str_addn(out, dict_text.data, dict_text.len);
    for (size_t i = n; i < padded; i++)
        sqz_str_add(out, " ");
    sqz_str_add(out, "\n");
    sqz_status st = dict_text.status != SQZ_OK ? dict_text.status : out->status;
    sqz_str_free(&dict_text);
    return st;
}

sqz_status sqz_npy_numbers(sqz_numbers *a)
{
    sqz_npy head;
    SQZ_TRY(sqz_npy_parse(&a->s, &head));
    if (head.fortran)
        return sqz_fail(a->s.ctx, SQZ_E_UNSUPPORTED,
                        "%s: is in Fortran order, in which a sample is spread over the whole "
                        "array; save np.ascontiguousarray of it",
                        a->s.name);
    a->begin = head.header;
    a->type = head.type;
    a->swap = head.swap;
    a->shape = head.shape;
    return sqz_numbers_check(a);
}

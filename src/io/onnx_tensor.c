/* onnx_tensor.c: TensorProto to tensor and back. Numbers come as raw_data, as one of five typed
 * lists, or from a file beside the model; all are checked against dims before anything is
 * allocated. */
#include "io/onnx.h"
#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "raw_data is little endian and copied");

/* Types of the format that squeeze has no use for, by number. */
static const char *const refused[] = {
    [8] = "string",          [14] = "complex64",  [15] = "complex128",     [17] = "float8e4m3fn",
    [18] = "float8e4m3fnuz", [19] = "float8e5m2", [20] = "float8e5m2fnuz", [23] = "float4e2m1",
    [24] = "float8e8m0",     [25] = "uint2",      [26] = "int2",
};

const char *sqz_onnx_type_name(int32_t code)
{
    const sqz_dtype d = sqz_dtype_of_onnx(code);
    if (d != SQZ_N_DTYPE)
        return sqz_dtype_name(d);
    return code > 0 && (size_t)code < SQZ_COUNT(refused) && refused[code] ? refused[code]
                                                                          : "that does not exist";
}

static sqz_status type_of(sqz_ctx *ctx, const Onnx__TensorProto *p, sqz_dtype *out)
{
    int32_t code = p->data_type;
    *out = sqz_dtype_of_onnx(code);
    if (*out != SQZ_N_DTYPE)
        return SQZ_OK;
    if (code > 0 && (size_t)code < SQZ_COUNT(refused) && refused[code])
        return sqz_fail(ctx, SQZ_E_UNSUPPORTED, "element type %s is not supported%s", refused[code],
                        code >= 17 ? ": export with int8, int16 or int4" : "");
    return sqz_fail(ctx, SQZ_E_FORMAT, "element type %d does not exist", code);
}

static sqz_status shape_of(sqz_ctx *ctx, const Onnx__TensorProto *p, sqz_shape *out)
{
    if (p->n_dims > SQZ_MAX_RANK)
        return sqz_fail(ctx, SQZ_E_UNSUPPORTED, "%zu dimensions, at most %d are supported",
                        p->n_dims, SQZ_MAX_RANK);
    *out = (sqz_shape){.rank = (int32_t)p->n_dims};
    for (size_t i = 0; i < p->n_dims; i++) {
        if (p->dims[i] < 0)
            return sqz_fail(ctx, SQZ_E_FORMAT, "dimension %zu is %lld", i, (long long)p->dims[i]);
        out->dim[i] = p->dims[i];
    }
    return SQZ_OK;
}

/* The typed list that holds type `d`: its length in the file and the length that n elements need.
 */
static const char *list_of(const Onnx__TensorProto *p, sqz_dtype d, size_t n, size_t *have,
                           size_t *want)
{
    *want = n;
    switch (d) {
    case SQZ_F32: *have = p->n_float_data; return "float_data";
    case SQZ_F64: *have = p->n_double_data; return "double_data";
    case SQZ_S64: *have = p->n_int64_data; return "int64_data";
    case SQZ_U32:
    case SQZ_U64: *have = p->n_uint64_data; return "uint64_data";
    case SQZ_S4:
    case SQZ_U4:
        *want = n / 2 + n % 2; /* two to a byte, a byte to an entry */
        break;
    default: break;
    }
    *have = p->n_int32_data;
    return "int32_data";
}

static sqz_status check_size(sqz_ctx *ctx, const Onnx__TensorProto *p, const sqz_tensor *t)
{
    if (p->data_location != 0)
        return sqz_fail(ctx, SQZ_E_FORMAT, "data_location %d does not exist", p->data_location);
    if (p->segment)
        return sqz_fail(ctx, SQZ_E_UNSUPPORTED, "tensors in segments are not supported");
    if (p->has_raw_data) {
        if (p->raw_data.len != t->bytes)
            return sqz_fail(ctx, SQZ_E_FORMAT, "raw_data has %zu bytes, the dimensions need %zu",
                            p->raw_data.len, t->bytes);
        return SQZ_OK;
    }
    size_t have, want;
    const char *name = list_of(p, t->dtype, t->count, &have, &want);
    if (have != want)
        return sqz_fail(ctx, SQZ_E_FORMAT, "%s has %zu numbers, the dimensions need %zu", name,
                        have, want);
    return SQZ_OK;
}

/* int32_data holds every type of at most 32 bits, by value; 16-bit floats by their bits. */
static sqz_status narrow(sqz_ctx *ctx, const Onnx__TensorProto *p, sqz_tensor *t)
{
    unsigned bits = sqz_dtype_bits(t->dtype);
    for (size_t i = 0; i < p->n_int32_data; i++) {
        int32_t v = p->int32_data[i];
        int32_t lo = bits == 16 ? -32768 : -128, hi = bits == 16 ? 65535 : 255;
        if (bits < 32 && (v < lo || v > hi))
            return sqz_fail(ctx, SQZ_E_FORMAT, "int32_data[%zu] is %d, outside %s", i, v,
                            sqz_dtype_name(t->dtype));
        if (bits == 32)
            ((int32_t *)t->data)[i] = v;
        else if (bits == 16)
            ((uint16_t *)t->data)[i] = (uint16_t)v;
        else if (t->dtype == SQZ_BOOL)
            ((uint8_t *)t->data)[i] = v != 0;
        else
            ((uint8_t *)t->data)[i] = (uint8_t)v;
    }
    return SQZ_OK;
}

static sqz_status fill(sqz_ctx *ctx, const Onnx__TensorProto *p, sqz_tensor *t)
{
    if (t->bytes == 0)
        return SQZ_OK;
    const void *from = NULL;
    if (p->has_raw_data)
        from = p->raw_data.data;
    else if (t->dtype == SQZ_F32)
        from = p->float_data;
    else if (t->dtype == SQZ_F64)
        from = p->double_data;
    else if (t->dtype == SQZ_S64)
        from = p->int64_data;
    else if (t->dtype == SQZ_U64)
        from = p->uint64_data;
    if (from) {
        memcpy(t->data, from, t->bytes);
        return SQZ_OK;
    }
    if (t->dtype != SQZ_U32)
        return narrow(ctx, p, t);
    for (size_t i = 0; i < t->count; i++) {
        if (p->uint64_data[i] > UINT32_MAX)
            return sqz_fail(ctx, SQZ_E_FORMAT, "uint64_data[%zu] does not fit u32", i);
        ((uint32_t *)t->data)[i] = (uint32_t)p->uint64_data[i];
    }
    return SQZ_OK;
}

/* bool is 0 or 1 inside, whatever the byte in the file. */
static void normalize(sqz_tensor *t)
{
    if (t->dtype == SQZ_BOOL)
        for (size_t i = 0; i < t->count; i++)
            ((uint8_t *)t->data)[i] = ((uint8_t *)t->data)[i] != 0;
}

static sqz_status decode(sqz_ctx *ctx, const Onnx__TensorProto *p, const char *path,
                         sqz_tensor *out)
{
    sqz_dtype d;
    sqz_shape shape;
    SQZ_TRY(type_of(ctx, p, &d));
    SQZ_TRY(shape_of(ctx, p, &shape));
    SQZ_TRY(sqz_tensor_view(ctx, d, &shape, NULL, out));
    sqz_status s;
    if (p->data_location == 1) {
        s = sqz_onnx_external(ctx, p, path, d, &shape, out);
    } else {
        SQZ_TRY(check_size(ctx, p, out));
        SQZ_TRY(p->has_raw_data ? sqz_tensor_room(ctx, d, &shape, out)
                                : sqz_tensor_alloc(ctx, d, &shape, out));
        s = fill(ctx, p, out);
    }
    if (s == SQZ_OK)
        normalize(out);
    else
        sqz_tensor_free(ctx, out);
    return s;
}

sqz_status sqz_onnx_tensor(sqz_ctx *ctx, const Onnx__TensorProto *p, const char *path,
                           sqz_tensor *out)
{
    *out = (sqz_tensor){0};
    return sqz_note(ctx, decode(ctx, p, path, out), "tensor '%.80s'", sqz_onnx_str(p->name));
}

sqz_status sqz_onnx_tensor_proto(sqz_arena *a, const sqz_tensor *t, const char *name,
                                 Onnx__TensorProto **out)
{
    Onnx__TensorProto *p = sqz_arena_alloc(a, 1, sizeof *p);
    int64_t *dims = sqz_arena_alloc(a, (size_t)t->shape.rank + 1, sizeof *dims);
    if (!p || !dims)
        return SQZ_E_NOMEM;
    onnx__tensor_proto__init(p);
    memcpy(dims, t->shape.dim, (size_t)t->shape.rank * sizeof *dims);
    p->n_dims = (size_t)t->shape.rank;
    p->dims = dims;
    p->has_data_type = 1;
    p->data_type = sqz_dtype_onnx(t->dtype);
    p->name = (char *)(uintptr_t)name;
    p->has_raw_data = 1;
    p->raw_data.len = t->bytes;
    p->raw_data.data = t->data;
    *out = p;
    return SQZ_OK;
}

sqz_status sqz_tensor_from_pb(sqz_ctx *ctx, const void *bytes, size_t n, sqz_tensor *out,
                              char *name, size_t name_size)
{
    *out = (sqz_tensor){0};
    SQZ_TRY(sqz_onnx_scan(ctx, bytes, n, &onnx__tensor_proto__descriptor));
    ProtobufCAllocator al = sqz_onnx_allocator(ctx);
    Onnx__TensorProto *p = onnx__tensor_proto__unpack(&al, n, bytes);
    if (!p)
        return sqz_fail(ctx, SQZ_E_FORMAT, "not a tensor in ONNX format");
    sqz_status s = sqz_onnx_tensor(ctx, p, NULL, out);
    if (s == SQZ_OK && name && name_size)
        (void)snprintf(name, name_size, "%s", sqz_onnx_str(p->name));
    onnx__tensor_proto__free_unpacked(p, &al);
    return s;
}

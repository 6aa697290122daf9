/* onnx_form.c: how quantized values are to be written, as text: "matmulnbits(accuracy_level=4)". */
#include "io/import.h"
#include "io/onnx.h"
#include <string.h>

static const sqz_attr opset = {.name = "opset",
                               .offset = offsetof(sqz_onnx_form, opset),
                               .type = SQZ_A_INT,
                               .min = 0,
                               .max = SQZ_ONNX_OPSET_MAX,
                               .doc = "the least opset to write"};
static const sqz_attr nbits[] = {
    {.name = "opset",
     .offset = offsetof(sqz_onnx_form, opset),
     .type = SQZ_A_INT,
     .min = 0,
     .max = SQZ_ONNX_OPSET_MAX,
     .doc = "the least opset to write"},
    {.name = "accuracy_level",
     .offset = offsetof(sqz_onnx_form, accuracy_level),
     .type = SQZ_A_INT,
     .min = 0,
     .max = 4,
     .doc = "least type to compute in: 0 any, 1 float32, 2 float16, 3 bfloat16, 4 int8"},
};
#define FORM(text, rows, n)                                                                        \
    {                                                                                              \
        .name = (text), .opt_size = sizeof(sqz_onnx_form), .opts = (rows), .n_opts = (n)           \
    }
static const sqz_info forms[] = {
    [SQZ_ONNX_QDQ] = FORM("qdq", &opset, 1),
    [SQZ_ONNX_QOPERATOR] = FORM("qoperator", &opset, 1),
    [SQZ_ONNX_NBITS] = FORM("matmulnbits", nbits, SQZ_COUNT(nbits)),
};

static sqz_status parse(sqz_arena *a, const char *text, sqz_onnx_form *out)
{
    const size_t n = strcspn(text, "("), all = strlen(text);
    size_t k = 0;
    while (k < SQZ_COUNT(forms) &&
           (strlen(forms[k].name) != n || strncmp(forms[k].name, text, n) != 0))
        k++;
    if (k == SQZ_COUNT(forms))
        return sqz_fail(a->ctx, SQZ_E_ARG,
                        "format '%s': expected qdq, qoperator or matmulnbits(options)", text);
    *out = (sqz_onnx_form){.kind = (sqz_onnx_kind)k};
    if (n == all)
        return SQZ_OK;
    if (text[all - 1] != ')')
        return sqz_fail(a->ctx, SQZ_E_ARG, "format '%s': expected name(option=value)", text);
    char *options = sqz_arena_strndup(a, text + n + 1, all - n - 2);
    if (!options)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_note(a->ctx, sqz_opts_parse(a, &forms[k], options, out), "format '%s'", text));
    return sqz_note(a->ctx, sqz_opts_check(a->ctx, &forms[k], out), "format '%s'", text);
}

sqz_status sqz_onnx_form_parse(sqz_ctx *ctx, const char *text, sqz_onnx_form *out)
{
    sqz_arena a = {.ctx = ctx};
    sqz_status s = parse(&a, text && *text ? text : "qdq", out);
    sqz_arena_free(&a);
    return s;
}

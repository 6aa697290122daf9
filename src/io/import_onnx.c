/* import_onnx.c: ONNX file -> graph, as the file has it. The bytes are scanned, then unpacked, then
 * everything that cannot be run is collected, so that one message names it all. */
#include "io/onnx.h"
#include <string.h>

/* ---- what the file says of itself ---- */

static sqz_status opset_of(sqz_onnx_import *im)
{
    const Onnx__ModelProto *m = im->model;
    im->opset = 0;
    for (size_t i = 0; i < m->n_opset_import; i++)
        if (sqz_onnx_default_domain(m->opset_import[i]->domain))
            im->opset = m->opset_import[i]->version;
    if (im->opset == 0)
        return sqz_fail(im->ctx, SQZ_E_FORMAT, "the model does not say its opset version");
    if (im->opset < SQZ_ONNX_OPSET_MIN || im->opset > SQZ_ONNX_OPSET_MAX)
        return sqz_fail(im->ctx, SQZ_E_UNSUPPORTED, "opset version %lld, supported are %d to %d",
                        (long long)im->opset, SQZ_ONNX_OPSET_MIN, SQZ_ONNX_OPSET_MAX);
    return SQZ_OK;
}

static sqz_status header(sqz_onnx_import *im)
{
    const Onnx__ModelProto *m = im->model;
    if (!m->has_ir_version || !m->graph)
        return sqz_fail(im->ctx, SQZ_E_FORMAT, "not an ONNX model: it has no %s",
                        m->graph ? "IR version" : "graph");
    if (m->ir_version < SQZ_ONNX_IR_MIN || m->ir_version > SQZ_ONNX_IR_MAX)
        return sqz_fail(im->ctx, SQZ_E_UNSUPPORTED, "IR version %lld, supported are %d to %d",
                        (long long)m->ir_version, SQZ_ONNX_IR_MIN, SQZ_ONNX_IR_MAX);
    im->graph = m->graph;
    if (im->graph->n_node > UINT32_MAX / 2 || im->graph->n_initializer > UINT32_MAX / 2)
        return sqz_fail(im->ctx, SQZ_E_LIMIT, "too many nodes");
    return opset_of(im);
}

static sqz_status describe(sqz_onnx_import *im)
{
    const Onnx__ModelProto *m = im->model;
    sqz_graph *g = im->g;
    g->name = sqz_arena_strdup(&g->arena, sqz_onnx_str(m->graph->name));
    g->producer = sqz_arena_printf(&g->arena, "%s%s%s", sqz_onnx_str(m->producer_name),
                                   m->producer_version && *m->producer_version ? " " : "",
                                   sqz_onnx_str(m->producer_version));
    g->opset = im->opset;
    if (!g->name || !g->producer)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < m->n_metadata_props; i++)
        SQZ_TRY(sqz_graph_add_meta(g, sqz_onnx_str(m->metadata_props[i]->key),
                                   sqz_onnx_str(m->metadata_props[i]->value)));
    return sqz_onnx_keep_model(g, m);
}

/* ---- outputs ---- */

static bool is_output(const sqz_vid *list, uint32_t n, sqz_vid v)
{
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == v)
            return true;
    return false;
}

/* A value that reached an output under another name (Identity, Dropout) takes the output's name, or
 * is copied where it cannot: an input, a constant, another output. */
static sqz_status name_output(sqz_onnx_import *im, const char *name, bool taken, sqz_vid *v)
{
    sqz_graph *g = im->g;
    const sqz_value *val = sqz_val(g, *v);
    if (strcmp(val->name, name) == 0 && !taken)
        return SQZ_OK;
    if (val->producer != SQZ_NONE && !taken && sqz_graph_find(g, name) == SQZ_NONE)
        return sqz_graph_rename(g, *v, name);
    const sqz_op *identity = sqz_op_find("identity");
    if (!identity)
        return sqz_fail(im->ctx, SQZ_E_UNSUPPORTED, "output '%.80s' is another name of '%.80s'",
                        name, val->name);
    return sqz_graph_node(g, identity, NULL, NULL, v, 1, &name, 1, SQZ_NONE, v);
}

static sqz_status outputs(sqz_onnx_import *im)
{
    const Onnx__GraphProto *p = im->graph;
    uint32_t n = 0;
    sqz_vid *out = sqz_arena_alloc(&im->arena, p->n_output + 1, sizeof *out);
    if (!out)
        return SQZ_E_NOMEM;
    if (p->n_output == 0 || p->n_output > UINT16_MAX)
        return sqz_fail(im->ctx, SQZ_E_FORMAT, "the graph has %zu outputs", p->n_output);
    for (size_t i = 0; i < p->n_output; i++, n++) {
        const char *name = sqz_onnx_str(p->output[i]->name);
        SQZ_TRY(sqz_onnx_value(im, name, &out[n])); /* maybe an initializer that no node reads */
        if (out[n] == SQZ_ONNX_POISON)
            return SQZ_OK; /* on the list */
        SQZ_TRY(name_output(im, name, is_output(out, n, out[n]), &out[n]));
        SQZ_TRY(sqz_onnx_keep_info(im->g, p->output[i], &sqz_val(im->g, out[n])->extra));
    }
    return sqz_graph_set_outputs(im->g, out, n);
}

/* ---- the whole ---- */

static sqz_status build(sqz_onnx_import *im)
{
    SQZ_TRY(header(im));
    SQZ_TRY(sqz_onnx_order(im));
    SQZ_TRY(sqz_graph_create(im->ctx, &im->g));
    im->g->trains = im->opt && im->opt->trains;
    SQZ_TRY(describe(im));
    SQZ_TRY(sqz_onnx_check(im));
    SQZ_TRY(sqz_onnx_inputs(im));
    for (size_t i = 0; i < im->graph->n_node; i++)
        SQZ_TRY(sqz_onnx_node(im, im->order[i]));
    SQZ_TRY(outputs(im));
    return im->refusals->lines->status;
}

static sqz_status load(sqz_ctx *ctx, const void *bytes, size_t n, const sqz_import_options *opt,
                       sqz_onnx_import *im)
{
    sqz_onnx_lean lean;
    SQZ_TRY(sqz_onnx_unpack(ctx, bytes, n, &lean));
    im->ctx = im->arena.ctx = ctx;
    im->where = "";
    im->model = lean.model;
    im->opt = opt;
    sqz_status s = build(im);
    if (im->g) { /* their memory is the import's */
        im->g->given = NULL;
        im->g->n_given = 0;
    }
    sqz_arena_free(&im->arena);
    sqz_onnx_lean_free(&lean);
    return s;
}

static sqz_status import(sqz_ctx *ctx, const unsigned char *bytes, size_t n,
                         const sqz_import_options *opt, sqz_graph **out)
{
    sqz_str lines = {.ctx = ctx};
    sqz_refusals refusals = {.ctx = ctx, .lines = &lines};
    sqz_onnx_import im = {.refusals = &refusals};
    *out = NULL;
    sqz_status s = load(ctx, bytes, n, opt, &im);
    if (s == SQZ_OK)
        s = sqz_refuse_all(&refusals);
    sqz_str_free(&lines);
    if (s == SQZ_OK)
        *out = im.g;
    else
        sqz_graph_free(im.g);
    return s;
}

sqz_status sqz_onnx_unsupported(sqz_ctx *ctx, const void *bytes, size_t n, sqz_str *lines)
{
    sqz_refusals refusals = {.ctx = ctx, .lines = lines};
    sqz_onnx_import im = {.refusals = &refusals};
    sqz_status s = load(ctx, bytes, n, NULL, &im);
    sqz_graph_free(im.g);
    return s;
}

/* A model begins with the tag of one of its fields, most often 08 (ir_version). */
static bool probe(const unsigned char *bytes, size_t n)
{
    const ProtobufCFieldDescriptor *f = n ? protobuf_c_message_descriptor_get_field(
                                                &onnx__model_proto__descriptor, bytes[0] >> 3)
                                          : NULL;
    bool number = f && f->type == PROTOBUF_C_TYPE_INT64;
    return f && (bytes[0] & 7) == (number ? 0 : 2);
}

const sqz_importer sqz_importer_onnx = {
    .info = {.name = "onnx", .doc = "ONNX, opset 1 to 27"},
    .probe = probe,
    .load = import,
};

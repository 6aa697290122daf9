/* onnx_extra.c: what a model file has beside its meaning: doc strings, metadata, and fields that
 * squeeze does not know. It is kept with the model, the graph, nodes, inputs and outputs as a
 * message of the same type in which all else is empty, and written again with them. */
#include "io/onnx.h"

static sqz_status keep(sqz_graph *g, const ProtobufCMessage *rest, sqz_blob *out)
{
    size_t n = protobuf_c_message_get_packed_size(rest);
    unsigned char *bytes = n ? sqz_arena_alloc(&g->arena, n, 1) : NULL;
    *out = (sqz_blob){0};
    if (n && !bytes)
        return SQZ_E_NOMEM;
    if (n)
        (void)protobuf_c_message_pack(rest, bytes);
    *out = (sqz_blob){n, bytes};
    return SQZ_OK;
}

sqz_status sqz_onnx_keep_model(sqz_graph *g, const Onnx__ModelProto *m)
{
    Onnx__ModelProto rest;
    Onnx__GraphProto graph;
    onnx__model_proto__init(&rest);
    onnx__graph_proto__init(&graph);
    rest.domain = m->domain;
    rest.has_model_version = m->has_model_version;
    rest.model_version = m->model_version;
    rest.doc_string = m->doc_string;
    rest.base.n_unknown_fields = m->base.n_unknown_fields;
    rest.base.unknown_fields = m->base.unknown_fields;
    graph.doc_string = m->graph->doc_string;
    graph.n_metadata_props = m->graph->n_metadata_props;
    graph.metadata_props = m->graph->metadata_props;
    graph.base.n_unknown_fields = m->graph->base.n_unknown_fields;
    graph.base.unknown_fields = m->graph->base.unknown_fields;
    SQZ_TRY(keep(g, &graph.base, &g->graph_extra));
    return keep(g, &rest.base, &g->model_extra);
}

sqz_status sqz_onnx_keep_node(sqz_graph *g, const Onnx__NodeProto *n, sqz_blob *out)
{
    Onnx__NodeProto rest;
    onnx__node_proto__init(&rest);
    rest.doc_string = n->doc_string;
    rest.n_metadata_props = n->n_metadata_props;
    rest.metadata_props = n->metadata_props;
    rest.base.n_unknown_fields = n->base.n_unknown_fields;
    rest.base.unknown_fields = n->base.unknown_fields;
    return keep(g, &rest.base, out);
}

sqz_status sqz_onnx_keep_info(sqz_graph *g, const Onnx__ValueInfoProto *v, sqz_blob *out)
{
    Onnx__ValueInfoProto rest;
    onnx__value_info_proto__init(&rest);
    rest.doc_string = v->doc_string;
    rest.n_metadata_props = v->n_metadata_props;
    rest.metadata_props = v->metadata_props;
    rest.base.n_unknown_fields = v->base.n_unknown_fields;
    rest.base.unknown_fields = v->base.unknown_fields;
    return keep(g, &rest.base, out);
}

/* ---- and back ---- */

static void *arena_alloc(void *arena, size_t n) { return sqz_arena_alloc(arena, n ? n : 1, 1); }
static void arena_free(void *arena, void *p)
{
    (void)arena;
    (void)p; /* goes with the arena */
}

sqz_status sqz_onnx_unkeep(sqz_arena *a, const sqz_blob *b, const ProtobufCMessageDescriptor *d,
                           void *out)
{
    ProtobufCAllocator al = {arena_alloc, arena_free, a};
    ProtobufCMessage **m = out;
    *m = b->n ? protobuf_c_message_unpack(d, &al, b->n, b->bytes) : NULL;
    return *m || !b->n ? SQZ_OK : SQZ_E_NOMEM;
}

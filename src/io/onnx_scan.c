/* onnx_scan.c: checks the raw bytes of a model before protobuf-c sees them. protobuf-c recurses per
 * nesting level and allocates per field, so depth and counts are bounded here, without recursion,
 * along the message descriptors that protoc-c made from onnx.proto. */
#include "io/onnx.h"
#include <stdio.h>
#include <string.h>

#define MAX_DEPTH   64
#define MAX_MESSAGE 1000000u  /* a struct of some 200 bytes each */
#define MAX_FIELD   16000000u /* 40 bytes each while unpacking */

typedef struct frame {
    const ProtobufCMessageDescriptor *type; /* NULL in a message that onnx.proto lacks */
    const ProtobufCFieldDescriptor *field;  /* of the parent */
    size_t end;                             /* of the message, in bytes of the file */
    uint64_t seen;                          /* singular messages that came already */
    uint32_t index;                         /* among its siblings of the same field */
    const ProtobufCFieldDescriptor *child;  /* the field that is being read */
    uint32_t child_count;                   /* of consecutive messages in it */
} frame;

typedef struct scan {
    sqz_ctx *ctx;
    const unsigned char *p;
    size_t at;
    int depth;
    uint32_t messages, fields;
    frame frame[MAX_DEPTH];
} scan;

/* "graph.node[3].attribute[0]" of where the scan stands, ending in `last`. */
static void path(const scan *s, const ProtobufCFieldDescriptor *last, char *out, size_t size)
{
    size_t used = 0;
    out[0] = 0;
    for (int d = 1; d <= s->depth; d++) {
        const frame *f = &s->frame[d];
        int n = f->field->label == PROTOBUF_C_LABEL_REPEATED
                    ? snprintf(out + used, size - used, "%s%s[%u]", used ? "." : "", f->field->name,
                               f->index)
                    : snprintf(out + used, size - used, "%s%s", used ? "." : "", f->field->name);
        if (n < 0 || (size_t)n >= size - used)
            return;
        used += (size_t)n;
    }
    if (last)
        (void)snprintf(out + used, size - used, "%s%s", used ? "." : "", last->name);
}

static sqz_status bad(const scan *s, size_t at, const ProtobufCFieldDescriptor *last,
                      const char *what)
{
    char where[400];
    path(s, last, where, sizeof where);
    return sqz_fail(s->ctx, SQZ_E_FORMAT, "byte %zu%s%s%s: %s", at, where[0] ? " (" : "", where,
                    where[0] ? ")" : "", what);
}

/* A base-128 number before `end`. */
static bool varint(scan *s, size_t end, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && s->at < end; shift += 7) {
        unsigned char b = s->p[s->at++];
        if (shift == 63 && b > 1)
            return false;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *out = v;
            return true;
        }
    }
    return false;
}

enum { VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 };

static unsigned wire_of(ProtobufCType t)
{
    switch (t) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32: return FIXED32;
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64: return FIXED64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return BYTES;
    default: return VARINT;
    }
}

/* The contents of a packed list. */
static sqz_status packed(scan *s, const ProtobufCFieldDescriptor *f, size_t start, size_t end)
{
    unsigned wire = wire_of(f->type);
    uint64_t v;
    if (wire == VARINT) {
        while (s->at < end) {
            size_t at = s->at;
            if (!varint(s, end, &v))
                return bad(s, at, f, "a packed number does not end");
        }
    } else if ((end - start) % (wire == FIXED32 ? 4 : 8) != 0) {
        return bad(s, start, f, "the length of packed numbers is not a multiple of their size");
    }
    s->at = end;
    return SQZ_OK;
}

static sqz_status enter(scan *s, const ProtobufCFieldDescriptor *f, size_t start, size_t end)
{
    frame *top = &s->frame[s->depth];
    if (f->label != PROTOBUF_C_LABEL_REPEATED) {
        uint64_t bit = (uint64_t)1 << (unsigned)((f - top->type->fields) & 63);
        if (top->seen & bit) /* protobuf would merge them: quadratic, and never written */
            return bad(s, start, f, "appears twice");
        top->seen |= bit;
    }
    if (s->depth + 1 >= MAX_DEPTH)
        return bad(s, start, f, "messages are nested deeper than 64 levels");
    if (++s->messages > MAX_MESSAGE)
        return bad(s, start, f, "more than 1000000 messages");
    top->child_count = f == top->child ? top->child_count + 1 : 0;
    top->child = f;
    s->depth++;
    s->frame[s->depth] = (frame){
        .type = f->descriptor, .field = f, .end = end, .index = top->child_count};
    return SQZ_OK;
}

/* One field: tag, then value; a message becomes a new frame. */
static sqz_status field(scan *s)
{
    const frame *top = &s->frame[s->depth];
    size_t start = s->at;
    uint64_t tag, v;
    if (++s->fields > MAX_FIELD)
        return bad(s, start, NULL, "more than 16000000 fields");
    if (!varint(s, top->end, &tag) || tag > UINT32_MAX || s->at - start > 5)
        return bad(s, start, NULL, "a field tag is damaged or cut off");
    unsigned wire = (unsigned)(tag & 7), number = (unsigned)(tag >> 3);
    if (number == 0)
        return bad(s, start, NULL, "field number 0 does not exist");
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(top->type, number);
    bool list = f && wire == BYTES && wire_of(f->type) != BYTES;
    if (f && wire != wire_of(f->type) && !(list && f->label == PROTOBUF_C_LABEL_REPEATED))
        return bad(s, start, f, "has a wire type that the ONNX format does not give it");
    switch (wire) {
    case VARINT:
        return varint(s, top->end, &v) ? SQZ_OK : bad(s, start, f, "a number does not end");
    case FIXED32:
    case FIXED64: {
        size_t size = wire == FIXED32 ? 4 : 8;
        if (top->end - s->at < size)
            return bad(s, start, f, "a number is cut off");
        s->at += size;
        return SQZ_OK;
    }
    case BYTES: break;
    default: return bad(s, start, f, "wire types 3, 4, 6 and 7 are not used by ONNX");
    }
    if (!varint(s, top->end, &v))
        return bad(s, start, f, "a length does not end");
    if (v > top->end - s->at) {
        char text[120];
        (void)snprintf(text, sizeof text,
                       "is %llu bytes long, but only %zu are left: the file is cut off or damaged",
                       (unsigned long long)v, top->end - s->at);
        return bad(s, start, f, text);
    }
    size_t end = s->at + (size_t)v;
    if (f && f->type == PROTOBUF_C_TYPE_MESSAGE)
        return enter(s, f, start, end);
    if (list)
        return packed(s, f, s->at, end);
    if (f && f->type == PROTOBUF_C_TYPE_STRING && memchr(s->p + s->at, 0, (size_t)v))
        return bad(s, start, f, "a text contains a zero byte");
    s->at = end;
    return SQZ_OK;
}

sqz_status sqz_onnx_scan(sqz_ctx *ctx, const void *bytes, size_t n,
                         const ProtobufCMessageDescriptor *d)
{
    scan s = {.ctx = ctx, .p = bytes};
    s.frame[0] = (frame){.type = d, .end = n};
    while (s.depth > 0 || s.at < n) {
        if (s.at == s.frame[s.depth].end)
            s.depth--;
        else
            SQZ_TRY(field(&s));
    }
    return SQZ_OK;
}

static void *alloc(void *ctx, size_t bytes) { return sqz_malloc(ctx, bytes ? bytes : 1); }
static void release(void *ctx, void *p) { sqz_free(ctx, p); }

ProtobufCAllocator sqz_onnx_allocator(sqz_ctx *ctx)
{
    return (ProtobufCAllocator){.alloc = alloc, .free = release, .allocator_data = ctx};
}

/* exec.h: the memory plan and the executor. */
#ifndef SQZ_EXEC_H
#define SQZ_EXEC_H
#include "ir/op.h"

/* ---- memory plan (plan.c): offsets of all activations in one arena ----
 * Lifetimes from the execution order; greedy by size (Pisarchyk & Lee 2020, "Efficient memory
 * management for deep neural net inference") followed by a bounded local search; views alias,
 * in-place operators share, the inputs of a concat and the outputs of a split are parts of the
 * whole where these lie one behind the other and that costs no memory. The same plan serves the
 * host executor, the device's RAM figure and, later, the firmware arena. */
typedef struct sqz_plan_options {
    size_t alignment; /* of each tensor, bytes */
    bool in_place;    /* let IN_PLACE operators overwrite a dying input */
    bool io_in_arena; /* graph inputs and outputs live in the arena; false: the caller owns them */
    bool device; /* count device_scratch of the operators' cost; values at their packed device size
                  */
} sqz_plan_options;
typedef struct sqz_plan_item {
    sqz_vid value; /* SQZ_NONE: scratch of node `begin` */
    uint32_t begin,
        end; /* steps (node position in order) in which the memory is live, both included */
    size_t offset, bytes;
    uint32_t alias; /* item whose memory this one shares, or SQZ_NONE */
    size_t within;  /* bytes from the begin of that one */
} sqz_plan_item;
typedef struct sqz_plan {
    sqz_arena arena;
    sqz_plan_item *item;
    uint32_t n_item;
    uint32_t *item_of_value; /* n_value; SQZ_NONE: not in the arena */
    size_t bytes;            /* of the arena */
    size_t
        bound; /* largest sum of live sizes over all steps: no plan in this order can be smaller */
    uint32_t peak_step; /* step that attains the bound */
} sqz_plan;
sqz_status sqz_plan_build(const sqz_graph *g, const sqz_plan_options *opt, sqz_plan **out);
void sqz_plan_free(sqz_ctx *ctx, sqz_plan *p);

/* The node moves no byte: its output is its input under another shape (view.c). VIEW operators,
 * transposes that move only axes of length 1, and integer clamps that the grid already makes (ReLU
 * on a grid that begins at 0). */
bool sqz_node_is_view(const sqz_graph *g, const sqz_node *n);

/* The node joins (concat) or cuts (split) tensors whose bytes lie one behind the other: nothing
 * stands in front of the axis. */
bool sqz_node_joins(const sqz_graph *g, const sqz_node *n);
bool sqz_node_cuts(const sqz_graph *g, const sqz_node *n);

/* ---- executor (exec.c) ----
 * Made for a graph after the canonical recipe and a batch size (0: as the inputs stand); keeps a
 * private clone, so the graph may change or go. Nothing is allocated while running. Float nodes run
 * `run`, quantized ones `run_int`. */
typedef struct sqz_exec sqz_exec;
/* Called after each node with its outputs (valid only during the call). Node and value ids are
 * those of the graph given; graph inputs come first, with node SQZ_NONE. An error stops the run. */
typedef sqz_status (*sqz_exec_hook)(void *user, sqz_nid node, sqz_vid value, const sqz_tensor *t);
typedef struct sqz_exec_options {
    sqz_exec_hook hook;
    void *hook_user;
    bool keep_all;   /* every activation stays readable until the next run (sqz_exec_value) */
    bool time_nodes; /* fill node_seconds */
    bool no_fuse;    /* every node runs by itself, as with a hook; the bytes are the same */
} sqz_exec_options;
sqz_status sqz_exec_create(const sqz_graph *g, int64_t batch, const sqz_exec_options *opt,
                           sqz_exec **out);
/* The same without a copy of the graph: takes it over, also on failure. Weights that operators have
 * packed are given back one by one, so they are never there twice. */
sqz_status sqz_exec_adopt(sqz_graph *g, int64_t batch, const sqz_exec_options *opt, sqz_exec **out);
void sqz_exec_free(sqz_exec *e); /* NULL is fine */
/* in[i]: float32 (or the input's type), contiguous, in the layout that the graph's input value has
 * now (channel_last or not); out[i]: of the output value's shape and type. */
sqz_status sqz_exec_run(sqz_exec *e, const void *const *in, void *const *out);
/* All of it for one run (once.c): in[i] is input i in the file's shape and layout, of any number
 * type; a batch other than the graph's is set in g. out: room for n_output tensors, fresh ones in
 * the file's layout. */
sqz_status sqz_exec_once(sqz_graph *g, const sqz_tensor *in, sqz_tensor *out);
const sqz_tensor *sqz_exec_value(const sqz_exec *e,
                                 sqz_vid v); /* keep_all only; NULL: not computed */
/* The node that computes what node n does: n, or the one that n was fused into (fuse.c). */
sqz_nid sqz_exec_leader(const sqz_exec *e, sqz_nid n);
/* Seconds of node n and of all that is fused into it, summed over runs; time_nodes only. */
double sqz_exec_seconds(const sqz_exec *e, sqz_nid n);
void sqz_exec_add_seconds(const sqz_exec *e, double *of_node); /* the same for every node */
/* Times of a graph's nodes over several executors of it (profile.c). */
typedef struct sqz_profile {
    double *seconds;       /* of each node, with what is fused into it */
    sqz_nid *leader;       /* of each node: the one that it was fused into, or itself */
    int64_t samples, runs; /* counted by the caller */
} sqz_profile;
sqz_status sqz_profile_new(const sqz_graph *g, sqz_arena *a, sqz_profile *p);
void sqz_profile_add(sqz_profile *p, const sqz_graph *g, const sqz_exec *e); /* with time_nodes */
size_t sqz_exec_bytes(const sqz_exec *e); /* activations and scratch */
/* Constants that are not read any more while an executor is made (spent.c): counts readers, then
 * drops the numbers of each constant whose last reader has packed them. */
typedef struct sqz_spent {
    uint32_t *readers; /* of each value */
} sqz_spent;
sqz_status sqz_spent_begin(const sqz_graph *g, sqz_arena *a, sqz_spent *s);
/* Node n is prepared and set sqz_prep.spent; tensor: of each value. */
void sqz_spent_node(sqz_spent *s, sqz_graph *g, const sqz_node *n, uint32_t spent,
                    sqz_tensor *tensor);
/* Samples (n, C, rest...) to (n, rest..., C) with elements of `elem` bytes (turn.c). */
typedef struct sqz_turn {
    size_t n, channels, rest, elem;
} sqz_turn;
sqz_status sqz_turn_last(sqz_ctx *ctx, const sqz_turn *t, const void *from, void *to);
/* 1 when the graph can run any batch (set_batch works and outputs scale), else the file's fixed
 * batch. */
sqz_status sqz_graph_max_batch(const sqz_graph *g, int64_t wanted, int64_t *out);
#endif

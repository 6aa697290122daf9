/* step.h: a node made ready to run. */
#ifndef SQZ_STEP_H
#define SQZ_STEP_H
#include "exec/fuse.h"

typedef struct sqz_step {
    const sqz_node *node;
    sqz_nid id;
    const sqz_chain *chain;               /* what is fused into it; NULL: nothing */
    sqz_status (*run)(const sqz_call *c); /* NULL: a view that shares its input's memory */
    sqz_call call;
    double seconds;
} sqz_step;

typedef struct sqz_step_env {
    sqz_ctx *ctx;
    sqz_graph *g;
    sqz_arena *arena;     /* lives as long as the steps */
    sqz_tensor *tensor;   /* of each value; data of activations may be set later */
    sqz_spent *spent;     /* gives back constants that operators have packed; NULL: none */
    size_t scratch_bytes; /* most that a step asks for */
} sqz_step_env;
/* s->node, id and chain are set; fills the rest. call.scratch is left to the caller. */
sqz_status sqz_step_prepare(sqz_step_env *env, sqz_step *s);
#endif

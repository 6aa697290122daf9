/* tape_impl.h: the tape between its files. A tape is a row of acts: every node runs, some run again
 * when the way back needs what was not kept, and hand their gradients on. Memory of a value or a
 * gradient is a life: from the act that makes it to the last that reads it. */
#ifndef SQZ_TAPE_IMPL_H
#define SQZ_TAPE_IMPL_H
#include "train/place.h"
#include "train/tape.h"

typedef struct sqz_tape_step { /* of a node, in execution order */
    const sqz_node *node;
    sqz_call call;
    sqz_grad_call grad;
    sqz_fused fused;
    sqz_vid *out; /* what it computes: of the node, or behind the clamp that is fused into it */
    bool runs;    /* forward: not views, nor clamps that are fused */
    bool active;  /* something wanted lies before it, a seed behind it */
    bool reads_in[2], reads_out; /* its gradient */
    uint64_t passes;   /* bit k: the gradient of input k is that of output 0, in the same memory */
    double cost;       /* of running it: operations, a number that is stored counts as 32 */
    double seconds[2]; /* forward, backward */
} sqz_tape_step;

typedef enum sqz_act_kind { SQZ_ACT_RUN, SQZ_ACT_AGAIN, SQZ_ACT_BACK } sqz_act_kind;
typedef struct sqz_act {
    sqz_act_kind kind;
    uint32_t step;
    uint32_t in_life, out_life; /* of input 0 and output 0 as they stand; running: SQZ_NONE: none */
} sqz_act;

typedef struct sqz_tape_plan {
    sqz_act *act;
    uint32_t n_act, n_forward; /* the first ones are forward */
    sqz_place *life;
    uint32_t *root; /* of each life: the one whose memory it shares, or itself */
    uint32_t n_life;
    uint32_t *data, *grad; /* of each value: its latest life, and that of its gradient */
    size_t bytes;
    double again; /* operations of what runs again */
    uint32_t n_again;
} sqz_tape_plan;

struct sqz_tape {
    sqz_ctx *ctx;
    sqz_graph *g; /* its own clone: what is fused is gone from it */
    sqz_arena arena;
    sqz_tape_step *step;
    uint32_t n;
    sqz_tensor *tensor;         /* of each value */
    float **gradient;           /* of each value; NULL: none */
    bool *wanted, *seed, *read; /* of each value: as asked */
    bool *live, *reached;       /* with a wanted one before it; whose gradient has been begun */
    bool *outside;              /* somebody outside reads or writes it (of bases) */
    sqz_vid *base, *next;       /* the value whose memory it is; the next value of the same base */
    uint32_t *maker;            /* of each base: the step that computes it, SQZ_NONE: none */
    sqz_vid *group, *next_in_group; /* the same of gradients */
    bool *drop;                     /* of bases: not kept for the way back */
    sqz_tape_plan plan;
    void *memory, *scratch;
    size_t bytes, scratch_bytes;
    const struct sqz_team *team;
    bool time_nodes, plain;
};

static inline bool sqz_tape_is_float(const sqz_tape *t, sqz_vid v)
{
    return v != SQZ_NONE && sqz_val(t->g, v)->dtype == SQZ_F32;
}
/* Its memory is of the plan: no constant but a wanted one. */
static inline bool sqz_tape_planned(const sqz_tape *t, sqz_vid v)
{
    return v != SQZ_NONE && (!sqz_val(t->g, v)->constant || t->wanted[v]);
}
/* The gradient of input k of an active step is handed on. */
static inline bool sqz_tape_gives(const sqz_tape *t, const sqz_tape_step *s, unsigned k)
{
    return sqz_tape_is_float(t, s->node->in[k]) && t->live[s->node->in[k]];
}
static inline bool sqz_tape_is_op(const sqz_tape_step *s, const char *name)
{
    const char *a = s->node->op->info.name;
    while (*a && *a == *name)
        a++, name++;
    return *a == *name;
}

/* tape_fuse.c: clamps go into the node before them. Before the steps are made; then on the steps.
 */
sqz_status sqz_tape_fuse_norms(sqz_tape *t);
sqz_status sqz_tape_share_batch(sqz_tape *t); /* norms and dropout learn of the team */
sqz_status sqz_tape_fuse_clamps(sqz_tape *t);
/* tape_alias.c: which values share memory, and which gradients. */
sqz_status sqz_tape_share_values(sqz_tape *t);
sqz_status sqz_tape_share_gradients(sqz_tape *t);
/* tape_plan.c: the acts and their memory, when the values of `drop` are not kept; in `a`. */
sqz_status sqz_tape_plan_make(const sqz_tape *t, const bool *drop, sqz_arena *a,
                              sqz_tape_plan *out);
/* tape_limit.c: sets t->drop such that the plan fits into so many bytes; 0: drops what costs next
 * to nothing. */
sqz_status sqz_tape_choose(sqz_tape *t, size_t limit);
#endif

/* attention: where a value is large, whatever its channels: squared differences between maps
 * a = mean over channels of F^2, flattened and of length 1; mean over elements, sum over pairs
 * (Zagoruyko & Komodakis 2017, "Paying more attention to attention"). */
#include "distill/loss.h"

typedef struct opts {
    sqz_loss_common common;
    const char *pairs;
} opts;
static const sqz_attr schema[] = {
    SQZ_LOSS_COMMON_ROWS(opts, 1000),
    {.name = "pairs",
     .offset = offsetof(opts, pairs),
     .type = SQZ_A_STRING,
     .names = "auto",
     .doc = "values: auto, or student->teacher;..."},
};

static sqz_vid map_of(sqz_loss_site *s, sqz_vid v)
{
    const sqz_vid x = sqz_loss_plain(s, v), square = sqz_b(&s->b, "mul", NULL, 2, x, x);
    const sqz_vid mean = sqz_b(&s->b, "reduce_mean", "axes=-1 keepdims=0", 1, square);
    return sqz_loss_unit(s, sqz_loss_rows(s, mean));
}

static sqz_status build(sqz_loss_site *s, const void *o, sqz_vid *out)
{
    sqz_loss_pair *pair;
    uint32_t n;
    SQZ_TRY(sqz_loss_pairs(s, ((const opts *)o)->pairs, SQZ_PAIR_STAGES, &pair, &n));
    for (uint32_t i = 0; i < n; i++) {
        sqz_vid a = pair[i].student, b = pair[i].teacher;
        if (sqz_val(s->g, a)->shape.rank < 3)
            return sqz_fail(s->g->ctx, SQZ_E_SHAPE,
                            "value '%s' has no places that attention could go to",
                            sqz_val(s->g, a)->name);
        SQZ_TRY(sqz_loss_same_size(s, &a, &b));
        const sqz_vid one = sqz_loss_mean_square(s, map_of(s, a), map_of(s, b));
        *out = i == 0 ? one : sqz_b(&s->b, "add", NULL, 2, *out, one);
    }
    return s->b.status;
}

const sqz_loss sqz_loss_attention = {
    .info = {.name = "attention",
             .doc = "maps of where values are large: Zagoruyko & Komodakis 2017",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_LOSS_TEACHER,
    .build = build,
};

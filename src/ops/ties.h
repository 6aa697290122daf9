/* ties.h: rows that operators share: which indices of their inputs and outputs leave together. */
#ifndef SQZ_TIES_H
#define SQZ_TIES_H
#include "ir/op.h"

static inline int64_t sqz_tie_dim(const sqz_ties *t, const sqz_tie_end *a)
{
    return (a->value < 0 ? t->out[-1 - a->value] : t->in[a->value])->shape.dim[a->axis];
}
/* Index i of one axis with index i of the other. */
static inline void sqz_tie_same(sqz_ties *t, sqz_tie_end a, sqz_tie_end b) { t->row(t, &a, &b, 0); }
/* Each index of the axis may leave, whatever the others do. */
static inline void sqz_tie_free(sqz_ties *t, sqz_tie_end a) { t->row(t, &a, NULL, 0); }

/* Elementwise with broadcasting: every input and output, shapes aligned at the end. */
void sqz_ties_elementwise(sqz_ties *t);
/* Axis i of input 0 and axis i of output k, but those in the bit mask. */
void sqz_ties_axes(sqz_ties *t, unsigned k, uint32_t but);
/* Batch and channels of input 0 and output 0; what lies in space stays. */
void sqz_ties_channels(sqz_ties *t);
/* The same elements, in the same order, under another shape: an index of a factor that the input's
 * and the output's axes have in common. */
void sqz_ties_view(sqz_ties *t);
/* Weights (O,...,I/group), as convolutions have them; turned: (I,...,O/group). Bias is input 2. */
void sqz_ties_conv(sqz_ties *t, int64_t group, bool turned);
/* Scale and bias (inputs 1 ...) of the last axes of input 0, aligned at the end. */
void sqz_ties_params(sqz_ties *t);
#endif

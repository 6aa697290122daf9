/* dropout.h: attributes of dropout and its training form, for who turns one into the other. */
#ifndef SQZ_DROPOUT_H
#define SQZ_DROPOUT_H
#include <stdint.h>

typedef struct sqz_dropout_attrs {
    double ratio; /* of elements that training drops */
} sqz_dropout_attrs;
typedef struct sqz_dropout_train_attrs {
    double ratio;
    int64_t seed;
    int64_t part; /* of a batch that a team shares: which one this is. Set by the tape, no option */
} sqz_dropout_train_attrs;
#endif

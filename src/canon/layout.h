/* layout.h: what passes ask about the layout of a whole graph. */
#ifndef SQZ_LAYOUT_H
#define SQZ_LAYOUT_H
#include "ir/graph.h"

/* Fails when the layout pass has not run and a value is channel-last all the same: a graph written
 * by hand. */
sqz_status sqz_layout_known(const sqz_graph *g);
#endif

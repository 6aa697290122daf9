/* boundary.h: the part of a graph that runs on the device. */
#ifndef SQZ_BOUNDARY_H
#define SQZ_BOUNDARY_H
#include "ir/op.h"

/* A clone (same ids) without the quantize and dequantize nodes at its ends; with float_io they
 * stay. */
sqz_status sqz_device_graph(const sqz_graph *from, bool float_io, sqz_graph **out);
#endif

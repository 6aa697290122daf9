/* fuzz_tensor.c: any bytes as a serialized TensorProto, the .pb files of ONNX's test vectors. */
#include "fuzz.h"
#include "io/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sqz_ctx *ctx = fuzz_ctx_strict(size, 64); /* a typed list: one byte may be an int64 of the list
                                                 and again of the tensor */
    sqz_tensor t;
    char name[16];
    if (fuzz_may(ctx, sqz_tensor_from_pb(ctx, data, size, &t, name, sizeof name), "tensor")) {
        double sum = 0;
        for (size_t i = 0; i < t.count; i++)
            sum += sqz_tensor_f64(&t, i);
        if (t.count == 0 && sum != 0)
            abort();
        sqz_tensor_free(ctx, &t);
    }
    sqz_ctx_free(ctx);
    return 0;
}

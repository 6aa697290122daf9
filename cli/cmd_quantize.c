/* squeeze quantize: int8 post-training quantization. */
#include "cmd.h"

static const cli_flag_id flags[] = {
    CLI_DATA,     CLI_OUT,         CLI_RECIPE, CLI_BITS,     CLI_ACTIVATIONS, CLI_METHOD,
    CLI_GROUP,    CLI_PER_TENSOR,  CLI_POW2,   CLI_EXCLUDE,  CLI_CALIBRATOR,  CLI_RANGES,
    CLI_MAX_DROP, CLI_TARGET_SIZE, CLI_DEVICE, CLI_TEST,     CLI_METRIC,      CLI_SAMPLES,
    CLI_LIMIT,    CLI_BUDGET,      CLI_LAYERS, CLI_SPLIT,    CLI_LAYOUT,      CLI_SHAPE,
    CLI_BIND,     CLI_WEIGHTS,     CLI_BATCH,  CLI_MARKDOWN, CLI_HTML,        CLI_DRY_RUN,
    CLI_SEED,     CLI_THREADS,     CLI_FORMAT, CLI_END};
const sqz_cmd sqz_cmd_quantize = {
    .name = "quantize",
    .summary = "int8 model from a float one and calibration data",
    .usage = "quantize MODEL --data SET -o OUT.onnx [OPTIONS]",
    .doc = "Post-training quantization to int8: asymmetric activations, symmetric weights\n"
           "with one scale per channel, int32 biases. OUT.onnx has QuantizeLinear and\n"
           "DequantizeLinear nodes and runs in any ONNX runtime as it is; its metadata says\n"
           "how it was made. With --max-drop and labelled data, exit 1 tells that accuracy\n"
           "fell further than allowed.",
    .example = "  squeeze quantize datasets/fashion-cnn/fashion-cnn.onnx --data fashion.h5 \\\n"
               "      --exclude head/fc -o int8.onnx\n"
               "makes all but the last layer int8.",
    .arg = CLI_ARG_MODEL,
    .flags = flags,
    .call = sqz_quantize,
};

/* squeeze quantize: post-training quantization. */
#include "cmd.h"

static const cli_flag_id flags[] = {
    CLI_DATA,     CLI_OUT,           CLI_RECIPE, CLI_BITS,     CLI_ACTIVATIONS, CLI_METHOD,
    CLI_GROUP,    CLI_PER_TENSOR,    CLI_POW2,   CLI_EXCLUDE,  CLI_CALIBRATOR,  CLI_RANGES,
    CLI_MAX_DROP, CLI_TARGET_SIZE,   CLI_DEVICE, CLI_TEST,     CLI_METRIC,      CLI_SAMPLES,
    CLI_LIMIT,    CLI_BUDGET,        CLI_LAYERS, CLI_SPLIT,    CLI_LAYOUT,      CLI_SHAPE,
    CLI_BIND,     CLI_KERAS_WEIGHTS, CLI_BATCH,  CLI_MARKDOWN, CLI_HTML,        CLI_DRY_RUN,
    CLI_SEED,     CLI_THREADS,       CLI_FORMAT, CLI_END};
const sqz_cmd sqz_cmd_quantize = {
    .name = "quantize",
    .summary = "model of integers from a float one and calibration data",
    .usage = "quantize MODEL --data SET -o OUT.onnx [OPTIONS]",
    .doc = "Post-training quantization. Without options: int8, asymmetric activations, symmetric\n"
           "weights with one scale per channel, int32 biases that keep the means of the float\n"
           "model; below 8 bits GPTQ rounds. --weights and --activations choose the bits,\n"
           "--method what refines them, --recipe all of it at once (docs/recipes.md).\n"
           "OUT.onnx runs in any ONNX runtime as it is; its metadata says how it was made: given\n"
           "back with --recipe, the same model comes out, byte for byte. Layers that collapse are\n"
           "named; --layers shows all of them, and what leaving the worst ones float would gain.\n"
           "With --max-drop and labelled data, the worst layers stay float until accuracy holds;\n"
           "with --weights auto as well, the smallest model that holds is searched, with bits of\n"
           "their own for each layer, and the report has all that was tried. --target-size, or a\n"
           "--device with limits, asks for the most accurate one of that size. Exit 1 tells that\n"
           "nothing holds.",
    .example = "  squeeze quantize datasets/fashion-cnn/fashion-cnn.onnx --data fashion.h5 \\\n"
               "      --exclude head/fc -o int8.onnx\n"
               "makes all but the last layer int8.\n\n"
               "  squeeze quantize datasets/fashion-cnn/fashion-cnn.onnx --data fashion.h5 \\\n"
               "      --weights auto --max-drop '0.5 pp' -o small.onnx --html small.html\n"
               "finds the smallest model that loses at most half a point.",
    .arg = CLI_ARG_MODEL,
    .flags = flags,
    .call = sqz_quantize,
};

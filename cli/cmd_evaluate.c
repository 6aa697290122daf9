/* squeeze evaluate: accuracy, error against a reference, fit on a device. */
#include "cmd.h"

static const cli_flag_id flags[] = {CLI_DATA,   CLI_AGAINST, CLI_LAYERS, CLI_PROFILE, CLI_DEVICE,
                                    CLI_METRIC, CLI_LIMIT,   CLI_SPLIT,  CLI_LAYOUT,  CLI_SHAPE,
                                    CLI_BIND,   CLI_WEIGHTS, CLI_BATCH,  CLI_OUT,     CLI_MARKDOWN,
                                    CLI_HTML,   CLI_DRY_RUN, CLI_SEED,   CLI_THREADS, CLI_END};
const sqz_cmd sqz_cmd_evaluate = {
    .name = "evaluate",
    .summary = "accuracy, error of each layer, and the fit on a device",
    .usage = "evaluate MODEL --data SET [--against REF] [--device DEVICE] [OPTIONS]",
    .doc = "Runs the model on labelled data and shows the metrics that suit the labels, each\n"
           "with its standard error. With --against, also agreement with a reference model;\n"
           "with --layers, the signal-to-noise ratio of every layer, worst ones being where\n"
           "quantization hurts. With a device, exit 1 tells that a limit is broken. Uses the\n"
           "split `test` of a prepared set, else `valid`. -o writes report.html. With --profile,\n"
           "time, operations and bytes of every node meanwhile, as in bench.",
    .example = "  squeeze evaluate int8.onnx --data fashion.h5 \\\n"
               "      --against datasets/fashion-cnn/fashion-cnn.onnx --layers\n"
               "compares an int8 model with the float one, layer by layer.",
    .arg = CLI_ARG_MODEL,
    .flags = flags,
    .call = sqz_evaluate,
};

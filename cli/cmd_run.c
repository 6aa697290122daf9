/* squeeze run: a model once, on named arrays. */
#include "cmd.h"

static const cli_flag_id flags[] = {CLI_INPUTS,  CLI_OUT,     CLI_SHAPE,   CLI_BIND, CLI_WEIGHTS,
                                    CLI_LITERAL, CLI_DRY_RUN, CLI_THREADS, CLI_END};
const sqz_cmd sqz_cmd_run = {
    .name = "run",
    .summary = "the outputs of a model for given inputs",
    .usage = "run MODEL --inputs IN.npz [-o OUT.npz] [OPTIONS]",
    .doc = "Runs the model once. IN.npz holds one array for each input, by its name; a lone\n"
           "array needs none. A folder of input_0.pb, input_1.pb, ... (ONNX tensors) is read\n"
           "by position. OUT.npz gets every output by its name, in the layout of the model.",
    .example = "  squeeze run datasets/fashion-cnn/fashion-cnn.onnx --inputs in.npz -o out.npz\n"
               "writes array `logits`, to be compared with anything else.",
    .arg = CLI_ARG_MODEL,
    .flags = flags,
    .call = sqz_run,
};

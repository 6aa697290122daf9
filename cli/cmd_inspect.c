/* squeeze inspect: what is in a model and what it costs. */
#include "cmd.h"

static const cli_flag_id flags[] = {CLI_DEVICE,   CLI_SHAPE, CLI_BIND,    CLI_WEIGHTS,
                                    CLI_MARKDOWN, CLI_HTML,  CLI_THREADS, CLI_END};
const sqz_cmd sqz_cmd_inspect = {
    .name = "inspect",
    .summary = "layers, sizes, memory and estimated time of a model",
    .usage = "inspect MODEL [--device DEVICE] [OPTIONS]",
    .doc = "Lists inputs, outputs and every node with its shape, multiply-accumulates, weight\n"
           "bytes, live activation memory and estimated latency and energy. With a device\n"
           "that has limits, also says which of them hold. What squeeze or the device cannot\n"
           "run is listed all at once, each with its place.",
    .example = "  squeeze inspect datasets/fashion-cnn/fashion-cnn.onnx --device cortex-m4\n"
               "shows what the float model would need on a Cortex-M4.",
    .arg = CLI_ARG_MODEL,
    .flags = flags,
    .call = sqz_inspect,
};

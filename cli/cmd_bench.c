/* squeeze bench: latency on this machine. */
#include "cmd.h"

static const cli_flag_id flags[] = {CLI_BATCH, CLI_REPEAT,  CLI_PROFILE,  CLI_SHAPE,
                                    CLI_BIND,  CLI_WEIGHTS, CLI_MARKDOWN, CLI_HTML,
                                    CLI_SEED,  CLI_THREADS, CLI_END};
const sqz_cmd sqz_cmd_bench = {
    .name = "bench",
    .summary = "latency of a model on this machine, measured",
    .usage = "bench MODEL [--batch N] [--threads N] [OPTIONS]",
    .doc = "Warms up, then runs the model on random inputs for two seconds (or --repeat\n"
           "times) and shows the median, the minimum and the 90th percentile, operations per\n"
           "second, activation memory and the time to load. With --profile, a table of all nodes:\n"
           "time, operations a second and how much that is of what this machine can do, bytes\n"
           "read and written. Nodes that run as one are one line.",
    .example = "  squeeze bench datasets/fashion-cnn/fashion-cnn.onnx --threads 1 --json\n"
               "measures one image at a time on one core.\n"
               "  squeeze bench int8.onnx -j 1 --profile --html profile.html\n"
               "shows where its time goes, with charts.",
    .arg = CLI_ARG_MODEL,
    .flags = flags,
    .call = sqz_bench,
};

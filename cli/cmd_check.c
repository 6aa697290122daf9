/* squeeze check: the gate for continuous integration. */
#include "cmd.h"

static const cli_flag_id flags[] = {CLI_DEVICE,  CLI_BASELINE, CLI_OUT,   CLI_JUNIT, CLI_MARKDOWN,
                                    CLI_HTML,    CLI_GITHUB,   CLI_SHAPE, CLI_BIND,  CLI_WEIGHTS,
                                    CLI_DRY_RUN, CLI_THREADS,  CLI_END};
const sqz_cmd sqz_cmd_check = {
    .name = "check",
    .summary = "exit 1 when a limit is broken or the model grew too much",
    .usage = "check MODEL --device DEVICE [--baseline OLD.json] [OPTIONS]",
    .doc = "Needs no data, so it is quick enough for every commit. Compares the estimates of\n"
           "flash, RAM, latency and energy with the limits of the device file, and with an\n"
           "earlier report when there is a baseline. -o writes the report that is the next\n"
           "baseline.",
    .example = "  squeeze check model.onnx --device board.yaml --baseline main.json \\\n"
               "      --junit check.xml --github\n"
               "annotates a pull request on GitHub and keeps the result for the test summary.",
    .arg = CLI_ARG_MODEL,
    .flags = flags,
    .call = sqz_check,
};

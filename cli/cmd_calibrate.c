/* squeeze calibrate: activation ranges from data. */
#include "cmd.h"

static const cli_flag_id flags[] = {CLI_DATA,    CLI_OUT,   CLI_CALIBRATOR, CLI_SAMPLES, CLI_SPLIT,
                                    CLI_LAYOUT,  CLI_SHAPE, CLI_BIND,       CLI_WEIGHTS, CLI_BATCH,
                                    CLI_DRY_RUN, CLI_SEED,  CLI_THREADS,    CLI_END};
const sqz_cmd sqz_cmd_calibrate = {
    .name = "calibrate",
    .summary = "activation ranges of a model on data, saved as JSON",
    .usage = "calibrate MODEL --data SET -o RANGES.json [OPTIONS]",
    .doc = "Runs the model on calibration data and finds the range of each activation. The\n"
           "data streams through histograms, so memory does not grow with the number of\n"
           "samples. RANGES.json can be edited by hand and given to `squeeze quantize\n"
           "--ranges`. Uses the split `calib` of a prepared set, else `train`.",
    .example = "  squeeze calibrate datasets/fashion-cnn/fashion-cnn.onnx --data fashion.h5 \\\n"
               "      --calibrator entropy -o ranges.json\n"
               "chooses the ranges that lose least information.",
    .arg = CLI_ARG_MODEL,
    .flags = flags,
    .call = sqz_calibrate,
};

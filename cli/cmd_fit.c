/* squeeze fit: the main job. */
#include "cmd.h"

static const cli_flag_id flags[] = {
    CLI_DATA,     CLI_DEVICE,  CLI_OUT_DIR,    CLI_TEST,       CLI_BUDGET,  CLI_METRIC,
    CLI_MAX_DROP, CLI_EXCLUDE, CLI_PER_TENSOR, CLI_CALIBRATOR, CLI_SAMPLES, CLI_LIMIT,
    CLI_SPLIT,    CLI_LAYOUT,  CLI_SHAPE,      CLI_BIND,       CLI_WEIGHTS, CLI_BATCH,
    CLI_DRY_RUN,  CLI_SEED,    CLI_THREADS,    CLI_END};
const sqz_cmd sqz_cmd_fit = {
    .name = "fit",
    .summary = "the best model that fits a device, with the proof (the main job)",
    .usage = "fit MODEL --data SET --device DEVICE -o FOLDER [OPTIONS]",
    .doc = "Searches for the most accurate model that keeps every limit of the device file:\n"
           "float as it is, then int8 over calibrators and layers that stay float. FOLDER\n"
           "gets model.onnx, report.json and report.html with every trial. Calibrates on\n"
           "training data, chooses on validation data and gives the final figure on test\n"
           "data. When nothing fits, says which limit stands in the way (exit 4).",
    .example = "  squeeze fit datasets/fashion-cnn/fashion-cnn.onnx --data fashion.h5 \\\n"
               "      --device datasets/fashion-cnn/device.yaml -o fitted/\n"
               "makes the demo's classifier fit 64 KiB of RAM; see fitted/report.html.",
    .arg = CLI_ARG_MODEL,
    .flags = flags,
    .call = sqz_fit,
};

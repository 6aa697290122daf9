/* squeeze distill: training, with a teacher or without. */
#include "cmd.h"

static const cli_flag_id flags[] = {
    CLI_TEACHER,   CLI_STUDENT,  CLI_TRAIN_DATA, CLI_VALID,   CLI_TRAIN_TEST,  CLI_OUT,
    CLI_QAT,       CLI_LOSS,     CLI_LOSS_GRAPH, CLI_EPOCHS,  CLI_TRAIN_BATCH, CLI_RATE,
    CLI_OPTIMIZER, CLI_SCHEDULE, CLI_DECAY,      CLI_AUGMENT, CLI_MIXUP,       CLI_SMOOTHING,
    CLI_CLIP,      CLI_EMA,      CLI_PATIENCE,   CLI_INIT,    CLI_FREEZE,      CLI_REPLACE_HEAD,
    CLI_UNTIL,     CLI_DEVICE,   CLI_METRIC,     CLI_LIMIT,   CLI_MEMORY,      CLI_CACHE,
    CLI_RESTART,   CLI_LAYOUT,   CLI_SHAPE,      CLI_BIND,    CLI_MARKDOWN,    CLI_HTML,
    CLI_DRY_RUN,   CLI_SEED,     CLI_THREADS,    CLI_MADE,    CLI_END};
const sqz_cmd sqz_cmd_distill = {
    .name = "distill",
    .summary = "trains a model, alone or from a larger one",
    .usage = "distill [MODEL] [--teacher T] [--student S] --data SET -o OUT.onnx [OPTIONS]",
    .doc = "Trains MODEL on SET: on its labels, and with --teacher on what a larger model\n"
           "answers. --student makes the model of the teacher: narrower, shallower, or the\n"
           "largest that fits --device. Training is on split `train`, the epoch that is best on\n"
           "`valid` is written, and `test` is looked at once, at the end.\n"
           "--data synthetic distills without data, from samples that fit the teacher's batch\n"
           "norms.\n"
           "What was reached is kept beside the output, as OUT.onnx.training, until that is\n"
           "written: after a kill the same command goes on from there, and gives the same bytes\n"
           "as if nothing had been. The seed decides the bytes, the number of threads does not.\n"
           "Exit 1 tells that the loss diverged; the best epoch before that is written.\n"
           "--qat trains the model as it will be quantized, and writes it so (QDQ).\n"
           "docs/training.md has losses, schedules and advice.",
    .example =
        "  squeeze distill --teacher datasets/fashion-cnn/fashion-cnn.onnx --data fashion.h5 \\\n"
        "      --student width=0.5 --epochs 5 -o half.onnx --html half.html\n"
        "makes a network of half the channels and trains it from the whole one.",
    .arg = {"MODEL", offsetof(cli_args, job.model), false},
    .flags = flags,
    .call = sqz_distill,
};

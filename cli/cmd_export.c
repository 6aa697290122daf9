/* squeeze export: a squeezed model back into the Keras file that it came from. */
#include "cmd.h"

static const cli_flag_id flags[] = {CLI_KERAS,    CLI_OUT,  CLI_SHAPE, CLI_DRY_RUN,
                                    CLI_MARKDOWN, CLI_HTML, CLI_END};
const sqz_cmd sqz_cmd_export = {
    .name = "export",
    .summary = "the weights of a squeezed model as a Keras file",
    .usage = "export MODEL.onnx --keras ORIGINAL.h5 -o OUT.h5",
    .doc = "OUT.h5 is ORIGINAL.h5 with the numbers of MODEL.onnx, which squeeze made of it:\n"
           "the layers and their config are those of the original, quantized weights are the\n"
           "real numbers that they stand for. A batch norm that became part of the layer\n"
           "before it is written as the identity, with the bias that it left. Layers whose\n"
           "weights have other shapes are refused by name.",
    .example = "  squeeze export int8.onnx --keras model.h5 -o squeezed.h5\n"
               "loads in Keras as model.h5 does.",
    .arg = CLI_ARG_MODEL,
    .flags = flags,
    .call = sqz_export_weights,
};

/* squeeze prepare: raw data to one HDF5 set. */
#include "cmd.h"

static const cli_flag_id flags[] = {CLI_OUT, CLI_DRY_RUN, CLI_THREADS, CLI_END};
const sqz_cmd sqz_cmd_prepare = {
    .name = "prepare",
    .summary = "image folders, IDX, CSV, NPY to one data set with splits",
    .usage = "prepare SPEC -o SET.h5 [OPTIONS]",
    .doc = "Reads the YAML data specification SPEC (docs/data.md), which names the raw files,\n"
           "the preprocessing and the splits, and writes one HDF5 data set with what was done\n"
           "and a checksum. The other commands read such sets; they also take NPZ files with\n"
           "`x` and `y` as they are.",
    .example = "  squeeze prepare datasets/fashion-mnist.yaml -o fashion.h5\n"
               "makes the set of the demo from Debian's package dataset-fashion-mnist.",
    .arg = {"SPEC", offsetof(cli_args, job.data), true},
    .flags = flags,
    .call = sqz_prepare,
};

/* squeeze devices: the profiles that ship. */
#include "cmd.h"

static const cli_flag_id flags[] = {CLI_END};
const sqz_cmd sqz_cmd_devices = {
    .name = "devices",
    .summary = "device profiles, and where their figures come from",
    .usage = "devices [NAME] [OPTIONS]",
    .doc = "Lists the device profiles that ship with squeeze, or shows one in full: memories,\n"
           "cycles per operation, the source of each figure and how well it predicts. NAME may\n"
           "also be a device file of yours; that checks it (docs/device-files.md).",
    .example = "  squeeze devices cortex-m7\n"
               "shows what the estimates for a Cortex-M7 rest on.",
    .arg = {"NAME", offsetof(cli_args, job.device), false},
    .flags = flags,
    .call = sqz_devices,
};

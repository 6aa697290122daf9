/* work.h: a job while it is being done: what it opened, to be closed together, and the steps
 * commands share. */
#ifndef SQZ_WORK_H
#define SQZ_WORK_H
#include "calib/calib.h"
#include "device/device.h"
#include "eval/eval.h"
#include "eval/report.h"
#include "io/data.h"
#include "io/import.h"
#include "ir/pass.h"
#include "quant/recipe.h"

typedef struct sqz_work {
    sqz_ctx *ctx;
    sqz_job job;                       /* every field the caller's header knew; the rest zero */
    sqz_graph *graph;                  /* canonical: channel-last, folded */
    sqz_graph *reference;              /* of job.against, canonical; or NULL */
    sqz_dataset *calib, *judge, *test; /* may be NULL; judge is what choices are made on */
    sqz_device *device;
    sqz_stats *stats;
    struct sqz_prefix *prefix; /* what recipes share: see work_quant.c */
    sqz_arena arena;           /* for what lives as long as the job */
    sqz_str notes;             /* warnings for the report, one line each */
    sqz_import_source source;  /* of graph */
    sqz_report *rep;
} sqz_work;

/* What a command is, once the job is copied and the report made. It fills w->rep. */
typedef sqz_status (*sqz_work_fn)(sqz_work *w);
/* Opens, runs `fn`, closes. *out is set when fn succeeded, or failed with E_GATE or E_BUDGET. */
sqz_status sqz_work_do(sqz_ctx *ctx, const sqz_job *job, const char *command, sqz_work_fn fn,
                       sqz_report **out);

sqz_status sqz_work_model(sqz_work *w); /* job.model -> graph, canonical; E_ARG when not given */
/* The same with values of its inputs known: those that operators need become constants. */
sqz_status sqz_work_model_given(sqz_work *w, sqz_given *given, size_t n);
sqz_status sqz_work_reference(sqz_work *w); /* job.against -> reference; nothing when not given */
sqz_status sqz_work_device(sqz_work *w);    /* job.device; nothing when not given */
/* Opens job.data at the split asked for (job.split), else the first of `splits` ("calib|train")
 * that the set has, else the whole file. */
sqz_status sqz_work_data(sqz_work *w, const char *path, const char *splits, sqz_dataset **out);
sqz_status sqz_canonical(sqz_ctx *ctx, sqz_graph *g);
/* The recipe that the job asks for: job.recipe, else int8, with what the other fields say on top.
 * All of it lives in w->arena. */
sqz_status sqz_work_recipe(sqz_work *w, sqz_recipe *out);
/* A quantized copy of w->graph by that recipe. Ranges come from job.ranges, else from statistics.
 * The passes in front of calib run once for each list of them, and statistics of what they leave
 * are collected once: recipes that begin alike share both. */
sqz_status sqz_work_quantized(sqz_work *w, const sqz_recipe *r, sqz_str *notes, sqz_graph **out);
/* Statistics that recipes with these passes in front of calib share, collected if need be; they are
 * w's. */
sqz_status sqz_work_stats(sqz_work *w, const char *before, const sqz_stats **out);
void sqz_work_forget(sqz_work *w); /* drops what recipes share */
/* Checksum of the calibration data that statistics were collected from; "": none were. */
const char *sqz_work_data_checksum(const sqz_work *w);
/* Metadata that every output model carries: source hash, data checksum, recipe, seed, version. */
sqz_status sqz_work_stamp(sqz_work *w, sqz_graph *g, const char *recipe);
/* --dry-run of a command that runs the model on `samples` samples of ds in all: how long, by timing
 * a few, and what would be written. */
sqz_status sqz_work_dry_run(sqz_work *w, sqz_dataset *ds, double samples, const char *writes);
int64_t sqz_work_samples(const sqz_work *w); /* job.samples or 512 */

/* ---- an earlier report to compare with (baseline.c) ---- */
typedef struct sqz_baseline {
    double flash, ram, latency; /* bytes, bytes, seconds; at least 0 */
    char device[128];           /* "": the report does not say */
} sqz_baseline;
sqz_status sqz_baseline_parse(sqz_ctx *ctx, const char *path, const char *text, size_t n,
                              sqz_baseline *out);

/* ---- sections of reports (describe.c): JSON and view at once ---- */
void sqz_describe_model(sqz_work *w, const char *key, const sqz_graph *g, double bytes);
void sqz_describe_estimate(sqz_work *w, const char *key, const sqz_estimate *e);
/* Limit rows; returns how many are broken. accuracy and reference are fractions, NaN: not measured.
 */
unsigned sqz_describe_limits(sqz_work *w, const char *key, sqz_estimate *e, double accuracy,
                             double reference);
void sqz_describe_nodes(sqz_work *w, const sqz_graph *g, const sqz_estimate *e);
void sqz_describe_metrics(sqz_work *w, const char *key, const sqz_eval_result *r);
/* Every layer of g against the reference: its error, that which is its own, its values against its
 * grid; then what leaving the worst ones float would gain and cost, measured on ds (debug.c). */
sqz_status sqz_describe_layers(sqz_work *w, const sqz_graph *g, const sqz_graph *reference,
                               sqz_dataset *ds, const sqz_eval_result *r);
/* A note for each layer that collapses, guilty ones first. */
void sqz_note_collapse(sqz_work *w, const sqz_eval_result *r);
/* Where the time goes, node by node, against what the machine can do (profile.c). */
struct sqz_profile;
sqz_status sqz_describe_profile(sqz_work *w, const sqz_graph *g, const struct sqz_profile *p);
/* Notes about calibration data that is unlike the judging data or the model's batch norms, or whose
 * halves are unlike each other (warn.c). */
sqz_status sqz_warn_of_data(sqz_work *w);
/* That about batch norms alone. */
sqz_status sqz_warn_of_norms(sqz_work *w);
void sqz_describe_notes(sqz_work *w);
/* "87.32 %", "0.0123", "34.1 dB" as the metric wants it. */
void sqz_print_metric(char out[48], const sqz_metric *m, double v);
void sqz_print_seconds(char out[32], double s);
void sqz_print_joules(char out[32], double j);
#endif

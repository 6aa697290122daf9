/* squeeze.h: the stable C API of libsqueeze. Everything here keeps its ABI within one SOVERSION.
 *
 * Rules: a context is used by one thread at a time; contexts are independent. A call that fails
 * returns a status and leaves a sentence in sqz_last_error. Option structs begin with their own
 * size, so a caller compiled against an older header keeps working. Whoever gets a handle frees it.
 * Text is UTF-8. */
#ifndef SQUEEZE_H
#define SQUEEZE_H

#include "squeeze/version.h"
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(SQZ_STATIC)
#    define SQZ_API
#else
#    define SQZ_API __attribute__((visibility("default")))
#endif

typedef enum sqz_status {
#define SQZ_STATUS(sym, num, text) SQZ_##sym = num,
#include "squeeze/status.def"
#undef SQZ_STATUS
    SQZ_STATUS_FORCE_INT = 0x7fffffff /* keep the enum 32 bits wide in every ABI */
} sqz_status;

typedef enum sqz_log_level {
    SQZ_LOG_ERROR = 0,
    SQZ_LOG_WARN = 1,
    SQZ_LOG_INFO = 2,
    SQZ_LOG_DEBUG = 3,
    SQZ_LOG_FORCE_INT = 0x7fffffff
} sqz_log_level;

typedef struct sqz_ctx sqz_ctx;     /* threads, memory, messages */
typedef struct sqz_model sqz_model; /* a network */
typedef struct sqz_report
    sqz_report; /* the result of a command: a JSON document and its renderings */

/* Allocation hooks; all NULL means malloc and free. alloc returns 16-byte aligned memory or NULL.
 */
typedef struct sqz_allocator {
    void *user;
    void *(*alloc)(void *user, size_t bytes);
    void (*free)(void *user, void *ptr);
} sqz_allocator;

typedef void (*sqz_log_fn)(void *user, sqz_log_level level, const char *text);
/* Called now and then by long work, from the calling thread. done <= total; total 0: unknown. In
 * `what` a colon may stand between the name of the work and how it is: "training: loss 0.43".
 * Returns 0 to go on, anything else to stop (the call then fails with SQZ_E_ARG "stopped"). */
typedef int (*sqz_progress_fn)(void *user, const char *what, uint64_t done, uint64_t total);

/* Products whose weights are integers of 4 or 8 bits while their data is float compute with the
 * weights as they are. The rows of the data either stay float, or are rounded to int8 by blocks as
 * long as the weights' (at most 256), which is faster and has an error of some 0.5 %. */
#define SQZ_ROWS_MODEL 0 /* int8 where the model asks for it: accuracy_level 4 of MatMulNBits */
#define SQZ_ROWS_INT8  1
#define SQZ_ROWS_FLOAT 2

typedef struct sqz_ctx_options {
    size_t struct_size;
    sqz_allocator allocator;
    int32_t threads; /* 0: one per core */
    int32_t rows;    /* SQZ_ROWS_... */
    const char *
        cpu; /* highest instruction set to use: "scalar", "avx2", ...; NULL: $SQZ_CPU or the best */
    sqz_log_fn log;
    void *log_user;
    sqz_progress_fn progress;
    void *progress_user;
} sqz_ctx_options;
#define SQZ_CTX_OPTIONS_INIT                                                                       \
    {                                                                                              \
        sizeof(sqz_ctx_options), {NULL, NULL, NULL}, 0, 0, NULL, NULL, NULL, NULL, NULL            \
    }

SQZ_API sqz_status sqz_ctx_create(const sqz_ctx_options *opt, sqz_ctx **out);
/* For a program that does nothing beside squeeze, once, before other calls: sets OpenBLAS to one
 * thread for the whole process (squeeze calls it from threads of its own, and its threads would
 * spin beside them), leaves out HDF5's exit handler, and has HDF5 files tried by a child process
 * first, as libhdf5 crashes on some that are damaged. Other programs decide that themselves. */
SQZ_API void sqz_own_process(sqz_ctx *ctx);
SQZ_API void sqz_ctx_free(sqz_ctx *ctx); /* NULL is accepted */
SQZ_API const char *sqz_status_name(sqz_status s);
/* Never NULL; valid until the next call on ctx. */
SQZ_API const char *sqz_last_error(const sqz_ctx *ctx);
SQZ_API const char *sqz_version(void); /* "0.1.0" */

/* ---- commands ----
 * What the command line does, one function for each command; `squeeze help COMMAND` documents which
 * fields each reads. Paths are those of the file system; NULL or 0 means the default that the
 * comment names. */
typedef struct sqz_job {
    size_t struct_size;
    const char *model;   /* ONNX or Keras HDF5 file; Keras JSON with weights */
    const char *data;    /* calibration or evaluation data: HDF5 set, NPZ, NPY; prepare: the spec */
    const char *test;    /* fit: the set to judge on; NULL: split `test` of data */
    const char *split;   /* NULL: what suits the command (calib, valid, test) */
    const char *layout;  /* "nchw" or "nhwc" where the shape of the data does not tell */
    const char *device;  /* device file, or the name of a profile */
    const char *against; /* evaluate: reference model */
    const char *baseline; /* check: earlier report */
    const char *out;      /* file or folder to write */
    const char *inputs;   /* run: NPZ or folder of .pb files */
    const char
        *calibrator;     /* "minmax", "ema", "percentile", "entropy", "mse"; options in brackets */
    const char *ranges;  /* ranges.json to use in place of calibration */
    const char *exclude; /* nodes that stay float: names, regular expressions or types, by commas */
    const char
        *metric; /* "top1", "top5", "f1", "auc", "mse", "mae", ...; NULL: what suits the labels */
    const char
        *max_drop; /* "0.5 pp" or "0.5 %": largest loss of the metric that is accepted, in points */
    const char *shape;  /* "name=1,3,224,224": binds dimensions left open by the model */
    const char *budget; /* fit: "5 min", "20 trials"; NULL: the device file's, else none */
    uint64_t seed;
    int64_t samples;     /* calibration samples at most; 0: 512 */
    int64_t limit;       /* evaluation samples at most; 0: all */
    int64_t batch;       /* 0: chosen */
    int64_t repeat;      /* bench: timed runs; 0: enough for two seconds */
    int32_t per_tensor;  /* 1: one weight scale per tensor rather than per channel */
    int32_t layers;      /* evaluate: 1: per-layer error against the reference */
    int32_t dry_run;     /* 1: say what would be done, how long, how large; write nothing */
    int32_t literal;     /* run: 1: QuantizeLinear and DequantizeLinear in floating point, as ONNX
                            defines them, not in the integers of a device */
    const char *bind;    /* "sr=16000;axes=1,2": inputs that become constants, with their values */
    const char *weights; /* HDF5 file of Keras with the weights of MODEL */
    const char *keras;   /* export: the Keras file that MODEL was made from */
    int32_t profile;     /* bench, evaluate: 1: time, operations and bytes of each node */
    int32_t pow2;        /* quantize: 1: scales are powers of two */
    const char
        *recipe; /* quantize, fit: name of a recipe that ships, YAML file, or text of passes */
    const char *method; /* quantize: methods by commas, options in brackets: sqz_list("method") */
    const char *bits;   /* quantize: bits of weights: "8", "4", "3", "2", or "auto" */
    const char *activations; /* quantize: "8", "16", "4", "float", "dynamic" */
    const char *target_size; /* quantize: "64 KiB": bits of each layer are chosen so that the
                                weights take no more */
    int64_t group;           /* quantize: weights of one scale; 0: a whole output channel */
    const char *format; /* quantize: "qdq" (NULL), "qoperator", "matmulnbits(accuracy_level=4)" */
    /* The rest is distill's, which trains. */
    const char *const *teachers; /* n_teachers model files */
    int32_t n_teachers;
    int32_t restart;          /* 1: what an earlier run of the same command left is not used */
    const char *student;      /* model file, or "width=0.5", "depth=0.5", "auto" */
    const char *init;         /* "random" or "teacher": where weights begin; NULL: as they are */
    const char *freeze;       /* nodes and constants that stay: names, regular expressions */
    const char *replace_head; /* "classes=5" */
    const char *until;        /* value that becomes the output */
    const char *loss;         /* "ce(weight=0.1),kd(temperature=4)": sqz_list("loss") */
    const char *loss_graph;   /* ONNX file that is a loss, beside or in place of `loss` */
    const char *optimizer, *schedule; /* sqz_list("optimizer"), sqz_list("schedule") */
    const char *augment;              /* "crop(pad=4),flip" */
    const char *memory;      /* "512 MiB": what values and gradients may take; NULL: no limit */
    const char *cache;       /* folder that keeps what teachers answered */
    const char *valid;       /* set to choose on; NULL: split `valid` of data */
    int64_t epochs;          /* 0: 10 */
    int64_t patience;        /* epochs without a better one; 0: all are done */
    double rate;             /* peak learning rate; 0: the optimizer's usual one */
    double decay, clip, ema; /* of weights; norm of gradients; of the average: 0: none */
    double mixup, smoothing; /* 0: none */
    const char *qat; /* distill: options of ptq: "weights=4,activations=4"; NULL: float */
} sqz_job;
#define SQZ_JOB_INIT                                                                               \
    {                                                                                              \
        sizeof(sqz_job), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,   \
            NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, 0, 0, NULL, \
            NULL, NULL, NULL, NULL, 0, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
            NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, NULL                       \
    }

/* Each fills *out with a report, to be freed with sqz_report_free, also when a limit is broken
 * (SQZ_E_GATE) or nothing fits (SQZ_E_BUDGET); *out is NULL on every other failure. */
SQZ_API sqz_status sqz_inspect(sqz_ctx *ctx, const sqz_job *job, sqz_report **out);
SQZ_API sqz_status sqz_prepare(sqz_ctx *ctx, const sqz_job *job, sqz_report **out);
SQZ_API sqz_status sqz_calibrate(sqz_ctx *ctx, const sqz_job *job, sqz_report **out);
SQZ_API sqz_status sqz_quantize(sqz_ctx *ctx, const sqz_job *job, sqz_report **out);
SQZ_API sqz_status sqz_distill(sqz_ctx *ctx, const sqz_job *job, sqz_report **out);
SQZ_API sqz_status sqz_evaluate(sqz_ctx *ctx, const sqz_job *job, sqz_report **out);
SQZ_API sqz_status sqz_run(sqz_ctx *ctx, const sqz_job *job, sqz_report **out);
SQZ_API sqz_status sqz_bench(sqz_ctx *ctx, const sqz_job *job, sqz_report **out);
SQZ_API sqz_status sqz_fit(sqz_ctx *ctx, const sqz_job *job, sqz_report **out);
SQZ_API sqz_status sqz_check(sqz_ctx *ctx, const sqz_job *job, sqz_report **out);
SQZ_API sqz_status sqz_export_weights(sqz_ctx *ctx, const sqz_job *job, sqz_report **out);
SQZ_API sqz_status sqz_devices(sqz_ctx *ctx, const sqz_job *job, sqz_report **out);

/* ---- reports ---- */
/* The report as text in `format`: "json", "text", and where the command has it "markdown", "junit",
 * "github", "html". The text belongs to the report and lives until it is freed. */
SQZ_API sqz_status sqz_report_render(sqz_report *r, const char *format, const char **text);
/* The same into a file; complete or not at all. */
SQZ_API sqz_status sqz_report_write(sqz_report *r, const char *format, const char *path);
/* Number or text at a path such as "device.flash.used" or "trials.0.name"; SQZ_E_NOTFOUND if
 * absent. */
SQZ_API sqz_status sqz_report_number(const sqz_report *r, const char *path, double *out);
SQZ_API sqz_status sqz_report_text(const sqz_report *r, const char *path, const char **out);
SQZ_API void sqz_report_free(sqz_report *r);

/* ---- models: for training pipelines and tools ---- */
SQZ_API sqz_status sqz_model_load(sqz_ctx *ctx, const char *path, sqz_model **out);
SQZ_API sqz_status sqz_model_load_bytes(sqz_ctx *ctx, const void *bytes, size_t n, sqz_model **out);
SQZ_API sqz_status sqz_model_save(sqz_model *m,
                                  const char *path); /* ONNX; complete or not at all */
SQZ_API sqz_status sqz_model_clone(const sqz_model *m,
                                   sqz_model **out); /* weights shared until written */
SQZ_API void sqz_model_free(sqz_model *m);
/* The same with options. */
typedef struct sqz_model_source {
    size_t struct_size;
    const char *path;  /* of the file; or, with bytes, where its external data lies; or NULL */
    const void *bytes; /* NULL: path is read */
    size_t n;
    const char *shape; /* as in sqz_job; NULL: none */
    const char *bind;
} sqz_model_source;
#define SQZ_MODEL_SOURCE_INIT                                                                      \
    {                                                                                              \
        sizeof(sqz_model_source), NULL, NULL, 0, NULL, NULL                                        \
    }
SQZ_API sqz_status sqz_model_open(sqz_ctx *ctx, const sqz_model_source *source, sqz_model **out);
/* Runs passes: "fold_bn,ptq(per_tensor=1)". Names and options: sqz_list("pass"). */
SQZ_API sqz_status sqz_model_apply(sqz_model *m, const char *recipe);
SQZ_API uint32_t sqz_model_n_inputs(const sqz_model *m);
SQZ_API uint32_t sqz_model_n_outputs(const sqz_model *m);
/* Name and shape of input or output i (batch first, as in the file); dims has room for 8. */
SQZ_API sqz_status sqz_model_input(const sqz_model *m, uint32_t i, const char **name, int64_t *dims,
                                   uint32_t *rank);
SQZ_API sqz_status sqz_model_output(const sqz_model *m, uint32_t i, const char **name,
                                    int64_t *dims, uint32_t *rank);
/* Runs `batch` samples. in[i] and out[i] are contiguous float32 in the layout of the file. */
SQZ_API sqz_status sqz_model_run(sqz_model *m, int64_t batch, const float *const *in,
                                 float *const *out);

/* ---- sessions: a model made ready to run, for applications ----
 * Weights are kept once, in the form that the kernels read; nothing is allocated while running. */
typedef struct sqz_session sqz_session;
typedef struct sqz_session_options {
    size_t struct_size;
    int64_t batch;   /* 0: the file's; 1 where that is open */
    int32_t literal; /* as in sqz_job */
    int32_t reserved;
} sqz_session_options;
#define SQZ_SESSION_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(sqz_session_options), 0, 0, 0                                                       \
    }
typedef struct sqz_port { /* an input or output, in the file's layout, at the session's batch */
    size_t struct_size;
    const char *name, *type; /* type: "f32", "s64", ... */
    int64_t dim[8];
    uint32_t rank;
    size_t bytes;
} sqz_port;
/* opt NULL: all defaults. */
SQZ_API sqz_status sqz_session_open(sqz_ctx *ctx, const sqz_model_source *source,
                                    const sqz_session_options *opt, sqz_session **out);
SQZ_API void sqz_session_free(sqz_session *s); /* NULL is accepted */
SQZ_API uint32_t sqz_session_n_inputs(const sqz_session *s);
SQZ_API uint32_t sqz_session_n_outputs(const sqz_session *s);
/* Fills *out, whose struct_size is set. */
SQZ_API sqz_status sqz_session_input(const sqz_session *s, uint32_t i, sqz_port *out);
SQZ_API sqz_status sqz_session_output(const sqz_session *s, uint32_t i, sqz_port *out);
/* in[i] and out[i] are contiguous, of the port's type and shape, and stay the caller's. */
SQZ_API sqz_status sqz_session_run(sqz_session *s, const void *const *in, void *const *out);

/* The graph as text, for reading and for bug reports; free with sqz_text_free. */
SQZ_API sqz_status sqz_model_text(const sqz_model *m, char **out);
SQZ_API void sqz_text_free(sqz_ctx *ctx, char *text);

/* Entries of a table ("op", "composition", "pass", "method", "recipe", "calib", "metric", "device",
 * "importer", "data", "kernel", "loss", "optimizer", "schedule") as lines of "name<TAB>what it
 * does"; lives as long as the context.
 */
SQZ_API sqz_status sqz_list(sqz_ctx *ctx, const char *table, const char **text);

#ifdef __cplusplus
}
#endif
#endif

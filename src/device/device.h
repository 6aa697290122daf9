/* device.h: device files and the cost of a graph on a device. docs/device-files.md documents every
 * key. */
#ifndef SQZ_DEVICE_H
#define SQZ_DEVICE_H
#include "ir/op.h"

#define SQZ_DEVICE_MEMORIES 8
typedef struct sqz_device_memory {
    const char *name;
    bool is_flash;                         /* kind: ram | flash */
    double size, reserve, bytes_per_cycle; /* bytes */
    bool arena, weights;
} sqz_device_memory;

typedef struct sqz_kernel_cost { /* cycles for one kind of kernel */
    double f32, s8, s16,
        s4;       /* cycles per MAC (or per scalar operation for elementwise kinds); 0: unknown */
    double fixed; /* cycles per call */
} sqz_kernel_cost;

typedef struct sqz_limit {
    bool set;
    double max;    /* bytes, seconds, joules */
    double margin; /* fraction kept free because the figure is an estimate */
} sqz_limit;

typedef struct sqz_device {
    sqz_arena arena;
    const char *name, *doc, *source, *file; /* source: where the figures come from */
    const char *arch;
    double clock; /* Hz */
    sqz_device_memory memory[SQZ_DEVICE_MEMORIES];
    unsigned n_memory;
    struct {
        double ram, code; /* bytes that the runtime itself needs */
        bool io_in_arena, in_place;
        bool float_io; /* a quantized network still takes and gives float32 */
        double alignment;
    } runtime;
    struct {
        bool f32, s8, s16, s4; /* activations the device computes with; weights */
        bool w_s8, w_s4, per_channel;
    } numerics;
    sqz_kernel_cost kernel[SQZ_N_COST_KIND];
    const char *const *unsupported; /* ONNX operator types */
    unsigned n_unsupported;
    double latency_error; /* relative error of the estimate, one sigma, as stated by the profile; 0:
                             unknown */
    double active_power, sleep_power; /* W */
    struct {
        sqz_limit flash, ram, latency, energy;
        struct {
            bool set;
            const char *metric;
            double min, max_drop, confidence; /* fractions; min or max_drop 0: not asked */
        } accuracy;
    } limits;
    struct {
        const char *file;
        double flash, ram,
            latency; /* allowed growth: fraction when *_is_percent, else bytes / seconds */
        bool has_flash, has_ram, has_latency, flash_is_percent, ram_is_percent, latency_is_percent;
    } baseline;
    struct {
        double time, energy, money, price, power; /* s, J, currency, currency/h, W; 0: not set */
        int64_t trials;
        const char *currency;
    } budget;
} sqz_device;

/* `name`: a file (anything with a '/' or ending in .yaml), else a profile that ships. */
sqz_status sqz_device_load(sqz_ctx *ctx, const char *name, sqz_device **out);
void sqz_device_free(sqz_ctx *ctx, sqz_device *d);
/* Names of the shipped profiles, in order. */
extern const char *const sqz_device_names[];
extern const size_t sqz_n_devices;

typedef struct sqz_node_estimate {
    sqz_nid node;
    const char *name; /* of the node, in the estimate's arena */
    sqz_cost cost;
    double weight_bytes, cycles, seconds, joules;
    double live_bytes; /* activations live while it runs */
} sqz_node_estimate;
typedef struct sqz_estimate { /* all of it estimated; error is relative */
    sqz_arena arena;
    double flash, ram, latency, energy, latency_error;
    double weight_bytes, arena_bytes; /* without the runtime's own */
    uint64_t macs, parameters;
    const char *peak_node; /* where RAM peaks */
    sqz_node_estimate *node;
    uint32_t n_node;
    const char **refused; /* why the device cannot run it, one sentence each */
    uint32_t n_refused;
} sqz_estimate;
sqz_status sqz_estimate_graph(const sqz_graph *g, const sqz_device *d, sqz_estimate **out);
void sqz_estimate_free(sqz_ctx *ctx, sqz_estimate *e);

typedef enum sqz_verdict { SQZ_V_NOT_ASKED, SQZ_V_HOLDS, SQZ_V_BROKEN } sqz_verdict;
typedef struct sqz_limit_result {
    const char
        *what; /* "flash", "ram", "latency", "energy", "accuracy", "accuracy drop", "operators" */
    const char *unit; /* "B", "s", "J", "fraction" */
    double value, limit, margin;
    sqz_verdict verdict;
    const char *why; /* for broken ones: what would have to give; in the estimate's arena */
} sqz_limit_result;
/* accuracy, reference: fractions, NaN when not measured. At most 8 rows; *n is how many. */
void sqz_limits_check(const sqz_device *d, sqz_estimate *e, double accuracy, double reference,
                      sqz_limit_result out[8], unsigned *n);
#endif

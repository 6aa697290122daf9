/* api_quantize.c: squeeze quantize: int8 post-training quantization, with the worst nodes kept
 * float until the accuracy asked for holds. */
#include "api/mixed.h"
#include "train/synthetic.h"
#include <math.h>
#include <string.h>

/* No data: inputs under which the network does what its batch norms remember. */
static sqz_status open_synthetic(sqz_work *w)
{
    const sqz_synthetic_options o = {
        .samples = w->job.samples, .seed = w->job.seed, .notes = &w->notes};
    SQZ_TRY(sqz_synthetic_data(w->graph, &o, &w->calib));
    if (w->job.test)
        return sqz_work_data(w, w->job.test, "valid|calib|train", &w->judge);
    if (w->job.max_drop)
        return sqz_fail(
            w->ctx, SQZ_E_ARG,
            "--max-drop needs data with labels to judge on (--test), synthetic data has "
            "none");
    return SQZ_OK;
}

static sqz_status open_all(sqz_work *w)
{
    SQZ_TRY(sqz_work_device(w));
    if (w->job.data && strcmp(w->job.data, "synthetic") == 0)
        return open_synthetic(w);
    if (w->job.data) {
        SQZ_TRY(sqz_work_data(w, w->job.data, "calib|train", &w->calib));
        SQZ_TRY(sqz_work_data(w, w->job.test ? w->job.test : w->job.data, "valid|calib|train",
                              &w->judge));
    } else if (!w->job.ranges) {
        return sqz_fail(w->ctx, SQZ_E_ARG, "calibration needs data (--data) or ranges (--ranges)");
    }
    if (w->job.max_drop && (!w->judge || !w->judge->has_labels))
        return sqz_fail(w->ctx, SQZ_E_ARG, "--max-drop needs data with labels (array 'y')");
    return SQZ_OK;
}

static void describe_distance(sqz_work *w, const sqz_eval_result *r)
{
    double snr = r->metric[0].value;
    sqz_json_num(w->rep, NULL, "snr_db", snr);
    sqz_view_text(
        w->rep, "signal to noise of the outputs against the float model: %.1f dB over %lld samples",
        snr, (long long)r->samples);
    if (snr < 10.0)
        sqz_str_addf(
            &w->notes,
            "the outputs are far from the float model's (%.1f dB): look at --layers, exclude what "
            "is worst\n",
            snr);
}

/* Samples for a first look: four show a collapse; more where they cost little beside
 * calibration. */
static int64_t look_samples(const sqz_graph *g)
{
    double macs = 1.0;
    SQZ_EACH_NODE(g, id)
    {
        sqz_cost c;
        sqz_node_cost(g, sqz_nod(g, id), &c);
        macs += (double)c.macs;
    }
    return (int64_t)fmin(fmax(2e9 / macs, 4.0), 256.0);
}

/* Distance from the float model, and which layers are far from it: all of them when asked for, else
 * those that collapse. */
static sqz_status look(sqz_work *w, const sqz_graph *g)
{
    if (!w->judge)
        return SQZ_OK;
    const sqz_eval_options o = {.layout = w->job.layout,
                                .metrics = "snr",
                                .limit = w->job.layers ? 256 : look_samples(w->graph),
                                .batch = w->job.layers ? 0
                                                       : 1, /* no more memory than calibration */
                                .reference = w->graph,
                                .layers = true};
    sqz_eval_result *r;
    SQZ_TRY(sqz_eval_graph(g, w->judge, &o, &r));
    describe_distance(w, r);
    sqz_note_collapse(w, r);
    sqz_status s = w->job.layers ? sqz_describe_layers(w, g, w->graph, w->judge, r) : SQZ_OK;
    sqz_eval_free(w->ctx, r);
    return s;
}

/* ONNX has no type between 4 bits and none. */
static void say_packing(sqz_work *w, const sqz_graph *g)
{
    for (sqz_vid v = 0; v < g->n_value; v++) {
        const sqz_value *c = sqz_val(g, v);
        if (c->constant && c->quant && sqz_quant_bits(c->quant) < 4) {
            sqz_str_add(&w->notes,
                        "codes of 3 and 2 bits take 4 in the ONNX file; sizes of weights "
                        "in the tables are those of packed codes\n");
            return;
        }
    }
}

static sqz_status finish(sqz_work *w, sqz_graph *g, const char *passes)
{
    sqz_onnx_form form;
    void *bytes = NULL;
    size_t n = 0;
    SQZ_TRY(sqz_onnx_form_parse(w->ctx, w->job.format, &form));
    sqz_json_str(w->rep, NULL, "recipe", passes);
    sqz_status s = sqz_work_stamp(w, g, passes);
    if (s == SQZ_OK)
        s = sqz_export_onnx_form(g, &form, &bytes, &n);
    if (s == SQZ_OK) {
        char size[32];
        sqz_print_bytes(size, n);
        sqz_json_num(w->rep, NULL, "output_bytes", (double)n);
        sqz_json_num(w->rep, NULL, "ratio", (double)n / (double)w->source.bytes);
        sqz_view_text(w->rep, "quantized: %s, %.3f of the float file", size,
                      (double)n / (double)w->source.bytes);
        say_packing(w, g);
        s = look(w, g);
    }
    if (s == SQZ_OK && w->job.out && !w->job.dry_run)
        s = sqz_file_write(w->ctx, w->job.out, bytes, n);
    if (s == SQZ_OK && w->job.out && !w->job.dry_run)
        sqz_view_text(w->rep, "written to %s", w->job.out);
    sqz_free(w->ctx, bytes);
    return s;
}

static sqz_status with_target(sqz_work *w, const sqz_recipe *r)
{
    sqz_fit_state f = {0};
    sqz_trial *t = NULL;
    sqz_status s = sqz_fit_open(&f, w);
    if (s == SQZ_OK)
        s = sqz_fit_try(&f, NULL, r, &t);
    if (s == SQZ_OK && !t->fits)
        s = sqz_fit_fall_back(&f, t);
    if (s == SQZ_OK) {
        const sqz_trial *best = sqz_fit_best(&f);
        sqz_describe_trials(&f, best);
        sqz_str_add(&w->notes, best->notes);
        s = finish(w, best->graph, best->passes);
        if (s == SQZ_OK && !best->fits)
            s = sqz_fail(w->ctx, SQZ_E_GATE, "no choice of nodes to keep float holds --max-drop %s",
                         w->job.max_drop);
    }
    sqz_fit_close(&f);
    return s;
}

/* ---- bits by themselves ---- */

static bool wants_limits(const double *limit)
{
    for (int d = 0; d < SQZ_KNAPSACK_COSTS; d++)
        if (isfinite(limit[d]))
            return true;
    return false;
}

static sqz_status search_bits(sqz_fit_state *f, const sqz_recipe *r, sqz_mix *m,
                              const sqz_trial **best)
{
    double limit[SQZ_KNAPSACK_COSTS];
    SQZ_TRY(sqz_auto_limits(f, limit));
    if (f->w->job.max_drop && !f->w->job.target_size)
        return sqz_auto_cheapest(f, r, m, best);
    if (!wants_limits(limit))
        return sqz_fail(
            f->w->ctx, SQZ_E_ARG,
            "--weights auto needs to know what to hold: --max-drop, --target-size, or a "
            "--device with limits");
    return sqz_auto_within(f, r, limit, m, best);
}

static sqz_status automatic(sqz_work *w, const sqz_recipe *r)
{
    sqz_fit_state f = {0};
    sqz_mix m = {0};
    const sqz_trial *best = NULL;
    sqz_status s = sqz_fit_open(&f, w);
    if (s == SQZ_OK)
        s = search_bits(&f, r, &m, &best);
    if (s == SQZ_OK) {
        const sqz_trial *shown = best ? best : sqz_fit_best(&f);
        sqz_view_heading(w->rep, "What was tried (judged on %lld samples)", (long long)f.judged);
        sqz_describe_trials(&f, best);
        if (m.n) {
            sqz_mix_recall(&m, shown);
            sqz_describe_mix(&m);
        }
        sqz_str_add(&w->notes, shown->notes);
        sqz_view_heading(w->rep, "Result: %s", shown->name);
        s = finish(w, shown->graph, shown->passes);
        if (s == SQZ_OK && (!best || !best->fits))
            s = sqz_fail(w->ctx, SQZ_E_GATE,
                         "nothing that was tried holds; the closest is '%s'%s%s", shown->name,
                         shown->obstacle ? ": " : "", shown->obstacle ? shown->obstacle : "");
    }
    sqz_fit_close(&f);
    return s;
}

/* ---- models that are quantized already ---- */

static bool is_quantized(const sqz_graph *g)
{
    bool yes = g->have & SQZ_HAS_QUANT;
    for (sqz_vid v = 0; v < g->n_value; v++)
        yes = yes || (sqz_val(g, v)->quant && !sqz_val(g, v)->constant);
    return yes;
}

static uint32_t count_integer(const sqz_graph *g, uint32_t *all)
{
    uint32_t n = 0;
    *all = 0;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *nd = sqz_nod(g, id);
        bool border = strcmp(nd->op->info.name, "quantize") == 0 ||
                      strcmp(nd->op->info.name, "dequantize") == 0 || nd->layout;
        *all += !border;
        n += !border && nd->n_out && nd->out[0] != SQZ_NONE && sqz_val(g, nd->out[0])->quant;
    }
    return n;
}

/* Its grids are kept, and it is written in the form that squeeze runs. */
static sqz_status keep_quantized(sqz_work *w)
{
    uint32_t all, n = count_integer(w->graph, &all);
    sqz_onnx_form form;
    SQZ_TRY(sqz_onnx_form_parse(w->ctx, w->job.format, &form));
    sqz_describe_model(w, "model", w->graph, (double)w->source.bytes);
    sqz_json_bool(w->rep, NULL, "quantized_already", true);
    sqz_view_text(w->rep,
                  "the model is quantized already, %u of %u operators run on integers: its scales "
                  "are kept",
                  (unsigned)n, (unsigned)all);
    if (w->job.out && !w->job.dry_run) {
        SQZ_TRY(sqz_export_onnx_file(w->graph, &form, w->job.out));
        sqz_view_text(w->rep, "written to %s", w->job.out);
    }
    return SQZ_OK;
}

/* Without a wish: what was ahead on calibration data that it had not seen (bench/blind.py). At 8
 * bits that is bias_correct, on 10 of 11 networks; few bits need rounding that looks at the inputs:
 * 13 dB on ResNet-8, 14 on a MobileNet. */
static sqz_status default_method(sqz_work *w, sqz_recipe *r)
{
    if (w->job.recipe || w->job.method || w->job.ranges || !w->job.data || r->automatic ||
        w->job.target_size)
        return SQZ_OK;
    return sqz_recipe_methods(
        &w->arena, r, sqz_recipe_ptq_int(r, "weights") < 8 ? "gptq,bias_correct" : "bias_correct");
}

static sqz_status quantize(sqz_work *w)
{
    sqz_recipe r;
    sqz_onnx_form form;
    SQZ_TRY(sqz_onnx_form_parse(w->ctx, w->job.format, &form)); /* before the work, not after it */
    SQZ_TRY(sqz_work_model(w));
    if (is_quantized(w->graph))
        return keep_quantized(w);
    SQZ_TRY(sqz_work_recipe(w, &r));
    SQZ_TRY(default_method(w, &r));
    SQZ_TRY(open_all(w));
    sqz_describe_model(w, "model", w->graph, (double)w->source.bytes);
    sqz_status s;
    if (w->job.dry_run && w->calib) {
        double judged = w->job.max_drop ? 2.0 * (double)w->judge->n : 16.0;
        return sqz_work_dry_run(
            w, w->calib, (double)SQZ_MIN(sqz_work_samples(w), w->calib->n) + judged, w->job.out);
    }
    SQZ_TRY(sqz_warn_of_data(w));
    if (r.automatic || w->job.target_size) {
        s = automatic(w, &r);
    } else if (w->job.max_drop) {
        s = with_target(w, &r);
    } else {
        sqz_graph *g;
        const char *passes = sqz_recipe_text(&w->arena, &r);
        if (!passes)
            return SQZ_E_NOMEM;
        SQZ_TRY(sqz_work_quantized(w, &r, &w->notes, &g));
        s = finish(w, g, passes);
        sqz_graph_free(g);
    }
    if (s == SQZ_OK || s == SQZ_E_GATE)
        sqz_describe_notes(w);
    return s;
}

sqz_status sqz_quantize(sqz_ctx *ctx, const sqz_job *job, sqz_report **out)
{
    return sqz_work_do(ctx, job, "quantize", quantize, out);
}

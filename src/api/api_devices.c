/* api_devices.c: squeeze devices: the profiles that ship, or one of them in full. */
#include "api/work.h"

static sqz_status list(sqz_work *w)
{
    cJSON *o = sqz_json_array(w->rep, NULL, "devices");
    sqz_view_table(w->rep, "name|>clock|>RAM|>flash|>latency error|what it is");
    for (size_t i = 0; i < sqz_n_devices; i++) {
        sqz_device *d;
        SQZ_TRY(sqz_device_load(w->ctx, sqz_device_names[i], &d));
        double ram = 0.0, flash = 0.0;
        for (unsigned k = 0; k < d->n_memory; k++)
            *(d->memory[k].is_flash ? &flash : &ram) += d->memory[k].size;
        char ram_text[32], flash_text[32];
        sqz_print_bytes(ram_text, (uint64_t)ram);
        sqz_print_bytes(flash_text, (uint64_t)flash);
        cJSON *one = sqz_json_object(w->rep, o, NULL);
        sqz_json_str(w->rep, one, "name", d->name);
        sqz_json_str(w->rep, one, "doc", d->doc);
        sqz_json_str(w->rep, one, "source", d->source);
        sqz_json_num(w->rep, one, "clock", d->clock);
        sqz_json_num(w->rep, one, "ram", ram);
        sqz_json_num(w->rep, one, "flash", flash);
        sqz_json_num(w->rep, one, "latency_error", d->latency_error);
        sqz_view_row(w->rep, "%s|%.0f MHz|%s|%s|%.0f %%|%s", sqz_device_names[i], d->clock / 1e6,
                     ram_text, flash_text, 100.0 * d->latency_error, d->doc ? d->doc : "");
        sqz_device_free(w->ctx, d);
    }
    return SQZ_OK;
}

static sqz_status show(sqz_work *w)
{
    SQZ_TRY(sqz_work_device(w));
    const sqz_device *d = w->device;
    sqz_report *r = w->rep;
    sqz_view_heading(r, "%s", d->name);
    sqz_view_text(r, "%s", d->doc ? d->doc : "");
    sqz_view_text(r, "core %s at %.0f MHz; estimate of latency within %.0f %% (one sigma)",
                  d->arch ? d->arch : "-", d->clock / 1e6, 100.0 * d->latency_error);
    sqz_view_text(r, "figures from: %s", d->source ? d->source : "-");
    sqz_view_table(r, "memory|kind|>size|>reserved|>bytes/cycle|holds");
    for (unsigned i = 0; i < d->n_memory; i++) {
        const sqz_device_memory *m = &d->memory[i];
        char size[32], reserve[32];
        sqz_print_bytes(size, (uint64_t)m->size);
        sqz_print_bytes(reserve, (uint64_t)m->reserve);
        sqz_view_row(r, "%s|%s|%s|%s|%.2g|%s", m->name, m->is_flash ? "flash" : "ram", size,
                     reserve, m->bytes_per_cycle,
                     m->arena     ? "activations"
                     : m->weights ? "weights"
                                  : "");
    }
    sqz_view_table(r, "kernel|>f32|>int8|>per call");
    for (int k = SQZ_COST_CONV; k < SQZ_N_COST_KIND; k++)
        sqz_view_row(r, "%s|%.3g|%.3g|%.0f cycles", sqz_cost_kind_name((sqz_cost_kind)k),
                     d->kernel[k].f32, d->kernel[k].s8, d->kernel[k].fixed);
    sqz_view_text(
        r, "cycles for a multiply-accumulate (or one element, where there are none); 0: unknown");
    sqz_json_str(r, NULL, "name", d->name);
    sqz_json_str(r, NULL, "source", d->source);
    sqz_json_num(r, NULL, "clock", d->clock);
    sqz_json_num(r, NULL, "latency_error", d->latency_error);
    return SQZ_OK;
}

static sqz_status devices(sqz_work *w) { return w->job.device ? show(w) : list(w); }

sqz_status sqz_devices(sqz_ctx *ctx, const sqz_job *job, sqz_report **out)
{
    return sqz_work_do(ctx, job, "devices", devices, out);
}

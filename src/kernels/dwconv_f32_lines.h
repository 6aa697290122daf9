/* dwconv_f32_lines.h: which tiles a window gets. To include behind dwconv_f32.h, after a function
 * strip(rows, k, step, q, i, j, end) that goes through the channels. LINES_5X5: of a tile of a 5x5
 * window, as the registers allow. */

/* `rows` lines at a time, the rest one by one. */
INLINE void passes(const size_t rows, const size_t k, const size_t step, const sqz_windows *x,
                   const dw_f32 *q)
{
    size_t i = 0;
    for (; i + rows <= x->lines; i += rows)
        for (size_t j = 0; j < x->width; j += STRIP)
            strip(rows, k, step, q, i, j, x->width - j < STRIP ? x->width : j + STRIP);
    for (; rows > 1 && i < x->lines; i++)
        for (size_t j = 0; j < x->width; j += STRIP)
            strip(1, k, step, q, i, j, x->width - j < STRIP ? x->width : j + STRIP);
}

static void lines(const sqz_packed *w, const sqz_windows *x, const sqz_out_f32 *o)
{
    const dw_f32 q = {.x = (f32_lines)x->x,
                      .line_step = x->line_step,
                      .step = x->step,
                      .n_seg = w->n_seg,
                      .len = w->len,
                      .n = w->n,
                      .w = w->data,
                      .panel = SQZ_PANEL * (1 + w->n_seg * w->len),
                      .y = o->y,
                      .bias = o->bias,
                      .add = o->add,
                      .ld = o->ld,
                      .line = x->width * o->ld,
                      .ld_add = o->ld_add,
                      .line_add = x->width * o->ld_add,
                      .lo = o->lo,
                      .hi = o->hi};
    const bool square = w->len == w->n_seg && x->line_step == x->step;
    if (square && w->len == 3 && x->step == 1)
        passes(2, 3, 1, x, &q);
    else if (square && w->len == 3 && x->step == 2)
        passes(2, 3, 2, x, &q);
    else if (square && w->len == 5 && x->step == 1)
        passes(LINES_5X5, 5, 1, x, &q);
    else if (square && w->len == 5 && x->step == 2)
        passes(1, 5, 2, x, &q);
    else
        passes(1, 0, 0, x, &q);
}

/* scaling_map.c: maps from elements to channels, moved along with axes. A reshape keeps a map as it
 * is, since elements keep their order; a digit that spans axes is split at their borders when the
 * axes matter. */
#include "quant/scaling.h"

static size_t inner_of(const sqz_shape *s, int32_t axis)
{
    size_t n = 1; /* divides the count of the shape, which was checked */
    for (int32_t a = axis + 1; a < s->rank; a++)
        n *= (size_t)s->dim[a];
    return n;
}

/* The axis in which a step of `stride` elements lies; -1: none. */
static int32_t axis_at(const sqz_shape *s, size_t stride)
{
    for (int32_t a = s->rank - 1; a >= 0; a--) {
        const size_t inner = inner_of(s, a);
        if (s->dim[a] > 1 && stride >= inner && stride < inner * (size_t)s->dim[a])
            return stride % inner == 0 ? a : -1;
    }
    return -1;
}

bool sqz_map_split(const sqz_channel_map *m, const sqz_shape *s, sqz_axis_digit *out, unsigned *n)
{
    *n = 0;
    for (unsigned i = 0; i < m->n; i++) {
        sqz_digit d = m->digit[i];
        while (d.count > 1) {
            const int32_t a = axis_at(s, d.stride);
            if (a < 0 || *n == SQZ_DIGITS)
                return false;
            const size_t sub = d.stride / inner_of(s, a), dim = (size_t)s->dim[a];
            if (dim % sub)
                return false;
            const size_t here = SQZ_MIN(d.count, dim / sub);
            if (d.count % here)
                return false;
            out[(*n)++] = (sqz_axis_digit){a, sub, here, d.step};
            d = (sqz_digit){d.stride * here, d.count / here, d.step * (uint32_t)here};
        }
    }
    return true;
}

bool sqz_map_join(uint32_t base, const sqz_axis_digit *d, unsigned n, const sqz_shape *s,
                  sqz_channel_map *out)
{
    *out = (sqz_channel_map){.base = base};
    for (unsigned i = 0; i < n; i++)
        out->digit[out->n++] = (sqz_digit){d[i].sub * inner_of(s, d[i].axis), d[i].count,
                                           d[i].step};
    if (n == 0) /* one channel for all */
        out->digit[out->n++] = (sqz_digit){1, 1, 0};
    return true;
}

bool sqz_map_move(const sqz_channel_map *m, const sqz_shape *from, const sqz_shape *into,
                  const int32_t *to, sqz_channel_map *out)
{
    sqz_axis_digit d[SQZ_DIGITS];
    unsigned n;
    if (!m->n || !sqz_map_split(m, from, d, &n))
        return false;
    for (unsigned i = 0; i < n; i++) {
        const int32_t a = to[d[i].axis];
        if (a < 0 || into->dim[a] != from->dim[d[i].axis])
            return false;
        d[i].axis = a;
    }
    return sqz_map_join(m->base, d, n, into, out);
}

bool sqz_map_has_axis(const sqz_channel_map *m, const sqz_shape *s, int32_t axis)
{
    sqz_axis_digit d[SQZ_DIGITS];
    unsigned n;
    if (!sqz_map_split(m, s, d, &n))
        return true;
    for (unsigned i = 0; i < n; i++)
        if (d[i].axis == axis)
            return true;
    return false;
}

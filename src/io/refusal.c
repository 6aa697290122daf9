/* refusal.c: the list of what cannot be run, and the one message about it. */
#include "io/refusal.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SHOWN 8 /* lines in the message at most */

void sqz_refuse(sqz_refusals *r, sqz_status s, const char *fmt, ...)
{
    char text[sizeof r->ctx->error];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!r->n++)
        r->first = s;
    sqz_log(r->ctx, SQZ_LOG_ERROR, "%s", text);
    sqz_str_add(r->lines, text);
    sqz_str_add(r->lines, "\n");
}

sqz_status sqz_refuse_all(const sqz_refusals *r)
{
    char text[sizeof r->ctx->error - 200];
    size_t used = 0;
    uint32_t shown = 0;
    if (r->n == 0)
        return SQZ_OK;
    for (const char *at = r->lines->data; *at && shown < SHOWN; shown++) {
        size_t len = strcspn(at, "\n");
        if (used + len + 3 > sizeof text) {
            if (shown)
                break;
            len = sizeof text - 3;
        }
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%.*s", used ? "; " : "",
                                 (int)len, at);
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
    if (r->n == 1)
        return sqz_fail(r->ctx, r->first, "%s", text);
    if (shown == r->n)
        return sqz_fail(r->ctx, r->first, "%u things cannot be run: %s", r->n, text);
    return sqz_fail(r->ctx, r->first, "%u things cannot be run: %s; and %u more", r->n, text,
                    r->n - shown);
}

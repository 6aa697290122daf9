/* error.c: status texts and the sentence that goes with a failure. */
#include "base/base.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *sqz_status_name(sqz_status s)
{
    switch (s) {
#define SQZ_STATUS(sym, num, text)                                                                 \
    case SQZ_##sym:                                                                                \
        return text;
#include "squeeze/status.def"
#undef SQZ_STATUS
    case SQZ_STATUS_FORCE_INT: break;
    }
    return "unknown status";
}

sqz_status sqz_fail(sqz_ctx *ctx, sqz_status s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(ctx->error, sizeof ctx->error, fmt, ap);
    va_end(ap);
    sqz_text_clean(ctx->error);
    return s;
}

sqz_status sqz_note(sqz_ctx *ctx, sqz_status s, const char *fmt, ...)
{
    if (s == SQZ_OK)
        return s;
    char old[sizeof ctx->error];
    memcpy(old, ctx->error, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(ctx->error, sizeof ctx->error, fmt, ap);
    va_end(ap);
    int room = (int)sizeof ctx->error - n - 3; /* ": " and the terminator */
    if (n >= 0 && room > 0)
        (void)snprintf(ctx->error + n, (size_t)room + 3, ": %.*s", room, old);
    sqz_text_clean(ctx->error);
    return s;
}

const char *sqz_last_error(const sqz_ctx *ctx) { return ctx ? ctx->error : ""; }
const char *sqz_version(void) { return SQZ_VERSION_STRING; }

/* log.c: messages and progress, to the caller's callbacks. The library itself never prints. */
#include "base/base.h"
#include <stdarg.h>
#include <stdio.h>

void sqz_log(sqz_ctx *ctx, sqz_log_level level, const char *fmt, ...)
{
    if (!ctx->log)
        return;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sqz_text_clean(text);
    ctx->log(ctx->log_user, level, text);
}

bool sqz_progress(sqz_ctx *ctx, const char *what, uint64_t done, uint64_t total)
{
    return !ctx->progress || ctx->progress(ctx->progress_user, what, done, total) == 0;
}

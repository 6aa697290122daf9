/* A program of somebody else: the version and one table. */
#include <squeeze/squeeze.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    sqz_ctx *ctx = NULL;
    const char *text = NULL;
    if (strcmp(sqz_version(), SQZ_VERSION_STRING) != 0 || sqz_ctx_create(NULL, &ctx) != SQZ_OK)
        return 1;
    sqz_status s = sqz_list(ctx, "op", &text);
    printf("squeeze %s, conv2d is %s\n", sqz_version(),
           s == SQZ_OK && strstr(text, "conv2d\t") ? "there" : "missing");
    int code = s != SQZ_OK || !strstr(text, "conv2d\t");
    sqz_ctx_free(ctx);
    return code;
}

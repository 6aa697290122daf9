/* test_report.c: one report, all its renderings. */
#include "eval/report.h"
#include "sqz_test.h"

static sqz_report *sample(sqz_ctx *ctx)
{
    sqz_report *r;
    TEST_OK(ctx, sqz_report_new(ctx, "check", &r));
    sqz_json_str(r, NULL, "model", "a,b:%.onnx");
    cJSON *checks = sqz_json_array(r, NULL, "checks");
    for (int i = 0; i < 2; i++) {
        cJSON *o = sqz_json_object(r, checks, NULL);
        sqz_json_str(r, o, "name", i ? "ram" : "flash");
        sqz_json_bool(r, o, "holds", i == 0);
        sqz_json_str(r, o, "sentence", "needs <70> & \"more\"\n50 %");
    }
    sqz_json_num(r, NULL, "nan", NAN);
    sqz_view_heading(r, "Title </script>");
    sqz_view_table(r, "name|>bytes");
    sqz_view_row(r, "%s|%d", "conv_1*", 12);
    sqz_view_row(r, "%s|%d", "é", 123456);
    sqz_view_chart(r, "caption", cJSON_Parse("{\"type\":\"bar</script>\"}"));
    TEST_OK(ctx, sqz_report_done(r));
    return r;
}

static const char *rendered(sqz_ctx *ctx, sqz_report *r, const char *format)
{
    const char *text;
    TEST_OK(ctx, sqz_report_render(r, format, &text));
    return text;
}

static void test_text_aligns_columns_by_characters(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_report *r = sample(ctx);
    assert_string_equal(rendered(ctx, r, "text"), "Title </script>\n"
                                                  "name      bytes\n"
                                                  "conv_1*      12\n"
                                                  "é        123456\n");
    sqz_report_free(r);
    sqz_ctx_free(ctx);
}

static void test_markdown_escapes_what_it_would_read_as_markup(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_report *r = sample(ctx);
    const char *text = rendered(ctx, r, "markdown");
    assert_non_null(strstr(text, "| name | bytes |\n| --- | ---: |\n| conv\\_1\\* | 12 |\n"));
    sqz_report_free(r);
    sqz_ctx_free(ctx);
}

static void test_html_cannot_be_left_by_its_data(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_report *r = sample(ctx);
    const char *text = rendered(ctx, r, "html");
    assert_non_null(strstr(text, "Title &lt;/script&gt;"));
    assert_non_null(strstr(text, "{\"type\":\"bar\\u003c/script>\"}"));
    assert_null(strstr(text, "bar</script>"));
    assert_null(strstr(text, "http://")); /* self-contained: nothing is fetched */
    assert_null(strstr(text, "src="));
    sqz_report_free(r);
    sqz_ctx_free(ctx);
}

static void test_junit_and_github_escape_their_special_characters(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_report *r = sample(ctx);
    const char *junit = rendered(ctx, r, "junit");
    assert_non_null(strstr(junit, "tests=\"2\" failures=\"1\""));
    assert_non_null(
        strstr(junit, "name=\"ram\"><failure message=\"needs &lt;70&gt; &amp; &quot;more&quot;"));
    const char *github = rendered(ctx, r, "github");
    assert_non_null(strstr(
        github,
        "::error file=a%2Cb%3A%25.onnx,title=squeeze ram::needs <70> & \"more\"%0A50 %25\n"));
    sqz_report_free(r);
    sqz_ctx_free(ctx);
}

static void test_paths_reach_into_the_document(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_report *r = sample(ctx);
    double v;
    const char *text;
    TEST_OK(ctx, sqz_report_text(r, "checks.1.name", &text));
    assert_string_equal(text, "ram");
    TEST_OK(ctx, sqz_report_number(r, "checks.1.holds", &v));
    TEST_NEAR(v, 0.0, 0.0);
    TEST_FAILS(ctx, sqz_report_number(r, "nan", &v), SQZ_E_NOTFOUND, "no number at 'nan'");
    TEST_FAILS(ctx, sqz_report_number(r, "checks.7.holds", &v), SQZ_E_NOTFOUND, "checks.7.holds");
    TEST_FAILS(ctx, sqz_report_render(r, "pdf", &text), SQZ_E_ARG, "no report format 'pdf'");
    cJSON *again = cJSON_Parse(rendered(ctx, r, "json"));
    assert_true(cJSON_Compare(again, r->root, true));
    cJSON_Delete(again);
    sqz_report_free(r);
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_aligns_columns_by_characters),
        cmocka_unit_test(test_markdown_escapes_what_it_would_read_as_markup),
        cmocka_unit_test(test_html_cannot_be_left_by_its_data),
        cmocka_unit_test(test_junit_and_github_escape_their_special_characters),
        cmocka_unit_test(test_paths_reach_into_the_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

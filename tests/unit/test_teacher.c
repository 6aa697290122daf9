/* Teachers on the student's batches, and the cache of their answers. */
#include "distill/teacher.h"
#include "loss_case.h"
#include "net.h"
#include <unistd.h>

enum { BATCH = 4, SAMPLES = 22, CLASSES = 3 };

/* A network x (n,2,5,5) -> conv "f" -> pool -> classes "z" -> softmax "p". */
static net classifier(sqz_ctx *ctx, uint64_t seed)
{
    net n = {.ctx = ctx, .r = {.seed = seed}};
    TEST_OK(ctx, sqz_graph_create(ctx, &n.g));
    sqz_vid x = net_input(&n, (sqz_shape){4, {2, 2, 5, 5}});
    x = net_unary(&n, "relu", "f", "", net_conv(&n, "c", x, 4, 3));
    x = net_unary(&n, "flatten", "flat", "", net_unary(&n, "global_average_pool", "pool", "", x));
    const sqz_vid w = net_const(&n, "w", (sqz_shape){2, {4, CLASSES}}, 1);
    x = net_binary(&n, "matmul", "z", x, w);
    x = net_unary(&n, "softmax", "p", "", x);
    net_finish(&n, 1, &x);
    return n;
}

typedef struct school {
    sqz_ctx *ctx;
    net student, teacher[2];
    sqz_dataset ds;
    sqz_objective *o;
    sqz_tape *tape;
    sqz_teacher *t;
    const sqz_graph *list[2];
} school;

static school begin(uint32_t n_teacher, const char *text)
{
    school s = {.ctx = test_ctx()};
    s.student = classifier(s.ctx, 1);
    s.teacher[0] = classifier(s.ctx, 2);
    s.teacher[1] = classifier(s.ctx, 3);
    s.list[0] = s.teacher[0].g;
    s.list[1] = s.teacher[1].g;
    s.ds = net_data(&s.student, SAMPLES);
    TEST_OK(s.ctx, sqz_graph_set_batch(s.student.g, BATCH));
    const sqz_objective_options o = {.text = text, .teacher = s.list, .n_teacher = n_teacher};
    TEST_OK(s.ctx, sqz_objective_build(s.student.g, &o, &s.o));
    TEST_OK(s.ctx, sqz_tape_create(s.student.g,
                                   &(sqz_tape_options){.want = s.student.g->input,
                                                       .n_want = 1,
                                                       .seed = s.student.g->output,
                                                       .n_seed = 1},
                                   &s.tape));
    TEST_OK(s.ctx, sqz_teacher_create(s.o, &s.ds, NULL, &s.t));
    return s;
}

static void end(school *s)
{
    sqz_teacher_free(s->t);
    sqz_tape_free(s->tape);
    sqz_objective_free(s->o);
    net_data_free(&s->ds);
    sqz_graph_free(s->student.g);
    sqz_graph_free(s->teacher[0].g);
    sqz_graph_free(s->teacher[1].g);
    sqz_ctx_free(s->ctx);
}

/* Value of a teacher for all samples, as its output would be. */
static float *answers(school *s, int teacher, const char *name, size_t *count)
{
    sqz_graph *g;
    const sqz_vid v = sqz_graph_find(s->teacher[teacher].g, name);
    TEST_OK(s->ctx, sqz_graph_clone(s->teacher[teacher].g, &g));
    TEST_OK(s->ctx, sqz_graph_set_outputs(g, &v, 1));
    TEST_OK(s->ctx, sqz_graph_set_batch(g, 1));
    float *all = net_run(g, &s->ds, 0, count);
    sqz_graph_free(g);
    *count /= SAMPLES;
    return all;
}

static void fill(school *s, const int64_t *sample, bool by_place)
{
    float x[BATCH * 50];
    for (size_t i = 0; i < BATCH; i++)
        memcpy(x + i * 50, (const float *)s->ds.impl + sample[i] * 50, 50 * sizeof *x);
    TEST_OK(s->ctx, sqz_teacher_fill(s->t, by_place ? NULL : x, sample, s->tape));
}

static void expect(school *s, const int64_t *sample, uint32_t k, const float *want, size_t count)
{
    const float *got = sqz_tape_data(s->tape, s->o->teacher[k].to);
    assert_int_equal(sqz_tape_count(s->tape, s->o->teacher[k].to), BATCH * count);
    for (size_t i = 0; i < BATCH; i++)
        for (size_t e = 0; e < count; e++)
            TEST_NEAR((double)got[i * count + e], (double)want[sample[i] * count + e], 1e-6);
}

static const int64_t some[BATCH] = {3, 21, 0, 3};

static void test_a_teacher_answers_what_it_answers_alone(void **state)
{
    (void)state;
    school s = begin(1, "kd,mse(to=teacher)");
    size_t count;
    assert_int_equal(s.o->n_teacher, 2);
    fill(&s, some, false);
    for (uint32_t k = 0; k < 2; k++) {
        float *want = answers(&s, 0, k == 0 ? "z" : "p", &count);
        assert_string_equal(s.o->teacher[k].name, k == 0 ? "z" : "p");
        expect(&s, some, k, want, count);
        free(want);
    }
    end(&s);
}

static void test_several_teachers_answer_with_the_mean_of_their_logits(void **state)
{
    (void)state;
    school s = begin(2, "kd");
    size_t count;
    float *a = answers(&s, 0, "z", &count), *b = answers(&s, 1, "z", &count);
    for (size_t i = 0; i < SAMPLES * count; i++)
        a[i] = (a[i] + b[i]) / 2;
    fill(&s, some, false);
    expect(&s, some, 0, a, count);
    free(a);
    free(b);
    end(&s);
}

/* ---- cache ---- */

static char dir[] = "/tmp/sqz_teacher_XXXXXX";

static void open_cache(school *s, size_t memory, const char *augment, sqz_cache_report *r)
{
    TEST_OK(s->ctx, sqz_teacher_open_cache(
                        s->t, &s->ds,
                        &(sqz_teacher_cache){
                            .dir = dir, .teachers = "t", .augment = augment, .memory = memory},
                        r));
}

static void test_a_cache_answers_as_the_teacher_does(void **state)
{
    (void)state;
    for (size_t memory = 0; memory < 2; memory++) { /* 1 byte: from the files */
        for (int64_t run = 0; run < 2; run++) {
            school s = begin(1, "kd,mse(to=teacher)");
            sqz_cache_report r;
            size_t count;
            open_cache(&s, memory, "none", &r);
            assert_int_equal(r.computed, run || memory ? 0 : SAMPLES);
            assert_int_equal(r.read, run || memory ? SAMPLES : 0);
            assert_true(r.bytes > 0);
            float *want = answers(&s, 0, "p", &count);
            fill(&s, some, true);
            expect(&s, some, 1, want, count);
            free(want);
            end(&s);
        }
    }
}

static void test_another_augmentation_is_another_cache(void **state)
{
    (void)state;
    school s = begin(1, "kd");
    sqz_cache_report r;
    open_cache(&s, 0, "crop(4)", &r);
    assert_int_equal(r.computed, SAMPLES);
    end(&s);
}

/* Every flipped byte of a part is seen: the part is computed again. */
static void test_a_damaged_part_is_computed_again(void **state)
{
    (void)state;
    char command[128], path[256] = "";
    (void)snprintf(command, sizeof command, "find %s -name '*.h5'", dir);
    for (int flip = 0; flip < 4; flip++) {
        school s = begin(1, "kd,mse(to=teacher)");
        FILE *list = popen(command, "r");
        sqz_cache_report r;
        int64_t again = 0;
        while (fscanf(list, "%255s", path) == 1) {
            FILE *f = fopen(path, "r+b");
            (void)fseek(f, 0, SEEK_END);
            const long size = ftell(f);
            (void)fseek(f, flip * size / 4 + 3, SEEK_SET);
            const int byte = fgetc(f);
            (void)fseek(f, flip * size / 4 + 3, SEEK_SET);
            (void)fputc(byte ^ 0x55, f);
            if (flip == 3) /* and one that is cut off */
                assert_int_equal(ftruncate(fileno(f), size / 2), 0);
            (void)fclose(f);
            again++;
        }
        (void)pclose(list);
        assert_true(again >= 2);
        size_t count;
        open_cache(&s, 0, "none", &r);
        assert_int_equal(r.computed, SAMPLES);
        float *want = answers(&s, 0, "p", &count);
        fill(&s, some, true);
        expect(&s, some, 1, want, count);
        free(want);
        end(&s);
    }
}

static int stop(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user, (void)total;
    return done >= 12 && strcmp(what, "ask the teacher") == 0;
}

/* Parts of one batch; stopped in the third of six. */
static void test_a_cache_that_was_stopped_goes_on_after_its_last_part(void **state)
{
    (void)state;
    const sqz_teacher_cache how = {.dir = dir, .teachers = "t", .augment = "stopped", .part = 1};
    sqz_cache_report r;
    school s = begin(1, "kd,mse(to=teacher)");
    s.ctx->progress = stop;
    TEST_FAILS(s.ctx, sqz_teacher_open_cache(s.t, &s.ds, &how, &r), SQZ_E_ARG, "stopped");
    assert_int_equal(r.computed, 2 * BATCH);
    end(&s);
    s = begin(1, "kd,mse(to=teacher)");
    size_t count;
    TEST_OK(s.ctx, sqz_teacher_open_cache(s.t, &s.ds, &how, &r));
    assert_int_equal(r.read, 2 * BATCH);
    assert_int_equal(r.computed, SAMPLES - 2 * BATCH);
    float *want = answers(&s, 0, "p", &count);
    fill(&s, some, true);
    expect(&s, some, 1, want, count);
    free(want);
    end(&s);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    char command[64];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_teacher_answers_what_it_answers_alone),
        cmocka_unit_test(test_several_teachers_answer_with_the_mean_of_their_logits),
        cmocka_unit_test(test_a_cache_answers_as_the_teacher_does),
        cmocka_unit_test(test_another_augmentation_is_another_cache),
        cmocka_unit_test(test_a_cache_that_was_stopped_goes_on_after_its_last_part),
        cmocka_unit_test(test_a_damaged_part_is_computed_again),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

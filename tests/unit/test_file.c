/* Files: limits, atomic output (whatever stops it, the old file stays), devices and pipes. */
#include "sqz_test.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static int enter(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/sqz-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    DIR *d = opendir(folder);
    char path[400];
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        (void)unlink(path);
        (void)rmdir(path);
    }
    if (d)
        (void)closedir(d);
    return rmdir(folder);
}

static const char *at(const char *name)
{
    static char path[4][400];
    static unsigned next;
    char *p = path[next++ % 4];
    (void)snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static int files_in_folder(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    (void)closedir(d);
    return n;
}

static void expect_content(sqz_ctx *ctx, const char *path, const char *want)
{
    void *data = NULL;
    size_t n = 0;
    TEST_OK(ctx, sqz_file_read(ctx, path, 1 << 20, &data, &n));
    assert_string_equal(data, want);
    assert_int_equal(n, strlen(want));
    sqz_free(ctx, data);
}

static void test_write_then_read(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    TEST_OK(ctx, sqz_file_write(ctx, at("a"), "hello", 5));
    expect_content(ctx, at("a"), "hello");
    TEST_OK(ctx, sqz_file_write(ctx, at("a"), "", 0));
    expect_content(ctx, at("a"), "");
    assert_int_equal(files_in_folder(), 1);
    char hex[65];
    TEST_OK(ctx, sqz_file_write(ctx, at("a"), "abc", 3));
    TEST_OK(ctx, sqz_file_sha256(ctx, at("a"), hex));
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sqz_ctx_free(ctx);
}

static void test_read_refusals(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    void *data = ctx;
    size_t n = 9;
    char hex[65];
    TEST_FAILS(ctx, sqz_file_read(ctx, at("none"), 100, &data, &n), SQZ_E_NOTFOUND, "none'");
    assert_null(data);
    TEST_FAILS(ctx, sqz_file_read(ctx, folder, 100, &data, &n), SQZ_E_IO, "folder");
    TEST_FAILS(ctx, sqz_file_sha256(ctx, at("none"), hex), SQZ_E_NOTFOUND, "none'");
    TEST_OK(ctx, sqz_file_write(ctx, at("long"), "0123456789", 10));
    TEST_FAILS(ctx, sqz_file_read(ctx, at("long"), 9, &data, &n), SQZ_E_LIMIT, "9 B");
    TEST_OK(ctx, sqz_file_read(ctx, at("long"), 10, &data, &n));
    assert_int_equal(n, 10);
    sqz_free(ctx, data);
    sqz_ctx_free(ctx);
}

/* A pipe has no size to trust: the reader grows, and the limit holds all the same. */
static void test_pipes_are_read_to_their_end(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    enum { N = 100000 };
    for (int over = 0; over < 2; over++) {
        assert_int_equal(mkfifo(at("pipe"), 0600), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            (void)signal(SIGPIPE, SIG_IGN);
            int fd = open(at("pipe"), O_WRONLY);
            char byte[1000];
            memset(byte, 'p', sizeof byte);
            for (int i = 0; i < N / 1000; i++)
                if (write(fd, byte, sizeof byte) < 0)
                    _exit(1);
            _exit(0);
        }
        void *data = NULL;
        size_t n = 0;
        if (over) {
            TEST_FAILS(ctx, sqz_file_read(ctx, at("pipe"), 5000, &data, &n), SQZ_E_LIMIT, "pipe");
        } else {
            TEST_OK(ctx, sqz_file_read(ctx, at("pipe"), N, &data, &n));
            assert_int_equal(n, N);
            assert_int_equal(((char *)data)[N - 1], 'p');
            assert_int_equal(((char *)data)[N], 0);
            sqz_free(ctx, data);
        }
        (void)waitpid(child, NULL, 0);
        (void)unlink(at("pipe"));
    }
    sqz_ctx_free(ctx);
}

static void test_abort_leaves_the_old_file(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    TEST_OK(ctx, sqz_file_write(ctx, at("x"), "old", 3));
    sqz_outfile f;
    TEST_OK(ctx, sqz_out_begin(ctx, at("x"), &f));
    TEST_OK(ctx, sqz_out_write(&f, "new", 3));
    expect_content(ctx, at("x"), "old"); /* nothing shows before the commit */
    sqz_out_abort(&f);
    sqz_out_abort(&f);
    expect_content(ctx, at("x"), "old");
    assert_int_equal(files_in_folder(), 1);
    sqz_ctx_free(ctx);
}

static void test_a_kill_leaves_the_old_file(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    TEST_OK(ctx, sqz_file_write(ctx, at("x"), "old", 3));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        sqz_outfile f;
        sqz_ctx *mine = test_ctx();
        if (sqz_out_begin(mine, at("x"), &f) == SQZ_OK && sqz_out_write(&f, "new", 3) == SQZ_OK)
            (void)raise(SIGKILL);
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    expect_content(ctx, at("x"), "old");
    TEST_OK(ctx, sqz_file_write(ctx, at("x"), "newer", 5)); /* the leftover is not in the way */
    expect_content(ctx, at("x"), "newer");
    sqz_ctx_free(ctx);
}

/* The file-size limit stands in for a disk that fills up half way. */
static void test_a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    TEST_OK(ctx, sqz_file_write(ctx, at("x"), "old", 3));
    static char big[8192];
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 4096;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    sqz_status s = sqz_file_write(ctx, at("x"), big, sizeof big);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_DFL);
    TEST_FAILS(ctx, s, SQZ_E_IO, "cannot write");
    expect_content(ctx, at("x"), "old");
    assert_int_equal(files_in_folder(), 1); /* no temporary file stays */
    sqz_ctx_free(ctx);
}

static void test_devices_are_written_directly(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    TEST_OK(ctx, sqz_file_write(ctx, "/dev/null", "x", 1));
    struct stat st;
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode)); /* still the device */
    if (access("/dev/full", W_OK) == 0)
        TEST_FAILS(ctx, sqz_file_write(ctx, "/dev/full", "x", 1), SQZ_E_IO, "/dev/full");
    assert_int_equal(mkfifo(at("pipe"), 0600), 0);
    int fd = open(at("pipe"), O_RDONLY | O_NONBLOCK);
    char got[8] = "";
    TEST_OK(ctx, sqz_file_write(ctx, at("pipe"), "xyz", 3));
    assert_int_equal(read(fd, got, sizeof got), 3);
    assert_memory_equal(got, "xyz", 3);
    (void)close(fd);
    sqz_ctx_free(ctx);
}

static void test_links_and_permissions_stay(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    TEST_OK(ctx, sqz_file_write(ctx, at("real"), "old", 3));
    assert_int_equal(chmod(at("real"), 0640), 0);
    assert_int_equal(symlink("real", at("link")), 0);
    TEST_OK(ctx, sqz_file_write(ctx, at("link"), "new", 3));
    struct stat st;
    assert_int_equal(lstat(at("link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    expect_content(ctx, at("real"), "new");
    assert_int_equal(stat(at("real"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    sqz_ctx_free(ctx);
}

static void test_write_refusals(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_outfile f;
    TEST_FAILS(ctx, sqz_out_begin(ctx, folder, &f), SQZ_E_IO, "folder");
    sqz_out_abort(&f); /* fine after a failed begin */
    TEST_FAILS(ctx, sqz_file_write(ctx, at("no/such"), "x", 1), SQZ_E_NOTFOUND, "no/such");
    char name[256];
    memset(name, 'n', sizeof name);
    name[255] = 0; /* the longest name that a file may have leaves no room for a suffix */
    TEST_OK(ctx, sqz_file_write(ctx, at(name), "x", 1));
    expect_content(ctx, at(name), "x");
    sqz_ctx_free(ctx);
}

static void test_folders_are_made_with_their_parents(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    char deep[200];
    (void)snprintf(deep, sizeof deep, "%s/p//q/", folder);
    TEST_OK(ctx, sqz_make_dir(ctx, deep));
    TEST_OK(ctx, sqz_make_dir(ctx, deep)); /* again is fine */
    TEST_OK(ctx, sqz_file_write(ctx, at("p/q/file"), "x", 1));
    TEST_FAILS(ctx, sqz_make_dir(ctx, at("p/q/file")), SQZ_E_IO, "file of that name");
    TEST_FAILS(ctx, sqz_make_dir(ctx, at("p/q/file/r")), SQZ_E_IO, "p/q/file'");
    TEST_FAILS(ctx, sqz_make_dir(ctx, ""), SQZ_E_ARG, "empty");
    assert_int_equal(unlink(at("p/q/file")), 0);
    assert_int_equal(rmdir(at("p/q")), 0);
    sqz_ctx_free(ctx);
}

static void test_the_clock_goes_forward(void **state)
{
    (void)state;
    double a = sqz_now(), b = sqz_now();
    assert_true(b >= a && b - a < 10);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_write_then_read),
        TEST(test_read_refusals),
        TEST(test_pipes_are_read_to_their_end),
        TEST(test_abort_leaves_the_old_file),
        TEST(test_a_kill_leaves_the_old_file),
        TEST(test_a_full_disk_leaves_the_old_file),
        TEST(test_devices_are_written_directly),
        TEST(test_links_and_permissions_stay),
        TEST(test_write_refusals),
        TEST(test_folders_are_made_with_their_parents),
        TEST(test_the_clock_goes_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

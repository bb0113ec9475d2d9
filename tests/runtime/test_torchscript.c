/* SPDX-License-Identifier: Apache-2.0 */
/* TorchScript as a runtime: any strides in place, results of foreign files copied and counted, the calling thread left as it was. */
#include "runtime_fixture.h"

#include <dlfcn.h>
#include <math.h>

/* libtorch forgets its reader of an archive that it then refuses. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void); /* the sanitizer's library looks for it */
const char *__lsan_default_suppressions(void) { return "leak:mz_zip_reader_init\n"; }

#define LINEAR "x:float32:3 -> y:float32:2"

/* CMSSW's testSoAToTorch, from a file that stoa.export did not write: x as a block, y row-major and as a block. */
static void foreign_results_are_copied(void **state)
{
    static float x[3][32] = {{1, 2, 3, 2}, {2, 4, 4, 3}, {1, 3, 1, 2}}, rows[32][2], block[2][32];
    static const float expected[2][4] = {{2.3f, 6.6f, 2.5f, 4.4f}, {-0.5f, 3.0f, -4.9f, 1.3f}};
    stoa_error err = {0};
    (void)state;
    stoa_model *model = fixture_load("foreign_linear.pt", "torchscript", LINEAR);
    assert_int_equal(stoa_model_capabilities(model)->outputs_in_place, 0);
    assert_int_equal(stoa_model_capabilities(model)->row_independent, 0);
    stoa_session *strict = fixture_session(model, fixture_queue, 4, 0), *session = fixture_session(model, fixture_queue, 4, 1);
    assert_int_equal(fixture_try_bind(strict, "y", rows[0], 2, 4, 1, 2, &err), STOA_ECOPY);
    assert_non_null(strstr(err.message, "memory of its own"));
    fixture_bind(session, "x", x[0], 3, 4, 32, 1);
    fixture_bind(session, "y", rows[0], 2, 4, 1, 2);
    fixture_run(session, 0, 4);
    fixture_bind(session, "y", block[0], 2, 4, 32, 1);
    fixture_run(session, 0, 4);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 4; i++) {
            assert_true(fabsf(rows[i][k] - expected[k][i]) < 1e-5f);
            assert_true(fabsf(block[k][i] - expected[k][i]) < 1e-5f);
        }
    assert_true(rows[4][0] == 0 && block[0][4] == 0 && block[1][4] == 0);
    assert_int_equal(fixture_stats(session).copy_calls, 2);
    assert_int_equal(fixture_stats(session).copy_bytes, 2 * 4 * 2 * sizeof(float)); /* the runtime's own, once each */
    stoa_session_destroy(session);
    stoa_session_destroy(strict);
    stoa_model_destroy(model);
}

/* A tuple of results, and no rows. */
static void foreign_heads(void **state)
{
    static float x[3][16] = {{1, 0}, {0, 1}, {0.5f, 0.5f}}, r[16], c[3][16];
    (void)state;
    stoa_model *model = fixture_load("foreign_multihead.pt", "torchscript", " x : float32 : 3 -> regression:float32, classes:float32:3:N");
    stoa_session *session = fixture_session(model, fixture_queue, 16, 1);
    fixture_bind(session, "x", x[0], 3, 16, 16, 1);
    fixture_bind(session, "regression", r, 1, 16, 16, 1);
    fixture_bind(session, "classes", c[0], 3, 16, 16, 1);
    fixture_run(session, 0, 0);
    assert_true(r[0] == 0);
    fixture_run(session, 0, 2);
    assert_true(r[0] > 0 && fabsf(r[0] - r[1]) < 1e-6f && r[2] == 0);
    assert_true(fabsf(c[0][1] + c[1][1] + c[2][1] - 1) < 1e-6f && c[0][2] == 0);
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

/* What a signature says and the file does not do. The session is where a call is first made. */
static void wrong_signatures(void **state)
{
    static const struct {
        const char *file, *signature;
        stoa_status load, session;
        const char *says;
    } cases[] = {
        {"foreign_linear.pt", NULL, STOA_EINVAL, STOA_OK, "signature"},
        {"selector.pt", LINEAR, STOA_EINVAL, STOA_OK, "the file says what it takes"},
        {"foreign_linear.pt", "x:float32:3", STOA_EINVAL, STOA_OK, "->"},
        {"foreign_linear.pt", "x:float99:3 -> y:float32", STOA_EINVAL, STOA_OK, "float99"},
        {"foreign_linear.pt", "x:float32:3, z:float32 -> y:float32:2", STOA_ESHAPE, STOA_OK, "2"},
        {"foreign_linear.pt", "x:float32:3 -> y:float32:2, z:float32", STOA_OK, STOA_ESHAPE, "1 outputs"},
        {"foreign_linear.pt", "x:float32:3 -> y:float32:3", STOA_OK, STOA_ESHAPE, "[2, 2], the signature says [2, 3]"},
        {"foreign_linear.pt", "x:float32:3 -> y:float64:2", STOA_OK, STOA_EDTYPE, "Float, the signature says float64"},
        {"foreign_linear.pt", "x:float32:4 -> y:float32:2", STOA_OK, STOA_ERUNTIME, "shape"},
        {"foreign_linear.pt", "x:float64:3 -> y:float32:2", STOA_OK, STOA_ERUNTIME, "same dtype"},
        {"foreign_linear.pt", "x:uint64:3 -> y:float32:2", STOA_OK, STOA_EDTYPE, "uint64"},
        {"foreign_multihead.pt", "x:float32:3 -> y:float32", STOA_OK, STOA_ESHAPE, "2 outputs"},
    };
    fixture_watch watch;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stoa_error err = {0};
        stoa_model *model;
        stoa_session *session = NULL;
        fixture_watch_begin(&watch);
        const stoa_status load = fixture_try_load(cases[i].file, "torchscript", cases[i].signature, &model, &err);
        const stoa_status made = load == STOA_OK ? stoa_session_create(model, fixture_queue, 8, NULL, &session, &err) : STOA_OK;
        fixture_watch_end(&watch);
        if (load != cases[i].load || made != cases[i].session || !strstr(err.message, cases[i].says) || strchr(err.message, '\n'))
            fail_msg("%s: load %s, session %s (%s)", cases[i].signature ? cases[i].signature : "none", stoa_status_name(load),
                     stoa_status_name(made), err.message);
        assert_null(session);
        stoa_model_destroy(model);
    }
}

/* An exception of the model is a failure of the run, told to the caller alone; the session goes on. */
static void exceptions_end_here(void **state)
{
    static float x[2][8], y[8];
    fixture_watch watch;
    stoa_error err = {0};
    (void)state;
    stoa_model *model = fixture_load("foreign_picky.pt", "torchscript", "x:float32:2 -> y:float32");
    stoa_session *session = fixture_session(model, fixture_queue, 8, 1);
    fixture_bind(session, "x", x[0], 2, 8, 8, 1);
    fixture_bind(session, "y", y, 1, 8, 8, 1);
    x[1][3] = -1;
    fixture_watch_begin(&watch);
    const stoa_status status = stoa_session_run(session, 8, &err);
    fixture_watch_end(&watch);
    assert_int_equal(status, STOA_ERUNTIME);
    if (!strstr(err.message, "x is negative")) fail_msg("%s", err.message);
    x[1][3] = 2;
    fixture_run(session, 0, 8);
    assert_true(y[3] == 2);
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

static void damaged_files(void **state)
{
    fixture_watch watch;
    stoa_error err = {0};
    size_t bytes;
    (void)state;
    char *data = fixture_read(fixture_path("linear.pt"), &bytes), *changed = malloc(bytes);
    fixture_watch_begin(&watch);
    assert_int_equal(fixture_load_bytes("not a zip", 9, "torchscript", LINEAR, &err), STOA_EFORMAT);
    for (size_t part = 0; part < 16; part++) {
        assert_int_equal(fixture_load_bytes(data, bytes * part / 16, "torchscript", LINEAR, &err), STOA_EFORMAT);
        memcpy(changed, data, bytes);
        for (size_t i = bytes * part / 16; i < bytes * part / 16 + 32; i++) changed[i] ^= 0x55;
        const stoa_status status = fixture_load_bytes(changed, bytes, "torchscript", LINEAR, &err);
        assert_true(status == STOA_EFORMAT || status == STOA_EINVAL || status == STOA_OK); /* the gaps of alignment mean nothing */
    }
    assert_int_equal(fixture_load_bytes(data, bytes, "torchscript", NULL, &err), STOA_OK);
    fixture_watch_end(&watch);
    free(changed);
    free(data);
}

/* libtorch's own state of this thread, by the functions of its C interface and of its OpenMP. */
typedef struct torch_state {
    bool (*grad_enabled)(void);
    void (*set_grad)(bool enabled);
    int (*threads)(void);
    void (*set_threads)(int count);
} torch_state;

static torch_state find_torch(void)
{
    Dl_info info;
    char line[1024], *path = NULL;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (!path && fgets(line, sizeof line, maps))
        if (strstr(line, "libtorch_cpu.so")) path = strchr(line, '/');
    fclose(maps);
    assert_non_null(path);
    path[strcspn(path, "\n")] = 0;
    void *torch = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(torch);
    torch_state state;
    void *symbols[] = {dlsym(torch, "aoti_torch_grad_mode_is_enabled"), dlsym(torch, "aoti_torch_grad_mode_set_enabled"),
                       dlsym(torch, "omp_get_max_threads"), dlsym(torch, "omp_set_num_threads")};
    for (int i = 0; i < 4; i++) assert_true(symbols[i] && dladdr(symbols[i], &info));
    memcpy(&state, symbols, sizeof state);
    return state;
}

/* 100 000 rows are enough for PyTorch to want its pool of threads: none is started, and its settings are as before. */
static void nothing_behind_the_back(void **state)
{
    enum { ROWS = 100000 };
    static float x[3][ROWS], y[2][ROWS];
    fixture_watch watch;
    (void)state;
    stoa_model *model = fixture_load("foreign_linear.pt", "torchscript", LINEAR);
    const torch_state torch = find_torch();
    const bool grad = torch.grad_enabled();
    torch.set_threads(3);
    fixture_watch_begin(&watch);
    stoa_session *session = fixture_session(model, fixture_queue, ROWS, 1);
    fixture_bind(session, "x", x[0], 3, ROWS, ROWS, 1);
    fixture_bind(session, "y", y[0], 2, ROWS, ROWS, 1);
    fixture_run(session, 0, ROWS);
    const uint64_t allocations = stoa_alloc_count();
    for (uint32_t i = 0; i < 10; i++) fixture_run(session, i, ROWS - 2 * i);
    const uint64_t more = stoa_alloc_count() - allocations;
    const bool grad_between = torch.grad_enabled();
    torch.set_grad(!grad);
    fixture_run(session, 0, 5);
    const bool kept = torch.grad_enabled() == !grad;
    torch.set_grad(grad);
    fixture_watch_end(&watch);
    assert_true(grad_between == grad && kept);
    assert_int_equal(torch.threads(), 3);
    assert_int_equal(more, 0);
    const uint64_t blocks = fixture_stats(session).run_allocations;
    assert_true(blocks >= 12 && blocks % 12 == 0); /* PyTorch's, the same in each of the twelve runs */
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

static void threads_agree(void **state)
{
    (void)state;
    stoa_model *model = fixture_load("selector.pt", "torchscript", NULL);
    fixture_threads_agree(model);
    stoa_model_destroy(model);
}

int main(void)
{
    const int skip = fixture_skip();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_results_are_copied),
        cmocka_unit_test(foreign_heads),
        cmocka_unit_test(wrong_signatures),
        cmocka_unit_test(exceptions_end_here),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(nothing_behind_the_back),
        cmocka_unit_test(threads_agree),
    };
    return skip ? skip : cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}

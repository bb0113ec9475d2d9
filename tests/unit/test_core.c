/* SPDX-License-Identifier: Apache-2.0 */
/* Statuses and their record, element types, the allocation hook and the log callback. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stoa/dtype.h"
#include "stoa/memory.h"

static void statuses_have_names_texts_and_frozen_numbers(void **state)
{
    (void)state;
#define CHECK(name, number, text) \
    assert_string_equal(stoa_status_name(STOA_##name), "STOA_" #name); \
    assert_string_equal(stoa_status_text(STOA_##name), text); \
    assert_int_equal(STOA_##name, number);
    STOA_STATUS_MAP(CHECK)
#undef CHECK
    assert_string_equal(stoa_status_name((stoa_status)12345), "STOA_UNKNOWN");
    assert_int_equal(STOA_ENOMEM, 20); /* spot checks against the table itself being renumbered */
    assert_int_equal(STOA_EFORMAT, 61);
}

static void the_error_record_is_always_terminated(void **state)
{
    (void)state;
    stoa_error err;
    memset(&err, 'x', sizeof err);
    char text[3000];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(stoa_error_set(&err, STOA_EIO, 2, STOA_HERE, "%s", text), STOA_EIO);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_int_equal(err.native, 2);
    assert_non_null(strstr(err.where, "test_core.c:"));
    assert_int_equal(STOA_FAIL(NULL, STOA_ESHAPE, "%d", 1), STOA_ESHAPE);
}

static void dtypes_have_sizes_and_names(void **state)
{
    (void)state;
#define CHECK(name, number, type, code, text) \
    assert_int_equal(stoa_dtype_bytes(STOA_##name), sizeof(type)); \
    assert_string_equal(stoa_dtype_name(STOA_##name), text); \
    assert_int_equal(stoa_dtype_from_name(text), STOA_##name);
    STOA_DTYPE_MAP(CHECK)
#undef CHECK
    assert_int_equal(STOA_DTYPE_OF(float), STOA_FLOAT32);
    assert_int_equal(stoa_dtype_bytes(STOA_DTYPE_NONE), 0);
    assert_int_equal(stoa_dtype_bytes((stoa_dtype)99), 0);
    assert_string_equal(stoa_dtype_name((stoa_dtype)99), "none");
    assert_int_equal(stoa_dtype_from_name("float"), STOA_DTYPE_NONE);
    assert_int_equal(stoa_dtype_from_name(NULL), STOA_DTYPE_NONE);
}

/* Every half and every bfloat16 goes to float and back unchanged; NaNs stay NaNs. */
static void half_precision_round_trips(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        stoa_half half = {(uint16_t)bits};
        float value = stoa_half_to_float(half);
        if (isnan(value)) assert_true(isnan(stoa_half_to_float(stoa_half_from_float(value))));
        else assert_int_equal(stoa_half_from_float(value).bits, bits);
        stoa_bfloat16 brain = {(uint16_t)bits};
        value = stoa_bfloat16_to_float(brain);
        if (isnan(value)) assert_true(isnan(stoa_bfloat16_to_float(stoa_bfloat16_from_float(value))));
        else assert_int_equal(stoa_bfloat16_from_float(value).bits, bits);
    }
}

/* Between neighbours: a quarter goes down, a half to the even one, three quarters up. */
static void half_precision_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x7bff; bits++) {
        float low = stoa_half_to_float((stoa_half){(uint16_t)bits});
        float step = stoa_half_to_float((stoa_half){(uint16_t)(bits + 1)}) - low;
        assert_int_equal(stoa_half_from_float(low + 0.25f * step).bits, bits);
        assert_int_equal(stoa_half_from_float(low + 0.5f * step).bits, bits + (bits & 1));
        assert_int_equal(stoa_half_from_float(-low - 0.75f * step).bits, 0x8000 | (bits + 1));
    }
    assert_int_equal(stoa_half_from_float(65519.0f).bits, 0x7bff);
    assert_int_equal(stoa_half_from_float(65520.0f).bits, 0x7c00);
    assert_int_equal(stoa_half_from_float(1e-9f).bits, 0);
    assert_int_equal(stoa_bfloat16_from_float(1.0f + 0x1p-8f).bits, 0x3f80);
    assert_int_equal(stoa_bfloat16_from_float(1.0f + 0x3p-8f).bits, 0x3f82);
    assert_int_equal(stoa_bfloat16_from_float(3.4e38f).bits, 0x7f80);
}

static size_t hook_bytes, hook_align;
static void *hook_alloc(void *user, size_t bytes, size_t align_bytes)
{
    *(int *)user += 1;
    hook_bytes = bytes;
    hook_align = align_bytes;
    return malloc(bytes);
}
static void hook_free(void *user, void *pointer, size_t bytes)
{
    *(int *)user -= 1;
    hook_bytes = bytes;
    free(pointer);
}

static void all_memory_goes_through_the_hook(void **state)
{
    (void)state;
    int live = 0;
    stoa_error err;
    stoa_allocator hook = {sizeof hook, hook_alloc, hook_free, &live};
    assert_int_equal(stoa_allocator_set(&hook, NULL), STOA_OK);
    uint64_t before = stoa_alloc_count();
    char *memory = stoa_calloc(3, 7);
    assert_int_equal(hook_bytes, 21);
    assert_int_equal(live, 1);
    for (int i = 0; i < 21; i++) assert_int_equal(memory[i], 0);
    stoa_free(memory, 21);
    stoa_free(NULL, 21);
    assert_int_equal(live, 0);
    void *pointer = stoa_alloc(100, 64);
    assert_int_equal(hook_align, 64);
    stoa_free(pointer, 100);
    assert_int_equal(stoa_alloc_count(), before + 2);
    assert_null(stoa_calloc(SIZE_MAX / 2, 3));

    hook.free = NULL;
    assert_int_equal(stoa_allocator_set(&hook, &err), STOA_EINVAL);
    hook.struct_size = 4;
    assert_int_equal(stoa_allocator_set(&hook, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "4 given"));
    assert_int_equal(stoa_allocator_set(NULL, NULL), STOA_OK);
    pointer = stoa_alloc(1000, 4096);
    assert_int_equal((uintptr_t)pointer % 4096, 0);
    stoa_free(pointer, 1000);
}

static char logged[64];
static void take_log(void *user, stoa_log_level level, const char *line)
{
    (void)level;
    *(int *)user += 1;
    strncpy(logged, line, sizeof logged - 1);
}

static void the_log_is_silent_until_asked(void **state)
{
    (void)state;
    int lines = 0;
    stoa_log(STOA_LOG_ERROR, "nobody hears this");
    stoa_log_set(take_log, &lines, STOA_LOG_WARNING);
    stoa_log(STOA_LOG_INFO, "too detailed");
    assert_int_equal(lines, 0);
    stoa_log(STOA_LOG_WARNING, "%d bytes", 12);
    assert_int_equal(lines, 1);
    assert_string_equal(logged, "12 bytes");
    stoa_log_set(NULL, NULL, STOA_LOG_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_have_names_texts_and_frozen_numbers),
        cmocka_unit_test(the_error_record_is_always_terminated),
        cmocka_unit_test(dtypes_have_sizes_and_names),
        cmocka_unit_test(half_precision_round_trips),
        cmocka_unit_test(half_precision_rounds_to_nearest_even),
        cmocka_unit_test(all_memory_goes_through_the_hook),
        cmocka_unit_test(the_log_is_silent_until_asked),
    };
    return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}

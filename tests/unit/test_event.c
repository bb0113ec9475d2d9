/* SPDX-License-Identifier: Apache-2.0 */
/* Events: alpaka's cases (cmssw-inventory 4.8) and what the header of stoa/queue.h promises about moving them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#include "device_kernels.h"
#include "device_under_test.h"

#define OK(call) assert_int_equal((call), STOA_OK)

typedef struct fixture {
    stoa_device *device;
    stoa_queue *a, *b, *blocking;
    stoa_event *event;
    stoa_buffer *shared; /* 64 bytes */
    sem_t gate[2];
} fixture;

static int set_up(void **state)
{
    static fixture self;
    *state = &self;
    OK(stoa_device_open(device_under_test(), &self.device, NULL));
    OK(stoa_queue_create(self.device, STOA_QUEUE_ASYNC, &self.a, NULL));
    OK(stoa_queue_create(self.device, STOA_QUEUE_ASYNC, &self.b, NULL));
    OK(stoa_queue_create(self.device, STOA_QUEUE_BLOCKING, &self.blocking, NULL));
    OK(stoa_event_create(self.device, &self.event, NULL));
    self.shared = make_shared(self.blocking, 64);
    for (int i = 0; i < 2; i++) sem_init(&self.gate[i], 0, 0);
    return 0;
}

static int tear_down(void **state)
{
    fixture *self = *state;
    stoa_event_destroy(self->event);
    stoa_buffer_release(self->shared);
    stoa_queue_destroy(self->a);
    stoa_queue_destroy(self->b);
    stoa_queue_destroy(self->blocking);
    stoa_device_close(self->device);
    for (int i = 0; i < 2; i++) sem_destroy(&self->gate[i]);
    return 0;
}

static void pass_gate(void *gate)
{
    while (sem_wait(gate) != 0) continue;
}

static bool is_done(const stoa_event *event)
{
    bool done;
    OK(stoa_event_is_done(event, &done, NULL));
    return done;
}

static bool is_idle(stoa_queue *queue)
{
    bool idle;
    OK(stoa_queue_is_idle(queue, &idle, NULL));
    return idle;
}

static void a_new_event_is_done(void **state)
{
    fixture *self = *state;
    assert_true(is_done(self->event));
    OK(stoa_event_wait(self->event, NULL));
    OK(stoa_queue_wait_event(self->a, self->event, NULL));
    OK(stoa_event_record(self->event, self->a, NULL)); /* behind nothing */
    if (!device_is_host()) OK(stoa_event_wait(self->event, NULL)); /* it is still on its way */
    assert_true(is_done(self->event));
    OK(stoa_event_record(self->event, self->blocking, NULL));
    assert_true(is_done(self->event));
}

static void it_is_done_when_the_queue_passes_it(void **state)
{
    fixture *self = *state;
    OK(stoa_queue_enqueue(self->a, pass_gate, &self->gate[0], NULL));
    OK(stoa_event_record(self->event, self->a, NULL));
    assert_false(is_done(self->event));
    OK(stoa_queue_enqueue(self->a, pass_gate, &self->gate[1], NULL));
    sem_post(&self->gate[0]);
    OK(stoa_event_wait(self->event, NULL)); /* although the queue goes on */
    assert_true(is_done(self->event));
    assert_false(is_idle(self->a));
    sem_post(&self->gate[1]);
}

static void recording_again_while_nobody_waits(void **state)
{
    fixture *self = *state;
    for (int i = 0; i < 2; i++) {
        OK(stoa_queue_enqueue(self->a, pass_gate, &self->gate[i], NULL));
        OK(stoa_event_record(self->event, self->a, NULL));
    }
    sem_post(&self->gate[0]);
    assert_false(is_done(self->event)); /* it stands at the second point now */
    sem_post(&self->gate[1]);
    OK(stoa_event_wait(self->event, NULL));
    assert_true(is_idle(self->a));
}

/* b waits for the first point; the event moves on; b is let go by the first point all the same. */
static void recording_again_while_somebody_waits(void **state)
{
    fixture *self = *state;
    OK(stoa_queue_enqueue(self->a, pass_gate, &self->gate[0], NULL));
    OK(stoa_event_record(self->event, self->a, NULL));
    OK(stoa_queue_wait_event(self->b, self->event, NULL));
    OK(stoa_queue_enqueue(self->a, pass_gate, &self->gate[1], NULL));
    OK(stoa_event_record(self->event, self->a, NULL));
    assert_false(is_idle(self->b));
    sem_post(&self->gate[0]);
    OK(stoa_queue_wait(self->b, NULL));
    assert_false(is_done(self->event));
    sem_post(&self->gate[1]);
    OK(stoa_event_wait(self->event, NULL));
}

static void destroying_it_while_a_queue_refers_to_it(void **state)
{
    fixture *self = *state;
    stoa_event *event[3];
    for (int i = 0; i < 3; i++) OK(stoa_event_create(self->device, &event[i], NULL));
    OK(stoa_queue_enqueue(self->a, pass_gate, &self->gate[0], NULL));
    for (int i = 0; i < 3; i++) {
        OK(stoa_event_record(event[i], self->a, NULL));
        OK(stoa_queue_wait_event(self->b, event[i], NULL));
    }
    uint8_t *byte = stoa_buffer_data(self->shared);
    OK(stoa_queue_fill(self->b, byte, 5, 1, NULL));
    stoa_event_destroy(event[1]); /* out of order */
    stoa_event_destroy(event[0]);
    assert_false(is_idle(self->b));
    sem_post(&self->gate[0]);
    OK(stoa_queue_wait(self->b, NULL));
    assert_int_equal(*byte, 5);
    stoa_event_destroy(event[2]);
    stoa_event_destroy(NULL);
}

static void it_outlives_its_queue(void **state)
{
    fixture *self = *state;
    stoa_queue *queue;
    OK(stoa_queue_create(self->device, STOA_QUEUE_ASYNC, &queue, NULL));
    OK(stoa_queue_enqueue(queue, pass_gate, &self->gate[0], NULL));
    OK(stoa_event_record(self->event, queue, NULL));
    OK(stoa_queue_wait_event(self->b, self->event, NULL));
    sem_post(&self->gate[0]);
    stoa_queue_destroy(queue);
    assert_true(is_done(self->event));
    OK(stoa_queue_create(self->device, STOA_QUEUE_ASYNC, &queue, NULL)); /* takes the timeline over */
    OK(stoa_queue_enqueue(queue, pass_gate, &self->gate[0], NULL));
    assert_true(is_done(self->event));
    sem_post(&self->gate[0]);
    stoa_queue_destroy(queue);
}

static void a_blocking_queue_waits_in_the_caller(void **state)
{
    fixture *self = *state;
    uint8_t *bytes = stoa_buffer_data(self->shared);
    OK(stoa_queue_fill(self->a, &bytes[0], 8, 1, NULL));
    OK(stoa_event_record(self->event, self->a, NULL));
    OK(stoa_queue_wait_event(self->blocking, self->event, NULL));
    OK(stoa_queue_copy(self->blocking, &bytes[1], &bytes[0], 1, NULL));
    assert_int_equal(bytes[1], 8);
}

/* Two queues write one counter in turn, ordered by events alone; the order and TSan both see a missing edge. */
static void two_queues_in_turn(void **state)
{
    fixture *self = *state;
    uint32_t *words = stoa_buffer_data(self->shared);
    for (uint32_t i = 0; i < 4000; i++) {
        stoa_queue *queue = i % 2 ? self->b : self->a;
        step_args args = {&words[0], &words[1], i};
        OK(stoa_queue_wait_event(queue, self->event, NULL));
        OK(stoa_queue_launch(queue, &test_step_kernel, &args, NULL));
        OK(stoa_event_record(self->event, queue, NULL));
    }
    OK(stoa_event_wait(self->event, NULL));
    assert_int_equal(words[0], 4000);
    assert_int_equal(words[1], 0);
}

/* Other threads may ask and wait while the event moves and while the device is waited for. */
typedef struct asking {
    fixture *fixture;
    atomic_bool stop;
    atomic_uint failures;
} asking;

static void *ask(void *user)
{
    asking *self = user;
    while (!atomic_load(&self->stop)) {
        bool flag;
        if (stoa_event_is_done(self->fixture->event, &flag, NULL) != STOA_OK || stoa_event_wait(self->fixture->event, NULL) != STOA_OK ||
            stoa_queue_is_idle(self->fixture->a, &flag, NULL) != STOA_OK || stoa_device_wait(self->fixture->device, NULL) != STOA_OK)
            atomic_fetch_add(&self->failures, 1);
    }
    return NULL;
}

static void asked_from_other_threads(void **state)
{
    asking shared = {.fixture = *state};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, ask, &shared), 0);
    for (int i = 0; i < 3000; i++) {
        OK(stoa_queue_fill(shared.fixture->a, stoa_buffer_data(shared.fixture->shared), (uint8_t)i, 64, NULL));
        OK(stoa_event_record(shared.fixture->event, shared.fixture->a, NULL));
    }
    OK(stoa_queue_wait(shared.fixture->a, NULL));
    atomic_store(&shared.stop, true);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&shared.failures), 0);
}

static void objects_of_another_device(void **state)
{
    fixture *self = *state;
    stoa_device *other;
    stoa_queue *queue;
    stoa_error err;
    OK(stoa_device_open(device_under_test(), &other, NULL));
    OK(stoa_queue_create(other, STOA_QUEUE_ASYNC, &queue, NULL));
    assert_int_equal(stoa_event_record(self->event, queue, &err), STOA_EPLACE);
    assert_non_null(strstr(err.message, device_beside(0)));
    OK(stoa_queue_enqueue(self->a, pass_gate, &self->gate[0], NULL));
    OK(stoa_event_record(self->event, self->a, NULL));
    OK(stoa_queue_wait_event(queue, self->event, NULL)); /* one back end: waiting works across devices */
    assert_false(is_idle(queue));
    sem_post(&self->gate[0]);
    OK(stoa_queue_wait(queue, NULL));
    assert_true(is_done(self->event));
    stoa_queue_destroy(queue);
    stoa_device_close(other);

    bool done;
    stoa_event *made = self->event;
    assert_int_equal(stoa_event_record(NULL, self->a, &err), STOA_EINVAL);
    assert_int_equal(stoa_event_record(self->event, NULL, &err), STOA_EINVAL);
    assert_int_equal(stoa_event_is_done(NULL, &done, &err), STOA_EINVAL);
    assert_int_equal(stoa_event_is_done(self->event, NULL, &err), STOA_EINVAL);
    assert_int_equal(stoa_event_wait(NULL, &err), STOA_EINVAL);
    assert_int_equal(stoa_queue_wait_event(self->a, NULL, &err), STOA_EINVAL);
    assert_int_equal(stoa_event_create(NULL, &made, &err), STOA_EINVAL);
    assert_null(made);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_new_event_is_done),
        CASE(it_is_done_when_the_queue_passes_it),
        CASE(recording_again_while_nobody_waits),
        CASE(recording_again_while_somebody_waits),
        CASE(destroying_it_while_a_queue_refers_to_it),
        CASE(it_outlives_its_queue),
        CASE(a_blocking_queue_waits_in_the_caller),
        CASE(two_queues_in_turn),
        CASE(asked_from_other_threads),
        CASE(objects_of_another_device),
    };
    require_device();
    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}

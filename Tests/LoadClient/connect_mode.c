// connect: begins connections at a fixed rate, each one verified exchange. The rate is kept open-loop: a slow server does not slow
// the client down until --concurrency connections are open, so that a stall is seen by as many connections as it would meet.
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct session *sessions;
static struct session *free_sessions;
static struct session_list busy, retrying;  // each in order of due_us
static uint32_t open_count;

static void settle(struct session *session, enum load_outcome outcome) {
    uint64_t now = load_now_us();
    uint64_t age = now - session->begun_us;
    load_report_outcome(outcome, session->id, age, load_last_error);
    load_outcomes_write(outcome, session->begun_us, session->answered_us);
    session_list_remove(session->state == SESSION_RETRYING ? &retrying : &busy, session);
    session_abort(session);
    session->next = free_sessions;
    free_sessions = session;
    open_count--;
}

static void begin(struct session *session, uint64_t id) {
    enum load_outcome outcome = session_open(session, id);
    uint64_t wait_us = (uint64_t)load_options.timeout_ms * 1000;
    session->due_us = session->begun_us + wait_us;
    session_list_add(session->state == SESSION_RETRYING ? &retrying : &busy, session);
    if (outcome != OUTCOME_OK) settle(session, outcome);
}

static void launch(void) {
    struct session *session = free_sessions;
    free_sessions = session->next;
    open_count++;
    session->state = SESSION_FREE;
    begin(session, load_report.tried++);
}

// Connections that should have begun by now, at most what the table has room for.
static uint32_t due_to_launch(void) {
    uint32_t room = load_options.concurrency - open_count;
    uint64_t due = UINT64_MAX;
    if (load_stopping) return 0;
    if (load_options.rate > 0) {
        due = (uint64_t)((double)(load_now_us() - load_report.begun_us) * load_options.rate / 1e6) + 1;
        due = due > load_report.tried ? due - load_report.tried : 0;
    }
    if (load_options.count > 0 && load_options.count - load_report.tried < due) due = load_options.count - load_report.tried;
    return due < room ? (uint32_t)due : room;
}

static void finish_exchange(struct session *session) {
    session->answered_us = load_now_us();
    uint64_t took = session->answered_us - session->exchange_us;
    load_report.exchanges++;
    load_histogram_record(session->marked || load_marked ? &load_report.marked : &load_report.plain, took);
    session_finish(session);
}

static void handle(void *object, uint32_t events) {
    struct session *session = object;
    enum load_outcome outcome = session_advance(session, events);
    if (outcome == OUTCOME_OK && session->state == SESSION_IDLE) finish_exchange(session);
    if (outcome != OUTCOME_OK || session->state == SESSION_FREE) settle(session, outcome);
}

static void expire(struct session_list *list) {
    uint64_t now = load_now_us();
    while (list->first != NULL && list->first->due_us <= now) settle(list->first, session_timeout_outcome(list->first));
}

// Once through the list: whoever has to wait again joins its end.
static void retry_all(void) {
    struct session *last = retrying.last;
    for (bool more = last != NULL; more;) {
        struct session *session = retrying.first;
        more = session != last;
        session_list_remove(&retrying, session);
        begin(session, session->id);
    }
}

static int wait_ms(void) {
    if (retrying.first != NULL) return 1;
    if (load_stopping || load_options.rate == 0) return 20;
    return load_options.rate >= 500 ? 1 : (int)(500 / load_options.rate) % 20 + 1;
}

int load_run_connect(void) {
    sessions = calloc(load_options.concurrency, sizeof *sessions);
    if (sessions == NULL) return perror("load-client"), 1;
    if (load_outcomes_open() != 0) return 1;
    for (uint32_t i = load_options.concurrency; i-- > 0;) {
        sessions[i].fd = -1;
        sessions[i].next = free_sessions;
        free_sessions = &sessions[i];
    }
    for (;;) {
        if (load_options.count > 0 && load_report.tried >= load_options.count) load_stopping = true;
        if (load_stopping && open_count == 0) break;
        for (uint32_t count = due_to_launch(); count > 0; count--) launch();
        load_turn(wait_ms(), handle);
        expire(&retrying);
        expire(&busy);
        retry_all();
    }
    free(sessions);
    return load_outcomes_close();
}

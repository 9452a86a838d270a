// hold: opens --concurrency sessions and keeps them, each with a verified exchange every --interval. A session that is cut stays
// cut: it is counted, with its time, and never opened again. Says {"event":"established"} once all are open.
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct session *sessions;
// New ones wait for their turn to connect; idle ones for their next exchange; busy ones have a deadline.
static struct session_list fresh, idle, busy;
static uint32_t alive, established;

static void lose(struct session *session, enum load_outcome outcome) {
    load_report_outcome(outcome, session->id, load_now_us() - session->begun_us, load_last_error);
    session_abort(session);
    alive--;
}

static void set_due(struct session *session, struct session_list *list, uint32_t ms) {
    session->due_us = load_now_us() + (uint64_t)ms * 1000;
    session_list_add(list, session);
}

static void start(struct session *session) {
    uint64_t id = session->id;
    enum load_outcome outcome = session_open(session, id);
    if (outcome != OUTCOME_OK) lose(session, outcome);
    else set_due(session, session->state == SESSION_RETRYING ? &fresh : &busy, load_options.timeout_ms);
}

// At most a batch per turn, so that the sessions do not all wait in one accept queue.
static void start_some(void) {
    for (uint32_t i = 0; i < 64 && fresh.first != NULL; i++) {
        struct session *session = fresh.first;
        session_list_remove(&fresh, session);
        load_report.tried += session->begun_us == 0;
        start(session);
    }
}

static void note_established(void) {
    if (++established != load_options.concurrency) return;
    printf("{\"event\":\"established\",\"sessions\":%" PRIu32 ",\"at_ms\":%" PRIu64 "}\n", established, load_unix_ms());
    fflush(stdout);
}

static void rest(struct session *session) {
    uint64_t took = load_now_us() - session->exchange_us;
    load_report.exchanges++;
    load_histogram_record(session->marked || load_marked ? &load_report.marked : &load_report.plain, took);
    if (session->position == 0) note_established();
    session_list_remove(&busy, session);
    set_due(session, &idle, load_options.interval_ms);
}

static void handle(void *object, uint32_t events) {
    struct session *session = object;
    bool was_idle = session->state == SESSION_IDLE;
    bool was_closing = session->state == SESSION_CLOSING;
    enum load_outcome outcome = session_advance(session, events);
    if (outcome != OUTCOME_OK || (was_closing && session->state == SESSION_FREE)) {
        session_list_remove(was_idle ? &idle : &busy, session);
        lose(session, outcome);
    } else if (!was_idle && session->state == SESSION_IDLE) {
        rest(session);
    }
}

static void begin_due_exchanges(void) {
    uint64_t now = load_now_us();
    while (idle.first != NULL && idle.first->due_us <= now) {
        struct session *session = idle.first;
        session_list_remove(&idle, session);
        set_due(session, &busy, load_options.timeout_ms);
        session_begin_exchange(session, load_options.size);
        enum load_outcome outcome = session_advance(session, 0);
        if (outcome != OUTCOME_OK) {
            session_list_remove(&busy, session);
            lose(session, outcome);
        } else if (session->state == SESSION_IDLE) {
            rest(session);
        }
    }
}

static void expire_busy(void) {
    uint64_t now = load_now_us();
    while (busy.first != NULL && busy.first->due_us <= now) {
        struct session *session = busy.first;
        session_list_remove(&busy, session);
        lose(session, session_timeout_outcome(session));
    }
}

// Exchanges in progress end first; then every session is closed as the options say.
static void close_all(void) {
    while (fresh.first != NULL) {
        struct session *session = fresh.first;
        session_list_remove(&fresh, session);
        lose(session, OUTCOME_CONNECT_TIMEOUT);
    }
    while (busy.first != NULL) {
        load_turn(20, handle);
        expire_busy();
    }
    load_report.open = alive;
    while (idle.first != NULL) {
        struct session *session = idle.first;
        session_list_remove(&idle, session);
        session_finish(session);
        if (session->state == SESSION_CLOSING) set_due(session, &busy, load_options.timeout_ms);
        else lose(session, OUTCOME_OK);
    }
    while (busy.first != NULL) {
        load_turn(20, handle);
        expire_busy();
    }
}

int load_run_hold(void) {
    sessions = calloc(load_options.concurrency, sizeof *sessions);
    if (sessions == NULL) return perror("load-client"), 1;
    for (uint32_t i = 0; i < load_options.concurrency; i++) {
        sessions[i].fd = -1;
        sessions[i].id = i;
        session_list_add(&fresh, &sessions[i]);
    }
    alive = load_options.concurrency;
    while (!load_stopping && alive > 0) {
        start_some();
        load_turn(fresh.first != NULL ? 1 : 10, handle);
        begin_due_exchanges();
        expire_busy();
    }
    close_all();
    free(sessions);
    return 0;
}

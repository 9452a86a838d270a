#!/bin/bash
# Memory that is read before it was written, which the address sanitizer does not see: valgrind.sh [test-name-part ...].
# Every C test under memcheck in a process of its own; then the released proxy through a start, clients, a restart and a stop, with
# its leaks; then the Swift tests and end-to-end tests (valgrind_swift.sh). Needs valgrind, binutils and half an hour. Reports are left in
# .build-valgrind/reports.
set -eu
cd "$(dirname "$0")/../.."
command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind" >&2; exit 69; }
work=$PWD/.build-valgrind
mkdir -p "$work/reports"
rm -f "$work"/reports/*
memcheck="valgrind --error-exitcode=99 --max-threads=3000"

# Valgrind answers for RLIMIT_NOFILE by itself, keeps descriptors of its own above it, and takes no limit from a test.
not_here="descriptor_limit_is_raised_to_the_hard_one admin_waits_while_descriptors_are_used_up_and_goes_on
 accepting_rests_while_there_are_no_descriptors pipe_that_is_drained_without_descriptors_serves_what_waits
 link_closes_what_came_cut link_says_when_too_many_descriptors_are_in_flight
 stats_block_out_of_descriptors_says_so a_living_process_is_not_taken_for_dead_for_want_of_a_descriptor"

# 0: passed; 91: skipped; 99: a finding; anything else: the test failed, perhaps for want of a system call that valgrind does not know
# (3.19: those of pidfds).
one='report=$1/reports/$3
PX_TEST_SLOW=1 timeout 300 $2 -q "$1/CProxyCoreTests" -x "$3" >"$report" 2>&1 </dev/null
status=$?
if [ $status -eq 0 ]; then rm "$report"; echo passed
elif [ $status -eq 91 ]; then echo "skipped $3: $(tail -1 "$report")"; rm "$report"
elif [ $status -ne 99 ] && grep -q "unhandled amd64-linux syscall" "$report"; then echo "skipped $3: valgrind lacks a system call"; rm "$report"
else echo "FAILED  $3: status $status, see $report"; fi'

# Leaks are looked for by the address sanitizer, which knows what a forked child of a test has no need to free. DWARF 4, because
# valgrind 3.19 (Debian 12) does not read clang's 5.
core_tests() {
    BUILD_DIR=$work Tests/CProxyCoreTests/run.sh valgrind -l "$@" | awk '{ print $1 }' | grep -vxF -- "$(printf '%s\n' $not_here)" >"$work/tests"
    xargs -P "$(nproc)" -I{} sh -c "$one" sh "$work" "$memcheck" {} <"$work/tests" >"$work/results"
}

# One generation after the other, each under memcheck. The released program has no symbols; one that has them would not be read.
base=$((RANDOM + 200000))
port=$((20000 + RANDOM % 5000))
generation() {
    $memcheck --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --log-file="$work/reports/$1-%p" \
        ./proxy --base-id $base -c "$work/proxy.yaml" --drain-time-s 1 --concurrency 2 "${@:2}" >"$work/$1.log" 2>&1 &
}
until_logged() {
    for ((i = 0; i < 600; i++)); do
        ! grep -qs -- "$2" "$work/$1.log" || return 0
        sleep 0.1
    done
    echo "FAILED  proxy: '$2' is not in $work/$1.log after 60 s"
    return 1
}
echoes() { [ "$(timeout 20 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; echo $1 >&3; read -r line <&3; echo \$line")" = "$1" ]; }
ended() {
    local status=0
    wait "$1" || status=$?
    [ $status -eq 0 ] && grep -q 'ERROR SUMMARY: 0 errors' "$work/reports/$2-$1" && return 0
    echo "FAILED  proxy, $2 generation: status $status, see $work/reports/$2-$1"
    return 1
}
proxy_session() {
    sed "s/10000/$port/; s/9901/$((port + 1))/" <Tests/tools/valgrind.yaml >"$work/proxy.yaml"
    generation first
    local first=$!
    until_logged first 'serving' && echoes hello || return 1
    generation second --restart-epoch 1
    local second=$!
    until_logged second 'hot restart done' && echoes again || return 1
    kill -TERM $second
    ended $first first && ended $second second
}

echo "== C core"
core_tests "$@"
echo "== the released proxy: start, restart, stop"
if [ $# -eq 0 ]; then proxy_session >>"$work/results" && echo passed >>"$work/results"; fi || true
grep -v '^passed$' "$work/results" || true
failed=$(grep -c '^FAILED' "$work/results" || true)
echo "$(grep -c '^passed$' "$work/results" || true) passed, $failed failed"
[ $# -gt 0 ] || Tests/tools/valgrind_swift.sh || failed=$((failed + 1))
[ "$failed" -eq 0 ]

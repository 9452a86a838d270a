#!/bin/sh
# C tests, Swift unit tests and the whole proxy under a sanitizer: sanitize.sh asan|tsan. A report of any process fails the run, also of
# one that a test then kills; they are left in .build-asan/reports or .build-tsan/reports. Half an hour on two processors.
set -eu
cd "$(dirname "$0")/../.."
. Tests/tools/flags.sh
case "$1" in
    asan) sanitizer=address not_here= ;;
    tsan) sanitizer=thread not_here='|sharedMemoryThatCannotBeHad' ;;  # the sanitizer's own memory is a file, and the test limits those
    *) echo "usage: $0 asan|tsan" >&2; exit 64 ;;
esac
build=$PWD/.build-$1
reports=$build/reports
rm -rf "$reports"
mkdir -p "$reports"
# Leaks are looked for in the C tests; the Swift runtime keeps metadata that the leak checker takes for leaks.
export ASAN_OPTIONS="exitcode=87:detect_leaks=0:log_path=$reports/report"
export TSAN_OPTIONS="exitcode=87:log_path=$reports/report"
swift_tests() { swift test --sanitize="$sanitizer" --traits FaultPoints --scratch-path "$build" --no-parallel "$@"; }

# End to end with proxy, restarter, load client and tests of this build, which has fault points, so that failing restarts are seen too.
# Left out: what counts drains of seconds against restarts that take seconds here (Generations, RandomDeaths), what repeats a restart
# hundreds of times (KillMatrix, Load), PostgreSQL, which tests the other side, and what limits or counts memory, of which a sanitizer uses
# its own share.
end_to_end() {
    PROXY_BINARY="$build/debug/proxy" RESTARTER_BINARY="$build/debug/restarter" PROXY_WITH_FAULTS="$build/debug/proxy" \
        swift_tests --skip-build --filter EndToEnd --skip "KillMatrix|RandomDeaths|/Load/|/Generations/|Postgres|$of_memory$not_here"
}

of_memory='descriptorsThatNobodyAskedFor|whoAsksAndDoesNotRead|connectionsForWhichThereIsNoMemory|aStartWithoutMemory'

failed=
step() {
    echo "== $1"
    shift
    "$@" || failed="$failed $1"
}
step "C core" env ASAN_OPTIONS= TSAN_OPTIONS= Tests/CProxyCoreTests/run.sh "$1"
step "Swift modules" swift_tests --skip EndToEnd
step "end to end" end_to_end
for report in "$reports"/*; do
    [ ! -e "$report" ] || { cat "$report"; failed="$failed $report"; }
done
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }

#!/bin/bash
# The Swift half of valgrind.sh: the tests of the modules under memcheck, then end-to-end tests of the released programs, each process of which
# runs under it. Valgrind 3.19 (Debian 12) does not read what Swift writes for debuggers, so all that it loads is stripped of it first: the
# test program, and copies of the toolchain's libraries.
set -eu
cd "$(dirname "$0")/../.."
. Tests/tools/flags.sh
work=$PWD/.build-valgrind
reports=$work/reports
swift=$work/swift
memcheck="valgrind -q --error-exitcode=99 --max-threads=3000 --child-silent-after-fork=yes --suppressions=$PWD/Tests/tools/valgrind.supp"
mkdir -p "$swift/lib" "$reports"

# Optimised, or it takes an hour.
# shellcheck disable=SC2086
build() { swift build -c release -Xswiftc -enable-testing --build-tests --scratch-path "$work/build" $BUILD_FLAGS "$@"; }
build --quiet
tests=$(build --show-bin-path)/proxyPackageTests.xctest

stripped() {
    strip --strip-debug -o "$swift/tests" "$tests"
    ldd "$tests" | awk '/swift/ { print $3 }' | while read -r library; do strip -o "$swift/lib/${library##*/}" "$library"; done
    cc -shared -fPIC -O1 -Wall -Werror -D_GNU_SOURCE -o "$swift/sigsuspend.so" Tests/tools/valgrind_sigsuspend.c
}

# The restarter's process tests come below. The explorer's search of all states is arithmetic on values and would take hours.
modules() {
    # shellcheck disable=SC2086
    env LD_LIBRARY_PATH="$swift/lib" LD_PRELOAD="$swift/sigsuspend.so" $memcheck --log-file="$reports/modules-%p" \
        "$swift/tests" --testing-library swift-testing --skip "EndToEnd|ProcessTests|ExplorerTests|MutantTests"
}

wrapper() {
    printf '#!/bin/sh\nexec %s --log-file=%s/%s-%%p %s "$@"\n' "$memcheck" "$reports" "$1" "$PWD/$1" >"$swift/$1"
    chmod +x "$swift/$1"
}

# Left out: what repeats a restart hundreds of times (KillMatrix, KeeperMatrix, RandomDeaths, Load, SharedLog); what measures drains of seconds or
# deadlines of the programs against restarts that take seconds here (Generations, Restarter, peers that misbehave, three of Supervision); PostgreSQL,
# which tests the other side; what lowers limits or changes users, of which valgrind needs a share.
elsewhere='KillMatrix|KeeperMatrix|RandomDeaths|/Load/|SharedLog|/Generations/|/Restarter/|Postgres|/Limits/'
not_here='everyDescriptorLimit|anotherUsersProxy|eightOnlyTheSameUser|ControlSocketPeers|BadParents|theOnlyGeneration|aDetachedSupervisor'
end_to_end() {
    PROXY_BINARY="$swift/proxy" RESTARTER_BINARY="$swift/restarter" \
        "$tests" --testing-library swift-testing --no-parallel --filter EndToEnd --skip "$elsewhere|$not_here"
}

failed=
step() {
    echo "== $1"
    shift
    "$@" >"$work/$1.log" 2>&1 || failed="$failed $1"
    grep -hE '^(✔|✘) Test run|^✘ Test .* (recorded|failed)|^↳ .*:' "$work/$1.log" | cut -c1-300 || true
}
stripped
wrapper proxy
wrapper restarter
step "Swift modules" modules
step "end to end" end_to_end
findings=$(grep -lE '^==[0-9]+== ' "$reports"/{modules,proxy,restarter}-* 2>/dev/null || true)
for report in $findings; do
    echo "FAILED  a finding of memcheck, $report:"
    grep -E '^==' "$report" | head -20
done
[ -z "$failed$findings" ] || { echo "failed:$failed; logs are in $work"; exit 1; }

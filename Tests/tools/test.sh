#!/bin/sh
# Every test, in the order of what a failure would tell: C core, Swift modules, end to end, benchmarks briefly.
# The end-to-end tests drive the released programs, ./proxy and ./restarter, unless PROXY_BINARY and RESTARTER_BINARY say others.
set -eu
cd "$(dirname "$0")/../.."
. Tests/tools/flags.sh
export PROXY_BINARY="${PROXY_BINARY:-$PWD/proxy}" RESTARTER_BINARY="${RESTARTER_BINARY:-$PWD/restarter}"
# shellcheck disable=SC2086
swift build --build-tests $BUILD_FLAGS ${QUIET:+--quiet}
# The proxy with fault points, for tests that have something go wrong at a named step.
# shellcheck disable=SC2086
swift build --traits FaultPoints --scratch-path .build-faults --product proxy $BUILD_FLAGS ${QUIET:+--quiet}
bin=$(swift build --show-bin-path)
failed=
step() {
    echo "== $1"
    shift
    "$@" || failed="$failed $1"
}
step "C core" "$bin/CProxyCoreTests"
# shellcheck disable=SC2086
step "Swift modules and end to end" swift test --skip-build --no-parallel $BUILD_FLAGS "$@"
step "the README, walked through" Tests/tools/walk.sh
step "benchmarks, briefly" "$bin/benchmarks" --brief
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }

#!/bin/sh
# Build a program of the tests (demo, soak) and the load client optimised, and run it with ./proxy and ./restarter:
# optimised.sh PROGRAM [arguments]
set -eu
cd "$(dirname "$0")/../.."
. Tests/tools/flags.sh
program=${1:?program}
shift
for product in load-client "$program"; do
    # shellcheck disable=SC2086
    swift build -c release --static-swift-stdlib -Xlinker -s $BUILD_FLAGS --quiet --product "$product"
done
exec "$(swift build -c release --show-bin-path)/$program" "$@"

#!/bin/sh
# A long run under load with a restart every second, with ./proxy and ./restarter: SOAK_SECONDS (1200) long.
set -eu
cd "$(dirname "$0")/../.."
. Tests/tools/flags.sh
# shellcheck disable=SC2086
for product in load-client soak; do
    swift build -c release --static-swift-stdlib -Xlinker -s $BUILD_FLAGS --quiet --product "$product"
done
exec "$(swift build -c release --show-bin-path)/soak" "$@"

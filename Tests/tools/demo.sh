#!/bin/sh
# The restart demonstration, with ./proxy and the load client in their optimised builds.
set -eu
cd "$(dirname "$0")/../.."
. Tests/tools/flags.sh
# shellcheck disable=SC2086
for product in load-client demo; do
    swift build -c release --static-swift-stdlib -Xlinker -s $BUILD_FLAGS --quiet --product "$product"
done
exec "$(swift build -c release --show-bin-path)/demo" "$@"

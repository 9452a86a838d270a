#!/bin/sh
# Build the two programs and put them in place. Each is one file: the Swift runtime is linked in, symbols are stripped. They are
# put in place by rename, which leaves the file that a running process executes alone (writing into it would give ETXTBSY).
set -eu
cd "$(dirname "$0")/../.."
. Tests/tools/flags.sh
for program in proxy restarter; do
    # shellcheck disable=SC2086
    swift build -c release --static-swift-stdlib -Xlinker -s $BUILD_FLAGS --product "$program" ${QUIET:+--quiet}
done
bin=$(swift build -c release --show-bin-path)
for program in proxy restarter; do
    cp "$bin/$program" "$program.new"
    mv -f "$program.new" "$program"
done
echo "built ./proxy and ./restarter"

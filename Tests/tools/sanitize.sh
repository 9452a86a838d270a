#!/bin/sh
# C tests and Swift unit tests under sanitizers: sanitize.sh asan|tsan. The end-to-end tests stay out: they drive released programs.
set -eu
cd "$(dirname "$0")/../.."
. Tests/tools/flags.sh
case "$1" in
    asan) sanitizer=address ;;
    tsan) sanitizer=thread ;;
    *) echo "usage: $0 asan|tsan" >&2; exit 64 ;;
esac
# Leaks are looked for in the C tests; the Swift runtime keeps metadata that the leak checker takes for leaks.
Tests/CProxyCoreTests/run.sh "$1"
ASAN_OPTIONS=detect_leaks=0 swift test --sanitize="$sanitizer" --scratch-path ".build-$1" --no-parallel --skip EndToEnd

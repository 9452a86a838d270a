#!/bin/sh
# Build the C core and its tests with a plain compiler and run them: run.sh [asan|tsan|ubsan|plain] [runner arguments]
# CC chooses the compiler (clang), LDFLAGS go to the linker, BUILD_DIR keeps the objects (default: a directory in /tmp, removed afterwards).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
sanitize=
case "${1:-plain}" in
    asan) sanitize="-fsanitize=address,undefined -fno-sanitize-recover=undefined"; shift ;;
    ubsan) sanitize="-fsanitize=undefined -fno-sanitize-recover=undefined"; shift ;;
    tsan) sanitize="-fsanitize=thread"; shift ;;
    valgrind) sanitize="-gdwarf-4"; shift ;;
    plain) [ $# -eq 0 ] || shift ;;
esac
cc=${CC:-clang}
linking="-fuse-ld=bfd -Wl,--gc-sections ${LDFLAGS:-}"  # gold, the toolchain's default, warns about every sanitizer symbol
# The Swift toolchain's thread sanitizer refers to libdispatch.
runtime="$(dirname "$(command -v "$cc")")/../lib/swift/linux"
case "$sanitize" in
    *thread*) [ ! -e "$runtime/libdispatch.so" ] || linking="$linking -L$runtime -Wl,-rpath,$runtime -ldispatch -lBlocksRuntime" ;;
esac
if [ -n "${BUILD_DIR:-}" ]; then
    build=$BUILD_DIR
    mkdir -p "$build"
else
    build=$(mktemp -d /tmp/px-ctests-XXXXXX)
    trap 'rm -rf "$build"' EXIT INT TERM
fi
flags="-std=gnu17 -D_GNU_SOURCE -DDEBUG=1 -g -O1 -fno-omit-frame-pointer -ffunction-sections -pthread -I$root/CSources/CProxyCore -I$root/Tests/CProxyCoreTests
 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-unused-parameter -Werror $sanitize"
cd "$root"
rm -f "$build"/*.o
# One object per source; the path becomes the name, since two layers may each have a file of one name.
find CSources/CProxyCore Tests/CProxyCoreTests -name '*.c' | sort |
    xargs -P "$(nproc)" -I{} sh -c '"$1" $2 -c "$4" -o "$3/$(echo "$4" | tr / _).o"' sh "$cc" "$flags" "$build" {}
# shellcheck disable=SC2086
"$cc" $sanitize -pthread "$build"/*.o $linking -o "$build/CProxyCoreTests"
status=0
"$build/CProxyCoreTests" "$@" || status=$?
exit "$status"

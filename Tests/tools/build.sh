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

# How long nobody accepts after the only server was killed is how long the next one takes to start, so each program is linked once more
# without what it never calls but would have to load, relocate and search at every start (docs/design/0004, "Start"): the Swift half of
# Yams, which needs Foundation and ICU (the configuration is read with its C half), and libstdc++ as a shared library.
link_lean() {
    objects=$bin/$1.product/Objects.LinkFileList
    mkdir -p "$bin/archives"
    archive=$(clang -print-file-name=libstdc++.a)
    [ ! -f "$archive" ] || ln -sf "$archive" "$bin/archives/"
    grep -v '/Yams\.build/' "$objects" >"$objects.lean"
    swiftc -static-stdlib -emit-executable -module-name "$1" -o "$bin/$1.lean" -L "$bin/archives" -Xclang-linker -static-libgcc \
        -Xlinker --gc-sections -Xlinker --defsym -Xlinker "main=$1_main" -Xlinker -s "@$objects.lean"
}
for program in proxy restarter; do
    [ "$bin/$program.lean" -nt "$bin/$program" ] || link_lean "$program"
    cp "$bin/$program.lean" "$program.new"
    mv -f "$program.new" "$program"
done
echo "built ./proxy and ./restarter"

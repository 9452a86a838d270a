#!/bin/sh
# What can be said about the sources without running the server. Each step prints its name and, if it fails, why; all steps run.
set -u
cd "$(dirname "$0")/../.."
core=CSources/CProxyCore
warnings="-Wall -Wextra -Wno-unused-parameter -Wno-unused-function -Werror"
passed=0
failed=0
step() {
    name=$1
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name"
    fi
    [ -z "$output" ] || printf '%s\n' "$output" | sed 's/^/        /'
}

layers() { grep -rn --include='*.[ch]' '^#include "' $core | awk -f Tests/tools/layers.awk; }

# Each header says itself what it needs; the public ones need nothing but libc.
headers_alone() {
    for header in $core/include/*.h; do "$1" -std=gnu17 $warnings -x c -fsyntax-only "$header" || return 1; done
    for header in $core/[!i]*/*.h; do "$1" -std=gnu17 -D_GNU_SOURCE $warnings -I$core -x c -fsyntax-only "$header" || return 1; done
}

# gcc is not what the build uses; its warnings are other eyes on the same code.
compiles_with_gcc() {
    find $core Tests -name '*.c' -not -path '*/Fuzz/*' -print0 |
        xargs -0 -P "$(nproc)" -n 8 gcc -std=gnu17 -D_GNU_SOURCE $warnings -I$core -ITests/CProxyCoreTests -ITests/Benchmarks \
            -ITests/LoadClient -fsyntax-only
}

# Only one module sees C, and it shows none of it.
boundary() {
    ! grep -rnE --include='*.swift' '^ *(@[a-zA-Z]+ +|public |package |internal )?import CProxyCore' Sources Tests |
        grep -vE '^(Sources/ProxyCore/[^:]+:[0-9]+: *internal import CProxyCore|Tests/ProxyCoreTests/)'
}

no_unfinished() { ! grep -rnE '\b(TODO|FIXME|XXX)\b' CSources Sources Tests docs README.md --include='*.[ch]' --include='*.swift' --include='*.md' 2>/dev/null; }

# Of the formatter's findings those that are about reading; `make fmt` settles the others.
swift_format() {
    swift format lint --recursive --parallel Sources Tests Package.swift 2>&1 |
        { ! grep -E '\[(LineLength|TrailingWhitespace|Tabs|AlwaysUseLowerCamelCase|NoBlockComments|UseTripleSlashForDocumentationComments)\]'; }
}

top_level() {
    ls -A | grep -vxE 'Package\.(swift|resolved)|Sources|CSources|Tests|Makefile|README\.md|docs|packaging|\.ci|\.git|\.gitignore|\.clang-format|\.swift-format|\.editorconfig|\.build.*|\.swiftpm|proxy|restarter' |
        { ! grep .; }
}

longest() { find $core Sources -name '*.c' -o -name '*.swift' | xargs awk -f Tests/tools/functions.awk | sort -rn | head -10; }

step "layers: includes point down" layers
step "headers alone, clang" headers_alone clang
step "headers alone, gcc" headers_alone gcc
step "C compiles with gcc, warnings are errors" compiles_with_gcc
step "one door: CProxyCore is imported in ProxyCore alone" boundary
step "nothing left unfinished" no_unfinished
step "nothing new at the top level" top_level
step "swift format" swift_format
step "ten longest functions" longest
step "fuzz, ${FUZZ_SECONDS:-10} s per target" Tests/tools/fuzz.sh "${FUZZ_SECONDS:-10}"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

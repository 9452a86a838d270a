# Flags of every build: warnings are errors in both languages, and a target imports only what Package.swift says it may.
# shellcheck shell=sh disable=SC2034
BUILD_FLAGS="-Xcc -Werror -Xcc -Wall -Xswiftc -warnings-as-errors --explicit-target-dependency-import-check error"

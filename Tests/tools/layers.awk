# Holds the #includes of the C core to the direction of its layers. Input: "file:#include "..."" lines, as grep -n prints them.
# A layer may include itself, what its row lists, and include/.
BEGIN {
    FS = ":"
    may["base"] = ""; may["loop"] = "base"; may["stats"] = "base"; may["net"] = "loop base stats"
    may["proto"] = "net loop base"; may["handoff"] = "net base"
    may["relay"] = "proto net loop base stats"; may["engine"] = "relay proto net loop base stats handoff"
    may["include"] = ""
}
{
    split($1, path, "/"); from = path[3]
    match($3, /"[^"]+"/)
    to = substr($3, RSTART + 1, RLENGTH - 2)
    if (from == "include" && to !~ /\//) next
    sub(/\/.*/, "", to)
    if (to == from || to == "include" || index(" " may[from] " ", " " to " ")) next
    printf "%s:%s: %s may not include %s\n", $1, $2, from, to
    bad = 1
}
END { exit bad }

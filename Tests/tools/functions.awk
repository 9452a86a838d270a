# Length of every function, C and Swift: "lines file:line name". A function ends at a closing brace in the column its first line
# begins in; that is how both formatters leave them.
FNR == 1 { depth = 0 }
function indent(line) { match(line, /^ */); return RLENGTH }
/^[a-z_].*\) \{$/ && FILENAME ~ /\.c$/ && !/^(enum|struct|union)/ { open_function($0, 0) }
/^ *([a-z@()]+ )*(func|init)[ (<?].*\{$/ && FILENAME ~ /\.swift$/ { open_function($0, indent($0)) }
function open_function(line, column) {
    depth++; begun[depth] = FNR; at[depth] = column
    sub(/^ +/, "", line); name[depth] = substr(line, 1, 70)
}
depth > 0 && /^ *\}/ && indent($0) == at[depth] && FNR > begun[depth] {
    print FNR - begun[depth] + 1, FILENAME ":" begun[depth], name[depth]; depth--
}

// docs/errors.md as a literal: `UPDATE_EXPECTED=1 swift test --filter ErrorPage` writes this file.
extension ErrorPage {
    static let text = ##"""
# Errors

Every error a person meets has an id that never changes its meaning: PX-C for the [configuration](#configuration), PX-U for the
[command line](#command-line), PX-R for [starting and restarting](#starting-and-restarting). `restarter explain PX-C012` prints an entry of this
page, `restarter explain` lists all of them.

Whatever fails in a new generation, the one that serves goes on serving. Exit codes: 0 done; 1 failed; 64 the command line; 75 try again, because
another restart was in progress.

## Configuration

Findings about a configuration, each with file, line and column. Errors stop the start and change nothing that runs; warnings do not.

<!-- configuration -->

### PX-C001 configuration cannot be read

The file named by -c cannot be opened or read; the message has the system's reason.

**What to do:** Check the path, and that this user may read the file and enter its directories.

### PX-C002 not text

The configuration is not UTF-8, or holds a control character or NUL. Envoy reads UTF-16 and lets such bytes pass into names; here they would end up in logs and statistics.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Save the file as UTF-8 and remove the byte the caret points at.

### PX-C003 protobuf's own formats

The file's name ends in .pb or .pb_text. Envoy reads these; this proxy reads YAML and JSON only.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Convert the file to YAML or JSON.

### PX-C004 syntax error

The text is neither YAML nor JSON. The reader stops at the first such error, so there may be more behind it.

**What to do:** Correct the place. Most often it is an indentation, a tab, a missing quote, comma or bracket.

### PX-C005 empty configuration

There is nothing in the file but perhaps comments. An empty file is nearly always a file that was cut off.

**What to do:** Write at least `static_resources: {}`.

### PX-C006 not a mapping

The top of a configuration is a mapping with fields such as static_resources.

**What to do:** Begin with `static_resources:`.

### PX-C007 several documents

The file goes on after a `---`. Envoy reads the first document and ignores the rest without a word.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Keep one document in the file.

### PX-C008 nested too deep

Mappings and lists lie more than 100 levels inside one another, where protobuf's JSON reader gives up too.

**What to do:** Flatten the configuration.

### PX-C009 too large

With every alias written out the configuration has more than a million values: an "alias bomb", by intent or by mistake.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Write out what the aliases repeat, or repeat less.

### PX-C010 unknown alias

`*name` refers to an anchor that no `&name` before it defines. An alias cannot stand inside its own anchor.

**What to do:** Define the anchor first, or correct the name.

### PX-C011 key given twice

A mapping has the same key twice, or one field in both spellings (snake_case and lowerCamelCase). Envoy silently takes one of them.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Remove one of the two.

### PX-C012 unknown field

The field is not one of Envoy's in this message: misspelt, misplaced, or from an older version.

**What to do:** Use the suggestion, or remove the field. `--allow-unknown-static-fields` turns this into a warning and ignores the field.

### PX-C013 field not supported yet

Envoy has the field; this proxy does not have what it sets. It is never ignored, since that would change what you asked for.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Follow the hint, or remove the field.

### PX-C014 field without effect (warning)

The field is accepted but changes nothing here, for the reason given.

**What to do:** Remove it if the warning disturbs you.

### PX-C015 deprecated field (warning)

Envoy has deprecated the field and may remove it.

**What to do:** Use the field named in the hint.

### PX-C016 wrong type

A mapping, list, string, number or truth value stands where another kind is needed. Note that YAML reads unquoted 12, yes, no, on and off as numbers and truth values.

**What to do:** Write the kind the message names; put quotes around a string, take them from true and false.

### PX-C017 not a number

The value is not a number, or has a fraction where a whole number is needed.

**What to do:** Write a whole number.

### PX-C018 not a duration

A duration is seconds with the letter s and up to nine decimals, as protobuf's JSON form has it. ms, m and h are not units of it.

**What to do:** Write for example 0.25s or 300s.

### PX-C019 unknown value

The value is none of the names (in any case) or numbers of this field.

**What to do:** Use one of the names in the hint.

### PX-C020 not base64

Bytes are written in base64, in the standard or the URL-safe alphabet.

**What to do:** Encode the bytes with `base64`, or use inline_string for text.

### PX-C021 two fields of which one may be set

The two fields exclude each other.

**What to do:** Remove one of them.

### PX-C022 required field missing

A field that must be set is missing or empty.

**What to do:** Add it.

### PX-C023 out of range

The value lies outside what the field takes. The bounds are Envoy's.

**What to do:** Choose a value inside the bounds in the message.

### PX-C024 wrong number of items

The list has too few or too many items.

**What to do:** Add or remove items.

### PX-C026 typed_config or @type missing

What an extension is, only the "@type" in its typed_config says; the name beside it is free text.

**What to do:** Add the typed_config shown in the hint.

### PX-C027 unknown @type

The type is not one of Envoy's, is not written as type.googleapis.com/NAME, or cannot stand in this place.

**What to do:** Correct the type.

### PX-C028 extension not supported yet

Envoy has the extension; this proxy does not.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Follow the hint.

### PX-C029 value not supported yet

Envoy takes the value; this proxy does not have what it chooses.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Use one of the values in the hint.

### PX-C030 key is not a string

A key of a mapping is a list or a mapping.

**What to do:** Use the field's name as the key.

### PX-C031 merge key without a mapping

`<<` takes in the pairs of a mapping, or of each mapping in a list. (Envoy has no merge keys at all.)

**What to do:** Write `<<: *anchor`, with an anchor on a mapping.

### PX-C040 listener without address

A listener needs an address to listen on.

**What to do:** Add `address` with a socket_address or a pipe.

### PX-C041 not an IP address

A listener's or the admin page's address is a name. Sockets are bound to addresses; no name is resolved for them.

**What to do:** Write the address: 127.0.0.1, 0.0.0.0, ::1, :: or one of the machine's own.

### PX-C043 impossible pipe

The path is longer than a Unix socket's path can be (107 bytes), or an abstract socket (@…) was given permission bits.

**What to do:** Use a shorter path; remove `mode` from an abstract socket.

### PX-C044 listener name used twice

Two listeners have the same name. Envoy silently drops the second. Names also decide which socket a new generation inherits.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Rename one of them.

### PX-C045 address used twice

Two listeners, or a listener and the admin page, have the same address.

**What to do:** Give one of them another port or path.

### PX-C048 no filter chain

A listener needs a filter chain to know what to do with a connection.

**What to do:** Add `filter_chains` with one chain.

### PX-C049 several filter chains

Envoy chooses between chains by filter_chain_match; here a listener has one chain.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Give each chain a listener of its own.

### PX-C050 filter chain without filters

The chain has no filters. Envoy accepts that and closes every connection, which nobody wants.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Add tcp_proxy, echo or direct_response.

### PX-C051 terminal filter not last

tcp_proxy, echo and direct_response end a chain; what follows one would never be reached.

**What to do:** Keep one of them, as the last filter.

### PX-C052 socket option out of range

Level, name and integer value of a socket option are C ints.

**What to do:** Choose a value that fits in 32 bits.

### PX-C060 cluster name used twice

Two clusters have the same name.

**What to do:** Rename one of them.

### PX-C061 unknown cluster

tcp_proxy names a cluster that is not in the configuration. Envoy accepts this, since a cluster might come from a server later, and closes every connection until then; here every cluster is static.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Correct the name, or add the cluster.

### PX-C062 host name in a STATIC cluster

A STATIC cluster's endpoints are IP addresses. STATIC is the type if none is given.

**What to do:** Set `type: STRICT_DNS` or `type: LOGICAL_DNS`, or write the address.

### PX-C063 LOGICAL_DNS needs one endpoint

A LOGICAL_DNS cluster follows one name.

**What to do:** Keep one endpoint, or set `type: STRICT_DNS`.

### PX-C064 pipe in a DNS cluster

The endpoint is a pipe, which has no name to resolve. Envoy accepts it and never reaches it.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Set `type: STATIC`.

### PX-C065 weights too large

The weights of a cluster's endpoints or of weighted_clusters add up to more than 4294967295.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Divide all weights by the same number.

### PX-C066 second threshold of a priority (warning)

Only the first threshold of a priority counts, as in Envoy.

**What to do:** Remove the second.

### PX-C067 endpoint port 0

Nothing can be connected to at port 0. Envoy accepts it and fails every connection.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Write the port the endpoint listens on.

### PX-C070 unknown log operator

The access-log format has an operator that Envoy does not have (its words: Not supported field in StreamInfo).

**What to do:** Use the suggestion; docs/config-reference.md lists all operators.

### PX-C071 malformed log format

A % does not begin a whole operator, or an operator has a parameter too many or too few.

**What to do:** Write %NAME%, %NAME(parameter)% or %NAME(parameter):length%; a percent sign itself is %%.

### PX-C072 file cannot be created

The access log or the pipe could not be opened or created when serving, for the reason given. Checked without creating anything, in `--mode validate` too.

**What to do:** Create the directory and let this user write to it.

### PX-C073 file cannot be read

A file the configuration names cannot be read.

**What to do:** Check the path and its permissions.

### PX-C074 environment variable missing

The configuration takes a value from an environment variable that is not set.

**What to do:** Set it before the start.

### PX-C080 runtime layer named twice

Two runtime layers have the same name.

**What to do:** Rename one of them.

### PX-C081 runtime value is no limit

A connection limit in a runtime layer is not a number, or is 0, which would refuse everybody.

*Envoy accepts this; see [deviations](config-reference.md#deviations-from-envoy).*

**What to do:** Write the number of connections, or remove the limit.

### PX-C082 limit for no listener (warning)

A connection limit's key names a listener that is not in the configuration.

**What to do:** Correct the name in envoy.resource_limits.listener.NAME.connection_limit.

<!-- /configuration -->

## Command line

Findings about options, printed before anything is opened: `error: message  [id]`, then what to do. Exit code 64 (Envoy's is 1), except where an
entry says 1.

<!-- command line -->

### PX-U001 not an option

The parser does not know an option or cannot read its value; the message says which, with a suggestion for a misspelt name.

**What to do:** `proxy --help` lists all options.

### PX-U002 option given twice

An option that takes one value was given twice, perhaps in its two spellings (`-c` and `--config-path`). Only `--stats-tag` may be repeated.

**What to do:** Give it once.

### PX-U003 empty value

`--option=` has nothing after the equals sign. In a script that is mostly a variable that is not set.

**What to do:** Give a value, or leave the option out. `--restart-epoch` alone, without `=`, means the next generation.

### PX-U004 unknown mode

`--mode` is none of serve, validate and init_only.

**What to do:** Give one of them; serve is the default.

### PX-U005 unknown log level

`--log-level`, or a level in `--component-log-level`, is not a level.

**What to do:** Give trace, debug, info, warning, error, critical or off.

### PX-U006 unknown address version

`--local-address-ip-version` is neither v4 nor v6.

**What to do:** Give v4 or v6.

### PX-U007 malformed statistics tag

`--stats-tag` is not a name, a colon and a value. The name consists of letters, digits, `_` and `-`; the value has no spaces.

**What to do:** Write for example `--stats-tag region:eu`.

### PX-U008 unknown drain strategy

`--drain-strategy` is neither gradual nor immediate. `handover` is a word of the design; this version cannot hand live connections over.

**What to do:** Give gradual or immediate.

### PX-U009 socket mode is not octal

`--socket-mode` is not a number of permission bits in octal, at most 7777.

**What to do:** Write for example `--socket-mode 660`.

### PX-U010 epoch with a dynamic base id

A base id that nobody uses has no generation to take over from, so only the first generation can choose one.

**What to do:** Have the first generation write its id with `--base-id-path`, and give later ones `--base-id` with that number. `restarter start` does so
by itself.

### PX-U011 socket path too long

The name of the control socket, `<socket-path>_parent_<base-id>`, has more than 107 bytes, the kernel's limit for Unix sockets.

**What to do:** Give a shorter `--socket-path`.

### PX-U012 malformed component level

An item of `--component-log-level` is not a component, a colon and a level.

**What to do:** Write for example `--component-log-level upstream:debug,config:trace`.

### PX-U013 unusable log format

`--log-format` is neither text nor json nor a usable pattern: it has a flag that is not supported, ends in a single `%`, or has no message (`%v`).

**What to do:** Use the flags in [operations.md](operations.md#log-format).

### PX-U014 number of draining generations out of range

`--max-draining-generations` is not from 1 to 62. The table of generations that all processes share has 64 places.

**What to do:** Give a number in that range; 8 is the default.

### PX-U015 flush settings out of range

`--file-flush-interval-msec` is 0, or `--file-flush-min-size-kb` is above 65536 (64 MiB).

**What to do:** Give values in range; the defaults are 10000 ms and 64 KiB.

### PX-U016 epoch is not a number

The value of `--restart-epoch` is not a whole number from 0 to 18446744073709551614.

**What to do:** Give `--restart-epoch=3`, or `--restart-epoch` alone for the next generation.

### PX-U017 log file cannot be opened

The file of `--log-path` cannot be opened for appending, for the reason given. Exit code 1. If it happens on SIGUSR1, the old file stays in use.

**What to do:** Give a file in a directory that exists and that this user may write to.

<!-- /command line -->

## Starting and restarting

What can go wrong between two generations, or when one starts. Each message names the step, what happened and what to do; `restarter restart` shows
it, and so do the log and, where the serving generation saw it, `restarter status`. The exit code is 1, except where an entry says 75.

<!-- restart -->

### PX-R001 another restart is in progress

The serving generation has a child that initializes ("previous generation is still initializing"). A child that died does not count: then the refusal
is already gone. Exit code 75.

**What to do:** Try again when it has ended; `restarter status` shows it.

### PX-R002 epoch not above the serving one

`--restart-epoch` names a number that is not above the epoch that serves. Numbers need not be consecutive, only rising.

**What to do:** Leave the number out: `--restart-epoch` alone is the serving epoch + 1.

### PX-R003 serving generation does not answer

The control socket is held by a process that takes no links, or does not answer within 5 s (within 10 s while sockets are passed). It is stopped
(SIGSTOP, a debugger, a frozen cgroup), overloaded, or has died while the supervisor holds its sockets; then the supervisor starts a
replacement.

**What to do:** Look at the process that is named. Nothing has changed for clients.

### PX-R004 that generation does not serve any more

It was replaced, or began to stop, while it was being asked. Exit code 75.

**What to do:** Try again: whoever serves now answers.

### PX-R005 given up by the parent

The serving generation waited for this one (60 s to become ready) and went on serving. Seen by the new generation.

**What to do:** The log of the new generation says what took so long: most often names that did not resolve.

### PX-R006 another generation took over first

The word of who serves had changed when this generation wanted to take it. Exit code 75.

**What to do:** Nothing, or restart again to replace whoever serves.

### PX-R007 replaced while stopped

This process did not run for a while (SIGSTOP, debugger, frozen cgroup), was taken for dead, and another generation serves. It has noticed and ends.

**What to do:** Nothing for clients. Find out what stopped it.

### PX-R008 new generation died

It crashed or was killed before it had taken over, or while its predecessor still drained; then that one serves again ("rolled back").

**What to do:** See its log, its exit status, and `dmesg` for the out-of-memory killer. Restart again when the cause is removed.

### PX-R009 new generation could not take over

It said itself that a step failed, and has the reason in its own log.

**What to do:** Read that; nothing has changed.

### PX-R010 new generation was stopped

Somebody sent it SIGTERM or SIGINT before it had taken over.

**What to do:** Restart again, if that was not intended.

### PX-R011 new generation too slow

It did not become ready in time (60 s) and was killed.

**What to do:** See its log for what took so long.

### PX-R012 new generation silent

After the take-over its main loop did not turn for 3 s. It was killed, and the old generation serves again.

**What to do:** See its log. A machine that swaps or is short of processor time shows this too.

### PX-R020 shared memory

"unable to initialize shared memory region": a memfd for the control block, the statistics or the queue could not be made or mapped. It is never a file
in /dev/shm; the causes are limits: RLIMIT_FSIZE (`ulimit -f`), RLIMIT_AS (`-v`), RLIMIT_NOFILE (`-n`), or the memory of the cgroup.

**What to do:** Raise the limit the message names, or start with fewer `--concurrency` workers.

### PX-R021 control socket

"unable to open socket for hot restart": the control socket could not be bound or reached, for the reason given: the directory of `--socket-path` does not
exist or is not writable, the name is held by something that is not a proxy, or there are no descriptors left.

**What to do:** Follow the message; a `--base-id` or `--socket-path` of its own avoids a name that is in use, `--disable-hot-restart` does without.

### PX-R022 another user's proxy

The control socket is held by a process of another user. Only the same user and root can take part.

**What to do:** Start as that user, or with another `--base-id`.

### PX-R023 nobody to take over from

`--restart-epoch` names a number above 0 and nothing serves under this base id.

**What to do:** `--restart-epoch` without a number is 0 if nothing serves. `--skip-hot-restart-on-no-parent` starts cold with the number.

### PX-R024 a proxy serves already

`--restart-epoch` was not given, and a proxy serves under this base id.

**What to do:** Give `--restart-epoch` to replace it, or `--base-id` to run beside it.

### PX-R025 incompatible versions

"hot restart compatibility error": the two programs share no protocol version, or one lacks a capability the other requires ("mismatched capability
flags"); the message names the flags and the side that lacks them.

**What to do:** Upgrade that side. Where that cannot be, stop the old program and start the new one; connections are cut and, for that moment, refused.

### PX-R026 messages not understood

A message was incomplete or had a field that must be understood and is not known. Versions that differ, or something else that speaks on the name.

**What to do:** Compare `proxy --hot-restart-version` of both programs, and see both logs.

### PX-R027 sockets did not come over

Fewer descriptors arrived than were sent, mostly because the new generation's descriptor limit is lower. Or one of them is not what it is said
to be, which the message names (`inherit admin socket: Socket operation on non-socket`): then what answers under the control socket's name is no
proxy of this kind.

**What to do:** Give it at least the limit of the serving one (`ulimit -n`, LimitNOFILE=). See with `restarter status` who serves.

### PX-R028 listener cannot be opened

An address of the new configuration cannot be bound: somebody else has it, it is no address of this machine, or the port needs a right (below 1024).
A cold start refuses to share an address with a stranger even where the kernel would let it (SO_REUSEPORT).

**What to do:** Free the address or change the configuration.

### PX-R029 admin server cannot be opened

As above, for `admin.address`.

**What to do:** Free the address or change `admin.address`.

### PX-R030 workers cannot be started

Threads, epoll instances or memory are at a limit.

**What to do:** Raise `ulimit -u`, `-v`, `-n` or the cgroup's (TasksMax=), or give a lower `--concurrency`.

### PX-R031 file cannot be written

`--log-path`, `--base-id-path` or `--admin-address-path` names a file that cannot be created.

**What to do:** Give a path in a directory that exists and that this user may write to.

### PX-R032 configuration invalid

The findings printed before it say where and what; each has a PX-C id.

**What to do:** Correct the file. `restarter check FILE` shows the findings without starting anything.

### PX-R033 cannot start

The main loop could not be made: descriptors or memory are at a limit.

**What to do:** Raise `ulimit -n` or `-v`.

<!-- /restart -->

"""##
}

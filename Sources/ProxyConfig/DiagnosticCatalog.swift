/// What docs/errors.md and `restarter explain` say about each id.
public struct DiagnosticExplanation: Sendable, Equatable {
    public let title: String
    public let cause: String
    public let remedy: String
    /// Envoy accepts what is refused here: a deliberate difference, listed in docs/config-reference.md.
    public let isDeviation: Bool

    init(_ title: String, _ cause: String, _ remedy: String, isDeviation: Bool = false) {
        self.title = title
        self.cause = cause
        self.remedy = remedy
        self.isDeviation = isDeviation
    }
}

extension DiagnosticID {
    public var explanation: DiagnosticExplanation { explainReading ?? explainField ?? explainListener ?? explainCluster ?? explainRest }

    private var explainReading: DiagnosticExplanation? {
        switch self {
        case .unreadable:
            return .init(
                "configuration cannot be read", "The file named by -c cannot be opened or read; the message has the system's reason.",
                "Check the path, and that this user may read the file and enter its directories.")
        case .invalidText:
            return .init(
                "not text",
                "The configuration is not UTF-8, or holds a control character or NUL. Envoy reads UTF-16 and lets such bytes "
                    + "pass into names; here they would end up in logs and statistics.",
                "Save the file as UTF-8 and remove the byte the caret points at.", isDeviation: true)
        case .unsupportedFormat:
            return .init(
                "protobuf's own formats",
                "The file's name ends in .pb or .pb_text. Envoy reads these; this proxy reads YAML and JSON only.",
                "Convert the file to YAML or JSON.", isDeviation: true)
        case .syntax:
            return .init(
                "syntax error",
                "The text is neither YAML nor JSON. The reader stops at the first such error, so there may be more behind it.",
                "Correct the place. Most often it is an indentation, a tab, a missing quote, comma or bracket.")
        case .empty:
            return .init(
                "empty configuration",
                "There is nothing in the file but perhaps comments. An empty file is nearly always a file that was cut off.",
                "Write at least `static_resources: {}`.")
        case .notAMapping:
            return .init(
                "not a mapping", "The top of a configuration is a mapping with fields such as static_resources.",
                "Begin with `static_resources:`.")
        case .severalDocuments:
            return .init(
                "several documents", "The file goes on after a `---`. Envoy reads the first document and ignores the rest without a word.",
                "Keep one document in the file.", isDeviation: true)
        case .tooDeep:
            return .init(
                "nested too deep",
                "Mappings and lists lie more than 100 levels inside one another, where protobuf's JSON reader gives up too.",
                "Flatten the configuration.")
        case .tooLarge:
            return .init(
                "too large",
                "With every alias written out the configuration has more than a million values: an \"alias bomb\", by intent or by mistake.",
                "Write out what the aliases repeat, or repeat less.", isDeviation: true)
        case .undefinedAlias:
            return .init(
                "unknown alias",
                "`*name` refers to an anchor that no `&name` before it defines. An alias cannot stand inside its own anchor.",
                "Define the anchor first, or correct the name.")
        case .duplicateKey:
            return .init(
                "key given twice",
                "A mapping has the same key twice, or one field in both spellings (snake_case and lowerCamelCase). "
                    + "Envoy silently takes one of them.", "Remove one of the two.", isDeviation: true)
        case .keyNotString:
            return .init("key is not a string", "A key of a mapping is a list or a mapping.", "Use the field's name as the key.")
        case .badMergeKey:
            return .init(
                "merge key without a mapping",
                "`<<` takes in the pairs of a mapping, or of each mapping in a list. (Envoy has no merge keys at all.)",
                "Write `<<: *anchor`, with an anchor on a mapping.")
        default: return nil
        }
    }

    private var explainField: DiagnosticExplanation? {
        switch self {
        case .unknownField:
            return .init(
                "unknown field", "The field is not one of Envoy's in this message: misspelt, misplaced, or from an older version.",
                "Use the suggestion, or remove the field. `--allow-unknown-static-fields` turns this into a warning and ignores the field.")
        case .unsupportedField:
            return .init(
                "field not supported yet",
                "Envoy has the field; this proxy does not have what it sets. It is never ignored, since that would change "
                    + "what you asked for.", "Follow the hint, or remove the field.", isDeviation: true)
        case .noEffect:
            return .init(
                "field without effect (warning)", "The field is accepted but changes nothing here, for the reason given.",
                "Remove it if the warning disturbs you.")
        case .deprecatedField:
            return .init(
                "deprecated field (warning)", "Envoy has deprecated the field and may remove it.", "Use the field named in the hint.")
        case .wrongType:
            return .init(
                "wrong type",
                "A mapping, list, string, number or truth value stands where another kind is needed. Note that YAML reads unquoted "
                    + "12, yes, no, on and off as numbers and truth values.",
                "Write the kind the message names; put quotes around a string, take them from true and false.")
        case .badNumber:
            return .init(
                "not a number", "The value is not a number, or has a fraction where a whole number is needed.", "Write a whole number.")
        case .badDuration:
            return .init(
                "not a duration",
                "A duration is seconds with the letter s and up to nine decimals, as protobuf's JSON form has it. ms, m and h are not units of it.",
                "Write for example 0.25s or 300s.")
        case .unknownEnumValue:
            return .init(
                "unknown value", "The value is none of the names (in any case) or numbers of this field.",
                "Use one of the names in the hint.")
        case .badBase64:
            return .init(
                "not base64", "Bytes are written in base64, in the standard or the URL-safe alphabet.",
                "Encode the bytes with `base64`, or use inline_string for text.")
        case .oneofConflict:
            return .init("two fields of which one may be set", "The two fields exclude each other.", "Remove one of them.")
        case .missingField:
            return .init("required field missing", "A field that must be set is missing or empty.", "Add it.")
        case .outOfRange:
            return .init(
                "out of range", "The value lies outside what the field takes. The bounds are Envoy's.",
                "Choose a value inside the bounds in the message.")
        case .itemCount:
            return .init("wrong number of items", "The list has too few or too many items.", "Add or remove items.")
        case .missingType:
            return .init(
                "typed_config or @type missing",
                "What an extension is, only the \"@type\" in its typed_config says; the name beside it is free text.",
                "Add the typed_config shown in the hint.")
        case .unknownType:
            return .init(
                "unknown @type",
                "The type is not one of Envoy's, is not written as type.googleapis.com/NAME, or cannot stand in this place.",
                "Correct the type.")
        case .unsupportedType:
            return .init(
                "extension not supported yet", "Envoy has the extension; this proxy does not.", "Follow the hint.", isDeviation: true)
        case .unsupportedValue:
            return .init(
                "value not supported yet", "Envoy takes the value; this proxy does not have what it chooses.",
                "Use one of the values in the hint.", isDeviation: true)
        default: return nil
        }
    }

    private var explainListener: DiagnosticExplanation? {
        switch self {
        case .listenerWithoutAddress:
            return .init(
                "listener without address", "A listener needs an address to listen on.", "Add `address` with a socket_address or a pipe.")
        case .notAnIPAddress:
            return .init(
                "not an IP address",
                "A listener's or the admin page's address is a name. Sockets are bound to addresses; no name is resolved for them.",
                "Write the address: 127.0.0.1, 0.0.0.0, ::1, :: or one of the machine's own.")
        case .badPipe:
            return .init(
                "impossible pipe",
                "The path is longer than a Unix socket's path can be (107 bytes), or an abstract socket (@…) was given permission bits.",
                "Use a shorter path; remove `mode` from an abstract socket.")
        case .duplicateListenerName:
            return .init(
                "listener name used twice",
                "Two listeners have the same name. Envoy silently drops the second. Names also decide which socket a new "
                    + "generation inherits.", "Rename one of them.", isDeviation: true)
        case .duplicateAddress:
            return .init(
                "address used twice", "Two listeners, or a listener and the admin page, have the same address.",
                "Give one of them another port or path.")
        case .noFilterChain:
            return .init(
                "no filter chain", "A listener needs a filter chain to know what to do with a connection.",
                "Add `filter_chains` with one chain.")
        case .severalFilterChains:
            return .init(
                "several filter chains", "Envoy chooses between chains by filter_chain_match; here a listener has one chain.",
                "Give each chain a listener of its own.", isDeviation: true)
        case .noFilters:
            return .init(
                "filter chain without filters",
                "The chain has no filters. Envoy accepts that and closes every connection, which nobody wants.",
                "Add tcp_proxy, echo or direct_response.", isDeviation: true)
        case .filterOrder:
            return .init(
                "terminal filter not last", "tcp_proxy, echo and direct_response end a chain; what follows one would never be reached.",
                "Keep one of them, as the last filter.")
        case .badSocketOption:
            return .init(
                "socket option out of range", "Level, name and integer value of a socket option are C ints.",
                "Choose a value that fits in 32 bits.")
        default: return nil
        }
    }

    private var explainCluster: DiagnosticExplanation? {
        switch self {
        case .duplicateClusterName:
            return .init("cluster name used twice", "Two clusters have the same name.", "Rename one of them.")
        case .unknownCluster:
            return .init(
                "unknown cluster",
                "tcp_proxy names a cluster that is not in the configuration. Envoy accepts this, since a cluster might come from "
                    + "a server later, and closes every connection until then; here every cluster is static.",
                "Correct the name, or add the cluster.", isDeviation: true)
        case .staticHostname:
            return .init(
                "host name in a STATIC cluster", "A STATIC cluster's endpoints are IP addresses. STATIC is the type if none is given.",
                "Set `type: STRICT_DNS` or `type: LOGICAL_DNS`, or write the address.")
        case .logicalDnsEndpoints:
            return .init(
                "LOGICAL_DNS needs one endpoint", "A LOGICAL_DNS cluster follows one name.", "Keep one endpoint, or set `type: STRICT_DNS`."
            )
        case .dnsPipe:
            return .init(
                "pipe in a DNS cluster", "The endpoint is a pipe, which has no name to resolve. Envoy accepts it and never reaches it.",
                "Set `type: STATIC`.", isDeviation: true)
        case .weightSum:
            return .init(
                "weights too large", "The weights of a cluster's endpoints or of weighted_clusters add up to more than 4294967295.",
                "Divide all weights by the same number.", isDeviation: true)
        case .duplicateThreshold:
            return .init(
                "second threshold of a priority (warning)", "Only the first threshold of a priority counts, as in Envoy.",
                "Remove the second.")
        case .endpointPort:
            return .init(
                "endpoint port 0", "Nothing can be connected to at port 0. Envoy accepts it and fails every connection.",
                "Write the port the endpoint listens on.",
                isDeviation: true)
        default: return nil
        }
    }

    private var explainRest: DiagnosticExplanation {
        switch self {
        case .unknownLogOperator:
            return .init(
                "unknown log operator",
                "The access-log format has an operator that Envoy does not have (its words: Not supported field in StreamInfo).",
                "Use the suggestion; docs/config-reference.md lists all operators.")
        case .badLogFormat:
            return .init(
                "malformed log format", "A % does not begin a whole operator, or an operator has a parameter too many or too few.",
                "Write %NAME%, %NAME(parameter)% or %NAME(parameter):length%; a percent sign itself is %%.")
        case .fileNotCreatable:
            return .init(
                "file cannot be created",
                "The access log or the pipe could not be opened or created when serving, for the reason given. "
                    + "Checked without creating anything, in `--mode validate` too.", "Create the directory and let this user write to it.")
        case .fileNotReadable:
            return .init("file cannot be read", "A file the configuration names cannot be read.", "Check the path and its permissions.")
        case .environmentVariable:
            return .init(
                "environment variable missing", "The configuration takes a value from an environment variable that is not set.",
                "Set it before the start.")
        case .duplicateLayer:
            return .init("runtime layer named twice", "Two runtime layers have the same name.", "Rename one of them.")
        case .badRuntimeValue:
            return .init(
                "runtime value is no limit",
                "A connection limit in a runtime layer is not a number, or is 0, which would refuse everybody.",
                "Write the number of connections, or remove the limit.", isDeviation: true)
        case .limitWithoutListener:
            return .init(
                "limit for no listener (warning)", "A connection limit's key names a listener that is not in the configuration.",
                "Correct the name in envoy.resource_limits.listener.NAME.connection_limit.")
        default: preconditionFailure("\(rawValue) has no explanation")
        }
    }
}

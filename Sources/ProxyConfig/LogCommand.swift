internal import ProxyModel

/// One operator of an access-log format, `%NAME(parameter):length%`, and the table of those Envoy knows.
struct LogCommand {
    let name: String
    let parameter: String?
    let maxLength: UInt32?
    let excerpt: String

    enum Parameter: Sendable {
        case none, optional, required
        /// Envoy takes one, which is not supported yet.
        case later
    }

    enum Entry: Sendable {
        case operation(LogOperation.Kind, Parameter)
        /// Something only HTTP, TLS or a filter we do not have could supply: "-" in text, null in JSON.
        case absent(Parameter)
        /// Known when the configuration is read.
        case fixed(Parameter, @Sendable (String) -> String?)
        case later
    }

    /// Reads what follows a '%', up to and with the closing one; nil where it is no operator.
    init?(_ rest: inout Substring) {
        let start = rest
        let name = rest.prefix { $0.isASCII && ($0.isUppercase || $0.isNumber || $0 == "_") }
        guard !name.isEmpty else { return nil }
        rest = rest.dropFirst(name.count)
        var parameter: String?
        if rest.first == "(" {
            guard let end = rest.firstIndex(of: ")") else { return nil }
            parameter = String(rest[rest.index(after: rest.startIndex)..<end])
            rest = rest[rest.index(after: end)...]
        }
        var length: UInt32?
        if rest.first == ":" {
            let digits = rest.dropFirst().prefix { $0.isASCII && $0.isNumber }
            guard let value = UInt32(digits) else { return nil }
            length = value
            rest = rest.dropFirst(1 + digits.count)
        }
        guard rest.first == "%" else { return nil }
        rest = rest.dropFirst()
        self.name = String(name)
        self.parameter = parameter
        self.maxLength = length
        self.excerpt = "%" + start[..<rest.startIndex]
    }

    static let table: [String: Entry] = {
        var table = operations
        for name in absentWithParameter.split(separator: " ") { table[String(name)] = .absent(.required) }
        for name in absentWithAnyParameter.split(separator: " ") { table[String(name)] = .absent(.optional) }
        for name in absent.split(separator: " ") { table[String(name)] = .absent(.none) }
        for name in later.split(separator: " ") { table[String(name)] = .later }
        return table
    }()

    private static let operations: [String: Entry] = [
        "START_TIME": .operation(.startTime, .optional),
        "BYTES_RECEIVED": .operation(.bytesReceived, .none),
        "BYTES_SENT": .operation(.bytesSent, .none),
        "DURATION": .operation(.duration, .none),
        "RESPONSE_FLAGS": .operation(.responseFlags, .none),
        "RESPONSE_FLAGS_LONG": .operation(.responseFlagsLong, .none),
        "RESPONSE_CODE": .operation(.responseCode, .none),
        "UPSTREAM_HOST": .operation(.upstreamHost, .none),
        "UPSTREAM_REMOTE_ADDRESS": .operation(.upstreamHost, .none),
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": .operation(.upstreamRemoteIP, .later),
        "UPSTREAM_REMOTE_PORT": .operation(.upstreamRemotePort, .none),
        "UPSTREAM_CLUSTER": .operation(.upstreamCluster, .none),
        "UPSTREAM_CLUSTER_RAW": .operation(.upstreamCluster, .none),
        "UPSTREAM_LOCAL_ADDRESS": .operation(.upstreamLocalAddress, .none),
        "UPSTREAM_TRANSPORT_FAILURE_REASON": .operation(.upstreamFailureReason, .none),
        "UPSTREAM_REQUEST_ATTEMPT_COUNT": .operation(.upstreamAttempts, .none),
        "DOWNSTREAM_REMOTE_ADDRESS": .operation(.downstreamRemote, .none),
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": .operation(.downstreamRemoteIP, .later),
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": .operation(.downstreamRemote, .none),
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": .operation(.downstreamRemoteIP, .later),
        "DOWNSTREAM_LOCAL_ADDRESS": .operation(.downstreamLocal, .none),
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": .operation(.downstreamLocalIP, .later),
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS": .operation(.downstreamLocal, .none),
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT": .operation(.downstreamLocalIP, .later),
        "DOWNSTREAM_DIRECT_LOCAL_PORT": .operation(.downstreamLocalPort, .none),
        "DOWNSTREAM_LOCAL_PORT": .operation(.downstreamLocalPort, .none),
        "CONNECTION_ID": .operation(.connectionID, .none),
        "CONNECTION_TERMINATION_DETAILS": .operation(.terminationDetails, .none),
        "FILTER_CHAIN_NAME": .operation(.filterChainName, .none),
        "ACCESS_LOG_TYPE": .operation(.accessLogType, .none),
        "HOSTNAME": .fixed(.none) { _ in Platform.hostname },
        "ENVIRONMENT": .fixed(.required) { Platform.environment($0) },
    ]

    private static let absentWithParameter = """
        REQ RESP TRAILER REQUEST_HEADER RESPONSE_HEADER RESPONSE_TRAILER QUERY_PARAM STREAM_INFO_REQ DYNAMIC_METADATA CLUSTER_METADATA \
        UPSTREAM_METADATA FILTER_STATE UPSTREAM_FILTER_STATE
        """
    private static let absentWithAnyParameter = """
        RESPONSE_CODE_DETAILS QUERY_PARAMS DOWNSTREAM_PEER_CERT_V_START DOWNSTREAM_PEER_CERT_V_END UPSTREAM_PEER_CERT_V_START \
        UPSTREAM_PEER_CERT_V_END
        """
    private static let absent = """
        PROTOCOL UPSTREAM_PROTOCOL REQUEST_DURATION RESPONSE_DURATION RESPONSE_TX_DURATION REQUEST_TX_DURATION ROUTE_NAME \
        ROUTE_RESOLUTION_COUNT ROUTE_RESOLUTION_TIME_US VIRTUAL_CLUSTER_NAME REQUESTED_SERVER_NAME UPSTREAM_SERVER_NAME \
        GRPC_STATUS_NUMBER TRACE_ID SPAN_ID DOWNSTREAM_TLS_VERSION DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_GROUP \
        DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_PEER_SUBJECT DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_CERT \
        DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1 \
        DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256 DOWNSTREAM_PEER_CHAIN_SERIALS DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256 \
        DOWNSTREAM_PEER_ISSUER_SERIAL DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_PEER_DNS_SAN DOWNSTREAM_PEER_IP_SAN DOWNSTREAM_PEER_EMAIL_SAN \
        DOWNSTREAM_PEER_OTHERNAME_SAN DOWNSTREAM_LOCAL_SUBJECT DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_LOCAL_DNS_SAN \
        DOWNSTREAM_LOCAL_IP_SAN DOWNSTREAM_LOCAL_EMAIL_SAN DOWNSTREAM_LOCAL_OTHERNAME_SAN DOWNSTREAM_TRANSPORT_FAILURE_REASON \
        DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID \
        TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT UPSTREAM_TLS_VERSION UPSTREAM_TLS_CIPHER UPSTREAM_TLS_GROUP UPSTREAM_TLS_SESSION_ID \
        UPSTREAM_PEER_SUBJECT UPSTREAM_PEER_ISSUER UPSTREAM_PEER_CERT UPSTREAM_PEER_URI_SAN UPSTREAM_PEER_DNS_SAN UPSTREAM_PEER_IP_SAN \
        UPSTREAM_LOCAL_URI_SAN UPSTREAM_LOCAL_DNS_SAN UPSTREAM_LOCAL_IP_SAN
        """
    private static let later = """
        STREAM_ID UNIQUE_ID START_TIME_LOCAL EMIT_TIME EMIT_TIME_LOCAL COMMON_DURATION CUSTOM_FLAGS PATH GRPC_STATUS COALESCE LISTENER_NAME \
        DOWNSTREAM_CX_RTT UPSTREAM_CONNECTION_ID UPSTREAM_CONNECTION_IDS_ATTEMPTED UPSTREAM_HOST_NAME UPSTREAM_HOST_NAME_WITHOUT_PORT \
        UPSTREAM_HOSTS_ATTEMPTED UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT UPSTREAM_HOST_NAMES_ATTEMPTED \
        UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT UPSTREAM_LOCAL_PORT \
        UPSTREAM_CONNECTION_POOL_READY_DURATION UPSTREAM_DETECTED_CLOSE_TYPE DOWNSTREAM_DETECTED_CLOSE_TYPE DOWNSTREAM_LOCAL_CLOSE_REASON \
        UPSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_REMOTE_PORT DOWNSTREAM_DIRECT_REMOTE_PORT DOWNSTREAM_HANDSHAKE_DURATION ROUNDTRIP_DURATION \
        UPSTREAM_WIRE_BYTES_SENT UPSTREAM_WIRE_BYTES_RECEIVED UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HEADER_BYTES_RECEIVED \
        UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED DOWNSTREAM_WIRE_BYTES_SENT \
        DOWNSTREAM_WIRE_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT DOWNSTREAM_HEADER_BYTES_RECEIVED \
        DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED REQUEST_HEADERS_BYTES \
        RESPONSE_HEADERS_BYTES RESPONSE_TRAILERS_BYTES BYTES_RETRANSMITTED PACKETS_RETRANSMITTED
        """
}

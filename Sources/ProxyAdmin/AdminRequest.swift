/// One request to the admin server, as the core parsed it.
public struct AdminRequest: Sendable, Equatable {
    public var method: String
    /// Without the query; percent-decoding not applied.
    public var path: String
    /// After "?", or "".
    public var query: String
    /// The Origin and Host headers, "" where absent.
    public var origin: String
    public var host: String
    public var body: [UInt8]

    public init(method: String, path: String, query: String = "", origin: String = "", host: String = "", body: [UInt8] = []) {
        self.method = method
        self.path = path
        self.query = query
        self.origin = origin
        self.host = host
        self.body = body
    }
}

public struct AdminResponse: Sendable, Equatable {
    public var status: UInt32
    public var contentType: String
    /// Further header lines, each ended by CRLF.
    public var extraHeaders: String
    public var body: [UInt8]

    public static let plainText = "text/plain; charset=UTF-8"
    public static let json = "application/json"
    public static let html = "text/html; charset=UTF-8"
    static let commonHeaders = "cache-control: no-cache, max-age=0\r\nx-content-type-options: nosniff\r\n"

    public init(status: UInt32 = 200, contentType: String = AdminResponse.plainText, extraHeaders: String = "", _ text: String) {
        self.status = status
        self.contentType = contentType
        self.extraHeaders = Self.commonHeaders + extraHeaders
        body = Array(text.utf8)
    }

    static let ok = AdminResponse("OK\n")
    static func json(_ value: JSONValue) -> AdminResponse { AdminResponse(contentType: json, value.pretty + "\n") }
    static func badRequest(_ text: String) -> AdminResponse { AdminResponse(status: 400, text) }
}

/// What a mutation asks the driver to do. The response says OK before it is done; none of them can fail.
public enum AdminAction: Sendable, Equatable {
    case drainListeners(graceful: Bool, skipExit: Bool, inboundOnly: Bool)
    /// `/healthcheck/fail` (true) and `/healthcheck/ok` (false).
    case failHealthcheck(Bool)
    /// Level names as the command line takes them; known to be valid.
    case setLogLevel(String)
    case setComponentLogLevels([ComponentLevel])
    case reopenLogs
    case quit
    case resetCounters
}

public struct ComponentLevel: Sendable, Equatable {
    public var component: String
    public var level: String
    public init(component: String, level: String) {
        self.component = component
        self.level = level
    }
}

/// The answer, and what is to be done.
public struct AdminReply: Sendable, Equatable {
    public var response: AdminResponse
    public var action: AdminAction?
    public init(_ response: AdminResponse, action: AdminAction? = nil) {
        self.response = response
        self.action = action
    }
}

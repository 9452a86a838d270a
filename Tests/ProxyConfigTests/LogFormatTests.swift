import ProxyModel
import Testing

@testable import ProxyConfig

/// Access-log formats and what they compile to.
struct LogFormatTests {
    @Test("the default format is Envoy's for TCP")
    func standard() {
        let format = LogFormat.compile(LogFormat.standard)
        #expect(format.problems.isEmpty)
        #expect(
            Self.sketch(format.operations) == """
                [<startTime>] "<dash> <dash> <dash>" <responseCode> <responseFlags> <bytesReceived> <bytesSent> <duration> <dash> \
                "<dash>" "<dash>" "<dash>" "<dash>" "<upstreamHost>"\n
                """)
    }

    @Test("parameters, lengths and percent signs")
    func parameters() {
        let operations = LogFormat.compile("100%% %START_TIME(%s.%3f)% %UPSTREAM_CLUSTER:7%%REQ(A?B):3%").operations
        #expect(
            operations == [
                LogOperation(.literal, text: "100% "), LogOperation(.startTime, text: "%s.%3f"), LogOperation(.literal, text: " "),
                LogOperation(.upstreamCluster, maxLength: 7), LogOperation(.dash),
            ])
    }

    @Test("values known at the start become text")
    func fixedValues() {
        #expect(LogFormat.compile("%ENVIRONMENT(PROXY_NO_SUCH_VARIABLE)%").operations == [LogOperation(.literal, text: "-")])
        #expect(LogFormat.compile("%HOSTNAME%").operations.map(\.kind) == [.literal])
    }

    @Test("JSON: keys sorted, one operator keeps its type, text around it makes a string")
    func json() throws {
        let loaded = try Fixtures.load("valid", "access-logs.yaml")
        guard case .tcpProxy(let proxy)? = loaded.configuration.listeners.first?.filter else { return #expect(Bool(false), "no tcp_proxy") }
        #expect(
            proxy.accessLogs.map(\.path) == ["/tmp/proxy-fixture-default.log", "/tmp/proxy-fixture-text.log", "/dev/stdout", "/dev/stderr"])
        #expect(
            Self.sketch(proxy.accessLogs[2].operations) == """
                {"nested":{"cluster":<json upstreamCluster>,"version":2},"peer":"from <downstreamRemote>","received":<json bytesReceived>,\
                "start":<json startTime>}\n
                """)
        #expect(proxy.accessLogs[3].operations == LogFormat.compile(LogFormat.standard).operations)
    }

    @Test(
        "what is wrong is all said",
        arguments: [
            ("%BOGUS%", "Not supported field in StreamInfo: BOGUS"), ("%REQ%", "needs a parameter"),
            ("%DURATION(x)%", "takes no parameter"),
            ("%lower%", "does not end"), ("%START_TIME", "does not end"), ("%START_TIME(%", "does not end"), ("%", "does not end"),
            ("%DURATION:99999999999%", "does not end"), ("%STREAM_ID%", "not supported here yet"),
        ])
    func problems(text: String, message: String) {
        let problems = LogFormat.compile(text).problems
        #expect(problems.count == 1)
        #expect(problems.first?.message.contains(message) ?? false)
    }

    /// Literals as they are, operators as `<kind>`.
    private static func sketch(_ operations: [LogOperation]) -> String {
        operations.map { $0.kind == .literal ? $0.text : "<\($0.json ? "json " : "")\($0.kind)>" }.joined()
    }
}

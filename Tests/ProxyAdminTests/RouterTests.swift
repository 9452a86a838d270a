import ProxyModel
import Testing

@testable import ProxyAdmin

/// Who may ask what, and how: methods, origins, paths, headers.
struct RouterTests {
    static let mutating: [(String, AdminAction)] = [
        ("/drain_listeners", .drainListeners(graceful: false, skipExit: false, inboundOnly: false)),
        ("/drain_listeners?graceful", .drainListeners(graceful: true, skipExit: false, inboundOnly: false)),
        ("/drain_listeners?graceful&skip_exit", .drainListeners(graceful: true, skipExit: true, inboundOnly: false)),
        ("/drain_listeners?inboundonly=", .drainListeners(graceful: false, skipExit: false, inboundOnly: true)),
        ("/healthcheck/fail", .failHealthcheck(true)), ("/healthcheck/ok", .failHealthcheck(false)), ("/quitquitquit", .quit),
        ("/reopen_logs", .reopenLogs), ("/reset_counters", .resetCounters),
    ]
    private static let readyHelp = "print server state, return 200 if LIVE, otherwise return 503"
    static let reading = AdminRouter.routes.filter { !$0.mutates }.map(\.path)

    @Test("a mutation answers OK and says what is to be done", arguments: mutating)
    func mutation(path: String, action: AdminAction) {
        let reply = Sample.snapshot().reply("POST", path)
        #expect(reply.response.status == 200 && reply.response.text == "OK\n" && reply.action == action)
        #expect(reply.response.contentType == "text/plain; charset=UTF-8")
    }

    @Test(
        "anything but POST on a mutating path is 405 and does nothing",
        arguments: AdminRouter.routes.filter(\.mutates).map(\.path), ["GET", "HEAD", "PUT", "DELETE", "post"])
    func wrongMethod(path: String, method: String) {
        let reply = Sample.snapshot().reply(method, path)
        #expect(reply.response.status == 405 && reply.action == nil)
        #expect(reply.response.text == "Method \(method) not allowed, POST required.")
        #expect(reply.response.extraHeaders.contains("allow: POST\r\n"))
    }

    @Test("every reading path answers GET, HEAD and POST, without an action", arguments: reading)
    func reads(path: String) {
        for method in ["GET", "HEAD", "POST"] {
            let reply = Sample.snapshot().reply(method, path)
            #expect(reply.response.status == 200 && reply.action == nil && !reply.response.body.isEmpty, "\(method) \(path)")
        }
        #expect(Sample.snapshot().reply("DELETE", path).response.status == 405)
    }

    @Test(
        "a page from elsewhere may not post",
        arguments: [
            ("http://evil.example", "127.0.0.1:9901"), ("null", "127.0.0.1:9901"), ("http://127.0.0.1:9901", ""),
            ("http://127.0.0.1:9902", "127.0.0.1:9901"), ("http://127.0.0.1:9901.evil.example", "127.0.0.1:9901"),
            ("ftp://127.0.0.1:9901", "127.0.0.1:9901"), ("127.0.0.1:9901", "127.0.0.1:9901"),
        ])
    func foreignOrigin(origin: String, host: String) {
        for path in ["/quitquitquit", "/logging?level=trace", "/stats"] {
            let reply = Sample.snapshot().reply("POST", path, origin: origin, host: host)
            #expect(reply.response.status == 403 && reply.action == nil, "\(path)")
        }
    }

    @Test("our own page may post", arguments: [("http://LOCALHOST:9901", "localhost:9901"), ("https://[::1]:1", "[::1]:1"), ("", "x")])
    func ownOrigin(origin: String, host: String) {
        #expect(Sample.snapshot().reply("POST", "/quitquitquit", origin: origin, host: host).action == .quit)
    }

    @Test("an unknown path is 404 with the help", arguments: ["/bogus", "/stats/", "/STATS", "", "/%73tats", "/healthcheck", "//"])
    func unknown(path: String) {
        let reply = AdminRouter.reply(to: AdminRequest(method: "POST", path: path), Sample.snapshot())
        #expect(reply.response.status == 404 && reply.action == nil)
        #expect(reply.response.text == "invalid path. \(HelpPage.text)")
        #expect(HelpPage.text.hasPrefix("admin commands are:\n  /: Admin home page\n  /certs: print certs on machine\n"))
    }

    @Test("help lists every path once, sorted, marking those that need POST")
    func help() {
        let lines = HelpPage.text.split(separator: "\n").filter { $0.hasPrefix("  /") }
        let paths = lines.map { String($0.dropFirst(2).prefix { $0 != " " && $0 != ":" }) }
        #expect(paths == AdminRouter.routes.map(\.path).sorted() && Set(paths).count == paths.count)
        #expect(lines.contains("  /quitquitquit (POST): exit the server") && lines.contains("  /ready: \(Self.readyHelp)"))
        #expect(Sample.snapshot().get("/help").text == HelpPage.text)
    }

    @Test("every answer is not to be kept or guessed at")
    func headers() {
        for path in Self.reading + ["/nosuch", "/quitquitquit"] {
            let headers = Sample.snapshot().get(path).extraHeaders
            #expect(headers.contains("cache-control: no-cache, max-age=0\r\n") && headers.contains("x-content-type-options: nosniff\r\n"))
        }
    }

    @Test(
        "content types",
        arguments: [
            ("/", "text/html; charset=UTF-8"), ("/stats?format=html", "text/html; charset=UTF-8"),
            ("/stats?format=active-html", "text/html; charset=UTF-8"), ("/stats?format=json", "application/json"),
            ("/clusters?format=json", "application/json"), ("/listeners?format=json", "application/json"),
            ("/server_info", "application/json"), ("/memory", "application/json"), ("/config_dump", "application/json"),
            ("/generations", "application/json"), ("/restart_report", "application/json"), ("/certs", "application/json"),
            ("/stats", "text/plain; charset=UTF-8"), ("/stats/prometheus", "text/plain; charset=UTF-8"),
            ("/ready", "text/plain; charset=UTF-8"), ("/hot_restart_version", "text/plain; charset=UTF-8"),
        ])
    func contentType(path: String, type: String) { #expect(Sample.snapshot().get(path).contentType == type) }

    @Test("runtime has no admin layer")
    func runtimeModify() {
        let reply = Sample.snapshot().reply("POST", "/runtime_modify?a=b")
        #expect(reply.response.status == 503 && reply.response.text == "No admin layer specified" && reply.action == nil)
    }

    @Test("parameters: escapes, what is no escape, the first of two")
    func query() {
        let query = AdminQuery("a=%41%2b+%zz%4&b&a=2&=x&%63=%e4%bd%a0&d=%ff&e=1=2")
        #expect(query["a"] == "A++%zz%4" && query["b"] == "" && query.has("b") && !query.has("f"))
        #expect(query[""] == "x" && query["c"] == "\u{4F60}" && query["d"] == "\u{FFFD}" && query["e"] == "1=2")
        #expect(AdminQuery("&&").count == 0 && AdminQuery("").first == nil)
    }
}

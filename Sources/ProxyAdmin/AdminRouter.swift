/// Answers admin requests from a snapshot. Pure: what a request changes comes back as an action.
public enum AdminRouter {
    struct Route {
        struct Parameter {
            var name: String
            var help: String
        }
        var path: String
        var help: String
        var mutates = false
        var parameters: [Parameter] = []
        var answer: (AdminRequest, AdminQuery, AdminSnapshot) -> AdminReply
    }

    public static func reply(to request: AdminRequest, _ snapshot: AdminSnapshot) -> AdminReply {
        guard let route = routes.first(where: { $0.path == request.path }) else {
            return AdminReply(AdminResponse(status: 404, "invalid path. \(HelpPage.text)"))
        }
        let isRead = request.method == "GET" || request.method == "HEAD"
        guard request.method == "POST" || (isRead && !route.mutates) else {
            let wanted = route.mutates ? "POST" : "GET"
            return AdminReply(
                AdminResponse(
                    status: 405, extraHeaders: route.mutates ? "allow: POST\r\n" : "allow: GET, HEAD, POST\r\n",
                    "Method \(request.method) not allowed, \(wanted) required."))
        }
        guard request.method != "POST" || isSameOrigin(request) else {
            return AdminReply(
                AdminResponse(
                    status: 403, "Origin \(request.origin) is not this server (\(request.host)): a page from elsewhere may not change it.\n"
                ))
        }
        return route.answer(request, AdminQuery(request.query), snapshot)
    }

    /// A browser says on whose behalf it posts; other clients say nothing.
    private static func isSameOrigin(_ request: AdminRequest) -> Bool {
        guard !request.origin.isEmpty else { return true }
        let origin = request.origin.lowercased()
        let host = request.host.lowercased()
        return !host.isEmpty && (origin == "http://\(host)" || origin == "https://\(host)")
    }

    // MARK: - Routes

    private static func page(
        _ path: String, _ help: String, _ parameters: [Route.Parameter] = [],
        _ answer: @escaping (AdminQuery, AdminSnapshot) -> AdminResponse
    ) -> Route {
        Route(path: path, help: help, parameters: parameters) { _, query, snapshot in AdminReply(answer(query, snapshot)) }
    }

    private static func mutation(
        _ path: String, _ help: String, _ parameters: [Route.Parameter] = [], _ action: @escaping (AdminQuery) -> AdminAction
    ) -> Route {
        Route(path: path, help: help, mutates: true, parameters: parameters) { _, query, _ in AdminReply(.ok, action: action(query)) }
    }

    /// In the order of /help: sorted by path.
    static var routes: [Route] { readingRoutes + mutatingRoutes }

    private static var readingRoutes: [Route] {
        [
            page("/", "Admin home page") { HomePage.response($1) },
            page("/certs", "print certs on machine") { _, _ in .json(.object([.init("certificates", .array([]))])) },
            page("/clusters", "upstream cluster status", ClustersPage.parameters) { ClustersPage.response($0, $1) },
            page("/config_dump", "dump current configs", ConfigDumpPage.parameters) { ConfigDumpPage.response($0, $1) },
            page("/generations", "every living generation: epoch, pid, state, connections, drain end") { GenerationsPage.response($1) },
            page("/help", "print out list of admin commands") { _, _ in AdminResponse(HelpPage.text) },
            page("/hot_restart_version", "print the hot restart compatibility version") { AdminResponse($1.server.hotRestartVersion) },
            page("/init_dump", "dump current init manager information") { _, _ in .json(.object([])) },
            page("/listeners", "print listener info", ListenersPage.parameters) { ListenersPage.response($0, $1) },
            page("/memory", "print current allocation/heap usage") { MemoryPage.response($1) },
            page("/ready", "print server state, return 200 if LIVE, otherwise return 503") { ServerPages.ready($1) },
            page("/restart_report", "the last restart: steps, durations, outcome") { GenerationsPage.restartReport($1) },
            page("/runtime", "print runtime values") { _, _ in .json(.object([.init("layers", .array([])), .init("entries", .object([]))]))
            },
            page("/server_info", "print server version/status information") { ServerPages.info($1) },
            page("/stats", "print server stats", StatsPage.parameters) { StatsPage.response($0, $1) },
            page("/stats/prometheus", "print server stats in prometheus format", StatsPage.prometheusParameters) {
                StatsPage.prometheus($0, $1)
            },
        ]
    }

    private static var mutatingRoutes: [Route] {
        [
            mutation(
                "/drain_listeners", "drain listeners",
                [
                    .init(name: "graceful", help: "keep accepting for the drain time, then stop"),
                    .init(name: "skip_exit", help: "with graceful: drain, but never stop accepting"),
                    .init(name: "inboundonly", help: "only listeners whose traffic_direction is INBOUND"),
                ]
            ) { .drainListeners(graceful: $0.has("graceful"), skipExit: $0.has("skip_exit"), inboundOnly: $0.has("inboundonly")) },
            mutation("/healthcheck/fail", "cause the server to fail health checks") { _ in .failHealthcheck(true) },
            mutation("/healthcheck/ok", "cause the server to pass health checks") { _ in .failHealthcheck(false) },
            Route(path: "/logging", help: "query/change logging levels", mutates: true, parameters: LoggingPage.parameters) {
                LoggingPage.reply($1, $2)
            },
            mutation("/quitquitquit", "exit the server") { _ in .quit },
            mutation("/reopen_logs", "reopen access logs and the log file") { _ in .reopenLogs },
            mutation("/reset_counters", "reset all counters to zero") { _ in .resetCounters },
            Route(path: "/runtime_modify", help: "modify runtime values (there is no admin layer here)", mutates: true) { _, _, _ in
                AdminReply(AdminResponse(status: 503, "No admin layer specified"))
            },
        ]
    }
}

/// `/help`, and what an unknown path is answered with.
enum HelpPage {
    static var text: String {
        var text = "admin commands are:\n"
        for route in AdminRouter.routes.sorted(by: { $0.path < $1.path }) {
            text += "  \(route.path)\(route.mutates ? " (POST)" : ""): \(route.help)\n"
            for parameter in route.parameters { text += "      \(parameter.name): \(parameter.help)\n" }
        }
        return text
    }
}

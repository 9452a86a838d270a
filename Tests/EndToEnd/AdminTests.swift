import Foundation
import Harness
import Testing

extension EndToEnd {
    /// Every page of the admin server, over real sockets, of a proxy that has been restarted.
    @Suite struct Admin {
        @Test func everyPageThatIsReadAnswersAsEnvoysDoes() throws {
            try scenario("admin pages", seconds: 40) { s in
                let (chain, listener, _) = try s.relayChain()
                try chain.start()
                try chain.restart()
                guard case .v4(let port) = listener else { return }
                let session = try TestSocket(listener)
                try session.echo()
                let admin = chain.admin
                let ready = try admin.get("/ready")
                s.checkEqual(ready.status, 200, "/ready")
                s.checkEqual(ready.body, "LIVE\n", "/ready")
                for part in ["content-type: text/plain; charset=utf-8", "cache-control: no-cache", "x-content-type-options: nosniff"] {
                    s.checkContains(ready.head.lowercased(), part, "headers of /ready")
                }
                try checkServerInfo(s, admin)
                let version = try s.run(Programs.proxy, ["--hot-restart-version"], name: "version")
                let printed = (version.output + version.log).trimmingCharacters(in: .whitespacesAndNewlines)
                s.checkEqual(try admin.get("/hot_restart_version").body, printed, "/hot_restart_version and --hot-restart-version")
                s.checkEqual(try admin.get("/listeners").body, "relay::\(listener)\n", "/listeners")
                s.checkContains(try admin.get("/listeners?format=json").body, "\"port_value\": \(port)", "/listeners?format=json")
                let clusters = try admin.get("/clusters").body
                for part in ["up::observability_name::up\n", "::cx_total::1\n", "::cx_active::1\n", "::health_flags::healthy\n"] {
                    s.checkContains(clusters, part, "/clusters")
                }
                s.checkEqual(try names(in: admin.get("/clusters?format=json"), "cluster_statuses"), ["up"], "/clusters?format=json")
                try checkConfigDump(s, admin)
                s.checkContains(try admin.get("/").body, "<html", "/")
                let help = try admin.get("/help").body
                s.check(help.hasPrefix("admin commands are:\n"), "/help")
                s.checkContains(help, "  /drain_listeners (POST): ", "/help")
                let unknown = try admin.get("/nonsense")
                s.checkEqual(unknown.status, 404, "an unknown path")
                s.checkContains(unknown.body, "invalid path. admin commands are:\n", "an unknown path")
                for path in ["/memory", "/certs", "/runtime", "/init_dump"] { try checkJSON(s, admin.get(path), path) }
                try chain.stop()
            }
        }

        private func checkJSON(_ s: Scenario, _ response: AdminClient.Response, _ path: String) throws {
            s.checkEqual(response.status, 200, path)
            s.check((try? JSONSerialization.jsonObject(with: Data(response.body.utf8))) != nil, "\(path) is not JSON:\n\(response.body)")
        }

        private func names(in response: AdminClient.Response, _ list: String) throws -> [String] {
            let top = try JSONSerialization.jsonObject(with: Data(response.body.utf8)) as? [String: Any]
            return (top?[list] as? [[String: Any]] ?? []).compactMap { $0["name"] as? String }
        }

        private func checkServerInfo(_ s: Scenario, _ admin: AdminClient) throws {
            let response = try admin.get("/server_info")
            let info = try #require(try JSONSerialization.jsonObject(with: Data(response.body.utf8)) as? [String: Any])
            s.checkEqual(info["state"] as? String, "LIVE", "state in /server_info")
            s.checkEqual(info["hot_restart_initializing"] as? Bool, false, "hot_restart_initializing in /server_info")
            let options = try #require(info["command_line_options"] as? [String: Any])
            s.checkEqual(options["restart_epoch"] as? Int, 1, "restart_epoch in /server_info")
            s.checkEqual(options["drain_time"] as? String, "900s", "drain_time in /server_info")
            s.checkEqual(options["mode"] as? String, "Serve", "mode in /server_info")
        }

        private func checkConfigDump(_ s: Scenario, _ admin: AdminClient) throws {
            let response = try admin.get("/config_dump")
            try checkJSON(s, response, "/config_dump")
            let types = ["BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump"]
            for type in types { s.checkContains(response.body, "type.googleapis.com/envoy.admin.v3.\(type)", "/config_dump") }
            s.checkContains(response.body, "static_listeners", "/config_dump")
            s.checkEqual(try admin.get("/config_dump?resource=bogus").status, 404, "/config_dump?resource=bogus")
        }

        @Test func statisticsInEveryFormatAndSelection() throws {
            try scenario("admin statistics", seconds: 40) { s in
                let (chain, listener, _) = try s.relayChain()
                try chain.start()
                try TestSocket(listener).echo("four times seven bytes!")
                try chain.restart()
                let admin = chain.admin
                guard case .v4(let port) = listener else { return }
                let total = "listener.127.0.0.1_\(port).downstream_cx_total"
                let all = try admin.get("/stats").body.split(separator: "\n")
                s.checkEqual(all.first { $0.hasPrefix("\(total): ") }, "\(total): 1", "/stats")
                s.check(all.contains("server.live: 1") && all.contains("server.hot_restart_generation: 2"), "server.* in /stats")
                let used = try admin.get("/stats?usedonly").body.split(separator: "\n")
                s.check(used.count < all.count && used.contains("\(total): 1"), "\(used.count) of \(all.count) are used")
                s.check(!used.contains { $0.hasPrefix("cluster.up.upstream_cx_connect_timeout:") }, "/stats?usedonly shows what was unused")
                let some = try admin.get("/stats?filter=%5Etcp%5C.relay.*bytes_total").body
                s.checkEqual(
                    some, "tcp.relay.downstream_cx_rx_bytes_total: 23\ntcp.relay.downstream_cx_tx_bytes_total: 23\n", "/stats?filter=")
                s.checkEqual(try admin.get("/stats?filter=%5B").status, 400, "/stats?filter=[")
                s.checkEqual(try admin.get("/stats?format=nonsense").status, 400, "/stats?format=nonsense")
                let json = try admin.get("/stats?format=json&filter=%5Eserver.live%24").body
                s.checkEqual(json, #"{"stats":[{"name":"server.live","value":1}]}"#, "/stats?format=json")
                s.check(
                    try admin.get("/stats?type=Counters").body.split(separator: "\n").allSatisfy { !$0.contains("server.live") },
                    "/stats?type=Counters shows a gauge")
                let prometheus = try admin.get("/stats/prometheus").body
                s.checkContains(prometheus, "# TYPE envoy_listener_downstream_cx_total counter\n", "/stats/prometheus")
                let sample = #"envoy_listener_downstream_cx_total{envoy_listener_address="127.0.0.1_\#(port)"} 1"# + "\n"
                s.checkContains(prometheus, sample, "/stats/prometheus")
                s.checkContains(prometheus, "envoy_server_live{} 1\n", "/stats/prometheus")
                s.checkEqual(try admin.get("/stats?format=prometheus&filter=live").status, 200, "/stats?format=prometheus")
                s.checkEqual(try admin.post("/reset_counters").body, "OK\n", "/reset_counters")
                s.checkEqual(try admin.stats()[total], 0, "\(total) after /reset_counters")
                try TestSocket(listener).echo()
                try eventually("the counter to count on") { try admin.stats()[total] == 1 }
                try chain.restart()
                s.checkEqual(try admin.stats()[total], 1, "\(total) after one more restart")
                try chain.stop()
            }
        }

        @Test func healthLoggingAndReopeningChangeWhatTheySay() throws {
            try scenario("admin mutations", seconds: 40) { s in
                let log = "\(s.directory)/proxy.log"
                let (chain, echo) = try s.echoChain(["--log-path", log])
                try chain.start()
                let admin = chain.admin
                let mutating = [
                    "/drain_listeners", "/healthcheck/fail", "/healthcheck/ok", "/logging", "/reopen_logs", "/quitquitquit",
                    "/reset_counters",
                ]
                for path in mutating {
                    let response = try admin.get(path)
                    s.checkEqual(response.status, 405, "GET \(path)")
                    s.checkEqual(response.body, "Method GET not allowed, POST required.", "GET \(path)")
                }
                s.checkEqual(try admin.post("/healthcheck/fail").body, "OK\n", "/healthcheck/fail")
                let ready = try admin.get("/ready")
                s.checkEqual(ready.status, 503, "/ready of a server that fails its health check")
                s.checkEqual(ready.body, "DRAINING\n", "/ready of a server that fails its health check")
                s.checkEqual(try admin.stats()["server.live"], 0, "server.live")
                try TestSocket(echo).echo()
                s.checkEqual(try admin.post("/healthcheck/ok").body, "OK\n", "/healthcheck/ok")
                s.checkEqual(try admin.get("/ready").body, "LIVE\n", "/ready after /healthcheck/ok")
                s.checkContains(try admin.post("/logging").body, "active loggers:\n", "/logging")
                s.checkContains(try admin.post("/logging?level=debug").body, "  main: debug\n", "/logging?level=debug")
                s.checkContains(try admin.post("/logging?main=warning").body, "  main: warning\n", "/logging?main=warning")
                s.checkContains(try admin.post("/logging?paths=admin:error,main:info").body, "  admin: error\n", "/logging?paths=")
                s.checkEqual(try admin.post("/logging?nonsense=debug").status, 400, "/logging?nonsense=debug")
                s.checkEqual(try admin.post("/logging?main=nonsense").status, 400, "/logging?main=nonsense")
                rename(log, log + ".old")
                s.checkEqual(try admin.post("/reopen_logs").body, "OK\n", "/reopen_logs")
                try eventually("the log to be opened again") { FileManager.default.fileExists(atPath: log) }
                try chain.stop()
                s.checkContains(try String(contentsOfFile: log, encoding: .utf8), "exiting", "the new log")
            }
        }

        @Test func drainedListenersRefuseAndTheirConnectionsLiveOnUntilItQuits() throws {
            try scenario("admin drain and quit", seconds: 40) { s in
                let (chain, _) = try s.echoChain()
                let admin = chain.admin
                let places = [Endpoint.v4(try s.port()), Endpoint.v4(try s.port())]
                try chain.reconfigure(
                    ConfigText(
                        admin: admin.endpoint,
                        listeners: [.init("in", [places[0]], extra: "traffic_direction: INBOUND"), .init("out", [places[1]])]))
                try chain.start()
                let sessions = try places.map { try TestSocket($0) }
                for session in sessions { try session.echo() }
                s.checkEqual(try admin.post("/drain_listeners?inboundonly").body, "OK\n", "/drain_listeners?inboundonly")
                try eventually("the inbound listener to refuse") { try TestSocket.isRefused(places[0]) }
                try TestSocket(places[1]).echo()
                s.checkEqual(try admin.post("/drain_listeners").body, "OK\n", "/drain_listeners")
                try eventually("the other listener to refuse") { try TestSocket.isRefused(places[1]) }
                s.checkEqual(try admin.get("/ready").body, "LIVE\n", "/ready of a server with drained listeners")
                for session in sessions { try session.echo("still there?") }
                // The next generation opens them again.
                try chain.restart()
                for place in places { try TestSocket(place).echo() }
                for session in sessions { try session.echo("and now?") }
                s.checkEqual(try admin.post("/quitquitquit").body, "OK\n", "/quitquitquit")
                for generation in chain.generations { s.checkEqual(try generation.waitForExit(), .exited(0), "a generation") }
                s.check(sessions.allSatisfy(\.isCut), "sessions after the end")
            }
        }

        /// Envoy's parent gives its admin port up before the child is known to be any good.
        @Test func theAdminServerIsNeverLostBecauseAChildFailed() throws {
            try scenario("admin and failing children", seconds: 60) { s in
                let (chain, echo) = try s.echoChain()
                let admin = chain.admin
                let good = ConfigText(admin: admin.endpoint, listeners: [.init("echo", [echo])])
                let taken = try TestListener(.v4(try s.port()))
                var badListener = good
                badListener.listeners.append(.init("taken", [taken.endpoint]))
                var badAdmin = good
                badAdmin.admin = taken.endpoint
                try chain.start()
                let failing = [
                    ("a bad file", "static_resources: { listenerz: [] }\n"), ("a listener's address that is taken", badListener.yaml),
                    ("an admin address that is taken", badAdmin.yaml),
                ]
                for (what, yaml) in failing {
                    let failed = try chain.restartInVain(config: try s.write(yaml, to: "bad.yaml"))
                    s.checkEqual(failed.status, .exited(1), "a restart with \(what)")
                    s.checkEqual(admin.servingEpoch(), 0, "the admin server after a restart with \(what)")
                    s.checkContains(
                        try admin.get("/server_info").body.replacing(" ", with: ""), "\"hot_restart_initializing\":false", "after \(what)")
                }
                // Killed while it initialises, at the time it takes the service over, and after it.
                for delay in [0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3] {
                    let child = try chain.launch(["--restart-epoch"])
                    pause(delay)
                    child.signal(SIGKILL)
                    try child.waitForExit()
                    try eventually("the admin server after a child was killed after \(delay) s") { admin.servingEpoch() == 0 }
                    try TestSocket(echo).echo()
                }
                try chain.restart()
                try chain.stop()
            }
        }
    }
}

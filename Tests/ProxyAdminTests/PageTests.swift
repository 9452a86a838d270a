import ProxyModel
import Testing

@testable import ProxyAdmin

/// The pages about the server itself.
struct PageTests {
    @Test(
        "/ready in each state",
        arguments: [
            (ServerStatus.State.live, 200, "LIVE\n"), (.draining, 503, "DRAINING\n"), (.preInitializing, 503, "PRE_INITIALIZING\n"),
            (.initializing, 503, "INITIALIZING\n"),
        ] as [(ServerStatus.State, UInt32, String)])
    func ready(state: ServerStatus.State, status: UInt32, text: String) {
        let response = Sample.snapshot(state).get("/ready")
        #expect(response.status == status && response.text == text)
    }

    @Test("/server_info has Envoy's keys in Envoy's order")
    func serverInfo() {
        #expect(
            Sample.snapshot().get("/server_info").text == """
                {
                 "version": "\(ProductVersion.full)",
                 "state": "LIVE",
                 "uptime_current_epoch": "20s",
                 "uptime_all_epochs": "100s",
                 "hot_restart_version": "1.3",
                 "command_line_options": {
                  "base_id": "0",
                  "restart_epoch": 3
                 },
                 "node": {
                  "id": "n1",
                  "cluster": "c1",
                  "user_agent_name": "proxy",
                  "user_agent_build_version": {
                   "version": {
                    "major_number": 0,
                    "minor_number": 1,
                    "patch": 0
                   },
                   "metadata": {}
                  },
                  "extensions": [],
                  "client_features": [],
                  "listening_addresses": [],
                  "dynamic_parameters": {}
                 },
                 "hot_restart_initializing": false
                }

                """)
    }

    @Test("a locality is shown as far as there is one")
    func locality() {
        var snapshot = Sample.snapshot()
        snapshot.node.zone = "z"
        #expect(snapshot.get("/server_info").text.contains("  \"locality\": {\n   \"zone\": \"z\"\n  },\n"))
    }

    @Test(
        "small pages, to the byte",
        arguments: [
            ("/hot_restart_version", "1.3"), ("/certs", "{\n \"certificates\": []\n}\n"), ("/init_dump", "{}\n"),
            ("/runtime", "{\n \"layers\": [],\n \"entries\": {}\n}\n"), ("/restart_report", "{}\n"),
            (
                "/memory",
                """
                {
                 "allocated": "1",
                 "heap_size": "2",
                 "pageheap_unmapped": "0",
                 "pageheap_free": "0",
                 "total_thread_cache": "0",
                 "total_physical_bytes": "3"
                }

                """
            ), ("/listeners", "tcp_l::127.0.0.1:11000\ntcp_l::[::1]:11002\npipe_l::/tmp/l.sock\n"),
            ("/listeners?format=bogus", "tcp_l::127.0.0.1:11000\ntcp_l::[::1]:11002\npipe_l::/tmp/l.sock\n"),
            (
                "/listeners?format=json",
                """
                {
                 "listener_statuses": [
                  {
                   "name": "tcp_l",
                   "local_address": {
                    "socket_address": {
                     "address": "127.0.0.1",
                     "port_value": 11000
                    }
                   },
                   "additional_local_addresses": [
                    {
                     "socket_address": {
                      "address": "::1",
                      "port_value": 11002
                     }
                    }
                   ]
                  },
                  {
                   "name": "pipe_l",
                   "local_address": {
                    "pipe": {
                     "path": "/tmp/l.sock"
                    }
                   }
                  }
                 ]
                }

                """
            ),
        ])
    func golden(path: String, text: String) { #expect(Sample.snapshot().get(path).text == text) }

    @Test("what there is none of is left out of JSON, as protobuf does")
    func empty() {
        let snapshot = AdminSnapshot(server: Sample.server())
        for path in ["/listeners?format=json", "/clusters?format=json", "/config_dump?resource=static_listeners"] {
            #expect(snapshot.get(path).text == "{}\n", "\(path)")
        }
        #expect(snapshot.get("/listeners").text.isEmpty && snapshot.get("/clusters").text.isEmpty)
    }

    @Test("/generations tells who serves and until when others drain")
    func generations() {
        #expect(
            Sample.snapshot().get("/generations").text == """
                {
                 "serving_epoch": 3,
                 "restart_in_progress": false,
                 "generations": [
                  {
                   "epoch": 2,
                   "pid": 800,
                   "state": "draining",
                   "version": "",
                   "started": "2026-11-24T03:42:25.123Z",
                   "connections": 7,
                   "oldest_connection_ms": 61000,
                   "drain_ends": "2026-11-24T03:45:35.123Z",
                   "drain_left_s": 90,
                   "config_hash": "beef"
                  },
                  {
                   "epoch": 3,
                   "pid": 812,
                   "state": "serving",
                   "version": "",
                   "started": "2026-11-24T03:43:45.123Z",
                   "connections": 0,
                   "oldest_connection_ms": 0,
                   "drain_ends": null,
                   "drain_left_s": null,
                   "config_hash": "0"
                  }
                 ]
                }

                """)
    }

    @Test("times that another process wrote make no page trap")
    func absurdTimes() {
        var snapshot = Sample.snapshot()
        var generation = GenerationStatus(epoch: .max, pid: -1, state: "?")
        generation.startedUnixMs = .max
        generation.drainEndsUnixMs = .max
        generation.oldestConnectionMs = .max
        generation.connections = .max
        snapshot.generations = { [generation] }
        snapshot.server.nowUnixMs = 0
        for path in ["/", "/generations", "/stats/prometheus"] { #expect(snapshot.get(path).status == 200) }
    }

    @Test("a restart report that is broken is shown as it is", arguments: ["", "}}]]", "{\"a\":\"", "[[[[", "{\"a\" :1 , \"b\":[ ] }"])
    func brokenReport(text: String) {
        var snapshot = Sample.snapshot()
        snapshot.restartReport = { text }
        #expect(snapshot.get("/restart_report").status == 200 && snapshot.get("/").status == 200)
    }

    // MARK: - Clusters

    @Test("/clusters as text")
    func clusterText() {
        let text = Sample.snapshot().get("/clusters").text
        let head = """
            a.b::observability_name::alt
            a.b::default_priority::max_connections::1024
            a.b::default_priority::max_pending_requests::1024
            a.b::default_priority::max_requests::1024
            a.b::default_priority::max_retries::3
            a.b::high_priority::max_connections::1024
            a.b::high_priority::max_pending_requests::1024
            a.b::high_priority::max_requests::1024
            a.b::high_priority::max_retries::3
            a.b::added_via_api::false
            up::observability_name::up

            """
        #expect(text.hasPrefix(head))
        let host = """
            up::127.0.0.1:11001::cx_active::0
            up::127.0.0.1:11001::cx_connect_fail::1
            up::127.0.0.1:11001::cx_total::3
            up::127.0.0.1:11001::rq_active::0
            up::127.0.0.1:11001::rq_error::0
            up::127.0.0.1:11001::rq_pending_active::0
            up::127.0.0.1:11001::rq_success::0
            up::127.0.0.1:11001::rq_timeout::0
            up::127.0.0.1:11001::rq_total::0
            up::127.0.0.1:11001::hostname::hh
            up::127.0.0.1:11001::health_flags::healthy
            up::127.0.0.1:11001::weight::1
            up::127.0.0.1:11001::region::
            up::127.0.0.1:11001::zone::
            up::127.0.0.1:11001::sub_zone::
            up::127.0.0.1:11001::canary::false
            up::127.0.0.1:11001::priority::0
            up::127.0.0.1:11001::success_rate::-1
            up::127.0.0.1:11001::local_origin_success_rate::-1

            """
        #expect(text.contains(host) && text.contains("up::/tmp/x::health_flags::/failed_eds_health\n"))
    }

    @Test("/clusters as JSON: Envoy's members in Envoy's order, zeros left out")
    func clusterJSON() {
        let text = Sample.snapshot().get("/clusters?format=json&filter=^up$").text
        let head = """
            {
             "cluster_statuses": [
              {
               "name": "up",
               "host_statuses": [
                {
                 "address": {
                  "socket_address": {
                   "address": "127.0.0.1",
                   "port_value": 11001
                  }
                 },
                 "stats": [
                  {
                   "value": "1",
                   "name": "cx_connect_fail"
                  },
                  {
                   "value": "3",
                   "name": "cx_total"
                  },
                  {
                   "name": "rq_error"
                  },
            """
        #expect(text.hasPrefix(head))
        let tail = """
                  {
                   "type": "GAUGE",
                   "name": "rq_pending_active"
                  }
                 ],
                 "health_status": {
                  "eds_health_status": "UNHEALTHY"
                 },
                 "weight": 1,
                 "locality": {}
                }
               ],
               "circuit_breakers": {
                "thresholds": [
                 {
                  "max_connections": 1024,
                  "max_pending_requests": 1024,
                  "max_requests": 1024,
                  "max_retries": 3
                 },
                 {
                  "priority": "HIGH",
                  "max_connections": 1024,
                  "max_pending_requests": 1024,
                  "max_requests": 1024,
                  "max_retries": 3
                 }
                ]
               },
               "observability_name": "up"
              }
             ]
            }

            """
        #expect(text.hasSuffix(tail))
        #expect(!Sample.snapshot().get("/clusters?format=json&filter=^a").text.contains("host_statuses"))
    }

    @Test("/clusters?filter matches in part; a bad one is refused")
    func clusterFilter() {
        let snapshot = Sample.snapshot()
        #expect(snapshot.get("/clusters?filter=p").text.hasPrefix("up::"))
        #expect(snapshot.get("/clusters?filter=").text == snapshot.get("/clusters").text)
        #expect(snapshot.get("/clusters?filter=nosuch").text.isEmpty)
        let bad = snapshot.get("/clusters?filter=(")
        #expect(bad.status == 400 && bad.text == "Invalid re2 regex: missing ): (")
    }

    // MARK: - HTML

    @Test("names cannot become markup, in any cell of the home page or of the statistics")
    func markup() {
        let evil = "</td><script>alert('1')</script>\"&"
        var snapshot = Sample.snapshot()
        snapshot.listeners = { [ListenerStatus(name: evil, addresses: [.pipe(path: evil, mode: 0)])] }
        var cluster = ClusterStatus(name: evil)
        cluster.hosts = [.init(address: .socket(host: evil, port: 1))]
        snapshot.clusters = { [cluster] }
        snapshot.generations = { [GenerationStatus(epoch: 1, pid: 1, state: evil)] }
        snapshot.restartReport = { "{\"reason\":\(JSONText.string(evil))}" }
        snapshot.statistics = { [StatSample(name: evil, value: .counter(1), used: true)] }
        for path in ["/", "/stats?format=html"] {
            let page = snapshot.get(path).text
            #expect(!page.contains("<script") && !page.contains("('1')"))
            #expect(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;"))
        }
    }

    @Test("the home page has everything: title, tables, every command")
    func home() {
        let page = Sample.snapshot().get("/").text
        #expect(page.contains("<title>proxy: generation 3, LIVE</title>"))
        let draining = "<tr><td>2</td><td>800</td><td>draining</td><td>7</td><td>1m1s</td><td>in 1m30s</td></tr>"
        #expect(page.contains(draining))
        #expect(page.contains("<td>tcp_l</td><td>127.0.0.1:11000, [::1]:11002</td>"))
        #expect(page.contains("<td>up</td><td>/tmp/x</td><td>unhealthy</td>"))
        for route in AdminRouter.routes {
            #expect(page.contains(route.mutates ? "<form method=\"post\" action=\"\(route.path)\"" : "<a href=\"\(route.path)\">"))
        }
    }

    @Test("durations", arguments: [(0, "0s"), (59, "59s"), (61, "1m1s"), (11520, "3h12m"), (90061, "1d1h")] as [(UInt64, String)])
    func durations(seconds: UInt64, text: String) { #expect(HomePage.duration(seconds) == text) }
}

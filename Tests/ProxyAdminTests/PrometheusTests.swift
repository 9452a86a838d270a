import ProxyModel
import Testing

@testable import ProxyAdmin

struct PrometheusTests {
    private func page(_ samples: [StatSample], tags: [(name: String, value: String)] = [], query: String = "") -> String {
        var snapshot = AdminSnapshot(server: Sample.server())
        snapshot.bucketLows = Sample.lows
        snapshot.statistics = { samples }
        snapshot.statsTags = tags
        return snapshot.get("/stats/prometheus?\(query)").text
    }

    @Test("families by type and name, one TYPE line each, no HELP, empty labels as {}")
    func golden() {
        let samples = [
            StatSample(name: "server.live", value: .gauge(1), used: true),
            StatSample(name: "cluster.b.upstream_cx_total", value: .counter(2), used: true),
            StatSample(name: "cluster.a.upstream_cx_total", value: .counter(1), used: true),
            StatSample(name: "listener.127.0.0.1_1.worker_0.downstream_cx_active", value: .gauge(-1), used: true),
        ]
        #expect(
            page(samples) == """
                # TYPE envoy_cluster_upstream_cx_total counter
                envoy_cluster_upstream_cx_total{envoy_cluster_name="a"} 1
                envoy_cluster_upstream_cx_total{envoy_cluster_name="b"} 2
                # TYPE envoy_listener_worker_downstream_cx_active gauge
                envoy_listener_worker_downstream_cx_active{envoy_worker_id="0",envoy_listener_address="127.0.0.1_1"} -1
                # TYPE envoy_server_live gauge
                envoy_server_live{} 1

                """)
    }

    @Test("a histogram has its buckets, sum and count")
    func histogram() {
        let sample = StatSample(name: "cluster.a.x_ms", value: .histogram(count: 4, sum: 30, counts: [1, 0, 0, 0, 2, 1]), used: true)
        let lines = page([sample]).split(separator: "\n")
        #expect(lines.count == 1 + HistogramSummary.bounds.count + 3)
        #expect(lines[0] == "# TYPE envoy_cluster_x_ms histogram")
        #expect(lines[1] == "envoy_cluster_x_ms_bucket{envoy_cluster_name=\"a\",le=\"0.5\"} 1")
        #expect(lines.contains("envoy_cluster_x_ms_bucket{envoy_cluster_name=\"a\",le=\"3600000\"} 4"))
        #expect(
            lines.suffix(3) == [
                "envoy_cluster_x_ms_bucket{envoy_cluster_name=\"a\",le=\"+Inf\"} 4", "envoy_cluster_x_ms_sum{envoy_cluster_name=\"a\"} 30",
                "envoy_cluster_x_ms_count{envoy_cluster_name=\"a\"} 4",
            ])
    }

    @Test("generations are part of the whole page only")
    func generations() {
        let line = "envoy_server_generation_connections{envoy_generation=\"2\"} 7\n"
        #expect(Sample.snapshot().get("/stats/prometheus").text.contains(line))
        #expect(!Sample.snapshot().get("/stats/prometheus?filter=server").text.contains("generation_connections"))
        #expect(Sample.snapshot().get("/stats?format=prometheus").text == Sample.snapshot().get("/stats/prometheus").text)
    }

    @Test("values of labels are escaped, names made of word characters")
    func escaping() {
        let samples = [StatSample(name: "cluster.a\"b\\c\nd.e-f", value: .counter(1), used: true)]
        #expect(page(samples).hasSuffix("\nenvoy_cluster_e_f{envoy_cluster_name=\"a\\\"b\\\\c\\nd\"} 1\n"))
    }

    @Test("fixed labels come first, are legal, and never stand twice in one line")
    func fixedLabels() {
        let tags = [("region", "eu"), ("a-b", "1"), ("a_b", "2"), ("1st", "x"), ("envoy_cluster_name", "no"), ("le", "no")]
        let samples = [
            StatSample(name: "cluster.up.x", value: .counter(1), used: true), StatSample(name: "server.live", value: .gauge(1), used: true),
        ]
        let text = page(samples, tags: tags.map { (name: $0, value: $1) })
        #expect(text.contains("envoy_cluster_x{region=\"eu\",a_b=\"1\",_1st=\"x\",envoy_cluster_name=\"up\"} 1\n"))
        #expect(text.contains("envoy_server_live{region=\"eu\",a_b=\"1\",_1st=\"x\",envoy_cluster_name=\"no\"} 1\n"))
    }

    @Test("a name has one type: the first one's")
    func clash() {
        let samples = [
            StatSample(name: "a.b", value: .counter(1), used: true), StatSample(name: "a_b", value: .gauge(2), used: true),
        ]
        #expect(page(samples) == "# TYPE envoy_a_b counter\nenvoy_a_b{} 1\n")
    }

    @Test(
        "what of a name becomes a label",
        arguments: [
            ("cluster.up.upstream_cx_total", "cluster.upstream_cx_total", "envoy_cluster_name=up"),
            ("cluster.a.b.c.upstream_cx_total", "cluster.upstream_cx_total", "envoy_cluster_name=a.b.c"),
            (
                "cluster.up.circuit_breakers.default.cx_open", "cluster.circuit_breakers.default.cx_open", "envoy_cluster_name=up"
            ), ("cluster.circuit_breakers.x", "cluster.x", "envoy_cluster_name=circuit_breakers"),
            ("tcp.ingress.downstream_cx_total", "tcp.downstream_cx_total", "envoy_tcp_prefix=ingress"),
            ("listener.127.0.0.1_80.downstream_cx_total", "listener.downstream_cx_total", "envoy_listener_address=127.0.0.1_80"),
            ("listener.[__1]_80.x", "listener.x", "envoy_listener_address=[__1]_80"),
            ("listener./tmp/l.sock.downstream_cx_total", "listener.downstream_cx_total", "envoy_listener_address=/tmp/l.sock"),
            (
                "listener.l.worker_12.downstream_cx_active", "listener.worker.downstream_cx_active",
                "envoy_worker_id=12 envoy_listener_address=l"
            ),
            ("listener.admin.downstream_cx_active", "listener.admin.downstream_cx_active", ""),
            ("server.worker_0.watchdog_miss", "server.worker.watchdog_miss", "envoy_worker_id=0"),
            ("listener_manager.listener_added", "listener_manager.listener_added", ""), ("server.live", "server.live", ""),
            // A name that looks like a worker's is a name all the same.
            ("cluster.worker_1.upstream_cx_total", "cluster.upstream_cx_total", "envoy_cluster_name=worker_1"),
            ("cluster.a.worker_1.upstream_cx_total", "cluster.upstream_cx_total", "envoy_cluster_name=a.worker_1"),
            ("listener.worker_1.downstream_cx_total", "listener.downstream_cx_total", "envoy_listener_address=worker_1"),
            ("tcp.worker_1.downstream_cx_total", "tcp.downstream_cx_total", "envoy_tcp_prefix=worker_1"),
            ("listener.l.worker_\u{BD}.x", "listener.x", "envoy_listener_address=l.worker_\u{BD}"),
            ("cluster.up.upstream_rq_200", "cluster.upstream_rq", "envoy_response_code=200 envoy_cluster_name=up"),
            ("cluster.up.upstream_rq_5xx", "cluster.upstream_rq_xx", "envoy_response_code_class=5 envoy_cluster_name=up"),
            ("cluster.up.upstream_rq_999", "cluster.upstream_rq_999", "envoy_cluster_name=up"),
            ("cluster..x", "cluster..x", ""), ("cluster.x", "cluster.x", ""), ("", "", ""), (".", ".", ""), ("...", "...", ""),
        ])
    func tags(name: String, family: String, labels: String) {
        let tags = TagExtraction(name)
        #expect(tags.family == family)
        #expect(tags.labels.map { "\($0.name)=\($0.value)" }.joined(separator: " ") == labels)
    }
}

import ProxyModel
import Testing

@testable import ProxyAdmin

/// /stats: text, JSON, and what can be asked of both.
struct StatsTests {
    private func text(_ query: String) -> String { Sample.snapshot().get("/stats?\(query)").text }

    @Test("text: counters and gauges by name, then histograms")
    func text() {
        #expect(
            Sample.snapshot().get("/stats").text == """
                cluster.up.upstream_cx_total: 0
                server.live: 1
                tcp.ingress.downstream_cx_total: 1
                cluster.up.upstream_cx_length_ms: No recorded values
                listener.127.0.0.1_11000.downstream_cx_length_ms: P0(nan,0) P25(nan,0) P50(nan,12) P75(nan,16) P90(nan,25.6) \
                P95(nan,28.8) P99(nan,31.36) P99.5(nan,31.68) P99.9(nan,31.936) P100(nan,32)

                """)
        #expect(text("format=") == text("") && text("format=text") == text(""))
    }

    @Test("JSON: compact, with quantiles for all histograms together")
    func json() {
        let absent = Array(repeating: "{\"cumulative\":null,\"interval\":null}", count: 10).joined(separator: ",")
        let values = ["0", "0", "12", "16", "25.6", "28.8", "31.36", "31.68", "31.936", "32"]
            .map { "{\"cumulative\":\($0),\"interval\":null}" }.joined(separator: ",")
        #expect(
            text("format=json") == """
                {"stats":[{"name":"cluster.up.upstream_cx_total","value":0},{"name":"server.live","value":1},\
                {"name":"tcp.ingress.downstream_cx_total","value":1},\
                {"histograms":{"supported_quantiles":[0,25,50,75,90,95,99,99.5,99.9,100],"computed_quantiles":[\
                {"name":"cluster.up.upstream_cx_length_ms","values":[\(absent)]},\
                {"name":"listener.127.0.0.1_11000.downstream_cx_length_ms","values":[\(values)]}]}}]}
                """)
        #expect(text("format=json&filter=nosuch") == "{\"stats\":[]}")
        #expect(text("format=json&filter=^server.live$") == "{\"stats\":[{\"name\":\"server.live\",\"value\":1}]}")
    }

    @Test("buckets: each alone, or with all below it")
    func buckets() {
        let filter = "filter=11000&histogram_buckets="
        let name = "listener.127.0.0.1_11000.downstream_cx_length_ms"
        #expect(
            text(filter + "cumulative").hasPrefix("\(name): B0.5(nan,1) B1(nan,1) B5(nan,1) B10(nan,2) B25(nan,4) B50(nan,4) B100(nan,4)"))
        #expect(
            text(filter + "disjoint").hasPrefix("\(name): B0.5(nan,1) B1(nan,0) B5(nan,0) B10(nan,1) B25(nan,2) B50(nan,0) B100(nan,0)"))
        #expect(
            text("format=json&" + filter + "disjoint").hasPrefix(
                "{\"stats\":[{\"histograms\":[{\"name\":\"\(name)\",\"buckets\":[{\"upper_bound\":0.5,\"interval\":null,\"cumulative\":1},")
        )
        #expect(text(filter + "summary") == text("filter=11000"))
    }

    @Test(
        "what is selected",
        arguments: [
            ("usedonly", ["listener.127.0.0.1_11000.downstream_cx_length_ms", "server.live", "tcp.ingress.downstream_cx_total"]),
            ("filter=cx_total", ["cluster.up.upstream_cx_total", "tcp.ingress.downstream_cx_total"]),
            ("filter=cx_total&usedonly", ["tcp.ingress.downstream_cx_total"]),
            ("filter=cx_&invert_filter", ["server.live"]), ("filter=CX_TOTAL", []),
            ("filter=(%3Fi)CX_TOTAL%24", ["cluster.up.upstream_cx_total", "tcp.ingress.downstream_cx_total"]),
            ("type=Gauges", ["server.live"]), ("type=TextReadouts", []),
            ("type=Counters", ["cluster.up.upstream_cx_total", "tcp.ingress.downstream_cx_total"]),
            ("type=Histograms&usedonly", ["listener.127.0.0.1_11000.downstream_cx_length_ms"]),
            ("type=All&filter=^s", ["server.live"]), ("hidden=include&filter=^s", ["server.live"]), ("hidden=showonly", []),
            ("hidden=only", []),
        ])
    func selection(query: String, names: [String]) {
        let shown = text(query).split(separator: "\n").map { $0.split(separator: ": ").first.map(String.init) ?? "" }
        #expect(shown.sorted() == names)
    }

    @Test("without a filter there is nothing to invert")
    func emptyFilter() { #expect(text("filter=&invert_filter") == text("")) }

    @Test(
        "bad questions, in Envoy's words",
        arguments: [
            ("format=bogus", "usage: /stats?format=(html|active-html|json|prometheus|text)\n\n"),
            ("type=bogus", "invalid &type= param"), ("type=", "invalid &type= param"),
            ("hidden=bogus", "usage: /stats?hidden=(include|only|exclude)\n\n"),
            ("histogram_buckets=bogus", "usage: /stats?histogram_buckets=(cumulative|disjoint|summary)\n"),
            ("filter=[", "Invalid re2 regex: missing ]: ["), ("format=json&filter=(", "Invalid re2 regex: missing ): ("),
            ("format=prometheus&filter=*", "Invalid re2 regex: no argument for repetition operator: *"),
            ("format=html&filter=a**", "Invalid re2 regex: bad repetition operator: **"),
        ])
    func refused(query: String, text: String) {
        let response = Sample.snapshot().get("/stats?\(query)")
        #expect(response.status == 400 && response.text == text && response.contentType == AdminResponse.plainText)
    }

    @Test("counts from another process make nothing trap: too many, too large, no table")
    func absurdHistograms() {
        let absurd: [[UInt64]] = [[.max, .max], Array(repeating: .max, count: 100), Array(repeating: 1, count: 13), []]
        for lows in [Sample.lows, [], [0], [.max - 1, .max], [5, 3, 1]] as [[UInt64]] {
            var snapshot = Sample.snapshot()
            snapshot.bucketLows = lows
            snapshot.statistics = { absurd.map { StatSample(name: "h", value: .histogram(count: 1, sum: 1, counts: $0), used: true) } }
            for query in ["", "histogram_buckets=disjoint", "histogram_buckets=cumulative", "format=json", "format=prometheus"] {
                #expect(snapshot.get("/stats?\(query)").status == 200)
            }
        }
    }

    @Test("a number has at most three decimals", arguments: [(10, "10"), (10.5, "10.5"), (0.125, "0.125"), (-1.5, "-1.5"), (1e-9, "0")])
    func numbers(value: Double, text: String) { #expect(HistogramSummary.text(value) == text) }
}

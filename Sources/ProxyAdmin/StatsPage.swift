import ProxyModel

/// `/stats` and `/stats/prometheus`: what is asked for, and by which page it is answered.
enum StatsPage {
    static let parameters: [AdminRouter.Route.Parameter] = [
        .init(name: "usedonly", help: "only statistics that were ever written"),
        .init(name: "filter", help: "regular expression (RE2 syntax) that names are to match, in part"),
        .init(name: "invert_filter", help: "only names that do not match"),
        .init(name: "format", help: "text (default), json, html or prometheus"),
        .init(name: "type", help: "All (default), Counters, Gauges, Histograms or TextReadouts"),
        .init(name: "histogram_buckets", help: "cumulative, disjoint or summary (default)"),
        .init(name: "hidden", help: "include, exclude (default) or showonly; nothing is hidden here"),
    ]
    static let prometheusParameters = parameters.filter { ["usedonly", "filter", "invert_filter", "type"].contains($0.name) }

    enum Buckets: String { case cumulative, disjoint, summary }
    private static let types = ["All", "Counters", "Gauges", "Histograms", "TextReadouts"]
    private static let usage = "usage: /stats?format=(html|active-html|json|prometheus|text)\n\n"
    private static let hiddenUsage = "usage: /stats?hidden=(include|only|exclude)\n\n"

    static func response(_ query: AdminQuery, _ snapshot: AdminSnapshot) -> AdminResponse {
        guard let buckets = Buckets(rawValue: query["histogram_buckets"] ?? "summary") else {
            return .badRequest("usage: /stats?histogram_buckets=(cumulative|disjoint|summary)\n")
        }
        switch query["format"] ?? "text" {
        case "text", "": return render(query, snapshot) { AdminResponse(StatsText.text($0, lows: snapshot.bucketLows, buckets: buckets)) }
        case "json":
            return render(query, snapshot) {
                AdminResponse(contentType: AdminResponse.json, StatsJSON.value($0, lows: snapshot.bucketLows, buckets: buckets).compact)
            }
        case "html", "active-html":
            return render(query, snapshot) {
                let text = HomePage.escaped(StatsText.text($0, lows: snapshot.bucketLows, buckets: buckets))
                return AdminResponse(
                    contentType: AdminResponse.html, HomePage.page(title: "proxy: statistics", body: "<pre>\n\(text)</pre>"))
            }
        case "prometheus": return prometheus(query, snapshot)
        default: return .badRequest(usage)
        }
    }

    static func prometheus(_ query: AdminQuery, _ snapshot: AdminSnapshot) -> AdminResponse {
        render(query, snapshot) { samples in
            var page = PrometheusText(lows: snapshot.bucketLows, tags: snapshot.statsTags)
            page.add(samples)
            if !query.has("filter"), query["type"] == nil { page.add(snapshot.generations()) }
            return AdminResponse(contentType: AdminResponse.plainText, page.text)
        }
    }

    private static func render(_ query: AdminQuery, _ snapshot: AdminSnapshot, _ page: ([StatSample]) -> AdminResponse) -> AdminResponse {
        let type = query["type"] ?? "All"
        guard types.contains(type) else { return .badRequest("invalid &type= param") }
        let hidden = query["hidden"] ?? ""
        guard ["", "include", "exclude", "only", "showonly"].contains(hidden) else { return .badRequest(hiddenUsage) }
        if hidden == "only" || hidden == "showonly" { return page([]) }
        do {
            return page(try selected(type, query, snapshot))
        } catch {
            return .badRequest(error.text)
        }
    }

    /// Sorted by name.
    private static func selected(
        _ type: String, _ query: AdminQuery, _ snapshot: AdminSnapshot
    ) throws(LinearPattern.Failure) -> [StatSample] {
        let usedOnly = query.has("usedonly")
        var samples = snapshot.statistics().filter { $0.isOf(type) && ($0.used || !usedOnly) }
        if let filter = query["filter"], !filter.isEmpty {
            samples = try LinearPattern(filter).select(samples, inverted: query.has("invert_filter")) { $0.name }
        }
        return samples.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }
}

extension StatSample {
    fileprivate func isOf(_ type: String) -> Bool {
        switch (type, value) {
        case ("All", _), ("Counters", .counter), ("Gauges", .gauge), ("Histograms", .histogram): true
        default: false
        }
    }
}

/// Splits a statistic's name into a family and labels, as Envoy does for Prometheus. Works from the end of the name: our leaf names
/// have no dots, while the names of listeners, clusters and prefixes may.
struct TagExtraction: Equatable {
    struct Label: Equatable {
        var name: String
        var value: String
    }
    /// The name without what became labels, dots and all.
    var family: String
    var labels: [Label] = []

    /// Groups within a cluster that stand between its name and the leaf, each written with its dots.
    private static let clusterGroups = [
        ".circuit_breakers.default", ".circuit_breakers.high", ".health_check", ".outlier_detection", ".default", ".external", ".internal",
    ]

    init(_ name: String) {
        family = name
        takeWorker()
        takeOwner()
        takeResponseCode()
    }

    /// `.worker_3.` gives `envoy_worker_id="3"`, but not where it is the name of a cluster, listener or prefix.
    private mutating func takeWorker() {
        guard let leaf = family.lastIndex(of: "."), let before = family[..<leaf].lastIndex(of: ".") else { return }
        let word = family[family.index(after: before)..<leaf]
        let number = word.dropFirst("worker_".count)
        guard word.hasPrefix("worker_"), !number.isEmpty, number.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return }
        let owner = family[..<before]
        guard !["listener", "cluster", "tcp", "udp"].contains(owner), !["cluster.", "tcp.", "udp."].contains(where: owner.hasPrefix) else {
            return
        }
        labels.append(Label(name: "envoy_worker_id", value: String(number)))
        family.replaceSubrange(word.startIndex..<word.endIndex, with: "worker")
    }

    private mutating func takeOwner() {
        if family.hasPrefix("listener.admin.") { return }
        let owners = [
            ("listener.", "envoy_listener_address"), ("cluster.", "envoy_cluster_name"), ("tcp.", "envoy_tcp_prefix"),
            ("udp.", "envoy_udp_prefix"),
        ]
        guard let (prefix, label) = owners.first(where: { family.hasPrefix($0.0) }), let leaf = family.lastIndex(of: ".") else { return }
        let start = family.index(family.startIndex, offsetBy: prefix.utf8.count)
        guard start < leaf else { return }
        let end = family.index(start, offsetBy: Self.ownerLength(family[start..<leaf], isCluster: prefix == "cluster."))
        let value = String(family[start..<end])
        guard !value.isEmpty, value != "worker" else { return }
        labels.append(Label(name: label, value: value))
        family.removeSubrange(start...end)
    }

    /// How much of `middle`, all between prefix and leaf, is the owner's name.
    private static func ownerLength(_ middle: Substring, isCluster: Bool) -> Int {
        let groups = isCluster ? clusterGroups : [".worker", ".udp"]
        let group = groups.first { middle.hasSuffix($0) && middle.count > $0.count }
        return middle.count - (group?.count ?? 0)
    }

    /// `upstream_rq_200` and `upstream_rq_2xx`.
    private mutating func takeResponseCode() {
        guard let mark = family.lastIndex(of: "_") else { return }
        let code = family[family.index(after: mark)...]
        guard family[..<mark].hasSuffix("_rq"), code.utf8.count == 3, let first = code.utf8.first, (0x31...0x35).contains(first) else {
            return
        }
        if code.hasSuffix("xx") {
            labels.insert(Label(name: "envoy_response_code_class", value: String(code.prefix(1))), at: 0)
            family.replaceSubrange(code.startIndex..., with: "xx")
        } else if code.allSatisfy(\.isNumber) {
            labels.insert(Label(name: "envoy_response_code", value: String(code)), at: 0)
            family = String(family[..<mark])
        }
    }
}

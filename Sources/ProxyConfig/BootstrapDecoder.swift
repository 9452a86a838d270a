internal import ProxyModel

/// The whole configuration: decodes its parts, then checks what one part says about another.
struct BootstrapDecoder {
    let context: DecodeContext

    func decode(_ bootstrap: Message) -> Configuration {
        var configuration = Configuration()
        let resources = bootstrap.message("static_resources")
        let clusterMessages = resources?.messages("clusters") ?? []
        let listenerMessages = resources?.messages("listeners") ?? []
        if let node = bootstrap.message("node") { configuration.node = self.node(node) }
        configuration.admin = bootstrap.message("admin")?.message("address").flatMap { context.address($0, .listening) }.map {
            Admin(address: $0)
        }
        configuration.statsFlushIntervalMs = bootstrap.milliseconds("stats_flush_interval") ?? configuration.statsFlushIntervalMs
        configuration.clusters = clusterMessages.compactMap { ClusterDecoder(context: context).decode($0) }
        configuration.listeners = listenerMessages.compactMap { ListenerDecoder(context: context).decode($0) }
        reportDuplicates(clusterMessages, .duplicateClusterName, "cluster")
        reportDuplicates(listenerMessages, .duplicateListenerName, "listener")
        reportDuplicateAddresses(listenerMessages, admin: bootstrap.message("admin"))
        checkReferences(listenerMessages, clusterMessages)
        LimitsDecoder(context: context).decode(bootstrap, into: &configuration)
        return configuration
    }

    private func node(_ message: Message) -> Node {
        var node = Node()
        node.id = message.string("id") ?? ""
        node.cluster = message.string("cluster") ?? ""
        let locality = message.message("locality")
        node.region = locality?.string("region") ?? ""
        node.zone = locality?.string("zone") ?? ""
        node.subZone = locality?.string("sub_zone") ?? ""
        return node
    }

    // MARK: duplicates

    private func reportDuplicates(_ messages: [Message], _ id: DiagnosticID, _ what: String) {
        var seen: [String: Place] = [:]
        for message in messages {
            guard let name = message.string("name"), !name.isEmpty else { continue }
            let place = message.valuePlace("name")
            if let first = seen[name] {
                context.error(
                    id, message, "name", "duplicate \(what) name '\(name)'; \(context.first(first, seenFrom: place))",
                    hint: "rename one of the two")
            } else {
                seen[name] = place
            }
        }
    }

    private struct BoundAddress {
        let address: Address
        let place: Place
        let path: String
    }

    private func reportDuplicateAddresses(_ listeners: [Message], admin: Message?) {
        let holders = (admin.map { [$0] } ?? []) + listeners.flatMap { [$0] + $0.messages("additional_addresses") }
        var seen: [String: BoundAddress] = [:]
        let addresses = holders.compactMap { $0.message("address").flatMap(boundAddress) }
        for entry in addresses.sorted(by: {
            ($0.place.source, $0.place.line, $0.place.column) < ($1.place.source, $1.place.line, $1.place.column)
        }) {
            guard let identity = DecodeContext.identity(entry.address) else { continue }
            guard let first = seen[identity] else {
                seen[identity] = entry
                continue
            }
            context.findings.error(
                .duplicateAddress, entry.place,
                "duplicate address \(entry.address.text); \(context.first(first.place, seenFrom: entry.place))",
                path: entry.path, hint: "give one of the two another port")
        }
    }

    /// Without the findings of `DecodeContext.address`, which has seen this address already.
    private func boundAddress(_ message: Message) -> BoundAddress? {
        if let pipe = message.message("pipe"), let path = pipe.string("path") {
            return BoundAddress(address: .pipe(path: path, mode: 0), place: pipe.valuePlace("path"), path: pipe.path)
        }
        guard let socket = message.message("socket_address"), let host = socket.string("address"), let port = socket.integer("port_value")
        else {
            return nil
        }
        return BoundAddress(
            address: .socket(host: host, port: UInt16(clamping: port)), place: socket.valuePlace("address"), path: socket.path)
    }

    // MARK: references

    private func checkReferences(_ listeners: [Message], _ clusters: [Message]) {
        let names = Set(clusters.compactMap { $0.string("name") })
        for listener in listeners {
            let chains = listener.messages("filter_chains") + (listener.message("default_filter_chain").map { [$0] } ?? [])
            for config in chains.flatMap({ $0.messages("filters") }).compactMap({ $0.any("typed_config") }) {
                checkReference(config, "cluster", names, clusters)
                for entry in config.message("weighted_clusters")?.messages("clusters") ?? [] {
                    checkReference(entry, "name", names, clusters)
                }
            }
        }
    }

    private func checkReference(_ message: Message, _ field: String, _ names: Set<String>, _ clusters: [Message]) {
        guard let name = message.string(field), !name.isEmpty, !names.contains(name) else { return }
        context.error(
            .unknownCluster, message, field, "no cluster is named '\(name)'",
            hint: clusterHint(name, clusters, from: message.valuePlace(field)))
    }

    /// Points at the cluster that was meant, or says which there are.
    private func clusterHint(_ name: String, _ clusters: [Message], from place: Place) -> String {
        if context.findings.isLong { return "" }
        let names = clusters.compactMap { $0.string("name") }
        if names.isEmpty { return "there are no clusters: add one to static_resources.clusters" }
        if let near = Suggestion.nearest(to: name, among: names), let cluster = clusters.first(where: { $0.string("name") == near }) {
            return "did you mean '\(near)' (\(context.findings.describe(cluster.valuePlace("name"), from: place)))?"
        }
        let shown = names.prefix(5).map { "'\($0)'" }.joined(separator: ", ")
        return "there \(names.count == 1 ? "is" : "are") \(shown)\(names.count > 5 ? " and \(names.count - 5) more" : "")"
    }
}

import ProxyModel

/// `/config_dump`
enum ConfigDumpPage {
    static let parameters: [AdminRouter.Route.Parameter] = [
        .init(name: "resource", help: "only one list: static_clusters or static_listeners"),
        .init(
            name: "name_regex", help: "regular expression (RE2 syntax) that the names of clusters and listeners are to match, as a whole"),
        .init(name: "mask", help: "not supported here; use resource, or a JSON tool on the result"),
        .init(name: "include_eds", help: "accepted; endpoints are part of their clusters here"),
    ]
    private static let typePrefix = "type.googleapis.com/envoy."
    /// Lists that Envoy has and that are always empty here.
    private static let emptyLists = [
        "dynamic_listeners", "dynamic_active_clusters", "dynamic_warming_clusters", "static_route_configs", "dynamic_route_configs",
        "inline_scoped_route_configs", "dynamic_scoped_route_configs", "static_secrets", "dynamic_active_secrets",
        "dynamic_warming_secrets", "static_endpoint_configs", "dynamic_endpoint_configs",
    ]

    static func response(_ query: AdminQuery, _ snapshot: AdminSnapshot) -> AdminResponse {
        guard !query.has("mask") else {
            return .badRequest("mask is not supported here; use ?resource=static_listeners or ?resource=static_clusters")
        }
        var dump = snapshot.configuration()
        if let text = query["name_regex"] {
            do {
                let pattern = try LinearPattern(text)
                dump.clusters = try pattern.select(dump.clusters, whole: true) { $0.name }
                dump.listeners = try pattern.select(dump.listeners, whole: true) { $0.name }
            } catch { return .badRequest("Error while parsing name_regex from \(text): \(error.problem)") }
        }
        dump.clusters.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        guard let resource = query["resource"] else { return .json(.object([.init("configs", .array(all(dump)))])) }
        return one(resource, dump)
    }

    private static func one(_ resource: String, _ dump: ConfigurationDump) -> AdminResponse {
        switch resource {
        case "static_clusters": return list(clusters(dump).map { typed("admin.v3.ClustersConfigDump.StaticCluster", $0) })
        case "static_listeners": return list(listeners(dump).map { typed("admin.v3.ListenersConfigDump.StaticListener", $0) })
        case _ where emptyLists.contains(resource): return list([])
        case "bootstrap":
            return .badRequest(
                "bootstrap is not a repeated field. Use ?mask to get only this field; mask is not supported here: take it from the whole dump"
            )
        default: return AdminResponse(status: 404, "\(resource) not found in config dump")
        }
    }

    private static func list(_ configs: [JSONValue]) -> AdminResponse {
        .json(.object(JSONValue.list("configs", configs)))
    }

    private static func all(_ dump: ConfigurationDump) -> [JSONValue] {
        let updated = JSONValue.Member("last_updated", .string(UTCTime(unixMilliseconds: dump.loadedUnixMs).rfc3339))
        func members(_ name: String, _ items: [[JSONValue.Member]]) -> [JSONValue.Member] {
            JSONValue.list(name, items.map { .object($0) })
        }
        return [
            typed("admin.v3.BootstrapConfigDump", [.init("bootstrap", .raw(dump.bootstrap)), updated]),
            typed("admin.v3.ClustersConfigDump", members("static_clusters", clusters(dump))),
            typed("admin.v3.ListenersConfigDump", members("static_listeners", listeners(dump))),
            typed("admin.v3.ScopedRoutesConfigDump", []),
            typed("admin.v3.RoutesConfigDump", []),
            typed("admin.v3.SecretsConfigDump", []),
        ]
    }

    private static func clusters(_ dump: ConfigurationDump) -> [[JSONValue.Member]] {
        dump.clusters.map { resource("cluster", "config.cluster.v3.Cluster", $0, dump.loadedUnixMs) }
    }

    private static func listeners(_ dump: ConfigurationDump) -> [[JSONValue.Member]] {
        dump.listeners.map { resource("listener", "config.listener.v3.Listener", $0, dump.loadedUnixMs) }
    }

    private static func resource(_ key: String, _ type: String, _ item: ConfigurationDump.Resource, _ loaded: UInt64) -> [JSONValue.Member]
    {
        [.init(key, .raw(withType(type, item.json))), .init("last_updated", .string(UTCTime(unixMilliseconds: loaded).rfc3339))]
    }

    private static func typed(_ type: String, _ members: [JSONValue.Member]) -> JSONValue {
        .object([.init("@type", .string(typePrefix + type))] + members)
    }

    /// `json`, an object, with its type as the first member.
    private static func withType(_ type: String, _ json: String) -> String {
        guard let brace = json.firstIndex(of: "{") else { return json }
        let rest = json[json.index(after: brace)...].drop { $0.isWhitespace }
        return "{\"@type\":\"\(typePrefix)\(type)\"" + (rest.first == "}" ? "" : ",") + rest
    }
}

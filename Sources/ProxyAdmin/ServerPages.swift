import ProxyModel

/// `/ready` and `/server_info`.
enum ServerPages {
    static func ready(_ snapshot: AdminSnapshot) -> AdminResponse {
        AdminResponse(status: snapshot.server.state == .live ? 200 : 503, snapshot.server.state.text + "\n")
    }

    static func info(_ snapshot: AdminSnapshot) -> AdminResponse {
        let server = snapshot.server
        return .json(
            .object([
                .init("version", .string(ProductVersion.full)),
                .init("state", .string(server.state.text)),
                .init("uptime_current_epoch", .string("\(server.uptimeS)s")),
                .init("uptime_all_epochs", .string("\(server.uptimeAllEpochsS)s")),
                .init("hot_restart_version", .string(server.hotRestartVersion)),
                .init("command_line_options", snapshot.options),
                .init("node", node(snapshot.node)),
                .init("hot_restart_initializing", .bool(server.restartInProgress)),
            ]))
    }

    private static func node(_ node: Node) -> JSONValue {
        let numbers = ProductVersion.number.split(separator: ".").compactMap { Int($0) }
        let keys = ["major_number", "minor_number", "patch"]
        let version = zip(keys, numbers).map { JSONValue.Member($0, .number($1)) }
        var members: [JSONValue.Member] = [.init("id", .string(node.id)), .init("cluster", .string(node.cluster))]
        let locality = [("region", node.region), ("zone", node.zone), ("sub_zone", node.subZone)].filter { !$0.1.isEmpty }
        if !locality.isEmpty { members.append(.init("locality", .object(locality.map { .init($0, .string($1)) }))) }
        return .object(
            members + [
                .init("user_agent_name", .string("proxy")),
                .init("user_agent_build_version", .object([.init("version", .object(version)), .init("metadata", .object([]))])),
                .init("extensions", .array([])), .init("client_features", .array([])), .init("listening_addresses", .array([])),
                .init("dynamic_parameters", .object([])),
            ])
    }
}

enum MemoryPage {
    static func response(_ snapshot: AdminSnapshot) -> AdminResponse {
        let memory = snapshot.memory()
        return .json(
            .object([
                .init("allocated", .string(memory.allocated)), .init("heap_size", .string(memory.heapSize)),
                .init("pageheap_unmapped", .string("0")), .init("pageheap_free", .string("0")), .init("total_thread_cache", .string("0")),
                .init("total_physical_bytes", .string(memory.physical)),
            ]))
    }
}

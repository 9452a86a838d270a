import ProxyModel

/// `/listeners`
enum ListenersPage {
    static let parameters = [AdminRouter.Route.Parameter(name: "format", help: "text (default) or json")]

    static func response(_ query: AdminQuery, _ snapshot: AdminSnapshot) -> AdminResponse {
        let listeners = snapshot.listeners()
        if query["format"] == "json" { return .json(.object(JSONValue.list("listener_statuses", listeners.map(status)))) }
        return AdminResponse(listeners.flatMap { listener in listener.addresses.map { "\(listener.name)::\($0.text)\n" } }.joined())
    }

    private static func status(_ listener: ListenerStatus) -> JSONValue {
        var members: [JSONValue.Member] = [.init("name", .string(listener.name))]
        if let first = listener.addresses.first { members.append(.init("local_address", first.json)) }
        return .object(members + JSONValue.list("additional_local_addresses", listener.addresses.dropFirst().map(\.json)))
    }
}

extension Address {
    /// `127.0.0.1:80`, `[::1]:80`, `/path` or `@name`.
    var text: String {
        switch self {
        case .socket(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .pipe(let path, _): path
        }
    }

    /// As Envoy's core.v3.Address; values at their default are left out, as protobuf does.
    var json: JSONValue {
        switch self {
        case .socket(let host, let port):
            var members: [JSONValue.Member] = [.init("address", .string(host))]
            if port != 0 { members.append(.init("port_value", .number(port))) }
            return .object([.init("socket_address", .object(members))])
        case .pipe(let path, let mode):
            var members: [JSONValue.Member] = [.init("path", .string(path))]
            if mode != 0 { members.append(.init("mode", .number(mode))) }
            return .object([.init("pipe", .object(members))])
        }
    }
}

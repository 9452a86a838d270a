internal import ProxyModel

/// Addresses of listeners, the admin page and endpoints.
extension DecodeContext {
    /// What an address is for decides what may stand in it.
    enum AddressUse {
        /// Bound here: IP literals and pipes.
        case listening
        /// Connected to, as it stands.
        case literalEndpoint
        /// Connected to, after resolving the name.
        case resolvedEndpoint
    }

    /// nil: missing or unusable, which has been reported.
    func address(_ message: Message, _ use: AddressUse) -> Address? {
        if let pipe = message.message("pipe") { return self.pipe(pipe, use) }
        guard let socket = message.message("socket_address") else { return nil }
        guard let host = socket.string("address"), !host.isEmpty else { return nil }
        let isLiteral = Platform.ipBytes(host) != nil
        if !isLiteral, use != .resolvedEndpoint {
            reportHostname(host, socket, use)
            return nil
        }
        guard let port = socket.integer("port_value") else { return nil }
        if port == 0, use != .listening {
            error(.endpointPort, socket, "port_value", "an endpoint's port must be from 1 to 65535")
            return nil
        }
        return .socket(host: host, port: UInt16(clamping: port))
    }

    private func reportHostname(_ host: String, _ socket: Message, _ use: AddressUse) {
        if use == .listening {
            error(
                .notAnIPAddress, socket, "address", "'\(host)' is not an IP address",
                hint: host == "localhost" ? "write 127.0.0.1 or ::1" : "write the address itself, for example 0.0.0.0 or ::")
        } else {
            error(
                .staticHostname, socket, "address", "'\(host)' is not an IP address, and the cluster's type is STATIC",
                hint: "set 'type: STRICT_DNS' or 'type: LOGICAL_DNS' on the cluster")
        }
    }

    private func pipe(_ pipe: Message, _ use: AddressUse) -> Address? {
        guard let path = pipe.string("path"), !path.isEmpty else { return nil }
        if use == .resolvedEndpoint {
            error(.dnsPipe, pipe, "path", "a pipe has no name to resolve", hint: "set 'type: STATIC' on the cluster")
            return nil
        }
        // sun_path holds 108 bytes with the final NUL (unix(7)).
        if path.utf8.count > 107 {
            error(
                .badPipe, pipe, "path", "the path is \(path.utf8.count) bytes long; a socket's path has at most 107",
                hint: "use a shorter directory")
            return nil
        }
        let mode = pipe.uint32("mode") ?? 0
        if path.hasPrefix("@"), mode != 0 {
            error(.badPipe, pipe, "mode", "an abstract socket has no permission bits", hint: "remove 'mode'")
            return nil
        }
        if use == .listening, options.checkFiles, !path.hasPrefix("@"), let problem = Platform.problemInDirectory(of: path) {
            error(.fileNotCreatable, pipe, "path", "cannot create '\(path)': \(problem)")
        }
        return .pipe(path: path, mode: mode)
    }

    /// Equal for addresses that the kernel would treat as the same one. nil: port 0, which is never the same.
    static func identity(_ address: Address) -> String? {
        switch address {
        case .pipe(let path, _): return "pipe " + path
        case .socket(let host, let port):
            guard port != 0, let bytes = Platform.ipBytes(host) else { return nil }
            return bytes.map { String($0) }.joined(separator: ".") + " " + String(port)
        }
    }
}

extension Address {
    var text: String {
        switch self {
        case .socket(let host, let port): return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .pipe(let path, _): return path
        }
    }

    var isPipe: Bool {
        if case .pipe = self { return true }
        return false
    }

    var isIPv6: Bool {
        if case .socket(let host, _) = self { return host.contains(":") }
        return false
    }
}

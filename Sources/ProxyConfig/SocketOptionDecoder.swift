internal import ProxyModel

/// Socket options of listeners, with the fields that are shorthands for one written out. The numbers are Linux's
/// (asm-generic/socket.h, linux/in.h, linux/in6.h, linux/tcp.h): this module knows no C.
struct SocketOptionDecoder {
    private enum Level { static let socket: Int32 = 1, ip: Int32 = 0, ipv6: Int32 = 41, tcp: Int32 = 6 }
    private enum Name {
        static let keepalive: Int32 = 9
        static let freebind: Int32 = 15, transparent: Int32 = 19
        static let v6Only: Int32 = 26, v6Transparent: Int32 = 75, v6Freebind: Int32 = 78
        static let keepIdle: Int32 = 4, keepInterval: Int32 = 5, keepCount: Int32 = 6, fastOpen: Int32 = 23
    }

    /// An option with the address family it is for; nil: every family.
    private struct Scoped {
        let option: SocketOption
        let family: Family?
    }
    private enum Family { case ipv4, ipv6 }

    let context: DecodeContext

    /// Options for each address of `listener`: the first is its `address`, then `additional` in order. An additional address
    /// with options of its own has those instead of the listener's.
    func options(_ listener: Message, _ addresses: [(address: Address, socket: Message?, additional: Message?)]) -> [[SocketOption]] {
        let own = scoped(listener.messages("socket_options")) + keepalive(listener.message("tcp_keepalive"))
        let common = fastOpen(listener)
        return addresses.map { entry in
            let override = entry.additional?.message("socket_options").map { scoped($0.messages("socket_options")) }
            let ownKeepalive = entry.additional?.message("tcp_keepalive").map { keepalive($0) }
            let chosen = (override ?? own) + (ownKeepalive ?? [])
            return filter(chosen + common + boundOptions(listener, entry.address, entry.socket), for: entry.address)
        }
    }

    private func filter(_ options: [Scoped], for address: Address) -> [SocketOption] {
        // A pipe has no IP or TCP level; SOL_SOCKET it shares.
        if address.isPipe { return options.map(\.option).filter { $0.level == Level.socket } }
        let family: Family = address.isIPv6 ? .ipv6 : .ipv4
        return options.filter { $0.family == nil || $0.family == family }.map(\.option)
    }

    private func integer(_ level: Int32, _ name: Int32, _ value: Int32, _ state: SocketOption.State, _ family: Family? = nil) -> Scoped {
        Scoped(option: SocketOption(level: level, name: name, value: .int(value), state: state), family: family)
    }

    private func keepalive(_ message: Message?) -> [Scoped] {
        guard let message else { return [] }
        let fields = [("keepalive_probes", Name.keepCount), ("keepalive_time", Name.keepIdle), ("keepalive_interval", Name.keepInterval)]
        let set = fields.compactMap { field, name in
            message.integer(field).map { integer(Level.tcp, name, Int32(clamping: $0), .prebind) }
        }
        return [integer(Level.socket, Name.keepalive, 1, .prebind)] + set
    }

    private func fastOpen(_ listener: Message) -> [Scoped] {
        listener.integer("tcp_fast_open_queue_length").map { [integer(Level.tcp, Name.fastOpen, Int32(clamping: $0), .listening)] } ?? []
    }

    /// `freebind`, `transparent` and `ipv4_compat`, which have another option for each family.
    private func boundOptions(_ listener: Message, _ address: Address, _ socket: Message?) -> [Scoped] {
        var result: [Scoped] = []
        if let value = listener.bool("freebind") {
            result.append(integer(Level.ip, Name.freebind, value ? 1 : 0, .prebind, .ipv4))
            result.append(integer(Level.ipv6, Name.v6Freebind, value ? 1 : 0, .prebind, .ipv6))
        }
        if let value = listener.bool("transparent") {
            result.append(integer(Level.ip, Name.transparent, value ? 1 : 0, .prebind, .ipv4))
            result.append(integer(Level.ipv6, Name.v6Transparent, value ? 1 : 0, .prebind, .ipv6))
        }
        if socket?.bool("ipv4_compat") ?? false { result.append(integer(Level.ipv6, Name.v6Only, 0, .prebind, .ipv6)) }
        return result
    }

    private func scoped(_ messages: [Message]) -> [Scoped] { messages.compactMap(scoped) }

    private func scoped(_ message: Message) -> Scoped? {
        guard let level = number(message, "level"), let name = number(message, "name"), let value = value(message) else { return nil }
        let option = SocketOption(level: level, name: name, value: value, state: state(message))
        switch message.enumeration("ip_version") {
        case "SOCKET_IP_VERSION_IPV4": return Scoped(option: option, family: .ipv4)
        case "SOCKET_IP_VERSION_IPV6": return Scoped(option: option, family: .ipv6)
        default: return Scoped(option: option, family: nil)
        }
    }

    private func state(_ message: Message) -> SocketOption.State {
        switch message.enumeration("state") {
        case "STATE_BOUND": return .bound
        case "STATE_LISTENING": return .listening
        default: return .prebind
        }
    }

    private func value(_ message: Message) -> SocketOption.Value? {
        if case .bytes(let bytes)? = message.entry("buf_value")?.value { return .bytes(bytes) }
        guard message.has("int_value") else { return nil }
        return number(message, "int_value").map { .int($0) }
    }

    /// setsockopt(2) takes int for level, name and integer values.
    private func number(_ message: Message, _ field: String) -> Int32? {
        guard let value = message.integer(field) else { return message.has(field) ? nil : 0 }
        if let result = Int32(exactly: value) { return result }
        context.error(.badSocketOption, message, field, "\(field) must fit in 32 bits")
        return nil
    }
}

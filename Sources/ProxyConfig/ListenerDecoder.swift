internal import ProxyModel

/// A listener and its filter chain.
struct ListenerDecoder {
    let context: DecodeContext

    /// nil where an address or the filter is unusable, which has been reported. Everything else has been checked even so.
    func decode(_ message: Message) -> Listener? {
        let addresses = self.addresses(message)
        let options = SocketOptionDecoder(context: context).options(message, addresses)
        checkListenerFilters(message)
        let chain = filterChain(message)
        let filter = chain.flatMap { self.filter($0) }
        guard let first = addresses.first, let filter else { return nil }
        let name = message.string("name") ?? ""
        // Envoy makes up a UUID; a name that is the same in the next generation lets its sockets be found again.
        var listener = Listener(name: name.isEmpty ? first.address.text : name, addresses: [], filter: filter)
        place(options, addresses.map(\.address), in: &listener)
        listener.filterChainName = chain?.string("name").flatMap { $0.isEmpty ? nil : $0 }
        decodeTuning(message, into: &listener)
        return listener
    }

    private func decodeTuning(_ message: Message, into listener: inout Listener) {
        listener.statPrefix = message.string("stat_prefix").flatMap { $0.isEmpty ? nil : $0 }
        listener.reusePort = message.bool("enable_reuse_port") ?? true
        listener.bindToPort = message.bool("bind_to_port") ?? message.message("deprecated_v1")?.bool("bind_to_port") ?? true
        listener.inbound = message.enumeration("traffic_direction") == "INBOUND"
        listener.backlog = message.integer("tcp_backlog_size").map { Int32(clamping: $0) }
        listener.acceptBatch = message.uint32("max_connections_to_accept_per_socket_event")
        listener.bufferLimitBytes = message.uint32("per_connection_buffer_limit_bytes") ?? listener.bufferLimitBytes
    }

    /// Options that all addresses share go to the listener, the rest to each address.
    private func place(_ options: [[SocketOption]], _ addresses: [Address], in listener: inout Listener) {
        let shared = options.first ?? []
        if options.allSatisfy({ $0 == shared }) {
            listener.socketOptions = shared
            listener.addresses = addresses.map { ListenerAddress(address: $0) }
        } else {
            listener.addresses = zip(addresses, options).map { ListenerAddress(address: $0, socketOptions: $1) }
        }
    }

    // MARK: addresses

    private func addresses(_ message: Message) -> [(address: Address, socket: Message?, additional: Message?)] {
        guard message.has("address") else {
            context.findings.error(
                .listenerWithoutAddress, message.place, "\(lastName(message.path)) has no 'address'", path: message.path,
                hint: "add address: { socket_address: { address: 0.0.0.0, port_value: … } }")
            return []
        }
        let holders = [(message, nil as Message?)] + message.messages("additional_addresses").map { ($0, $0) }
        return holders.compactMap { holder, additional in
            guard let address = holder.message("address") else {
                if !holder.has("address") { missingAddress(holder) }
                return nil
            }
            return context.address(address, .listening).map { ($0, address.message("socket_address"), additional) }
        }
    }

    private func missingAddress(_ additional: Message) {
        context.findings.error(.missingField, additional.place, "\(lastName(additional.path)) has no 'address'", path: additional.path)
    }

    // MARK: filter chain

    private func checkListenerFilters(_ message: Message) {
        for filter in message.messages("listener_filters") where !filter.has("typed_config") {
            let what = filter.string("name") ?? "?"
            context.error(
                .unsupportedType, filter, "name", "listener filter '\(what)' is not supported here yet: there are no listener filters")
        }
    }

    private func filterChain(_ message: Message) -> Message? {
        let chains = message.messages("filter_chains") + (message.message("default_filter_chain").map { [$0] } ?? [])
        if chains.isEmpty {
            if message.entry("filter_chains")?.value.isInvalid ?? false { return nil }
            context.findings.error(
                .noFilterChain, message.entry("filter_chains")?.place ?? message.place, "\(lastName(message.path)) has no filter chain",
                path: message.path(of: "filter_chains"), hint: "add filter_chains with one chain")
            return nil
        }
        if chains.count > 1 {
            context.findings.error(
                .severalFilterChains, chains[1].place,
                "several filter chains in one listener are valid in Envoy but not supported here yet", path: chains[1].path,
                hint: "give each chain a listener of its own")
        }
        chains.dropFirst().forEach { _ = filter($0) }
        return chains[0]
    }

    private func filter(_ chain: Message) -> Filter? {
        let filters = chain.messages("filters")
        if filters.isEmpty {
            if !(chain.entry("filters")?.value.isInvalid ?? false) { reportNoFilters(chain) }
            return nil
        }
        for filter in filters.dropLast() { reportOrder(filter) }
        let decoded = filters.map { decodeFilter($0) }
        return decoded.last ?? nil
    }

    private func reportNoFilters(_ chain: Message) {
        context.findings.error(
            .noFilters, chain.entry("filters")?.place ?? chain.place, "the filter chain has no filters: it would close every connection",
            path: chain.path(of: "filters"), hint: "add envoy.filters.network.tcp_proxy, echo or direct_response")
    }

    /// All filters there are end the chain; so every one but the last is out of place.
    private func reportOrder(_ filter: Message) {
        guard filter.any("typed_config") != nil else { return }
        let name = filter.string("name") ?? "this filter"
        context.error(
            .filterOrder, filter, "name", "terminal filter '\(name)' must be the last in its chain", hint: "remove it, or what follows it")
    }

    private func decodeFilter(_ filter: Message) -> Filter? {
        guard let config = filter.any("typed_config") else {
            if !filter.has("typed_config") { reportNoConfig(filter) }
            return nil
        }
        switch config.schema.name {
        case "envoy.extensions.filters.network.echo.v3.Echo": return .echo
        case "envoy.extensions.filters.network.direct_response.v3.Config":
            return .directResponse(config.message("response").flatMap { context.data($0) } ?? [])
        default: return TcpProxyDecoder(context: context).decode(config).map { .tcpProxy($0) }
        }
    }

    private func reportNoConfig(_ filter: Message) {
        let name = filter.string("name") ?? ""
        let types = Schemas.supportedTypes(.networkFilter)
        let short = name.split(separator: ".").last.map { ".\($0)." } ?? "?"
        let type = types.first { $0.contains(short) } ?? types[0]
        context.findings.error(
            .missingType, filter.place, "filter '\(name)' has no 'typed_config'", path: filter.path(of: "typed_config"),
            hint: "add typed_config with \"@type\": type.googleapis.com/\(type)")
    }
}

internal import ProxyModel

/// Connection limits: the overload manager's for all listeners, the runtime's for each.
struct LimitsDecoder {
    let context: DecodeContext

    private static let listenerPrefix = "envoy.resource_limits.listener."
    private static let listenerSuffix = ".connection_limit"
    /// What limited connections before the overload manager did; Envoy still reads it.
    private static let globalKey = "overload.global_downstream_max_connections"

    func decode(_ bootstrap: Message, into configuration: inout Configuration) {
        let runtime = self.runtime(bootstrap)
        for entry in runtime { apply(entry, to: &configuration) }
        if let limit = overloadLimit(bootstrap) { configuration.globalConnectionLimit = limit }
    }

    private func overloadLimit(_ bootstrap: Message) -> UInt64? {
        let monitors = bootstrap.message("overload_manager")?.messages("resource_monitors") ?? []
        for monitor in monitors where !monitor.has("typed_config") {
            context.findings.error(
                .missingType, monitor.place, "the resource monitor has no 'typed_config'", path: monitor.path(of: "typed_config"),
                hint: "add typed_config with \"@type\": type.googleapis.com/\(Schemas.supportedTypes(.resourceMonitor)[0])")
        }
        let configs = monitors.compactMap { $0.any("typed_config") }
        for config in configs where !config.has("max_active_downstream_connections") {
            context.findings.error(
                .missingField, config.place, "the resource monitor has no 'max_active_downstream_connections'",
                path: config.path(of: "max_active_downstream_connections"))
        }
        return configs.last?.integer("max_active_downstream_connections").map { UInt64(clamping: $0) }
    }

    // MARK: runtime

    private struct RuntimeEntry {
        let key: String
        let place: Place
        let value: YAMLNode
        let path: String
    }

    /// All keys of the static layers, written out with dots; a later layer overrides an earlier one.
    private func runtime(_ bootstrap: Message) -> [RuntimeEntry] {
        let layers = bootstrap.message("layered_runtime")?.messages("layers") ?? []
        reportDuplicateLayers(layers)
        var order: [String] = []
        var entries: [String: RuntimeEntry] = [:]
        for layer in layers {
            guard case .mapping(let pairs)? = layer.raw("static_layer")?.content else { continue }
            for entry in flatten(pairs, prefix: "", path: layer.path(of: "static_layer")) {
                if entries.updateValue(entry, forKey: entry.key) == nil { order.append(entry.key) }
            }
        }
        return order.compactMap { entries[$0] }
    }

    private func reportDuplicateLayers(_ layers: [Message]) {
        var seen: [String: Place] = [:]
        for layer in layers {
            guard let name = layer.string("name") else { continue }
            let place = layer.valuePlace("name")
            if let first = seen[name] {
                context.error(.duplicateLayer, layer, "name", "duplicate runtime layer '\(name)'; \(context.first(first, seenFrom: place))")
            } else {
                seen[name] = place
            }
        }
    }

    private func flatten(_ pairs: [YAMLNode.Pair], prefix: String, path: String) -> [RuntimeEntry] {
        pairs.flatMap { pair -> [RuntimeEntry] in
            let key = prefix.isEmpty ? pair.key : prefix + "." + pair.key
            if case .mapping(let inner) = pair.value.content { return flatten(inner, prefix: key, path: path) }
            return [RuntimeEntry(key: key, place: pair.keyPlace, value: pair.value, path: path + "." + key)]
        }
    }

    private func apply(_ entry: RuntimeEntry, to configuration: inout Configuration) {
        if entry.key == Self.globalKey {
            configuration.globalConnectionLimit = number(entry) ?? configuration.globalConnectionLimit
        } else if entry.key.hasPrefix(Self.listenerPrefix), entry.key.hasSuffix(Self.listenerSuffix) {
            let name = String(entry.key.dropFirst(Self.listenerPrefix.count).dropLast(Self.listenerSuffix.count))
            limit(name, entry, in: &configuration)
        } else {
            context.findings.warning(
                .noEffect, entry.place, "runtime key '\(entry.key)' has no effect here", path: entry.path,
                hint: Suggestion.hint(for: entry.key, among: [Self.globalKey]))
        }
    }

    private func limit(_ name: String, _ entry: RuntimeEntry, in configuration: inout Configuration) {
        guard let value = number(entry) else { return }
        guard let index = configuration.listeners.firstIndex(where: { $0.name == name }) else {
            context.findings.warning(
                .limitWithoutListener, entry.place, "no listener is named '\(name)': the limit applies to nothing", path: entry.path,
                hint: Suggestion.hint(for: name, among: configuration.listeners.map(\.name)))
            return
        }
        configuration.listeners[index].connectionLimit = value
    }

    private func number(_ entry: RuntimeEntry) -> UInt64? {
        switch entry.value.meaning {
        case .integer(let value)? where value > 0: return UInt64(value)
        case .text(let text)?:
            if case .integer(let value)? = ProtoScalars.integer(text), value > 0 { return UInt64(value) }
        default: break
        }
        context.findings.error(
            .badRuntimeValue, entry.value.place, "runtime key '\(entry.key)' must be a number of connections, at least 1", path: entry.path)
        return nil
    }
}

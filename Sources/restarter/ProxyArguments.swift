import ProxyCore
import ProxyModel

/// The proxy's command line as the restarter reads it: what names depend on, and the variants it starts programs with.
struct ProxyArguments: Equatable {
    /// Without the program's name, and without an epoch: the restarter counts those.
    private(set) var list: ArgumentList

    init(_ arguments: [String]) {
        list = ArgumentList(arguments)
        list.remove("--restart-epoch")
    }

    var words: [String] { list.arguments }

    func value(_ name: String) -> String? { list.items.last { $0.name == name }?.value }
    func has(_ name: String) -> Bool { list.items.contains { $0.name == name } }

    var configPath: String? { value("--config-path") }
    var namesConfiguration: Bool { has("--config-path") || has("--config-yaml") }
    var socketPath: String { value("--socket-path") ?? ControlNames.defaultSocketPath }
    var disablesHotRestart: Bool { has("--disable-hot-restart") }
    var wantsDynamicBaseID: Bool { has("--use-dynamic-base-id") }

    func baseID() throws(Failure) -> UInt32 {
        guard let text = value("--base-id") else { return 0 }
        guard let id = UInt32(text) else {
            throw Failure(
                "--base-id '\(text)' is no number from 0 to \(UInt32.max)", remedy: "Give a whole number, as in --base-id 3.",
                status: .usage)
        }
        return id
    }

    func socketMode() throws(Failure) -> UInt32 {
        guard let text = value("--socket-mode") else { return 0o600 }
        guard let mode = UInt32(text, radix: 8), mode <= 0o777 else {
            throw Failure(
                "invalid socket-mode '\(text)'", remedy: "Give permission bits in octal, as in --socket-mode 600.", status: .usage)
        }
        return mode
    }

    mutating func fixBaseID(_ id: UInt32) {
        list.remove("--use-dynamic-base-id")
        list.set("--base-id", to: String(id))
    }

    mutating func setConfigPath(_ path: String) {
        list.remove("--config-yaml")
        list.set("--config-path", to: path)
    }

    /// The configuration a generation without one of its own would take from the serving one.
    mutating func adoptConfiguration(of serving: ProxyStatus) {
        guard !namesConfiguration else { return }
        if let path = serving.configPath {
            list.set("--config-path", to: path)
        } else if let text = serving.configYAML {
            list.set("--config-yaml", to: text)
        }
    }

    /// For generation `epoch`; nil leaves counting to the proxy.
    func starting(epoch: UInt64?) -> [String] {
        if disablesHotRestart { return words }
        return ArgumentRewriting.arguments(forNextAfter: words, changes: .init(epoch: epoch))
    }

    /// The same command line, asked only whether it would work.
    var checking: [String] {
        var list = list
        list.set("--mode", to: "validate")
        return list.arguments
    }
}

import Logging

/// swift-log's way into the log. The logger's label is the component.
struct ProxyLogHandler: LogHandler {
    let component: String
    let system: LogSystem
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    init(component: String, system: LogSystem) {
        self.component = component
        self.system = system
    }

    /// Levels belong to the component, for all of its loggers; setting one here is not for keeps.
    var logLevel: Logger.Level {
        get { system.level(of: component).loggerLevel }
        set { _ = system.setLevel(LogLevel(newValue), of: component) }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let merged = metadata.merging(event.metadata ?? [:]) { $1 }
        let fields = merged.sorted { $0.key < $1.key }.map { LogRecord.Field(key: $0.key, value: LogRecord.Value($0.value)) }
        system.emit(
            LogRecord(
                level: LogLevel(event.level), component: component, message: event.message.description, fields: fields,
                file: event.file, line: event.line, function: event.function))
    }
}

extension LogRecord.Value {
    init(_ value: Logger.Metadata.Value) {
        if case .stringConvertible(let raw) = value, raw is any BinaryInteger || raw is Bool {
            self = .number(raw.description)
        } else {
            self = .string(value.description)
        }
    }
}

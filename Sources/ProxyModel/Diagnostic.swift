/// One finding about a configuration, with its place. `id` is stable (`PX-C012`) and explained in docs/errors.md.
public struct Diagnostic: Sendable, Equatable {
    public enum Severity: String, Sendable { case error, warning, note }
    public var severity: Severity
    public var id: String
    public var file: String
    /// 1-based; 0 where the place is the whole file.
    public var line: Int
    public var column: Int
    public var message: String
    /// Dotted path of the field, for example `static_resources.listeners[0].address`.
    public var path: String
    /// The source line, without its newline.
    public var sourceLine: String
    /// How many columns the caret line underlines.
    public var length: Int
    /// What to do next, for example "did you mean 'port_value'?".
    public var hint: String
    public init(
        severity: Severity, id: String, file: String, line: Int, column: Int, message: String, path: String = "",
        sourceLine: String = "", length: Int = 1, hint: String = ""
    ) {
        self.severity = severity
        self.id = id
        self.file = file
        self.line = line
        self.column = column
        self.message = message
        self.path = path
        self.sourceLine = sourceLine
        self.length = length
        self.hint = hint
    }
}

/// Runs one generation.
enum Server {
    /// What `--hot-restart-version` prints.
    static let protocolVersion = 1
    static let capabilities: UInt64 = 0

    /// `arguments` with the program's name. Returns the exit code.
    static func run(_ options: ServerOptions, arguments: [String]) -> Int32 { 0 }
}

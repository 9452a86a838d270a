/// The program's name and version as `--version`, /server_info and the home page show them.
public enum ProductVersion {
    public static let number = "0.1.0"
    /// Envoy's five fields: revision, version, state of the tree, build type, TLS library.
    public static var full: String { "unknown/\(number)/Clean/\(buildType)/none" }
    public static var text: String { text(program: "proxy") }

    public static func text(program: String) -> String { "\n\(program)  version: \(full)\n\n" }

    static var buildType: String {
        #if DEBUG
            "DEBUG"
        #else
            "RELEASE"
        #endif
    }
}

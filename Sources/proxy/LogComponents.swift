/// The names things are logged under, Envoy's where it has one. Levels can be set for each of them.
enum LogComponents {
    static let all = ["admin", "config", "conn_handler", "dns", "file", "filter", "hot_restart", "main", "upstream"]
    static var list: String { all.joined(separator: ", ") }
}

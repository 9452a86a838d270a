import Glibc

/// Where programs are on disk.
enum Programs {
    /// This program.
    static var own: String { link("/proc/self/exe") ?? "/proc/self/exe" }

    /// The proxy: as named, else the one beside this program.
    static func proxy(named path: String?) throws(Failure) -> String {
        let chosen = path.map { $0.contains("/") ? $0 : "./\($0)" } ?? directory(of: own) + "/proxy"
        guard access(chosen, X_OK) == 0 else {
            throw Failure(
                "cannot run the proxy at \(chosen): \(String(cString: strerror(errno)))",
                remedy: path == nil
                    ? "Install it beside the restarter, or name it with --proxy PATH." : "Name another one with --proxy PATH.")
        }
        return chosen
    }

    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    static func link(_ path: String) -> String? {
        var room = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink(path, &room, room.count)
        return length > 0 ? String(decoding: room.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }

    /// A path that means the same to a process in another directory.
    static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/") else { return path }
        guard let here = getcwd(nil, 0) else { return path }
        defer { free(here) }
        return String(cString: here) + "/" + path
    }
}

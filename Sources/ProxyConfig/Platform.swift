#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// The system as far as a configuration asks for it. Nothing here creates, binds, connects or resolves.
enum Platform {
    struct Failure: Error, CustomStringConvertible {
        let description: String
        init(errno code: Int32) { description = String(cString: strerror(code)) }
        init(_ description: String) { self.description = description }
    }

    static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    static var hostname: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "-" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The 4 or 16 bytes of an IP literal; nil for anything else.
    static func ipBytes(_ text: String) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes.prefix(4)) }
        return inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil
    }

    /// Whole file, at most `limit` bytes (a configuration is never a gigabyte; a wrong path may well be).
    static func readFile(_ path: String, limit: Int = 64 << 20) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(errno: errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                throw Failure(errno: errno)
            }
            bytes += chunk[..<count]
            guard bytes.count <= limit else { throw Failure("larger than \(limit >> 20) MiB") }
        }
    }

    /// Why a file could not be opened for appending, or created if it is not there; nil: it could.
    static func problemCreating(_ path: String) -> String? {
        var status = stat()
        if stat(path, &status) == 0 {
            if status.st_mode & S_IFMT == S_IFDIR { return "it is a directory" }
            return access(path, W_OK) == 0 ? nil : Failure(errno: errno).description
        }
        guard errno == ENOENT else { return Failure(errno: errno).description }
        return problemInDirectory(of: path)
    }

    /// Why nothing can be created beside `path`; nil: it can.
    static func problemInDirectory(of path: String) -> String? {
        let directory =
            path.contains("/") ? path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/") : "."
        let name = directory.isEmpty ? "/" : directory
        return access(name, W_OK | X_OK) == 0 ? nil : "directory '\(name)': \(Failure(errno: errno).description)"
    }
}

/// Reads a file for `loadConfiguration`: at most 64 MiB, the reason in the error's description.
public func readWholeFile(_ path: String) throws -> [UInt8] { try Platform.readFile(path) }

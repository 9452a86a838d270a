import Glibc
import ProxyRestart

/// The file lines go to. Its descriptor stays the same number for the process's whole life; reopening puts the new file behind it,
/// so whoever holds the number never writes to a closed one.
final class LogFile: Sendable {
    struct Failure: Error, Equatable {
        var path: String
        var code: Int32

        var error: OptionError {
            OptionError(
                id: "PX-U017", message: "unable to open log file '\(path)': \(String(cString: strerror(code))) (errno \(code))",
                remedy: "Give --log-path a file in a directory that exists and that this user may write to.")
        }
    }

    /// What opening `path` would fail with, as far as it can be told without creating anything; nil: nothing.
    static func problem(creating path: String?) -> RestartFailure? {
        guard let path else { return nil }
        var status = stat()
        if stat(path, &status) == 0 {
            guard status.st_mode & S_IFMT != S_IFDIR else { return .file("the log", path, String(cString: strerror(EISDIR))) }
            return access(path, W_OK) == 0 ? nil : .file("the log", path, String(cString: strerror(errno)))
        }
        let directory = path.contains("/") ? String(path[..<path.lastIndex(of: "/")!]) : "."
        return access(directory.isEmpty ? "/" : directory, W_OK | X_OK) == 0
            ? nil : .file("the log", path, String(cString: strerror(errno)))
    }

    let descriptor: Int32
    /// nil: stderr.
    let path: String?

    /// Opens `path`, or takes stderr. A shell's `2>file` has a position of its own: without O_APPEND what we write would go over the
    /// lines of a generation that opened the same file.
    init(path: String?) throws(Failure) {
        self.path = path
        descriptor = if let path { try Self.open(path) } else { STDERR_FILENO }
        guard path == nil else { return }
        var status = stat()
        let flags = fcntl(STDERR_FILENO, F_GETFL)
        guard flags >= 0, fstat(STDERR_FILENO, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return }
        _ = fcntl(STDERR_FILENO, F_SETFL, flags | O_APPEND)
    }

    deinit {
        if path != nil { close(descriptor) }
    }

    /// For logrotate: a file that was moved away is made anew. On failure the old one stays in use.
    func reopen() throws(Failure) {
        guard let path else { return }
        let fresh = try Self.open(path)
        defer { close(fresh) }
        // dup2 clears close-on-exec; nothing execs between the two calls, and what starts a process closes what it does not pass.
        guard dup2(fresh, descriptor) == descriptor, fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else {
            throw Failure(path: path, code: errno)
        }
    }

    /// O_APPEND, so that two generations can write to one file; readable, so that a partial last line can be found.
    private static func open(_ path: String) throws(Failure) -> Int32 {
        let fd = Glibc.open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0o644)
        guard fd >= 0 else { throw Failure(path: path, code: errno) }
        return fd
    }
}

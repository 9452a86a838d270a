import Glibc

/// Output for a person or a script: one line that updates on a terminal, plain lines elsewhere.
final class Console {
    let isTerminal: Bool
    let color: Bool
    let quiet: Bool
    /// An updating line stands on the screen without its newline.
    private var updating = false

    init(quiet: Bool = false) {
        isTerminal = isatty(STDOUT_FILENO) == 1
        // https://no-color.org: any non-empty value.
        color = isTerminal && (getenv("NO_COLOR").map { $0.pointee == 0 } ?? true)
        self.quiet = quiet
    }

    func line(_ text: String) {
        guard !quiet else { return }
        write((updating ? "\r\u{1B}[K" : "") + text + "\n", to: STDOUT_FILENO)
        updating = false
    }

    /// Replace the updating line. Only for terminals.
    func update(_ text: String) {
        guard !quiet else { return }
        // Cut to the width, because a line that wraps cannot be taken back by a carriage return.
        write("\r\u{1B}[K" + String(text.prefix(max(1, width - 1))), to: STDOUT_FILENO)
        updating = true
    }

    func endUpdate() {
        if updating { write("\n", to: STDOUT_FILENO) }
        updating = false
    }

    func error(_ text: String) {
        endUpdate()
        write("restarter: \(text)\n", to: STDERR_FILENO)
    }

    /// Text of another program, as it is.
    func passOn(_ text: String) {
        endUpdate()
        write(text.hasSuffix("\n") ? text : text + "\n", to: STDERR_FILENO)
    }

    enum Tone: String {
        case good = "32"
        case bad = "31"
        case faint = "2"
        case strong = "1"
    }
    func toned(_ text: String, _ tone: Tone) -> String { color ? "\u{1B}[\(tone.rawValue)m\(text)\u{1B}[0m" : text }

    private var width: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    private func write(_ text: String, to fd: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { return }
            bytes = bytes.dropFirst(written)
        }
    }
}

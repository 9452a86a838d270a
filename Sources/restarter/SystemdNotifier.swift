import Glibc
import ProxyCore

/// Tells systemd what goes on (sd_notify(3)), where it asked to be told.
struct SystemdNotifier {
    static let variable = "NOTIFY_SOCKET"
    let socketPath: String?

    init(environment: [String: String]) { socketPath = environment[Self.variable].flatMap { $0.isEmpty ? nil : $0 } }

    enum Message: Equatable {
        case ready(mainPid: Int32, status: String)
        case reloading(monotonicUs: UInt64, status: String)
        case stopping(status: String)
        case status(String)

        var text: String {
            switch self {
            case .ready(let pid, let status): "READY=1\nMAINPID=\(pid)\nSTATUS=\(Self.oneLine(status))"
            // systemd 253 needs the time to tell this reload from an earlier one; older ones ignore it.
            case .reloading(let time, let status): "RELOADING=1\nMONOTONIC_USEC=\(time)\nSTATUS=\(Self.oneLine(status))"
            case .stopping(let status): "STOPPING=1\nSTATUS=\(Self.oneLine(status))"
            case .status(let status): "STATUS=\(Self.oneLine(status))"
            }
        }

        /// A newline would end the assignment.
        private static func oneLine(_ text: String) -> String { String(text.map { $0.isNewline ? " " : $0 }) }
    }

    @discardableResult
    func send(_ message: Message) -> Bool {
        guard let socketPath else { return false }
        return Processes.notify(socketPath, message.text)
    }
}

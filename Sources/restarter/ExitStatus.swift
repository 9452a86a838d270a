/// Exit codes, as sysexits.h numbers them where it has one.
enum ExitStatus: Int32 {
    case done = 0
    /// A step failed, or the configuration is invalid.
    case failed = 1
    case usage = 64
    case notRunning = 69
    case busy = 75
}

/// What a command could not do, for the terminal: what happened, and what to do next.
struct Failure: Error, Equatable {
    var status: ExitStatus
    var message: String
    var remedy: String

    init(_ message: String, remedy: String, status: ExitStatus = .failed) {
        self.message = message
        self.remedy = remedy
        self.status = status
    }

    var text: String { remedy.isEmpty ? message : "\(message)\n  \(remedy)" }
}

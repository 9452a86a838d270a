/// One event to be logged.
struct LogRecord: Sendable, Equatable {
    /// A value of a field. Numbers and truth values are kept apart so that JSON can show them as such.
    enum Value: Sendable, Equatable {
        case string(String)
        /// Printed as it is in every format.
        case number(String)

        var text: String {
            switch self {
            case .string(let text), .number(let text): text
            }
        }
    }

    struct Field: Sendable, Equatable {
        var key: String
        var value: Value
    }

    var unixNanoseconds: UInt64 = 0
    var level: LogLevel
    var component: String
    /// The same for every event of its kind; what differs is in the fields.
    var message: String
    var fields: [Field] = []
    var file = ""
    var line: UInt = 0
    var function = ""
}

/// What every line of a process says about it.
struct LogIdentity: Sendable, Equatable {
    var epoch: UInt64
    var pid: Int32
}

internal import CProxyCore

/// The control protocol between generations: versions, capabilities, message types, field tags.
/// docs/design/0002-handover-protocol.md describes the exchange.
public enum Protocol {
    #if PX_FAULT_POINTS
        public static let oldest = FaultPlan.version(0, or: PX_PROTOCOL_MIN)
        public static let newest = FaultPlan.version(1, or: PX_PROTOCOL_MAX)
    #else
        public static let oldest = UInt16(PX_PROTOCOL_MIN)
        public static let newest = UInt16(PX_PROTOCOL_MAX)
    #endif

    /// Bit of a tag that whoever does not know it must refuse.
    static let required = UInt16(PX_TAG_REQUIRED)
}

/// What a program can do in a restart. Two programs restart into each other when each has what the other requires.
public struct Capabilities: OptionSet, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Listening sockets travel, and extra ones are made by the parent.
    public static let listeningSockets = Capabilities(rawValue: 1 << 0)
    /// Statistics blocks travel and are folded.
    public static let statistics = Capabilities(rawValue: 1 << 1)
    /// The control block decides who serves; a child that dies is rolled back.
    public static let rollback = Capabilities(rawValue: 1 << 2)
    /// Drain progress comes through the shared queue.
    public static let drainQueue = Capabilities(rawValue: 1 << 3)
    /// Log files are written under shared robust locks.
    public static let sharedLocks = Capabilities(rawValue: 1 << 4)

    private static let builtIn: Capabilities = [.listeningSockets, .statistics, .rollback, .drainQueue, .sharedLocks]
    private static let indispensable: Capabilities = [.listeningSockets, .statistics, .rollback]
    #if PX_FAULT_POINTS
        public static let all = FaultPlan.capabilities("capabilities", or: builtIn)
        public static let required = FaultPlan.capabilities("required", or: indispensable)
    #else
        public static let all = builtIn
        /// Without these on both sides there is no restart; the others are left out where one side lacks them.
        public static let required = indispensable
    #endif

    private static let names: [(Capabilities, String)] = [
        (.listeningSockets, "listening-sockets"), (.statistics, "statistics"), (.rollback, "rollback"),
        (.drainQueue, "drain-queue"), (.sharedLocks, "shared-locks"),
    ]
    public var description: String {
        var known = Self.names.filter { contains($0.0) }.map(\.1)
        let rest = rawValue & ~Self.builtIn.rawValue
        if rest != 0 { known.append("unknown bits 0x" + String(rest, radix: 16)) }
        return known.isEmpty ? "none" : known.joined(separator: ", ")
    }
}

public enum ProgramVersion {
    /// For example "0.1.0".
    public static let text = PX_VERSION
}

public enum MessageType {
    /// child → parent: versions, capabilities, epoch wanted, pid.
    public static let hello: UInt16 = 1
    /// parent → child: agreed version, epochs; control block, queue.
    public static let welcome: UInt16 = 2
    /// parent → child: no restart; reason code and text.
    public static let refused: UInt16 = 3
    /// parent → child: listening sockets with their labels; repeated.
    public static let sockets: UInt16 = 4
    /// parent → child: statistics blocks, admin socket, control socket; repeated.
    public static let inheritance: UInt16 = 5
    /// parent → child: nothing more comes; says how many sockets were sent.
    public static let inheritanceEnd: UInt16 = 6
    /// child → parent: own statistics block, and which socket options it will set.
    public static let childBlock: UInt16 = 7
    /// child → parent: make further sockets for an address; without a count, only say that what came before has been read.
    public static let makeSockets: UInt16 = 8
    /// parent → child: those sockets.
    public static let madeSockets: UInt16 = 9
    /// child → parent: I serve; indexes of sockets not kept.
    public static let ready: UInt16 = 10
    /// parent → child: I accept no more; links to older generations.
    public static let draining: UInt16 = 11
    /// either way: I leave on purpose (reason: drained, stop, failed).
    public static let bye: UInt16 = 12
    /// younger → older, on an inherited link, just before it takes over: its epoch.
    public static let successor: UInt16 = 14
    /// serving → draining: end your drain now.
    public static let drainNow: UInt16 = 13
    /// serving → draining: the log files were moved away; open them anew. An older program does not know it and ignores it.
    public static let reopenLogs: UInt16 = 15

    /// anybody permitted → serving: who serves, and how is it.
    public static let query: UInt16 = 32
    /// answer to `query`: JSON.
    public static let answer: UInt16 = 33
    /// operator → serving: a command with a JSON argument (stop, drain-now, ...). Answered with `answer` or `refused`.
    public static let command: UInt16 = 34

    /// proxy → supervisor, on the supervision channel: one JSON event.
    public static let supervision: UInt16 = 48
    /// proxy → supervisor: forget what you keep of me, another generation serves. What is to be kept comes on the same channel as
    /// `welcome`, `sockets`, `inheritance` and `inheritanceEnd`, exactly as a child would get it, and is passed on as it came.
    public static let keepNothing: UInt16 = 49
}

public enum Tag {
    private static let required = Protocol.required
    public static let versionMin: UInt16 = 1 | required
    public static let versionMax: UInt16 = 2 | required
    public static let capabilities: UInt16 = 3 | required
    public static let requiredCapabilities: UInt16 = 4 | required
    public static let epoch: UInt16 = 5 | required
    public static let pid: UInt16 = 6
    public static let programVersion: UInt16 = 7
    public static let parentEpoch: UInt16 = 8
    public static let startedUnixMs: UInt16 = 9
    public static let firstStartedUnixMs: UInt16 = 10
    public static let reasonCode: UInt16 = 11
    public static let text: UInt16 = 12
    public static let count: UInt16 = 13
    /// One socket: nested label, in the order of the descriptors.
    public static let socket: UInt16 = 14 | required
    /// What the descriptors of `inheritance` are: one byte each (see InheritedKind).
    public static let kinds: UInt16 = 15 | required
    public static let address: UInt16 = 16
    public static let socketIndex: UInt16 = 17
    public static let parentShutdownS: UInt16 = 18
    public static let json: UInt16 = 19
    public static let drainTimeS: UInt16 = 20
    public static let hotRestartGeneration: UInt16 = 21
    public static let restartCount: UInt16 = 22
    /// Whether the child was given --parent-shutdown-time-s.
    public static let parentShutdownGiven: UInt16 = 23
    /// Socket options that the child will set: see SocketOptionName.
    public static let socketOptions: UInt16 = 24
}

public enum InheritedKind: UInt8 {
    case statisticsBlock = 1
    case adminSocket, controlSocket, link
}

public enum RefusalReason: UInt64, Sendable {
    case busy = 1
    case epochNotAbove, version, capabilities, notServing, malformed, internalError, stopping
}

public enum ByeReason: UInt64, Sendable {
    case drained = 1
    case stop, failed, forced
}

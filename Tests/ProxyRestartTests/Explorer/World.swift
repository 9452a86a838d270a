/// The world of the explorer: up to four generations and the links between them, packed into eight words so that millions of
/// states fit into memory. A generation's number is its place and its restart epoch.
struct World: Hashable {
    static let places = 4
    static let nobody = 7

    /// 0 to 3: processes, 4 to 7: links, named by the process that connected. The facts about the whole world fill the spare bits of word 0.
    private(set) var words = SIMD8<UInt64>(repeating: 0)
    private static let shift: UInt64 = 48
    private static let processMask: UInt64 = (1 << shift) - 1

    subscript(process index: Int) -> Process {
        get { Process(bits: words[index] & Self.processMask) }
        set { words[index] = words[index] & ~Self.processMask | newValue.bits }
    }
    subscript(link index: Int) -> Link {
        get { Link(bits: words[index + Self.places]) }
        set { words[index + Self.places] = newValue.bits }
    }
    var facts: Facts {
        get { Facts(bits: words[0] >> Self.shift) }
        set { words[0] = words[0] & Self.processMask | newValue.bits << Self.shift }
    }

    /// The compare-and-swap word of the control block.
    var word: Int {
        get { facts.word }
        set { facts.word = newValue }
    }

    func hash(into hasher: inout Hasher) { hasher.combine(mixed) }
    var mixed: UInt64 {
        var hash: UInt64 = 0x9e37_79b9_7f4a_7c15
        for index in 0..<8 {
            hash = (hash ^ words[index]) &* 0xff51_afd7_ed55_8ccd
            hash ^= hash >> 32
        }
        return hash
    }

    /// Whether a client's connection would be accepted by this generation now.
    func accepts(_ index: Int) -> Bool {
        let process = self[process: index]
        return process.life == .running && process.isAccepting && word == index
    }
    var someoneAccepts: Bool { (0..<Self.places).contains(where: accepts) }
    var someoneIsStopped: Bool { (0..<Self.places).contains { self[process: $0].life == .stopped } }
    func holdsSockets(besides index: Int) -> Bool {
        (0..<Self.places).contains { $0 != index && self[process: $0].isAlive && self[process: $0].holdsSockets }
    }
}

/// What is true of the world as a whole.
struct Facts {
    /// Who serves.
    var word = World.nobody
    /// Adverse acts left to the adversary.
    var faults = 0
    var started = 0
    /// At the last adverse act a generation was left that can serve: somebody has to (promise 1).
    var isOwed = false
    var stopWasAsked = false
    /// Generations that have to end because the serving one was stopped on purpose; a set of places.
    var ending = 0

    init() {}
    init(bits: UInt64) {
        word = Int(bits & 7)
        faults = Int(bits >> 3 & 7)
        started = Int(bits >> 6 & 7)
        isOwed = bits >> 9 & 1 == 1
        stopWasAsked = bits >> 10 & 1 == 1
        ending = Int(bits >> 11 & 15)
    }
    var bits: UInt64 {
        UInt64(word) | UInt64(faults) << 3 | UInt64(started) << 6 | UInt64(isOwed ? 1 : 0) << 9 | UInt64(stopWasAsked ? 1 : 0) << 10
            | UInt64(ending) << 11
    }
}

struct Process {
    enum Life: UInt64 { case absent, running, stopped, gone }
    var life = Life.absent
    /// In the machine table; 0: none.
    var machine = 0
    /// Workers and control socket.
    var isAccepting = false
    /// Listening sockets and the control socket.
    var holdsSockets = false
    /// Reads the link to the generation it started from (and those to older ones).
    var readsParent = false
    /// Outcomes that the driver is still to feed back.
    var pending = Pending()
    var timers = TimerSet()
    /// The link that the machine's child is on.
    var childLink: Int?

    var isAlive: Bool { life == .running || life == .stopped }

    init() {}
    init(bits: UInt64) {
        life = Life(rawValue: bits & 3)!
        machine = Int(bits >> 2 & 0xffff)
        isAccepting = bits >> 18 & 1 == 1
        holdsSockets = bits >> 19 & 1 == 1
        readsParent = bits >> 20 & 1 == 1
        pending = Pending(rawValue: UInt16(bits >> 21 & 0x3ff))
        timers = TimerSet(rawValue: UInt16(bits >> 31 & 0x3ff))
        let link = Int(bits >> 41 & 7)
        childLink = link == 0 ? nil : link - 1
    }
    var bits: UInt64 {
        life.rawValue | UInt64(machine) << 2 | UInt64(isAccepting ? 1 : 0) << 18 | UInt64(holdsSockets ? 1 : 0) << 19
            | UInt64(readsParent ? 1 : 0) << 20 | UInt64(pending.rawValue) << 21 | UInt64(timers.rawValue) << 31
            | UInt64((childLink ?? -1) + 1) << 41
    }
}

/// Outcomes of effects that have not been fed back yet. They come in any order.
struct Pending: OptionSet, Hashable {
    let rawValue: UInt16
    static let connected = Pending(rawValue: 1)
    static let nobodyServes = Pending(rawValue: 2)
    static let extraSockets = Pending(rawValue: 4)
    static let prepared = Pending(rawValue: 8)
    static let taken = Pending(rawValue: 16)
    static let notTaken = Pending(rawValue: 32)
    static let acceptStopped = Pending(rawValue: 64)
    static let closedAll = Pending(rawValue: 128)
    static let all: [Pending] = [.connected, .nobodyServes, .extraSockets, .prepared, .taken, .notTaken, .acceptStopped, .closedAll]
}

struct TimerSet: OptionSet, Hashable {
    let rawValue: UInt16
}

/// A connection on the control socket. One end is the acceptor's alone; the other, the child's, is also held by whoever took over
/// from the child, because links to older generations are inherited.
struct Link {
    enum Status: UInt64 {
        case none
        /// In the control socket's backlog: whoever serves will accept it.
        case backlog
        case open
        /// The acceptor's end is closed; what it had sent can still be read.
        case closed
    }
    var status = Status.none
    var acceptor = 0
    /// Who holds the child's end; a set of places.
    var holders = 0
    /// To the acceptor.
    var up = Queue()
    /// To the child.
    var down = Queue()

    init() {}
    init(bits: UInt64) {
        status = Status(rawValue: bits & 3)!
        acceptor = Int(bits >> 2 & 3)
        holders = Int(bits >> 4 & 15)
        up = Queue(bits: bits >> 8 & 0xfff_ffff)
        down = Queue(bits: bits >> 36 & 0xfff_ffff)
    }
    var bits: UInt64 {
        status.rawValue | UInt64(acceptor) << 2 | UInt64(holders) << 4 | up.bits << 8 | down.bits << 36
    }
    func isHeld(by index: Int) -> Bool { holders >> index & 1 == 1 }
}

enum Message: UInt64 {
    case hello = 1, ready, byeDrained, byeStop, byeFailed, byeForced
    case welcome, inheritance, refused, draining
    /// "I am about to take over", from epoch 1, 2 or 3.
    case announce1, announce2, announce3

    static func bye(_ word: ByeWordCode) -> Message { Message(rawValue: Message.byeDrained.rawValue + UInt64(word.rawValue))! }
    static func announce(_ epoch: Int) -> Message { Message(rawValue: Message.announce1.rawValue + UInt64(epoch - 1))! }
}

/// Order of `ByeWord.allCases`.
enum ByeWordCode: Int { case drained, stop, failed, forced }

/// Messages in flight, first in first out, four bits each.
struct Queue {
    static let capacity = 7
    var bits: UInt64 = 0
    var isEmpty: Bool { bits == 0 }
    var first: Message? { Message(rawValue: bits & 15) }
    var count: Int {
        var count = 0
        while count < Self.capacity, bits >> UInt64(4 * count) != 0 { count += 1 }
        return count
    }
    mutating func push(_ message: Message) {
        let count = self.count
        precondition(count < Self.capacity, "the model's queue is full")
        bits |= message.rawValue << UInt64(4 * count)
    }
    mutating func pop() -> Message {
        defer { bits >>= 4 }
        return Message(rawValue: bits & 15)!
    }
    mutating func dropLast(_ message: Message) {
        let last = count - 1
        guard last >= 0, bits >> UInt64(4 * last) == message.rawValue else { return }
        bits &= (1 << UInt64(4 * last)) - 1
    }
}

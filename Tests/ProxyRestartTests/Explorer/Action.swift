/// One step of the world.
struct Action: Hashable {
    enum Kind: UInt16 {
        // What happens at once when a process runs.
        case accept, readUp, readDown, childGone, parentGone, outcome, lostService
        // What happens some time: clocks, name servers, clients.
        case timeout, childSilent, ownerDead, empty, warm
        // What somebody does to the proxy.
        case start, kill, killInMidSend, suspend, resume, terminate, drainNow, prepareFails
    }
    var kind: Kind
    var process: Int
    /// Link, timer or pending outcome.
    var detail = 0

    init(_ kind: Kind, _ process: Int, _ detail: Int = 0) {
        self.kind = kind
        self.process = process
        self.detail = detail
    }
    init(code: UInt16) { self.init(Kind(rawValue: code & 31)!, Int(code >> 5 & 7), Int(code >> 8)) }
    var code: UInt16 { kind.rawValue | UInt16(process) << 5 | UInt16(detail) << 8 }

    var isUrgent: Bool { kind.rawValue <= Kind.lostService.rawValue }
    /// Not an act of anybody: happens by itself, sooner or later.
    var isFair: Bool { kind.rawValue <= Kind.warm.rawValue }
}

import ProxyRestart

/// An event of the machine, small enough for an index into a table.
enum ModelEvent: Hashable {
    case start, nobodyServes, connected, refused, inheritanceEnded, extraSocketsArrived, prepared, warm, failed
    case parentDraining, parentGone, childReady, childGone, childSilent, acceptStopped, empty, closedAll, stop, drainNow
    case serviceTaken(Bool)
    case welcome(Int), childHello(Int), successorAnnounced(Int), lostService(Int)
    case parentBye(ByeWordCode), childBye(ByeWordCode)
    case timeout(Int)

    static let count = 64
    var index: Int {
        switch self {
        case .start: 0
        case .nobodyServes: 1
        case .connected: 2
        case .refused: 3
        case .inheritanceEnded: 4
        case .extraSocketsArrived: 5
        case .prepared: 6
        case .warm: 7
        case .failed: 8
        case .parentDraining: 9
        case .parentGone: 10
        case .childReady: 11
        case .childGone: 12
        case .childSilent: 13
        case .acceptStopped: 14
        case .empty: 15
        case .closedAll: 16
        case .stop: 17
        case .drainNow: 18
        case .serviceTaken(let taken): taken ? 19 : 20
        case .welcome(let epoch): 21 + epoch
        case .childHello(let epoch): 25 + epoch
        case .successorAnnounced(let epoch): 29 + epoch
        case .lostService(let epoch): 33 + epoch
        case .parentBye(let word): 37 + word.rawValue
        case .childBye(let word): 41 + word.rawValue
        case .timeout(let timer): 45 + timer
        }
    }

    var restartEvent: RestartEvent {
        switch self {
        case .start: .start(hotRestart: true)
        case .nobodyServes: .nobodyServes
        case .connected: .connected
        case .refused: .refused(.busy)
        case .inheritanceEnded: .inheritanceEnded
        case .extraSocketsArrived: .extraSocketsArrived
        case .prepared: .prepared
        case .warm: .warm
        case .failed: .failed(.modelFailure)
        case .parentDraining: .parentDraining
        case .parentGone: .parentGone
        case .childReady: .childReady
        case .childGone: .childGone
        case .childSilent: .childSilent
        case .acceptStopped: .acceptStopped
        case .empty: .empty
        case .closedAll: .closedAll
        case .stop: .stop
        case .drainNow: .drainNow
        case .serviceTaken(let taken): .serviceTaken(taken)
        case .welcome(let epoch): .welcome(parentEpoch: UInt64(epoch))
        case .childHello(let epoch): .childHello(epoch: UInt64(epoch))
        case .successorAnnounced(let epoch): .successorAnnounced(epoch: UInt64(epoch))
        case .lostService(let epoch): .lostService(to: UInt64(epoch))
        case .parentBye(let word): .parentBye(ByeWord.allCases[word.rawValue])
        case .childBye(let word): .childBye(ByeWord.allCases[word.rawValue])
        case .timeout(let timer): .timeout(RestartTimer.all[timer])
        }
    }
}

extension RestartFailure {
    static let modelFailure = RestartFailure(step: "open", id: "PX-R000", message: "an address is in use", remedy: "free it")
}

/// What the model's driver has to do; reports and notes have no part in the world.
enum ModelEffect {
    case lookForParent, sendHello, adoptInheritance, prepare, sendReady, forgetParent, startAccepting, stopAccepting
    case sendWelcome, refuseChild, forgetChild, fenceChild, sendDraining, closeAll, exit
    case takeService(from: Int?)
    /// A list of epochs to take the word from.
    case takeServiceBack([Int])
    case sendBye(ByeWordCode, RestartPeer)
    case arm(TimerSet), cancel(TimerSet)

    init?(_ effect: RestartEffect) {
        switch effect {
        case .lookForParent: self = .lookForParent
        case .sendHello: self = .sendHello
        case .adoptInheritance: self = .adoptInheritance
        case .prepare: self = .prepare
        case .takeService(let from): self = .takeService(from: from.map(Int.init))
        case .sendReady: self = .sendReady
        case .sendBye(let word, let peer): self = .sendBye(ByeWordCode(rawValue: ByeWord.allCases.firstIndex(of: word)!)!, peer)
        case .forgetParent: self = .forgetParent
        case .startAccepting: self = .startAccepting
        case .stopAccepting: self = .stopAccepting
        case .sendWelcomeAndInheritance: self = .sendWelcome
        case .refuseChild: self = .refuseChild
        case .forgetChild, .recordRollback: self = .forgetChild
        case .fenceChild: self = .fenceChild
        case .takeServiceBack(let epochs): self = .takeServiceBack(epochs.map(Int.init))
        case .sendDraining: self = .sendDraining
        case .closeAll: self = .closeAll
        case .arm(let timer): self = .arm(TimerSet(timer))
        case .cancel(let timer): self = .cancel(TimerSet(timer))
        case .exit: self = .exit
        case .beginDrain, .endDrain, .note, .reportFailure: return nil
        }
    }
}

extension RestartTimer {
    /// `allCases` makes a new array each time.
    static let all = allCases
}

extension TimerSet {
    init(_ timer: RestartTimer) { self.init(number: RestartTimer.all.firstIndex(of: timer)!) }
    init(number: Int) { self.init(rawValue: 1 << UInt16(number)) }
    func contains(number: Int) -> Bool { rawValue >> UInt16(number) & 1 == 1 }
}

/// Every machine met so far by a small number, and what each event made of it: the machine itself runs once for each pair.
final class MachineTable {
    struct Entry {
        var machine: RestartMachine
        /// Whom it would fence, by who has the word.
        var successors: [Int?]
        var isLeaving, isServing, isIdle, isWarming, isDraining, awaitsEmpty, isEmpty: Bool

        init(_ machine: RestartMachine) {
            self.machine = machine
            successors = (0..<World.places).map { machine.successor(whileWordIs: UInt64($0)).map(Int.init) }
            if case .leaving = machine.state { isLeaving = true } else { isLeaving = false }
            isServing = machine.serves
            isIdle = machine.state == .serving && machine.child == .none
            isWarming = machine.state == .warming
            isDraining = machine.state == .draining || machine.state == .stoppingAccept
            isEmpty = machine.isEmpty
            awaitsEmpty = machine.state == .draining && !machine.isEmpty
        }
    }
    struct Outcome {
        var machine: Int
        var effects: [ModelEffect]
    }

    private(set) var entries: [Entry]
    private var numbers: [RestartMachine: Int] = [:]
    private var known: [Int32] = []
    private var outcomes: [Outcome] = []
    private let mutant: Mutant?
    /// The states that machines were in: what the exploration covered.
    private(set) var states: Set<String> = []

    init(mutant: Mutant?) {
        self.mutant = mutant
        // Number 0 is no machine.
        entries = [Entry(RestartMachine(epoch: .max))]
        known = Array(repeating: -1, count: ModelEvent.count)
    }

    func number(of machine: RestartMachine) -> Int {
        if let number = numbers[machine] { return number }
        let number = entries.count
        precondition(number < 1 << 16, "the model has room for 65536 machines")
        entries.append(Entry(machine))
        known.append(contentsOf: repeatElement(-1, count: ModelEvent.count))
        numbers[machine] = number
        states.insert(String(String(describing: machine.state).prefix { $0 != "(" }))
        return number
    }

    func outcome(of event: ModelEvent, in number: Int) -> Outcome {
        let key = number * ModelEvent.count + event.index
        if known[key] >= 0 { return outcomes[Int(known[key])] }
        let (machine, effects) = run(event.restartEvent, on: entries[number].machine)
        let outcome = Outcome(machine: self.number(of: machine), effects: effects.compactMap(ModelEffect.init))
        known[key] = Int32(outcomes.count)
        outcomes.append(outcome)
        return outcome
    }

    private func run(_ event: RestartEvent, on machine: RestartMachine) -> (RestartMachine, [RestartEffect]) {
        var machine = machine
        guard let heard = mutant == nil ? event : mutant!.event(machine, event) else { return (machine, []) }
        var effects = machine.handle(heard)
        if let mutant { effects = effects.compactMap { mutant.effect(machine, heard, $0) } }
        return (machine, effects)
    }

    /// For the trace: what the machine as it is (or its mutant) says, in words.
    func describe(_ event: ModelEvent, in number: Int) -> String {
        let (machine, effects) = run(event.restartEvent, on: entries[number].machine)
        let orders = effects.compactMap { effect in
            if case .note = effect { return nil as String? }
            return Self.short("\(effect)")
        }
        return "\(Self.short("\(entries[number].machine.state)")) → \(Self.short("\(machine.state)"))\(orders.isEmpty ? "" : ": ")"
            + orders.joined(separator: ", ")
    }

    /// Without the texts of failures.
    private static func short(_ text: String) -> String {
        guard let start = text.firstRange(of: "ProxyRestart.RestartFailure(") else { return text.replacing("ProxyRestart.", with: "") }
        let id = text[start.upperBound...].split(separator: "\"").first { $0.hasPrefix("PX-R") } ?? "failure"
        return text[..<start.lowerBound].replacing("ProxyRestart.", with: "") + id + ")"
    }
}

import ProxyRestart

/// The machine with one of its guards taken away, from outside: events it does not hear or hears wrongly, effects it forgets. An
/// explorer that finds nothing wrong with such a machine would find nothing in the real one.
struct Mutant: Sendable {
    /// The guard that is missing.
    var name: String
    /// What the machine hears instead; nil: nothing.
    var event: @Sendable (RestartMachine, RestartEvent) -> RestartEvent? = { $1 }
    /// What it orders instead; the machine is the one after the event. nil: nothing.
    var effect: @Sendable (RestartMachine, RestartEvent, RestartEffect) -> RestartEffect? = { $2 }
    var bounds = Bounds(generations: 3, faults: 2)

    static func deaf(to deaf: RestartEvent, _ name: String) -> Mutant { Mutant(name: name, event: { $1 == deaf ? nil : $1 }) }
    static func without(_ timer: RestartTimer) -> Mutant {
        Mutant(name: "deadline \(timer) is armed", effect: { $2 == .arm(timer) ? nil : $2 })
    }
    static func forgetting(_ effect: RestartEffect, _ name: String) -> Mutant { Mutant(name: name, effect: { $2 == effect ? nil : $2 }) }

    static let all: [Mutant] = [
        Mutant(
            name: "the word is taken back from announced successors too",
            effect: { _, _, effect in
                if case .takeServiceBack(let epochs) = effect { .takeServiceBack(from: epochs.suffix(1)) } else { effect }
            }),
        .deaf(to: .childGone, "the death of the child is heard"),
        .deaf(to: .parentGone, "the death of the parent is heard"),
        Mutant(
            name: "a child whose parent dies takes over at once, warm or not",
            event: { machine, event in event == .parentGone && machine.state == .warming ? nil : event }),
        Mutant(
            name: "whoever finds another epoch in the word gives way",
            event: { if case .lostService = $1 { nil } else { $1 } },
            bounds: Bounds(generations: 3, faults: 1, canKill: false, acts: [.suspend])),
        Mutant(name: "a second child is refused while one initialises", effect: { _, event, effect in
            if case .childHello = event, effect == .refuseChild(.busy) { .sendWelcomeAndInheritance } else { effect }
        }, bounds: Bounds(generations: 3, faults: 1, attemptsAtOnce: 2)),
        Mutant(name: "a child that stops on purpose is not rolled back", event: { $1 == .childBye(.stop) ? .childBye(.failed) : $1 }),
        .forgetting(.sendBye(.stop, to: .parent), "a child that stops tells its parent"),
        .forgetting(.sendBye(.stop, to: .older), "a serving generation that stops tells the older ones"),
        Mutant(
            name: "a stop with a child on its way leaves the older generations alone",
            effect: { $2 == .sendBye(.stop, to: .child) ? .sendBye(.stop, to: .parent) : $2 }),
        Mutant(
            name: "a generation that has the word accepts",
            effect: { $1 == .serviceTaken(true) && $2 == .startAccepting ? nil : $2 }),
        .forgetting(.stopAccepting, "a parent stops accepting when its child is ready"),
        Mutant(name: "what came of an inheritance is used when the parent dies in the middle", event: { machine, event in
            event == .parentGone && machine.state == .inheriting ? nil : event
        }),
        .without(.welcome), .without(.warmUp), .without(.parentAnswer), .without(.childInitialization), .without(.forceClose),
    ]
}

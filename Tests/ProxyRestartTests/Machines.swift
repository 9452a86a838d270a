@testable import ProxyRestart

/// Machines brought into a state by the shortest way, for the tests of transitions.
enum Machines {
    static func make(epoch: UInt64, _ events: RestartEvent...) -> RestartMachine { make(epoch: epoch, events) }
    static func make(epoch: UInt64, _ events: [RestartEvent]) -> RestartMachine {
        var machine = RestartMachine(epoch: epoch)
        for event in events { _ = machine.handle(event) }
        return machine
    }

    static let toServing: [RestartEvent] = [.start(hotRestart: true), .nobodyServes, .prepared, .warm, .serviceTaken(true)]
    static let toWelcomed: [RestartEvent] = [.start(hotRestart: true), .connected, .welcome(parentEpoch: 4)]
    static let toWarming: [RestartEvent] = toWelcomed + [.inheritanceEnded, .extraSocketsArrived, .prepared]

    /// The first generation.
    static var serving: RestartMachine { make(epoch: 4, toServing) }
    static var withChild: RestartMachine { make(epoch: 4, toServing + [.childHello(epoch: 5)]) }
    static var childHasWord: RestartMachine { make(epoch: 4, toServing + [.childHello(epoch: 5), .lostService(to: 5)]) }
    static var stoppingAccept: RestartMachine { make(epoch: 4, toServing + [.childHello(epoch: 5), .childReady]) }
    static var draining: RestartMachine { make(epoch: 4, toServing + [.childHello(epoch: 5), .childReady, .acceptStopped]) }
    static var reclaiming: RestartMachine {
        make(epoch: 4, toServing + [.childHello(epoch: 5), .childReady, .acceptStopped, .childGone])
    }

    /// The second, whose parent is epoch 4.
    static var helloSent: RestartMachine { make(epoch: 5, .start(hotRestart: true), .connected) }
    static var inheriting: RestartMachine { make(epoch: 5, toWelcomed) }
    static var adopting: RestartMachine { make(epoch: 5, toWelcomed + [.inheritanceEnded]) }
    static var preparing: RestartMachine { make(epoch: 5, toWelcomed + [.inheritanceEnded, .extraSocketsArrived]) }
    static var warming: RestartMachine { make(epoch: 5, toWarming) }
    static var takingOver: RestartMachine { make(epoch: 5, toWarming + [.warm]) }
    static var announcing: RestartMachine { make(epoch: 5, toWarming + [.warm, .serviceTaken(true)]) }
    static var successful: RestartMachine { make(epoch: 5, toWarming + [.warm, .serviceTaken(true), .parentDraining]) }

    /// Every state that can be reached, with every combination of the machine's other facts: all events in all orders.
    static func reachable(epoch: UInt64) -> Set<RestartMachine> {
        var known: Set<RestartMachine> = [RestartMachine(epoch: epoch)]
        var queue = Array(known)
        while let machine = queue.popLast() {
            for event in everyEvent {
                var next = machine
                _ = next.handle(event)
                if known.insert(next).inserted { queue.append(next) }
            }
        }
        return known
    }

    static let everyEvent: [RestartEvent] =
        [
            .start(hotRestart: true), .start(hotRestart: false), .nobodyServes, .connected,
            .welcome(parentEpoch: 4), .welcome(parentEpoch: 5),
            .refused(.busy), .inheritanceEnded, .extraSocketsArrived, .prepared, .warm, .serviceTaken(true), .serviceTaken(false),
            .failed(.childDied), .parentDraining, .parentGone, .childHello(epoch: 4), .childHello(epoch: 6), .childReady, .childGone,
            .childSilent, .successorAnnounced(epoch: 7), .acceptStopped, .empty, .closedAll, .lostService(to: 3), .lostService(to: 6),
            .lostService(to: 7), .stop, .drainNow,
        ] + ByeWord.allCases.map(RestartEvent.parentBye) + ByeWord.allCases.map(RestartEvent.childBye)
        + RestartTimer.allCases.map(RestartEvent.timeout)
}

extension RestartMachine {
    /// The state and the effects after one event, without touching the original.
    func after(_ event: RestartEvent) -> (machine: RestartMachine, effects: [RestartEffect]) {
        var next = self
        let effects = next.handle(event)
        return (next, effects)
    }
    func via(_ events: RestartEvent...) -> RestartMachine {
        var next = self
        for event in events { _ = next.handle(event) }
        return next
    }
}

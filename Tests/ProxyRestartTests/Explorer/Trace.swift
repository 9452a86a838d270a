import ProxyRestart

extension Model {
    /// One step, for a person: who, what, and what the machine makes of it.
    func describe(_ action: Action, in world: World) -> String {
        let index = action.process
        let who = "generation \(index)"
        func machine(_ event: ModelEvent) -> String { "  [\(table.describe(event, in: world[process: index].machine))]" }
        var after = world
        apply(action, to: &after)
        let change = after.word == world.word ? "" : "; the word: \(after.word)"
        return text(action, who, world, machine) + change
    }

    private func text(_ action: Action, _ who: String, _ world: World, _ machine: (ModelEvent) -> String) -> String {
        let index = action.process
        switch action.kind {
        case .accept: return "\(who) accepts the link of generation \(action.detail)"
        case .readUp:
            let message = world[link: action.detail].up.first!
            return "\(who) reads \(message) on the link of generation \(action.detail)" + machine(heard(message, action.detail))
        case .readDown: return "\(who) reads \(world[link: index].down.first!) from its parent, generation \(world[link: index].acceptor)"
        case .childGone: return "\(who) sees the end of the link of generation \(action.detail)" + machine(.childGone)
        case .parentGone: return "\(who) sees the end of the link to its parent" + machine(.parentGone)
        case .outcome:
            let names = [
                "connected", "nobody serves", "extra sockets are here", "prepared", "the word was taken", "the word was not taken",
                "workers have stopped accepting", "all connections are closed",
            ]
            let events: [ModelEvent] = [
                .connected, .nobodyServes, .extraSocketsArrived, .prepared, .serviceTaken(true), .serviceTaken(false), .acceptStopped, .closedAll,
            ]
            return "\(who): \(names[action.detail])" + machine(events[action.detail])
        case .lostService: return "\(who): a worker finds \(world.word) in the word" + machine(.lostService(world.word))
        case .timeout: return "\(who): \(RestartTimer.all[action.detail]) runs out" + machine(.timeout(action.detail))
        case .childSilent: return "\(who) finds its child silent" + machine(.childSilent)
        case .ownerDead: return "\(who) finds dead whom the word names" + machine(.childGone)
        case .empty: return "\(who): its last connection ends" + machine(.empty)
        case .warm: return "\(who): names are resolved" + machine(.warm)
        case .start: return "\(who) is started"
        case .kill: return "\(who) is killed (SIGKILL)"
        case .killInMidSend: return "\(who) is killed while it sends the inheritance"
        case .suspend: return "\(who) is stopped (SIGSTOP)"
        case .resume: return "\(who) is continued (SIGCONT)"
        case .terminate: return "\(who) is told to end (SIGTERM)" + machine(.stop)
        case .drainNow: return "\(who) is told to end its drain" + machine(.drainNow)
        case .prepareFails: return "\(who): an address cannot be opened" + machine(.failed)
        }
    }

    private func heard(_ message: Message, _ link: Int) -> ModelEvent {
        switch message {
        case .hello: .childHello(link)
        case .ready: .childReady
        case .byeDrained: .childBye(.drained)
        case .byeStop: .childBye(.stop)
        case .byeFailed: .childBye(.failed)
        case .byeForced: .childBye(.forced)
        default: .successorAnnounced(Int(message.rawValue) - Int(Message.announce1.rawValue) + 1)
        }
    }
}

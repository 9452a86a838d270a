import ProxyRestart

/// What has to be true of a state. Each check returns what is wrong, in words.
struct Promises {
    let model: Model

    /// In every state.
    func always(_ world: World) -> String? {
        for index in 0..<World.places where world[process: index].life == .running {
            let process = world[process: index]
            let entry = model.table.entries[process.machine]
            let hasWork = !process.pending.isEmpty || !process.timers.isEmpty || entry.isIdle || process.isAccepting && world.word != index
            if !hasWork, !hasToRead(index, world) {
                return "promise 4: generation \(index) waits without a deadline in \(entry.machine.state)"
            }
        }
        return nil
    }

    private func hasToRead(_ index: Int, _ world: World) -> Bool {
        (0..<World.places).contains { number in
            let link = world[link: number]
            if link.status == .open, link.acceptor == index { return !link.up.isEmpty || link.holders == 0 }
            return number == index && link.isHeld(by: index) && (!link.down.isEmpty || link.status == .closed)
        }
    }

    /// In a state in which nothing happens at once any more: only clocks, clients and people can go on.
    func settled(_ world: World) -> String? {
        let running = (0..<World.places).filter { world[process: $0].life == .running }
        let believing = running.filter { world[process: $0].isAccepting || model.table.entries[world[process: $0].machine].isServing }
        if believing.count > 1 { return "promise 1: generations \(believing) believe that they serve" }
        // A generation that was stopped, replaced and continued has no link to whoever serves: it looks at the word once a second.
        let isWatched = running.contains { world[process: $0].childLink == nil && model.isOwnerDead($0, world) }
        if world.facts.isOwed, !world.someoneIsStopped, !isWatched, !world.someoneAccepts {
            return "promise 1: nobody accepts, though a generation is left that can"
        }
        for index in running where world.facts.ending >> index & 1 == 1 {
            guard case .leaving = model.table.entries[world[process: index].machine].machine.state else {
                return "promise 3: the serving generation stopped on purpose, and generation \(index) goes on"
            }
        }
        return nil
    }

    /// In a state in which nothing happens by itself any more: all messages are read, all clocks have run out.
    func finally(_ world: World) -> String? {
        let running = (0..<World.places).filter { world[process: $0].life == .running }
        for index in running {
            let machine = model.table.entries[world[process: index].machine].machine
            if machine.state != .serving { return "promise 4: generation \(index) stays in \(machine.state) for ever" }
            if machine.child != .none { return "promise 2: generation \(index) serves, but would refuse the next HELLO as busy" }
            if !world.accepts(index) { return "promise 1: generation \(index) believes that it serves and accepts nothing" }
        }
        let ownerIsStopped = world.word != World.nobody && world[process: world.word].life == .stopped
        if world.facts.isOwed, running.isEmpty, !ownerIsStopped {
            return "promise 1: nobody is left to serve, though a generation was left that could"
        }
        return nil
    }
}

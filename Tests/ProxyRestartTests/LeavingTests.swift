import Testing

@testable import ProxyRestart

/// Stops, and what has to be true of every state.
struct LeavingTests {
    @Test("a stop of the serving generation stops everybody")
    func stopServing() {
        for machine in [Machines.serving, Machines.announcing] {
            let (left, effects) = machine.after(.stop)
            #expect(left.state == .leaving(0))
            #expect(effects == [.sendBye(.stop, to: .parent), .sendBye(.stop, to: .older), .closeAll, .arm(.exit)])
        }
    }

    @Test("a stop during a restart stops this generation: the child takes over, older ones stay for it")
    func stopWithChild() {
        for machine in [Machines.withChild, Machines.childHasWord] {
            #expect(machine.after(.stop).effects == [.sendBye(.stop, to: .child), .closeAll, .arm(.exit)])
        }
    }

    @Test("a stop of a draining generation ends its own drain")
    func stopDraining() {
        for machine in [Machines.stoppingAccept, Machines.draining] {
            #expect(machine.after(.stop).effects == [.endDrain, .sendBye(.forced, to: .child), .closeAll, .arm(.exit)])
        }
    }

    @Test("a stop while the word is taken back waits for the answer: who serves then, stops everybody")
    func stopReclaiming() {
        let (machine, effects) = Machines.reclaiming.after(.stop)
        #expect(effects == [])
        #expect(machine.after(.serviceTaken(true)).effects.contains(.sendBye(.stop, to: .older)))
        #expect(machine.after(.serviceTaken(false)).effects.contains(.sendBye(.forced, to: .child)))
        #expect(machine.after(.serviceTaken(true)).machine.state == .leaving(0))
    }

    @Test("who leaves exits when all is closed, at its deadline, or at a second signal")
    func exits() {
        let leaving = Machines.serving.after(.stop).machine
        for event in [RestartEvent.closedAll, .timeout(.exit), .stop] { #expect(leaving.after(event).effects == [.exit(0)]) }
        #expect(leaving.after(.childHello(epoch: 5)).effects == [])
    }

    @Test("no event in any state traps, and leaving is final", arguments: [5 as UInt64])
    func everyEventEverywhere(epoch: UInt64) {
        let machines = Machines.reachable(epoch: epoch)
        print("\(machines.count) states of one machine, \(Machines.everyEvent.count) events")
        for machine in machines {
            for event in Machines.everyEvent {
                let (next, effects) = machine.after(event)
                guard case .leaving = machine.state else { continue }
                #expect(next.state == machine.state)
                #expect(effects.allSatisfy { if case .exit = $0 { true } else { false } })
            }
        }
    }

    @Test("every state that waits for somebody else has a deadline, and each deadline has an outcome")
    func deadlines() {
        // State, its deadline. What is not here waits for our own engine (prepared, acceptStopped, serviceTaken), which answers.
        let waits: [(RestartMachine, RestartTimer)] = [
            (Machines.helloSent, .welcome), (Machines.inheriting, .inheritance), (Machines.adopting, .extraSockets),
            (Machines.warming, .warmUp), (Machines.announcing, .parentAnswer), (Machines.withChild, .childInitialization),
            (Machines.childHasWord, .childReady), (Machines.draining, .rollbackWindow), (Machines.draining, .forceClose),
            (Machines.draining.after(.drainNow).machine, .exit), (Machines.serving.after(.stop).machine, .exit),
        ]
        for (machine, timer) in waits {
            let (next, effects) = machine.after(.timeout(timer))
            #expect(next != machine || !effects.isEmpty, "\(timer) in \(machine.state) changes nothing")
        }
        #expect(Set(waits.map(\.1)) == Set(RestartTimer.allCases))
    }

    @Test("every timer that can be armed is armed when its state is entered")
    func armed() {
        var armed: Set<RestartTimer> = []
        for machine in Machines.reachable(epoch: 5) {
            for event in Machines.everyEvent { for case .arm(let timer) in machine.after(event).effects { armed.insert(timer) } }
        }
        #expect(armed == Set(RestartTimer.allCases))
    }

    @Test("every failure says at which step, what happened and what to do, under an id of its own")
    func failures() {
        let failures: [RestartFailure] = [
            .busy, .epochNotAbove(3, serving: 4), .silentParent("no WELCOME"), .notServing, .givenUpByParent, .serviceNotTaken,
            .fencedOut(owner: 3), .childDied, .childFailed, .childStopped, .childTooSlow, .childSilent,
        ]
        for failure in failures {
            #expect(!failure.step.isEmpty && !failure.message.isEmpty && !failure.remedy.isEmpty)
            #expect(failure.id.hasPrefix("PX-R") && failure.id.count == 7 && failure.exitCode != 0)
        }
        #expect(Set(failures.map(\.id)).count == failures.count)
    }
}

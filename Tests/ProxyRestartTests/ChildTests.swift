import Testing

@testable import ProxyRestart

/// A generation on its way to serving.
struct ChildTests {
    @Test("a cold start looks for a parent, finds none, prepares, warms up and creates the word")
    func coldStart() {
        var machine = RestartMachine(epoch: 0)
        #expect(machine.handle(.start(hotRestart: true)) == [.lookForParent])
        #expect(machine.handle(.nobodyServes) == [.prepare(cold: true)])
        #expect(machine.handle(.prepared) == [.note(.prepared), .arm(.warmUp)])
        #expect(machine.handle(.warm) == [.cancel(.warmUp), .note(.warmedUp), .takeService(from: nil)])
        #expect(machine.handle(.serviceTaken(true)) == [.startAccepting, .note(.tookOver)])
        #expect(machine.state == .serving && machine.serves && machine.child == .none)
    }

    @Test("with --disable-hot-restart no parent is looked for")
    func withoutHotRestart() {
        var machine = RestartMachine(epoch: 3)
        #expect(machine.handle(.start(hotRestart: false)) == [.prepare(cold: true)])
    }

    @Test("a restart: hello, welcome, inheritance, adoption, warm-up, take-over, announcement, parent drains")
    func restart() {
        var machine = RestartMachine(epoch: 5)
        _ = machine.handle(.start(hotRestart: true))
        #expect(machine.handle(.connected) == [.note(.connectedToParent), .sendHello, .arm(.welcome)])
        #expect(machine.handle(.welcome(parentEpoch: 4)) == [.cancel(.welcome), .note(.welcomed), .arm(.inheritance)])
        #expect(
            machine.handle(.inheritanceEnded) == [.cancel(.inheritance), .note(.inherited), .adoptInheritance, .arm(.extraSockets)])
        #expect(machine.handle(.extraSocketsArrived) == [.cancel(.extraSockets), .prepare(cold: false)])
        #expect(machine.handle(.prepared) == [.note(.prepared), .arm(.warmUp)])
        #expect(machine.handle(.warm) == [.cancel(.warmUp), .note(.warmedUp), .takeService(from: 4)])
        #expect(!machine.serves)
        #expect(machine.handle(.serviceTaken(true)) == [.startAccepting, .sendReady, .note(.tookOver), .arm(.parentAnswer)])
        #expect(machine.serves)
        #expect(machine.handle(.parentDraining) == [.cancel(.parentAnswer), .note(.parentDrains)])
        #expect(machine.state == .serving)
    }

    @Test("a parent whose epoch is not below ours ends the attempt with a failure that names it", arguments: [5 as UInt64, 6])
    func epochNotAbove(parentEpoch: UInt64) {
        let (machine, effects) = Machines.helloSent.after(.welcome(parentEpoch: parentEpoch))
        let failure = RestartFailure.epochNotAbove(5, serving: parentEpoch)
        #expect(effects == [.reportFailure(failure), .sendBye(.failed, to: .parent), .exit(1)])
        #expect(machine.state == .leaving(1))
        #expect(failure.message.contains("\(parentEpoch)"))
    }

    @Test("a busy parent ends the attempt with exit code 75")
    func busy() {
        let (machine, effects) = Machines.helloSent.after(.refused(.busy))
        #expect(effects == [.reportFailure(.busy), .sendBye(.failed, to: .parent), .exit(75)])
        #expect(machine.state == .leaving(75))
    }

    // MARK: silence

    @Test("a parent that does not say WELCOME, or sends no sockets, ends the attempt")
    func silentBeforeInheritance() {
        for (before, timer) in [(Machines.helloSent, RestartTimer.welcome), (Machines.inheriting, .inheritance)] {
            let (machine, effects) = before.after(.timeout(timer))
            #expect(machine.state == .leaving(1))
            #expect(effects.dropFirst() == [.sendBye(.failed, to: .parent), .exit(1)])
            guard case .reportFailure(let failure)? = effects.first else { return #expect(Bool(false), "no report") }
            #expect(failure.id == "PX-R003")
        }
    }

    @Test("extra sockets that do not come are done without; names that do not resolve too")
    func silentAfterInheritance() {
        #expect(Machines.adopting.after(.timeout(.extraSockets)).effects == [.cancel(.extraSockets), .prepare(cold: false)])
        #expect(Machines.warming.after(.timeout(.warmUp)).effects == [.note(.coldAtDeadline), .takeService(from: 4)])
    }

    @Test("a parent that does not answer READY is left alone: the word is ours")
    func silentAfterReady() {
        let (machine, effects) = Machines.announcing.after(.timeout(.parentAnswer))
        #expect(machine.state == .serving && effects == [.note(.parentSilent)])
        #expect(machine.after(.parentDraining).effects == [.note(.parentDrains)])
    }

    // MARK: the parent dies

    @Test("a parent that dies before WELCOME has given nothing: look again")
    func deathBeforeWelcome() {
        let (machine, effects) = Machines.helloSent.after(.parentGone)
        #expect(effects == [.cancel(.welcome), .note(.parentDied), .forgetParent, .lookForParent])
        #expect(machine.state == .lookingForParent)
    }

    @Test("a parent that dies, or leaves on purpose, makes us take over as soon as the sockets are open, warm or not", arguments: [
        RestartEvent.parentGone, .parentBye(.stop), .parentBye(.forced), .parentBye(.drained),
    ])
    func deathBeforeTakeOver(_ event: RestartEvent) {
        let note: RestartNote = if case .parentBye(let word) = event { .parentLeft(word) } else { .parentDied }
        #expect(
            Machines.inheriting.after(event).effects
                == [.note(note), .cancel(.inheritance), .adoptInheritance, .arm(.extraSockets)], "with what has come")
        #expect(Machines.adopting.after(event).effects == [.note(note), .cancel(.extraSockets), .prepare(cold: false)])
        let preparing = Machines.preparing.after(event)
        #expect(preparing.effects == [.note(note)])
        #expect(preparing.machine.after(.prepared).effects == [.note(.prepared), .takeService(from: 4)], "without a warm-up")
        let warming = Machines.warming.after(event)
        #expect(warming.effects == [.note(note), .cancel(.warmUp), .takeService(from: 4)])
        #expect(warming.machine.after(.serviceTaken(true)).effects == [.startAccepting, .forgetParent, .note(.tookOver)])
    }

    @Test("a parent that dies during the take-over leaves nobody to announce to")
    func deathInTakeOver() {
        let (machine, effects) = Machines.takingOver.after(.parentGone)
        #expect(effects == [.note(.parentDied)])
        #expect(machine.after(.serviceTaken(true)).effects == [.startAccepting, .forgetParent, .note(.tookOver)])
        #expect(Machines.announcing.after(.parentGone).effects == [.cancel(.parentAnswer), .note(.parentDied), .forgetParent])
        #expect(Machines.successful.after(.parentGone).effects == [.note(.parentDied), .forgetParent])
        #expect(Machines.successful.after(.parentBye(.drained)).effects == [.note(.parentLeft(.drained)), .forgetParent])
    }

    // MARK: failures

    @Test("a parent that gave up on us goes on serving: we leave", arguments: [
        Machines.inheriting, Machines.adopting, Machines.preparing, Machines.warming,
    ])
    func givenUp(machine: RestartMachine) {
        let (left, effects) = machine.after(.parentBye(.failed))
        #expect(left.state == .leaving(1))
        #expect(effects == [.reportFailure(.givenUpByParent), .sendBye(.failed, to: .parent), .exit(1)])
    }

    @Test("a parent that gave up on us after we took the word kills us, takes it back, or dies first: until then there is no outcome")
    func givenUpWithTheWord() {
        let (givenUp, effects) = Machines.announcing.after(.parentBye(.failed))
        #expect(givenUp.state == .announcing && effects.isEmpty)
        let (fenced, failure) = givenUp.after(.lostService(to: 4))
        #expect(fenced.state == .stoppingAccept)
        #expect(failure == [.reportFailure(.givenUpByParent), .cancel(.parentAnswer), .stopAccepting])
        #expect(givenUp.after(.parentGone).machine.state == .serving)
        #expect(givenUp.after(.timeout(.parentAnswer)).machine.state == .serving)
    }

    @Test("a step that fails before the take-over tells the parent and leaves", arguments: [
        Machines.adopting, Machines.preparing, Machines.warming, Machines.takingOver,
    ])
    func stepFails(machine: RestartMachine) {
        let (left, effects) = machine.after(.failed(.modelFailure))
        #expect(left.state == .leaving(1))
        #expect(effects == [.reportFailure(.modelFailure), .sendBye(.failed, to: .parent), .exit(1)])
    }

    @Test("whoever does not get the word leaves: another generation was quicker")
    func wordNotTaken() {
        let (machine, effects) = Machines.takingOver.after(.serviceTaken(false))
        #expect(machine.state == .leaving(75))
        #expect(effects == [.reportFailure(.serviceNotTaken), .sendBye(.failed, to: .parent), .exit(75)])
    }

    @Test("SIGTERM before the take-over leaves the parent serving", arguments: [
        Machines.helloSent, Machines.inheriting, Machines.adopting, Machines.preparing, Machines.warming, Machines.takingOver,
    ])
    func stopped(machine: RestartMachine) {
        let (left, effects) = machine.after(.stop)
        #expect(left.state == .leaving(0))
        #expect(effects == [.sendBye(.failed, to: .parent), .exit(0)])
    }

    @Test("a HELLO before the parent has answered is refused as busy")
    func helloWhileAnnouncing() {
        #expect(Machines.announcing.after(.childHello(epoch: 6)).effects == [.refuseChild(.busy)])
    }
}

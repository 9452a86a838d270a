/// Every way a restart can fail, with the text and the remedy a person reads. docs/errors.md explains each id.
extension RestartFailure {
    public static let busy = RestartFailure(
        step: "hello", id: "PX-R001", message: "previous generation is still initializing",
        remedy: "Try again when the restart in progress has ended (`restarter status` shows it).", exitCode: 75)

    public static func epochNotAbove(_ epoch: UInt64, serving: UInt64) -> RestartFailure {
        RestartFailure(
            step: "hello", id: "PX-R002", message: "restart epoch \(epoch) is not above the serving epoch \(serving)",
            remedy: "Give --restart-epoch \(serving &+ 1), or --restart-epoch without a number for the next one.")
    }

    public static func silentParent(_ what: String) -> RestartFailure {
        RestartFailure(
            step: "hello", id: "PX-R003", message: "the serving generation does not answer: \(what) within its deadline",
            remedy: "See whether its process is stopped or overloaded (`restarter status`); it goes on serving, nothing has changed.")
    }

    public static func deadParent(_ pid: Int32) -> RestartFailure {
        RestartFailure(
            step: "hello", id: "PX-R003", message: "the serving generation does not answer: pid \(pid) has died before it handed over",
            remedy: "Whoever holds copies of its sockets starts a replacement with them; see the restarter's log.")
    }

    public static let notServing = RestartFailure(
        step: "hello", id: "PX-R004", message: "this generation does not serve any more", remedy: "Try again.", exitCode: 75)

    public static let givenUpByParent = RestartFailure(
        step: "take over", id: "PX-R005", message: "the serving generation gave up waiting and goes on serving",
        remedy: "See the log of the new generation for what took so long, then restart again.")

    public static let serviceNotTaken = RestartFailure(
        step: "take over", id: "PX-R006", message: "another generation took over first",
        remedy: "It serves; restart again to replace it.", exitCode: 75)

    public static func fencedOut(owner: UInt64) -> RestartFailure {
        RestartFailure(
            step: "serve", id: "PX-R007", message: "epoch \(owner) serves now: this process was stopped for too long and was replaced",
            remedy: "Nothing to do for clients; find out what stopped this process (SIGSTOP, debugger, frozen cgroup).")
    }

    public static let childDied = RestartFailure(
        step: "initialize", id: "PX-R008", message: "the new generation died",
        remedy: "See its log and exit status; the old generation serves, restart again when the cause is removed.")
    public static let childFailed = RestartFailure(
        step: "initialize", id: "PX-R009", message: "the new generation could not take over",
        remedy: "See its log for the step that failed; the old generation serves, nothing has changed.")
    public static let childStopped = RestartFailure(
        step: "initialize", id: "PX-R010", message: "the new generation was stopped before it took over",
        remedy: "The old generation serves; restart again if that was not intended.")
    public static let childTooSlow = RestartFailure(
        step: "initialize", id: "PX-R011", message: "the new generation did not become ready in time and was ended",
        remedy: "See its log for what took so long; the old generation serves, nothing has changed.")
    public static let childSilent = RestartFailure(
        step: "serve", id: "PX-R012", message: "the new generation showed no sign of life and was ended",
        remedy: "See its log; the old generation serves again.")
}

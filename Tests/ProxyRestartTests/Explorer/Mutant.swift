import ProxyRestart

/// The machine with one of its guards taken away, from outside: events it does not hear or hears wrongly, effects it forgets. An
/// explorer that finds nothing wrong with such a machine would find nothing in the real one.
struct Mutant: Sendable {
    /// The guard that is missing.
    var name: String
    /// What the machine hears instead.
    var event: @Sendable (RestartMachine, RestartEvent) -> RestartEvent = { $1 }
    /// What it orders instead; the machine is the one after the event. nil: nothing.
    var effect: @Sendable (RestartMachine, RestartEvent, RestartEffect) -> RestartEffect? = { $2 }
}

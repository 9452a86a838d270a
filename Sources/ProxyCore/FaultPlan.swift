// Only in builds made for tests (package trait FaultPoints). PROXY_FAULT holds entries separated by semicolons:
//
//     child.afterHello=kill           kill, stop (SIGSTOP) or delay:MS, or several with commas: delay:100,kill
//     parent.afterWelcome=truncate    the next message ends in its middle; drop: it lacks a descriptor
//     child.opening=fail:listen:98    the next listen() fails with this errno
//     deadline.childReady=500         ms of one of the machine's timers
//     capabilities=0x3  required=0x40  versions=2:3
//
// The names of the steps are those of the calls of `faultPoint` in Sources/proxy.
#if PX_FAULT_POINTS
    internal import CProxyCore

    #if canImport(Glibc)
        internal import Glibc
    #endif

    /// What a test wants to go wrong in this process.
    public enum FaultPlan {
        static let entries: [String: String] = read()
        nonisolated(unsafe) private static var reached: Set<String> = []

        private static func read() -> [String: String] {
            guard let text = getenv("PROXY_FAULT").map({ String(cString: $0) }) else { return [:] }
            var entries: [String: String] = [:]
            for entry in text.split(separator: ";") {
                let parts = entry.split(separator: "=", maxSplits: 1)
                guard parts.count == 2 else { fatalError("PROXY_FAULT: '\(entry)' is not NAME=ACTION") }
                entries[String(parts[0])] = String(parts[1])
            }
            return entries
        }

        /// Once per step and process, on the main thread.
        public static func reach(_ step: String) {
            guard let actions = entries[step], reached.insert(step).inserted else { return }
            let line = "fault point \(step): \(actions)\n"
            write(STDERR_FILENO, line, line.utf8.count)
            for action in actions.split(separator: ",") { perform(action.split(separator: ":").map(String.init), step) }
        }

        private static func perform(_ words: [String], _ step: String) {
            switch (words[0], words.count) {
            case ("kill", 1): raise(SIGKILL)
            case ("stop", 1): raise(SIGSTOP)
            case ("delay", 2): usleep(UInt32(words[1])! * 1000)
            case ("truncate", 1): px_fault_truncate_next()
            case ("drop", 1): px_fault_drop_next()
            case ("fail", 3): px_fault_fail_next(words[1], Int32(words[2])!)
            default: fatalError("PROXY_FAULT: \(step) cannot \(words)")
            }
        }

        public static func deadline(_ name: String) -> UInt64? { entries["deadline.\(name)"].flatMap { UInt64($0) } }

        static func capabilities(_ name: String, or standard: Capabilities) -> Capabilities {
            guard let text = entries[name] else { return standard }
            return Capabilities(rawValue: UInt64(text.dropFirst(2), radix: 16)!)
        }
        static func version(_ position: Int, or standard: Int32) -> UInt16 {
            entries["versions"].flatMap { UInt16($0.split(separator: ":")[position]) } ?? UInt16(standard)
        }
    }
#endif

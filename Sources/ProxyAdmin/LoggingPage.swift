/// `/logging`: lists components with their levels, after the change if one is asked for.
enum LoggingPage {
    static let parameters: [AdminRouter.Route.Parameter] = [
        .init(name: "level", help: "set every component to this level"),
        .init(name: "paths", help: "set several: component:level,component:level"),
        .init(name: "<component>", help: "set this component's level"),
    ]
    private static let levels: Set<String> = ["trace", "debug", "info", "notice", "warning", "warn", "error", "critical", "off"]

    static func reply(_ query: AdminQuery, _ snapshot: AdminSnapshot) -> AdminReply {
        let present = snapshot.logLevels()
        guard let (name, value) = query.first, query.count > 1 || !value.isEmpty else { return AdminReply(list(present)) }
        guard query.count == 1 else { return usage("invalid number of parameters") }
        switch name {
        case "level":
            guard levels.contains(value) else { return usage("unknown logger level") }
            return AdminReply(list(present.map { .init(component: $0.component, level: canonical(value)) }), action: .setLogLevel(value))
        case "paths":
            let wanted = value.split(separator: ",").map(pair)
            guard !wanted.contains(where: { $0.component.isEmpty || $0.level.isEmpty }) else {
                return usage("empty logger name or empty logger level")
            }
            return change(wanted, present)
        case "group":
            return usage("group parameter requires fine-grain logging, which is not available")
        default:
            return change([ComponentLevel(component: name, level: value)], present)
        }
    }

    private static func pair(_ text: Substring) -> ComponentLevel {
        let sides = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        return ComponentLevel(component: String(sides[0]), level: sides.count > 1 ? String(sides[1]) : "")
    }

    /// All of them, or none.
    private static func change(_ wanted: [ComponentLevel], _ present: [ComponentLevel]) -> AdminReply {
        var after = present
        for entry in wanted {
            guard let index = after.firstIndex(where: { $0.component == entry.component }) else { return usage("unknown logger name") }
            guard levels.contains(entry.level) else { return usage("unknown logger level") }
            after[index].level = canonical(entry.level)
        }
        guard !wanted.isEmpty else { return usage("empty logger name or empty logger level") }
        return AdminReply(list(after), action: .setComponentLogLevels(wanted))
    }

    private static func canonical(_ level: String) -> String { level == "warn" ? "warning" : level }

    private static func list(_ levels: [ComponentLevel]) -> AdminResponse {
        AdminResponse("active loggers:\n" + levels.map { "  \($0.component): \($0.level)\n" }.joined())
    }

    private static func usage(_ problem: String) -> AdminReply {
        AdminReply(
            .badRequest(
                "error: \(problem)\n\nusage: /logging?<name>=<level> (change single level)\n"
                    + "usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)\n"
                    + "usage: /logging?level=<level> (change all levels)\n"
                    + "levels: trace debug info notice warning error critical off\n"))
    }
}

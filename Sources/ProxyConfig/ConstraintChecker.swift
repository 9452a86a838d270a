/// Checks what concerns a message as a whole, on the merged tree: required fields and oneofs, numbers of items.
struct ConstraintChecker {
    let findings: Findings

    func check(_ message: Message) {
        for oneof in message.schema.requiredOneofs { checkOneof(oneof, message) }
        for field in message.schema.fields { checkRules(field, message) }
        for entry in message.entries { descend(entry.value) }
    }

    private func descend(_ value: Value) {
        switch value {
        case .message(let message), .any(_, let message): check(message)
        case .list(let items): items.forEach { descend($0.value) }
        default: break
        }
    }

    private func checkOneof(_ oneof: String, _ message: Message) {
        guard !message.entries.contains(where: { $0.field.oneof == oneof }) else { return }
        let members = message.schema.fields.filter { $0.oneof == oneof }
        let usable = members.filter { if case .later = $0.status { return false } else { return true } }
        let names = usable.map { "'\($0.name)'" }
        findings.error(
            .missingField, message.place,
            "\(holder(message)) needs \(names.count == 1 ? names[0] : "one of " + names.joined(separator: ", "))",
            path: message.path)
    }

    private func checkRules(_ field: FieldSchema, _ message: Message) {
        for rule in field.rules {
            switch rule {
            case .required where !message.has(field.name): missing(field, message)
            case .nonEmpty: checkNonEmpty(field, message)
            case .minItems(let count) where itemCount(field, message) < count:
                wrongCount(field, message, "at least \(count) item\(count == 1 ? "" : "s")")
            case .maxItems(let count) where itemCount(field, message) > count:
                wrongCount(field, message, "at most \(count) items")
            default: break
            }
        }
    }

    /// A required string that is missing, or there but empty.
    private func checkNonEmpty(_ field: FieldSchema, _ message: Message) {
        guard let entry = message.entry(field.name) else {
            // In a oneof another member may stand instead.
            if field.oneof == nil { missing(field, message) }
            return
        }
        if case .string("") = entry.value {
            findings.error(.missingField, entry.place, "'\(field.name)' must not be empty", path: message.path(of: field.name))
        }
    }

    private func missing(_ field: FieldSchema, _ message: Message) {
        findings.error(.missingField, message.place, "\(holder(message)) has no '\(field.name)'", path: message.path(of: field.name))
    }

    private func wrongCount(_ field: FieldSchema, _ message: Message, _ wanted: String) {
        if message.entry(field.name)?.value.isInvalid ?? false { return }
        let place = message.entry(field.name)?.place ?? message.place
        findings.error(.itemCount, place, "'\(field.name)' must have \(wanted)", path: message.path(of: field.name))
    }

    private func itemCount(_ field: FieldSchema, _ message: Message) -> Int {
        if case .list(let items)? = message.entry(field.name)?.value { return items.count }
        return 0
    }

    private func holder(_ message: Message) -> String { lastName(message.path) }
}

/// protobuf's MergeFrom: messages are merged field by field, lists appended, everything else replaced.
extension Message {
    func merge(_ other: Message) {
        for entry in other.entries { merge(entry) }
    }

    private func merge(_ entry: Entry) {
        if let oneof = entry.field.oneof {
            entries.removeAll { $0.field.oneof == oneof && $0.field.name != entry.field.name }
        }
        guard let index = entries.firstIndex(where: { $0.field.name == entry.field.name }) else {
            entries.append(entry)
            return
        }
        switch (entries[index].value, entry.value) {
        case (.message(let own), .message(let theirs)): own.merge(theirs)
        case (.list(let own), .list(let theirs)): entries[index].value = .list(own + theirs)
        case (.raw(let own), .raw(let theirs)): entries[index].value = .raw(Self.merged(own, theirs))
        default: entries[index] = entry
        }
    }

    /// A Struct is a map from string to value: a key of the second replaces that of the first.
    private static func merged(_ own: YAMLNode, _ theirs: YAMLNode) -> YAMLNode {
        guard case .mapping(let a) = own.content, case .mapping(let b) = theirs.content else { return theirs }
        let names = Set(b.map(\.key))
        return YAMLNode(.mapping(a.filter { !names.contains($0.key) } + b), place: own.place, weight: own.weight + theirs.weight)
    }
}

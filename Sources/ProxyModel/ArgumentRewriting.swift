/// The server's command line as a list of options, each with what belongs to it, in the order given. Knows the grammar only as far
/// as the parser's: a word that begins with "-" starts an option, other words are values of the option before, and a few options
/// take the next word whatever it looks like.
public struct ArgumentList: Sendable, Equatable {
    public struct Item: Sendable, Equatable {
        /// Long name with its dashes ("--config-path" for "-c" too); words before the first option have the name "".
        public var name: String
        /// The text after "=", if there is one.
        public var inlineValue: String?
        /// The words as given: the option and its values.
        public var words: [String]

        public var value: String? { inlineValue ?? (words.count > 1 ? words[1] : nil) }
    }

    public private(set) var items: [Item] = []

    /// Options whose value may begin with a dash: a YAML document does ("---"), a log pattern may.
    public static let takingAnyValue: Set<String> = ["--config-yaml", "--log-format"]

    /// `arguments`: without the program's own name.
    public init(_ arguments: [String]) {
        var position = arguments.startIndex
        while position < arguments.endIndex {
            let word = arguments[position]
            position += 1
            guard word.count > 1, word.hasPrefix("-") else {
                appendValue(word)
                continue
            }
            let item = Self.option(word)
            items.append(item)
            if item.inlineValue == nil, Self.takingAnyValue.contains(item.name), position < arguments.endIndex {
                appendValue(arguments[position])
                position += 1
            }
        }
    }

    public var arguments: [String] { items.flatMap(\.words) }

    /// The same in the forms that the argument parser reads right: values that may begin with a dash are joined to their option, or it
    /// takes them for options; the epoch is apart from its option, or it is overlooked when another option follows (swift-argument-parser
    /// 1.8.2, options whose value may be left out).
    public var unambiguousArguments: [String] {
        items.flatMap { item in
            if item.name == "--restart-epoch", let epoch = item.inlineValue { return [item.name, epoch] + item.words.dropFirst() }
            guard Self.takingAnyValue.contains(item.name), item.inlineValue == nil, item.words.count > 1 else { return item.words }
            return ["\(item.name)=\(item.words[1])"] + item.words.dropFirst(2)
        }
    }

    public mutating func remove(_ names: String...) {
        items.removeAll { names.contains($0.name) }
    }

    /// Give `name` this value: in the place of its first appearance, else at the end.
    public mutating func set(_ name: String, to value: String) {
        let item = Item(name: name, inlineValue: value, words: ["\(name)=\(value)"])
        guard let first = items.firstIndex(where: { $0.name == name }) else {
            items.append(item)
            return
        }
        remove(name)
        items.insert(item, at: first)
    }

    private mutating func appendValue(_ word: String) {
        if items.isEmpty { items.append(Item(name: "", inlineValue: nil, words: [])) }
        items[items.count - 1].words.append(word)
    }

    private static func longName(_ name: String) -> String {
        switch name {
        case "-c": "--config-path"
        case "-l": "--log-level"
        case "-h": "--help"
        case "--allow-unknown-fields": "--allow-unknown-static-fields"
        default: name
        }
    }

    private static func option(_ word: String) -> Item {
        guard let equals = word.firstIndex(of: "=") else {
            return Item(name: longName(word), inlineValue: nil, words: [word])
        }
        let name = String(word[..<equals])
        return Item(name: longName(name), inlineValue: String(word[word.index(after: equals)...]), words: [word])
    }
}

/// The command line of the next generation, made from the present one's.
public enum ArgumentRewriting {
    public struct Changes: Sendable, Equatable {
        /// Configuration file in place of the present one.
        public var configPath: String?
        /// The epoch to name; nil: left to the new generation, which asks the serving one (`--restart-epoch` without a value).
        public var epoch: UInt64?
        /// The base id in use: a dynamic one must be found again, not chosen anew.
        public var baseID: UInt32?
        public init(configPath: String? = nil, epoch: UInt64? = nil, baseID: UInt32? = nil) {
            self.configPath = configPath
            self.epoch = epoch
            self.baseID = baseID
        }
    }

    /// `arguments` without the program's name, and so is the result. `--restart-epoch` in every form is replaced; everything else
    /// stays as it was given, in its order.
    public static func arguments(forNextAfter arguments: [String], changes: Changes = Changes()) -> [String] {
        var list = ArgumentList(arguments)
        list.remove("--restart-epoch")
        if let path = changes.configPath { list.set("--config-path", to: path) }
        if let baseID = changes.baseID {
            list.remove("--use-dynamic-base-id")
            list.set("--base-id", to: String(baseID))
        }
        let epoch = changes.epoch.map { "--restart-epoch=\($0)" } ?? "--restart-epoch"
        return list.arguments + [epoch]
    }
}

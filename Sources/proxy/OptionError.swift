import ProxyModel

/// A command line that cannot be used. `id` is explained in docs/errors.md; `remedy` says what to do next and is never empty.
struct OptionError: Error, Equatable {
    var id: String
    var message: String
    var remedy: String

    /// As printed on stderr.
    var text: String { "error: \(message)  [\(id)]\n  \(remedy)\n" }

    static func emptyValue(_ name: String) -> OptionError {
        OptionError(
            id: "PX-U003", message: "\(name)= has an empty value",
            remedy: name == "--restart-epoch"
                ? "Give a number, as in --restart-epoch=3, or --restart-epoch alone for the next generation (an unset variable in a script looks like this)."
                : "Give a value after the =, or leave the option out.")
    }

    static func givenTwice(_ first: ArgumentList.Item, _ second: ArgumentList.Item) -> OptionError {
        OptionError(
            id: "PX-U002",
            message:
                "(\(first.name)) -- Argument already set! (\(first.words.joined(separator: " ")), then \(second.words.joined(separator: " ")))",
            remedy: "Give the option once.")
    }

    static func badEpoch(_ value: String) -> OptionError {
        OptionError(
            id: "PX-U016", message: "(--restart-epoch) -- Couldn't read argument value from string '\(value)'",
            remedy: "Give a whole number from 0, as in --restart-epoch=3, or --restart-epoch alone for the next generation.")
    }
}

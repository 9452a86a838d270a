import Testing

@testable import ProxyConfig

/// protobuf's JSON scalars by themselves.
struct ScalarTests {
    @Test(
        "durations there and back",
        arguments: [
            ("0s", 0, "0s"), ("1s", 1_000_000_000, "1s"), ("0.25s", 250_000_000, "0.250s"), ("1.000000001s", 1_000_000_001, "1.000000001s"),
            ("0.0001s", 100_000, "0.000100s"), ("-0.5s", -500_000_000, "-0.500s"), ("315576000000s", Int64.max, "9223372036.854775807s"),
        ] as [(String, Int64, String)])
    func durations(text: String, nanoseconds: Int64, printed: String) throws {
        #expect(try ProtoScalars.duration(text) == nanoseconds)
        #expect(ProtoScalars.durationText(nanoseconds) == printed)
    }

    @Test(
        "what is no duration",
        arguments: [
            ("5", .noUnit), ("1.5", .noUnit), ("5ms", .otherUnit), ("5m", .otherUnit), ("1h", .otherUnit), ("s", .malformed),
            ("", .malformed),
            ("1.s", .malformed), (".5s", .malformed), ("1.2.3s", .malformed), ("+1s", .malformed), ("1 s", .malformed),
            ("0.1234567890s", .tooPrecise), ("315576000001s", .tooLong), ("99999999999999999999s", .tooLong),
        ] as [(String, ProtoScalars.DurationProblem)])
    func badDurations(text: String, problem: ProtoScalars.DurationProblem) {
        #expect(throws: problem) { try ProtoScalars.duration(text) }
    }

    @Test(
        "whole numbers however they are written",
        arguments: [
            ("10", 10), ("-3", -3), ("10.0", 10), ("1e3", 1000), ("1.5e1", 15), ("9223372036854775807", Int64.max),
        ] as [(String, Int64)])
    func integers(text: String, value: Int64) {
        guard case .integer(value)? = ProtoScalars.integer(text) else { return #expect(Bool(false), "\(text) was not read as \(value)") }
    }

    @Test("what is no whole number", arguments: ["", "x", "1.5", "1e-1", "0x10", "1e40", "NaN", "inf", "- 1", "1_000"])
    func badIntegers(text: String) { #expect(ProtoScalars.integer(text) == nil) }

    @Test(
        "base64, both alphabets, padded or not",
        arguments: [
            ("", ""), ("Zg==", "f"), ("Zg", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Pz8_", "???"), ("Pz8/", "???"),
        ])
    func base64(text: String, value: String) {
        #expect(ProtoScalars.base64(text) == Array(value.utf8))
    }

    @Test("what is not base64", arguments: ["a", "a===", "a b=", "=", "ab!=", "====="])
    func badBase64(text: String) { #expect(ProtoScalars.base64(text) == nil) }

    @Test("base64 printed is base64 read")
    func base64RoundTrip() {
        for length in 0..<20 {
            let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ length) }
            #expect(ProtoScalars.base64(ProtoScalars.base64Text(bytes)) == bytes)
        }
    }

    @Test(
        "a suggestion is near, or there is none",
        arguments: [
            ("adress", "address"), ("port_vlaue", "port_value"), ("ADDRESS", "address"), ("frobnicate", nil), ("x", nil),
        ] as [(String, String?)])
    func suggestions(name: String, expected: String?) {
        #expect(Suggestion.nearest(to: name, among: ["address", "port_value", "pipe", "protocol"]) == expected)
    }
}

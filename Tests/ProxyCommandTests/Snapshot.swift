import Glibc
import Testing

/// Texts that users read, kept beside the tests. `UPDATE_EXPECTED=1 swift test --filter ProxyCommandTests` writes them anew.
enum Snapshot {
    private static let folder = String(#filePath.prefix(upTo: #filePath.lastIndex(of: "/")!)) + "/Snapshots/"

    static func compare(_ text: String, with name: String) throws {
        guard getenv("UPDATE_EXPECTED") == nil else { return write(text + "\n", folder + name) }
        #expect(read(folder + name) == text + "\n", "\(name) differs: run with UPDATE_EXPECTED=1 and look at the difference")
    }

    static func read(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        while case let byte = fgetc(file), byte != EOF { bytes.append(UInt8(byte)) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func write(_ text: String, _ path: String) {
        guard let file = fopen(path, "w") else { return }
        fputs(text, file)
        fclose(file)
    }
}

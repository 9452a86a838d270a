/// One libyaml event: owns it, and reads out of the C union what the composer asks for.
internal import CYaml

final class YAMLEvent {
    let pointer: UnsafeMutablePointer<yaml_event_t>

    init() {
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: yaml_event_t())
    }

    deinit {
        yaml_event_delete(pointer)
        pointer.deallocate()
    }

    var type: yaml_event_type_t { pointer.pointee.type }

    var anchor: String? {
        switch type {
        case YAML_ALIAS_EVENT: return Self.text(pointer.pointee.data.alias.anchor)
        case YAML_SCALAR_EVENT: return Self.text(pointer.pointee.data.scalar.anchor)
        case YAML_SEQUENCE_START_EVENT: return Self.text(pointer.pointee.data.sequence_start.anchor)
        case YAML_MAPPING_START_EVENT: return Self.text(pointer.pointee.data.mapping_start.anchor)
        default: return nil
        }
    }

    var scalarText: String {
        let scalar = pointer.pointee.data.scalar
        return String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
    }

    /// Not quoted, not a block scalar, and not tagged as a string.
    var scalarIsPlain: Bool {
        guard type == YAML_SCALAR_EVENT else { return false }
        return pointer.pointee.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && pointer.pointee.data.scalar.plain_implicit == 1
    }

    /// From the first to the last column; a scalar over several lines reaches to the end of its first.
    func place(_ source: Int) -> Place {
        let start = pointer.pointee.start_mark
        let end = pointer.pointee.end_mark
        let length = start.line == end.line ? max(1, Int(end.column) - Int(start.column)) : Int.max
        return Place(source: source, line: Int(start.line) + 1, column: Int(start.column) + 1, length: length)
    }

    /// Where a mapping or list begins: one column.
    func collectionPlace(_ source: Int) -> Place {
        var place = place(source)
        place.length = 1
        return place
    }

    private static func text(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        pointer.map { String(decodingCString: $0, as: UTF8.self) }
    }
}

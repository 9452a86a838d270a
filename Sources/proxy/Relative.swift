import ProxyCore

/// Another living generation: the link to it, and how to reach its process.
final class Relative {
    let link: Link
    var epoch: UInt64
    var pid: Int32
    /// nil where the kernel has no pidfds, or the link was inherited.
    let process: ProcessHandle?
    /// What it said when it left on purpose.
    var bye: ByeMessage?
    /// We asked it to end its drain at once.
    var isToldToEnd = false
    /// And that because too many drain.
    var isToldToMakeRoom = false

    init(link: Link, epoch: UInt64, pid: Int32, process: ProcessHandle?) {
        self.link = link
        self.epoch = epoch
        self.pid = pid
        self.process = process
    }
}

extension Descriptor {
    /// A copy of a descriptor that stays somebody else's, to be sent.
    static func copy(of fd: Int32) throws(CoreError) -> Descriptor {
        let copy = System.duplicate(fd)
        guard copy >= 0 else { throw CoreError(code: copy, call: "dup", object: "fd \(fd)") }
        return Descriptor(adopting: copy)
    }
}

import CLinux
import Glibc

/// What answering checks costs the kernel alone: sends the beginning of each datagram back, as soon as some have gathered.
///
/// It sleeps as long as a media loop lets the checks of those who watch nothing gather: fewer wakes would be late for whoever watches.
struct Echo {
    private static let slots = 64
    private static let slotBytes = 2048
    private static let gatherUs: UInt32 = 20_000

    let port: UInt16
    /// How much of a datagram is sent back at most.
    let answerBytes: Int

    /// Answers until the process is killed.
    func run() throws {
        let descriptor = try FloorSocket.open(port: port).descriptor
        let memory = UnsafeMutableRawPointer.allocate(byteCount: Self.slots * Self.slotBytes, alignment: 64)
        let messages = UnsafeMutablePointer<tributary_message>.allocate(capacity: Self.slots)
        let vectors = UnsafeMutablePointer<iovec>.allocate(capacity: Self.slots)
        let addresses = UnsafeMutablePointer<sockaddr_in>.allocate(capacity: Self.slots)
        messages.initialize(repeating: tributary_message(), count: Self.slots)
        addresses.initialize(repeating: sockaddr_in(), count: Self.slots)
        for slot in 0..<Self.slots {
            (vectors + slot).initialize(to: iovec(iov_base: memory + slot * Self.slotBytes, iov_len: Self.slotBytes))
            messages[slot].header.msg_name = UnsafeMutableRawPointer(addresses + slot)
            messages[slot].header.msg_iov = vectors + slot
            messages[slot].header.msg_iovlen = 1
        }
        while true {
            usleep(Self.gatherUs)
            var count = Self.slots
            while count == Self.slots {
                for slot in 0..<Self.slots {
                    messages[slot].header.msg_namelen = socklen_t(MemoryLayout<sockaddr_in>.size)
                    vectors[slot].iov_len = Self.slotBytes
                }
                count = Int(tributary_recvmmsg(descriptor, messages, UInt32(Self.slots), 0))
                guard count > 0 else { break }
                for slot in 0..<count { vectors[slot].iov_len = min(Int(messages[slot].count), answerBytes) }
                _ = tributary_sendmmsg(descriptor, messages, UInt32(count), 0)
            }
        }
    }
}

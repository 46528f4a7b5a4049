import CLinux
import Glibc
import MediaPlane

/// Slots that one recvmmsg fills from one of many sockets, with the kernel's own time of each arrival.
final class DatagramBatch {
    static let slots = 32
    private static let slotBytes = 2048
    private static let controlBytes = tributary_arrival_control_bytes()

    private let memory = UnsafeMutableRawPointer.allocate(byteCount: slots * slotBytes, alignment: 64)
    private let controls = UnsafeMutableRawPointer.allocate(byteCount: slots * controlBytes, alignment: 16)
    private let messages = UnsafeMutablePointer<tributary_message>.allocate(capacity: slots)
    private let vectors = UnsafeMutablePointer<iovec>.allocate(capacity: slots)
    private let addresses = UnsafeMutablePointer<sockaddr_storage>.allocate(capacity: slots)

    init() {
        messages.initialize(repeating: tributary_message(), count: Self.slots)
        addresses.initialize(repeating: sockaddr_storage(), count: Self.slots)
        for slot in 0..<Self.slots {
            (vectors + slot).initialize(to: iovec(iov_base: memory + slot * Self.slotBytes, iov_len: Self.slotBytes))
            messages[slot].header.msg_name = UnsafeMutableRawPointer(addresses + slot)
            messages[slot].header.msg_iov = vectors + slot
            messages[slot].header.msg_iovlen = 1
            messages[slot].header.msg_control = controls + slot * Self.controlBytes
        }
    }

    deinit {
        memory.deallocate()
        controls.deallocate()
        messages.deallocate()
        vectors.deallocate()
        addresses.deallocate()
    }

    /// Takes what is there, up to ``slots``; 0 when nothing is.
    func receive(_ descriptor: Int32) -> Int {
        for slot in 0..<Self.slots {
            messages[slot].header.msg_namelen = socklen_t(MemoryLayout<sockaddr_storage>.size)
            messages[slot].header.msg_controllen = Self.controlBytes
        }
        let count = tributary_recvmmsg(descriptor, messages, UInt32(Self.slots), 0)
        return max(0, Int(count))
    }

    /// The bytes of a datagram, which may be written over.
    func datagram(_ slot: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: memory + slot * Self.slotBytes, count: min(Int(messages[slot].count), Self.slotBytes))
    }

    func source(_ slot: Int) -> SocketAddress? { SocketAddress(addresses + slot) }

    /// When the kernel got it, in nanoseconds since 1970.
    func arrivalNs(_ slot: Int) -> UInt64 { tributary_arrival_ns(&messages[slot].header) }
}

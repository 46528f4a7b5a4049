import CLinux
import Glibc

/// Slots that one recvmmsg fills; datagrams are decrypted and parsed where they lie.
struct ReceiveBatch: ~Copyable {
    private let memory: MappedMemory
    private let messages: UnsafeMutablePointer<tributary_message>
    private let vectors: UnsafeMutablePointer<iovec>
    private let addresses: UnsafeMutablePointer<sockaddr_storage>
    private let controls: UnsafeMutableRawPointer
    private let controlBytes = tributary_own_address_control_bytes()

    init() {
        let batch = MediaLimits.receiveBatch
        memory = MappedMemory(byteCount: batch * MediaLimits.receiveSlotBytes)
        messages = .allocate(capacity: batch)
        messages.initialize(repeating: tributary_message(), count: batch)
        vectors = .allocate(capacity: batch)
        addresses = .allocate(capacity: batch)
        controls = .allocate(byteCount: batch * controlBytes, alignment: 16)
        addresses.initialize(repeating: sockaddr_storage(), count: batch)
        for index in 0..<batch {
            let start = memory.start + index * MediaLimits.receiveSlotBytes
            (vectors + index).initialize(to: iovec(iov_base: start, iov_len: MediaLimits.receiveSlotBytes))
            messages[index].header.msg_name = UnsafeMutableRawPointer(addresses + index)
            messages[index].header.msg_iov = vectors + index
            messages[index].header.msg_iovlen = 1
            messages[index].header.msg_control = controls + index * controlBytes
        }
    }

    deinit {
        messages.deallocate()
        vectors.deallocate()
        addresses.deallocate()
        controls.deallocate()
    }

    /// Takes what is there, up to a batch; 0 when nothing is.
    func receive(_ descriptor: Int32) -> Int {
        let batch = MediaLimits.receiveBatch
        for index in 0..<batch {
            messages[index].header.msg_namelen = socklen_t(MemoryLayout<sockaddr_storage>.size)
            messages[index].header.msg_controllen = controlBytes
        }
        let result = tributary_recvmmsg(descriptor, messages, UInt32(batch), Int32(MSG_DONTWAIT))
        return max(0, Int(result))
    }

    @inline(__always)
    func datagram(_ index: Int) -> UnsafeMutableRawBufferPointer {
        let count = min(Int(messages[index].count), MediaLimits.receiveSlotBytes)
        return UnsafeMutableRawBufferPointer(start: memory.start + index * MediaLimits.receiveSlotBytes, count: count)
    }

    @inline(__always)
    func isTruncated(_ index: Int) -> Bool {
        messages[index].header.msg_flags & Int32(MSG_TRUNC) != 0
    }

    /// Who sent a datagram, and to which of our addresses where the socket has several and it matters (`own`).
    @inline(__always)
    func source(_ index: Int, _ own: UnsafeMutablePointer<OwnAddresses>?) -> SocketAddress? {
        guard let source = SocketAddress(addresses + index) else { return nil }
        var destination = tributary_own_address()
        guard let own, messages[index].header.msg_controllen > 0,
            tributary_read_own_address(&messages[index].header, &destination) != 0
        else { return source }
        return source.by(own.pointee.way(from: destination))
    }
}

import CLinux
import Glibc

/// What went out through a socket, and what did not.
struct SendTotals {
    /// Datagrams, the messages they went in, and their bytes.
    var sent: UInt64 = 0
    var messages: UInt64 = 0
    var bytes: UInt64 = 0
    /// Datagrams lost because the socket's buffer was full, and those that the system refused.
    var bufferFull: UInt64 = 0
    var failed: UInt64 = 0
    /// Datagrams for TCP connections that were full or gone.
    var streamFull: UInt64 = 0

    mutating func add(_ other: SendTotals) {
        sent &+= other.sent
        messages &+= other.messages
        bytes &+= other.bytes
        bufferFull &+= other.bufferFull
        failed &+= other.failed
        streamFull &+= other.streamFull
    }
}

/// Outgoing datagrams of one loop until the next flush: one slab, one message for each run of equal sizes to one peer.
///
/// A run goes down the stack as a single buffer that the kernel cuts (UDP_SEGMENT); only its last datagram may be shorter.
struct SendArena: ~Copyable {
    private struct Run {
        var owner: UInt64 = 0
        var address = SocketAddress(ipv4: 0, port: 0)
        var segmentBytes = 0
        var segments = 0
        var bytes = 0
        var isClosed = true
    }

    private let descriptor: Int32
    private let isDualStack: Bool
    private let memory: MappedMemory
    private let messages: UnsafeMutablePointer<tributary_message>
    private let vectors: UnsafeMutablePointer<iovec>
    private let addresses: UnsafeMutablePointer<sockaddr_storage>
    private let controls: UnsafeMutableRawPointer
    private let controlBytes: Int
    private let runs: UnsafeMutablePointer<Run>
    private var used = 0
    private var messageCount = 0
    /// Whether runs are made; see ``SegmentationTrial``.
    var usesSegmentation: Bool { trial.isOn }
    private var trial: SegmentationTrial

    private(set) var totals = SendTotals()
    /// Where datagrams for TCP connections go; nil where there are none.
    var streams: UnsafeMutablePointer<TCPTable>?
    /// What datagrams leave from, for a socket that has several addresses.
    var ownAddresses: UnsafeMutablePointer<OwnAddresses>?

    init(descriptor: Int32, isDualStack: Bool, usesSegmentation: Bool) {
        self.descriptor = descriptor
        self.isDualStack = isDualStack
        trial = SegmentationTrial(isWanted: usesSegmentation)
        memory = MappedMemory(byteCount: MediaLimits.arenaBytes)
        let batch = MediaLimits.sendBatch
        messages = .allocate(capacity: batch)
        messages.initialize(repeating: tributary_message(), count: batch)
        vectors = .allocate(capacity: batch)
        vectors.initialize(repeating: iovec(), count: batch)
        addresses = .allocate(capacity: batch)
        addresses.initialize(repeating: sockaddr_storage(), count: batch)
        controlBytes = tributary_own_address_control_bytes() + tributary_segment_control_bytes()
        controls = .allocate(byteCount: batch * controlBytes, alignment: 16)
        runs = .allocate(capacity: batch)
        runs.initialize(repeating: Run(), count: batch)
    }

    deinit {
        messages.deallocate()
        vectors.deallocate()
        addresses.deallocate()
        controls.deallocate()
        runs.deallocate()
    }

    /// Where the next datagram is to be written; there is room for one receive slot.
    @inline(__always)
    mutating func place() -> UnsafeMutableRawPointer {
        if used + MediaLimits.receiveSlotBytes > MediaLimits.arenaBytes || messageCount == MediaLimits.sendBatch { flush() }
        return memory.start + used
    }

    /// Takes the `count` bytes written to ``place()`` as a datagram to `address`.
    ///
    /// - Parameter owner: whose it is; only datagrams of one owner share a run. 0 never does.
    @inline(__always)
    mutating func commit(_ count: Int, to address: SocketAddress, owner: UInt64) {
        guard count > 0 else { return }
        let start = memory.start + used
        if address.stream != 0 { return divert(UnsafeRawBufferPointer(start: start, count: count), to: address) }
        used += count
        if usesSegmentation, messageCount > 0, extend(runs + messageCount - 1, by: count, to: address, owner: owner) { return }
        let index = messageCount
        messageCount += 1
        runs[index] = Run(owner: owner, address: address, segmentBytes: count, segments: 1, bytes: count, isClosed: owner == 0)
        vectors[index] = iovec(iov_base: start, iov_len: count)
        let length = address.encode(into: addresses + index, dualStack: isDualStack)
        messages[index].header.msg_name = UnsafeMutableRawPointer(addresses + index)
        messages[index].header.msg_namelen = length
        messages[index].header.msg_iov = vectors + index
        messages[index].header.msg_iovlen = 1
    }

    /// Gives a datagram to its TCP connection, which copies it.
    private mutating func divert(_ datagram: UnsafeRawBufferPointer, to address: SocketAddress) {
        guard let streams, streams.pointee.append(datagram, to: address) else {
            totals.streamFull &+= 1
            return
        }
        totals.sent &+= 1
        totals.bytes &+= UInt64(datagram.count)
    }

    /// Adds to the last run if the datagram continues it.
    @inline(__always)
    private func extend(_ run: UnsafeMutablePointer<Run>, by count: Int, to address: SocketAddress, owner: UInt64) -> Bool {
        guard !run.pointee.isClosed, run.pointee.owner == owner, count <= run.pointee.segmentBytes,
            run.pointee.segments < MediaLimits.segmentsMax, run.pointee.address == address,
            run.pointee.bytes + count <= MediaLimits.runBytesMax
        else { return false }
        run.pointee.segments += 1
        run.pointee.bytes += count
        if count < run.pointee.segmentBytes { run.pointee.isClosed = true }
        return true
    }

    /// Sends everything. What the kernel refuses is dropped and counted; nothing waits.
    mutating func flush() {
        guard messageCount > 0 else { return }
        trial.countFlush()
        for index in 0..<messageCount {
            vectors[index].iov_len = runs[index].bytes
            let control = controls + index * controlBytes
            var count = writeOwnAddress(index, to: control)
            if runs[index].segments > 1 {
                count += tributary_write_segment_control(control + count, UInt16(truncatingIfNeeded: runs[index].segmentBytes))
            }
            messages[index].header.msg_control = count > 0 ? control : nil
            messages[index].header.msg_controllen = count
        }
        sendAll()
        messageCount = 0
        used = 0
    }

    /// Says which of our addresses a message leaves from, where that matters; returns the room it takes.
    @inline(__always)
    private func writeOwnAddress(_ index: Int, to control: UnsafeMutableRawPointer) -> Int {
        guard runs[index].address.way >= OwnAddresses.firstWay,
            let own = ownAddresses?.pointee.address(of: runs[index].address.way)
        else { return 0 }
        return tributary_write_own_address_control(control, own, isDualStack ? 1 : 0)
    }

    private mutating func sendAll() {
        var first = 0
        var refusals = 0
        while first < messageCount {
            let result = tributary_sendmmsg(
                descriptor, messages + first, UInt32(truncatingIfNeeded: messageCount - first), Int32(MSG_DONTWAIT))
            if result > 0 {
                for index in first..<(first + Int(result)) {
                    countSent(runs[index])
                    if runs[index].segments > 1 { trial.countTaken() }
                }
                first += Int(result)
                refusals = 0
                continue
            }
            let code = errno
            switch code {
            case EINTR: continue
            case EAGAIN, ENOBUFS:
                // The socket's buffer is full. One more try each for a few, then the rest of this batch is lost.
                refusals += 1
                let lost = refusals > 3 ? first..<messageCount : first..<(first + 1)
                for index in lost { totals.bufferFull &+= UInt64(runs[index].segments) }
                first = lost.upperBound
            case _ where runs[first].segments > 1 && SegmentationTrial.isRefusal(code):
                if sendSplit(first) { trial.countRefused() }
                first += 1
            default:
                totals.failed &+= UInt64(runs[first].segments)
                first += 1
            }
            while first < messageCount, !usesSegmentation, runs[first].segments > 1 {
                _ = sendSplit(first)
                first += 1
            }
        }
    }

    /// Sends the datagrams of one run without segmentation; false when that is refused, too.
    private mutating func sendSplit(_ index: Int) -> Bool {
        guard let base = vectors[index].iov_base else { return false }
        let before = totals.sent
        let controlCount = writeOwnAddress(index, to: controls + index * controlBytes)
        messages[index].header.msg_control = controlCount > 0 ? controls + index * controlBytes : nil
        messages[index].header.msg_controllen = controlCount
        var offset = 0
        while offset < runs[index].bytes {
            let count = min(runs[index].segmentBytes, runs[index].bytes - offset)
            vectors[index] = iovec(iov_base: base + offset, iov_len: count)
            let result = tributary_sendmmsg(descriptor, messages + index, 1, Int32(MSG_DONTWAIT))
            if result > 0 {
                totals.sent &+= 1
                totals.messages &+= 1
                totals.bytes &+= UInt64(count)
            } else {
                totals.failed &+= 1
            }
            offset += count
        }
        return totals.sent > before
    }

    private mutating func countSent(_ run: Run) {
        totals.sent &+= UInt64(run.segments)
        totals.messages &+= 1
        totals.bytes &+= UInt64(run.bytes)
    }
}

import CLinux
import Glibc
import MediaPlane
import SDP
import SampleMedia
import Synchronization

/// One thread and one socket: at each frame's time, the frame for every viewer, encrypted into a slab and sent in batches.
// why: everything but the queue and the socket belongs to the thread that runs ``run()``.
final class Sender: @unchecked Sendable {  // why: see the line above
    /// Messages in one call, and what they may hold: little enough to stay in the second-level cache until the kernel has copied it.
    private static let batch = 16
    private static let slabBytes = 256 << 10

    let port: UInt16
    private let descriptor: Int32
    private let film: Film
    private let queue = Mutex<[Joining]>([])
    private var setups: [String: Joining] = [:]
    private var sessions: [SocketAddress: PeerTransport] = [:]
    private var viewers: [UnsafeMutablePointer<FloorViewer>] = []
    private var output = TransportOutput()
    private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 64)
    private let slab = UnsafeMutablePointer<UInt8>.allocate(capacity: Sender.slabBytes)
    private let messages = UnsafeMutablePointer<tributary_message>.allocate(capacity: Sender.batch)
    private let vectors = UnsafeMutablePointer<iovec>.allocate(capacity: Sender.batch)
    private let controls = UnsafeMutableRawPointer.allocate(
        byteCount: Sender.batch * tributary_segment_control_bytes(), alignment: 16)
    private let sequences: UnsafeMutableBufferPointer<UInt64>
    private var used = 0
    private var count = 0

    init(film: Film, port: UInt16) throws {
        self.film = film
        (descriptor, self.port) = try FloorSocket.open(port: port)
        messages.initialize(repeating: tributary_message(), count: Self.batch)
        sequences = .allocate(capacity: film.tracks.count)
        sequences.initialize(repeating: 0)
    }

    func add(_ joining: Joining) { queue.withLock { $0.append(joining) } }

    /// Plays the film in a loop, for ever.
    func run() {
        var startNs = tributary_monotonic_ns()
        while true {
            for frame in film.frames {
                wait(until: startNs + frame.dueNs)
                send(frame, round: startNs)
            }
            startNs += film.durationNs
        }
    }

    // MARK: Setting viewers up

    private func wait(until dueNs: UInt64) {
        // Frames are the clock once everybody is there; consent and reports, which nobody reads here, wait for the next one.
        repeat {
            for joining in queue.withLock({ (taken: inout [Joining]) in
                defer { taken = [] }
                return taken
            }) { setups[joining.ufrag] = joining }
            receiveAll()
            let now = tributary_monotonic_ns()
            let left = dueNs > now ? Int32(clamping: (dueNs - now + 999_999) / 1_000_000) : 0
            var wanted = pollfd(fd: descriptor, events: setups.isEmpty ? 0 : Int16(POLLIN), revents: 0)
            if left > 0 { poll(&wanted, 1, left) }
        } while tributary_monotonic_ns() < dueNs
    }

    private func receiveAll() {
        while true {
            var storage = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let count = withUnsafeMutablePointer(to: &storage) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(descriptor, scratch.baseAddress, scratch.count, 0, $0, &length)
                }
            }
            guard count >= 0, let from = SocketAddress(&storage) else { return }
            take(UnsafeMutableRawBufferPointer(rebasing: scratch[..<count]), from)
        }
    }

    private func take(_ datagram: UnsafeMutableRawBufferPointer, _ from: SocketAddress) {
        // Media reports are left unread: whoever decrypts them is not the cheapest sender.
        guard let first = datagram.first, first < 128 else { return }
        let bytes = UnsafeRawBufferPointer(datagram)
        let ufrag = PeerTransport.stunLocalUfrag(bytes) { String(decoding: $0, as: UTF8.self) }
        guard let transport = ufrag.flatMap({ setups[$0]?.transport }) ?? sessions[from] else { return }
        let now = tributary_monotonic_ns()
        _ = transport.receive(datagram, from: from, now: now, output: &output)
        transport.handleTimeout(now: now, output: &output)
        for index in 0..<output.count { sendNow(output.bytes(at: index), to: output.address(at: index)) }
        output.removeAll()
        if ufrag != nil { sessions[from] = transport }
        switch transport.state {
        case .connected: connect(transport)
        case .closed:
            sessions[from] = nil
            viewers.removeAll { $0.pointee.transport === transport }
        case .new, .checking, .handshaking: break
        }
    }

    private func connect(_ transport: PeerTransport) {
        guard let (ufrag, joining) = setups.first(where: { $0.value.transport === transport }) else { return }
        setups[ufrag] = nil
        guard let viewer = FloorViewer(joining) else { return }
        let place = UnsafeMutablePointer<FloorViewer>.allocate(capacity: 1)
        place.initialize(to: viewer)
        viewers.append(place)
    }

    private func sendNow(_ bytes: UnsafeRawBufferPointer, to address: SocketAddress) {
        var storage = sockaddr_storage()
        let length = address.encode(into: &storage, dualStack: false)
        _ = withUnsafePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, bytes.baseAddress, bytes.count, 0, $0, length)
            }
        }
    }

    // MARK: Sending

    private func send(_ frame: Film.Frame, round: UInt64) {
        if let stamp = frame.stamp { DelayStamp.write(tributary_realtime_ns(), at: film.payloads + stamp) }
        let clockRate: UInt64 = film.tracks[frame.track].kind == .video ? 90_000 : 48_000
        let timestamp = frame.timestamp &+ UInt32(truncatingIfNeeded: round / 1000 * clockRate / 1_000_000)
        let sequence = sequences[frame.track]
        for position in 0..<viewers.count {
            let viewer = viewers[position]
            guard let track = viewer.pointee.tracks[frame.track] else { continue }
            send(frame, track, sequence, timestamp, to: viewer)
        }
        flush()
        if let first = frame.runs.first, let last = frame.runs.last {
            let packets = film.runs[first].packets.lowerBound..<film.runs[last].packets.upperBound
            sequences[frame.track] += UInt64(packets.count)
        }
    }

    @inline(__always)
    private func send(
        _ frame: Film.Frame, _ track: OutgoingIdentity, _ first: UInt64, _ timestamp: UInt32,
        to viewer: UnsafeMutablePointer<FloorViewer>
    ) {
        var sequence = first
        for index in frame.runs {
            let run = film.runs[index].packets
            if count == Self.batch || used + (run.count * 1500) > Self.slabBytes { flush() }
            let start = slab + used
            var segmentBytes = 0
            for packet in run {
                let bytes = write(film.packets[packet], track, sequence, timestamp, viewer)
                if segmentBytes == 0 { segmentBytes = bytes }
                used += bytes
                sequence += 1
            }
            add(start, slab + used - start, run.count > 1 ? segmentBytes : 0, viewer)
        }
    }

    @inline(__always)
    private func write(
        _ packet: Film.Packet, _ track: OutgoingIdentity, _ sequence: UInt64, _ timestamp: UInt32,
        _ viewer: UnsafeMutablePointer<FloorViewer>
    ) -> Int {
        let place = slab + used
        let raw = UnsafeMutableRawPointer(place)
        let second = UInt32(track.payloadType | (packet.isLast ? 0x80 : 0)) << 16
        raw.storeBytes(of: (0x8000_0000 | second | UInt32(sequence & 0xFFFF)).bigEndian, as: UInt32.self)
        raw.storeBytes(of: timestamp.bigEndian, toByteOffset: 4, as: UInt32.self)
        raw.storeBytes(of: track.ssrc.bigEndian, toByteOffset: 8, as: UInt32.self)
        return viewer.pointee.cipher.protect(
            place, payload: (film.payloads + packet.start).assumingMemoryBound(to: UInt8.self), count: packet.count,
            ssrc: track.ssrc, index: sequence)
    }

    @inline(__always)
    private func add(
        _ start: UnsafeMutablePointer<UInt8>, _ bytes: Int, _ segmentBytes: Int, _ viewer: UnsafeMutablePointer<FloorViewer>
    ) {
        vectors[count] = iovec(iov_base: start, iov_len: bytes)
        messages[count].header.msg_name = UnsafeMutableRawPointer(viewer.pointee.address)
        messages[count].header.msg_namelen = viewer.pointee.addressBytes
        messages[count].header.msg_iov = vectors + count
        messages[count].header.msg_iovlen = 1
        if segmentBytes > 0 {
            let control = controls + count * tributary_segment_control_bytes()
            tributary_write_segment_control(control, UInt16(truncatingIfNeeded: segmentBytes))
            messages[count].header.msg_control = control
            messages[count].header.msg_controllen = tributary_segment_control_bytes()
        } else {
            messages[count].header.msg_control = nil
            messages[count].header.msg_controllen = 0
        }
        count += 1
    }

    private func flush() {
        var first = 0
        while first < count {
            let sent = tributary_sendmmsg(descriptor, messages + first, UInt32(count - first), 0)
            // What is refused is lost; the viewers count it.
            first += sent > 0 ? Int(sent) : 1
        }
        count = 0
        used = 0
    }
}

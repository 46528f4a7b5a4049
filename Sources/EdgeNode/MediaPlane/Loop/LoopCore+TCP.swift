import CLinux
import Glibc

/// What epoll says is ready: the loop's own descriptors (null), a dialed session, a TCP connection, or the listener.
///
/// The two low bits of the pointer tell which, as allocations are aligned to more.
enum ReadyTag {
    static let dialed: UInt = 0
    static let connection: UInt = 1
    static let listener: UInt = 2
    static let mask: UInt = 3
}

/// Peers that come by TCP: connections are accepted and read here, and from there on are addresses like any other (RFC 6544, RFC 4571).
extension LoopCore {
    // MARK: Coming and going

    func watchListener() throws(MediaPlaneError) {
        guard let listener else { return }
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.ptr = UnsafeMutableRawPointer(bitPattern: ReadyTag.listener)
        if epoll_ctl(epoll, EPOLL_CTL_ADD, listener.descriptor, &event) != 0 { throw .system(call: "epoll_ctl", errno: errno) }
        isListening = true
    }

    func acceptConnections(_ now: UInt64) {
        guard let listener else { return }
        for _ in 0..<MediaLimits.tcpAccepts {
            switch listener.accept() {
            case .none: return
            case .exhausted:
                // Asked again by the sweep, a second later at the latest.
                _ = epoll_ctl(epoll, EPOLL_CTL_DEL, listener.descriptor, nil)
                isListening = false
                return
            case .connection(let descriptor, let address):
                guard let connection = streams.pointee.open(descriptor, from: address, now: now) else {
                    counters.pointee.count(.tcpRefused)
                    continue
                }
                watch(connection, EPOLL_CTL_ADD)
            }
        }
    }

    private func watch(_ connection: UnsafeMutablePointer<TCPConnection>, _ operation: Int32) {
        var event = epoll_event()
        event.events = EPOLLIN.rawValue | (connection.pointee.awaitsRoom ? EPOLLOUT.rawValue : 0)
        event.data.ptr = UnsafeMutableRawPointer(connection) + Int(ReadyTag.connection)
        _ = epoll_ctl(epoll, operation, connection.pointee.descriptor, &event)
    }

    /// Closes a connection; its session, if it has one, loses this way to its peer and looks for another.
    func drop(_ connection: UnsafeMutablePointer<TCPConnection>, _ now: UInt64) {
        guard !connection.pointee.isClosed else { return }
        connection.pointee.isClosed = true
        let address = connection.pointee.address
        if let session = addresses.pointee.find(address), !session.pointee.isEnded {
            session.pointee.withTransport { $0.lose(address) }
            // Its number may be another connection's next.
            if session.pointee.pausedStream == address.stream { session.pointee.pausedStream = .max }
            followTransport(session, now)
        }
        streams.pointee.remove(connection)
        closedConnections.append(connection)
    }

    func freeConnections() {
        guard !closedConnections.isEmpty else { return }
        for connection in closedConnections {
            connection.deinitialize(count: 1)
            connection.deallocate()
        }
        closedConnections = []
    }

    /// Once a second: connections that never became a way to a session, and those whose session has ended, go.
    func sweepConnections(_ now: UInt64) {
        guard listener != nil else { return }
        if !isListening { try? watchListener() }
        for connection in streams.pointee.all {
            let isOld = now &- connection.pointee.openedNs > MediaLimits.tcpPatienceNs
            if isOld, addresses.pointee.find(connection.pointee.address) == nil { drop(connection, now) }
        }
    }

    // MARK: Reading

    /// Reads what is there, up to a few buffers: other sessions wait meanwhile.
    func readConnection(_ connection: UnsafeMutablePointer<TCPConnection>, _ now: UInt64) {
        for _ in 0..<MediaLimits.tcpReads {
            guard !connection.pointee.isClosed else { return }
            let room = connection.pointee.reader.room()
            let count = recv(connection.pointee.descriptor, room.baseAddress, room.count, Int32(MSG_DONTWAIT))
            guard count > 0 else {
                if count == 0 || (errno != EAGAIN && errno != EINTR) { drop(connection, now) }
                return
            }
            connection.pointee.reader.commit(count)
            takeFrames(connection, now)
            afterBatch(now)
            if count < room.count { return }
        }
    }

    private func takeFrames(_ connection: UnsafeMutablePointer<TCPConnection>, _ now: UInt64) {
        while !connection.pointee.isClosed {
            switch connection.pointee.reader.next() {
            case .incomplete: return
            case .broken:
                counters.pointee.count(.tcpMalformed)
                return drop(connection, now)
            case .frame(let frame):
                counters.pointee.received &+= 1
                counters.pointee.receivedBytes &+= UInt64(frame.count)
                let address = connection.pointee.address
                guard let session = find(frame, from: address, now) else {
                    // Nobody whom we know: the first packet of an honest peer is a check for one of our sessions.
                    counters.pointee.count(.unknownSession)
                    return drop(connection, now)
                }
                take(frame, from: address, session, now)
            }
        }
    }

    // MARK: Writing

    /// Writes what connections have queued. Who reads too slowly loses video up to a key frame, never more than his queue of time.
    func flushConnections(_ now: UInt64) {
        guard streams.pointee.pending.count > 0 else { return }
        var kept = 0
        let count = streams.pointee.pending.count
        var failed: [UnsafeMutablePointer<TCPConnection>] = []
        for position in 0..<count {
            let connection = streams.pointee.pending[position]
            if !write(connection) { failed.append(connection) }
            if connection.pointee.isCongested { followCongestion(connection, now) }
            if connection.pointee.queue.count > 0 || connection.pointee.isCongested {
                streams.pointee.pending.move(position, to: kept)
                kept += 1
            } else {
                connection.pointee.isPending = false
            }
        }
        streams.pointee.pending.truncate(to: kept)
        for connection in failed { drop(connection, now) }
    }

    /// Stops the video that goes to a connection whose queue was high, and begins it again when that is low.
    private func followCongestion(_ connection: UnsafeMutablePointer<TCPConnection>, _ now: UInt64) {
        let address = connection.pointee.address
        let isOver = connection.pointee.queue.isLow
        if isOver { connection.pointee.isCongested = false }
        guard let session = addresses.pointee.find(address) else { return }
        if session.pointee.pausedStream == address.stream {
            if isOver { resumeVideo(session, now) }
        } else if !isOver, session.pointee.withTransport({ $0.selectedAddress }) == address {
            pauseVideo(session, on: address.stream)
        }
    }

    /// Begins video again that was stopped for a connection which is no longer where it goes.
    func resumeIfMoved(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        let paused = session.pointee.pausedStream
        guard paused != 0, let selected = session.pointee.withTransport({ $0.selectedAddress }) else { return }
        if selected.stream != paused { resumeVideo(session, now) }
    }

    /// Writes until the system takes no more; false when the connection is broken.
    private func write(_ connection: UnsafeMutablePointer<TCPConnection>) -> Bool {
        while connection.pointee.queue.count > 0 {
            let bytes = connection.pointee.queue.bytes
            let written = Glibc.send(
                connection.pointee.descriptor, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT) | tributary_no_signal())
            if written > 0 {
                connection.pointee.queue.consume(written)
                continue
            }
            if errno == EINTR { continue }
            guard errno == EAGAIN else { return false }
            break
        }
        let awaitsRoom = connection.pointee.queue.count > 0
        if awaitsRoom != connection.pointee.awaitsRoom {
            connection.pointee.awaitsRoom = awaitsRoom
            watch(connection, EPOLL_CTL_MOD)
        }
        return true
    }
}

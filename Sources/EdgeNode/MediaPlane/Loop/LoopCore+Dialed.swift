import CLinux
import Glibc

/// Sessions that we dialed: each has a socket of its own in the loop's epoll set.
///
/// Their datagrams need no look-up: whatever arrives on the socket is for its session, and the transport refuses what isn't its peer's.
extension LoopCore {
    /// Watches a new session's socket.
    func adoptDialed(_ session: UnsafeMutablePointer<PeerSession>) {
        guard let descriptor = session.pointee.dialedDescriptor else { return }
        dialed.pointee.append(session)
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.ptr = UnsafeMutableRawPointer(session)
        // A socket that can't be watched stays silent, and its session ends when ICE doesn't finish.
        _ = epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event)
    }

    /// Takes what arrived on the sockets that epoll named. What ended in this iteration is still allocated.
    func receiveOthers(_ events: UnsafeMutableBufferPointer<epoll_event>, _ woke: UInt64) {
        var now = woke
        for event in events {
            guard let context = event.data.ptr else { continue }
            let place = UnsafeMutableRawPointer(bitPattern: UInt(bitPattern: context) & ~ReadyTag.mask)
            switch (UInt(bitPattern: context) & ReadyTag.mask, place) {
            case (ReadyTag.dialed, let place?): receiveDialed(place.assumingMemoryBound(to: PeerSession.self), &now)
            case (ReadyTag.connection, let place?): readConnection(place.assumingMemoryBound(to: TCPConnection.self), now)
            default: acceptConnections(now)
            }
        }
    }

    private func receiveDialed(_ session: UnsafeMutablePointer<PeerSession>, _ now: inout UInt64) {
        for _ in 0..<4 {
            guard !session.pointee.isEnded, let descriptor = session.pointee.dialedDescriptor else { return }
            let count = batch.receive(descriptor)
            receive(batch, count: count, for: session, now: now)
            afterBatch(now)
            if count < MediaLimits.receiveBatch { return }
            now = tributary_monotonic_ns()
        }
    }

    /// Sends what dialed sessions have queued.
    func flushDialed() {
        for position in 0..<dialed.pointee.count {
            // In two steps: ThreadSanitizer's build crashes the compiler (6.3.1) on one chain, here and below.
            let arena = dialed.pointee[position].pointee.arena
            arena.pointee.flush()
        }
    }

    /// Lets go of the socket of a session that is about to be freed; closing it takes it out of the epoll set.
    func releaseDialed(_ session: UnsafeMutablePointer<PeerSession>) {
        guard session.pointee.dialedDescriptor != nil else { return }
        let arena = session.pointee.arena
        retiredTotals.add(arena.pointee.totals)
        dialed.pointee.remove(session)
    }

    /// What was sent through every socket of the loop.
    var sendTotals: SendTotals {
        var totals = arena.pointee.totals
        totals.add(retiredTotals)
        for position in 0..<dialed.pointee.count {
            let arena = dialed.pointee[position].pointee.arena
            totals.add(arena.pointee.totals)
        }
        return totals
    }
}

/// Media from addresses that no check came from. A NAT may give a client another port at any time; its media comes from there at once, its
/// next check perhaps seconds later.
extension LoopCore {
    /// Follows a datagram's sender when it is a session's peer at another port of its host; false when it is nobody's.
    func takeElsewhere(_ datagram: UnsafeMutableRawBufferPointer, from source: SocketAddress, _ now: UInt64) -> Bool {
        switch DatagramKind(UnsafeRawBufferPointer(datagram)) {
        case .rtp, .rtcp: break
        case .stun, .dtls, .unknown: return false
        }
        guard let neighbours = hosts[source.host64], datagram.count <= MediaLimits.datagramBytesMax, strangers.take(now: now),
            let base = datagram.baseAddress
        else { return false }
        var trials = 0
        for session in neighbours where mayContinue(session, datagram, source) && trials < MediaLimits.strangerTrials {
            trials += 1
            // A trial that fails leaves the datagram damaged.
            reportScratch.copyMemory(from: base, byteCount: datagram.count)
            let received = session.pointee.withTransport {
                $0.receiveElsewhere(datagram, from: source, now: now, output: &output.pointee)
            }
            if case .dropped = received {
                datagram.copyMemory(from: UnsafeRawBufferPointer(start: reportScratch, count: datagram.count))
                continue
            }
            takeOutput(session)
            followTransport(session, now)
            take(received, of: datagram, session, now)
            if !session.pointee.isEnded { reschedule(session, now) }
            return true
        }
        return false
    }

    private func mayContinue(
        _ session: UnsafeMutablePointer<PeerSession>, _ datagram: UnsafeMutableRawBufferPointer, _ source: SocketAddress
    ) -> Bool {
        !session.pointee.isEnded
            && session.pointee.withTransport { $0.mayContinue(UnsafeRawBufferPointer(datagram), from: source) }
    }

    /// Keeps a session under the hosts of its paths, before those it was registered with are replaced by `paths`.
    func registerHosts(_ session: UnsafeMutablePointer<PeerSession>, _ paths: [SocketAddress]) {
        let before = Set(session.pointee.registeredPaths.map(\.host64))
        let after = Set(paths.map(\.host64))
        for host in before.subtracting(after) {
            hosts[host]?.removeAll { $0 == session }
            if hosts[host]?.isEmpty == true { hosts[host] = nil }
        }
        for host in after.subtracting(before) { hosts[host, default: []].append(session) }
    }
}

/// Handshakes on their way to the pool and back: the loop keeps the transport, the pool does the public-key work.
extension LoopCore {
    /// Gives the next step of a session's handshake away, now or when it is its turn.
    func advanceHandshake(_ session: UnsafeMutablePointer<PeerSession>) {
        guard session.pointee.withTransport({ $0.hasHandshakeWork }),
            let host = session.pointee.withTransport({ $0.handshakeAddress?.host64 })
        else { return }
        switch handshakes.enter(session.pointee.handle.id, host: host) {
        case .now: submitHandshake(session, host: host)
        case .later: break
        // The peer sends its flight again, and so do we.
        case .refused: counters.pointee.count(.dtlsBacklog)
        }
    }

    private func submitHandshake(_ session: UnsafeMutablePointer<PeerSession>, host: UInt64) {
        guard let step = session.pointee.withTransport({ $0.takeHandshakeStep() }) else { return handshakes.leave(host: host) }
        let id = session.pointee.handle.id
        let mailbox = mailbox
        pool.submit(step) { _ = mailbox.post(.handshake(id, step: $0, host: host), isWiring: true) }
    }

    /// A step has come back; whoever waited longest takes its place.
    func finishHandshake(_ id: UInt64, _ step: HandshakeStep, host: UInt64, _ now: UInt64) {
        handshakes.leave(host: host)
        if let session = sessions[id] {
            session.pointee.withTransport { $0.finish(step, now: now, output: &output.pointee) }
            takeOutput(session)
            followTransport(session, now)
            if !session.pointee.isEnded {
                takeHeld(session, now)
                if !session.pointee.isEnded { reschedule(session, now) }
            }
        }
        while let next = handshakes.next() {
            if let session = sessions[next.session] {
                submitHandshake(session, host: next.host)
            } else {
                handshakes.leave(host: next.host)
            }
        }
    }

    /// Receives what overtook the end of the handshake.
    private func takeHeld(_ session: UnsafeMutablePointer<PeerSession>, _ now: UInt64) {
        for held in session.pointee.withTransport({ $0.takeHeld() }) where !session.pointee.isEnded {
            var bytes = held.bytes
            bytes.withUnsafeMutableBytes { take($0, from: held.address, session, now) }
        }
    }
}

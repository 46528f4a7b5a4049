/// Checks of our own: a controlling agent's connectivity and consent checks, a lite agent's proof of a new path.
extension ICEAgent {
    /// Sends or repeats the check of path `index` and sets its next time.
    mutating func sendCheck(_ index: Int, now: UInt64, output: inout TransportOutput) {
        let transaction =
            paths[index].check
            ?? STUNTransaction(high: UInt32(truncatingIfNeeded: random.next()), low: random.next())
        paths[index].check = transaction
        if role == .lite {
            paths[index].probesLeft -= 1
            paths[index].nextCheckNs = paths[index].probesLeft > 0 ? now &+ Limits.probeIntervalNs : .max
        } else {
            let isFresh = paths[index].checkCount < Limits.checksBeforeBackOff
            let soonNs = paths[index].isProven ? Limits.consentRepeatNs : Limits.checkFirstNs
            paths[index].nextCheckNs = now &+ (isFresh ? soonNs : Limits.checkLastNs)
            paths[index].checkCount += 1
        }
        let nominates = role == .controlling && (selected == nil || selected == index)
        let credentials = pending ?? credentials
        output.append(to: paths[index].address) { place in
            var writer = STUNWriter(place, type: .request, transaction: transaction)
            writer.username(credentials.remoteUfrag, credentials.localUfrag)
            // Peer-reflexive type preference 110, component 1 (RFC 8445 section 5.1.2).
            writer.u32(STUNAttribute.priority, 110 << 24 | UInt32(65535 - index) << 8 | 255)
            writer.u64(role == .controlling ? STUNAttribute.iceControlling : STUNAttribute.iceControlled, tieBreaker)
            if nominates { writer.flag(STUNAttribute.useCandidate) }
            writer.messageIntegrity(credentials.remoteKey)
            return writer.finish()
        }
    }

    /// An answer to one of our checks: from the address asked, with the transaction asked, signed with the peer's password.
    mutating func response(
        _ message: STUNMessage, _ datagram: UnsafeRawBufferPointer, from: SocketAddress, now: UInt64,
        output: inout TransportOutput
    ) -> DropReason? {
        guard let index = paths.firstIndex(where: { $0.address == from && $0.check == message.transaction }) else {
            return .stunUnexpected
        }
        var isAuthentic = message.isAuthentic(datagram, key: credentials.remoteKey)
        if !isAuthentic, let next = pending { isAuthentic = message.isAuthentic(datagram, key: next.remoteKey) }
        guard isAuthentic else { return .stunUnauthenticated }
        guard message.type == .success else {
            // Role conflict: the next check, at once, says the other role. Other errors leave the check to be repeated.
            if message.errorCode == 487, role != .lite {
                switchRole()
                paths[index].check = nil
                paths[index].nextCheckNs = now
            }
            return nil
        }
        if let next = pending, role != .lite {
            credentials = next
            pending = nil
        }
        paths[index].check = nil
        paths[index].isProven = true
        paths[index].needsAnswer = false
        paths[index].lastHeardNs = now
        lastHeardNs = now
        if !paths[index].isValidated {
            paths[index].isValidated = true
            generation &+= 1
        }
        switch role {
        case .lite:
            paths[index].nextCheckNs = .max
            if moving == index { select(index) }
        case .controlling, .controlled:
            let spread = Limits.consentCheckMaxNs - Limits.consentCheckMinNs
            paths[index].checkCount = 0
            paths[index].nextCheckNs = now &+ Limits.consentCheckMinNs &+ random.next() % spread
            guard role == .controlling else {
                if moving == index { select(index) }
                break
            }
            let isSilent = selected.map { now &- paths[$0].lastHeardNs > Limits.consentCheckMaxNs } ?? true
            if isSilent { select(index) }
        }
        return nil
    }

    /// Sends the checks that are due.
    mutating func handleTimeout(now: UInt64, output: inout TransportOutput) {
        for index in paths.indices where paths[index].nextCheckNs <= now {
            sendCheck(index, now: now, output: &output)
        }
    }

    /// When the next check is due.
    var nextCheckNs: UInt64 {
        var next = UInt64.max
        for path in paths { next = min(next, path.nextCheckNs) }
        return next
    }
}

/// What is published of sessions: once a second, and only of those that have something new to tell. Most of thousands that wait have not.
extension LoopCore {
    /// What was published of the session is no longer true.
    @inline(__always)
    func noteChange(_ session: UnsafeMutablePointer<PeerSession>) {
        session.pointee.wasOnlyHeard = false
        noteHeard(session)
    }

    /// A consent check came, as of thousands each few seconds.
    @inline(__always)
    func noteHeard(_ session: UnsafeMutablePointer<PeerSession>) {
        guard session.pointee.changedPlace < 0 else { return }
        session.pointee.changedPlace = changed.pointee.count
        changed.pointee.append(session)
    }

    /// A new session is published from now on.
    func show(_ session: UnsafeMutablePointer<PeerSession>) {
        session.pointee.shownPlace = shown.pointee.count
        shown.pointee.append(session)
        noteChange(session)
    }

    /// A session that ends is published no more; the last one takes its place.
    func hide(_ session: UnsafeMutablePointer<PeerSession>) {
        let last = shown.pointee[shown.pointee.count - 1]
        shown.pointee.takeLast(to: session.pointee.shownPlace)
        last.pointee.shownPlace = session.pointee.shownPlace
        noteChange(last)
        // Taken from the list but not told so: nothing puts it there again.
        noteChange(session)
        let lastChanged = changed.pointee[changed.pointee.count - 1]
        changed.pointee.takeLast(to: session.pointee.changedPlace)
        lastChanged.pointee.changedPlace = session.pointee.changedPlace
    }

    /// Brings what was published up to date.
    func publishSessions(_ published: inout [SessionSnapshot], _ now: UInt64) {
        published.removeLast(max(0, published.count - shown.pointee.count))
        for place in published.count..<shown.pointee.count { published.append(sessionSnapshot(shown.pointee[place], now)) }
        var kept = 0
        for position in 0..<changed.pointee.count {
            let session = changed.pointee[position]
            let place = session.pointee.shownPlace
            if session.pointee.wasOnlyHeard, isAsPublished(session, &published[place], now) {
                session.pointee.changedPlace = -1
                continue
            }
            let snapshot = sessionSnapshot(session, now)
            // Looked at once more a second later: that nothing is sent any more is news, too.
            let isMoving = published[place].bytes != snapshot.bytes
            published[place] = snapshot
            session.pointee.wasOnlyHeard = !isMoving
            session.pointee.changedPlace = isMoving ? kept : -1
            guard isMoving else { continue }
            changed.pointee.move(position, to: kept)
            kept += 1
        }
        changed.pointee.truncate(to: kept)
    }

    /// Whether a session that was only heard is no news: its peer is where it was, and by what was published it can't be taken for gone.
    private func isAsPublished(
        _ session: UnsafeMutablePointer<PeerSession>, _ published: inout SessionSnapshot, _ now: UInt64
    ) -> Bool {
        let (heardNs, address) = session.pointee.withTransport { ($0.lastHeardNs, $0.selectedAddress) }
        guard address == published.remoteAddress, now &- published.lastReceivedNs < MediaLimits.heardAgainNs else {
            return false
        }
        published.lastReceivedNs = heardNs
        return true
    }
}

/// ICE for one peer and one component, sans IO (RFC 8445; consent RFC 7675).
///
/// A lite agent learns its peer's addresses from authenticated requests alone, so offers without or with unusable candidates work. The
/// selected path follows nominations, but once media flows a new address must first prove that it hears us: a nominating request
/// can carry anybody's source address.
struct ICEAgent {
    struct Credentials {
        let localUfrag: String
        let remoteUfrag: String
        private let local: WipedKey
        private let remote: WipedKey

        /// Valid while the credentials are held; a copy of a key would cost as much as a block of it.
        var localKey: UnsafePointer<HMACSHA1> { UnsafePointer(local.pointer) }
        var remoteKey: UnsafePointer<HMACSHA1> { UnsafePointer(remote.pointer) }

        init(local: ICECredentialPair, remote: ICECredentialPair) {
            localUfrag = local.ufrag
            remoteUfrag = remote.ufrag
            self.local = WipedKey(password: local.password)
            self.remote = WipedKey(password: remote.password)
        }
    }

    private(set) var role: ICERole
    var credentials: Credentials
    /// Of an ICE restart, until the first check that uses them.
    var pending: Credentials?
    var paths: [ICEPath] = []
    /// Index of the path in use.
    var selected: Int?
    /// Index of the path that is nominated but not proven yet.
    var moving: Int?
    /// Media flows, so a move needs proof.
    var requiresProof = false
    /// Changes with every path that is added, validated or removed.
    var generation: UInt32 = 0
    /// Monotonic time of the last authenticated packet on any path.
    var lastHeardNs: UInt64
    var random: SeededGenerator
    private(set) var tieBreaker: UInt64
    private var roleSwitches = 0
    /// ``SocketAddress/host64`` of who asked for the session; nil when nobody knows.
    private let asker: UInt64?
    /// What may be sent in any case to other hosts.
    private let allowance: Int
    /// For addresses that are not the peer's yet: without its user fragment, and with it.
    private var strangers = TokenBucket(perSecond: Limits.stunPerSecond, burst: Limits.stunBurst)
    private var callers = TokenBucket(perSecond: Limits.stunCallersPerSecond, burst: Limits.stunCallersBurst)

    init(
        role: ICERole, credentials: Credentials, candidates: [SocketAddress], asker: SocketAddress? = nil,
        allowance: Int = 0, seed: UInt64, now: UInt64
    ) {
        self.role = role
        self.credentials = credentials
        self.asker = asker?.host64
        self.allowance = allowance
        random = SeededGenerator(seed: seed)
        tieBreaker = random.next()
        lastHeardNs = now
        // Most peers come from one address; few ever from as many as are kept.
        paths.reserveCapacity(2)
        if role != .lite { add(candidates, now: now) }
    }

    /// New credentials; a controlling agent uses them at once, a lite one from its peer's first check with them.
    mutating func restart(local: ICECredentialPair, remote: ICECredentialPair, now: UInt64) {
        pending = Credentials(local: local, remote: remote)
        guard role != .lite else { return }
        for index in paths.indices {
            paths[index].check = nil
            paths[index].checkCount = 0
            paths[index].nextCheckNs = now
        }
    }

    /// The session is over: nothing is signed or believed any more.
    mutating func forgetKeys() {
        let nothing = ICECredentialPair(ufrag: "", password: "")
        credentials = Credentials(local: nothing, remote: nothing)
        pending = nil
    }

    /// The address in use, if any.
    var selectedAddress: SocketAddress? { selected.map { paths[$0].address } }

    /// Where DTLS goes before anything is nominated: the path heard last.
    var bestAddress: SocketAddress? {
        selectedAddress ?? paths.filter(\.isValidated).max { $0.lastHeardNs < $1.lastHeardNs }?.address
    }

    /// Index of a validated path; the selected one is looked at first.
    @inline(__always)
    func validatedIndex(of address: SocketAddress) -> Int? {
        if let selected, paths[selected].address == address { return selected }
        for index in paths.indices where paths[index].address == address && paths[index].isValidated { return index }
        return nil
    }

    /// Adds candidates to check, up to the path limit.
    mutating func add(_ candidates: [SocketAddress], now: UInt64) {
        for address in candidates where paths.count < Limits.pathsPerPeer {
            guard !paths.contains(where: { $0.address == address }) else { continue }
            var path = path(address)
            path.nextCheckNs = now
            paths.append(path)
        }
    }

    /// An authenticated DTLS, SRTP or SRTCP packet came on path `index`; it counts as consent and as proof.
    @inline(__always)
    mutating func heard(on index: Int, now: UInt64) {
        lastHeardNs = now
        paths[index].lastHeardNs = now
        if index != selected { heardElsewhere(on: index, now: now) }
    }

    private mutating func heardElsewhere(on index: Int, now: UInt64) {
        guard !paths[index].needsAnswer else { return }
        paths[index].isProven = true
        guard let current = selected, role == .lite else { return }
        let isSilent = now &- paths[current].lastHeardNs > Limits.pathSilentNs
        // A peer sends its media by the pair that it uses: behind a NAT that gave it another port it may never nominate again.
        if moving == index || isSilent { select(index) }
    }

    /// The handshake finished with a packet from `address`: that path is proven, and from now on moves need proof.
    mutating func connected(on address: SocketAddress, now: UInt64) {
        requiresProof = true
        guard let index = validatedIndex(of: address) else { return }
        paths[index].isProven = true
        let nominated = selected
        selected = index
        moving = nominated == index ? nil : nominated
        heard(on: index, now: now)
    }

    /// An authentic packet came from an address of the peer's host that no check came from, as when a NAT has forgotten the peer. What comes
    /// from there is read from now on; what we send goes there when it has answered our check.
    mutating func follow(_ address: SocketAddress, now: UInt64, output: inout TransportOutput) {
        guard role == .lite, requiresProof else { return }
        let index = paths.firstIndex { $0.address == address } ?? learn(address)
        paths[index].needsAnswer = true
        hear(index, now: now)
        moving = index
        paths[index].probesLeft = Limits.probesPerMove
        sendCheck(index, now: now, output: &output)
    }

    /// Forgets a path that can't come back; what was on it waits for the next one that is nominated.
    mutating func remove(_ address: SocketAddress) {
        guard let index = paths.firstIndex(where: { $0.address == address }) else { return }
        paths.remove(at: index)
        selected = Self.position(selected, without: index)
        moving = Self.position(moving, without: index)
        generation &+= 1
    }

    private static func position(_ position: Int?, without removed: Int) -> Int? {
        guard let position, position != removed else { return nil }
        return position > removed ? position - 1 : position
    }

    mutating func select(_ index: Int) {
        selected = index
        moving = nil
    }

    /// A STUN datagram from `from`; nil when it was good, else why it was dropped.
    mutating func receive(
        _ datagram: UnsafeRawBufferPointer, from: SocketAddress, now: UInt64, output: inout TransportOutput
    ) -> DropReason? {
        let message: STUNMessage
        do throws(STUNError) { message = try STUNMessage(parsing: datagram) } catch { return .stunMalformed }
        switch message.type {
        case .request: return request(message, datagram, from: from, now: now, output: &output)
        case .success, .failure: return response(message, datagram, from: from, now: now, output: &output)
        case .indication: return nil
        }
    }

    /// A Binding request (RFC 8445 section 7.3).
    private mutating func request(
        _ message: STUNMessage, _ datagram: UnsafeRawBufferPointer, from: SocketAddress, now: UInt64,
        output: inout TransportOutput
    ) -> DropReason? {
        guard message.integrityOffset > 0, let ufrag = message.localUfrag(in: datagram) else { return .stunUnauthenticated }
        let name = UnsafeRawBufferPointer(rebasing: datagram[ufrag])
        let caller = UnsafeRawBufferPointer(rebasing: datagram[(ufrag.upperBound + 1)..<message.username.upperBound])
        let isNext = pending.map { name.elementsEqual($0.localUfrag.utf8) } == true
        // Before any share is charged: whose address is the peer's may be nobody who knows our name.
        guard isNext || name.elementsEqual(credentials.localUfrag.utf8) else { return .stunUnauthenticated }
        let known = paths.firstIndex { $0.address == from }
        // What follows costs a MAC. A flood of copies and inventions must neither cost much nor keep the peer out: each address that it has
        // been heard from has a share of its own, and so has who knows its user fragment.
        let mayAsk = known.map { paths[$0].bucket.take(now: now) } ?? takeNewcomer(caller, now: now)
        guard mayAsk else { return .stunRateLimited }
        if isNext, let next = pending, message.isAuthentic(datagram, key: next.localKey) {
            credentials = next
            pending = nil
        } else {
            guard name.elementsEqual(credentials.localUfrag.utf8), message.isAuthentic(datagram, key: credentials.localKey) else {
                return .stunUnauthenticated
            }
        }
        if message.unknownCount > 0 {
            answer(message, .failure, to: from, output: &output) { writer in
                writer.errorCode(420)
                writer.unknownAttributes(message)
            }
            return nil
        }
        if isConflict(message) {
            answer(message, .failure, to: from, output: &output) { $0.errorCode(487) }
            return nil
        }
        let index = known ?? learn(from)
        paths[index].needsAnswer = false
        hear(index, now: now)
        paths[index].received(datagram.count)
        let before = output.count
        answer(message, .success, to: from, output: &output) { $0.xorMappedAddress(from) }
        if output.count > before { paths[index].sent(output.bytes(at: before).count) }
        if role != .controlling && message.useCandidate { nominate(index, message, now: now, output: &output) }
        return nil
    }

    /// A request from an address that is not the peer's yet.
    private mutating func takeNewcomer(_ caller: UnsafeRawBufferPointer, now: UInt64) -> Bool {
        let isNamed =
            caller.elementsEqual(credentials.remoteUfrag.utf8)
            || pending.map { caller.elementsEqual($0.remoteUfrag.utf8) } == true
        return isNamed ? callers.take(now: now) : strangers.take(now: now)
    }

    /// Whether the peer has to change its role; when the tie breakers say that we have to, we have (RFC 8445 section 7.3.1.1).
    private mutating func isConflict(_ message: STUNMessage) -> Bool {
        switch role {
        case .lite: return message.hasControlled
        case .controlling:
            guard message.hasControlling else { return false }
            if tieBreaker >= message.tieBreaker { return true }
            switchRole()
            return false
        case .controlled:
            guard message.hasControlled else { return false }
            if tieBreaker < message.tieBreaker { return true }
            switchRole()
            return false
        }
    }

    /// Takes the other role of a full agent, with a new tie breaker (RFC 8445 section 7.2.5.1). A few times only: two agents in step
    /// could go on for ever, and so could a peer that means harm.
    mutating func switchRole() {
        guard role != .lite, roleSwitches < Limits.roleSwitches else { return }
        roleSwitches += 1
        role = role == .controlling ? .controlled : .controlling
        tieBreaker = random.next()
        for index in paths.indices where paths[index].check != nil { paths[index].check = nil }
    }

    private mutating func hear(_ index: Int, now: UInt64) {
        lastHeardNs = now
        paths[index].lastHeardNs = now
        guard !paths[index].isValidated else { return }
        paths[index].isValidated = true
        generation &+= 1
    }

    /// A new address; the one silent longest gives way, never the selected one or the one we move to.
    private mutating func learn(_ address: SocketAddress) -> Int {
        guard paths.count >= Limits.pathsPerPeer else {
            paths.append(path(address))
            if role != .lite { paths[paths.count - 1].nextCheckNs = 0 }
            return paths.count - 1
        }
        var oldest = -1
        for index in paths.indices where index != selected && index != moving {
            if oldest < 0 || paths[index].lastHeardNs < paths[oldest].lastHeardNs { oldest = index }
        }
        paths[oldest] = path(address)
        generation &+= 1
        return oldest
    }

    /// A path to an address. More may be sent unproven to the host that asked for the session: that request came over TCP, so it is nobody's
    /// invention.
    private func path(_ address: SocketAddress) -> ICEPath {
        ICEPath(address: address, allowance: address.host64 == asker ? Limits.askedBytes : allowance)
    }

    /// A request with USE-CANDIDATE. Clients that nominate every pair must not make media flap, clients that moved must be followed:
    /// a higher NOMINATION wins at once, else the new path needs nominations in a row, or the old one to be silent.
    private mutating func nominate(_ index: Int, _ message: STUNMessage, now: UInt64, output: inout TransportOutput) {
        paths[index].priority = message.priority
        paths[index].nomination = max(paths[index].nomination, message.nomination)
        let isNewcomer = paths[index].lastNominating == nil
        if paths[index].lastNominating != message.transaction {
            paths[index].lastNominating = message.transaction
            for other in paths.indices where other != index { paths[other].streak = 0 }
            paths[index].streak += 1
        }
        if let current = selected {
            guard current != index else {
                moving = nil
                return
            }
            guard shouldMove(from: paths[current], to: paths[index], isNewcomer: isNewcomer, now: now) else { return }
        }
        guard requiresProof && !paths[index].isProven else { return select(index) }
        moving = index
        paths[index].probesLeft = Limits.probesPerRequest
        sendCheck(index, now: now, output: &output)
    }

    /// A viewer may say nothing for seconds, so short silence only counts for an address nominated for the first time.
    private func shouldMove(from current: ICEPath, to next: ICEPath, isNewcomer: Bool, now: UInt64) -> Bool {
        if next.nomination != current.nomination { return next.nomination > current.nomination }
        let silence = now &- current.lastHeardNs
        if silence > (isNewcomer ? Limits.pathSilentNs : Limits.pathDeadNs) { return true }
        return next.streak >= (next.priority < current.priority ? 3 : 2)
    }

    private func answer(
        _ message: STUNMessage, _ type: STUNType, to address: SocketAddress, output: inout TransportOutput,
        _ body: (inout STUNWriter) -> Void
    ) {
        output.append(to: address) { place in
            var writer = STUNWriter(place, type: type, transaction: message.transaction)
            body(&writer)
            writer.messageIntegrity(credentials.localKey)
            return writer.finish()
        }
    }
}

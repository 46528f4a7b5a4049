import Journal
import Store
import Synchronization

/// Who may use plain names in a directory that nodes share. Each puts its session's journal there first and then looks: whoever sees
/// nothing else came first, and of two that came at once at least one sees the other.
extension Shipper {
    /// How long the start of a recording waits for an answer.
    static let claimBound = Duration.seconds(2)

    /// Notes that a session asks for plain names in a directory: `claim` is to follow, and whoever gives it up meanwhile finds it. False
    /// when that is not to be, because someone else has asked.
    func expectClaim(_ directory: ObjectKey, id: String, stream: String) -> Bool {
        claims.withLock { claims in
            guard claims[directory.path] == nil else { return false }
            claims[directory.path] = Claim(id: id, stream: stream)
            return true
        }
    }

    /// Asks for plain names in a directory for a session that may begin there. Without an answer in time it gets other names. Call after
    /// `expectClaim`.
    func claim(_ directory: ObjectKey, id: String, stream: String, node: String, bound: Duration = claimBound) async {
        let isGranted = await ask(directory, id: id, stream: stream, node: node, bound: bound)
        let isReleased = claims.withLock { claims in
            guard var claim = claims[directory.path], claim.id == id else { return false }
            if claim.isReleased, isGranted != nil { return true }
            (claim.isUnderWay, claim.isGranted) = (false, isGranted ?? false)
            // Without an answer something may have been put all the same.
            claims[directory.path] = isGranted == nil ? nil : claim
            return false
        }
        guard isReleased else { return }
        // In this order, so that who waits for both sees one of them.
        state.withLock { $0.plan.withdraw(id: id, stream: stream, directory: directory.path) }
        claims.withLock { $0[directory.path] = nil }
        step()
    }

    /// Whether the store says that the session came first; nil when it was not asked.
    private func ask(_ directory: ObjectKey, id: String, stream: String, node: String, bound: Duration) async -> Bool? {
        let isFree = await BlockingWork.run { [local] () throws(StoreError) in
            try local.listNow(prefix: directory.path + "/", after: nil, limit: 1).objects.isEmpty
        }
        guard case .success(true) = isFree, state.withLock({ $0.plan.weather.state == .fair }) else { return nil }
        // Once it is taken or given up, what comes late would take the place of a journal, or stay.
        guard claims.withLock({ $0[directory.path].map { $0.id == id && !$0.isReleased } ?? false }) else { return nil }
        var line = JournalLine(.session, at: clock.next())
        line.version = 1
        line.id = id
        line.stream = stream
        line.node = node
        line.startUs = clock.now()
        let marker = line.encoded()
        let remote = remote
        let answer = await Deadline.run(within: bound) { () -> Bool? in
            do throws(StoreError) {
                let key = try directory.appending(JournalName.of(id))
                try await remote.put(key, marker, condition: .none)
                let found = try await remote.list(prefix: directory.path + "/", after: nil, limit: 2).objects
                return found.map(\.key) == [key]
            } catch {
                return nil
            }
        }
        return answer ?? false
    }

    /// Something is being asked for.
    var isClaiming: Bool { claims.withLock { $0.values.contains(where: \.isUnderWay) } }

    /// The session that was announced in a directory, which may use plain names there if that is granted. A claim is good for one session.
    func takeClaim(_ directory: ObjectKey, stream: String) -> Claim? {
        claims.withLock { claims in
            guard let claim = claims[directory.path], claim.stream == stream, !claim.isReleased else { return nil }
            claims[directory.path] = nil
            return claim
        }
    }

    /// These sessions will not begin: takes back what was put to claim names for them.
    func releaseClaims(ids: [String]) {
        let released = claims.withLock { claims in
            let own = claims.filter { ids.contains($0.value.id) }
            for directory in own.keys { claims[directory]?.isReleased = true }
            let settled = own.filter { !$0.value.isUnderWay }
            for directory in settled.keys { claims[directory] = nil }
            return settled
        }
        for (directory, claim) in released {
            state.withLock { $0.plan.withdraw(id: claim.id, stream: claim.stream, directory: directory) }
        }
        step()
    }
}

/// Waits for work no longer than it is worth; what takes longer is cancelled. It must not be done when nobody expects it any more: a
/// session's first line that arrives late would take the place of its journal.
enum Deadline {
    static func run<Value: Sendable>(
        within bound: Duration, _ body: @escaping @Sendable () async -> Value?
    ) async -> Value? {
        await withCheckedContinuation { continuation in
            let waiting = Once(continuation)
            let work = Task { waiting.resume(await body()) }
            Task {
                try? await Task.sleep(for: bound)
                work.cancel()
                waiting.resume(nil)
            }
        }
    }

    private final class Once<Value: Sendable>: Sendable {
        private let continuation: Mutex<CheckedContinuation<Value?, Never>?>

        init(_ continuation: CheckedContinuation<Value?, Never>) {
            self.continuation = Mutex(continuation)
        }

        func resume(_ value: Value?) {
            let waiting = continuation.withLock { continuation in
                defer { continuation = nil }
                return continuation
            }
            waiting?.resume(returning: value)
        }
    }
}

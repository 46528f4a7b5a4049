import Synchronization

/// Requests that wait for something named to change, such as a playlist (RFC 8216bis 6.2.5.2). Any thread.
///
/// Whoever tells of a change does no work for those who wait: they are woken by a task of their own.
public final class WaitingRoom: Sendable {
    fileprivate struct Waiter {
        let continuation: CheckedContinuation<Bool, Never>
        var timer: Task<Void, Never>?
    }

    fileprivate struct State {
        var versions: [String: Int64] = [:]
        var waiting: [String: [UInt64: Waiter]] = [:]
        var count = 0
        var changed: Set<String> = []
        var isWaking = false
        var isClosed = false
        var lastVersion: Int64
        var lastID: UInt64 = 0
    }

    private let state: Mutex<State>
    private let waitersMax: Int

    /// - Parameters:
    ///   - waitersMax: more are not let in.
    ///   - firstVersion: versions count from here; another start of the program should take another.
    public init(waitersMax: Int, firstVersion: Int64) {
        self.waitersMax = waitersMax
        state = Mutex(State(lastVersion: firstVersion))
    }

    /// The version of what is called `name`; 0 before its first change.
    public func version(of name: String) -> Int64 { state.withLock { $0.versions[name] ?? 0 } }

    /// How many wait.
    public var count: Int { state.withLock { $0.count } }

    /// What is called `name` has changed. Returns at once.
    public func changed(_ name: String) {
        let mustWake = state.withLock { state in
            state.lastVersion += 1
            state.versions[name] = state.lastVersion
            guard state.waiting[name] != nil else { return false }
            state.changed.insert(name)
            defer { state.isWaking = true }
            return !state.isWaking
        }
        if mustWake { Task { wake() } }
    }

    /// What is called `name` is no more; those who wait for it are told.
    public func forget(_ name: String) {
        changed(name)
        state.withLock { $0.versions[name] = nil }
    }

    private func wake() {
        let woken = state.withLock { state in
            state.isWaking = false
            defer { state.changed = [] }
            return state.changed.flatMap { state.take(all: $0) }
        }
        Self.resume(woken, true)
    }

    /// Waits until the version of `name` is another than `version`: true. False when the time is up, too many wait already, the
    /// task is cancelled, or nothing will change any more.
    public func wait(for name: String, past version: Int64, seconds: Double) async -> Bool {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let verdict = state.withLock { state -> Bool? in
                    if (state.versions[name] ?? 0) != version { return true }
                    guard !state.isClosed, state.count < waitersMax, !Task.isCancelled else { return false }
                    state.waiting[name, default: [:]][id] = Waiter(continuation: continuation)
                    state.count += 1
                    return nil
                }
                if let verdict { return continuation.resume(returning: verdict) }
                let timer = Task {
                    try? await Task.sleep(for: .seconds(seconds))
                    if !Task.isCancelled { dismiss(name, id) }
                }
                let isGone = state.withLock { state in
                    state.waiting[name]?[id]?.timer = timer
                    return state.waiting[name]?[id] == nil
                }
                if isGone { timer.cancel() }
            }
        } onCancel: {
            dismiss(name, id)
        }
    }

    /// Lets everyone go, and nobody in any more.
    public func close() {
        let woken = state.withLock { state in
            state.isClosed = true
            return state.waiting.keys.flatMap { state.take(all: $0) }
        }
        Self.resume(woken, false)
    }

    private func dismiss(_ name: String, _ id: UInt64) {
        let waiter = state.withLock { $0.take(name, id) }
        Self.resume(waiter.map { [$0] } ?? [], false)
    }

    private static func resume(_ waiters: [Waiter], _ result: Bool) {
        for waiter in waiters {
            waiter.timer?.cancel()
            waiter.continuation.resume(returning: result)
        }
    }
}

extension WaitingRoom.State {
    fileprivate mutating func take(all name: String) -> [WaitingRoom.Waiter] {
        guard let taken = waiting.removeValue(forKey: name) else { return [] }
        count -= taken.count
        return Array(taken.values)
    }

    fileprivate mutating func take(_ name: String, _ id: UInt64) -> WaitingRoom.Waiter? {
        guard let taken = waiting[name]?.removeValue(forKey: id) else { return nil }
        count -= 1
        if waiting[name]?.isEmpty == true { waiting[name] = nil }
        return taken
    }
}

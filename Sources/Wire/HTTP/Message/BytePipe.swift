/// A bounded byte queue between a task and a C library's thread.
///
/// One end is asynchronous (`read`, `write`: they wait) and one is synchronous (`take`, `offer`: they never wait). When the
/// synchronous end finds nothing to do it parks, and the other end calls `wake` once when that changes; `wake` may come from any
/// thread, is called without a lock held, and must be cheap. Both ends may be asynchronous too, or both synchronous.
/// What is buffered never exceeds the capacity by more than one chunk.
final class BytePipe: Sendable {
    /// What `take` found.
    enum Taken {
        case bytes(Int)
        case empty
        case finished
        case failed
    }

    private enum Side {
        case readers, writers
    }

    private struct Waiter {
        let id: UInt64
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var chunks: [[UInt8]] = []
        var head = 0
        var headOffset = 0
        var count = 0
        var peak = 0
        var total: UInt64 = 0
        var isFinished = false
        var failure: (any Error)?
        var readers: [Waiter] = []
        var writers: [Waiter] = []
        var nextWaiter: UInt64 = 0
        /// Set while the synchronous reader waits.
        var readerWake: (@Sendable () -> Void)?
        var isWriterParked = false

        var isOver: Bool { isFinished || failure != nil }

        subscript(side: Side) -> [Waiter] {
            get { side == .readers ? readers : writers }
            set { if side == .readers { readers = newValue } else { writers = newValue } }
        }

        mutating func append(_ chunk: [UInt8]) {
            guard !chunk.isEmpty else { return }
            chunks.append(chunk)
            count += chunk.count
            peak = max(peak, count)
            total &+= UInt64(chunk.count)
        }

        mutating func popChunk() -> [UInt8]? {
            guard head < chunks.count else { return nil }
            let chunk = headOffset == 0 ? chunks[head] : Array(chunks[head][headOffset...])
            advanceHead()
            count -= chunk.count
            return chunk
        }

        mutating func advanceHead() {
            chunks[head] = []
            head += 1
            headOffset = 0
            if head == chunks.count || head >= 64 {
                chunks.removeFirst(head)
                head = 0
            }
        }
    }

    /// What a change of state lets go, done after the lock is released.
    private struct Release {
        var waiters: [Waiter] = []
        var readerWake: (@Sendable () -> Void)?
        var wakesWriter = false
    }

    let capacity: Int
    private let state = Locked(State())
    private let wake: @Sendable () -> Void

    init(capacity: Int, wake: @escaping @Sendable () -> Void = {}) {
        self.capacity = capacity
        self.wake = wake
    }

    /// The most bytes that were ever buffered at once.
    var peakCount: Int { state.withLock { $0.peak } }
    /// All bytes that went in.
    var totalCount: UInt64 { state.withLock { $0.total } }
    /// Whether nothing more will be written.
    var isOver: Bool { state.withLock { $0.isOver } }
    /// Whether a writer has to wait.
    var isFull: Bool { state.withLock { $0.count >= capacity } }
    /// Whether the synchronous reader waits for a writer.
    var isReaderParked: Bool { state.withLock { $0.readerWake != nil } }
    /// The bytes waiting now.
    var count: Int { state.withLock { $0.count } }

    // MARK: Ends

    /// No more bytes will come; those buffered are still read.
    func finish() {
        let release = state.withLock { state -> Release in
            guard !state.isOver else { return Release() }
            state.isFinished = true
            return Self.releaseAll(&state)
        }
        perform(release)
    }

    /// Breaks the pipe for both ends and forgets what is buffered. After `finish` it still frees the buffer.
    func fail(_ error: any Error) {
        let release = state.withLock { state -> Release in
            guard state.failure == nil else { return Release() }
            state.failure = error
            (state.chunks, state.head, state.headOffset, state.count) = ([], 0, 0, 0)
            return Self.releaseAll(&state)
        }
        perform(release)
    }

    // MARK: Asynchronous end

    /// Appends a chunk once there is room. Throws what `fail` was given, or CancellationError.
    func write(_ chunk: [UInt8]) async throws {
        while true {
            let (isDone, release) = try state.withLock { state -> (Bool, Release) in
                if let failure = state.failure { throw failure }
                if state.isFinished { throw HTTPError(.internalServerError, "write after the end of the body") }
                guard state.count < capacity else { return (false, Release()) }
                state.append(chunk)
                return (true, Self.releaseReaders(&state))
            }
            perform(release)
            if isDone { return }
            try await wait(.writers) { [capacity] state in state.count < capacity || state.isOver }
        }
    }

    /// The next chunk, or nil at the end. Throws what `fail` was given, or CancellationError.
    func read() async throws -> [UInt8]? {
        while true {
            let (chunk, isOver, release) = try state.withLock { state -> ([UInt8]?, Bool, Release) in
                if let failure = state.failure { throw failure }
                guard let chunk = state.popChunk() else { return (nil, state.isFinished, Release()) }
                return (chunk, false, releaseWriters(&state))
            }
            perform(release)
            if chunk != nil || isOver { return chunk }
            try await wait(.readers) { state in state.head < state.chunks.count || state.isOver }
        }
    }

    private func wait(
        _ side: Side, until isReady: @escaping @Sendable (borrowing State) -> Bool
    ) async throws {
        // What is there comes before cancellation, so that the peer's failure is told rather than the clean-up that follows it.
        try Task.checkCancellation()
        let id = state.withLock { state -> UInt64 in
            state.nextWaiter &+= 1
            return state.nextWaiter
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let resumesNow = state.withLock { state -> Bool in
                    if isReady(state) || Task.isCancelled { return true }
                    state[side].append(Waiter(id: id, continuation: continuation))
                    return false
                }
                if resumesNow { continuation.resume() }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                guard let index = state[side].firstIndex(where: { $0.id == id }) else { return nil }
                return state[side].remove(at: index)
            }
            waiter?.continuation.resume()
        }
    }

    // MARK: Synchronous end

    /// Copies what is there, up to the room of `target`.
    func take(into target: UnsafeMutableRawBufferPointer) -> Taken {
        let (taken, release) = state.withLock { state -> (Taken, Release) in
            if state.failure != nil { return (.failed, Release()) }
            var filled = 0
            while filled < target.count, state.head < state.chunks.count {
                let chunk = state.chunks[state.head]
                let part = min(target.count - filled, chunk.count - state.headOffset)
                chunk.withUnsafeBytes { source in
                    let from = UnsafeRawBufferPointer(rebasing: source[state.headOffset..<(state.headOffset + part)])
                    UnsafeMutableRawBufferPointer(rebasing: target[filled..<(filled + part)]).copyMemory(from: from)
                }
                filled += part
                state.headOffset += part
                if state.headOffset == chunk.count { state.advanceHead() }
            }
            state.count -= filled
            if filled > 0 { return (.bytes(filled), releaseWriters(&state)) }
            return (state.isFinished ? .finished : .empty, Release())
        }
        perform(release)
        return taken
    }

    /// The next chunk as it was written, or nil when there is none now.
    func takeChunk() -> [UInt8]? {
        let (chunk, release) = state.withLock { state -> ([UInt8]?, Release) in
            guard let chunk = state.popChunk() else { return (nil, Release()) }
            return (chunk, releaseWriters(&state))
        }
        perform(release)
        return chunk
    }

    /// Appends without waiting. False when the pipe has failed, so that the bytes are lost.
    func offer(_ chunk: [UInt8]) -> Bool {
        let (isKept, release) = state.withLock { state -> (Bool, Release) in
            guard !state.isOver else { return (false, Release()) }
            state.append(chunk)
            return (true, Self.releaseReaders(&state))
        }
        perform(release)
        return isKept
    }

    /// Asks for one `wake` when there is something to take. False when there already is.
    /// - Parameter readerWake: what is called instead, where both ends are synchronous.
    func parkReader(_ readerWake: (@Sendable () -> Void)? = nil) -> Bool {
        state.withLock { state in
            guard state.head == state.chunks.count, !state.isOver else { return false }
            state.readerWake = readerWake ?? wake
            return true
        }
    }

    /// Asks for one `wake` when half of the room is free again. False when the pipe isn't full.
    func parkWriter() -> Bool {
        state.withLock { state in
            guard state.count >= capacity, !state.isOver else { return false }
            state.isWriterParked = true
            return true
        }
    }

    // MARK: Release

    private static func releaseReaders(_ state: inout State) -> Release {
        let release = Release(waiters: state.readers, readerWake: state.readerWake)
        (state.readers, state.readerWake) = ([], nil)
        return release
    }

    private func releaseWriters(_ state: inout State) -> Release {
        guard state.count <= capacity / 2 else { return Release() }
        let release = Release(waiters: state.writers, wakesWriter: state.isWriterParked)
        state.writers = []
        state.isWriterParked = false
        return release
    }

    private static func releaseAll(_ state: inout State) -> Release {
        let release = Release(
            waiters: state.readers + state.writers, readerWake: state.readerWake, wakesWriter: state.isWriterParked)
        (state.readers, state.writers, state.readerWake, state.isWriterParked) = ([], [], nil, false)
        return release
    }

    private func perform(_ release: Release) {
        for waiter in release.waiters { waiter.continuation.resume() }
        release.readerWake?()
        if release.wakesWriter { wake() }
    }
}

/// Another server's body on its way through. Where its connection breaks and the rest can be had over another one, that is asked for in
/// between, and whoever reads never hears of it.
///
/// Read in one way, once: by a task (`next`), or by the server, piece by piece as its client takes them and without a task.
public final class RelayedBody: Sendable {
    /// A body that goes on where another broke off.
    public struct Rest: Sendable {
        let body: HTTPClientBody
        let skip: Int64
        let hasMore: Bool

        /// A server may send more than it was asked for.
        /// - Parameters:
        ///   - skip: bytes before those that are wanted.
        ///   - hasMore: whether others come behind them.
        public init(_ body: HTTPClientBody, skip: Int64 = 0, hasMore: Bool = false) {
            (self.body, self.skip, self.hasMore) = (body, skip, hasMore)
        }
    }

    /// Opens the rest of the body from this position on, which counts wanted bytes. Throws when it can't be had.
    public typealias Reopen = @Sendable (_ position: Int64) async throws -> Rest

    private struct State {
        var rest: Rest
        var skip: Int64
        /// Wanted bytes that were given.
        var position: Int64 = 0
        var breaks = 0
        var reopening: Task<Void, Never>?
        var failure: (any Error)?
        /// Whoever waits for the rest.
        var wake: (@Sendable () -> Void)?

        init(_ rest: Rest) { (self.rest, skip) = (rest, rest.skip) }

        /// Counts bytes that have come; `passed` stand before what is wanted.
        mutating func count(_ count: Int, end: Int64?) -> (passed: Int, wanted: Int) {
            let passed = Int(min(skip, Int64(count)))
            let wanted = min(count - passed, Int(clamping: (end ?? .max) - position))
            skip -= Int64(passed)
            position += Int64(wanted)
            if wanted > 0 { breaks = 0 }
            if position == end, !rest.hasMore { rest.body.isRead() }
            return (passed, wanted)
        }

        mutating func goOn(with rest: Rest) { (self.rest, skip, reopening) = (rest, rest.skip, nil) }
    }

    /// How often a body is taken up again that broke without bringing anything since.
    private static let breaksMax = 3
    /// An answer up to this size is better passed on in one piece.
    public static let wholeBytesMax = 64 << 10

    /// The bytes that come; nil when only the end tells.
    public let length: Int64?
    private let reopen: Reopen?
    private let state: Locked<State>

    /// - Parameters:
    ///   - length: the bytes that are wanted; nil for all that come.
    ///   - reopen: how to get the rest of a body that broke; nil when there is no way, or no length that would tell.
    public init(_ rest: Rest, length: Int64?, reopen: Reopen? = nil) {
        self.length = length
        self.reopen = length == nil ? nil : reopen
        state = Locked(State(rest))
    }

    /// A body that ends when its connection does.
    public convenience init(_ body: HTTPClientBody, length: Int64?) { self.init(Rest(body), length: length) }

    deinit { state.withLock { $0.reopening.take() }?.cancel() }

    /// What an answer sends: one that is small is waited for and sent in one piece, any other as it comes.
    /// - Throws: what broke a small one.
    public func passed() async throws -> HTTPResponse.Body {
        guard let length, length <= Int64(Self.wholeBytesMax) else { return .relay(self) }
        let whole = SharedBody(count: Int(length))
        // As a rule all of it is there, so that nobody has to be waited for.
        whole.fill { takeAll(into: $0) }
        while !whole.isComplete, let piece = try await next() { whole.append(piece) }
        return .shared(whole, owner: nil)
    }

    // MARK: In a task

    /// The next piece; nil after the last. Throws what broke the body and what kept it from being taken up again.
    public func next() async throws -> [UInt8]? {
        while true {
            let (body, hasMore, isOver) = state.withLock { ($0.rest.body, $0.rest.hasMore, $0.position == length) }
            if isOver {
                if hasMore { body.cancel() }
                return nil
            }
            let failure: any Error
            do {
                if let chunk = try await body.next() {
                    let (passed, wanted) = state.withLock { $0.count(chunk.count, end: length) }
                    if wanted == chunk.count { return chunk }
                    if wanted > 0 { return Array(chunk[passed..<(passed + wanted)]) }
                    continue
                }
                if length == nil { return nil }
                failure = HTTPClientError.broken("the body ended early")
            } catch {
                failure = error
            }
            guard let reopen, !Task.isCancelled, let position = broke() else { throw failure }
            let rest = try await reopen(position)
            state.withLock { $0.goOn(with: rest) }
        }
    }

    /// Where to go on; nil when it broke too often.
    private func broke() -> Int64? {
        state.withLock { state in
            state.breaks += 1
            return state.breaks <= Self.breaksMax ? state.position : nil
        }
    }

    // MARK: On the server's thread

    /// Copies what is there, up to the room of `target`; `empty` also while the rest is being opened.
    func take(into target: UnsafeMutableRawBufferPointer) -> BytePipe.Taken {
        let (isFailed, isReopening) = state.withLock { ($0.failure != nil, $0.reopening != nil) }
        if isFailed { return .failed }
        if isReopening { return .empty }
        let taken = takeHere(into: target)
        guard case .failed = taken else { return taken }
        return beginReopening() ? .empty : .failed
    }

    /// What this connection brings.
    private func takeHere(into target: UnsafeMutableRawBufferPointer) -> BytePipe.Taken {
        let body = state.withLock { $0.rest.body }
        while true {
            switch body.pipe.take(into: target) {
            case .bytes(let count):
                let (passed, wanted) = state.withLock { $0.count(count, end: length) }
                if wanted == count { return .bytes(count) }
                guard wanted > 0 else { continue }
                UnsafeMutableRawBufferPointer(rebasing: target[..<wanted]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: target[passed..<(passed + wanted)]))
                return .bytes(wanted)
            case .empty: return .empty
            case .finished: return length == nil || state.withLock({ $0.position == length }) ? .finished : .failed
            case .failed: return .failed
            }
        }
    }

    /// All that is there; how much that was.
    private func takeAll(into target: UnsafeMutableRawBufferPointer) -> Int {
        var filled = 0
        while filled < target.count,
            case .bytes(let count) = takeHere(into: UnsafeMutableRawBufferPointer(rebasing: target[filled...]))
        {
            filled += count
        }
        return filled
    }

    /// Asks for one call of `wake` when there is something to take. False when there already is.
    func park(_ wake: @escaping @Sendable () -> Void) -> Bool {
        let body = state.withLock { state -> HTTPClientBody? in
            guard state.reopening != nil else { return state.rest.body }
            state.wake = wake
            return nil
        }
        return body?.pipe.parkReader(wake) ?? true
    }

    /// False when the rest can't be had.
    private func beginReopening() -> Bool {
        guard let reopen, let position = broke() else { return false }
        state.withLock { state in
            // It must not keep this body: when nobody wants it any more, the rest is not wanted either.
            state.reopening = Task { [weak self] in
                let result: Result<Rest, any Error>
                do { result = .success(try await reopen(position)) } catch { result = .failure(error) }
                self?.goOn(with: result)
            }
        }
        return true
    }

    private func goOn(with result: Result<Rest, any Error>) {
        let wake = state.withLock { state in
            switch result {
            case .success(let rest): state.goOn(with: rest)
            case .failure(let error): (state.failure, state.reopening) = (error, nil)
            }
            return state.wake.take()
        }
        wake?()
    }
}

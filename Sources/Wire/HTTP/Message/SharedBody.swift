/// The bytes of a body that many answers send, each at its own pace, while they still come in or afterwards: one block of known size,
/// filled once from front to end.
///
/// One task at a time appends; any number of answers read. A slow reader holds nobody back, and costs no memory of its own.
public final class SharedBody: @unchecked Sendable {  // why: bytes below `filled` never change, those above are the writer's.
    /// What `read` found.
    enum Taken {
        case bytes(Int)
        case empty
        case failed
    }

    private struct State {
        var filled = 0
        var isFailed = false
        /// Answers that have sent all there was.
        var waiting: [Exchange.Waker] = []
    }

    /// The length in bytes.
    public let count: Int
    let block: UnsafeMutableRawPointer
    private let state = Locked(State())

    /// An empty body that will have `count` bytes.
    public init(count: Int) {
        self.count = max(0, count)
        block = .allocate(byteCount: max(1, count), alignment: 16)
    }

    /// A body that is there already.
    public convenience init(_ bytes: [UInt8]) {
        self.init(count: bytes.count)
        append(bytes)
    }

    deinit { block.deallocate() }

    /// Whether all bytes are there.
    public var isComplete: Bool { state.withLock { $0.filled == count } }

    /// Adds bytes behind those that are there, and lets waiting answers go on. False when they are more than there is room for, or the
    /// body has failed.
    @discardableResult
    public func append(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { append($0) } }

    func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var fits = false
        fill { room in
            fits = bytes.count <= room.count
            guard fits else { return 0 }
            room.copyMemory(from: bytes)
            return bytes.count
        }
        return fits
    }

    /// Lets `write` put bytes into what room there is, and say how many; not called when the body has failed.
    func fill(_ write: (UnsafeMutableRawBufferPointer) -> Int) {
        let start = state.withLock { $0.isFailed ? nil : $0.filled }
        guard let start else { return }
        let written = write(UnsafeMutableRawBufferPointer(start: block + start, count: count - start))
        let waiting = state.withLock { state -> [Exchange.Waker] in
            state.filled = start + written
            defer { state.waiting = [] }
            return state.waiting
        }
        for waker in waiting { waker.wake() }
    }

    /// No more bytes will come: answers that are being sent break. No effect once all are there.
    public func fail() {
        let waiting = state.withLock { state -> [Exchange.Waker] in
            guard state.filled < count else { return [] }
            state.isFailed = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for waker in waiting { waker.wake() }
    }

    /// Copies what is there from a position on, up to the room of `target`.
    func read(at position: Int, into target: UnsafeMutableRawBufferPointer) -> Taken {
        let (filled, isFailed) = state.withLock { ($0.filled, $0.isFailed) }
        guard filled > position else { return isFailed ? .failed : .empty }
        let size = min(target.count, filled - position)
        UnsafeMutableRawBufferPointer(rebasing: target[..<size]).copyMemory(
            from: UnsafeRawBufferPointer(start: block + position, count: size))
        return .bytes(size)
    }

    /// Asks for a wake when there is something behind a position. False when there already is, or never will be.
    func park(_ waker: Exchange.Waker, at position: Int) -> Bool {
        state.withLock { state in
            guard state.filled <= position, !state.isFailed else { return false }
            state.waiting.append(waker)
            return true
        }
    }
}

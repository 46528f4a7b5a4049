import Log
import Store
import Synchronization

/// Asks the places in their order and keeps what the first one gave.
///
/// Temporary credentials are replaced five minutes before their end, or when half of what they are good for is over where that is
/// later, by one request however many ask; until the real end the old ones are handed out meanwhile, also when no new ones can be had.
actor CredentialProvider {
    private static let log = Logger("buckets")
    /// How long before their end credentials are replaced.
    static let earlyUs: Int64 = 300 * 1_000_000
    /// How long after a failed fetch none is begun while the old ones are still good, or a place may be asked again at all.
    static let pauseUs: Int64 = 10 * 1_000_000

    private let sources: [any CredentialSource]
    private let nowUs: @Sendable () -> Int64
    /// Also read without waiting for this actor.
    private let kept = Mutex<BucketCredentials?>(nil)
    private var current: BucketCredentials? {
        get { kept.withLock { $0 } }
        set { kept.withLock { $0 = newValue } }
    }
    private var fetching: Task<Result<BucketCredentials, StoreError>, Never>?
    private var nextTryUs: Int64 = 0
    private var lastFailure: StoreError?

    init(_ sources: [any CredentialSource], nowUs: @escaping @Sendable () -> Int64) {
        (self.sources, self.nowUs) = (sources, nowUs)
    }

    /// Credentials that are good now. Throws `denied` when no place has any, `unavailable` when one can't be reached.
    nonisolated func credentials() async throws(StoreError) -> BucketCredentials {
        if let kept = kept.withLock({ $0 }), kept.expiresUs.map({ $0 - nowUs() > Self.earlyUs }) ?? true { return kept }
        return try await checked()
    }

    private func checked() async throws(StoreError) -> BucketCredentials {
        let now = nowUs()
        if let current, (current.expiresUs ?? .max) > now {
            if current.expiresUs != nil, fetching == nil, now >= nextTryUs { _ = startFetching() }
            return current
        }
        if let lastFailure, fetching == nil, now < nextTryUs { throw lastFailure }
        return try await fetched()
    }

    /// Replaces credentials that a store refused; false when there are no others.
    func renew(_ refused: BucketCredentials) async -> Bool {
        if let current, current != refused { return true }
        return (try? await fetched()).map { $0 != refused } ?? false
    }

    private func fetched() async throws(StoreError) -> BucketCredentials {
        try await (fetching ?? startFetching()).value.get()
    }

    private func startFetching() -> Task<Result<BucketCredentials, StoreError>, Never> {
        let task = Task { await self.fetch() }
        fetching = task
        return task
    }

    private func fetch() async -> Result<BucketCredentials, StoreError> {
        let result = await Self.firstFound(sources)
        fetching = nil
        switch result {
        case .success(let found):
            (current, lastFailure) = (found, nil)
            if let expiresUs = found.expiresUs {
                let now = nowUs()
                // Not at every request from now on: some services give the same ones again until shortly before their end.
                nextTryUs = max(expiresUs - Self.earlyUs, now + (expiresUs - now) / 2)
            }
        case .failure(let error):
            Self.log.warning("no new credentials", ["reason": "\(error)"])
            (lastFailure, nextTryUs) = (error, nowUs() + Self.pauseUs)
        }
        return result
    }

    private static func firstFound(_ sources: [any CredentialSource]) async -> Result<BucketCredentials, StoreError> {
        for source in sources {
            do throws(CredentialError) {
                if let found = try await source.fetch() {
                    log.debug("credentials found", ["in": source.name])
                    return .success(found)
                }
            } catch {
                let reason = "credentials from \(source.name): \(error.reason)"
                return .failure(error.isTransient ? .unavailable(reason: reason) : .denied(reason: reason))
            }
        }
        return .failure(.denied(reason: "no credentials in \(sources.map(\.name).joined(separator: ", "))"))
    }
}

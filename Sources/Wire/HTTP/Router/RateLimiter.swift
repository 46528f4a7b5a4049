import Dispatch
import Synchronization

/// A token bucket for each client address; who has none left gets 429 with `Retry-After` (RFC 6585 section 4). Any thread.
public final class RateLimiter: RouterLayer {
    private struct Bucket {
        var tokens: Double
        var filledNs: UInt64
    }

    private let perSecond: Double
    private let burst: Double
    private let now: @Sendable () -> UInt64
    private let buckets = Mutex<[String: Bucket]>([:])
    /// Addresses remembered; full buckets are forgotten first, since they say nothing.
    private static let addressesMax = 16_384
    private static let exempt: Set<String> = ["/healthz", "/metrics"]

    /// - Parameters:
    ///   - perSecond: requests a second of one address over time; above 0.
    ///   - burst: requests of one address at once; 0 means as many as in a second.
    public convenience init(perSecond: Double, burst: Int) {
        self.init(perSecond: perSecond, burst: burst) { DispatchTime.now().uptimeNanoseconds }
    }

    package init(perSecond: Double, burst: Int, now: @escaping @Sendable () -> UInt64) {
        self.perSecond = perSecond
        self.burst = max(1, burst > 0 ? Double(burst) : perSecond)
        self.now = now
    }

    /// Stands before all routes but those for health and metrics: scrapers must see a program under attack.
    public func enter(_ request: HTTPRequest) throws(HTTPError) {
        if !Self.exempt.contains(request.path), let seconds = wait(request.clientNetwork) {
            throw HTTPError(.tooManyRequests, "too many requests", headers: ["Retry-After": String(seconds)])
        }
    }

    /// Takes a token; nil when there was one, else the whole seconds until there is.
    package func wait(_ address: String) -> Int? {
        let now = now()
        return buckets.withLock { buckets in
            if buckets.count >= Self.addressesMax, buckets[address] == nil { makeRoom(&buckets, now) }
            var bucket = filled(buckets[address] ?? Bucket(tokens: burst, filledNs: now), now)
            defer { buckets[address] = bucket }
            guard bucket.tokens < 1 else {
                bucket.tokens -= 1
                return nil
            }
            return max(1, Int(((1 - bucket.tokens) / perSecond).rounded(.up)))
        }
    }

    private func filled(_ bucket: Bucket, _ now: UInt64) -> Bucket {
        let seconds = Double(now &- bucket.filledNs) / 1e9
        return Bucket(tokens: min(burst, bucket.tokens + seconds * perSecond), filledNs: now)
    }

    private func makeRoom(_ buckets: inout [String: Bucket], _ now: UInt64) {
        buckets = buckets.filter { filled($0.value, now).tokens < burst }
        if buckets.count >= Self.addressesMax { buckets.removeAll(keepingCapacity: true) }
    }
}

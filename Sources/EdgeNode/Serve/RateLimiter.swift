import HTTP
import Streams
import Synchronization

/// `[limits] rate_rps` and `rate_burst`: a token bucket for each client address; more gets 429 (RFC 6585 section 4).
final class RateLimiter: Sendable {
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
    /// Scrapers and health checks must see a node under attack.
    private static let exempt: Set<String> = ["/healthz", "/metrics"]

    init(perSecond: Double, burst: Int, now: @escaping @Sendable () -> UInt64 = { StreamTime.system().monotonicNs }) {
        self.perSecond = perSecond
        self.burst = max(1, burst > 0 ? Double(burst) : perSecond)
        self.now = now
    }

    var middleware: Router.Middleware {
        { request, next in
            if !Self.exempt.contains(request.path), let seconds = self.wait(request.remoteAddress) {
                throw HTTPError(.tooManyRequests, "too many requests", headers: ["Retry-After": String(seconds)])
            }
            return await next(request)
        }
    }

    /// Takes a token; nil when there was one, else the whole seconds until there is.
    func wait(_ address: String) -> Int? {
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

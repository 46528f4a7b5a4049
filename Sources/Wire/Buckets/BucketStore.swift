import Config
import HTTP
import Store

/// Opens the store that a configuration names; the one place where both programs meet buckets.
public enum BucketStore {
    /// The store of `[recorder.storage]`.
    ///
    /// Nothing is sent: a bucket that can't be reached shows with the first request, or with `ping`.
    /// - Parameters:
    ///   - client: carries all requests of a bucket.
    ///   - environment: where credentials and region may come from, the process's own as a rule.
    /// - Throws: what is wrong with a directory, or with an endpoint that can't be used.
    public static func open(
        _ settings: StorageSettings, client: HTTPClient, environment: [String: String]
    ) throws(StoreError) -> any ObjectStore {
        switch settings {
        case .fs(let root): try FileStore(root: root)
        case .s3(let s3): try RemoteBucket(s3, client: client, environment: environment)
        case .oss(let oss): try RemoteBucket(oss, client: client, environment: environment)
        }
    }
}

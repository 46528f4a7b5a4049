/// Who may publish a stream in the whole cluster: one node at a time.
public protocol StreamClaims: Sendable {
    /// Asks for a stream.
    ///
    /// - Parameters:
    ///   - credential: what tells one client from another; who shows the holder's takes the stream over. Nil or empty is nobody's.
    ///   - isOverriding: take it over from anyone.
    func acquire(_ stream: String, credential: String?, isOverriding: Bool) async -> StreamClaim

    /// Gives a stream back, unless it was asked for again or taken over meanwhile.
    func release(_ stream: String, ticket: Int) async
}

/// Whether a stream may be published here.
public enum StreamClaim: Sendable, Hashable {
    /// It may; the ticket gives it back.
    ///
    /// Each holding in the cluster has a number larger than that of any before it, the fence: where two nodes say they have the
    /// stream, the larger one is right. It is 0 while nobody can be asked.
    case held(ticket: Int, fence: Int64)
    /// It is published on the node of this alias.
    case taken(by: String)
}

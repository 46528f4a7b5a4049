/// What a coordinator writes into a URL of a node that it redirects a client to. Some clients resolve a path against the host that they
/// asked first, so the node has to tell them the whole URL of their session.
public enum RedirectMark {
    /// The name of the query's field; what it says doesn't count.
    public static let queryName = "via"
}

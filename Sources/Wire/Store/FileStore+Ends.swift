extension FileStore {
    /// The first and the last bytes of a file, and how long it is; both are all of it when it is short. On the calling thread.
    public func endsNow(_ key: ObjectKey, count: Int) throws(StoreError) -> (head: [UInt8], tail: [UInt8], size: Int64) {
        let file = try openNow(key)
        let owner = Descriptor(owning: file.descriptor)
        let size = file.info.size
        let head = try FileCalls.read(owner.raw, at: 0, count: count)
        let tail = try FileCalls.read(owner.raw, at: max(0, size - Int64(count)), count: count)
        return (head, tail, size)
    }
}

import Glibc

extension FileStore {
    /// Like `list`, on the calling thread.
    public func listNow(prefix: String, after: String?, limit: Int) throws(StoreError) -> ObjectPage {
        var walk = Walk(prefix: Array(prefix.utf8), after: after.map { Array($0.utf8) }, limit: max(1, limit))
        let directory = prefix.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        guard directory.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." && !$0.utf8.contains(0) }) else {
            return ObjectPage(objects: [], continuation: nil)
        }
        do throws(StoreError) {
            let opened = try openDirectoryNow(directory.map(String.init), create: false)
            try walk.visit(opened.raw, path: directory.map { $0 + "/" }.joined())
        } catch {
            guard error == .notFound else { throw error }
        }
        let isCut = walk.found.count > walk.limit
        let objects = Array(walk.found.prefix(walk.limit))
        return ObjectPage(objects: objects, continuation: isCut ? objects.last?.key.path : nil)
    }
}

extension FileStore {
    /// The keys of files, anywhere beneath the root, whose name begins and ends so; in no order. Only names are read, and of others than
    /// these nothing is made, so it stays quick among millions of files.
    public func keysNow(prefix: String, suffix: String) throws(StoreError) -> [ObjectKey] {
        var keys: [ObjectKey] = []
        var open = [""]
        while let path = open.popLast() {
            let components = path.split(separator: "/").map(String.init)
            guard let directory = try? openDirectoryNow(components, create: false) else { continue }
            for entry in try FileCalls.entries(directory.raw, prefix: prefix) where !entry.name.hasPrefix(".") {
                if entry.isDirectory {
                    open.append(path + entry.name + "/")
                } else if entry.name.hasPrefix(prefix), entry.name.hasSuffix(suffix), let key = try? ObjectKey(path + entry.name)
                {
                    keys.append(key)
                }
            }
        }
        return keys
    }
}

/// A walk through directories in the order of whole keys; a directory sorts as its name with `/`.
private struct Walk {
    let prefix: [UInt8]
    let after: [UInt8]?
    let limit: Int
    var found: [ObjectInfo] = []

    mutating func visit(_ directory: Int32, path: String) throws(StoreError) {
        var entries: [(name: String, sortKey: [UInt8], isDirectory: Bool)] = []
        let base = Array(path.utf8)
        for (name, isDirectory) in try FileCalls.entries(directory) {
            guard !name.hasPrefix("."), !name.hasSuffix(FileStore.temporarySuffix) else { continue }
            let sortKey = Array(name.utf8) + (isDirectory ? [0x2F] : [])
            // Before sorting: a directory may hold a day of segments, of which few are asked for.
            let key = base + sortKey
            if isDirectory ? mayHold(key) : matches(key) { entries.append((name, sortKey, isDirectory)) }
        }
        entries.sort { $0.sortKey.lexicographicallyPrecedes($1.sortKey) }
        for entry in entries where found.count <= limit {
            if entry.isDirectory {
                guard let inner = try? FileCalls.open(entry.name, in: directory, O_RDONLY | O_DIRECTORY) else { continue }
                try visit(inner.raw, path: path + entry.name + "/")
            } else if let name = try? ObjectKey(path + entry.name) {
                var status = stat()
                guard fstatat(directory, entry.name, &status, AT_SYMLINK_NOFOLLOW) == 0,
                    let info = try? FileCalls.info(status, key: name)
                else { continue }
                found.append(info)
            }
        }
    }

    private func matches(_ key: [UInt8]) -> Bool {
        key.starts(with: prefix) && (after.map { $0.lexicographicallyPrecedes(key) } ?? true)
    }

    /// A directory (with its `/`) can hold matching keys past `after`.
    private func mayHold(_ directory: [UInt8]) -> Bool {
        guard directory.starts(with: prefix) || prefix.starts(with: directory) else { return false }
        guard let after, !after.starts(with: directory) else { return true }
        return after.lexicographicallyPrecedes(directory)
    }
}

extension FileCalls {
    /// What is in a directory, without `.` and `..`; kinds are known without following links.
    ///
    /// - Parameter prefix: regular files whose names begin otherwise are left out.
    static func entries(
        _ directory: Int32, prefix: String = ""
    ) throws(StoreError) -> [(name: String, isDirectory: Bool)] {
        let copy = try open(".", in: directory, O_RDONLY | O_DIRECTORY).take()
        guard let stream = fdopendir(copy) else {
            let code = errno
            close(copy)
            throw .from("opendir", code)
        }
        defer { closedir(stream) }
        var list: [(name: String, isDirectory: Bool)] = []
        let prefixBytes = prefix.utf8.count
        while let entry = readdir(stream) {
            if prefixBytes > 0, Int(entry.pointee.d_type) == Int(DT_REG),
                withUnsafePointer(
                    to: &entry.pointee.d_name,
                    { pointer in
                        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { strncmp($0, prefix, prefixBytes) }
                    }) != 0
            {
                continue
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard name != ".", name != ".." else { continue }
            var isDirectory = Int(entry.pointee.d_type) == Int(DT_DIR)
            if Int(entry.pointee.d_type) == Int(DT_UNKNOWN) {
                var status = stat()
                isDirectory = fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_mode & S_IFMT == S_IFDIR
            }
            list.append((name, isDirectory))
        }
        return list
    }
}

/// One mistake each, with the one line that tells it.
let badConfigs: [(text: String, message: String)] = [
    ("[node]\nalias = \"a b\"", "edge.toml:2: node.alias: must be 1 to 64 of A-Z a-z 0-9 _ . - and not start with a dot"),
    ("[node]\nalias = \"a~b\"", "edge.toml:2: node.alias: must be 1 to 64 of A-Z a-z 0-9 _ . - and not start with a dot"),
    ("[node]\nalias = 5", "edge.toml:2: node.alias: expected a string, found an integer"),
    ("[node]\nalais = \"a\"", "edge.toml:2: node.alais: unknown key, did you mean alias?"),
    ("[node]\nurl = \"10.0.0.1:7777\"", "edge.toml:2: node.url: expected http://host:port or https://host:port"),
    ("[node]\nurl = \"ftp://x\"", "edge.toml:2: node.url: expected http://host:port or https://host:port"),
    ("[node]\nurl = \"http://u:p@x\"", "edge.toml:2: node.url: must have no user, password or query"),
    ("[node]\npub_max = -1", "edge.toml:2: node.pub_max: must be 0 to 1000000"),
    ("[node]\nsub_max = \"many\"", "edge.toml:2: node.sub_max: expected an integer, found a string"),
    ("[node]\nlabels = [\"a\"]", "edge.toml:2: node.labels: expected a table of strings, found a list"),
    ("[recorder]\nretention_days = -1", "edge.toml:2: recorder.retention_days: must be 0 to 36500"),
    ("[[recorder.retention]]\ndays = 1", "edge.toml:1: recorder.retention[0].pattern: is required"),
    ("[[recorder.retention]]\npattern = \"a\"", "edge.toml:1: recorder.retention[0].days: is required"),
    (
        "[[recorder.retention]]\npattern = \"/\"\ndays = 1",
        "edge.toml:2: recorder.retention[0].pattern: not a pattern of stream names: * is any text, ? one character"
    ),
    (
        "[recorder.hooks]\nurl = \"hooks.example.org\"",
        "edge.toml:2: recorder.hooks.url: expected http://host:port/path or https://host:port/path"
    ),
    ("[recorder.hooks]\ncommand = [\"ls\"]", "edge.toml:2: recorder.hooks.command: must begin with an absolute path"),
    ("[recorder.hooks]\nevents = [\"begin\"]", "edge.toml:2: recorder.hooks.events[0]: expected one of start, segment, stop"),
    ("[recorder.hooks]\ntimeout_seconds = 0", "edge.toml:2: recorder.hooks.timeout_seconds: must be 0.1 to 300.0"),
    ("[cascade]\nmax_depth = 0", "edge.toml:2: cascade.max_depth: must be 1 to 16"),
    ("[cascade]\nidle_second = 1", "edge.toml:2: cascade.idle_second: unknown key, did you mean idle_seconds?"),
    ("[stream]\ndemo = 1", "edge.toml:2: stream.demo: expected a table, found an integer"),
    (
        "[stream.\"a b\"]",
        "edge.toml:1: stream.a b: not a stream name: 1 to 64 of A-Z a-z 0-9 _ . ~ - and no dot first"
    ),
    ("[[stream.demo.sources]]\ntoken = \"t\"", "edge.toml:1: stream.demo.sources[0].url: is required"),
    (
        "[[stream.demo.targets]]\nurl = \"rtsp://x\"",
        "edge.toml:2: stream.demo.targets[0].url: expected http://host/path, https://host/path or whip://host/path"
    ),
    ("[[stream.demo.source]]\nurl = \"x\"", "edge.toml:1: stream.demo.source: unknown key, did you mean sources?"),
    ("[nodes]\nalias = \"a\"", "edge.toml:1: nodes: unknown key, did you mean node?"),
    ("[http]\nlisten = \"7777\"", "edge.toml:2: http.listen: expected host:port, [IPv6]:port or :port"),
    ("[http]\nlisten = \"127.0.0.1:99999\"", "edge.toml:2: http.listen: expected host:port, [IPv6]:port or :port"),
    ("[http]\nlisten = 7777", "edge.toml:2: http.listen: expected a string, found an integer"),
    (
        "[http]\nlisten = \"0.0.0.0:7777\"",
        "edge.toml:2: http.listen: 0.0.0.0:7777 can be reached from other machines but nothing in [auth] is set:"
            + " set auth.tokens, or auth.open = true to let everyone in"
    ),
    (
        "[http]\nlisten = \":7777\"\n[auth]\nopen = false",
        "edge.toml:2: http.listen: :7777 can be reached from other machines but nothing in [auth] is set:"
            + " set auth.tokens, or auth.open = true to let everyone in"
    ),
    (
        "[http]\ncors = \"example.org\"",
        "edge.toml:2: http.cors: expected true, false or a list of origins such as \"https://example.org\""
    ),
    (
        "[http]\ncors = [\"https://example.org/path\"]",
        "edge.toml:2: http.cors: expected true, false or a list of origins such as \"https://example.org\""
    ),
    ("[http]\ntls_cert = \"c.pem\"", "edge.toml:2: http.tls_cert: needs http.tls_key too"),
    ("[http]\ntls_key = \"k.pem\"", "edge.toml:2: http.tls_key: needs http.tls_cert too"),
    ("[http]\nmax_body = 5", "edge.toml:2: http.max_body: must be 1024 to 1073741824"),
    ("[http]\nregion = \"eu\"", "edge.toml:2: http.region: unknown key, did you mean node.region?"),
    ("[webrtc]\nudp_port = 70000", "edge.toml:2: webrtc.udp_port: must be 0 to 65535"),
    ("[webrtc]\npublisher_bitrate_max = 0", "edge.toml:2: webrtc.publisher_bitrate_max: must be 100000 to 1000000000"),
    ("[webrtc]\nudp_port = 65535\nloops = 2", "edge.toml:2: webrtc.udp_port: leaves no port for each of 2 loops"),
    ("[webrtc]\ntcp_port = 70000", "edge.toml:2: webrtc.tcp_port: must be -1 to 65535"),
    ("[webrtc]\ntcp_port = 65535\nloops = 2", "edge.toml:2: webrtc.tcp_port: leaves no port for each of 2 loops"),
    ("[webrtc]\npublic_ips = [\"edge.example.org\"]", "edge.toml:2: webrtc.public_ips[0]: not an IP address"),
    ("[webrtc]\nice_udp_addrs = [\"eth0\"]", "edge.toml:2: webrtc.ice_udp_addrs[0]: expected \"auto\" or an IP address"),
    ("[webrtc]\nloops = 1000", "edge.toml:2: webrtc.loops: must be 0 to 256"),
    (
        "[[webrtc.ice_servers]]\nurls = [\"http://x\"]",
        "edge.toml:2: webrtc.ice_servers[0].urls[0]: expected stun:host:port or turn:host:port"
    ),
    ("[[webrtc.ice_servers]]\nusername = \"u\"", "edge.toml:1: webrtc.ice_servers[0].urls: must not be empty"),
    (
        "[[webrtc.ice_servers]]\nurls = [\"turn:t:1\"]",
        "edge.toml:2: webrtc.ice_servers[0].urls: a TURN server needs username and credential"
    ),
    ("[webrtc.coturn]\nurls = [\"turn:t\"]", "edge.toml:1: webrtc.coturn.secret: urls and secret go together"),
    ("[webrtc.coturn]\nsecret = \"s\"", "edge.toml:1: webrtc.coturn.urls: urls and secret go together"),
    ("[webrtc.coturn]\nttl = 5", "edge.toml:2: webrtc.coturn.ttl: must be 60 to 31536000"),
    ("[auth]\ntokens = [\"\"]", "edge.toml:2: auth.tokens[0]: must not be empty"),
    ("[auth]\ntokens = [\"two words\"]", "edge.toml:2: auth.tokens[0]: must be visible ASCII without spaces"),
    ("[auth]\ntokens = \"t\"", "edge.toml:2: auth.tokens: expected a list of strings, found a string"),
    (
        "[auth]\ntokens = [\"t\"]\nopen = true",
        "edge.toml:3: auth.open: contradicts the credentials in [auth]: remove one or the other"
    ),
    ("[auth]\nmetrics = true", "edge.toml:2: auth.metrics: nothing is set in [auth] that could be asked for"),
    ("[auth.room_tokens]\n\"a/b\" = \"t\"", "edge.toml:2: auth.room_tokens.a/b: not a stream name"),
    ("[auth.room_tokens]\ndemo = \"\"", "edge.toml:2: auth.room_tokens.demo: must not be empty"),
    (
        "[[auth.accounts]]\nusername = \"u\"\npassword = \"p\"",
        "edge.toml:1: auth.accounts: a login gives out a JWT: set auth.secret too"
    ),
    (
        "[auth]\nsecret = \"s\"\n[[auth.accounts]]\nusername = \"u\"",
        "edge.toml:3: auth.accounts[0].password: must be set"
    ),
    (
        "[auth]\nsecret = \"s\"\naccounts = [{ username = \"u\", password = \"a\" },\n { username = \"u\", password = \"b\" }]",
        "edge.toml:4: auth.accounts[1].username: stands twice"
    ),
    ("[auth]\nsecret = \"\"\nsecrets = \"x\"", "edge.toml:3: auth.secrets: unknown key, did you mean secret?"),
    ("[strategy]\nauto_create_whip = 1", "edge.toml:2: strategy.auto_create_whip: expected true or false, found an integer"),
    ("[strategy]\nauto_delete_whip = -2", "edge.toml:2: strategy.auto_delete_whip: must be -1 to 86400000"),
    (
        "[strategy]\neach_stream_max_subs = 5",
        "edge.toml:2: strategy.each_stream_max_subs: unknown key, did you mean each_stream_max_sub?"
    ),
    ("[recorder]\nsegmnt_seconds = 2", "edge.toml:2: recorder.segmnt_seconds: unknown key, did you mean segment_seconds?"),
    ("[recorder]\nsegment_seconds = 0", "edge.toml:2: recorder.segment_seconds: must be 0.5 to 60.0"),
    (
        "[recorder]\nauto_streams = [\"a/*\"]",
        "edge.toml:2: recorder.auto_streams[0]: not a pattern of stream names: * is any text, ? one character"
    ),
    ("[recorder]\nlayout = \"flat\"", "edge.toml:2: recorder.layout: expected \"date\""),
    (
        "[recorder]\nmin_free_space = \"lots\"",
        "edge.toml:2: recorder.min_free_space: expected bytes, such as 1048576 or \"1 MiB\""
    ),
    ("[recorder]\nwhen_full = \"panic\"", "edge.toml:2: recorder.when_full: expected one of \"stop\", \"delete_oldest\""),
    ("[recorder]\nmin_free_percent = 100", "edge.toml:2: recorder.min_free_percent: must be 0.0 to 90.0"),
    (
        "[recorder]\nwhen_full = \"delete_oldest\"\n[recorder.storage]\ntype = \"s3\"\nbucket = \"b\"",
        "edge.toml:2: recorder.when_full: delete_oldest is for storage.type = \"fs\": "
            + "a bucket has no end, and the spool empties itself"
    ),
    ("[recorder.storage]\ntype = \"ftp\"", "edge.toml:2: recorder.storage.type: expected one of \"fs\", \"s3\", \"oss\""),
    ("[recorder.storage]\nroot = \"\"", "edge.toml:2: recorder.storage.root: must not be empty"),
    (
        "[recorder.storage]\nbucket = \"b\"",
        "edge.toml:2: recorder.storage.bucket: belongs to type = \"s3\" or \"oss\", not to \"fs\""
    ),
    ("[recorder.storage]\ntype = \"s3\"", "edge.toml:1: recorder.storage.bucket: must be set for type = \"s3\""),
    (
        "[recorder.storage]\ntype = \"s3\"\nbucket = \"b\"\naccess_key_id = \"i\"",
        "edge.toml:4: recorder.storage.access_key_id: access_key_id and secret_access_key go together"
    ),
    (
        "[recorder.storage]\ntype = \"s3\"\nbucket = \"b\"\nsession_token = \"i\"",
        "edge.toml:4: recorder.storage.session_token: needs access_key_id too"
    ),
    (
        "[recorder.storage]\ntype = \"s3\"\nbucket = \"b\"\ndisable_config_load = true",
        "edge.toml:4: recorder.storage.disable_config_load: leaves no credentials: set access_key_id and secret_access_key"
    ),
    (
        "[recorder.storage]\ntype = \"s3\"\nbucket = \"b\"\nendpoint = \"localhost:9000\"",
        "edge.toml:4: recorder.storage.endpoint: expected http://host:port or https://host:port"
    ),
    (
        "[recorder.storage]\ntype = \"oss\"\nbucket = \"b\"\nendpoint = \"https://o\"",
        "edge.toml:1: recorder.storage.region: must be set for type = \"oss\""
    ),
    (
        "[recorder.storage]\ntype = \"oss\"\nbucket = \"b\"\nregion = \"r\"\nendpoint = \"https://o\"\nsecret_access_key = \"x\"",
        "edge.toml:6: recorder.storage.secret_access_key: belongs to type = \"s3\", not to \"oss\""
    ),
    ("[recorder.storag]\ntype = \"fs\"", "edge.toml:1: recorder.storag: unknown key, did you mean storage?"),
    ("[recorder.spool]\nmax_bytes = 1", "edge.toml:2: recorder.spool.max_bytes: must be 1048576 to 1125899906842624"),
    (
        "[redis]\nurl = \"localhost:6379\"",
        "edge.toml:2: redis.url: expected redis://[user:password@]host:port/db, rediss://… or unix:///path"
    ),
    ("[redis]\nurl = \"redis://h:6379/x\"", "edge.toml:2: redis.url: database must be a number, 0 to 65535"),
    (
        "[redis]\nsentinels = [\"a\", \"redis://:secret@b/1\"]",
        "edge.toml:2: redis.sentinels[1]: expected host:port or redis://[user:password@]host:port"
    ),
    ("[redis]\nsentinels = [\"a\"]\nmaster = \"\"", "edge.toml:3: redis.master: must not be empty"),
    ("[redis]\nurl = \"redis://a\"\ntls_ca = \"ca.pem\"", "edge.toml:3: redis.tls_ca: says nothing without rediss://"),
    (
        "[redis]\nurl = \"rediss://a\"\ntls_cert = \"c.pem\"",
        "edge.toml:3: redis.tls_cert: needs redis.tls_key too"
    ),
    ("[redis]\nurl = \"unix://var/run/r\"", "edge.toml:2: redis.url: expected unix:///path, with three slashes"),
    ("[redis]\nprefix = \"\"", "edge.toml:2: redis.prefix: must be 1 to 64 bytes"),
    ("[limits]\nrate_burst = 5", "edge.toml:2: limits.rate_burst: does nothing without limits.rate_rps"),
    ("[limits]\nmax_sessions = 1.5", "edge.toml:2: limits.max_sessions: expected an integer, found a number"),
    ("[log]\nlevel = \"verbose\"", "edge.toml:2: log.level: expected one of \"debug\", \"info\", \"warn\", \"error\""),
    ("[log]\nformat = \"xml\"", "edge.toml:2: log.format: expected one of \"text\", \"json\""),
    ("log = \"info\"", "edge.toml:1: log: expected a table, found a string"),
    ("[http]\nlisten = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"", "edge.toml:3: listen: stands twice"),
]

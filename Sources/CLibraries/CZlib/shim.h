#pragma once
#include <zlib.h>

/// deflateInit2 is a macro, which Swift can't call; 16 makes the wrapper gzip.
static inline int czlib_begin_gzip(z_stream *stream, int level) {
    return deflateInit2(stream, level, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
}

#include "ctoml.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <string_view>

namespace {

struct BrokenInvariant {};

// toml++ 3.3 asserts things that a wrong text breaks: `[=]` aborts a debug build and is undefined behaviour in a release build.
// So its asserts are made exceptions in every build. The one about a key's first character is let pass, because the
// parser deals with that case right after it and knows the line.
inline void require_invariant(bool holds, const char *text) {
    if (holds || std::strncmp(text, "is_bare_key_character(", 22) == 0 || std::strncmp(text, "is_string_delimiter(", 20) == 0) return;
    throw BrokenInvariant();
}

}  // namespace

#undef NDEBUG  // With it toml++ ignores the next line and takes its asserts for granted.
#define TOML_ASSERT(condition) require_invariant(static_cast<bool>(condition), #condition)
#define TOML_EXCEPTIONS 1
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 32
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

namespace {

constexpr unsigned long kTextBytesMax = 1 << 20;
constexpr int kDepthMax = 32;
constexpr unsigned kDotsMax = 16;

void append_string(std::string &out, std::string_view text) {
    out += '"';
    for (char c : text) {
        auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20 || byte == 0x7F) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", byte);
            out += escape;
        } else {
            out += c;
        }
    }
    out += '"';
}

// Looks at what stands outside of strings and comments before toml++ sees the text, for two things it can't cope with: it
// destroys nested tables by recursion, and a dotted key nests one table per dot without a limit of its own; and some
// letters outside ASCII (U+FEFB) lead its tables to undefined behaviour, where TOML allows none anyway.
class PlainTextScan {
  public:
    explicit PlainTextScan(std::string_view text) : text_(text) {}

    // What is wrong, or nullptr.
    const char *find() {
        if (text_.substr(0, 3) == "\xEF\xBB\xBF") at_ = 3;
        while (at_ < text_.size()) {
            char c = text_[at_];
            if (c == '"' || c == '\'') {
                skip_string(c);
                continue;
            }
            if (c == '#') {
                while (at_ < text_.size() && text_[at_] != '\n') at_++;
                continue;
            }
            if (static_cast<unsigned char>(c) >= 0x80) return "only strings and comments may contain other characters than ASCII";
            if (c == '.') {
                if (++dots_ > kDotsMax) return "nested too deep";
            } else if (c == '\n' || c == '=' || c == ',' || c == '[' || c == ']' || c == '{' || c == '}') {
                dots_ = 0;
            }
            if (c == '\n') line_++;
            at_++;
        }
        return nullptr;
    }

    unsigned line() const { return line_; }

  private:
    bool is_triple(char quote) const {
        return at_ + 2 < text_.size() && text_[at_] == quote && text_[at_ + 1] == quote && text_[at_ + 2] == quote;
    }

    void skip_string(char quote) {
        bool multi = is_triple(quote);
        at_ += multi ? 3 : 1;
        while (at_ < text_.size()) {
            char c = text_[at_];
            if (c == '\n') {
                if (!multi) return;  // Not closed; toml++ stops here too.
                line_++;
            }
            if (c == '\\' && quote == '"') {
                if (at_ + 1 < text_.size() && text_[at_ + 1] == '\n') line_++;
                at_ += 2;
            } else if (multi && is_triple(quote)) {
                at_ += 3;
                // Up to two more quotes belong to the string.
                for (int extra = 0; extra < 2 && at_ < text_.size() && text_[at_] == quote; extra++) at_++;
                return;
            } else {
                at_++;
                if (!multi && c == quote) return;
            }
        }
    }

    std::string_view text_;
    size_t at_ = 0;
    unsigned line_ = 1;
    unsigned dots_ = 0;
};

class Writer {
  public:
    std::string out;

    bool write(const toml::node &node, int depth) {
        if (depth > kDepthMax) return false;
        open(type_name(node), node.source().begin.line);
        bool fits = write_value(node, depth);
        out += '}';
        return fits;
    }

  private:
    static const char *type_name(const toml::node &node) {
        switch (node.type()) {
            case toml::node_type::table: return "table";
            case toml::node_type::array: return "array";
            case toml::node_type::string: return "string";
            case toml::node_type::integer: return "integer";
            case toml::node_type::floating_point: return "float";
            case toml::node_type::boolean: return "bool";
            default: return "date";
        }
    }

    void open(const char *type, unsigned line) {
        out += "{\"t\":\"";
        out += type;
        out += "\",\"l\":" + std::to_string(line) + ",\"v\":";
    }

    bool write_value(const toml::node &node, int depth) {
        if (auto table = node.as_table()) return write_table(*table, depth);
        if (auto array = node.as_array()) return write_array(*array, depth);
        if (auto text = node.as_string()) {
            append_string(out, text->get());
        } else if (auto integer = node.as_integer()) {
            out += '"' + std::to_string(integer->get()) + '"';
        } else if (auto number = node.as_floating_point()) {
            char digits[40];
            std::snprintf(digits, sizeof digits, "\"%.17g\"", number->get());
            out += digits;
        } else if (auto flag = node.as_boolean()) {
            out += flag->get() ? "\"true\"" : "\"false\"";
        } else {
            std::ostringstream text;
            if (auto date = node.as_date()) text << date->get();
            if (auto time = node.as_time()) text << time->get();
            if (auto both = node.as_date_time()) text << both->get();
            append_string(out, text.str());
        }
        return true;
    }

    bool write_table(const toml::table &table, int depth) {
        out += '[';
        bool is_first = true;
        for (auto &&[key, value] : table) {
            if (!is_first) out += ',';
            is_first = false;
            out += "{\"k\":";
            append_string(out, key.str());
            out += ",\"l\":" + std::to_string(key.source().begin.line) + ",\"n\":";
            if (!write(value, depth + 1)) return false;
            out += '}';
        }
        out += ']';
        return true;
    }

    bool write_array(const toml::array &array, int depth) {
        out += '[';
        bool is_first = true;
        for (auto &&value : array) {
            if (!is_first) out += ',';
            is_first = false;
            if (!write(value, depth + 1)) return false;
        }
        out += ']';
        return true;
    }
};

std::string error_document(std::string_view message, unsigned line) {
    std::string out = "{\"error\":";
    append_string(out, message);
    return out + ",\"line\":" + std::to_string(line) + "}";
}

std::string document(std::string_view text) {
    if (text.size() > kTextBytesMax) return error_document("larger than 1 MiB", 0);
    PlainTextScan scan(text);
    if (const char *problem = scan.find()) return error_document(problem, scan.line());
    toml::table root;
    try {
        root = toml::parse(text);
    } catch (const toml::parse_error &error) {
        return error_document(error.description(), error.source().begin.line);
    } catch (const BrokenInvariant &) {
        return error_document("not understood", 0);
    }
    Writer writer;
    writer.out = "{\"root\":";
    if (!writer.write(root, 0)) return error_document("nested too deep", 0);
    return writer.out + "}";
}

}  // namespace

char *ctoml_parse(const char *text, unsigned long length) {
    try {
        std::string json = document(std::string_view(text, length));
        auto copy = static_cast<char *>(std::malloc(json.size() + 1));
        if (copy) std::memcpy(copy, json.c_str(), json.size() + 1);
        return copy;
    } catch (...) {
        return nullptr;  // std::bad_alloc
    }
}

void ctoml_free(char *json) { std::free(json); }

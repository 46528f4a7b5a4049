#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// Parses TOML text (need not end in NUL) and returns a JSON document about it; free with `ctoml_free`. NULL when memory is out.
///
/// `{"error": "…", "line": n}` or `{"root": node}`, where a node is
/// `{"t": type, "l": line, "v": value}` with type `table` (value: array of `{"k": key, "l": line, "n": node}`), `array` (array of
/// nodes), `string`, `date` (value: string), `bool`, `integer` or `float` (value: its text as a string, so that no
/// precision is lost and `inf` and `nan` have a form). Text over 1 MiB and nesting over 32 levels are errors. Any thread.
char *ctoml_parse(const char *text, unsigned long length);

/// Frees what `ctoml_parse` returned; NULL is allowed.
void ctoml_free(char *json);

#ifdef __cplusplus
}
#endif

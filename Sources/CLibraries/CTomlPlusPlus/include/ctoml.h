#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// Parses TOML text and returns a JSON document describing it (free with `ctoml_free`).
char *ctoml_parse(const char *text, unsigned long length);
void ctoml_free(char *json);

#ifdef __cplusplus
}
#endif

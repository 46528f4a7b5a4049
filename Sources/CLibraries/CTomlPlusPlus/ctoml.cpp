#include "ctoml.h"
#include <cstdlib>
#include <cstring>

char *ctoml_parse(const char *, unsigned long) { return strdup("{}"); }
void ctoml_free(char *json) { std::free(json); }

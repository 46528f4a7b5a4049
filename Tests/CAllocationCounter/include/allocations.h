#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Whether this program counts; not under a sanitizer, which has an allocator of its own. */
bool tributary_counts_allocations(void);

/* Allocations of the calling thread so far. */
uint64_t tributary_allocations(void);

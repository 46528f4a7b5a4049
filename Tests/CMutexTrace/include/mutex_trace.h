/* Nothing to call: see mutex_trace.c. */

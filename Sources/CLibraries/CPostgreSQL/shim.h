#pragma once
#include <postgresql/libpq-fe.h>

/* The fields of a refusal are named by character constants, which Swift doesn't import. */
static inline const char *tributary_pq_sqlstate(const PGresult *result) { return PQresultErrorField(result, PG_DIAG_SQLSTATE); }
static inline const char *tributary_pq_message(const PGresult *result) { return PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY); }

#pragma once
/* No _GNU_SOURCE, as in CLinux: all modules must see the same libc structs. */
// SHA1_* on plain structs is deprecated in favour of EVP, but it is the only form that keeps an HMAC key state without the heap.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/ssl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/crypto.h>
#include <openssl/bio.h>
#include <openssl/buffer.h>

// OpenSSL spells these as macros, which Swift cannot see.
static inline long tributary_ssl_set_mtu(SSL *ssl, long bytes) { return SSL_set_mtu(ssl, bytes); }
static inline int tributary_dtls_get_timeout(SSL *ssl, struct timeval *left) { return (int)DTLSv1_get_timeout(ssl, left); }
static inline int tributary_dtls_handle_timeout(SSL *ssl) { return (int)DTLSv1_handle_timeout(ssl); }
static inline int tributary_bio_reset(BIO *bio) { return (int)BIO_reset(bio); }
/* Gives a memory BIO empty memory for what it holds; nothing when it has none, or when there is none to give. */
static inline void tributary_bio_renew(BIO *bio) {
    BUF_MEM *held = NULL;
    if (BIO_get_mem_ptr(bio, &held) <= 0 || held == NULL || held->max == 0) return;
    BUF_MEM *empty = BUF_MEM_new();
    if (empty != NULL && BIO_set_mem_buf(bio, empty, BIO_CLOSE) <= 0) BUF_MEM_free(empty);
}
static inline long tributary_bio_set_eof_retry(BIO *bio) { return BIO_set_mem_eof_return(bio, -1); }
static inline size_t tributary_bio_peek(BIO *bio, const uint8_t **bytes) {
    char *start = NULL;
    long count = BIO_get_mem_data(bio, &start);
    *bytes = (const uint8_t *)start;
    return count > 0 ? (size_t)count : 0;
}
static inline long tributary_ssl_ctx_set_dtls12_only(SSL_CTX *ctx) {
    return SSL_CTX_set_min_proto_version(ctx, DTLS1_2_VERSION) && SSL_CTX_set_max_proto_version(ctx, DTLS1_2_VERSION);
}
static inline long tributary_ssl_ctx_set_tls12_up(SSL_CTX *ctx) { return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION); }
static inline long tributary_ssl_announce(SSL *ssl, const char *host) { return SSL_set_tlsext_host_name(ssl, host); }
static inline long tributary_ssl_ctx_set_groups(SSL_CTX *ctx, const char *list) { return SSL_CTX_set1_groups_list(ctx, list); }
static inline void tributary_ssl_ctx_set_session_cache_off(SSL_CTX *ctx) { SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); }
static inline void tributary_ssl_ctx_set_read_ahead(SSL_CTX *ctx) { SSL_CTX_set_read_ahead(ctx, 1); }
static inline void tributary_ssl_ctx_set_max_cert_list(SSL_CTX *ctx, long bytes) { SSL_CTX_set_max_cert_list(ctx, bytes); }
static inline void tributary_ssl_ctx_release_buffers(SSL_CTX *ctx) { SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); }
static inline uint64_t tributary_ssl_options(void) {
    return SSL_OP_NO_QUERY_MTU | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE
        | SSL_OP_SINGLE_ECDH_USE;
}
static inline EVP_PKEY *tributary_ec_key(const char *curve) { return EVP_EC_gen(curve); }

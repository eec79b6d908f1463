// A byte stream, in clear or (built with -DGWBENCH_TLS -lssl -lcrypto) over TLS.
#ifdef GWBENCH_TLS
#include <openssl/ssl.h>
#else
typedef void SSL;
#endif

typedef struct {
    int fd;
    SSL *tls;
    char in[1 << 18];
    int n;
    char *out;
    size_t on, oc;
    int comp;
} X;

// Octets read behind what `in` has; 0 at the end, less than 0 when there are none yet.
static ssize_t xread(X *x) {
    size_t room = sizeof x->in - 1 - x->n;
#ifdef GWBENCH_TLS
    if (x->tls) {
        int r = SSL_read(x->tls, x->in + x->n, room);
        if (r > 0)
            return r;
        int why = SSL_get_error(x->tls, r);
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
    }
#endif
    return recv(x->fd, x->in + x->n, room, MSG_DONTWAIT);
}

// Octets written; less than 0 when none can be.
static ssize_t xwrite(X *x) {
#ifdef GWBENCH_TLS
    if (x->tls) {
        int r = SSL_write(x->tls, x->out, x->on > 16384 ? 16384 : x->on);
        if (r > 0)
            return r;
        int why = SSL_get_error(x->tls, r);
        errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
        return -1;
    }
#endif
    return send(x->fd, x->out, x->on, MSG_NOSIGNAL);
}

static void xflush(X *x) {
    size_t done = 0, all = x->on;
    char *from = x->out;
    while (done < all) {
        x->out = from + done;
        x->on = all - done;
        ssize_t r = xwrite(x);
        if (r <= 0 && errno != EAGAIN && errno != EINTR)
            die("stream");
        if (r <= 0)
            break;
        done += r;
    }
    x->out = from;
    x->on = all - done;
    memmove(x->out, x->out + done, x->on);
}

static void xput(X *x, const char *s, size_t n) {
    if (x->on + n > x->oc) {
        x->oc = (x->on + n) * 2;
        x->out = realloc(x->out, x->oc);
    }
    memcpy(x->out + x->on, s, n);
    x->on += n;
}

static void xsay(X *x, const char *s) {
    xput(x, s, strlen(s));
    while (x->on) {
        xflush(x);
        if (x->on)
            usleep(1000);
    }
}

static void xwait(X *x, const char *pat, const char *pat2) {
    uint64_t t = now();
    for (;;) {
        if (x->n) {
            x->in[x->n] = 0;
            if (strstr(x->in, pat) || (pat2 && strstr(x->in, pat2)))
                return;
        }
        if (now() - t > 8e9) {
            fprintf(stderr, "timeout waiting %s; have: %s\n", pat, x->n ? x->in : "");
            exit(2);
        }
        struct pollfd p = {x->fd, POLLIN, 0};
        poll(&p, 1, 100);
        ssize_t r = xread(x);
        if (r > 0)
            x->n += r;
        else if (r == 0) {
            fprintf(stderr, "closed waiting %s: %.*s\n", pat, x->n, x->in);
            exit(2);
        }
    }
}

static void xtune(X *x) {
    int one = 1, size = 4 << 20;
    fcntl(x->fd, F_SETFL, O_NONBLOCK);
    setsockopt(x->fd, IPPROTO_TCP, TCP_NODELAY, &one, 4);
    setsockopt(x->fd, SOL_SOCKET, SO_RCVBUF, &size, 4);
}

// A connection to who may still be starting.
static int xconnect(const struct sockaddr_in *at) {
    for (uint64_t t = now(); now() - t < 10e9; usleep(20000)) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (!connect(fd, (const void *)at, sizeof *at))
            return fd;
        close(fd);
    }
    die("connect");
    return -1;
}

static int xlisten(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, l = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, 4);
    if (bind(l, (void *)&a, sizeof a) || listen(l, 16))
        die("listen");
    return l;
}

#ifdef GWBENCH_TLS
static int xtrust(X509_STORE_CTX *store, void *nothing) {
    return 1;
}
#endif

// TLS over `x->fd`, with --cert and --key; `peer` is asked for by name. Its certificate is taken as it is.
static void xtls(X *x, int server, const char *peer) {
#ifdef GWBENCH_TLS
    SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (cert && (SSL_CTX_use_certificate_chain_file(context, cert) != 1 || SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1))
        die("--cert, --key");
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (server) // the gateway shows its certificate where it is asked for one
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL), SSL_CTX_set_cert_verify_callback(context, xtrust, NULL);
    x->tls = SSL_new(context);
    SSL_set_fd(x->tls, x->fd);
    if (peer)
        SSL_set_tlsext_host_name(x->tls, peer);
    if ((server ? SSL_accept(x->tls) : SSL_connect(x->tls)) != 1)
        die("TLS handshake");
#else
    fprintf(stderr, "built without TLS\n");
    exit(1);
#endif
}

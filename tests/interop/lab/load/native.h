// A user of the native protocol over one WebSocket (RFC 6455; sub-protocol interlingua.v1): --native PORT:TOKEN.

static X *native_open(const char *spec) {
    char b[1024], token[256] = "";
    X *x = calloc(1, sizeof *x);
    int port = spec ? atoi(spec) : 0;
    if (!spec || sscanf(spec, "%*d:%255s", token) != 1) {
        fprintf(stderr, "--native PORT:TOKEN\n");
        exit(1);
    }
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    x->fd = xconnect(&a);
    xtune(x);
    snprintf(b, sizeof b,
             "GET /v1/ws?device=bench HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: interlingua.v1\r\n\r\n",
             token);
    xsay(x, b);
    xwait(x, "\r\n\r\n", NULL);
    if (strncmp(x->in, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "no WebSocket: %s\n", x->in);
        exit(2);
    }
    x->n = 0;
    return x;
}

// A frame of a client is masked; a mask of zeros leaves it readable.
static void native_frame(X *x, int kind, const char *s, size_t n) {
    uint8_t h[8] = {0x80 | kind, 0x80 | (n < 126 ? n : 126)};
    int k = 2;
    if (n >= 126) {
        h[k++] = n >> 8;
        h[k++] = n;
    }
    xput(x, (char *)h, k);
    xput(x, "\0\0\0\0", 4);
    xput(x, s, n);
}

static void native_send(X *x, long id) {
    static char b[DATAGRAM];
    char to[160];
    if (nusers > 1)
        snprintf(to, sizeof to, "u%ld@sip.test", id % nusers);
    else
        snprintf(to, sizeof to, "%s", xto);
    int n = snprintf(b, sizeof b,
                     "{\"type\":\"message\",\"ref\":\"%lx\",\"data\":{\"to\":\"%s\",\"content_type\":\"text/plain\",\"body\":\"#%09ld %.*s\","
                     "\"id\":\"n%x-%lx\"}}",
                     id, to, id, bodylen > 11 ? bodylen - 11 : 0, filler, runid, id);
    ts_send[id] = now();
    native_frame(x, 1, b, n);
}

// One JSON text; gives the id of an event, in `event`.
static void native_text(const char *s, const char *end, char *event, size_t room) {
    const char *body, *ref = memmem(s, end - s, "\"ref\":\"", 7), *status = memmem(s, end - s, "\"status\":", 9);
    if (!strncmp(s, "{\"type\":\"result\"", 16)) {
        if (!ref || !status)
            return;
        int code = atoi(status + 9);
        replied(strtol(ref + 7, NULL, 16), code, code == 429 || code == 503);
        return;
    }
    const char *id = memmem(s, end - s, "\"id\":\"", 6);
    if (id)
        snprintf(event, room, "%.*s", (int)strcspn(id + 6, "\""), id + 6);
    if ((body = memmem(s, end - s, "\"body\":\"#", 9)))
        deliver(atol(body + 9));
}

static void native_take(X *x) {
    char event[64] = "", b[128];
    for (ssize_t r; (r = xread(x)) != -1;) {
        if (r == 0) {
            fprintf(stderr, "the gateway closed the WebSocket\n");
            x->fd = -1;
            return;
        }
        x->n += r;
        uint8_t *p = (uint8_t *)x->in, *end = p + x->n;
        while (end - p >= 2) {
            size_t n = p[1] & 0x7f, head = n == 126 ? 4 : n == 127 ? 10 : 2;
            if ((size_t)(end - p) < head)
                break;
            if (head > 2) {
                n = 0;
                for (size_t i = 2; i < head; i++)
                    n = n << 8 | p[i];
            }
            if ((size_t)(end - p) < head + n)
                break;
            if ((p[0] & 15) == 1)
                native_text((char *)p + head, (char *)p + head + n, event, sizeof event);
            else if ((p[0] & 15) == 9)
                native_frame(x, 10, (char *)p + head, n);
            p += head + n;
        }
        memmove(x->in, p, end - p);
        x->n = end - p;
    }
    if (*event)
        native_frame(x, 1, b, snprintf(b, sizeof b, "{\"type\":\"ack\",\"id\":\"%s\"}", event));
    if (x->on)
        xflush(x);
}

// SIP over TCP and TLS: messages framed by Content-Length (RFC 3261 section 18.3).

enum { SIP_LINKS = 16 };
static X *links[SIP_LINKS];
static int sip_door = -1;

static X *sip_dial(int tls) {
    X *x = calloc(1, sizeof *x);
    x->fd = xconnect(&dst);
    if (tls)
        xtls(x, 0, "gw.test");
    xtune(x);
    return x;
}

static void sip_listen(int port) {
    sip_door = xlisten(port);
    fcntl(sip_door, F_SETFL, O_NONBLOCK);
}

// Takes what came over a stream: answers to us, or requests, which are answered.
static void sip_take(X *x) {
    static char b[sizeof x->in], o[DATAGRAM];
    for (ssize_t r; (r = xread(x)) > 0;) {
        x->n += r;
        x->in[x->n] = 0;
        char *p = x->in, *end = x->in + x->n;
        for (;;) {
            while (p < end && (*p == '\r' || *p == '\n'))
                p++;
            char *head = memmem(p, end - p, "\r\n\r\n", 4);
            if (!head)
                break;
            char *length = strcasestr(p, "\r\nContent-Length:");
            long body = length && length < head ? atol(length + 17) : 0;
            if (end - head - 4 < body)
                break;
            size_t all = head + 4 + body - p;
            memcpy(b, p, all);
            b[all] = 0;
            p += all;
            if (!strncmp(b, "SIP/2.0 ", 8))
                sip_response(b);
            else
                xput(x, o, sip_request(b, o));
        }
        memmove(x->in, p, end - p);
        x->n = end - p;
        if (x->on)
            xflush(x);
    }
}

// The sockets to wait for.
static int sip_polls(struct pollfd *polls) {
    int n = 0;
    if (sip_door >= 0)
        polls[n++] = (struct pollfd){sip_door, POLLIN, 0};
    for (int i = 0; i < SIP_LINKS && links[i]; i++)
        polls[n++] = (struct pollfd){links[i]->fd, POLLIN | (links[i]->on ? POLLOUT : 0), 0};
    return n;
}

static void sip_serve(void) {
    int at = 0, fd;
    while (at < SIP_LINKS && links[at])
        sip_take(links[at++]);
    if (sip_door < 0 || at == SIP_LINKS || (fd = accept(sip_door, 0, 0)) < 0)
        return;
    X *x = links[at] = calloc(1, sizeof *x);
    x->fd = fd;
    if (!strcmp(sip_over, "tls"))
        xtls(x, 1, NULL);
    xtune(x);
}

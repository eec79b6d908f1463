// The component link of a bench: what the XMPP server is to the gateway.

static int port = 25400; // where the gateway connects
static X far_side = {.fd = -1};

// One component link; returns once its handshake is answered.
static void link_up(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, size = 4 << 20, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, 4);
    if (bind(listener, (void *)&a, sizeof a) || listen(listener, 4))
        die("bind stub");
    struct pollfd p = {listener, POLLIN, 0};
    if (poll(&p, 1, 90000) <= 0) {
        fprintf(stderr, "no component connected\n");
        exit(2);
    }
    far_side.fd = accept(listener, 0, 0);
    close(listener);
    far_side.n = far_side.on = 0;
    xwait(&far_side, "<stream:stream", NULL);
    usleep(20000);
    far_side.n = 0;
    xsay(&far_side, "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
                    "xmlns:stream='http://etherx.jabber.org/streams' id='abc123' from='sip.test'>");
    xwait(&far_side, "</handshake>", NULL);
    far_side.n = 0;
    xsay(&far_side, "<handshake/>");
    fcntl(far_side.fd, F_SETFL, O_NONBLOCK);
    setsockopt(far_side.fd, IPPROTO_TCP, TCP_NODELAY, &one, 4);
    setsockopt(far_side.fd, SOL_SOCKET, SO_RCVBUF, &size, 4);
}

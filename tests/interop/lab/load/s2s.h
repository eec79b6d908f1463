// Another XMPP server, over TLS from the first octet (XEP-0368) with SASL EXTERNAL, both ways on one stream (XEP-0288).

static void s2s_header(X *x, const char *own, const char *peer, const char *features) {
    char b[1024];
    snprintf(b, sizeof b,
             "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='%s' to='%s' "
             "id='b%x' version='1.0'>%s",
             own, peer, runid, features);
    xsay(x, b);
}

// `listens`: the gateway calls; else we do.
static void s2s_open(X *x, int listens, struct sockaddr_in *at, const char *own, const char *peer) {
    static const char *sasl = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism>"
                              "</mechanisms><bidi xmlns='urn:xmpp:features:bidi'/></stream:features>";
    if (listens) {
        int door = xlisten(ntohs(at->sin_port));
        struct pollfd p = {door, POLLIN, 0};
        if (poll(&p, 1, 20000) <= 0) {
            fprintf(stderr, "no server connected\n");
            exit(2);
        }
        x->fd = accept(door, 0, 0);
        close(door);
    } else
        x->fd = xconnect(at);
    xtls(x, listens, listens ? NULL : peer);
    xtune(x);
    if (listens) {
        xwait(x, "version=", NULL);
        x->n = 0;
        s2s_header(x, own, peer, sasl);
        xwait(x, "</auth>", NULL);
        x->n = 0;
        xsay(x, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        xwait(x, "version=", NULL);
        x->n = 0;
        s2s_header(x, own, peer, "<stream:features/>");
    } else {
        s2s_header(x, own, peer, "");
        xwait(x, "</stream:features>", NULL);
        if (!strstr(x->in, "EXTERNAL")) {
            fprintf(stderr, "no EXTERNAL: %s\n", x->in);
            exit(2);
        }
        x->n = 0;
        xsay(x, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
        xwait(x, "<success", NULL);
        x->n = 0;
        s2s_header(x, own, peer, "");
        xwait(x, "</stream:features>", "<stream:features/>");
    }
    x->comp = 1;
}

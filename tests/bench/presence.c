// presence: what subscriptions cost. SIP watchers and presentities over UDP on one port, XMPP contacts behind a component link.
//   scale     --number pairs each way: SIP users who watch XMPP users, then the reverse; changes of state; kill -9 and start
//   fanout    --number XMPP watchers of one SIP user who publishes at the gateway (PUBLISH)
//             --lose N: after that start the notification to every Nth refresh is not sent, as a full socket would do
//   hold      --number SIP users who watch XMPP users; then --then COMMAND runs beside them, with the gateway's pid in GATEWAY
//   server    SUBSCRIBE and NOTIFY alone at any presence server: --sip-dst, --pids
// One JSON line for each phase. Loopback only, one thread. In the first two the gateway is started and killed here: --gateway COMMAND.
#define GWBENCH_PARTS
#include "../interop/lab/load/gwbench.c"
#include "link.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { ANSWERED = 1, NOTIFIED = 2, SHOWN = 4, STARTED = 8 };

typedef struct {
    char call[64], far[64], target[128];
    int cseq, seen;
    uint8_t have, lost; // of the phase; its notification
    uint64_t begun, sent;
} Pair;

static Pair *sips, *xmpps; // SIP watchers w0.. of contacts c0.., XMPP watchers j0.. of presentities r0..
static long number = 100000, in_flight = 256, rest = 40, published;
static int version, need, gateway_pid, terminated;
static long done, probed, asked, refused, again, lose, losing;
static char etag[64], *command, *pids, *then_run = "true", watched_domain[64] = "xmpp.test", *mode = "scale";
static uint64_t *took, asking; // since when states are asked for

static const char *header(const char *m, const char *name, char *o, size_t oc) {
    char key[64];
    snprintf(key, sizeof key, "\r\n%s:", name);
    const char *p = strcasestr(m, key);
    *o = 0;
    if (!p)
        return o;
    for (p += strlen(key); *p == ' '; p++)
        ;
    const char *e = strstr(p, "\r\n");
    snprintf(o, oc, "%.*s", (int)(e ? e - p : 0), p);
    return o;
}

static void tag_of(const char *value, char *o, size_t oc) {
    const char *p = strstr(value, ";tag=");
    snprintf(o, oc, "%.*s", p ? (int)strcspn(p + 5, ";") : 0, p ? p + 5 : "");
}

static void say(const char *b, int n) {
    if (sendto(ufd, b, n, 0, (void *)&dst, sizeof dst) < 0)
        bad++;
}

static void mark(Pair *p, long i, uint8_t what) {
    if (!(p->have & STARTED) || (p->have & need) == need)
        return;
    p->have |= what;
    if ((p->have & need) == need)
        took[done++] = now() - p->begun;
}

// The gateway has asked for one more state.
static void count(long *of) {
    (*of)++;
    if (asking && probed + asked <= 2 * number)
        took[done++] = now() - asking;
}

// ---- SIP
static void subscribe(long i) {
    Pair *p = &sips[i];
    char b[2048], to[160];
    if (!p->cseq)
        snprintf(p->target, sizeof p->target, "sip:c%ld@%s", i, watched_domain);
    snprintf(to, sizeof to, *p->far ? "<sip:c%ld@%s>;tag=%s" : "<sip:c%ld@%s>", i, watched_domain, p->far);
    say(b, snprintf(b, sizeof b,
                    "SUBSCRIBE %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%x.%lx.%d;rport\r\nMax-Forwards: 70\r\n"
                    "From: <sip:w%ld@sip.test>;tag=%lx\r\nTo: %s\r\nCall-ID: %x-%ld\r\nCSeq: %d SUBSCRIBE\r\n"
                    "Contact: <sip:w%ld@127.0.0.1:%d>\r\nEvent: presence\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\n"
                    "Content-Length: 0\r\n\r\n",
                    p->target, lport, runid, i, p->cseq + 1, i, i, to, runid, i, p->cseq + 1, i, lport));
}

static int state_body(char *b, size_t n, long i) {
    return snprintf(b, n,
                    "<?xml version='1.0' encoding='UTF-8'?>\r\n<presence xmlns='urn:ietf:params:xml:ns:pidf' "
                    "entity='pres:r%ld@sip.test'><tuple id='a%lx'><status><basic>open</basic></status>"
                    "<contact priority='0.8'>sip:r%ld@sip.test</contact><note xml:lang='en'>v%d</note></tuple></presence>",
                    i, i, i, version);
}

static void notify(long i) {
    Pair *p = &xmpps[i];
    char b[4096], body[1024];
    int bl = state_body(body, sizeof body, i);
    say(b, snprintf(b, sizeof b,
                    "NOTIFY %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bKn%x.%lx.%d;rport\r\nMax-Forwards: 70\r\n"
                    "From: <sip:r%ld@sip.test>;tag=r%lx\r\nTo: <sip:j%ld@xmpp.test>;tag=%s\r\nCall-ID: %s\r\nCSeq: %d NOTIFY\r\n"
                    "Contact: <sip:r%ld@127.0.0.1:%d>\r\nEvent: presence\r\nSubscription-State: active;expires=3600\r\n"
                    "Content-Type: application/pidf+xml\r\nContent-Length: %d\r\n\r\n%s",
                    p->target, lport, runid, i, p->cseq + 1, i, i, i, p->far, p->call, p->cseq + 1, i, lport, bl, body));
}

static void publish(void) {
    char b[4096], body[1024], match[128] = "";
    int bl = state_body(body, sizeof body, 0);
    if (*etag)
        snprintf(match, sizeof match, "SIP-If-Match: %s\r\n", etag);
    say(b, snprintf(b, sizeof b,
                    "PUBLISH sip:r0@sip.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bKp%x.%d;rport\r\nMax-Forwards: 70\r\n"
                    "From: <sip:r0@sip.test>;tag=p\r\nTo: <sip:r0@sip.test>\r\nCall-ID: p%x-%d\r\nCSeq: 1 PUBLISH\r\n"
                    "Event: presence\r\nExpires: 3600\r\n%sContent-Type: application/pidf+xml\r\nContent-Length: %d\r\n\r\n%s",
                    lport, runid, version, runid, version, match, bl, body));
}

static void answer(const char *m, const char *own_tag, const char *more) {
    char b[4096], h[1024];
    const char *via = m;
    int n = snprintf(b, sizeof b, "SIP/2.0 200 OK\r\n");
    while ((via = strcasestr(via, "\r\nVia:"))) {
        const char *e = strstr(via + 2, "\r\n");
        n += snprintf(b + n, sizeof b - n, "%.*s\r\n", (int)(e - via - 2), via + 2);
        via = e;
    }
    n += snprintf(b + n, sizeof b - n, "From: %s\r\n", header(m, "From", h, sizeof h));
    header(m, "To", h, sizeof h);
    n += snprintf(b + n, sizeof b - n, "To: %s%s%s\r\n", h, strstr(h, ";tag=") ? "" : ";tag=", strstr(h, ";tag=") ? "" : own_tag);
    n += snprintf(b + n, sizeof b - n, "Call-ID: %s\r\n", header(m, "Call-ID", h, sizeof h));
    n += snprintf(b + n, sizeof b - n, "CSeq: %s\r\n%sContent-Length: 0\r\n\r\n", header(m, "CSeq", h, sizeof h), more);
    say(b, n);
}

static void uri_of(const char *value, char *o, size_t oc) {
    const char *p = strchr(value, '<'), *e = p ? strchr(p, '>') : NULL;
    snprintf(o, oc, "%.*s", e ? (int)(e - p - 1) : 0, e ? p + 1 : "");
}

static void subscribed_to_us(const char *m) { // SUBSCRIBE sip:rN@...
    long i = atol(m + strlen("SUBSCRIBE sip:r"));
    char h[512], more[128], own[40];
    if (i < 0 || i >= number)
        return;
    Pair *p = &xmpps[i];
    header(m, "CSeq", h, sizeof h);
    int fresh = atoi(h) > p->seen;
    p->seen = fresh ? atoi(h) : p->seen;
    header(m, "Call-ID", p->call, sizeof p->call);
    header(m, "Contact", h, sizeof h);
    uri_of(h, p->target, sizeof p->target);
    header(m, "From", h, sizeof h);
    tag_of(h, p->far, sizeof p->far);
    snprintf(more, sizeof more, "Contact: <sip:r%ld@127.0.0.1:%d>\r\nExpires: 3600\r\n", i, lport);
    snprintf(own, sizeof own, "r%lx", i);
    answer(m, own, more);
    if (fresh) {
        count(&asked);
        // the same one twice would be a presentity that is gone
        if (!losing || p->lost || asked % losing)
            notify(i);
        else
            p->lost = 1;
    }
}

static void notified(const char *m) {
    char h[512];
    header(m, "Call-ID", h, sizeof h);
    const char *q = strchr(h, '-');
    long i = q ? atol(q + 1) : -1;
    answer(m, "", "");
    if (i < 0 || i >= number)
        return;
    Pair *p = &sips[i];
    header(m, "CSeq", h, sizeof h);
    if (atoi(h) <= p->seen)
        return;
    p->seen = atoi(h);
    terminated += strstr(header(m, "Subscription-State", h, sizeof h), "terminated") != NULL;
    char want[16];
    snprintf(want, sizeof want, ">v%d<", version);
    mark(p, i, NOTIFIED | (strstr(m, want) ? SHOWN : 0));
}

static void take_datagrams(void) {
    static char b[65536];
    char h[512];
    for (ssize_t r; (r = recv(ufd, b, sizeof b - 1, 0)) > 0;) {
        b[r] = 0;
        if (!strncmp(b, "SUBSCRIBE ", 10)) {
            subscribed_to_us(b);
        } else if (!strncmp(b, "NOTIFY ", 7)) {
            notified(b);
        } else if (!strncmp(b, "SIP/2.0 ", 8) && atoi(b + 8) >= 200) {
            int status = atoi(b + 8);
            int ours = strstr(header(b, "CSeq", h, sizeof h), "SUBSCRIBE") != NULL, cseq = atoi(h);
            int theirs = strstr(h, "NOTIFY") != NULL;
            if (strstr(h, "PUBLISH"))
                header(b, "SIP-ETag", etag, sizeof etag);
            header(b, "Call-ID", h, sizeof h);
            if (status >= 300) {
                if (!refused++)
                    fprintf(stderr, "%.400s\n", b);
                continue;
            }
            if (theirs) {
                header(b, "From", h, sizeof h);
                long i = atol(strstr(h, "sip:r") + 5);
                if (i >= 0 && i < number && cseq == xmpps[i].cseq + 1) {
                    xmpps[i].cseq = cseq;
                    mark(&xmpps[i], i, ANSWERED);
                }
                continue;
            }
            const char *q = strchr(h, '-');
            long i = q ? atol(q + 1) : -1;
            if (!ours || i < 0 || i >= number || cseq != sips[i].cseq + 1) {
                published += !ours;
                continue;
            }
            Pair *p = &sips[i];
            p->cseq = cseq;
            header(b, "To", h, sizeof h);
            tag_of(h, p->far, sizeof p->far);
            header(b, "Contact", h, sizeof h);
            uri_of(h, p->target, sizeof p->target);
            mark(p, i, ANSWERED);
        }
    }
}

// ---- XMPP
static void tell(long i) { // contact cI's state, to its watcher
    char b[512];
    xput(&far_side, b, snprintf(b, sizeof b, "<presence from='c%ld@xmpp.test/desk' to='w%ld@sip.test'><show>away</show>"
                                             "<status xml:lang='en'>v%d</status><priority>5</priority></presence>", i, i, version));
}

static void approve(long i) {
    char b[512];
    xput(&far_side, b, snprintf(b, sizeof b, "<presence from='c%ld@xmpp.test' to='w%ld@sip.test' type='subscribed'/>", i, i));
    tell(i);
}

static void ask(long i) {
    char b[512];
    long whom = strcmp(mode, "fanout") ? i : 0;
    xput(&far_side, b, snprintf(b, sizeof b, "<presence from='j%ld@xmpp.test' to='r%ld@sip.test' type='subscribe' id='s%ld'/>", i, whom, i));
}

static void stanza(const char *s, const char *gt, const char *end) {
    char type[32], from[128], to[128], want[16], b[512];
    attr_of(s, gt, "type", type, sizeof type);
    attr_of(s, gt, "from", from, sizeof from);
    attr_of(s, gt, "to", to, sizeof to);
    long w = atol(from + 1), i = atol(to + 1);
    if (!strcmp(type, "subscribe")) {
        mark(&sips[w], w, SHOWN);
    } else if (!strcmp(type, "probe") && !strchr(from, '@')) { // is the watcher there?
        xput(&far_side, b, snprintf(b, sizeof b, "<presence from='%s/desk' to='%s'/>", to, from));
    } else if (!strcmp(type, "probe")) {
        count(&probed);
        tell(i);
    } else if (!*type && to[0] == 'j') {
        snprintf(want, sizeof want, ">v%d<", version);
        if (memmem(s, end - s, want, strlen(want)) && i >= 0 && i < number)
            mark(&xmpps[i], i, SHOWN);
    } else if (!strcmp(type, "unavailable") || !strcmp(type, "unsubscribed")) {
        terminated++;
    }
}

static void take_stanzas(void) {
    X *x = &far_side;
    for (;;) {
        ssize_t r = recv(x->fd, x->in + x->n, sizeof(x->in) - 1 - x->n, 0);
        if (r == 0) {
            x->fd = -1;
            return;
        }
        if (r < 0)
            return;
        x->n += r;
        char *p = x->in, *end = x->in + x->n;
        for (;;) {
            char *s = memchr(p, '<', end - p), *gt = s ? memchr(s, '>', end - s) : NULL;
            if (!gt)
                break;
            int presence = !strncmp(s, "<presence", 9), iq = !strncmp(s, "<iq", 3);
            const char *close = presence ? "</presence>" : "</iq>";
            char *fin = gt[-1] == '/' || (!presence && !iq) ? gt + 1 : memmem(gt, end - gt, close, strlen(close));
            if (!fin)
                break;
            if (iq)
                pong(x, s, gt, fin);
            else if (presence)
                stanza(s, gt, fin);
            p = gt[-1] == '/' || (!presence && !iq) ? fin : fin + strlen(close);
        }
        memmove(x->in, p, end - p);
        x->n = end - p;
        if (x->on)
            xflush(x);
    }
}

// ---- phases
static void wait_for_events(void) {
    if (far_side.fd >= 0 && far_side.on)
        xflush(&far_side);
    struct pollfd p[2] = {{ufd, POLLIN, 0}, {far_side.fd, POLLIN | (far_side.on ? POLLOUT : 0), 0}};
    struct timespec pause = {0, 500000};
    ppoll(p, far_side.fd >= 0 ? 2 : 1, &pause, NULL);
    take_datagrams();
    if (far_side.fd >= 0)
        take_stanzas();
}

static void idle(double seconds) {
    for (uint64_t t = now(); now() - t < seconds * 1e9;)
        wait_for_events();
}

static uint64_t cpu_now(long *rss, long *pss) {
    uint64_t cpu;
    char own[32];
    snprintf(own, sizeof own, "%d", gateway_pid);
    grp(pids ? pids : own, &cpu, rss, pss);
    return cpu;
}

static void row(const char *name, long n, uint64_t began, uint64_t cpu, long rss0, long pss0) {
    long rss, pss;
    double used = (cpu_now(&rss, &pss) - cpu) / 1e3, secs = (now() - began) / 1e9;
    qsort(took, done, 8, cmp);
    printf("{\"label\":\"%s\",\"number\":%ld,\"done\":%ld,\"secs\":%.2f,\"per_s\":%.0f,\"cpu_us\":%.2f,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"p999_ms\":%.2f,"
           "\"max_ms\":%.2f,\"again\":%ld,\"refused\":%ld,\"ended\":%d,\"rss_mb\":%.1f,\"grown_bytes_each\":%.0f}\n",
           name, n, done, secs, n / secs, used / n, done ? took[done / 2] / 1e6 : 0, done ? took[done * 99 / 100] / 1e6 : 0,
           done ? took[done * 999 / 1000] / 1e6 : 0, done ? took[done - 1] / 1e6 : 0, again, refused, terminated, rss / 1024.0, ((pids ? pss - pss0 : rss - rss0) * 1024.0) / n);
    fflush(stdout);
    again = refused = terminated = 0;
}

// `count` pairs in a closed loop, each until it has what is needed; datagrams that nothing came of for a second go again.
static void phase(const char *name, Pair *pairs, long count, void (*go)(long), int wanted, int datagram) {
    long rss, pss, next = 0, oldest = 0;
    done = 0;
    need = wanted;
    for (long i = 0; i < count; i++)
        pairs[i].have = 0;
    uint64_t cpu = cpu_now(&rss, &pss), began = now(), checked = began;
    // a server that refuses all of it is not asked for minutes
    while (done < count && now() - began < 400e9 && (done || refused < 1000)) {
        while (next < count && next - done < in_flight) {
            pairs[next].have = STARTED;
            pairs[next].begun = pairs[next].sent = now();
            go(next++);
        }
        wait_for_events();
        if (datagram && now() - checked > 250000000ull) {
            checked = now();
            while (oldest < next && (pairs[oldest].have & need) == need)
                oldest++;
            for (long i = oldest; i < next; i++)
                if (!(pairs[i].have & ANSWERED) && checked - pairs[i].sent > 1000000000ull) {
                    again++;
                    pairs[i].sent = checked;
                    go(i);
                }
        }
    }
    row(name, count, began, cpu, rss, pss);
}

static void start(void) {
    gateway_pid = fork();
    if (!gateway_pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        char *argv[16] = {0};
        int n = 0;
        for (char *t = strtok(strdup(command), " "); t && n < 15; t = strtok(NULL, " "))
            argv[n++] = t;
        dup2(2, 1);
        execvp(argv[0], argv);
        die("gateway");
    }
    if (strcmp(mode, "server"))
        link_up();
}

static void end(int signal) {
    kill(gateway_pid, signal);
    waitpid(gateway_pid, NULL, 0);
    if (far_side.fd >= 0)
        close(far_side.fd);
    far_side.fd = -1;
}

static void resting(const char *name, long n, long rss0) {
    long rss, pss;
    idle(rest);
    cpu_now(&rss, &pss);
    printf("{\"label\":\"%s\",\"number\":%ld,\"ended\":%d,\"rss_mb\":%.1f,\"grown_bytes_each\":%.0f}\n", name, n, terminated, rss / 1024.0,
           (rss - rss0) * 1024.0 / n);
    fflush(stdout);
    terminated = 0;
}

// Killed amid all of it; then until it serves (the link is up and a refresh is answered), and until every state has been asked for.
static void restart(long rss0) {
    long rss, pss;
    end(SIGKILL);
    uint64_t began = now(), serving = 0, second = 0;
    long most = 0, at = 0;
    start();
    probed = asked = terminated = 0;
    losing = lose;
    need = ANSWERED | NOTIFIED;
    done = 0;
    sips[0].have = STARTED;
    for (uint64_t tried = 0; !serving && now() - began < 60e9;) {
        if (now() - tried > 50000000ull) {
            tried = sips[0].begun = now();
            subscribe(0);
        }
        wait_for_events();
        serving = sips[0].have & ANSWERED ? now() - began : 0;
    }
    cpu_now(&rss, &pss);
    printf("{\"label\":\"serves again\",\"number\":%ld,\"secs\":%.2f,\"rss_mb\":%.1f,\"grown_bytes_each\":%.0f}\n", 2 * number, serving / 1e9,
           rss / 1024.0, (rss - rss0) * 1024.0 / number);
    uint64_t cpu = cpu_now(&rss, &pss), from = now();
    // those that came while it was looked whether it serves came at once
    done = 0;
    sips[0].have = 0;
    asking = from;
    for (long i = 0; i < probed + asked; i++)
        took[done++] = 0;
    while (probed + asked < 2 * number && now() - from < 300e9) {
        wait_for_events();
        if (now() - second > 1000000000ull) {
            most = second && probed + asked - at > most ? probed + asked - at : most;
            at = probed + asked;
            second = now();
        }
    }
    asking = 0;
    printf("{\"label\":\"fastest second\",\"number\":%ld,\"per_s\":%ld}\n", most, most);
    row("states asked for", probed + asked, from, cpu, rss, pss);
}

static void scale(void) {
    long rss0, pss0, rss1;
    start();
    idle(2);
    cpu_now(&rss0, &pss0);
    version = 1;
    phase("sip subscribes", sips, number, subscribe, ANSWERED | NOTIFIED | SHOWN, 1);
    phase("xmpp approves", sips, number, approve, SHOWN, 0);
    resting("sip watchers at rest", number, rss0);
    version = 2;
    phase("xmpp state changes", sips, number, tell, SHOWN, 0);
    phase("sip refreshes", sips, number, subscribe, ANSWERED | NOTIFIED, 1);
    idle(rest);
    cpu_now(&rss1, &pss0);
    phase("xmpp subscribes", xmpps, number, ask, SHOWN, 0);
    resting("xmpp watchers at rest", number, rss1);
    version = 3;
    phase("sip state changes", xmpps, number, notify, ANSWERED | SHOWN, 1);
    restart(rss0);
    resting("all at rest after the start", number, rss0);
    end(SIGTERM);
}

static void fanout(void) {
    start();
    idle(1);
    version = 1;
    publish();
    idle(1);
    phase("xmpp subscribes", xmpps, number, ask, SHOWN, 0);
    for (int k = 0; k < 5; k++) {
        idle(2);
        long rss, pss;
        done = 0;
        version++;
        for (long i = 0; i < number; i++)
            xmpps[i].have = STARTED, xmpps[i].begun = now();
        uint64_t cpu = cpu_now(&rss, &pss), began = now();
        publish();
        while (done < number && now() - began < 60e9)
            wait_for_events();
        row("one publishes", number, began, cpu, rss, pss);
    }
    end(SIGTERM);
}

static void hold(void) {
    long rss0, pss0;
    char pid[32];
    start();
    idle(2);
    cpu_now(&rss0, &pss0);
    version = 1;
    if (number)
        phase("sip subscribes", sips, number, subscribe, ANSWERED | NOTIFIED | SHOWN, 1);
    if (number)
        phase("xmpp approves", sips, number, approve, SHOWN, 0);
    if (number)
        resting("at rest", number, rss0);
    snprintf(pid, sizeof pid, "%d", gateway_pid);
    setenv("GATEWAY", pid, 1);
    int child = fork();
    if (!child) {
        execl("/bin/sh", "sh", "-c", then_run, NULL);
        die("--then");
    }
    while (!waitpid(child, NULL, WNOHANG))
        wait_for_events();
    end(SIGTERM);
}

static void server(void) {
    phase("sip subscribes", sips, number, subscribe, ANSWERED | NOTIFIED, 1);
    phase("sip refreshes", sips, number, subscribe, ANSWERED | NOTIFIED, 1);
}

int main(int c, char **v) {
    for (int i = 1; i + 1 < c; i += 2) {
        char *k = v[i], *a = v[i + 1];
        if (!strcmp(k, "--mode"))
            mode = a;
        else if (!strcmp(k, "--gateway"))
            command = a;
        else if (!strcmp(k, "--then"))
            then_run = a;
        else if (!strcmp(k, "--pids"))
            pids = a;
        else if (!strcmp(k, "--sip-dst"))
            sipdst = a;
        else if (!strcmp(k, "--sip-listen"))
            siplisten = atoi(a);
        else if (!strcmp(k, "--domain"))
            snprintf(watched_domain, sizeof watched_domain, "%s", a);
        else if (!strcmp(k, "--port"))
            port = atoi(a);
        else if (!strcmp(k, "--number"))
            number = atol(a);
        else if (!strcmp(k, "--window"))
            in_flight = atol(a);
        else if (!strcmp(k, "--rest"))
            rest = atol(a);
        else if (!strcmp(k, "--lose"))
            lose = atol(a);
        else {
            fprintf(stderr, "?%s\n", k);
            return 1;
        }
    }
    sips = calloc(number, sizeof *sips);
    xmpps = calloc(number, sizeof *xmpps);
    took = calloc(2 * number + 1, 8);
    runid = getpid() ^ (unsigned)time(0);
    dst.sin_family = AF_INET;
    dst.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    dst.sin_port = htons(atoi(strchr(sipdst, ':') + 1));
    ufd = uopen(siplisten);
    lport = siplisten;
    if (!strcmp(mode, "scale"))
        scale();
    else if (!strcmp(mode, "fanout"))
        fanout();
    else if (!strcmp(mode, "hold"))
        hold();
    else
        server();
    return 0;
}

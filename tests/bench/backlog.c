// backlog: what the spool costs. SIP senders over UDP; a component link that is taken away and given back.
//   hold     live messages in a closed loop: the rate that the hop had before
//   spool    the link is gone: messages for many destinations
//   beside   more of them, for others, with that backlog in the ledger
//   drain    the link is back; beside it live messages go on, --live a second
// One JSON line for each phase. Loopback only, one thread.
#define GWBENCH_PARTS
#include "../interop/lab/load/gwbench.c"
#include "link.h"

static long holds = 50000, backlog = 200000, besides = 50000, destinations = 5000, in_flight = 512;
static double live = 200, longest = 120;
static char *gateway = "0";
static int *code; // by message: the final response

static void link_down(void) {
    close(far_side.fd);
    far_side.fd = -1;
}

static void send_one(long id, char phase) {
    char b[8192], body[4096];
    int bl = snprintf(body, sizeof body, "#%09ld %.*s", id, bodylen > 11 ? bodylen - 11 : 0, filler);
    int n = snprintf(b, sizeof b,
                     "MESSAGE sip:%c%ld@xmpp.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%x.%lx;rport\r\n"
                     "Max-Forwards: 70\r\nFrom: <sip:%c@sip.test>;tag=t%lx\r\nTo: <sip:%c%ld@xmpp.test>\r\n"
                     "Call-ID: c%x-%lx@127.0.0.1\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\n"
                     "Content-Length: %d\r\n\r\n%s",
                     phase, id % destinations, lport, runid, id, phase, id, phase, id % destinations, runid, id, bl, body);
    ts_send[id] = ts_send[id] ? ts_send[id] : now();
    if (sendto(ufd, b, n, 0, (void *)&dst, sizeof dst) < 0)
        bad++;
}

static void take_answers(void) {
    char b[16384];
    for (ssize_t r; (r = recv(ufd, b, sizeof b - 1, 0)) > 0;) {
        b[r] = 0;
        char *p = strstr(b, "Call-ID: c"), *q = p ? strchr(p + 9, '-') : NULL;
        int status = strncmp(b, "SIP/2.0 ", 8) ? 0 : atoi(b + 8);
        long id = q ? strtol(q + 1, NULL, 16) : -1;
        if (status < 200 || id < 0 || id >= nmax || ts_reply[id])
            continue;
        ts_reply[id] = now();
        replies++;
        code[id] = status;
    }
}

static void wait_for_events(void) {
    struct pollfd p[2] = {{ufd, POLLIN, 0}, {far_side.fd, POLLIN | (far_side.on ? POLLOUT : 0), 0}};
    struct timespec pause = {0, 500000};
    ppoll(p, far_side.fd >= 0 ? 2 : 1, &pause, NULL);
    take_answers();
    if (far_side.fd >= 0)
        xrecv(&far_side);
}

static uint64_t began, used;
static long rss0, pss0;

static void phase_begins(void) {
    began = now();
    grp(gateway, &used, &rss0, &pss0);
}

// One row about the messages from `first` to before `end`; `number` is what the rate and the CPU time are divided by.
static void phase_ends(const char *name, long first, long end, long number, uint64_t stop) {
    uint64_t cpu;
    long rss, pss, accepted = 0, refused = 0, missing = 0, n = 0, disorder = 0;
    uint64_t *answered = calloc(end - first + 1, 8), *before = calloc(2 * destinations, 8);
    grp(gateway, &cpu, &rss, &pss);
    for (long id = first; id < end; id++) {
        accepted += code[id] >= 200 && code[id] < 300;
        refused += code[id] >= 300;
        missing += ts_dlv[id] == 0;
        if (ts_reply[id])
            answered[n++] = ts_reply[id] - ts_send[id];
        if (ts_dlv[id]) {
            // `beside` has destinations of its own
            uint64_t *last = &before[id % destinations + (id < holds + backlog ? 0 : destinations)];
            disorder += ts_dlv[id] < *last;
            *last = ts_dlv[id];
        }
    }
    qsort(answered, n, 8, cmp);
    printf("{\"label\":\"%s\",\"number\":%ld,\"per_s\":%.0f,\"cpu_us\":%.2f,\"accepted\":%ld,\"refused\":%ld,\"not_arrived\":%ld,"
           "\"disorder\":%ld,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f,\"rss_mb\":%.1f}\n",
           name, number, number * 1e9 / (stop - began), (cpu - used) / 1e3 / (number ? number : 1), accepted, refused, missing,
           disorder, n ? answered[n / 2] / 1e6 : 0, n ? answered[n * 99 / 100] / 1e6 : 0, n ? answered[n - 1] / 1e6 : 0,
           rss / 1024.0);
    fflush(stdout);
    free(answered);
    free(before);
}

// Closed loop; what stays unanswered for a second is sent again (RFC 3261 17.1.2.2).
static void load(const char *name, char who, long number) {
    long first = sent, end = sent + number, oldest = first, answered = replies;
    uint64_t checked = now();
    phase_begins();
    while (replies - answered < number && now() - began < longest * 1e9) {
        while (sent < end && sent - first - (replies - answered) < in_flight)
            send_one(sent++, who);
        wait_for_events();
        if (now() - checked > 250000000ull) {
            checked = now();
            while (oldest < sent && ts_reply[oldest])
                oldest++;
            for (long id = oldest; id < sent; id++)
                if (!ts_reply[id] && checked - ts_send[id] > 1000000000ull) {
                    retr++;
                    send_one(id, who);
                }
        }
    }
    phase_ends(name, first, end, number, now());
}

// The backlog goes, and live messages of others pass it. The greatest second is a row of its own.
static void drain_all(long first, long end) {
    long gone = dlv, number = end - first, live_first = sent, most = 0, second_began = 0;
    phase_begins();
    uint64_t second = began, stop = began;
    for (;;) {
        uint64_t t = now();
        long live_gone = 0;
        if (t - began > longest * 1e9 || sent >= nmax)
            break;
        while (sent < live_first + (long)((t - began) / 1e9 * live) && sent < nmax)
            send_one(sent++, 'l');
        wait_for_events();
        for (long id = live_first; id < sent; id++)
            live_gone += ts_dlv[id] != 0;
        long done = dlv - gone - live_gone;
        if (t - second >= 1000000000ull) {
            most = done - second_began > most ? done - second_began : most;
            second_began = done;
            second = t;
        }
        stop = now();
        if (done >= number)
            break;
    }
    for (uint64_t t = now(); replies < sent && now() - t < 3000000000ull;)
        wait_for_events();
    long done = 0;
    for (long id = first; id < end; id++)
        done += ts_dlv[id] != 0;
    phase_ends("live beside", live_first, sent, sent - live_first, stop);
    phase_ends("drain", first, end, done, stop);
    printf("{\"label\":\"fastest second\",\"number\":%ld,\"per_s\":%ld}\n", most, most);
}

int main(int c, char **v) {
    for (int i = 1; i + 1 < c; i += 2) {
        char *k = v[i], *a = v[i + 1];
        if (!strcmp(k, "--sip-dst"))
            sipdst = a;
        else if (!strcmp(k, "--port"))
            port = atoi(a);
        else if (!strcmp(k, "--gateway"))
            gateway = a;
        else if (!strcmp(k, "--hold"))
            holds = atol(a);
        else if (!strcmp(k, "--backlog"))
            backlog = atol(a);
        else if (!strcmp(k, "--beside"))
            besides = atol(a);
        else if (!strcmp(k, "--destinations"))
            destinations = atol(a);
        else if (!strcmp(k, "--window"))
            in_flight = atol(a);
        else if (!strcmp(k, "--live"))
            live = atof(a);
        else if (!strcmp(k, "--longest"))
            longest = atof(a);
        else {
            fprintf(stderr, "?%s\n", k);
            return 1;
        }
    }
    nmax = holds + backlog + besides + (long)(live * longest) + 1;
    ts_send = calloc(nmax, 8);
    ts_reply = calloc(nmax, 8);
    ts_dlv = calloc(nmax, 8);
    code = calloc(nmax, sizeof *code);
    memset(filler, 'x', sizeof filler - 1);
    runid = getpid() ^ (unsigned)time(0);
    dst.sin_family = AF_INET;
    dst.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    dst.sin_port = htons(atoi(strchr(sipdst, ':') + 1));
    ufd = uopen(0);
    struct sockaddr_in m;
    socklen_t ml = sizeof m;
    getsockname(ufd, (void *)&m, &ml);
    lport = ntohs(m.sin_port);
    link_up();
    usleep(300000);
    load("hold", 'h', holds);
    link_down();
    usleep(200000);
    long first = sent;
    load("spool", 'u', backlog);
    load("spool beside it", 'v', besides);
    long end = sent;
    link_up();
    drain_all(first, end);
    return 0;
}

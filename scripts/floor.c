/* floor: the least time that half-open checks of N targets can take on a machine.
 *
 * One thread, IPv4, the packets and nothing else: SYN, SYN+ACK, RST. No retries, no ICMP, hardly a report.
 * scripts/bench compares halfopen with it.
 *
 *   cc -O2 -o floor floor.c
 *   ./floor SOURCE FIRST COUNT PORT                 COUNT targets from address FIRST upwards, PORT of each
 *   ./floor SOURCE FIRST COUNT PORT RATE SECONDS    the same again and again: RATE targets a second, for SECONDS
 *
 * Exit code: 0 if every target is open, 2 if one is not, 3 if it could not check.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 64,         /* messages per system call */
    ANSWER_SIZE = 1024, /* most room that an answer takes in the receive buffer */
    PATIENCE_MS = 1000, /* silence after which the missing targets count as not open */
    EVERY_OPTION = 12,  /* bytes of the SYN's options */
    GROUP_NS = 4000000, /* time between two groups of checks that are made again and again */
};

/* A segment as on the wire. Only a SYN has the options. */
struct segment {
    struct tcphdr header;
    uint8_t options[EVERY_OPTION];
};

/* Segments to send, with one sendmmsg() per full outbox. */
struct outbox {
    int used;
    struct segment segment[BATCH];
    struct sockaddr_in to[BATCH];
    struct iovec bytes[BATCH];
    struct mmsghdr message[BATCH];
};

/* Received packets, starting with the IP header. */
struct inbox {
    uint8_t packet[BATCH][128];
    struct iovec bytes[BATCH];
    struct mmsghdr message[BATCH];
};

static in_addr_t source;
static in_port_t source_port, target_port;
static uint32_t open_ports, closed_ports;
static uint32_t most_in_flight; /* targets without an answer yet: more would overflow the receive buffer */
static struct outbox syns, resets;
static struct inbox answers;

static int open_guard(void);
static int open_raw(in_addr_t only_target);
static void check_once(int raw, uint32_t first, uint32_t count);
static void check_again(int raw, uint32_t first, uint32_t count, uint32_t rate, uint32_t checks);
static int take_answers(int raw, int most);
static void put(struct outbox *box, in_addr_t to, struct tcphdr header);
static int flush(int raw, struct outbox *box);
static int receive(int raw, int most);

/* A sequence number that needs no storage: an answer acknowledges the hash of its own source address. */
static uint32_t sequence_number(uint32_t target) { return target * 2654435761u; }

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 7) {
        fputs("usage: floor SOURCE FIRST COUNT PORT [RATE SECONDS]\n", stderr);
        return 3;
    }
    source = inet_addr(argv[1]);
    uint32_t first = ntohl(inet_addr(argv[2])), count = strtoul(argv[3], NULL, 10);
    target_port = htons(atoi(argv[4]));

    int guard = open_guard();
    int raw = open_raw(count == 1 ? htonl(first) : INADDR_ANY);
    if (guard < 0 || raw < 0) {
        perror("floor");
        return 3;
    }
    if (argc == 7) {
        uint32_t rate = atoi(argv[5]), checks = rate * atoi(argv[6]);
        check_again(raw, first, count, rate, checks);
        count = checks;
    } else {
        check_once(raw, first, count);
    }
    char line[64];
    if (write(STDOUT_FILENO, line, snprintf(line, sizeof line, "%u of %u open\n", open_ports, count)) < 0)
        return 3;
    return open_ports == count ? 0 : 2;
}

static void put_syn(uint32_t target)
{
    put(&syns, htonl(target), (struct tcphdr){.seq = htonl(sequence_number(target)), .syn = 1, .window = htons(64240)});
}

/* Checks each target once, as fast as possible. */
static void check_once(int raw, uint32_t first, uint32_t count)
{
    uint32_t sent = 0;
    while (open_ports + closed_ports < count) {
        uint32_t in_flight = sent - open_ports - closed_ports;
        uint32_t now = smaller(smaller(BATCH, count - sent), most_in_flight - in_flight);
        for (uint32_t i = 0; i < now; i++)
            put_syn(first + sent + i);
        if (now)
            sent += flush(raw, &syns);
        if (take_answers(raw, smaller(BATCH, sent - open_ports - closed_ports)) == 0 && (sent == count || in_flight == most_in_flight)
            && poll(&(struct pollfd){.fd = raw, .events = POLLIN}, 1, PATIENCE_MS) == 0)
            break;
    }
}

/* Makes so many checks at that rate, of one target after the other, in groups like those of halfopend. */
static void check_again(int raw, uint32_t first, uint32_t count, uint32_t rate, uint32_t checks)
{
    uint32_t sent = 0;
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (uint64_t group = 1; sent < checks; group++) {
        uint64_t at = start.tv_nsec + group * GROUP_NS;
        struct timespec wake = {.tv_sec = start.tv_sec + at / 1000000000, .tv_nsec = at % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL);
        uint32_t due = smaller(checks, group * GROUP_NS * rate / 1000000000);
        while (sent < due) {
            while (syns.used < BATCH && sent < due)
                put_syn(first + sent++ % count);
            flush(raw, &syns);
            while (take_answers(raw, BATCH))
                ;
        }
    }
    while (open_ports + closed_ports < checks && poll(&(struct pollfd){.fd = raw, .events = POLLIN}, 1, PATIENCE_MS) > 0)
        take_answers(raw, BATCH);
}

/* Receives at most `most` answers, sends their RSTs, and returns how many packets there were. */
static int take_answers(int raw, int most)
{
    int received = receive(raw, most);
    for (int i = 0; i < received; i++) {
        const struct ip *ip = (const void *)answers.packet[i];
        const struct tcphdr *answer = (const void *)(answers.packet[i] + ip->ip_hl * 4);
        if (ntohl(answer->ack_seq) != sequence_number(ntohl(ip->ip_src.s_addr)) + 1)
            continue;
        open_ports += answer->syn;
        closed_ports += answer->rst;
        if (answer->syn)
            put(&resets, ip->ip_src.s_addr, (struct tcphdr){.seq = answer->ack_seq, .rst = 1});
    }
    if (resets.used)
        flush(raw, &resets);
    return received;
}

/* Reserves a source port and keeps the kernel from answering on it: a listening socket that drops every TTL below 255. */
static int open_guard(void)
{
    int guard = socket(AF_INET, SOCK_STREAM, 0), ttl = 255;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = {source}};
    socklen_t length = sizeof own;
    if (guard < 0 || setsockopt(guard, IPPROTO_IP, IP_MINTTL, &ttl, sizeof ttl) || bind(guard, (void *)&own, length)
        || listen(guard, 1) || getsockname(guard, (void *)&own, &length))
        return -1;
    source_port = own.sin_port;
    return guard;
}

/* The socket that sends and receives segments. Connected, it receives those of one target; otherwise a filter selects our port. */
static int open_raw(in_addr_t only_target)
{
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_TCP), room = 64 << 20;
    int unfragmented = IP_PMTUDISC_PROBE; /* the kernel need not choose an identification */
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = {source}};
    if (raw < 0 || setsockopt(raw, IPPROTO_IP, IP_MTU_DISCOVER, &unfragmented, sizeof unfragmented)
        || bind(raw, (void *)&own, sizeof own))
        return -1;
    if (only_target != INADDR_ANY) {
        most_in_flight = 1;
        struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr = {only_target}};
        return connect(raw, (void *)&peer, sizeof peer) ? -1 : raw;
    }
    struct sock_filter to_our_port[] = {
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), /* X = length of the IP header */
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),  /* destination port */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohs(source_port), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, sizeof answers.packet[0]),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    socklen_t length = sizeof room;
    struct sock_fprog program = {sizeof to_our_port / sizeof *to_our_port, to_our_port};
    if (setsockopt(raw, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program)
        || (setsockopt(raw, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room)
            && setsockopt(raw, SOL_SOCKET, SO_RCVBUF, &room, sizeof room)) /* for an ordinary user, up to net.core.rmem_max */
        || getsockopt(raw, SOL_SOCKET, SO_RCVBUF, &room, &length))
        return -1;
    most_in_flight = room / ANSWER_SIZE;
    return raw;
}

/* RFC 9293 §3.1: ones' complement sum over the pseudo-header and the segment. */
static uint16_t checksum(const struct segment *segment, unsigned length, in_addr_t to)
{
    uint32_t sum = htons(IPPROTO_TCP) + htons(length) + (source & 0xffff) + (source >> 16) + (to & 0xffff) + (to >> 16);
    const uint16_t *word = (const void *)segment;
    for (unsigned i = 0; i < length / 2; i++)
        sum += word[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum;
}

/* Completes a header with ports, options and checksum, and puts the segment in the outbox. */
static void put(struct outbox *box, in_addr_t to, struct tcphdr header)
{
    static const uint8_t options[EVERY_OPTION] = {
        TCPOPT_MAXSEG,  4, 0x05, 0xb4,    /* 1460 */
        TCPOPT_SACK_PERMITTED, 2, TCPOPT_NOP,
        TCPOPT_WINDOW, 3, 7, TCPOPT_NOP, TCPOPT_NOP,
    };
    unsigned length = sizeof header + (header.syn ? sizeof options : 0);
    struct segment *segment = &box->segment[box->used];
    header.source = source_port;
    header.dest = target_port;
    header.doff = length / 4;
    segment->header = header;
    memcpy(segment->options, options, sizeof options);
    segment->header.check = checksum(segment, length, to);

    box->to[box->used] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {to}};
    box->bytes[box->used] = (struct iovec){segment, length};
    box->message[box->used].msg_hdr = (struct msghdr){.msg_name = &box->to[box->used], .msg_namelen = sizeof box->to[0],
                                                      .msg_iov = &box->bytes[box->used], .msg_iovlen = 1};
    box->used++;
}

/* Sends the outbox and returns how many segments left. */
static int flush(int raw, struct outbox *box)
{
    int left = sendmmsg(raw, box->message, box->used, 0);
    box->used = 0;
    return left < 0 ? 0 : left;
}

/* Receives at most `most` packets and returns how many. */
static int receive(int raw, int most)
{
    for (int i = 0; i < most; i++) {
        answers.bytes[i] = (struct iovec){answers.packet[i], sizeof answers.packet[i]};
        answers.message[i].msg_hdr = (struct msghdr){.msg_iov = &answers.bytes[i], .msg_iovlen = 1};
    }
    int received = recvmmsg(raw, answers.message, most, MSG_DONTWAIT, NULL);
    return received < 0 ? 0 : received;
}
